//! Invalid JWT issuers and operators.

use secret::Secret;

use crate::author;

use super::super::load;
use super::assert_refused;

/// Asserts the problems of an issuer with these fields.
#[track_caller]
fn assert_refused_issuer(fields: &str, expected: &[(&str, &str, &str)]) {
    let paths: Vec<String> = expected
        .iter()
        .map(|(path, _, _)| format!("auth.jwt[0].{path}").trim_end_matches('.').to_owned())
        .collect();
    let expected: Vec<_> = expected
        .iter()
        .zip(&paths)
        .map(|((_, found, expected), path)| (path.as_str(), *found, *expected))
        .collect();
    assert_refused(&format!("[[auth.jwt]]\nissuer = \"i\"\n{fields}"), &expected);
}

#[test]
fn issuer_invalid_keys_are_refused() {
    let one_of = "one of `secret`, `jwks`, `jwks_url`";
    assert_refused_issuer("", &[("", "no keys", one_of)]);
    assert_refused_issuer(
        "jwks = \"{}\"\njwks_url = \"https://h/k\"",
        &[("", "more than one place", one_of)],
    );
    assert_refused_issuer(
        "jwks = \"none\"",
        &[("jwks", "neither a JSON Web Key Set", "'{\"keys\"")],
    );
    assert_refused_issuer(
        "secret = \"secret:LONG_ENOUGH_TO_SIGN_A_TOKEN_BY_ITSELF\"\nkeep = \"10m\"",
        &[("keep", "a time", "no `keep` without `jwks_url`")],
    );
    let text = "[[auth.jwt]]\nissuer = \"i\"\nsecret = \"secret:A\"";
    let short = |_: &str| Some(Secret::new(&"x".repeat(31)));
    let problems = author::from_toml(text, &short).expect_err("31 bytes are too few").to_string();
    assert!(problems.starts_with("auth.jwt[0].secret: found"), "{problems}");
    assert!(problems.ends_with("a value of 32 bytes or more for the secret A"), "{problems}");
}

#[test]
fn issuer_private_key_is_refused_and_not_repeated() {
    for jwks in [
        r#"{"keys":[{"kty":"oct","k":"hidden"}]}"#,
        r#"{"keys":[{"kty":"EC","x":"a"},{"kty":"EC","d":"hidden"}]}"#,
        r#"{"kty":"RSA","d":"hidden"}"#,
        "hidden",
    ] {
        let text = format!("[[auth.jwt]]\nissuer = \"i\"\njwks = '{jwks}'");
        assert_refused(&text, &[("auth.jwt[0].jwks", "", "")]);
        let problems = load(&text).expect_err("it was refused above");
        assert!(!format!("{problems:?}").contains("hidden"), "{problems}");
    }
    assert_refused_issuer(
        "jwks = '{\"keys\":[{\"kty\":\"oct\",\"k\":\"hidden\"}]}'",
        &[("jwks", "not public", "public keys only")],
    );
    assert_refused_issuer(
        "secret = \"hidden\"",
        &[("secret", "a value written in clear", "\"secret:NAME\"")],
    );
}

#[test]
fn jwks_url_invalid_values_are_refused() {
    for (url, found) in [
        ("", "\"\""),
        ("id.example.com", "\"id.example.com\""),
        ("/jwks.json", "\"/jwks.json\""),
        ("ftp://h/k", "\"ftp://h/k\""),
        ("http://id.example.com/k", "a plain http address that is not loopback"),
        ("http://localhost.example.com/k", "a plain http address that is not loopback"),
        ("http://127.0.0.1.example.com/k", "a plain http address that is not loopback"),
        ("https://user:hidden@h/k", "a user's name"),
        ("https://h/k#hidden", "a fragment"),
    ] {
        assert_refused_issuer(
            &format!("jwks_url = \"{url}\""),
            &[("jwks_url", found, "an https address")],
        );
        let text = format!("[[auth.jwt]]\nissuer = \"i\"\njwks_url = \"{url}\"");
        let problems = load(&text).expect_err("it was refused above").to_string();
        assert!(!problems.contains("hidden"), "{problems}");
    }
}

