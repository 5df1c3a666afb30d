//! Two isolates over one host, in virtual time: a document is put at one of them while callers come to
//! both, and the store is as far behind as Workers KV.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use config::author;
use gateway::host::body::Body;
use gateway::service::Service;
use serde_json::{Value, json};
use sim::upstream::{Script, UpstreamSpec};
use sim::world::{HangUp, Received, UPSTREAM, World};

/// As long as a shell lets Workers KV show what is no more.
const STORE_LAG: Duration = Duration::from_secs(30);

/// A document that leads to this upstream, with a limit that nobody reaches.
fn document(upstream: &str) -> String {
    let text = format!(
        "[[providers]]\nid = 'old'\nkind = 'openai-compatible'\nbase_url = '{UPSTREAM}/old/v1'\n\
         [[providers]]\nid = 'new'\nkind = 'openai-compatible'\nbase_url = '{UPSTREAM}/new/v1'\n\
         [[routes]]\nid = 'chat'\nmodels = ['*']\ntargets = [{{ provider = '{upstream}' }}]\n\
         [[consumers]]\nid = 'app'\nkeys = ['secret:APP']\n\
         [[limits]]\nid = 'l'\nby = 'consumer'\nlease = true\nrequests = {{ per = 'total', max = 1000000 }}\n"
    );
    author::to_json(&text).expect("the document is right")
}

fn world() -> World {
    let spec = |answer: &str| {
        let script: Script = toml::from_str(answer).expect("a script");
        UpstreamSpec { script: vec![script], ..UpstreamSpec::default() }
    };
    let slow = "answer = 'one two three four'\ngap = '300ms'";
    let world = World::new(7, [("old".into(), spec(slow)), ("new".into(), spec(slow))].into());
    world.deploy(&document("old"));
    world.set_store_lag(STORE_LAG);
    world
}

fn question(stream: bool) -> http::Request<Body> {
    let body =
        json!({ "model": "m", "stream": stream, "messages": [{ "role": "user", "content": "a" }] });
    http::Request::post("/v1/chat/completions")
        .header("authorization", "Bearer APP")
        .header("content-type", "application/json")
        .body(Body::from(Bytes::from(body.to_string())))
        .expect("a request")
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
    station: &Service,
    request: http::Request<Body>,
) -> (u16, Value, String) {
    let received = world
        .executor()
        .run(world.receive(station.handle(world.clone(), request), HangUp::Never))
        .expect("it ends");
    let (status, headers) = received.head.as_ref().expect("a head");
    let tag = headers.get("etag").and_then(|it| it.to_str().ok()).unwrap_or_default().to_owned();
    (status.as_u16(), serde_json::from_slice(&received.body()).unwrap_or_default(), tag)
}

/// A request of a burst: when it came, at which isolate, and what it got.
type ObservedRequests = Rc<RefCell<Vec<(Duration, usize, Received)>>>;

#[test]
fn everybody_follows_in_a_minute_and_no_request_fails() {
    let world = world();
    let stations: [Service; 2] = [Service::default(), Service::default()];
    let seen: ObservedRequests = Rc::default();
    for at in 0..1_000_u64 {
        // The second isolate has nothing to do for a while: what it knows grows old.
        if at % 2 == 1 && (250..700).contains(&at) {
            continue;
        }
        let (isolate, arrives) = ((at % 2) as usize, Duration::from_millis(at * 130));
        let (host, station, seen) = (world.clone(), stations[isolate].clone(), Rc::clone(&seen));
        world.executor().spawn(async move {
            host.executor().sleep(arrives).await;
            let answer = station.handle(host.clone(), question(at % 3 == 0));
            let received = host.receive(answer, HangUp::Never).await;
            seen.borrow_mut().push((arrives, isolate, received));
        });
    }
    let put = Rc::new(RefCell::new(None));
    {
        let (host, station, put) = (world.clone(), stations[0].clone(), Rc::clone(&put));
        world.executor().spawn(async move {
            host.executor().sleep(Duration::from_secs(30)).await;
            let request = admin("PUT", "config", Some("*"), &document("new"));
            let received = host.receive(station.handle(host.clone(), request), HangUp::Never).await;
            let status = received.head.expect("a head").0.as_u16();
            *put.borrow_mut() = Some((status, host.executor().now()));
        });
    }
    world.executor().drain().expect("it ends");
    let (status, done) = put.borrow_mut().take().expect("it was put");
    assert_eq!(status, 200);
    let mut last_old = [Duration::ZERO; 2];
    for (arrived, isolate, received) in seen.borrow().iter() {
        let (status, headers) = received.head.as_ref().expect("a head");
        assert_eq!(status.as_u16(), 200, "at {arrived:?}");
        assert!(received.is_whole && received.broken.is_none(), "at {arrived:?}");
        match headers["x-serin-target"].to_str().expect("text") {
            "old/m" => last_old[*isolate] = last_old[*isolate].max(*arrived),
            other => assert_eq!(other, "new/m"),
        }
    }
    assert!(last_old[0] <= done, "at once where it was put: {last_old:?}, {done:?}");
    assert!(last_old[1] <= done + Duration::from_secs(57), "elsewhere in time: {last_old:?}");
    // The lag is real: it would not have passed without one.
    assert!(last_old[1] > done + Duration::from_secs(1), "{last_old:?}");
    let count = seen.borrow().len() as u64;
    assert_eq!(used(&world), count, "budgets and leases went over to the next gateway");
    assert!(world.take_warnings().is_empty());
}

/// How many requests the limit has counted.
fn used(world: &World) -> u64 {
    let station = Service::default();
    let (_, body, _) = send_request(world, &station, admin("GET", "limits/l/app", None, ""));
    body["quotas"][0]["used"].as_u64().expect("a number")
}

