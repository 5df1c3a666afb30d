//! Configuration versions in virtual time: several isolates of one host, with a store that lags like
//! Workers KV.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use config::author;
use gateway::host::body::Body;
use gateway::service::Service;
use serde_json::{Value, json};
use sim::testing::{self, chat_request, upstream};
use sim::world::{HangUp, Received, UPSTREAM, World};

/// Time for which Workers KV may show an old value.
const STORE_LAG: Duration = Duration::from_secs(30);

/// Configuration in JSON with this provider, and a limit that is never reached.
fn document(provider: &str) -> String {
    let text = format!(
        "[[providers]]\nid = 'old'\nkind = 'openai-compatible'\nbase_url = '{UPSTREAM}/old/v1'\n\
         [[providers]]\nid = 'new'\nkind = 'openai-compatible'\nbase_url = '{UPSTREAM}/new/v1'\n\
         [[routes]]\nid = 'chat'\nmodels = ['*']\ntargets = [{{ provider = '{provider}' }}]\n\
         [[consumers]]\nid = 'app'\nkeys = ['secret:APP']\n\
         [[limits]]\nid = 'l'\nby = 'consumer'\nlease = true\nrequests = {{ per = 'total', max = 1000000 }}\n"
    );
    author::to_json(&text).expect("the configuration is valid")
}

fn world() -> World {
    let slow = upstream(&["answer = 'one two three four'\ngap = '300ms'"]);
    let world = testing::world(7, [("old", slow.clone()), ("new", slow)]);
    world.deploy(&document("old"));
    world.set_store_lag(STORE_LAG);
    world
}

fn question(stream: bool) -> http::Request<Body> {
    let body =
        json!({ "model": "m", "stream": stream, "messages": [{ "role": "user", "content": "a" }] });
    chat_request("APP", body.to_string())
}

fn admin(method: &str, path: &str, if_match: Option<&str>, body: &str) -> http::Request<Body> {
    let mut request = http::Request::builder()
        .method(method)
        .uri(format!("/admin/v1/{path}"))
        .header("authorization", "Bearer ADMIN_TOKEN")
        .header("content-type", "application/json");
    if let Some(tag) = if_match {
        request = request.header("if-match", tag);
    }
    request.body(Body::from(Bytes::from(body.to_owned()))).expect("a request")
}

fn send_request(
    world: &World,
    service: &Service,
    request: http::Request<Body>,
) -> (u16, Value, String) {
    let received = world
        .executor()
        .run(world.receive(service.handle(world.clone(), request), HangUp::Never))
        .expect("it ends");
    let tag = received.header("etag").to_owned();
    (received.status(), serde_json::from_slice(&received.body()).unwrap_or_default(), tag)
}

/// Requests of a burst: arrival, isolate, and response of each.
type ObservedRequests = Rc<RefCell<Vec<(Duration, usize, Received)>>>;

