//! Guesses of operators' tokens in `Authorization`.

use std::time::Duration;

use http::Method;
use serde_json::json;

use crate::testing::fake_host::block_on;

use super::{ADMIN, Fixture, Response};

fn call(fixture: &Fixture, token: &str) -> Response {
    block_on(fixture.request(token, Method::GET, "limits", ""))
}

#[test]
fn guesses_are_throttled_by_address_and_others_are_not_kept_out() {
    let mut fixture = Fixture::new();
    for number in 0..10 {
        assert_eq!(call(&fixture, &format!("wrong {number}")).status, 401);
    }
    // The same wrong token again is no guess: an old program keeps nobody out.
    (0..50).for_each(|_| assert_eq!(call(&fixture, "wrong 0").status, 401));
    assert_eq!(call(&fixture, ADMIN).status, 200);
    let answer = call(&fixture, "wrong");
    let code = &answer.body["error"]["code"];
    assert_eq!((answer.status.as_u16(), code), (429, &json!("too_many_sign_ins")));
    let wait: u64 = answer.headers["retry-after"].to_str().expect("ASCII").parse().expect("s");
    assert!((800..=920).contains(&wait), "{wait}");
    // From here on the right token is not compared, so that a guess cannot succeed.
    assert_eq!(call(&fixture, ADMIN).status, 429);
    let warnings = fixture.fake.take_warnings();
    assert!(warnings.len() == 1 && warnings[0].contains("203.0.113.7"), "{warnings:?}");
    let guesser = fixture.client_ip;
    fixture.client_ip = "203.0.113.8".parse().ok();
    assert_eq!(call(&fixture, ADMIN).status, 200);
    fixture.client_ip = guesser;
    fixture.fake.advance(Duration::from_secs(wait));
    assert_eq!(call(&fixture, ADMIN).status, 200);
}

#[test]
fn right_tokens_need_no_ledger_and_callers_without_an_address_share_no_wait() {
    let mut fixture = Fixture::new();
    fixture.fake.set_ledger_unavailable(true);
    let answer = block_on(fixture.request("viewer", Method::GET, "openapi.json", ""));
    assert_eq!(answer.status, 200);
    assert_eq!(call(&fixture, "wrong").status, 401);
    fixture.fake.set_ledger_unavailable(false);
    assert_eq!(fixture.fake.books(), []);
    fixture.client_ip = None;
    (0..100).for_each(|number| assert_eq!(call(&fixture, &format!("wrong {number}")).status, 401));
    assert_eq!(call(&fixture, ADMIN).status, 200);
    // All wrong tokens together have a bound, after which none costs a call of the ledger.
    (100..250).for_each(|number| drop(call(&fixture, &format!("wrong {number}"))));
    assert_eq!(call(&fixture, "wrong 250").status, 429);
    fixture.fake.set_ledger_unavailable(true);
    assert_eq!(call(&fixture, "wrong 251").status, 429);
    assert_eq!(block_on(fixture.request(ADMIN, Method::GET, "openapi.json", "")).status, 200);
}
