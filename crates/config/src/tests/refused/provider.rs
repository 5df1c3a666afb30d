//! Invalid providers.

use super::super::load;
use super::{assert_refused, assert_refused_in_provider};

#[test]
fn provider_invalid_values_are_refused() {
    assert_refused_in_provider(
        "id = \"opnai\"",
        &[("providers[0].id", "\"opnai\" and no `kind`", "did you mean openai?")],
    );
    assert_refused_in_provider(
        "id = \"a\"\nkind = \"unknown\"",
        &[("providers[0].kind", "\"unknown\"", "openai, azure, anthropic, deepseek")],
    );
    assert_refused_in_provider(
        "id = \"groq\"",
        &[("providers[0].keys", "no key", "groq needs a key")],
    );
    assert_refused_in_provider("id = \"vllm\"", &[("providers[0]", "no `base_url`", "https://")]);
    assert_refused_in_provider(
        "id = \"azure\"\nkeys = [\"secret:A\"]",
        &[("providers[0]", "no `base_url`", "https://NAME.openai.azure.com")],
    );
    assert_refused_in_provider(
        "id = \"azure\"\nbase_url = \"https://n.openai.azure.com/openai/v1\"\nkeys = [\"secret:A\"]",
        &[("providers[0].base_url", "openai/v1", "the resource alone")],
    );
    assert_refused_in_provider(
        "id = \"azure\"\nbase_url = \"https://n.openai.azure.com\"",
        &[("providers[0].keys", "no key", "azure")],
    );
    assert_refused_in_provider(
        "id = \"azure\"\nbase_url = \"https://n\"\nkeys = [\"secret:A\"]\napi_version = \"1&x=2\"",
        &[("providers[0].api_version", "1&x=2", "letters, digits")],
    );
    assert_refused_in_provider(
        "id = \"ollama\"\napi_version = \"1\"\naccount = \"a\"",
        &[
            ("providers[0].account", "an account", "ollama has no accounts"),
            ("providers[0].api_version", "a version", "ollama has no versions"),
        ],
    );
    assert_refused_in_provider(
        "id = \"cloudflare\"\nkeys = [\"secret:A\"]",
        &[("providers[0]", "no `account`", "`account`")],
    );
    assert_refused_in_provider(
        "id = \"cloudflare\"\nkeys = [\"secret:A\"]\naccount = \"a/b\"",
        &[("providers[0].account", "a/b", "letters, digits")],
    );
}

#[test]
fn protocols_invalid_values_are_refused() {
    for (value, path, found, expected) in [
        ("[]", "providers[0].protocols", "an empty list", "at least one"),
        (
            "[\"chat\", \"mesages\"]",
            "providers[0].protocols[1]",
            "\"mesages\"",
            "chat, responses, messages (did you mean messages?)",
        ),
        ("[\"chat\", \"chat\"]", "providers[0].protocols[1]", "\"chat\"", "each protocol once"),
    ] {
        assert_refused_in_provider(
            &format!("id = \"groq\"\nkeys = [\"secret:A\"]\nprotocols = {value}"),
            &[(path, found, expected)],
        );
    }
}

#[test]
fn base_url_invalid_values_are_refused() {
    for (url, found) in [
        ("ftp://h/v1", "ftp://h/v1"),
        ("h/v1", "h/v1"),
        ("/v1", "/v1"),
        ("", "\"\""),
        ("http://", "http://"),
        ("http:///v1", "http:///v1"),
        ("http://h h/v1", "h h"),
        ("https://h/v1?key=hidden", "a query"),
        ("https://h/v1#hidden", "a fragment"),
        ("https://user:hidden@h/v1", "a user's name"),
    ] {
        let text = format!("[[providers]]\nid = \"vllm\"\nbase_url = \"{url}\"");
        assert_refused(&text, &[("providers[0].base_url", found, "https://")]);
        let shown = load(&text).expect_err("it was refused above").to_string();
        assert!(!shown.contains("hidden"), "{shown}");
    }
}

#[test]
fn link_local_addresses_are_refused() {
    for url in [
        "http://169.254.169.254/v1",
        "https://169.254.170.2",
        "http://[fe80::1]:8000/v1",
        "http://[fd00:ec2::254]/v1",
        "http://[::ffff:169.254.169.254]/v1",
        "http://2852039166/v1",
        "http://Metadata.google.internal/v1",
    ] {
        let text = format!("[[providers]]\nid = \"vllm\"\nbase_url = \"{url}\"");
        assert_refused(&text, &[("providers[0].base_url", "metadata service", "https://")]);
    }
}
