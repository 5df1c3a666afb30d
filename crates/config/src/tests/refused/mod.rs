//! Refused documents: path, found value, and expected value of each problem.

mod cache_history_observe;
mod guard;
mod issuer;
mod limit;
mod permission;
mod provider;
mod rollout;
mod route;
mod secret;
mod storage;

use crate::author;

use super::load;

/// A valid beginning that tests append invalid sections to.
const BASE: &str = r#"
providers = [{ id = "openai", keys = ["secret:A"] }, { id = "local", kind = "vllm", base_url = "http://h/v1" }]
routes = [{ id = "chat", models = ["m"], targets = [{ provider = "openai" }] }]
"#;

/// Asserts that a document has exactly these problems, in this order.
#[track_caller]
fn assert_refused(text: &str, expected: &[(&str, &str, &str)]) {
    let problems = load(text).expect_err("a mistake must be refused");
    let found: Vec<_> = problems.iter().collect();
    assert_eq!(found.len(), expected.len(), "{problems}");
    for (problem, (path, found, expected)) in found.iter().zip(expected) {
        assert_eq!(problem.path, *path, "{problems}");
        assert!(problem.found.contains(found), "{found:?} is not in: {problem}");
        assert!(problem.expected.contains(expected), "{expected:?} is not in: {problem}");
        assert!(author::locate(text, &problem.path).is_some(), "no place in the text: {problem}");
    }
}

/// The same, for lines that follow [`BASE`].
#[track_caller]
fn assert_refused_after_base(text: &str, expected: &[(&str, &str, &str)]) {
    assert_refused(&format!("{BASE}{text}"), expected);
}

/// The same, for a route with these fields besides its id.
#[track_caller]
fn assert_refused_in_route(fields: &str, expected: &[(&str, &str, &str)]) {
    let providers = BASE.lines().nth(1).expect("BASE has two lines");
    assert_refused(&format!("{providers}\n[[routes]]\nid = \"chat\"\n{fields}"), expected);
}

/// The same, for a provider with these fields and nothing else.
#[track_caller]
fn assert_refused_in_provider(fields: &str, expected: &[(&str, &str, &str)]) {
    assert_refused(&format!("[[providers]]\n{fields}"), expected);
}

#[test]
fn document_of_wrong_shape_is_refused() {
    assert_refused("[server", &[("line 1, column 8", "", "")]);
    assert_refused("a = 1\na = 2", &[("line 2, column 1", "the key `a` twice", "once")]);
    assert_refused("[servr]", &[("servr", "the unknown field `servr`", "did you mean server?")]);
    assert_refused(
        "[server]\nmax_bdy = \"1\"",
        &[("server.max_bdy", "unknown field", "`max_body`")],
    );
    assert_refused("[server]\nmax_body = 5", &[("server.max_body", "a number", "\"4MiB\"")]);
    assert_refused("[auth]\nrequired = \"yes\"", &[("auth.required", "a string", "true or false")]);
    assert_refused(
        "[[routes]]\nmodels = [\"m\"]",
        &[
            ("routes[0]", "no field `id`", "the field `id`"),
            ("routes[0]", "no field `targets`", "the field `targets`"),
        ],
    );
    assert_refused(
        "[routes]\nid = \"a\"\nmodels = [\"m\"]",
        &[
            ("routes", "a table", "a list: `[[routes]]` instead of `[routes]`"),
            ("routes[0]", "no field `targets`", "the field `targets`"),
        ],
    );
    assert_refused_in_route(
        "models = [\"m\"]\ntargets = [{ provider = \"openai\", weight = -1 }]",
        &[("routes[0].targets[0].weight", "the integer `-1`", "a whole number")],
    );
    assert_refused_in_route(
        "models = [\"m\"]\ntargets = [{ provider = \"openai\", share = 1 }]",
        &[("routes[0].targets[0].share", "unknown field `share`", "`weight`")],
    );
}

