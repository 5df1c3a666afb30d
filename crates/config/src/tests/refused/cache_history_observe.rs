//! Invalid `cache`, `history`, and `observe`.

use super::{assert_refused, assert_refused_after_base};

#[test]
fn cache_invalid_values_are_refused() {
    assert_refused("[cache]\nscope = \"all\"", &[("cache", "no field `ttl`", "the field `ttl`")]);
    assert_refused(
        "[cache]\nttl = \"0s\"\nscope = \"everyone\"",
        &[
            ("cache.ttl", "zero", "above zero"),
            ("cache.scope", "\"everyone\"", "consumer, group, all"),
        ],
    );
    assert_refused(
        "[cache]\nttl = \"long\"\nscope = \"all\"",
        &[("cache.ttl", "\"long\"", "a duration")],
    );
    assert_refused(
        r#"
        [cache]
        routes = []
        ttl = "721h"
        jitter = 0.6
        max_temperature = 2.1
        max_entry = "2MiB"
        pace = "1001ms"
        "#,
        &[
            ("cache.routes", "an empty list", "every route"),
            ("cache.ttl", "721h", "720h at most"),
            ("cache.jitter", "0.6", "from 0 to 0.5"),
            ("cache.max_temperature", "2.1", "from 0 to 2"),
            ("cache.max_entry", "2MiB", "between 1 byte and 1MiB"),
            ("cache.pace", "1001ms", "1s at most"),
        ],
    );
    assert_refused(
        "[cache]\nttl = \"1h\"\njitter = -0.1\nmax_temperature = 0.7001\nmax_entry = \"big\"\npace = \"0ms\"",
        &[
            ("cache.jitter", "-0.1", "from 0 to 0.5"),
            ("cache.max_temperature", "0.7001", "three decimals"),
            ("cache.max_entry", "\"big\"", "a size"),
            ("cache.pace", "zero", "above zero"),
        ],
    );
    assert_refused(
        "[cache]\nttl = \"1h\"\njitter = nan",
        &[("cache.jitter", "NaN", "a finite number")],
    );
    assert_refused(
        "[cache]\nttl = \"1h\"\ncharge = 1",
        &[("cache.charge", "a number", "true or false")],
    );
}

#[test]
fn history_invalid_values_are_refused() {
    assert_refused(
        "[history]\nturns = 1",
        &[("history", "no field `session`", "the field `session`")],
    );
    assert_refused_after_base(
        r#"
        [history]
        routes = ["chta"]
        session = "cookie:a"
        turns = 0
        max_bytes = "513KiB"
        ttl = "0s"
        "#,
        &[
            ("history.routes[0]", "\"chta\"", "did you mean chat?"),
            ("history.session", "\"cookie:a\"", "\"header:NAME\" or \"user\""),
            ("history.turns", "0", "from 1 to 100"),
            ("history.max_bytes", "513KiB", "512KiB"),
            ("history.ttl", "zero", "above zero"),
        ],
    );
    assert_refused(
        "[history]\nsession = \"header:a b\"\nturns = 101\nttl = \"1d\"",
        &[
            ("history.session", "\"a b\"", "the name of a header"),
            ("history.turns", "101", "from 1 to 100"),
            ("history.ttl", "\"1d\"", "a duration"),
        ],
    );
}

#[test]
fn observe_invalid_values_are_refused() {
    assert_refused(
        "[observe]\nmax_consumers = 0",
        &[("observe.max_consumers", "0", "from 1 to 10000")],
    );
    assert_refused(
        "[observe]\nmax_consumers = 10001",
        &[("observe.max_consumers", "10001", "from 1 to 10000")],
    );
    assert_refused("[observe.otlp]\ntraces = true", &[("observe.otlp", "no field `endpoint`", "")]);
    assert_refused(
        r#"
        [observe.otlp]
        endpoint = "collector:4317"
        headers = { "a b" = "secret:A", Content-Type = "secret:B", X-Key = "secret:C", x-key = "secret:D" }
        traces = false
        metrics = false
        sample = 1.01
        service = ""
        "#,
        &[
            ("observe.otlp.endpoint", "\"collector:4317\"", "an address"),
            ("observe.otlp.headers.Content-Type", "\"Content-Type\"", "the gateway sets this one"),
            ("observe.otlp.headers.a b", "\"a b\"", "the name of a header"),
            ("observe.otlp.headers.x-key", "x-key twice", "it once"),
            ("observe.otlp", "without traces and metrics", "`traces`"),
            ("observe.otlp.sample", "1.01", "from 0 to 1"),
            ("observe.otlp.service", "\"\"", "a name"),
        ],
    );
    assert_refused(
        "[observe.otlp]\nendpoint = \"https://h?token=sk-1\"",
        &[("observe.otlp.endpoint", "an address with a query", "nothing after the path")],
    );
    assert_refused_after_base(
        r#"
        [[observe.content]]
        routes = ["chat", "x"]
        max = 0
        [[observe.content]]
        routes = ["chat"]
        max = 100001
        [[observe.content]]
        routes = []
        "#,
        &[
            ("observe.content[0].max", "0", "from 1 to 100000"),
            ("observe.content[0].routes[1]", "\"x\"", "routes: chat"),
            ("observe.content[1].max", "100001", "from 1 to 100000"),
            ("observe.content[1].routes[0]", "\"chat\"", "each route once"),
            ("observe.content[2].routes", "empty", "at least one"),
        ],
    );
    assert_refused(
        "[[observe.content]]\nmax = 5",
        &[("observe.content[0]", "no field `routes`", "the field `routes`")],
    );
}
