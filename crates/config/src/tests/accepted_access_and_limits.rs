//! Parsed permissions, limits, and prices.

use std::time::Duration;

use civil_time::zone::Zone;
use secret::{KeyDigest, Secret};
use serde_json::{Value, json};

use crate::{
    By, Config, IssuerKeys, Limit, Measure, OnError, Parameter, ParameterRule, Period, Price,
    Quota, Role, TokenGroups, UnknownSubjects, ValuePattern, Warning, author,
};

use super::{FULL_EXAMPLE, WORKED_EXAMPLE, load};

fn full() -> Config {
    load(FULL_EXAMPLE).expect("the full example is right")
}

fn ids<'a>(config: &'a Config, routes: Option<&[crate::RouteIndex]>) -> Vec<&'a str> {
    routes.into_iter().flatten().map(|route| config.route(*route).id.as_str()).collect()
}

/// Rules as text: a path, and the allowed values.
fn rules(parameters: &[Parameter]) -> Vec<(&str, Value)> {
    let in_json = |rule: &ParameterRule| match rule {
        ParameterRule::Range { min, max } => json!({ "min": min, "max": max }),
        ParameterRule::Allow(values) => json!(values),
        ParameterRule::Forbid => json!("forbidden"),
    };
    parameters.iter().map(|one| (one.path.as_str(), in_json(&one.rule))).collect()
}

#[test]
fn worked_example_has_two_limits() {
    let config = load(WORKED_EXAMPLE).expect("the worked example is right");
    let [tokens, requests] = &config.limits[..] else { panic!("it has two limits") };
    assert_eq!((tokens.id.as_str(), &tokens.by), ("deepseek-tokens", &By::Consumer));
    assert_eq!(ids(&config, tokens.routes.as_deref()), ["deepseek"]);
    assert!(tokens.groups.is_none() && tokens.colocation_group.is_none());
    assert!(matches!(tokens.keys[..], [ValuePattern::Any]));
    let quota = Quota { measure: Measure::Tokens, max: 100_000, per: Period::Minute };
    assert_eq!(tokens.quotas, [quota]);
    assert_eq!((tokens.hard, tokens.lease, tokens.default_output), (false, false, 1024));
    assert_eq!(tokens.on_error, OnError::Open);
    assert_eq!(requests.groups.as_deref(), Some(&["design".to_owned()][..]));
    let zone = Zone::lookup("Asia/Shanghai").expect("there is such a zone");
    let quota = Quota { measure: Measure::Requests, max: 20, per: Period::Day(zone) };
    assert_eq!(requests.quotas, [quota]);
    assert_eq!(
        rules(&config.consumers[1].permissions.parameters),
        [
            ("logit_bias", json!("forbidden")),
            ("max_completion_tokens", json!({ "min": null, "max": 4096.0 })),
            ("max_tokens", json!({ "min": null, "max": 4096.0 })),
            ("temperature", json!({ "min": 0.0, "max": 1.2 })),
        ]
    );
}

#[test]
fn limit_with_every_field_is_parsed() {
    let config = full();
    let [everybody, each, addresses] = &config.limits[..] else { panic!("it has three limits") };
    let zone = Zone::lookup("Asia/Shanghai").expect("there is such a zone");
    assert_eq!(
        everybody.quotas,
        [
            Quota { measure: Measure::Requests, max: 100, per: Period::Second },
            Quota { measure: Measure::Cost, max: 12_500_000_000, per: Period::Month(zone) },
        ]
    );
    assert_eq!(everybody.on_error, OnError::Closed);
    assert_eq!(
        each.quotas,
        [
            Quota { measure: Measure::Tokens, max: 100_000, per: Period::Minute },
            Quota { measure: Measure::Requests, max: 20, per: Period::Day(Zone::UTC) },
        ]
    );
    assert_eq!((each.hard, each.lease, each.default_output), (true, true, 256));
    let quota = Quota { measure: Measure::Tokens, max: 1 << 53, per: Period::Total };
    assert_eq!(addresses.quotas, [quota]);
    let homes: Vec<_> =
        config.limits.iter().map(|limit| limit.colocation_group.as_deref()).collect();
    assert_eq!(homes, [Some("all:everybody"), Some("all:everybody"), None]);
    let covers = |limit: &Limit, value| limit.keys.iter().any(|key| key.matches(value));
    assert!(covers(each, "anybody"));
    assert!(covers(addresses, "10.2.3.4") && covers(addresses, "192.0.2.1"));
    assert!(covers(addresses, "2001:db8::1") && !covers(addresses, "2001:db8::2"));
    assert!(config.routes[0].fallback_on.limited);
}