#[test]
fn server_and_auth_invalid_values_are_refused() {
    assert_refused("[server]\nmax_body = \"0\"", &[("server.max_body", "\"0\"", "64MiB")]);
    assert_refused("[server]\nmax_body = \"65MiB\"", &[("server.max_body", "65MiB", "64MiB")]);
    assert_refused("[server]\nmax_body = \"4MB\"", &[("server.max_body", "4MB", "\"4MiB\"")]);
    assert_refused("[auth]\nsources = []", &[("auth.sources", "empty", "\"bearer\"")]);
    assert_refused(
        "[auth]\nsources = [\"bearer\", \"cookie\", \"header:a b\", \"header:\"]",
        &[
            ("auth.sources[1]", "\"cookie\"", "\"header:NAME\""),
            ("auth.sources[2]", "\"a b\"", "the name of a header"),
            ("auth.sources[3]", "\"\"", "the name of a header"),
        ],
    );
}

#[test]
fn ids_invalid_or_repeated_are_refused() {
    assert_refused_after_base(
        "[[consumers]]\nid = \"a\"\n[[consumers]]\nid = \"a\"",
        &[("consumers[1].id", "\"a\"", "another id than that of consumers[0]")],
    );
    assert_refused_in_provider(
        "id = \"ollama\"\n[[providers]]\nid = \"ollama\"",
        &[("providers[1].id", "\"ollama\"", "providers[0]")],
    );
    let route = "models = [\"%\"]\ntargets = [{ provider = \"openai\" }]\n";
    assert_refused_in_route(
        &format!(
            "{}[[routes]]\nid = \"chat\"\n{}",
            route.replace('%', "a"),
            route.replace('%', "b")
        ),
        &[("routes[1].id", "\"chat\"", "routes[0]")],
    );
    let limit = "[[limits]]\nid = \"a\"\nby = \"all\"\ntokens = { per = \"day\", max = 1 }\n";
    assert_refused(&limit.repeat(2), &[("limits[1].id", "\"a\"", "limits[0]")]);
    let guard = "[[guards]]\nid = \"a\"\nkind = \"pii\"\n";
    assert_refused(&guard.repeat(2), &[("guards[1].id", "\"a\"", "guards[0]")]);
    assert_refused("[[consumers]]\nid = \"\"", &[("consumers[0].id", "\"\"", "at least one")]);
    assert_refused(
        "[[consumers]]\nid = \"a b\"",
        &[("consumers[0].id", "\"a b\"", "letters, digits")],
    );
    assert_refused(
        "[[consumers]]\nid = \"anonymous\"",
        &[("consumers[0].id", "anonymous", "another id")],
    );
    assert_refused(
        "[[consumers]]\nid = \"a\"\ngroup = \"ü\"",
        &[("consumers[0].group", "\"ü\"", "letters, digits")],
    );
}

#[test]
fn json_problem_has_line_and_column() {
    let check = |document: &str, path: &str, found: &str, expected: &str| {
        let problems =
            crate::Config::from_json(document, &|_| None).expect_err("a mistake must be refused");
        let problem = problems.iter().next().expect("there is a problem");
        assert_eq!((problem.path.as_str(), problem.found.as_str()), (path, found));
        assert!(problem.expected.contains(expected), "{problem}");
    };
    check("{", "line 1, column 1", "EOF while parsing an object", "valid JSON");
    check(
        "{\n  \"servr\": {}\n}",
        "line 2, column 9",
        "the unknown field `servr`",
        "did you mean server?",
    );
    check("{}x", "line 1, column 3", "trailing characters", "valid JSON");
    for toml in ["[[providers]]\nid = 1", "# a comment", "[server]\n", "max_body = 1"] {
        let error = serde_json::from_str::<serde_json::Value>(toml).expect_err("it is TOML");
        let message = crate::Problems::from_json(error).to_string();
        let expected =
            "found a text that is not JSON, expected JSON; `cargo xtask config put FILE`";
        assert!(message.contains(expected), "{message}");
    }
    check("[]", "line 1, column 1", "a list", "a table");
    check("{\"auth\":[true]}", "line 1, column 8", "a list", "a table");
    check("{\"auth\":{\"required\":1}}", "line 1, column 21", "a number", "true or false");
}
