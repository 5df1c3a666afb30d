//! Ways to get more than a limit allows, none of which may work, and to keep others from what is theirs.

use std::time::Duration;

use bytes::Bytes;
use gateway::host::body::Body;
use serde_json::Value;
use sim::upstream::{Script, UpstreamSpec};
use sim::world::HangUp;

use super::invariants::used;
use super::{Caller, Harness, USAGE, code, header};

/// Beyond what the gateway holds of an answer (8 MiB).
const LONG_ANSWER_BYTES: usize = 9 << 20;

const TOKENS: &str = "[[limits]]\nid = 'l'\nby = 'all'\ntokens = { per = 'total', max = 1000 }\nrequests = { per = 'total', max = 100 }\n";

fn spent(harness: &Harness) -> (u64, u64) {
    let used = |measure: &str| used(&harness.world, "all:l", &format!("l:{measure}:_")).used;
    (used("tokens"), used("requests"))
}

#[test]
fn an_answer_that_is_too_long_to_hold_is_not_free() {
    let long = "x ".repeat(LONG_ANSWER_BYTES / 2);
    let usage = r#","usage":{"prompt_tokens":20,"completion_tokens":80}"#;
    for (usage, most, expected) in [(usage, "", 100), ("", r#","max_tokens":500"#, 509)] {
        let raw =
            format!(r#"{{"choices":[{{"message":{{"content":"{long}"}}}}]{usage},"id":"a"}}"#);
        let script = format!("content_type = 'application/json'\nsplit = 65536\nraw = '''{raw}'''");
        let limit = TOKENS.replace("by =", "default_output = 10\nby =");
        let harness = Harness::with(&limit, &[("big", &script)]);
        assert_eq!(harness.play(&[Caller::requesting("alone", most)]).count(200), 1);
        assert_eq!(spent(&harness), (expected, 1), "{usage}");
    }
}

#[test]
fn a_count_that_cannot_be_is_not_taken_for_one() {
    let absurd = r#"{"choices":[{"message":{"content":"one"}}],"usage":{"prompt_tokens":9,"completion_tokens":18446744073709551615}}"#;
    let script = format!("content_type = 'application/json'\nraw = '{absurd}'");
    let limit = TOKENS.replace("by =", "default_output = 10\nby =");
    let harness = Harness::with(&limit, &[("big", &script)]);
    assert_eq!(harness.play(&vec![Caller::requesting("alone", ""); 2]).count(200), 2);
    assert_eq!(spent(&harness), (20, 2));
}

#[test]
fn who_leaves_between_two_attempts_pays_nothing() {
    let retries = "[[routes]]\nid = 'again'\nmodels = ['again']\ntargets = [{ provider = 'big' }]\nretries = { attempts = 5, backoff = '2s' }\n";
    let harness = Harness::with(&format!("{retries}{TOKENS}"), &[("big", "status = 500")]);
    let leaves = Caller {
        hang_up: HangUp::After(Duration::from_millis(200)),
        ..Caller::requesting("again", r#","max_tokens":10"#)
    };
    let seen = harness.play(&[leaves]);
    assert_eq!(seen.records[0]["outcome"], "hung_up");
    assert_eq!(spent(&harness), (0, 0), "{}", seen.records[0]);
}

#[test]
fn lost_answers_of_the_ledger_charge_nobody_twice() {
    let harness = Harness::with(TOKENS, &[("big", USAGE)]);
    harness.world.set_ledger_drops_replies(true);
    assert_eq!(harness.play(&[Caller::requesting("alone", r#","max_tokens":80"#)]).count(200), 1);
    harness.world.set_ledger_drops_replies(false);
    // What was reserved, and nobody knew of, has come back by now.
    let later = Duration::from_secs(100);
    harness
        .play(&[Caller { arrives: later, ..Caller::requesting("alone", r#","max_tokens":80"#) }]);
    assert_eq!(spent(&harness), (200, 2));
}

#[test]
fn a_fallback_over_the_limit_reserves_for_whoever_may_answer() {
    let limits = "[[routes]]\nid = 'multi'\nmodels = ['multi']\ntargets = [{ provider = 'big' }]\nfallback = [{ provider = 'small', model = 'small' }, { provider = 'big', model = 'dear' }]\nfallback_on = ['5xx', 'limited']\n[[routes]]\nid = 'dear'\nmodels = ['dear']\ntargets = [{ provider = 'big' }]\n[[prices]]\nmodel = 'dear'\ninput = 1000.0\noutput = 1000.0\n[[limits]]\nid = 'm'\nby = 'all'\non = { routes = ['multi'] }\nrequests = { per = 'hour', max = 1 }\n[[limits]]\nid = 's'\nby = 'all'\non = { routes = ['small', 'dear'] }\ncost = { per = 'hour', max = 0.01 }\n";
    let harness = Harness::with(limits, &[("big", USAGE), ("small", "status = 500")]);
    assert_eq!(harness.play(&[Caller::requesting("multi", "")]).count(200), 1);
    let seen = harness.play(&[Caller::requesting("multi", "")]);
    assert_eq!(seen.count(429), 1, "80 tokens of the dear one cost more: {:?}", seen.records);
}

#[test]
fn names_that_nobody_serves_fill_no_book() {
    let harness = Harness::with("", &[]);
    let seen = harness.play(&[Caller::requesting("made-up-by-somebody", "")]);
    assert_eq!(code(&seen.received[0]), "model_not_found");
    let kept = harness.world.stored_text();
    assert!(kept.contains("|app|") && !kept.contains("made-up-by-somebody"), "{kept}");
}

#[test]
fn who_leaves_while_an_issuers_keys_are_fetched_keeps_nobody_out() {
    const TOKEN: &str = "eyJhbGciOiAiRVMyNTYiLCAia2lkIjogImsifQ.eyJpc3MiOiAiaHR0cHM6Ly9pZCIsICJzdWIiOiAiYW5uYSIsICJleHAiOiA0MTAyNDQ0ODAwfQ.AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ";
    const KEYS: &str = r#"{"keys":[{"kty":"EC","kid":"k","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;
    let issuer = format!(
        "[[auth.jwt]]\nissuer = 'https://id'\njwks_url = '{}/issuer/keys'\n",
        sim::world::UPSTREAM
    );
    let script = |text: &str| toml::from_str::<Script>(text).expect("a script");
    let keys = format!("content_type = 'application/json'\nraw = '{KEYS}'");
    let spec = UpstreamSpec {
        script: vec![script("hang = true"), script(&keys)],
        ..UpstreamSpec::default()
    };
    let harness = Harness::seeded(1, &issuer, [("issuer".to_owned(), spec)].into());
    let asks = |arrives, hang_up| Caller {
        arrives,
        key: TOKEN,
        hang_up,
        ..Caller::requesting("alone", "")
    };
    let seen = harness.play(&[
        asks(Duration::ZERO, HangUp::After(Duration::from_millis(100))),
        asks(Duration::from_secs(1), HangUp::Never),
    ]);
    // The signature is none, which takes the keys to find out.
    assert_eq!(code(&seen.received[1]), "invalid_api_key", "{:?}", seen.records);
}

#[test]
fn every_prompt_of_a_completion_is_reserved_for() {
    let harness = Harness::with(TOKENS, &[("big", USAGE)]);
    let body = r#"{"model":"alone","prompt":["a","b","c","d","e"],"max_tokens":300}"#;
    let request = http::Request::post("/v1/completions")
        .header("authorization", "Bearer app-key")
        .body(Body::from(Bytes::from_static(body.as_bytes())))
        .expect("a request");
    let answer = harness.gateway.handle(harness.world.clone(), request);
    let received = harness.world.play(answer, HangUp::Never).expect("it ends");
    assert_eq!(code(&received), "insufficient_quota", "1,500 tokens may come of it");
}

#[test]
fn a_hard_limit_is_told_in_the_word_that_the_upstream_knows() {
    let limit =
        "[[limits]]\nid = 'l'\nby = 'all'\nhard = true\ntokens = { per = 'total', max = 150 }\n";
    let harness = Harness::with(limit, &[("big", USAGE)]);
    harness.play(&[Caller::requesting("alone", r#","max_completion_tokens":5"#)]);
    let body: Value = serde_json::from_slice(&harness.world.calls()["big"][0].body).expect("JSON");
    assert_eq!(body["max_tokens"], 5);
}

#[test]
fn of_several_places_the_longest_wait_is_told() {
    let limits = "[[limits]]\nid = 'a'\nby = 'consumer'\nrequests = { per = 'minute', max = 1 }\n[[limits]]\nid = 'z'\nby = 'header:user-agent'\nrequests = { per = 'day', max = 1 }\n";
    let harness = Harness::with(limits, &[("big", USAGE)]);
    let ask = || {
        let mut request = Caller::requesting("alone", "").message();
        request.headers_mut().insert("user-agent", http::HeaderValue::from_static("it"));
        let answer = harness.gateway.handle(harness.world.clone(), request);
        harness.world.play(answer, HangUp::Never).expect("it ends")
    };
    ask();
    let over = ask();
    assert_eq!(code(&over), "insufficient_quota");
    assert!(header(&over, "retry-after").parse::<u64>().is_ok_and(|it| it > 60));
}

#[test]
fn what_can_never_be_met_is_not_to_be_tried_again() {
    let limit = "[[limits]]\nid = 'l'\nby = 'all'\ntokens = { per = 'minute', max = 100 }\n";
    let harness = Harness::with(limit, &[("big", USAGE)]);
    let over = &harness.play(&[Caller::requesting("alone", r#","max_tokens":500"#)]).received[0];
    assert_eq!(
        (code(over).as_str(), header(over, "x-should-retry").as_str()),
        ("rate_limit_exceeded", "false")
    );
}

#[test]
fn an_address_with_a_port_and_none_at_all_are_limited_too() {
    let limits = "[server]\naddress_header = 'x-client'\n[[limits]]\nid = 'l'\nby = 'ip'\nrequests = { per = 'day', max = 1 }\n";
    for address in ["192.0.2.1:4711", "[2001:db8::1]:80", "somebody", ""] {
        let harness = Harness::with(limits, &[("big", USAGE)]);
        let ask = || {
            let mut request = Caller::requesting("alone", "").message();
            let address = http::HeaderValue::from_static(address);
            request.headers_mut().insert("x-client", address);
            let answer = harness.gateway.handle(harness.world.clone(), request);
            harness.world.play(answer, HangUp::Never).expect("it ends").head.expect("a head").0
        };
        let got = (ask().as_u16(), ask().as_u16());
        assert_eq!(got, (200, 429), "{address}");
        let is_known = !harness.world.stored_text().contains("unknown");
        assert_eq!(is_known, address.contains("2"), "{address}");
    }
}