#[test]
fn limit_by_each_source_is_parsed() {
    for (by, expected) in [
        ("all", By::All),
        ("consumer", By::Consumer),
        ("group", By::Group),
        ("ip", By::Address),
        ("header:X-Team", By::Header("x-team".parse().expect("it is a header's name"))),
        ("param:team", By::Parameter("team".to_owned())),
        ("cookie:team", By::Cookie("team".to_owned())),
    ] {
        let text = format!(
            "[[limits]]\nid = \"l\"\nby = \"{by}\"\nrequests = {{ per = \"hour\", max = 1 }}"
        );
        assert_eq!(load(&text).expect("it is right").limits[0].by, expected);
    }
}

#[test]
fn permissions_of_groups_and_consumers_are_parsed() {
    let config = full();
    let group = config.group("design").expect("the group is there");
    assert!(config.group("sales").is_none());
    assert_eq!(ids(&config, group.permissions.routes.as_deref()), ["chat", "deepseek"]);
    assert_eq!(
        rules(&group.permissions.parameters),
        [
            ("logit_bias", json!("forbidden")),
            ("n", json!({ "min": null, "max": 1.0 })),
            ("tools", json!("forbidden")),
        ]
    );
    let address = |text: &str| text.parse().ok();
    assert!(!group.permissions.ip_access.allows(address("10.9.1.1")));
    let app = &config.consumers[0].permissions;
    assert!(
        app.ip_access.allows(address("10.1.0.1")) && !app.ip_access.allows(address("10.2.0.1"))
    );
    let anybody = &config.auth.ip_access;
    assert!(anybody.allows(address("2001:db8::1")) && !anybody.allows(address("10.0.0.1")));
    assert_eq!(
        rules(&app.parameters),
        [
            ("logit_bias", json!("forbidden")),
            ("max_completion_tokens", json!({ "min": null, "max": 4096.0 })),
            ("max_tokens", json!({ "min": null, "max": 4096.0 })),
            ("messages", json!("forbidden")),
            ("model", json!(["gpt-4o", "gpt-4o-mini"])),
            ("response_format.type", json!(["text", "json_object"])),
            ("seed", json!([1, -2, 0.5])),
            ("stream", json!([false])),
            ("temperature", json!({ "min": 0.0, "max": 1.2 })),
        ]
    );
}

#[test]
fn bound_on_one_max_tokens_name_applies_to_both() {
    let check = |params: &str, expected: &[(&str, Value)]| {
        let text = format!("[[consumers]]\nid = \"a\"\nparams = {params}");
        let config = load(&text).expect("it is right");
        assert_eq!(rules(&config.consumers[0].permissions.parameters), expected);
    };
    let range = |max: f64| json!({ "min": null, "max": max });
    let both = [("max_completion_tokens", range(9.0)), ("max_tokens", range(9.0))];
    check("{ max_tokens = { max = 9 } }", &both);
    check("{ max_completion_tokens = { max = 9 } }", &both);
    check(
        "{ max_completion_tokens = { max = 9 }, max_tokens = { max = 5 } }",
        &[("max_completion_tokens", range(9.0)), ("max_tokens", range(5.0))],
    );
    check(
        "{ max_completion_tokens = { max = 9 }, forbid = [\"max_tokens\"] }",
        &[("max_completion_tokens", range(9.0)), ("max_tokens", json!("forbidden"))],
    );
    // An operator may forbid one name so that callers use the other.
    check("{ forbid = [\"max_tokens\"] }", &[("max_tokens", json!("forbidden"))]);
}

