//! Sessions of operators: sign-in, cookie, renewal, revocation, and throttling.

use std::time::Duration;

use config::Role;
use http::{Method, Request};
use secret::KeyDigest;
use serde_json::{Value, json};

use crate::host::body::Body;
use crate::testing::fake_host::block_on;

use super::{ADMIN, Fixture, Response};

/// Headers of a page of the gateway itself.
const PAGE: [(&str, &str); 2] =
    [("sec-fetch-site", "same-origin"), ("content-type", "application/json")];

fn send(
    fixture: &Fixture,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
    body: &str,
) -> Response {
    let method: Method = method.parse().expect("a method");
    let mut request = Request::builder().method(method).uri(format!("/admin/v1/{path}"));
    request = request.header("host", "gw.example.com");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = Body::from(bytes::Bytes::from(body.to_owned()));
    block_on(fixture.send(request.body(body).expect("a request")))
}

fn sign_in(fixture: &Fixture, token: &str) -> Response {
    send(fixture, ("POST", "session"), &PAGE, &json!({ "token": token }).to_string())
}

/// The `cookie` header that a browser sends after this response.
fn cookie_of(response: &Response) -> String {
    let set = response.headers["set-cookie"].to_str().expect("ASCII");
    assert!(set.ends_with("; Path=/; Secure; HttpOnly; SameSite=Strict"), "{set}");
    set.split(';').next().expect("a pair").to_owned()
}

/// Signs in; returns the cookie.
#[track_caller]
fn open(fixture: &Fixture, token: &str) -> String {
    let response = sign_in(fixture, token);
    assert_eq!(response.status, 200, "{}", response.body);
    cookie_of(&response)
}

/// Sends a request of a page with a session.
fn send_with(fixture: &Fixture, line: &str, cookie: &str, body: &str) -> Response {
    let line = line.split_once(' ').expect("a method and a path");
    send(fixture, line, &[PAGE[0], PAGE[1], ("cookie", cookie)], body)
}

#[track_caller]
fn assert_ended(fixture: &Fixture, cookie: &str) {
    let answer = send_with(fixture, "GET session", cookie, "");
    let code = &answer.body["error"]["code"];
    assert_eq!((answer.status.as_u16(), code), (401, &json!("session_ended")));
}

#[test]
fn session_replaces_the_token_until_it_is_closed() {
    let fixture = Fixture::new();
    let answer = sign_in(&fixture, "editor");
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.headers["set-cookie"].to_str().expect("ASCII").starts_with("__Host-serin=1."));
    let cookie = cookie_of(&answer);
    let body = &answer.body;
    assert_eq!((&body["operator"], &body["role"]), (&json!("editor"), &json!("editor")));
    assert_eq!(body["expires_at"], "2026-01-01T12:00:00.000Z");
    assert_eq!(body["can"]["issue_keys"], true);
    let own = send_with(&fixture, "GET session", &cookie, "");
    assert_eq!(own.body, *body);
    assert!(!own.headers.contains_key("set-cookie"), "it is renewed after a minute only");
    assert_eq!(send_with(&fixture, "GET consumers", &cookie, "").status, 200);
    let created = send_with(&fixture, "POST consumers", &cookie, r#"{"id":"new"}"#);
    assert_eq!(created.status, 201, "{}", created.body);
    let refused = send_with(&fixture, "POST config/follow", &cookie, "");
    assert_eq!(refused.body["error"]["code"], "role_not_allowed");
    // Another cookie beside it is ignored.
    assert_eq!(send_with(&fixture, "GET session", &format!("a=b; {cookie}"), "").status, 200);
    let closed = send_with(&fixture, "DELETE session", &cookie, "");
    assert_eq!(closed.status, 204);
    let cleared = closed.headers["set-cookie"].to_str().expect("ASCII");
    assert!(cleared.starts_with("__Host-serin=; Max-Age=0;"), "{cleared}");
    assert_ended(&fixture, &cookie);
    let log = fixture.assert_status("GET audit", "", 200);
    let actions: Vec<&Value> =
        log["data"].as_array().expect("entries").iter().map(|it| &it["action"]).collect();
    let mut expected = ["session.close", "consumer.create", "session.open"];
    expected.sort_unstable();
    let mut actions: Vec<&str> = actions.iter().filter_map(|it| it.as_str()).collect();
    actions.sort_unstable();
    assert_eq!(actions, expected);
    let stored = format!("{:?}", fixture.fake.entries());
    assert!(!stored.contains(cookie.split_once('=').expect("a pair").1), "no cookie is stored");
}

