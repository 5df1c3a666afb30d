//! Parsed guards, cache, history, and observability.

use std::time::Duration;

use guards::settings::{AliyunAction, JudgeFormat, PiiAction, PiiKind};
use guards::{Dimension, Level};
use http::StatusCode;

use crate::{
    BlockFormat, CacheScope, Config, Guard, GuardKind, GuardScope, OnError, SessionSource,
    ValuePattern,
};

use super::{GUARDS_EXAMPLE, WORKED_EXAMPLE, load};

fn full() -> Config {
    load(GUARDS_EXAMPLE).expect("the example of guards is right")
}

/// The guard of a document whose one guard has these fields.
#[track_caller]
fn guard(fields: &str) -> Guard {
    let provider = "[[providers]]\nid = \"ollama\"\n";
    let text = format!("{provider}[[guards]]\nid = \"g\"\n{fields}");
    load(&text).expect("it is right").guards.pop().expect("it has a guard")
}

#[test]
fn worked_example_has_a_guard_and_a_cache() {
    let config = load(WORKED_EXAMPLE).expect("the worked example is right");
    let [green] = &config.guards[..] else { panic!("it has one guard") };
    let deepseek = config.models.route("deepseek-chat").expect("it has a route");
    assert_eq!((green.id.as_str(), green.routes.as_deref()), ("green", Some(&[deepseek][..])));
    assert!(green.request && green.response);
    assert_eq!((green.scope, green.block_at), (GuardScope::New, Some(Level::High)));
    assert_eq!(
        (green.on_block.status, green.on_block.message.as_str(), green.on_block.format),
        (StatusCode::OK, "I cannot help with that.", BlockFormat::Message)
    );
    assert_eq!(green.on_error, OnError::Open);
    assert_eq!((green.timeout, green.delay), (Duration::from_secs(2), Duration::from_secs(1)));
    assert_eq!((green.window, green.keep, green.overrides.len()), (200, 0, 0));
    let GuardKind::Aliyun(aliyun) = &green.kind else { panic!("it asks Alibaba Cloud") };
    assert_eq!(aliyun.endpoint, "https://green-cip.cn-shanghai.aliyuncs.com");
    assert_eq!(aliyun.access_key_id.reveal(), "value of ALIYUN_ACCESS_KEY_ID");
    assert_eq!(aliyun.access_key.reveal(), "value of ALIYUN_ACCESS_KEY_SECRET");
    assert!(aliyun.security_token.is_none() && aliyun.block_levels.is_empty() && !aliyun.mask);
    assert_eq!(aliyun.action, AliyunAction::Text);
    assert_eq!(
        (aliyun.request_service.as_str(), aliyun.response_service.as_str()),
        ("llm_query_moderation", "llm_response_moderation")
    );
    assert_eq!(aliyun.image_service, None);

    let watching = |model| {
        let route = config.models.route(model).expect("it has a route");
        config.guards_for(route).map(|(at, _)| at).collect::<Vec<_>>()
    };
    assert_eq!((watching("deepseek-chat"), watching("gpt-4o")), (vec![0], Vec::new()));

    let cache = config.cache.as_ref().expect("it has a cache");
    assert_eq!(cache.routes, Some(vec![config.models.route("qwq-32b").expect("it is there")]));
    assert_eq!((cache.ttl, cache.scope), (Duration::from_secs(3600), CacheScope::Consumer));
    assert_eq!((cache.jitter, cache.max_temperature, cache.max_entry), (100, 1000, 256 << 10));
    assert_eq!((cache.pace, cache.charge), (None, false));
    assert!(config.history.is_none() && config.observe.otlp.is_none());
    assert_eq!((config.observe.max_consumers, config.observe.content.len()), (100, 0));
}

#[test]
fn aliyun_guard_with_every_field_is_parsed() {
    let config = full();
    let green = &config.guards[0];
    assert_eq!(green.routes.as_ref().map(Vec::len), Some(2));
    assert_eq!((green.request, green.response, green.scope), (false, true, GuardScope::All));
    assert_eq!(green.block_at, Some(Level::Medium));
    assert_eq!(green.on_block.status.as_u16(), 451);
    assert_eq!(
        (green.on_block.message.as_str(), green.on_block.format),
        ("No.", BlockFormat::Error)
    );
    assert_eq!(green.on_error, OnError::Closed);
    let times = [green.timeout, green.delay].map(|time| time.as_millis());
    assert_eq!((times, green.window, green.keep), ([500, 250], 64, 100));
    let GuardKind::Aliyun(aliyun) = &green.kind else { panic!("it asks Alibaba Cloud") };
    assert_eq!(aliyun.endpoint, "http://127.0.0.1:9200");
    let token = aliyun.security_token.as_ref().map(|token| token.reveal());
    assert_eq!(token, Some("value of ALIYUN_SECURITY_TOKEN"));
    assert_eq!((aliyun.action, aliyun.mask), (AliyunAction::MultiModal, true));
    assert_eq!(aliyun.request_service, "query_check");
    assert_eq!(aliyun.response_service, "response_check");
    assert_eq!(aliyun.image_service.as_deref(), Some("img_query_security_check"));
    assert_eq!(
        aliyun.block_levels,
        [
            (Dimension::Content, Level::Medium),
            (Dimension::PromptAttack, Level::High),
            (Dimension::SensitiveData, Level::Medium),
            (Dimension::MaliciousUrl, Level::Low),
            (Dimension::CustomLabel, Level::High),
        ]
    );
    let [strict, off] = &green.overrides[..] else { panic!("it has two overrides") };
    let covers = |all: &[ValuePattern], value| all.iter().any(|one| one.matches(value));
    for (consumer, expected) in [
        ("app", true),
        ("app2", false),
        ("test-1", true),
        ("test-", true),
        ("a-test-1", false),
        ("eu.shop", true),
        ("eushop", false),
    ] {
        assert_eq!(covers(&strict.consumers, consumer), expected, "{consumer}");
    }
    assert!(covers(&strict.groups, "design") && !covers(&strict.groups, "sales"));
    assert_eq!((strict.off, strict.block_at), (false, Some(Level::Low)));
    assert_eq!(strict.request_service.as_deref(), Some("query_check_strict"));
    assert_eq!(strict.response_service.as_deref(), Some("response_check_strict"));
    assert!(off.off && off.consumers.is_empty() && covers(&off.groups, "sales"));
    assert_eq!((off.block_at, &off.request_service, &off.response_service), (None, &None, &None));
}