#[test]
fn issuers_and_operators_are_parsed() {
    let config = full();
    assert_eq!(
        config.server.client_ip_header.as_ref().map(http::HeaderName::as_str),
        Some("x-forwarded-for")
    );
    let [fetched, shared, inline] = &config.auth.issuers[..] else { panic!("there are three") };
    assert_eq!(fetched.issuer, "https://id.example.com/");
    assert_eq!(fetched.audiences, ["gateway", "https://gateway.example.com"]);
    let IssuerKeys::Url { url, keep } = &fetched.keys else { panic!("it has an address") };
    assert_eq!(url.to_string(), "https://id.example.com/.well-known/jwks.json");
    assert_eq!((*keep, fetched.skew), (Duration::from_secs(3600), Duration::from_secs(5)));
    assert_eq!(fetched.consumer_claim, "azp");
    assert_eq!(fetched.group_claim.as_deref(), Some("realm_access.team"));
    assert_eq!(fetched.default_group.as_deref(), Some("design"));
    assert_eq!((fetched.groups, fetched.unknown), (TokenGroups::Listed, UnknownSubjects::Refuse));
    assert_eq!((inline.groups, inline.unknown), (TokenGroups::Any, UnknownSubjects::Admit));
    assert_eq!((&fetched.namespace, shared.namespace.as_deref()), (&None, Some("tests")));
    // The third issuer shares the first one's names.
    let shares = |it: &Warning| it.path == "auth.jwt[2]" && it.message.contains("auth.jwt[0]");
    assert!(config.warnings.iter().any(shares), "{:?}", config.warnings);
    assert!(matches!(shared.keys, IssuerKeys::Inline(_)));
    assert!(matches!(inline.keys, IssuerKeys::Inline(_)));
    assert_eq!((shared.consumer_claim.as_str(), &shared.group_claim), ("sub", &None));
    assert_eq!((shared.audiences.len(), shared.skew), (0, Duration::from_secs(60)));

    let who: Vec<_> = config.operators.iter().map(|one| (one.name.as_str(), one.role)).collect();
    assert_eq!(who, [("ana", Role::Owner), ("ben", Role::Editor), ("cleo", Role::Viewer)]);
    assert!(bool::from(config.operators[1].token.matches(&KeyDigest::new("value of BEN_TOKEN"))));
}

#[test]
fn jwks_url_over_http_on_loopback_is_accepted() {
    for url in ["http://localhost/jwks", "http://127.0.0.9:8080/jwks", "http://[::1]:8080/jwks?a=b"]
    {
        let text = format!("[[auth.jwt]]\nissuer = \"i\"\njwks_url = \"{url}\"");
        let config = load(&text).expect("it is this machine");
        let IssuerKeys::Url { keep, .. } = config.auth.issuers[0].keys else {
            panic!("it has an address")
        };
        assert_eq!(keep, Duration::from_secs(600));
    }
}

#[test]
fn price_lookup_prefers_the_most_specific_entry() {
    let config = full();
    let [openai, deepseek] = [0, 1].map(|at| config.routes[at].targets.all()[0].target.provider);
    let check = |provider, model, input, cached, output| {
        let price = config.prices.lookup(provider, model);
        let expected = Price { input, cached, cache_write: input, output };
        assert_eq!(price.map(|price| price.at(1_000_000)), Some(expected), "{model}");
    };
    check(openai, "gpt-4o", 2_500_000, 1_250_000, 10_000_000);
    check(openai, "gpt-4o-mini", 150_000, 150_000, 600_000);
    // A billionth of a USD for a million tokens is rounded up.
    check(deepseek, "gpt-4o", 1, 1, 0);
    check(deepseek, "deepseek-chat", 1, 1, 0);
}

#[test]
fn price_depends_on_the_length_of_the_prompt() {
    let text = r#"
        [[providers]]
        id       = "local"
        kind     = "openai-compatible"
        base_url = "http://localhost/v1"
        [[routes]]
        id      = "chat"
        models  = ["*"]
        targets = [{ provider = "local" }]
        [[prices]]
        model        = "gemini-2.5-pro"
        input        = 1.25
        output       = 10.0
        cached_input = 0.31
        cache_write  = 1.5
        tiers = [
            { above = 1000000, input = 5, output = 30 },
            { above = 200000, input = 2.5, output = 15.0, cached = 0.625, cache_write = 3 },
        ]
        [[prices]]
        model  = "plain"
        input  = 1
        output = 2
        tiers  = [{ above = 10, input = 3, output = 4, cached_input = 1 }]
    "#;
    let config = load(text).expect("it is right");
    let lookup = |model| {
        let provider = config.routes[0].targets.all()[0].target.provider;
        config.prices.lookup(provider, model).expect("it has a price")
    };
    let price = |input, cached, cache_write, output| Price { input, cached, cache_write, output };
    let gemini = lookup("gemini-2.5-pro");
    let base = price(1_250_000, 310_000, 1_500_000, 10_000_000);
    let long = price(2_500_000, 625_000, 3_000_000, 15_000_000);
    let longest = price(5_000_000, 5_000_000, 5_000_000, 30_000_000);
    for (tokens, expected) in
        [(0, base), (200_000, base), (200_001, long), (1_000_000, long), (1_000_001, longest)]
    {
        assert_eq!(gemini.at(tokens), expected, "{tokens}");
    }
    assert_eq!(lookup("plain").at(11), price(3_000_000, 1_000_000, 3_000_000, 4_000_000));
}