#[test]
fn a_bad_document_changes_nothing() {
    let world = world();
    let station = Service::default();
    let bad = document("old").replace("\"old\"}]", "\"nobody\"}]");
    assert_ne!(bad, document("old"));
    let (status, body, _) = send_request(&world, &station, admin("PUT", "config", Some("*"), &bad));
    assert_eq!((status, &body["error"]["code"]), (422, &json!("invalid_configuration")));
    assert_eq!(body["error"]["problems"][0]["path"], "routes[0].targets[0].provider");
    let kept = world.stored_text();
    assert!(!kept.contains("config/") && !kept.contains("audit/"), "{kept}");
    assert_eq!(send_request(&world, &station, question(false)).0, 200);
}

#[test]
fn many_who_put_at_once_make_one_version_each_time() {
    let world = world();
    let stations: Vec<Service> = (0..8).map(|_| Service::default()).collect();
    for round in 0..5_u64 {
        let (_, _, tag) = send_request(&world, &stations[0], admin("GET", "config", None, ""));
        let answers = Rc::new(RefCell::new(Vec::new()));
        for (at, station) in stations.iter().enumerate() {
            let (host, station, answers) = (world.clone(), station.clone(), Rc::clone(&answers));
            let body = document("new").replace("chat", &format!("chat-{round}-{at}"));
            let request = admin("PUT", "config", Some(&tag), &body);
            world.executor().spawn(async move {
                host.executor().sleep(Duration::from_millis(at as u64 % 3)).await;
                let answer = station.handle(host.clone(), request);
                let received = host.receive(answer, HangUp::Never).await;
                answers.borrow_mut().push(received.head.expect("a head").0.as_u16());
            });
        }
        world.executor().drain().expect("it ends");
        let won = answers.borrow().iter().filter(|status| **status == 200).count();
        let beaten = answers.borrow().iter().filter(|status| **status == 412).count();
        assert_eq!((won, beaten), (1, 7), "round {round}");
        world.executor().run(world.executor().sleep(Duration::from_secs(60))).expect("it ends");
    }
    // Everybody serves the same in the end.
    let mut served = BTreeSet::new();
    for station in &stations {
        assert_eq!(send_request(&world, station, question(false)).0, 200);
        world.executor().drain().expect("it ends");
        served.insert(station.version().expect("it is open").etag());
    }
    assert_eq!(served.len(), 1, "{served:?}");
    let (_, list, _) =
        send_request(&world, &stations[0], admin("GET", "config/versions", None, ""));
    let numbers: Vec<u64> = list["data"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|it| it["version"].as_u64())
        .collect();
    assert_eq!(numbers, [5, 4, 3, 2, 1, 0]);
}

#[test]
fn where_the_ledger_s_answer_is_lost_nobody_is_told_that_it_is_done() {
    let world = world();
    let station = Service::default();
    let (_, _, tag) = send_request(&world, &station, admin("GET", "config", None, ""));
    // It does what it is told, and its answers do not arrive: from the middle of the change on.
    let host = world.clone();
    world.executor().spawn(async move {
        host.executor().sleep(Duration::from_millis(5)).await;
        host.set_ledger_drops_replies(true);
        host.executor().sleep(Duration::from_secs(60)).await;
        host.set_ledger_drops_replies(false);
    });
    let put = admin("PUT", "config", Some(&tag), &document("new"));
    let (status, body, _) = send_request(&world, &station, put);
    assert_eq!((status, &body["error"]["code"]), (503, &json!("ledger_unavailable")), "{body}");
    world.executor().drain().expect("it ends");
    // It was done all the same. Whoever looks sees that, and from then on so does everybody.
    let (status, _, tag) = send_request(&world, &station, admin("GET", "config", None, ""));
    assert_eq!((status, &tag[..3]), (200, "\"1-"));
    world.executor().run(world.executor().sleep(STORE_LAG)).expect("it ends");
    let late = Service::default();
    assert_eq!(send_request(&world, &late, question(false)).0, 200);
    assert_eq!(late.version().expect("it is open").version, 1);
}

#[test]
fn what_rests_goes_on_resting_under_the_next_version() {
    let fails: Script = toml::from_str("status = 401").expect("a script");
    let spec = UpstreamSpec { script: vec![fails], ..UpstreamSpec::default() };
    let world = World::new(1, [("old".to_owned(), spec)].into());
    let keyed =
        document("old").replacen("\"id\":\"old\"", "\"id\":\"old\",\"keys\":[\"secret:K\"]", 1);
    assert_ne!(keyed, document("old"));
    world.deploy(&keyed);
    let station = Service::default();
    assert_ne!(send_request(&world, &station, question(false)).0, 200);
    let calls = || world.calls()["old"].len();
    let before = calls();
    // Another provider comes, and the refused key is not tried again for that.
    let more = keyed.replacen(
        "\"providers\":[",
        &format!("\"providers\":[{{\"id\":\"first\",\"kind\":\"openai-compatible\",\"base_url\":\"{UPSTREAM}/new/v1\"}},"),
        1,
    );
    assert_ne!(more, keyed);
    assert_eq!(send_request(&world, &station, admin("PUT", "config", Some("*"), &more)).0, 200);
    assert_ne!(send_request(&world, &station, question(false)).0, 200);
    assert_eq!(calls(), before, "its only key rests");
    // With another key it is.
    let other = more.replace("secret:K\"", "secret:OTHER\"");
    assert_eq!(send_request(&world, &station, admin("PUT", "config", Some("*"), &other)).0, 200);
    send_request(&world, &station, question(false));
    assert_eq!(calls(), before + 1);
}
