//! Another configuration in force: the state that outlives a configuration follows the ids of routes, limits
//! and providers, wherever they stand in the new one.

use std::time::Duration;

use bytes::Bytes;
use config::author;
use gateway::host::body::Body;
use gateway::service::Service;
use sim::testing::{self, Rng, chat_request, seeds, upstream};
use sim::world::{HangUp, Received, UPSTREAM, World};

/// Route of a document: a share of hedges in thousandths, or none, and a limit.
#[derive(Clone, Debug)]
struct RouteSpec {
    id: u64,
    hedge: Option<u64>,
    is_limited: bool,
    fallback: bool,
}

/// Configuration with some of these routes, in any order, and with one or both orders of the providers.
#[derive(Clone, Debug)]
struct Document {
    routes: Vec<RouteSpec>,
    is_reversed: bool,
    has_third_provider: bool,
}

impl Document {
    fn generate(rng: &mut Rng) -> Self {
        let mut routes: Vec<RouteSpec> = Vec::new();
        for _ in 0..1 + rng.below(6) {
            let id = rng.below(8);
            if routes.iter().all(|route| route.id != id) {
                routes.push(RouteSpec {
                    id,
                    hedge: (rng.below(3) > 0).then(|| rng.pick(&[1, 500, 1_000])),
                    is_limited: rng.below(2) == 0,
                    fallback: rng.below(4) > 0,
                });
            }
        }
        Self { routes, is_reversed: rng.below(4) == 0, has_third_provider: rng.below(4) == 0 }
    }

    /// A change of this document: routes are added, removed, and moved.
    fn change(&self, rng: &mut Rng) -> Self {
        let mut next = self.clone();
        match rng.below(4) {
            0 => return Self::generate(rng),
            1 => next.routes.reverse(),
            2 if next.routes.len() > 1 => {
                next.routes.remove(rng.below(next.routes.len() as u64) as usize);
            }
            _ => {
                let more = Self::generate(rng).routes;
                let is_new =
                    |route: &RouteSpec| self.routes.iter().all(|other| other.id != route.id);
                next.routes.splice(0..0, more.into_iter().filter(is_new));
            }
        }
        next
    }

    fn to_json(&self) -> String {
        let mut providers = vec!["slow", "quick"];
        if self.has_third_provider {
            providers.push("spare");
        }
        if self.is_reversed {
            providers.reverse();
        }
        let mut text = testing::providers(&providers).replace("UPSTREAM", UPSTREAM);
        for route in &self.routes {
            let id = route.id;
            text += &format!(
                "[[routes]]\nid = 'r{id}'\nmodels = ['m{id}']\ntargets = [{{ provider = 'slow' }}]\n"
            );
            if route.fallback || route.hedge.is_some() {
                text += "fallback = [{ provider = 'quick' }]\n";
            }
            if let Some(share) = route.hedge {
                text += &format!(
                    "hedge = {{ share = {}.{:03}, after = '50ms' }}\n",
                    share / 1_000,
                    share % 1_000
                );
            }
        }
        text += "[[consumers]]\nid = 'app'\nkeys = ['secret:APP']\n";
        for route in self.routes.iter().filter(|route| route.is_limited) {
            let id = route.id;
            text += &format!(
                "[[limits]]\nid = 'l{id}'\nby = 'consumer'\nlease = true\nrequests = {{ per = 'total', max = 100000 }}\n"
            );
        }
        author::to_json(&text).expect("the configuration is valid")
    }
}

fn world() -> World {
    let slow = upstream(&["answer = 'one'\ndelay = '400ms'"]);
    let quick = upstream(&["answer = 'two'"]);
    testing::world(3, [("slow", slow), ("quick", quick.clone()), ("spare", quick)])
}

fn question(route: u64) -> http::Request<Body> {
    let body = format!(r#"{{"model":"m{route}","messages":[{{"role":"user","content":"x"}}]}}"#);
    chat_request("APP", body)
}

fn play(world: &World, service: &Service, request: http::Request<Body>) -> Received {
    world.play(service.handle(world.clone(), request), HangUp::Never).expect("it ends")
}

fn put(world: &World, service: &Service, document: &Document) {
    let request = http::Request::put("/admin/v1/config")
        .header("authorization", "Bearer ADMIN_TOKEN")
        .header("content-type", "application/json")
        .header("if-match", "*")
        .body(Body::from(Bytes::from(document.to_json())))
        .expect("a request");
    let received = play(world, service, request);
    assert_eq!(received.status(), 200, "{}", received.text());
}

/// Whether a request of a route was hedged, from its record.
fn was_hedged(world: &World) -> bool {
    let records = world.take_records();
    let attempts = |record: &serde_json::Value| {
        record["attempts"]
            .as_array()
            .is_some_and(|all| all.iter().any(|one| one["part"] == "hedge"))
    };
    records.iter().any(attempts)
}

#[test]
fn every_route_of_the_next_document_answers_and_keeps_its_budget() {
    let mut hedged = 0;
    for seed in seeds(60) {
        let mut rng = Rng(seed);
        let (world, service) = (world(), Service::default());
        let mut document = Document::generate(&mut rng);
        world.deploy(&document.to_json());
        // Thousandths of a hedge that each route has saved, of ten at most.
        let mut saved = [0_u64; 8];
        for _ in 0..6 {
            for _ in 0..8 {
                let route = &document.routes[rng.below(document.routes.len() as u64) as usize];
                world.take_records();
                let received = play(&world, &service, question(route.id));
                assert_eq!(received.status(), 200, "{seed}: {document:?} {}", received.text());
                let own = &mut saved[route.id as usize];
                let expected = route.hedge.is_some_and(|share| {
                    *own = (*own + share).min(10_000);
                    let spends = *own >= 1_000;
                    *own -= if spends { 1_000 } else { 0 };
                    spends
                });
                assert_eq!(was_hedged(&world), expected, "{seed}: {route:?} of {document:?}");
                hedged += u64::from(expected);
            }
            // Requests of the earlier document are still on their way while the next one comes into force.
            for route in document.routes.clone() {
                let (host, service) = (world.clone(), service.clone());
                world.executor().spawn(async move {
                    host.executor().sleep(Duration::from_millis(route.id)).await;
                    let answer = service.handle(host.clone(), question(route.id));
                    assert_eq!(host.receive(answer, HangUp::Never).await.status(), 200);
                });
                if let Some(share) = route.hedge {
                    let own = &mut saved[route.id as usize];
                    *own = (*own + share).min(10_000);
                    *own -= if *own >= 1_000 { 1_000 } else { 0 };
                }
            }
            let wait = world.executor().sleep(Duration::from_millis(20));
            world.executor().run(wait).expect("it ends");
            document = document.change(&mut rng);
            put(&world, &service, &document);
            world.executor().drain().expect("it ends");
            // A route that is gone has no budget when it comes back.
            for (id, own) in saved.iter_mut().enumerate() {
                if document.routes.iter().all(|route| route.id != id as u64) {
                    *own = 0;
                }
            }
        }
    }
    assert!(hedged > 200, "{hedged}");
}