#[test]
fn override_prefix_is_matched_literally() {
    let guard =
        guard("kind = \"pii\"\noverrides = [{ consumers = [\"eu.shop-*\", \"*\"], off = true }]");
    let [prefix, all] = &guard.overrides[0].consumers[..] else { panic!("it has two") };
    assert!(prefix.matches("eu.shop-1") && !prefix.matches("eu_shop-1"));
    assert!(matches!(all, ValuePattern::Any));
}

#[test]
fn aliyun_multimodal_guard_has_default_services_and_levels() {
    let keys = "access_key_id = \"secret:A\"\naccess_key = \"secret:B\"\nregion = \"cn-beijing\"";
    let check = |fields: &str, bars: &[(Dimension, Level)]| {
        let fields = format!("kind = \"aliyun\"\n{keys}\naction = \"MultiModalGuard\"\n{fields}");
        let GuardKind::Aliyun(aliyun) = guard(&fields).kind else { panic!("it is aliyun") };
        assert_eq!(aliyun.request_service, "query_security_check");
        assert_eq!(aliyun.response_service, "response_security_check");
        assert_eq!(aliyun.image_service, None);
        assert_eq!(aliyun.block_levels, bars);
    };
    check("", &[(Dimension::Content, Level::High)]);
    check("block_at = \"low\"", &[(Dimension::Content, Level::Low)]);
    check("bars = { content = \"medium\" }", &[(Dimension::Content, Level::Medium)]);
    check("bars = { content = \"never\" }", &[]);
    check(
        "bars = { sensitive_data = \"S1\" }",
        &[(Dimension::Content, Level::High), (Dimension::SensitiveData, Level::Low)],
    );
}

#[test]
fn moderation_and_judge_guards_are_parsed() {
    let config = full();
    let GuardKind::Moderation(moderation) = &config.guards[1].kind else { panic!("it is one") };
    assert_eq!(config.provider(moderation.provider).id, "openai");
    assert_eq!(moderation.model.as_deref(), Some("omni-moderation-latest"));
    assert_eq!(
        moderation.thresholds,
        [("self-harm/intent".to_owned(), 125), ("violence".to_owned(), 500)]
    );
    let judging = &config.guards[2];
    let GuardKind::Judge(judge) = &judging.kind else { panic!("it is a model") };
    assert_eq!(config.provider(judge.provider).id, "local");
    assert_eq!(
        (judge.model.as_str(), judge.format),
        ("Qwen/Qwen3Guard-Gen-4B", JudgeFormat::Qwen3Guard)
    );
    assert_eq!((judging.scope, judging.on_block.status), (GuardScope::Last, StatusCode::OK));
    assert_eq!(judging.on_block.format, BlockFormat::Structured);

    let least = guard("kind = \"openai-moderation\"\nprovider = \"ollama\"");
    let GuardKind::Moderation(least) = least.kind else { panic!("it is one") };
    assert!(least.model.is_none() && least.thresholds.is_empty());
    let llama =
        guard("kind = \"llm\"\nprovider = \"ollama\"\nmodel = \"m\"\nformat = \"llama-guard\"");
    let GuardKind::Judge(llama) = llama.kind else { panic!("it is a model") };
    assert_eq!(llama.format, JudgeFormat::LlamaGuard);
}