#[test]
fn admin_consumer_parses_like_document_consumer() {
    let config = full();
    let document = br#"{
        "id": "web", "group": "design", "routes": ["deepseek"],
        "params": { "max_tokens": { "max": 5 } }, "addresses": { "deny": ["10.0.0.0/8"] }
    }"#;
    let consumer = config.parse_consumer(document).expect("it is right");
    assert_eq!((consumer.id.as_str(), consumer.group.as_deref()), ("web", Some("design")));
    assert_eq!(ids(&config, consumer.permissions.routes.as_deref()), ["deepseek"]);
    assert_eq!(consumer.permissions.parameters.len(), 2);
    assert!(!consumer.permissions.ip_access.allows("10.0.0.1".parse().ok()));
    assert!(consumer.keys.is_empty());
    let least = config.parse_consumer(br#"{ "id": "web" }"#).expect("it is right");
    assert!(least.permissions.routes.is_none() && least.permissions.parameters.is_empty());
}

#[test]
fn admin_consumer_problem_paths_begin_at_the_consumer() {
    let config = full();
    let check = |document: &str, expected: &[(&str, &str)]| {
        let problems = config.parse_consumer(document.as_bytes()).expect_err("it is wrong");
        let found: Vec<_> =
            problems.iter().map(|one| (one.path.as_str(), one.found.as_str())).collect();
        assert_eq!(found, expected);
    };
    check(
        r#"{ "id": "a b", "group": "", "routes": ["chta"], "params": { "temperature": {} },
             "addresses": { "allow": ["here"] }, "keys": ["sk-hidden"] }"#,
        &[
            ("id", "\"a b\""),
            ("keys", "keys"),
            ("group", "\"\""),
            ("routes[0]", "\"chta\""),
            ("params.temperature", "no bound"),
            ("addresses.allow[0]", "\"here\""),
        ],
    );
    check(r#"{ "id": "anonymous" }"#, &[("id", "\"anonymous\"")]);
    check(r#"{ "id": "a", "name": "b" }"#, &[("line 1, column 19", "the unknown field `name`")]);
    check(
        r#"{ "id": "a", "params": { "n": { "max": 1 }, "n": { "max": 2 } } }"#,
        &[("line 1, column 63", "the field `n` twice")],
    );
    check("{", &[("line 1, column 1", "EOF while parsing an object")]);
}

#[test]
fn placeholder_secrets_suffice_for_an_artifact() {
    let stand_in = |name: &str| Some(author::placeholder_secret(name));
    author::from_toml(FULL_EXAMPLE, &stand_in).expect("stand-ins do for every secret");
    // A secret that signs tokens may have characters that no header can hold.
    let text = "[[auth.jwt]]\nissuer = \"i\"\nsecret = \"secret:A\"";
    let long = |_: &str| Some(Secret::new(&"\u{1}".repeat(32)));
    author::from_toml(text, &long).expect("it signs, and is presented to nobody");
}

#[test]
fn kept_accounts_of_made_up_values_get_a_warning() {
    let warned = |by: &str, per: &str, more: &str| {
        let document = format!(
            "[[limits]]\nid = \"l\"\nby = \"{by}\"\n{more}\nrequests = {{ max = 1, per = \"{per}\" }}"
        );
        let warnings = load(&document).expect("it is right").warnings.into_iter();
        warnings.map(|warning| warning.path).collect::<Vec<_>>()
    };
    for by in ["header:x-user", "param:user", "cookie:session"] {
        assert_eq!(warned(by, "total", ""), ["limits[0].by"], "{by}");
        assert_eq!(warned(by, "month", ""), ["limits[0].by"], "{by}");
        assert_eq!(warned(by, "day", ""), [""; 0], "{by}");
        assert_eq!(warned(by, "total", "keys = [\"a\"]"), [""; 0], "{by}");
    }
    assert_eq!(warned("consumer", "total", ""), [""; 0]);
}