#[test]
fn role_and_token_of_a_session_are_looked_up_for_every_call() {
    let mut fixture = Fixture::new();
    let (editor, owner) = (open(&fixture, "editor"), open(&fixture, ADMIN));
    let role =
        |fixture: &Fixture| send_with(fixture, "GET session", &editor, "").body["role"].clone();
    assert_eq!(role(&fixture), "editor");
    let position = fixture.config.operators.iter().position(|it| it.name == "editor");
    let position = position.expect("it is configured");
    fixture.config.operators[position].role = Role::Viewer;
    assert_eq!(role(&fixture), "viewer");
    fixture.config.operators[position].token = KeyDigest::new("another");
    assert_ended(&fixture, &editor);
    fixture.config.operators.remove(position);
    assert_ended(&fixture, &editor);
    assert_eq!(send_with(&fixture, "GET session", &owner, "").status, 200);
    fixture.token = Some(KeyDigest::new("a new ADMIN_TOKEN"));
    assert_ended(&fixture, &owner);
    assert_ended(&fixture, "__Host-serin=1.7b7d.00");
}

#[test]
fn session_ends_when_idle_and_polls_do_not_renew_it() {
    let fixture = Fixture::new();
    let first = open(&fixture, "viewer");
    let mut renewed = first.clone();
    for _ in 0..3 {
        fixture.fake.advance(Duration::from_secs(20 * 60));
        let polled = [PAGE[0], ("x-serin-poll", "1"), ("cookie", &renewed)];
        let polled = send(&fixture, ("GET", "usage"), &polled, "");
        assert_eq!((polled.status.as_u16(), polled.headers.get("set-cookie")), (200, None));
        let answer = send_with(&fixture, "GET consumers", &renewed, "");
        renewed = cookie_of(&answer);
    }
    // The list of sessions shows the last use to within ten minutes.
    fixture.fake.run_deferred();
    let list = send_with(&fixture, "GET sessions", &renewed, "");
    assert_eq!(list.body["data"][0]["seen_at"], "2026-01-01T01:00:00.000Z");
    assert_ended(&fixture, &first);
    fixture.fake.advance(Duration::from_secs(30 * 60));
    assert_ended(&fixture, &renewed);
    // In any case after twelve hours, even if an error is the answer that renews.
    let mut cookie = open(&fixture, "viewer");
    for _ in 0..36 {
        fixture.fake.advance(Duration::from_secs(20 * 60 - 1));
        cookie = cookie_of(&send_with(&fixture, "GET nothing", &cookie, ""));
    }
    fixture.fake.advance(Duration::from_secs(36));
    assert_ended(&fixture, &cookie);
}