#[test]
fn words_and_pii_guards_are_parsed() {
    let config = full();
    let GuardKind::Words(words) = &config.guards[3].kind else { panic!("it has words") };
    assert_eq!((words.inline_words.len(), words.stored_list.as_deref()), (2, Some("more-words-2")));
    let GuardKind::Words(kept) = guard("kind = \"words\"\nlist = \"a\"").kind else {
        panic!("it has words")
    };
    assert!(kept.inline_words.is_empty());

    let GuardKind::Pii(pii) = &config.guards[4].kind else { panic!("it masks") };
    assert_eq!(pii.detect, [PiiKind::ApiKey, PiiKind::Email]);
    assert_eq!((pii.action, pii.restore), (PiiAction::Replace, true));
    let [case, badge] = &pii.custom[..] else { panic!("it has two patterns") };
    assert_eq!((case.name.as_str(), case.replacement.as_deref()), ("case", Some("case-$1")));
    assert!(case.pattern.is_match("see CASE-123456") && badge.pattern.is_match("B12345"));
    assert_eq!(badge.replacement, None);

    let pii = |fields: &str| {
        let GuardKind::Pii(pii) = guard(&format!("kind = \"pii\"\n{fields}")).kind else {
            panic!("it masks")
        };
        pii
    };
    let all = pii("");
    assert_eq!(
        (all.detect.as_slice(), all.custom.len(), all.action, all.restore),
        (
            &[
                PiiKind::Email,
                PiiKind::Phone,
                PiiKind::ChineseId,
                PiiKind::Card,
                PiiKind::Address,
                PiiKind::ApiKey,
            ][..],
            0,
            PiiAction::Replace,
            true
        )
    );
    assert!(!pii("restore = false").restore);
    assert_eq!(pii("detect = [\"ip\", \"ip\"]").detect, [PiiKind::Address]);
    let own = pii("detect = []\ncustom = [{ name = \"a\", pattern = \"a\" }]");
    assert_eq!((own.detect.len(), own.custom.len()), (0, 1));
    for (word, action) in [("hash", PiiAction::Hash), ("refuse", PiiAction::Refuse)] {
        let pii = pii(&format!("action = \"{word}\""));
        assert_eq!((pii.action, pii.restore), (action, false), "nothing can be taken back");
    }
}

#[test]
fn block_format_error_has_its_own_default_status() {
    let status =
        |fields: &str| guard(&format!("kind = \"pii\"\n{fields}")).on_block.status.as_u16();
    assert_eq!(status(""), 200);
    assert_eq!(status("on_block = { format = \"error\" }"), 400);
    assert_eq!(status("on_block = { format = \"error\", status = 403 }"), 403);
    assert_eq!(status("on_block = { format = \"structured\", status = 403 }"), 403);
}

#[test]
fn cache_history_and_observe_are_parsed() {
    let config = full();
    let [chat, qwq] = ["gpt-4o", "qwq-32b"].map(|model| config.models.route(model));
    let (chat, qwq) = (chat.expect("it is there"), qwq.expect("it is there"));
    let cache = config.cache.as_ref().expect("there is a cache");
    assert_eq!(cache.routes, Some(vec![qwq]));
    assert_eq!((cache.ttl, cache.jitter), (Duration::from_secs(48 * 3600), 250));
    assert_eq!((cache.scope, cache.max_temperature), (CacheScope::Group, 700));
    assert_eq!((cache.max_entry, cache.charge), (512 << 10, true));
    assert_eq!(cache.pace, Some(Duration::from_millis(20)));

    let history = config.history.as_ref().expect("there is a history");
    assert_eq!(history.routes, Some(vec![chat]));
    assert_eq!(history.session, SessionSource::Header("x-session".parse().expect("it is a name")));
    assert_eq!((history.turns, history.max_bytes), (10, 32 << 10));
    assert_eq!(history.ttl, Duration::from_secs(7200));

    assert_eq!(config.observe.max_consumers, 50);
    assert_eq!(config.observe.content, [(chat, 500), (qwq, 2000)]);
    let otlp = config.observe.otlp.as_ref().expect("there is a collector");
    assert_eq!(otlp.endpoint, "https://collector.example.com:4318");
    let headers: Vec<_> =
        otlp.headers.iter().map(|(name, value)| (name.as_str(), value.reveal())).collect();
    assert_eq!(
        headers,
        [("authorization", "value of OTLP_KEY"), ("x-tenant", "value of OTLP_TENANT")]
    );
    assert_eq!((otlp.traces, otlp.metrics, otlp.sample), (true, false, 50));
    assert_eq!(otlp.service, "edge");
}

#[test]
fn history_and_otlp_absent_fields_have_defaults() {
    let config =
        load("[history]\nsession = \"user\"\n[observe.otlp]\nendpoint = \"http://h:4318/otel\"")
            .expect("it is right");
    let history = config.history.expect("there is a history");
    assert_eq!((history.routes, history.session), (None, SessionSource::User));
    assert_eq!((history.turns, history.max_bytes), (5, 16 << 10));
    assert_eq!(history.ttl, Duration::from_secs(3600));
    let otlp = config.observe.otlp.expect("there is a collector");
    assert_eq!((otlp.endpoint.as_str(), otlp.headers.len()), ("http://h:4318/otel", 0));
    assert_eq!((otlp.traces, otlp.metrics, otlp.sample), (true, true, 1000));
    assert_eq!((otlp.service.as_str(), config.observe.max_consumers), ("serin", 100));
    let config = load("[observe]\nmax_consumers = 10000").expect("it is right");
    assert_eq!(config.observe.max_consumers, 10_000);
}
