//! Parsed values of valid documents.

use std::time::Duration;

use secret::KeyDigest;

use crate::{
    Config, FallbackOn, Health, Hedge, KeySource, ModelPattern, Retries, Sticky, Timeouts, author,
};

use super::{FULL_EXAMPLE, GUARDS_EXAMPLE, WORKED_EXAMPLE, load, secrets_requested};

const ROOT_EXAMPLE: &str = include_str!("../../../../gateway.toml");

#[test]
fn worked_example_parses_to_commented_values() {
    let config = load(WORKED_EXAMPLE).expect("the worked example is right");
    assert_eq!(config.server.max_body, 4 << 20);
    assert!(config.auth.required);
    let header = KeySource::Header("x-api-key".parse().expect("it is a header's name"));
    assert_eq!(config.auth.sources, [KeySource::Bearer, header]);

    let keys: Vec<_> = config.providers.iter().map(|provider| provider.keys.len()).collect();
    assert_eq!(keys, [2, 1, 0]);
    assert_eq!(config.providers[0].keys[1].reveal(), "value of OPENAI_API_KEY_2");
    assert_eq!(config.providers[2].base_url, "http://127.0.0.1:9100/v1");

    let chat = &config.routes[0];
    let weights: Vec<_> = chat.targets.all().iter().map(|target| target.weight).collect();
    assert_eq!((weights.as_slice(), chat.targets.total().get()), ([90, 10].as_slice(), 100));
    let second = &chat.targets.all()[1].target;
    assert_eq!(config.provider(second.provider).id, "deepseek");
    assert_eq!(second.model.as_deref(), Some("deepseek-chat"));
    assert_eq!(chat.sticky, Sticky::Consumer);
    assert_eq!(config.provider(chat.fallback[0].provider).id, "local");
    assert_eq!(
        chat.retries,
        Retries {
            attempts: 1,
            backoff: Duration::from_millis(250),
            honour_retry_after: Duration::from_secs(2),
            budget: 200,
            max_replay_bytes: None,
        }
    );
    assert_eq!(
        chat.timeouts,
        Timeouts {
            first_byte: Duration::from_secs(15),
            answer: Duration::from_secs(15),
            idle: Duration::from_secs(30),
            total: Duration::from_secs(300),
        }
    );
    assert!(!chat.fallback_on.limited && config.routes[1].fallback_on.limited);

    let design = &config.consumers[1];
    assert_eq!(design.group.as_deref(), Some("design"));
    assert_eq!(design.permissions.routes.as_deref().map(<[_]>::len), Some(1));
    assert!(bool::from(design.keys[0].matches(&KeyDigest::new("value of DESIGN_TEAM_KEY"))));
    assert_eq!(config.consumers[0].permissions.routes, None);
}

#[test]
fn bundled_configuration_needs_three_secrets() {
    load(ROOT_EXAMPLE).expect("the bundled configuration is right");
    assert_eq!(
        author::secret_names(ROOT_EXAMPLE),
        ["OPENAI_API_KEY", "DEEPSEEK_API_KEY", "APP_KEY"]
    );
}

#[test]
fn bundled_configuration_commented_sections_are_valid() {
    let at = ROOT_EXAMPLE.find("# [[limits]]").expect("they are shown, commented out");
    // Headings remain comments.
    let uncommented = ROOT_EXAMPLE[at..].lines().map(|line| match line.strip_prefix("# ") {
        Some(shown) if !shown.starts_with('─') => shown,
        Some(_) | None => line,
    });
    let text = [&ROOT_EXAMPLE[..at], &uncommented.collect::<Vec<_>>().join("\n")].concat();
    let config = load(&text).expect("they are right");
    assert_eq!((config.limits.len(), config.prices.rows().count()), (1, 1));
    let guards: Vec<_> = config.guards.iter().map(|guard| guard.id.as_str()).collect();
    assert_eq!(guards, ["green", "personal-data"]);
    assert!(config.cache.is_some() && config.history.is_some() && config.observe.otlp.is_some());
}

#[test]
fn route_with_hedge_and_continue_is_accepted() {
    let config = load(
        "providers = [{ id = \"ollama\" }]\n\
         [[routes]]\nid = \"r\"\nmodels = [\"m\"]\ntargets = [{ provider = \"ollama\" }]\n\
         fallback = [{ provider = \"ollama\", model = \"other\" }]\n\
         retries = { replay = \"256KiB\" }\nhedge = {}\ncontinue = true\n\
         [[routes]]\nid = \"s\"\nmodels = [\"n\"]\ntargets = [{ provider = \"ollama\" }]\n\
         fallback = [{ provider = \"ollama\", model = \"other\" }]\n\
         hedge = { share = 0.5, after = \"2s\" }\n",
    )
    .expect("it is right");
    let [first, second] = &config.routes[..] else { panic!("there are two routes") };
    assert_eq!(first.hedge, Some(Hedge { share: 50, after: None }));
    assert_eq!((first.retries.max_replay_bytes, first.continues_streams), (Some(256 << 10), true));
    assert_eq!(second.hedge, Some(Hedge { share: 500, after: Some(Duration::from_secs(2)) }));
    assert_eq!((second.retries.max_replay_bytes, second.continues_streams), (None, false));
}

