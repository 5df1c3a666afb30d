//! Attempts to exceed a limit or to use up the limit of others.

use std::time::Duration;

use bytes::Bytes;
use gateway::host::body::Body;
use serde_json::Value;
use sim::testing::{send, upstream};
use sim::world::{HangUp, UPSTREAM};

use super::invariants::used;
use super::{Caller, Harness, USAGE, code};

/// More than the gateway holds of a response (8 MiB), in bytes.
const LONG_ANSWER_BYTES: usize = 9 << 20;

const TOKENS: &str = "[[limits]]\nid = 'l'\nby = 'all'\ntokens = { per = 'total', max = 1000 }\nrequests = { per = 'total', max = 100 }\n";

fn spent(harness: &Harness) -> (u64, u64) {
    let used = |measure: &str| used(&harness.world, "all:l", &format!("l:{measure}:_")).used;
    (used("tokens"), used("requests"))
}

#[test]
fn response_too_long_to_hold_is_charged() {
    let long = "x ".repeat(LONG_ANSWER_BYTES / 2);
    let usage = r#","usage":{"prompt_tokens":20,"completion_tokens":80}"#;
    for (usage, max, expected) in [(usage, "", 100), ("", r#","max_tokens":500"#, 509)] {
        let raw =
            format!(r#"{{"choices":[{{"message":{{"content":"{long}"}}}}]{usage},"id":"a"}}"#);
        let script = format!("content_type = 'application/json'\nsplit = 65536\nraw = '''{raw}'''");
        let limit = TOKENS.replace("by =", "default_output = 10\nby =");
        let harness = Harness::with(&limit, &[("big", &script)]);
        assert_eq!(harness.play(&[Caller::requesting("alone", max)]).count(200), 1);
        assert_eq!(spent(&harness), (expected, 1), "{usage}");
    }
}

#[test]
fn absurd_usage_of_an_upstream_is_estimated_instead() {
    let absurd = r#"{"choices":[{"message":{"content":"one"}}],"usage":{"prompt_tokens":9,"completion_tokens":18446744073709551615}}"#;
    let script = format!("content_type = 'application/json'\nraw = '{absurd}'");
    let limit = TOKENS.replace("by =", "default_output = 10\nby =");
    let harness = Harness::with(&limit, &[("big", &script)]);
    assert_eq!(harness.play(&vec![Caller::requesting("alone", ""); 2]).count(200), 2);
    assert_eq!(spent(&harness), (20, 2));
}

#[test]
fn hang_up_between_two_attempts_costs_nothing() {
    let retries = "[[routes]]\nid = 'again'\nmodels = ['again']\ntargets = [{ provider = 'big' }]\nretries = { attempts = 5, backoff = '2s' }\n";
    let harness = Harness::with(&format!("{retries}{TOKENS}"), &[("big", "status = 500")]);
    let hangs_up = Caller {
        hang_up: HangUp::After(Duration::from_millis(200)),
        ..Caller::requesting("again", r#","max_tokens":10"#)
    };
    let observed = harness.play(&[hangs_up]);
    assert_eq!(observed.records[0]["outcome"], "hung_up");
    assert_eq!(spent(&harness), (0, 0), "{}", observed.records[0]);
}

#[test]
fn lost_ledger_replies_charge_once() {
    let harness = Harness::with(TOKENS, &[("big", USAGE)]);
    harness.world.set_ledger_drops_replies(true);
    assert_eq!(harness.play(&[Caller::requesting("alone", r#","max_tokens":80"#)]).count(200), 1);
    harness.world.set_ledger_drops_replies(false);
    // Reservations whose reply was lost have expired by now.
    let later = Duration::from_secs(100);
    harness
        .play(&[Caller { arrives: later, ..Caller::requesting("alone", r#","max_tokens":80"#) }]);
    assert_eq!(spent(&harness), (200, 2));
}

#[test]
fn fallback_of_a_limited_route_reserves_for_its_dearest_target() {
    let limits = "[[routes]]\nid = 'multi'\nmodels = ['multi']\ntargets = [{ provider = 'big' }]\nfallback = [{ provider = 'small', model = 'small' }, { provider = 'big', model = 'dear' }]\nfallback_on = ['5xx', 'limited']\n[[routes]]\nid = 'dear'\nmodels = ['dear']\ntargets = [{ provider = 'big' }]\n[[prices]]\nmodel = 'dear'\ninput = 1000.0\noutput = 1000.0\n[[limits]]\nid = 'm'\nby = 'all'\non = { routes = ['multi'] }\nrequests = { per = 'hour', max = 1 }\n[[limits]]\nid = 's'\nby = 'all'\non = { routes = ['small', 'dear'] }\ncost = { per = 'hour', max = 0.01 }\n";
    let harness = Harness::with(limits, &[("big", USAGE), ("small", "status = 500")]);
    assert_eq!(harness.play(&[Caller::requesting("multi", "")]).count(200), 1);
    let observed = harness.play(&[Caller::requesting("multi", "")]);
    assert_eq!(
        observed.count(429),
        1,
        "80 tokens of `dear` exceed the limit: {:?}",
        observed.records
    );
}

#[test]
fn unknown_model_names_are_no_rows() {
    let harness = Harness::with("", &[]);
    let observed = harness.play(&[Caller::requesting("made-up-name", "")]);
    assert_eq!(code(&observed.received[0]), "model_not_found");
    let stored = harness.world.stored_text();
    // The request log has the name: its lines are bounded in number.
    let (log, rows): (Vec<&str>, Vec<&str>) =
        stored.split("},\"").partition(|row| row.contains("{\"log\":"));
    let has_name = |part: &&str| part.contains("made-up-name");
    assert!(rows.iter().any(|row| row.contains("|app|")), "{stored}");
    assert!(!rows.iter().any(has_name) && log.iter().any(has_name), "{stored}");
}

#[test]
fn hang_up_during_a_fetch_of_keys_does_not_block_others() {
    const TOKEN: &str = "eyJhbGciOiAiRVMyNTYiLCAia2lkIjogImsifQ.eyJpc3MiOiAiaHR0cHM6Ly9pZCIsICJzdWIiOiAiYW5uYSIsICJleHAiOiA0MTAyNDQ0ODAwfQ.AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ";
    const KEYS: &str = r#"{"keys":[{"kty":"EC","kid":"k","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;
    let issuer =
        format!("[[auth.jwt]]\nissuer = 'https://id'\njwks_url = '{UPSTREAM}/issuer/keys'\n");
    let keys = format!("content_type = 'application/json'\nraw = '{KEYS}'");
    let spec = upstream(&["hang = true", &keys]);
    let harness = Harness::seeded(1, &issuer, [("issuer", spec)]);
    let caller = |arrives, hang_up| Caller {
        arrives,
        key: TOKEN,
        hang_up,
        ..Caller::requesting("alone", "")
    };
    let observed = harness.play(&[
        caller(Duration::ZERO, HangUp::After(Duration::from_millis(100))),
        caller(Duration::from_secs(1), HangUp::Never),
    ]);
    // Only the keys show that the signature is invalid.
    assert_eq!(code(&observed.received[1]), "invalid_api_key", "{:?}", observed.records);
}

#[test]
fn completion_with_several_prompts_reserves_for_each() {
    let harness = Harness::with(TOKENS, &[("big", USAGE)]);
    let body = r#"{"model":"alone","prompt":["a","b","c","d","e"],"max_tokens":300}"#;
    let request = http::Request::post("/v1/completions")
        .header("authorization", "Bearer APP_KEY")
        .body(Body::from(Bytes::from_static(body.as_bytes())))
        .expect("a request");
    let received = send(&harness.world, &harness.gateway, request);
    assert_eq!(code(&received), "insufficient_quota", "the output may have 1,500 tokens");
}

#[test]
fn hard_limit_is_sent_in_the_field_that_the_upstream_reads() {
    let limit =
        "[[limits]]\nid = 'l'\nby = 'all'\nhard = true\ntokens = { per = 'total', max = 150 }\n";
    let harness = Harness::with(limit, &[("big", USAGE)]);
    harness.play(&[Caller::requesting("alone", r#","max_completion_tokens":5"#)]);
    let body: Value = serde_json::from_slice(&harness.world.calls()["big"][0].body).expect("JSON");
    assert_eq!(body["max_tokens"], 5);
}

#[test]
fn several_exceeded_limits_return_the_longest_wait() {
    let limits = "[[limits]]\nid = 'a'\nby = 'consumer'\nrequests = { per = 'minute', max = 1 }\n[[limits]]\nid = 'z'\nby = 'header:user-agent'\nrequests = { per = 'day', max = 1 }\n";
    let harness = Harness::with(limits, &[("big", USAGE)]);
    let ask = || {
        let mut request = Caller::requesting("alone", "").message();
        request.headers_mut().insert("user-agent", http::HeaderValue::from_static("it"));
        send(&harness.world, &harness.gateway, request)
    };
    ask();
    let over = ask();
    assert_eq!(code(&over), "insufficient_quota");
    assert!(over.header("retry-after").parse::<u64>().is_ok_and(|it| it > 60));
}

#[test]
fn request_larger_than_the_limit_is_not_to_be_retried() {
    let limit = "[[limits]]\nid = 'l'\nby = 'all'\ntokens = { per = 'minute', max = 100 }\n";
    let harness = Harness::with(limit, &[("big", USAGE)]);
    let over = &harness.play(&[Caller::requesting("alone", r#","max_tokens":500"#)]).received[0];
    assert_eq!(
        (code(over).as_str(), over.header("x-should-retry")),
        ("rate_limit_exceeded", "false")
    );
}

#[test]
fn addresses_with_a_port_or_invalid_ones_are_limited() {
    let limits = "[server]\naddress_header = 'x-client'\n[[limits]]\nid = 'l'\nby = 'ip'\nrequests = { per = 'day', max = 1 }\n";
    for address in ["192.0.2.1:4711", "[2001:db8::1]:80", "not-an-address", ""] {
        let harness = Harness::with(limits, &[("big", USAGE)]);
        let ask = || {
            let mut request = Caller::requesting("alone", "").message();
            let address = http::HeaderValue::from_static(address);
            request.headers_mut().insert("x-client", address);
            send(&harness.world, &harness.gateway, request).status()
        };
        let got = (ask(), ask());
        assert_eq!(got, (200, 429), "{address}");
        let is_known = !harness.world.stored_text().contains("unknown");
        assert_eq!(is_known, address.contains("2"), "{address}");
    }
}