#[test]
fn revoked_sessions_end_here_at_once() {
    let fixture = Fixture::new();
    let (ada, other) = (open(&fixture, "viewer"), open(&fixture, "viewer"));
    let owner = open(&fixture, "owner");
    let list = send_with(&fixture, "GET sessions", &ada, "");
    let own = list.body["data"].as_array().expect("sessions").clone();
    assert_eq!(own.iter().filter(|it| it["current"] == true).count(), 1);
    assert!(own.iter().all(|it| it["operator"] == "viewer") && own.len() == 2, "{own:?}");
    assert_eq!(own[0]["address"], "203.0.113.7");
    let all = send_with(&fixture, "GET sessions", &owner, "");
    assert_eq!(all.body["data"].as_array().map(Vec::len), Some(3));
    let id = |session: &Value| session["id"].as_str().expect("text").to_owned();
    let of_owner = all.body["data"].as_array().expect("sessions").iter();
    let of_owner = id(of_owner.clone().find(|it| it["operator"] == "owner").expect("it is open"));
    // A viewer ends only its own sessions.
    for path in [format!("sessions/{of_owner}"), "sessions/ses_x".into(), "sessions/a%2Fb".into()] {
        assert_eq!(send_with(&fixture, &format!("DELETE {path}"), &ada, "").status, 404, "{path}");
    }
    let refused = send_with(&fixture, "DELETE sessions?operator=owner", &ada, "");
    assert_eq!(refused.body["error"]["code"], "role_not_allowed");
    let current = id(own.iter().find(|it| it["current"] == true).expect("it is one"));
    assert_eq!(send_with(&fixture, &format!("DELETE sessions/{current}"), &owner, "").status, 204);
    assert_ended(&fixture, &ada);
    assert_eq!(send_with(&fixture, "GET session", &other, "").status, 200);
    // All of an operator's sessions until now; a later one counts.
    let line = "DELETE sessions?operator=viewer";
    assert_eq!(send_with(&fixture, line, &owner, "").status, 204);
    assert_ended(&fixture, &other);
    assert_eq!(send_with(&fixture, "GET session", &owner, "").status, 200);
    fixture.fake.advance(Duration::from_millis(1));
    let again = open(&fixture, "viewer");
    assert_eq!(send_with(&fixture, "DELETE sessions", &again, "").status, 204);
    assert_ended(&fixture, &again);
    let log = fixture.assert_status("GET audit?action=session.revoke", "", 200);
    assert_eq!(log["data"].as_array().map(Vec::len), Some(3));
}

#[test]
fn session_revoked_elsewhere_ends_within_the_memory_of_an_isolate() {
    let (fixture, elsewhere) = (Fixture::new(), Fixture::new());
    let elsewhere = Fixture { fake: fixture.fake.clone(), ..elsewhere };
    let cookie = open(&fixture, "viewer");
    assert_eq!(send_with(&fixture, "GET session", &cookie, "").status, 200);
    assert_eq!(send_with(&elsewhere, "DELETE session", &cookie, "").status, 204);
    assert_eq!(send_with(&fixture, "GET session", &cookie, "").status, 200);
    fixture.fake.advance(Duration::from_secs(10));
    assert_ended(&fixture, &cookie);
    // Without the store, a session that was good a moment ago still is, and no other one.
    let cookie = open(&fixture, "viewer");
    assert_eq!(send_with(&fixture, "GET session", &cookie, "").status, 200);
    fixture.fake.set_store_unavailable(true);
    fixture.fake.advance(Duration::from_secs(60));
    assert_eq!(send_with(&fixture, "GET session", &cookie, "").status, 200);
    let unknown = send_with(&elsewhere, "GET session", &cookie, "");
    assert_eq!(unknown.body["error"]["code"], "store_unavailable");
}

#[test]
fn request_of_another_site_is_refused() {
    let fixture = Fixture::new();
    let cookie = open(&fixture, ADMIN);
    let body = r#"{"id":"evil"}"#;
    for headers in [
        &[("sec-fetch-site", "cross-site")][..],
        &[("sec-fetch-site", "same-site"), ("origin", "https://gw.example.com")],
        &[("origin", "https://evil.example")],
        &[],
    ] {
        let mut all = vec![("cookie", cookie.as_str()), PAGE[1]];
        all.extend(headers);
        let answer = send(&fixture, ("POST", "consumers"), &all, body);
        assert_eq!(answer.body["error"]["code"], "cross_site_request", "{headers:?}");
    }
    assert_eq!(fixture.count_entries("consumer/"), 0);
    let same = [("cookie", cookie.as_str()), PAGE[1], ("origin", "https://gw.example.com")];
    assert_eq!(send(&fixture, ("POST", "consumers"), &same, body).status, 201);
    // A page elsewhere cannot sign in, a program can.
    let token = json!({ "token": ADMIN }).to_string();
    let evil = [("origin", "https://evil.example"), PAGE[1]];
    let answer = send(&fixture, ("POST", "session"), &evil, &token);
    assert_eq!(answer.body["error"]["code"], "cross_site_request");
    assert_eq!(send(&fixture, ("POST", "session"), &[PAGE[1]], &token).status, 200);
    // A token beside a session: nobody knows which of them was meant.
    let bearer = format!("Bearer {ADMIN}");
    let both = [("cookie", cookie.as_str()), ("authorization", &bearer)];
    assert_eq!(send(&fixture, ("GET", "session"), &both, "").status, 400);
    // A cookie without `__Host-` may be another host's.
    let loose = cookie.replace("__Host-", "");
    assert_eq!(send(&fixture, ("GET", "session"), &[("cookie", &loose)], "").status, 401);
}

