//! Invalid routes and references to routes.

use super::{assert_refused, assert_refused_after_base, assert_refused_in_route};

#[test]
fn translation_invalid_values_are_refused() {
    assert_refused_in_route(
        "models = [\"m-*\"]\ntargets = [{ provider = \"openai\" }]\nlisted = [\"m-1\", \"x\"]\n\
         translate = { unknown = \"drop\", sampling = \"sheed\", lossy = [\"n\", \"\"] }",
        &[
            ("routes[0].translate.unknown", "\"drop\"", "refuse or shed"),
            ("routes[0].translate.sampling", "\"sheed\"", "did you mean shed?"),
            ("routes[0].translate.lossy[1]", "an empty text", "a path such as"),
            ("routes[0].listed[1]", "\"x\"", "a name that a pattern"),
        ],
    );
}

#[test]
fn route_unknown_references_are_refused() {
    assert_refused_in_route(
        "models = [\"m\"]\ntargets = [{ provider = \"opnai\" }]\nfallback = [{ provider = \"x\" }]",
        &[
            (
                "routes[0].targets[0].provider",
                "\"opnai\"",
                "the id of one of the providers: openai, local (did you mean openai?)",
            ),
            ("routes[0].fallback[0].provider", "\"x\"", "openai, local"),
        ],
    );
    assert_refused(
        "routes = [{ id = \"a\", models = [\"m\"], targets = [{ provider = \"x\" }] }]",
        &[("routes[0].targets[0].provider", "\"x\"", "but the document has none")],
    );
    assert_refused_after_base(
        r#"
        [[consumers]]
        id = "a"
        routes = ["chat", "chta"]
        [[limits]]
        id = "l"
        on = { routes = ["x"], groups = ["a b"] }
        by = "all"
        tokens = { per = "day", max = 1 }
        [[guards]]
        id = "g"
        kind = "pii"
        routes = ["y"]
        [cache]
        routes = ["z"]
        ttl = "1h"
        scope = "all"
        "#,
        &[
            (
                "consumers[0].routes[1]",
                "\"chta\"",
                "the id of one of the routes: chat (did you mean chat?)",
            ),
            ("limits[0].on.routes[0]", "\"x\"", "routes: chat"),
            ("limits[0].on.groups[0]", "\"a b\"", "letters"),
            ("guards[0].routes[0]", "\"y\"", "routes: chat"),
            ("cache.routes[0]", "\"z\"", "routes: chat"),
        ],
    );
    assert_refused_after_base(
        "[[consumers]]\nid = \"a\"\nroutes = []",
        &[("consumers[0].routes", "an empty list", "no `routes` for every route")],
    );
}

#[test]
fn route_invalid_models_are_refused() {
    let targets = "targets = [{ provider = \"openai\" }]";
    assert_refused_in_route(
        &format!("models = []\n{targets}"),
        &[("routes[0].models", "an empty list", "at least one model")],
    );
    assert_refused_in_route(
        &format!("models = [\"\", \"a*b\", \"a b\", \"a**\", \"ok\"]\n{targets}"),
        &[
            ("routes[0].models[0]", "\"\"", "prefix*"),
            ("routes[0].models[1]", "\"a*b\"", "prefix*"),
            ("routes[0].models[2]", "\"a b\"", "prefix*"),
            ("routes[0].models[3]", "\"a**\"", "prefix*"),
        ],
    );
    assert_refused_in_route(
        &format!("models = [\"~[a\"]\n{targets}"),
        &[("routes[0].models[0]", "character class", "a regular expression")],
    );
    assert_refused_in_route(
        &format!("models = [\"a\", \"a\"]\n{targets}"),
        &[("routes[0].models[1]", "\"a\"", "each model once")],
    );
    assert_refused_in_route(
        &format!(
            "models = [\"a\", \"b*\"]\n{targets}\n\
             [[routes]]\nid = \"other\"\nmodels = [\"a\", \"b*\", \"b\"]\n{targets}"
        ),
        &[
            ("routes[1].models[0]", "\"a\"", "the route chat does not list"),
            ("routes[1].models[1]", "\"b*\"", "the route chat does not list"),
        ],
    );
}