#[test]
fn issuer_invalid_claims_and_times_are_refused() {
    assert_refused_issuer(
        r#"
        jwks_url = "https://h/k"
        keep = "59s"
        audiences = ["a b", ""]
        consumer_claim = "a..b"
        group_claim = ""
        skew = "301s"
        "#,
        &[
            ("audiences[0]", "\"a b\"", "a value of `aud`"),
            ("audiences[1]", "\"\"", "a value of `aud`"),
            ("keep", "\"59s\"", "1m at least"),
            ("consumer_claim", "\"a..b\"", "a path such as"),
            ("group_claim", "\"\"", "a path such as"),
            ("skew", "\"301s\"", "5m at most"),
        ],
    );
    assert_refused_issuer(
        "jwks_url = \"https://h/k\"\nkeep = \"25h\"\naudiences = []\nskew = \"soon\"",
        &[
            ("audiences", "empty", "no `audiences`"),
            ("keep", "\"25h\"", "24h at most"),
            ("skew", "\"soon\"", "a duration"),
        ],
    );
    let url = "jwks_url = \"https://h/k\"";
    assert_refused(
        &format!("[[auth.jwt]]\nissuer = \"\"\n{url}\n[[auth.jwt]]\nissuer = \"\"\n{url}"),
        &[
            ("auth.jwt[0].issuer", "\"\"", "the value of `iss`"),
            ("auth.jwt[1].issuer", "\"\"", "another issuer than that of auth.jwt[0]"),
            ("auth.jwt[1].issuer", "\"\"", "the value of `iss`"),
        ],
    );
    assert_refused("[auth.jwt]\nissuer = \"i\"", &[("auth.jwt", "a table", "a list")]);
}

#[test]
fn session_invalid_times_are_refused() {
    for (section, path, found, expected) in [
        ("idle = \"59s\"", "admin.session.idle", "\"59s\"", "from 1m to `total`"),
        ("idle = \"13h\"", "admin.session.idle", "\"13h\"", "from 1m to `total`"),
        ("total = \"30s\"", "admin.session.idle", "the default", "from 1m to `total`"),
        ("total = \"25h\"", "admin.session.total", "\"25h\"", "24h at most"),
        ("total = \"0s\"", "admin.session.total", "zero", "above zero"),
    ] {
        assert_refused(&format!("[admin.session]\n{section}"), &[(path, found, expected)]);
    }
}

#[test]
fn operator_invalid_values_are_refused() {
    assert_refused(
        r#"
        [[admin.operators]]
        name = "a b"
        token = "hidden"
        role = "viewr"
        [[admin.operators]]
        name = "admin"
        token = "secret:A"
        role = "owner"
        [[admin.operators]]
        name = "ana"
        token = "secret:B"
        role = "editor"
        [[admin.operators]]
        name = "ana"
        token = "secret:A"
        role = "editor"
        "#,
        &[
            ("admin.operators[0].name", "\"a b\"", "letters"),
            ("admin.operators[0].token", "in clear", "\"secret:NAME\""),
            ("admin.operators[0].role", "\"viewr\"", "did you mean viewer?"),
            ("admin.operators[1].name", "\"admin\"", "ADMIN_TOKEN"),
            ("admin.operators[3].name", "\"ana\"", "a name of its own"),
            ("admin.operators[3].token", "the token of admin", "each of admin and ana"),
        ],
    );
    assert_refused(
        r#"
        [[consumers]]
        id = "app"
        keys = ["secret:B"]
        [[admin.operators]]
        name = "eve"
        token = "secret:A"
        role = "nobody"
        [[admin.operators]]
        name = "ana"
        token = "secret:B"
        role = "viewer"
        "#,
        &[
            ("admin.operators[0].role", "\"nobody\"", "owner"),
            (
                "admin.operators[1].token",
                "a key of the consumer app",
                "a token that is not a consumer's key",
            ),
        ],
    );
    assert_refused("[admin]\noperator = []", &[("admin.operator", "unknown field", "operators")]);
}

#[test]
fn issuer_rules_for_groups_and_subjects_are_checked() {
    let base = "secret = \"secret:LONG_ENOUGH_TO_SIGN_A_TOKEN_BY_ITSELF\"\n";
    let refused =
        |fields: &str, expected| assert_refused_issuer(&format!("{base}{fields}"), expected);
    refused(
        "default_group = \"g\"",
        &[("default_group", "\"g\"", "no `default_group` without `group_claim`")],
    );
    refused("namespace = \"a/b\"", &[("namespace", "\"a/b\"", "letters, digits")]);
    refused("unknown = \"deny\"", &[("unknown", "\"deny\"", "one of admit, refuse")]);
    refused("groups = \"all\"", &[("groups", "\"all\"", "one of any, listed")]);
}
