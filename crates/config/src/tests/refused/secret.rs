//! Secrets that are written in clear, missing, or reserved.

use secret::Secret;

use crate::author;

use super::super::{WORKED_EXAMPLE, load};
use super::assert_refused;

#[test]
fn secret_in_clear_is_refused_and_not_repeated() {
    for (text, path) in [
        ("[[providers]]\nid = \"openai\"\nkeys = [\"sk-hidden\"]", "providers[0].keys[0]"),
        ("[[providers]]\nid = \"openai\"\nkeys = [\"secret:sk-hidden\"]", "providers[0].keys[0]"),
        ("[[providers]]\nid = \"openai\"\nkeys = \"sk-hidden\"", "providers[0].keys"),
        ("[[providers]]\nid = \"openai\"\nkeys = [[\"sk-hidden\"]]", "providers[0].keys[0]"),
        ("[[consumers]]\nid = \"a\"\nkeys = [\"sk-hidden\"]", "consumers[0].keys[0]"),
        (
            "[[guards]]\nid = \"g\"\nkind = \"aliyun\"\nregion = \"a\"\naccess_key_id = \"secret:A\"\naccess_key = \"sk-hidden\"",
            "guards[0].access_key",
        ),
        (
            "[[guards]]\nid = \"g\"\nkind = \"openai-moderation\"\nkey = \"sk-hidden\"",
            "guards[0].key",
        ),
        (
            "[observe.otlp]\nendpoint = \"http://h\"\nheaders = { authorization = \"sk-hidden\" }",
            "observe.otlp.headers.authorization",
        ),
    ] {
        assert_refused(text, &[(path, "", "")]);
        let problems = load(text).expect_err("it was refused above");
        assert!(!format!("{problems} {problems:?}").contains("hidden"), "{problems}");
        let json = serde_json::to_string(&text.parse::<toml::Table>().expect("it is TOML"))
            .expect("it is JSON, too");
        let problems =
            crate::Config::from_json(&json, &|_| None).expect_err("JSON is refused likewise");
        assert!(!format!("{problems} {problems:?}").contains("hidden"), "{problems}");
    }
    assert_refused(
        "[[consumers]]\nid = \"a\"\nkeys = [\"sk-hidden\"]",
        &[("consumers[0].keys[0]", "a value written in clear", "\"secret:NAME\"")],
    );
}

#[test]
fn secret_without_usable_value_is_refused() {
    let where_to_set = "a value in a Worker secret, in a Spin variable (lower case), or on this machine in .dev.vars";
    for (value, found, expected) in [
        (None, "the secret KEY_A, which is not set", where_to_set),
        (Some(" "), "the secret KEY_A, which is empty", where_to_set),
        (
            Some("hid\nden"),
            "the secret KEY_A, whose value has characters that no header can hold",
            "a value of visible characters on one line",
        ),
    ] {
        let text = "[[consumers]]\nid = \"a\"\nkeys = [\"secret:KEY_A\"]";
        let problems = author::from_toml(text, &|_| value.map(Secret::new))
            .expect_err("it has no usable value");
        let problem = problems.iter().next().expect("there is a problem");
        assert_eq!(problem.path, "consumers[0].keys[0]");
        assert_eq!(problem.found, found);
        assert_eq!(problem.expected, expected);
    }
}

#[test]
fn missing_secrets_of_the_worked_example_are_named() {
    let names = author::secret_names(WORKED_EXAMPLE);
    assert_eq!(
        names,
        [
            "OPENAI_API_KEY",
            "OPENAI_API_KEY_2",
            "DEEPSEEK_API_KEY",
            "MOBILE_APP_KEY",
            "DESIGN_TEAM_KEY",
            "ALIYUN_ACCESS_KEY_ID",
            "ALIYUN_ACCESS_KEY_SECRET",
        ]
    );
    for missing in &names {
        let secrets = |name: &str| (name != missing).then(|| Secret::new(name));
        let problems = author::from_toml(WORKED_EXAMPLE, &secrets).expect_err("one is missing");
        let found: Vec<_> = problems.iter().map(|problem| problem.found.as_str()).collect();
        assert_eq!(found, [format!("the secret {missing}, which is not set")]);
    }
}

#[test]
fn one_key_for_two_consumers_is_refused() {
    let text = "[[consumers]]\nid = \"app\"\nkeys = [\"secret:A\"]\n\
                [[consumers]]\nid = \"web\"\nkeys = [\"secret:B\"]";
    let problems = author::from_toml(text, &|_| Some(Secret::new("hidden")))
        .expect_err("they have the same key")
        .to_string();
    assert_eq!(
        problems,
        "consumers[1].keys[0]: found the key of app, expected a key of its own for each of app and web"
    );
}

#[test]
fn reserved_secret_is_refused() {
    for name in ["ADMIN_TOKEN", "KEY_PEPPER", "VAULT_KEY", "admin_token"] {
        assert_refused(
            &format!("[[providers]]\nid = \"openai\"\nkeys = [\"secret:{name}\"]"),
            &[("providers[0].keys[0]", "reserved for the gateway", "another secret")],
        );
    }
}

#[test]
fn key_in_the_vault_is_for_providers_only() {
    let provider = |key: &str| format!("[[providers]]\nid = \"openai\"\nkeys = [\"{key}\"]");
    let text = provider("vault:team.1");
    load(&text).expect("the vault has the key");
    let json = author::to_json(&text).expect("its shape is right");
    assert_eq!(crate::vault_names(&json), ["team.1"]);
    assert!(author::secret_names(&text).is_empty());
    let missing = crate::Config::from_json(&json, &|_| None).expect_err("the vault is empty");
    assert!(missing.to_string().contains("vault:team.1, which is not in the vault"), "{missing}");
    for wrong in ["vault:", "vault:UPPER", "vault:.x", "vault:a/b"] {
        assert_refused(&provider(wrong), &[("providers[0].keys[0]", "", "")]);
    }
    let consumer = "[[consumers]]\nid = \"app\"\nkeys = [\"vault:team\"]";
    assert_refused(consumer, &[("consumers[0].keys[0]", "", "")]);
}