#[test]
fn wrong_tokens_are_throttled_and_logged() {
    let mut fixture = Fixture::new();
    for number in 0..10 {
        let answer = sign_in(&fixture, &format!("wrong {number}"));
        assert_eq!(answer.body["error"]["code"], "invalid_api_key");
        assert!(!answer.headers.contains_key("set-cookie"));
    }
    let answer = sign_in(&fixture, "wrong");
    let code = &answer.body["error"]["code"];
    assert_eq!((answer.status.as_u16(), code), (429, &json!("too_many_sign_ins")));
    let wait: u64 = answer.headers["retry-after"].to_str().expect("ASCII").parse().expect("s");
    assert!((800..=920).contains(&wait), "{wait}");
    // The right token is not even compared.
    assert_eq!(sign_in(&fixture, ADMIN).status, 429);
    let log = fixture.assert_status("GET audit", "", 200);
    let entries = log["data"].as_array().expect("entries");
    assert_eq!(entries.len(), 1, "one in a minute: {log}");
    assert_eq!(
        (&entries[0]["action"], &entries[0]["address"], &entries[0]["role"]),
        (&json!("session.refused"), &json!("203.0.113.7"), &json!("none"))
    );
    let lines = fixture.fake.take_warnings();
    assert!(lines.len() == 1 && lines[0].contains("203.0.113.7"), "{lines:?}");
    assert!(!format!("{:?}{lines:?}", fixture.fake.entries()).contains("wrong 0"));
    fixture.fake.advance(Duration::from_secs(wait));
    // Right tokens do not count.
    (0..20).for_each(|_| drop(open(&fixture, ADMIN)));
    // All wrong tokens together have a bound as well; a right one still counts.
    let mut codes = std::collections::BTreeMap::new();
    for number in 0..250_u32 {
        fixture.client_ip = Some(std::net::Ipv4Addr::from(number).into());
        let code = sign_in(&fixture, "wrong").body["error"]["code"].to_string();
        *codes.entry(code).or_insert(0) += 1;
    }
    assert_eq!(codes["\"invalid_api_key\""], 190);
    assert_eq!(sign_in(&fixture, ADMIN).status, 200);
    fixture.fake.set_ledger_unavailable(true);
    assert_eq!(sign_in(&fixture, ADMIN).status, 503);
}

#[test]
fn sign_in_needs_the_pepper_and_a_right_body() {
    let fixture = Fixture { pepper: None, ..Fixture::new() };
    let answer = sign_in(&fixture, ADMIN);
    let code = &answer.body["error"]["code"];
    assert_eq!((answer.status.as_u16(), code), (501, &json!("key_pepper_missing")));
    assert_eq!(sign_in(&fixture, "wrong").status, 401);
    let fixture = Fixture::new();
    for (body, status) in
        [("", 400), ("[]", 400), (r#"{"token":1}"#, 400), (r#"{"tokn":"s3cret"}"#, 400)]
    {
        let answer = send(&fixture, ("POST", "session"), &PAGE, body);
        assert_eq!(answer.status, status, "{body}");
        assert!(!answer.body.to_string().contains("s3cret"));
    }
    let long = json!({ "token": "x".repeat(5_000) }).to_string();
    assert_eq!(send(&fixture, ("POST", "session"), &PAGE, &long).status, 413);
    // Without any token the admin API is off, and so are sessions.
    let mut off = Fixture { token: None, ..Fixture::new() };
    off.config.operators.clear();
    assert_eq!(sign_in(&off, ADMIN).status, 404);
    assert_eq!(send(&off, ("GET", "session"), &[], "").status, 404);
}