#[test]
fn absent_fields_have_defaults() {
    let config = load(
        "providers = [{ id = \"ollama\" }]\n\
         routes = [{ id = \"r\", models = [\"m\"], targets = [{ provider = \"ollama\" }] }]",
    )
    .expect("it is right");
    assert_eq!(config.server.max_body, 16 << 20);
    assert!(config.auth.required);
    assert_eq!(config.auth.sources.len(), 3);
    let route = &config.routes[0];
    assert_eq!(route.targets.total().get(), 1);
    assert_eq!(route.sticky, Sticky::None);
    let (connect, timeout, too_many_requests, server_error) = (true, true, true, true);
    assert_eq!(
        route.fallback_on,
        FallbackOn { connect, timeout, too_many_requests, server_error, limited: false }
    );
    assert_eq!(
        route.retries,
        Retries {
            attempts: 0,
            backoff: Duration::from_millis(250),
            honour_retry_after: Duration::from_secs(2),
            budget: 200,
            max_replay_bytes: None,
        }
    );
    let (window, rest) = (Duration::from_secs(30), Duration::from_secs(10));
    assert_eq!(route.health, Health { failures: 5, window, cool_down: rest });
    assert_eq!(
        route.timeouts,
        Timeouts {
            first_byte: Duration::from_secs(60),
            answer: Duration::from_secs(600),
            idle: Duration::from_secs(60),
            total: Duration::from_secs(600),
        }
    );
    assert!(load("").expect("an empty document is right").providers.is_empty());
}

#[test]
fn first_byte_default_is_capped_by_total() {
    let config = load(
        "providers = [{ id = \"ollama\" }]\n\
         routes = [{ id = \"r\", models = [\"m\"], targets = [{ provider = \"ollama\" }], \
         timeouts = { total = \"5s\" } }]",
    )
    .expect("it is right");
    assert_eq!(config.routes[0].timeouts.first_byte, Duration::from_secs(5));
}

#[test]
fn whole_answer_may_take_the_total_time_unless_a_bound_is_set() {
    for (timeouts, expected) in [
        ("total = \"5m\"", 300),
        ("total = \"5m\", first_byte = \"10s\"", 10),
        ("total = \"5m\", first_byte = \"10s\", answer = \"4m\"", 240),
        ("total = \"5m\", answer = \"20s\"", 20),
    ] {
        let config = load(&format!(
            "providers = [{{ id = \"ollama\" }}]\n\
             routes = [{{ id = \"r\", models = [\"m\"], targets = [{{ provider = \"ollama\" }}], \
             timeouts = {{ {timeouts} }} }}]",
        ))
        .expect("it is right");
        assert_eq!(config.routes[0].timeouts.answer, Duration::from_secs(expected), "{timeouts}");
    }
}

#[test]
fn fallback_on_limited_is_accepted_without_limits() {
    let config = load(
        "providers = [{ id = \"ollama\" }]\n\
         routes = [{ id = \"r\", models = [\"m\"], targets = [{ provider = \"ollama\" }], \
         fallback_on = [\"limited\"] }]",
    )
    .expect("it is right");
    assert!(config.routes[0].fallback_on.limited);
}

#[test]
fn model_index_exact_precedes_prefix_precedes_regex() {
    let config = load(
        r#"
        providers = [{ id = "ollama" }]
        routes = [
          { id = "expressions", models = ["~^gpt-", "~o$"], targets = [{ provider = "ollama" }] },
          { id = "short",       models = ["gpt-*"],         targets = [{ provider = "ollama" }] },
          { id = "long",        models = ["gpt-4o-*"],      targets = [{ provider = "ollama" }] },
          { id = "exact",       models = ["gpt-4o-mini"],   targets = [{ provider = "ollama" }] },
          { id = "second",      models = ["~^o1", "~.o$"],  targets = [{ provider = "ollama" }] },
        ]
        "#,
    )
    .expect("it is right");
    let route = |model| config.models.route(model).map(|index| config.route(index).id.as_str());
    assert_eq!(route("gpt-4o-mini"), Some("exact"));
    assert_eq!(route("gpt-4o-mini-2024"), Some("long"));
    assert_eq!(route("gpt-4o-"), Some("long"));
    assert_eq!(route("gpt-4o"), Some("short"));
    assert_eq!(route("o1"), Some("second"));
    assert_eq!(route("foo"), Some("expressions"));
    assert_eq!(route("GPT-4o-mini"), None);
    assert_eq!(route(""), None);
    assert!(
        matches!(&config.routes[1].models[..], [ModelPattern::Prefix(prefix)] if prefix == "gpt-")
    );
}