#[test]
fn new_version_reaches_every_isolate_in_a_minute_without_failures() {
    let world = world();
    let services: [Service; 2] = [Service::default(), Service::default()];
    let observed: ObservedRequests = Rc::default();
    for at in 0..1_000_u64 {
        // The second isolate is idle for a while, so its copy of the configuration becomes old.
        if at % 2 == 1 && (250..700).contains(&at) {
            continue;
        }
        let (isolate, arrives) = ((at % 2) as usize, Duration::from_millis(at * 130));
        let (host, service, observed) =
            (world.clone(), services[isolate].clone(), Rc::clone(&observed));
        world.executor().spawn(async move {
            host.executor().sleep(arrives).await;
            let answer = service.handle(host.clone(), question(at % 3 == 0));
            let received = host.receive(answer, HangUp::Never).await;
            observed.borrow_mut().push((arrives, isolate, received));
        });
    }
    let put = Rc::new(RefCell::new(None));
    {
        let (host, service, put) = (world.clone(), services[0].clone(), Rc::clone(&put));
        world.executor().spawn(async move {
            host.executor().sleep(Duration::from_secs(30)).await;
            let request = admin("PUT", "config", Some("*"), &document("new"));
            let received = host.receive(service.handle(host.clone(), request), HangUp::Never).await;
            let status = received.status();
            *put.borrow_mut() = Some((status, host.executor().now()));
        });
    }
    world.executor().drain().expect("it ends");
    let (status, done) = put.borrow_mut().take().expect("the request ended");
    assert_eq!(status, 200);
    let mut last_old = [Duration::ZERO; 2];
    for (arrived, isolate, received) in observed.borrow().iter() {
        assert_eq!(received.status(), 200, "at {arrived:?}");
        assert!(received.is_whole && received.broken.is_none(), "at {arrived:?}");
        match received.header("x-serin-target") {
            "old/m" => last_old[*isolate] = last_old[*isolate].max(*arrived),
            other => assert_eq!(other, "new/m"),
        }
    }
    assert!(
        last_old[0] <= done,
        "old version after the change at the changed isolate: {last_old:?}, {done:?}"
    );
    assert!(
        last_old[1] <= done + Duration::from_secs(57),
        "old version for too long at the other isolate: {last_old:?}"
    );
    // The lag is effective: the other isolate serves the old version for a while.
    assert!(last_old[1] > done + Duration::from_secs(1), "{last_old:?}");
    let count = observed.borrow().len() as u64;
    assert_eq!(used(&world), count, "budgets and leases pass to the next gateway");
    let mut warnings = world.take_warnings();
    // The value of each secret of this world is its name.
    warnings.retain(|line| !line.contains("can be guessed"));
    assert_eq!(warnings, [""; 0]);
}

/// Number of requests that the limit counted.
fn used(world: &World) -> u64 {
    let service = Service::default();
    let (_, body, _) = send_request(world, &service, admin("GET", "limits/l/app", None, ""));
    body["quotas"][0]["used"].as_u64().expect("a number")
}

#[test]
fn put_of_an_invalid_configuration_changes_nothing() {
    let world = world();
    let service = Service::default();
    let invalid = document("old").replace("\"old\"}]", "\"unknown\"}]");
    assert_ne!(invalid, document("old"));
    let (status, body, _) =
        send_request(&world, &service, admin("PUT", "config", Some("*"), &invalid));
    assert_eq!((status, &body["error"]["code"]), (422, &json!("invalid_configuration")));
    assert_eq!(body["error"]["problems"][0]["path"], "routes[0].targets[0].provider");
    let stored = world.stored_text();
    assert!(!stored.contains("config/") && !stored.contains("audit/"), "{stored}");
    assert_eq!(send_request(&world, &service, question(false)).0, 200);
}

#[test]
fn concurrent_puts_create_one_version() {
    let world = world();
    let services: Vec<Service> = (0..8).map(|_| Service::default()).collect();
    for round in 0..5_u64 {
        let (_, _, tag) = send_request(&world, &services[0], admin("GET", "config", None, ""));
        let answers = Rc::new(RefCell::new(Vec::new()));
        for (at, service) in services.iter().enumerate() {
            let (host, service, answers) = (world.clone(), service.clone(), Rc::clone(&answers));
            let body = document("new").replace("chat", &format!("chat-{round}-{at}"));
            let request = admin("PUT", "config", Some(&tag), &body);
            world.executor().spawn(async move {
                host.executor().sleep(Duration::from_millis(at as u64 % 3)).await;
                let answer = service.handle(host.clone(), request);
                let received = host.receive(answer, HangUp::Never).await;
                answers.borrow_mut().push(received.status());
            });
        }
        world.executor().drain().expect("it ends");
        let won = answers.borrow().iter().filter(|status| **status == 200).count();
        let lost = answers.borrow().iter().filter(|status| **status == 412).count();
        assert_eq!((won, lost), (1, 7), "round {round}");
        world.executor().run(world.executor().sleep(Duration::from_secs(60))).expect("it ends");
    }
    // All isolates serve the same version in the end.
    let mut served = BTreeSet::new();
    for service in &services {
        assert_eq!(send_request(&world, service, question(false)).0, 200);
        world.executor().drain().expect("it ends");
        served.insert(service.version().expect("it is open").etag());
    }
    assert_eq!(served.len(), 1, "{served:?}");
    let (_, list, _) =
        send_request(&world, &services[0], admin("GET", "config/versions", None, ""));
    let numbers: Vec<u64> = list["data"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|it| it["version"].as_u64())
        .collect();
    assert_eq!(numbers, [5, 4, 3, 2, 1, 0]);
}

