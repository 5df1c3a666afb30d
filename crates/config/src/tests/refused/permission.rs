//! Invalid permissions of consumers and groups.

use super::assert_refused;

/// Asserts the problems of bounds on a consumer's parameters.
#[track_caller]
fn assert_refused_bounds(params: &str, expected: &[(&str, &str, &str)]) {
    let paths: Vec<String> =
        expected.iter().map(|(path, _, _)| format!("consumers[0].params.{path}")).collect();
    let expected: Vec<_> = expected
        .iter()
        .zip(&paths)
        .map(|((_, found, expected), path)| (path.as_str(), *found, *expected))
        .collect();
    assert_refused(&format!("[[consumers]]\nid = \"a\"\nparams = {{ {params} }}"), &expected);
}

#[test]
fn parameter_bounds_invalid_values_are_refused() {
    assert_refused_bounds(
        "max_tokens = {}, temperature = { min = 2, max = 1.5 }, top_p = { max = 1 }, \
         forbid = [\"top_p\", \"\"]",
        &[
            ("max_tokens", "no bound", "`min`"),
            ("temperature", "min 2 above max 1.5", "min up to max"),
            ("top_p", "\"top_p\" in `forbid`", "one or the other"),
            ("forbid[1]", "\"\"", "the name of a parameter"),
        ],
    );
    assert_refused_bounds("n = { max = nan }", &[("n.max", "NaN", "a finite number")]);
    assert_refused_bounds("n = { maximum = 1 }", &[("n.maximum", "unknown field", "`max`")]);
    assert_refused_bounds("n = 1", &[("n", "a number", "a table")]);
    assert_refused_bounds("forbid = \"n\"", &[("forbid", "a string", "a list")]);
    assert_refused_bounds(
        "n = { min = 1, allow = [1] }, seed = { allow = [] }, stop = { allow = [\"a\", [], {}, inf, 1979-05-27] }",
        &[
            ("n", "`allow` beside `min`", "one or the other"),
            ("seed.allow", "empty", "at least one value"),
            ("stop.allow[1]", "a list", "a text"),
            ("stop.allow[2]", "a table", "a text"),
            ("stop.allow[3]", "nothing", "a finite number"),
            ("stop.allow[4]", "a table", "a text"),
        ],
    );
}

#[test]
fn parameter_path_invalid_values_are_refused() {
    // Without quotes, TOML parses this as nested tables.
    assert_refused_bounds(
        "response_format.type = { allow = [\"text\"] }",
        &[("response_format.type", "unknown field `type`", "`allow`")],
    );
    assert_refused_bounds(
        "\"a..b\" = { max = 1 }, \".a\" = { max = 1 }, \"a b\" = { max = 1 }, forbid = [\"a.\"]",
        &[
            (".a", "\".a\"", "a path such as"),
            ("a b", "\"a b\"", "a path such as"),
            ("a..b", "\"a..b\"", "a path such as"),
            ("forbid[0]", "\"a.\"", "a path such as"),
        ],
    );
    assert_refused_bounds(
        "\"a.b\" = { max = 1 }, \"ab\" = { max = 1 }, forbid = [\"a\"]",
        &[("a.b", "\"a\" in `forbid`", "one or the other")],
    );
}

#[test]
fn bounds_on_interpreted_fields_are_refused() {
    assert_refused_bounds(
        "messages = { max = 1 }, prompt = { allow = [\"a\"] }, input = { max = 1 }, \
         \"stream_options.include_usage\" = { allow = [true] }",
        &[
            ("input", "bounds on a field that cannot be bounded", "in `forbid`"),
            ("messages", "bounds on a field that cannot be bounded", "in `forbid`"),
            ("prompt", "bounds on a field that cannot be bounded", "in `forbid`"),
            (
                "stream_options.include_usage",
                "bounds on a field that cannot be bounded",
                "in `forbid`",
            ),
        ],
    );
    assert_refused_bounds(
        "model = { max = 1 }",
        &[("model", "other than `allow`", "`allow` alone")],
    );
    assert_refused_bounds(
        "\"model.a\" = { allow = [1] }",
        &[("model.a", "other than", "`allow` alone")],
    );
    assert_refused_bounds(
        "forbid = [\"model\"]",
        &[("forbid[0]", "\"model\"", "another parameter")],
    );
}

#[test]
fn ip_access_invalid_addresses_are_refused() {
    assert_refused(
        r#"
        [auth]
        addresses = { allow = [], deny = ["10.0.0.0/33"] }
        [[consumers]]
        id = "a"
        addresses = { allow = ["10.0.0.0/8", "10.0.0", "2001:db8::/129"] }
        [[groups]]
        id = "g"
        routes = ["chat"]
        params = { n = {} }
        addresses = { deny = ["here"] }
        [[groups]]
        id = "g"
        "#,
        &[
            ("groups[1].id", "\"g\"", "groups[0]"),
            ("auth.addresses.allow", "empty", "no `allow` for all"),
            ("auth.addresses.deny[0]", "10.0.0.0/33", "a block"),
            ("consumers[0].addresses.allow[1]", "10.0.0", "a block"),
            ("consumers[0].addresses.allow[2]", "2001:db8::/129", "a block"),
            ("groups[0].routes[0]", "\"chat\"", "but the document has none"),
            ("groups[0].params.n", "no bound", "`min`"),
            ("groups[0].addresses.deny[0]", "\"here\"", "a block"),
        ],
    );
    assert_refused(
        "[auth]\naddresses = { alow = [] }",
        &[("auth.addresses.alow", "unknown field", "did you mean allow?")],
    );
    assert_refused(
        "[server]\naddress_header = \"a b\"\ncors = [\"*\", \"app.example.com\", \"https://a/b\", \"https://A\"]",
        &[
            ("server.address_header", "\"a b\"", "a header's name"),
            ("server.cors[1]", "\"app.example.com\"", "https://app.example.com"),
            ("server.cors[2]", "\"https://a/b\"", "an origin"),
            ("server.cors[3]", "\"https://A\"", "an origin"),
        ],
    );
}