#[test]
fn route_without_usable_targets_is_refused() {
    assert_refused_in_route(
        "models = [\"m\"]\ntargets = []",
        &[("routes[0].targets", "an empty list", "at least one target")],
    );
    assert_refused_in_route(
        "models = [\"m\"]\ntargets = [{ provider = \"openai\", weight = 0 }, { provider = \"local\", weight = 0 }]",
        &[("routes[0].targets", "all zero", "at least one weight above zero")],
    );
    assert_refused_in_route(
        "models = [\"m\"]\ntargets = [{ provider = \"openai\", model = \" \" }]",
        &[("routes[0].targets[0].model", "an empty name", "a model's name")],
    );
}

#[test]
fn route_invalid_policies_are_refused() {
    let base = "models = [\"m\"]\ntargets = [{ provider = \"openai\" }]\n";
    let refused = |fields: &str, expected: &[(&str, &str, &str)]| {
        assert_refused_in_route(&format!("{base}{fields}"), expected);
    };
    refused("sticky = \"ip\"", &[("routes[0].sticky", "\"ip\"", "header:NAME")]);
    refused("sticky = \"header:\u{e9}\"", &[("routes[0].sticky", "\"é\"", "name of a header")]);
    refused(
        "fallback_on = [\"connect\", \"timeot\", \"404\"]",
        &[
            ("routes[0].fallback_on[1]", "\"timeot\"", "did you mean timeout?"),
            ("routes[0].fallback_on[2]", "\"404\"", "connect, timeout, 429, 5xx, limited"),
        ],
    );
    refused("retries = { attempts = 11 }", &[("routes[0].retries.attempts", "11", "10 at most")]);
    refused(
        "retries = { backoff = \"fast\", honour_retry_after = \"25h\" }",
        &[
            ("routes[0].retries.backoff", "\"fast\"", "a duration such as"),
            ("routes[0].retries.honour_retry_after", "\"25h\"", "24h at most"),
        ],
    );
    refused(
        "balance = \"latncy\"",
        &[("routes[0].balance", "\"latncy\"", "did you mean latency?")],
    );
    refused(
        "balance = \"cost\"\nsticky = \"user\"",
        &[("routes[0].balance", "with `sticky`", "no `sticky`")],
    );
    refused(
        "retries = { budget = 1.5 }",
        &[("routes[0].retries.budget", "1.5", "a share from 0 to 1")],
    );
    refused(
        "retries = { replay = \"much\" }",
        &[("routes[0].retries.replay", "\"much\"", "a size such as")],
    );
    refused(
        "continue = true\nhedge = {}",
        &[
            ("routes[0].hedge", "a route without a `fallback`", "at least one `fallback`"),
            ("routes[0].continue", "a route without a `fallback`", "at least one `fallback`"),
        ],
    );
    refused(
        "fallback = [{ provider = \"local\" }]\nhedge = { share = -0.1, after = \"0s\" }",
        &[
            ("routes[0].hedge.share", "-0.1", "a share from 0 to 1"),
            ("routes[0].hedge.after", "zero", "above zero"),
        ],
    );
    refused(
        "health = { failures = 101, window = \"0s\", rest = \"31s\" }",
        &[
            ("routes[0].health.failures", "101", "100 at most"),
            ("routes[0].health.window", "zero", "above zero"),
            ("routes[0].health.rest", "\"31s\"", "30s at most"),
        ],
    );
    refused(
        "timeouts = { first_byte = \"0s\", idle = \"0ms\", total = \"0h\" }",
        &[
            ("routes[0].timeouts.total", "zero", "above zero"),
            ("routes[0].timeouts.idle", "zero", "above zero"),
            ("routes[0].timeouts.first_byte", "zero", "above zero"),
        ],
    );
    refused(
        "timeouts = { first_byte = \"31s\", total = \"30s\" }",
        &[("routes[0].timeouts.first_byte", "\"31s\"", "no more than `total`")],
    );
    refused(
        "timeouts = { answer = \"11m\" }",
        &[("routes[0].timeouts.answer", "\"11m\"", "no more than `total`")],
    );
    refused(
        "timeouts = { first_byte = \"11m\" }",
        &[("routes[0].timeouts.first_byte", "\"11m\"", "no more than `total`")],
    );
}