#[test]
fn put_with_a_lost_ledger_reply_fails_and_takes_effect_later() {
    let world = world();
    let service = Service::default();
    let (_, _, tag) = send_request(&world, &service, admin("GET", "config", None, ""));
    // From the middle of the change on, the ledger applies operations but its replies are lost.
    let host = world.clone();
    world.executor().spawn(async move {
        host.executor().sleep(Duration::from_millis(5)).await;
        host.set_ledger_drops_replies(true);
        host.executor().sleep(Duration::from_secs(60)).await;
        host.set_ledger_drops_replies(false);
    });
    let put = admin("PUT", "config", Some(&tag), &document("new"));
    let (status, body, _) = send_request(&world, &service, put);
    assert_eq!((status, &body["error"]["code"]), (503, &json!("ledger_unavailable")), "{body}");
    world.executor().drain().expect("it ends");
    // The change was applied. The next read of the configuration publishes it.
    let (status, _, tag) = send_request(&world, &service, admin("GET", "config", None, ""));
    assert_eq!((status, &tag[..3]), (200, "\"1-"));
    world.executor().run(world.executor().sleep(STORE_LAG)).expect("it ends");
    let late = Service::default();
    assert_eq!(send_request(&world, &late, question(false)).0, 200);
    assert_eq!(late.version().expect("it is open").version, 1);
}

#[test]
fn cool_down_of_a_key_survives_the_next_version() {
    let world = testing::world(1, [("old", upstream(&["status = 401"]))]);
    let keyed =
        document("old").replacen("\"id\":\"old\"", "\"id\":\"old\",\"keys\":[\"secret:K\"]", 1);
    assert_ne!(keyed, document("old"));
    world.deploy(&keyed);
    let service = Service::default();
    assert_ne!(send_request(&world, &service, question(false)).0, 200);
    let calls = || world.calls()["old"].len();
    let before = calls();
    // A version with another provider does not retry the refused key.
    let more = keyed.replacen(
        "\"providers\":[",
        &format!("\"providers\":[{{\"id\":\"first\",\"kind\":\"openai-compatible\",\"base_url\":\"{UPSTREAM}/new/v1\"}},"),
        1,
    );
    assert_ne!(more, keyed);
    assert_eq!(send_request(&world, &service, admin("PUT", "config", Some("*"), &more)).0, 200);
    assert_ne!(send_request(&world, &service, question(false)).0, 200);
    assert_eq!(calls(), before, "its only key cools down");
    // A version with another key does.
    let other = more.replace("secret:K\"", "secret:OTHER\"");
    assert_eq!(send_request(&world, &service, admin("PUT", "config", Some("*"), &other)).0, 200);
    send_request(&world, &service, question(false));
    assert_eq!(calls(), before + 1);
}

#[test]
fn warning_is_one_line_of_json() {
    let now = civil_time::Timestamp::from_millis(5);
    let line = gateway::host::warning_line(now, "first\r\nsecond \"quoted\"");
    assert_eq!(line, r#"{"at_ms":5,"event":"warning","message":"first\r\nsecond \"quoted\""}"#);
}