#[test]
fn model_pattern_star_matches_every_model() {
    let config = load(
        "providers = [{ id = \"ollama\" }]\n\
         routes = [{ id = \"r\", models = [\"*\"], targets = [{ provider = \"ollama\" }] }]",
    )
    .expect("it is right");
    assert!(config.models.route("anything").is_some());
}

#[test]
fn json_and_toml_parse_to_the_same_configuration() {
    let secrets = |name: &str| Some(author::placeholder_secret(name));
    for text in [WORKED_EXAMPLE, FULL_EXAMPLE, GUARDS_EXAMPLE, ROOT_EXAMPLE] {
        let json = author::to_json(text).expect("its shape is right");
        let from_json = Config::from_json(&json, &secrets).expect("it is right");
        let from_toml = author::from_toml(text, &secrets).expect("it is right");
        // JSON has the digest of its text; TOML has none.
        let digest = from_toml.digest;
        assert_eq!(format!("{:?}", Config { digest, ..from_json }), format!("{from_toml:?}"));
    }
}

#[test]
fn secret_names_equal_the_requested_secrets() {
    for text in [WORKED_EXAMPLE, FULL_EXAMPLE, GUARDS_EXAMPLE] {
        assert_eq!(author::secret_names(text), secrets_requested(text));
        let json = author::to_json(text).expect("its shape is right");
        let found = crate::secret_names(&json);
        assert!(secrets_requested(text).iter().all(|name| found.contains(name)), "{found:?}");
    }
    assert_eq!(author::secret_names("not TOML"), Vec::<String>::new());
}

#[test]
fn part_that_needs_attention_gets_a_warning() {
    let warned = |text: &str| {
        let config = load(text).expect("it is right");
        config.warnings.into_iter().map(|warning| warning.path).collect::<Vec<_>>()
    };
    let provider = |url: &str| format!("providers = [{{ id = \"vllm\", base_url = \"{url}\" }}]");
    for url in ["http://10.0.0.7/v1", "http://models.example.com", "http://[fd00::1]/v1"] {
        assert_eq!(warned(&provider(url)), ["providers[0].base_url"], "{url}");
    }
    for url in ["https://h/v1", "http://127.0.0.1:8000/v1", "http://localhost", "http://[::1]/v1"] {
        assert_eq!(warned(&provider(url)), [""; 0], "{url}");
    }
    assert_eq!(
        warned("[observe.otlp]\nendpoint = \"http://collector:4318\""),
        ["observe.otlp.endpoint"]
    );
    assert_eq!(warned("[server]\nmax_body = \"17MiB\""), ["server.max_body"]);
    assert_eq!(warned("[server]\nmax_body = \"16MiB\""), [""; 0]);
    let operator = |name: &str| {
        format!("[[admin.operators]]\nname = \"ann\"\nrole = \"owner\"\ntoken = \"secret:{name}\"")
    };
    // Each secret has the value "value of NAME".
    assert_eq!(warned(&operator("SHORT")), ["admin.operators[0].token"]);
    assert_eq!(warned(&operator("A_RATHER_LONG_NAME")), [""; 0]);
    let issuers = |second: &str| {
        format!(
            "[[auth.jwt]]\nissuer = \"a\"\naudiences = [\"me\"]\nsecret = \"secret:ISSUER_WITH_A_LONG_NAME_A\"\n\
             [[auth.jwt]]\nissuer = \"b\"\naudiences = [\"me\"]\nsecret = \"secret:ISSUER_WITH_A_LONG_NAME_B\"\n{second}"
        )
    };
    assert_eq!(warned(&issuers("")), ["auth.jwt[1]"]);
    assert_eq!(warned(&issuers("namespace = \"b\"")), [""; 0]);
    let issuer = |more: &str| {
        format!(
            "[[auth.jwt]]\nissuer = \"a\"\nsecret = \"secret:ISSUER_WITH_A_LONG_NAME_A\"\n{more}"
        )
    };
    assert_eq!(warned(&issuer("")), ["auth.jwt[0].audiences"]);
    let chosen = "audiences = [\"me\"]\nconsumer_claim = \"email\"\n";
    assert_eq!(warned(&issuer(chosen)), ["auth.jwt[0].consumer_claim"]);
    assert_eq!(warned(&issuer(&format!("{chosen}namespace = \"a\""))), [""; 0]);
}
