//! The admin API over an in-memory host: requests and responses.

mod catalogue;
mod config;
mod guesses;
mod key_lifecycle;
mod key_roll;
mod limits;
mod metrics;
mod playground;
mod race;
mod recorded;
mod responses;
mod roles;
mod rollouts;
mod sessions;
mod storage;
mod summaries;
mod usage;
mod word_lists;

use std::rc::Rc;

use ::config::{By, Config, Limit, Measure, OnError, Operator, Period, Quota, Role};
use http::{Method, Request, StatusCode};
use secret::{KeyDigest, Secret};
use serde_json::Value;

use crate::auth::keys::{KeyCache, Pepper};
use crate::auth::session::SessionCache;
use crate::auth::wrong_tokens::WrongTokens;
use crate::host::body::Body;
use crate::host::recent_writes::RecentWrites;
use crate::rollouts::Rollouts;
use crate::testing::fake_host::{FakeHost, block_on};
use crate::vault::VaultKey;

use super::{AdminContext, handle_request};

const ADMIN: &str = "the-admin-token";

/// A gateway with one consumer, three limits, and one operator per role, whose token is its name.
struct Fixture {
    fake: FakeHost,
    config: Config,
    token: Option<KeyDigest>,
    pepper: Option<Pepper>,
    vault_key: Option<VaultKey>,
    key_cache: KeyCache,
    client_ip: Option<std::net::IpAddr>,
    session_cache: SessionCache,
    wrong_tokens: WrongTokens,
    recent_writes: RecentWrites,
    rollouts: Rc<Rollouts>,
}

impl Fixture {
    fn new() -> Self {
        let document = r#"{
            "providers": [{ "id": "openai", "keys": ["secret:KEY"] }],
            "routes": [{ "id": "chat", "models": ["*"], "targets": [{ "provider": "openai" }] }],
            "consumers": [
                { "id": "acme", "group": "gold", "keys": ["secret:sk-acme-0123456789"], "routes": ["chat"] }
            ]
        }"#;
        let document = document.replace("secret:sk-acme-0123456789", "secret:ACME");
        let secrets = |name: &str| {
            Some(Secret::new(if name == "ACME" { "sk-acme-0123456789" } else { "provider" }))
        };
        let mut config = Config::from_json(&document, &secrets).expect("the document is right");
        for (name, role) in
            [("viewer", Role::Viewer), ("editor", Role::Editor), ("owner", Role::Owner)]
        {
            let token = KeyDigest::new(name);
            config.operators.push(Operator { name: name.to_owned(), token, role });
        }
        let quota = |measure, max, per| Quota { measure, max, per };
        config.limits = vec![
            limit(
                "team",
                By::Consumer,
                vec![
                    quota(Measure::Tokens, 2_000, Period::Minute),
                    quota(Measure::Cost, 12_500_000_000, Period::Total),
                ],
            ),
            limit("all", By::All, vec![quota(Measure::Requests, 10, Period::Total)]),
            limit(
                "header",
                By::Header(http::HeaderName::from_static("x-user")),
                vec![quota(Measure::Requests, 10, Period::Second)],
            ),
        ];
        Self {
            fake: FakeHost::new(),
            config,
            token: Some(KeyDigest::new(ADMIN)),
            pepper: Pepper::new(&Secret::new("pepper")),
            vault_key: VaultKey::new(&Secret::new("vault")),
            key_cache: KeyCache::default(),
            client_ip: "203.0.113.7".parse().ok(),
            session_cache: SessionCache::default(),
            wrong_tokens: WrongTokens::default(),
            recent_writes: RecentWrites::default(),
            rollouts: Rc::default(),
        }
    }

    fn context(&self) -> AdminContext<'_> {
        AdminContext {
            gateway: None,
            config: &self.config,
            token: self.token.as_ref(),
            pepper: self.pepper.as_ref(),
            vault_key: self.vault_key.as_ref(),
            key_cache: &self.key_cache,
            reloading_gateway: None,
            session_cache: &self.session_cache,
            wrong_tokens: &self.wrong_tokens,
            recent_writes: &self.recent_writes,
            rollouts: &self.rollouts,
            client_ip: self.client_ip,
        }
    }

    async fn request(&self, token: &str, method: Method, path: &str, body: &str) -> Response {
        let request = Request::builder()
            .method(method)
            .uri(format!("/admin/v1/{path}"))
            .header("authorization", format!("Bearer {token}"))
            .header("x-request-id", "req_1")
            .header("content-type", "application/json; charset=utf-8")
            .body(Body::from(bytes::Bytes::from(body.to_owned())))
            .expect("a request");
        self.send(request).await
    }

    async fn send(&self, request: Request<Body>) -> Response {
        let response = handle_request(self.context(), &self.fake, request).await;
        assert_eq!(response.headers()["cache-control"], "no-store");
        let (parts, body) = response.into_parts();
        let body = body.collect(usize::MAX).await.expect("the body is whole");
        let text = String::from_utf8(body.to_vec()).expect("JSON is text");
        let body = if text.is_empty() {
            Value::Null
        } else {
            assert_eq!(parts.headers["content-type"], "application/json");
            serde_json::from_str(&text).expect("JSON")
        };
        Response { status: parts.status, headers: parts.headers, body }
    }

    /// Sends a request with `ADMIN_TOKEN`; `line` is a method and a path, such as `GET consumers/acme`.
    fn request_as_admin(&self, line: &str, body: &str) -> Response {
        let (method, path) = line.split_once(' ').expect("a method and a path");
        let method = method.parse().expect("a method");
        block_on(self.request(ADMIN, method, path, body))
    }

    /// Sends a request that must return this status; returns the body.
    #[track_caller]
    fn assert_status(&self, line: &str, body: &str, status: u16) -> Value {
        let response = self.request_as_admin(line, body);
        assert_eq!(response.status, status, "{line} {body}: {}", response.body);
        response.body
    }

    /// Sends a request that must be refused with this code; returns the error.
    #[track_caller]
    fn assert_refused(&self, line: &str, body: &str, status: u16, code: &str) -> Value {
        let body = self.assert_status(line, body, status);
        assert_eq!(body["error"]["code"], code, "{line}: {body}");
        body["error"].clone()
    }

    /// Id of the consumer that a key authenticates.
    fn owner_of(&self, key: &str) -> Option<String> {
        let pepper = self.pepper.as_ref().expect("it is set");
        let found = block_on(self.key_cache.lookup(&self.fake, &self.config, pepper, key));
        found.expect("the store is there").map(|found| found.consumer.id.clone())
    }

    /// Number of store entries with this prefix.
    fn count_entries(&self, prefix: &str) -> usize {
        self.fake.entries().keys().filter(|name| name.starts_with(prefix)).count()
    }
}

struct Response {
    status: StatusCode,
    headers: http::HeaderMap,
    body: Value,
}

fn limit(id: &str, by: By, quotas: Vec<Quota>) -> Limit {
    Limit {
        id: id.to_owned(),
        routes: None,
        groups: None,
        by,
        keys: Vec::new(),
        quotas,
        hard: false,
        lease: false,
        on_error: OnError::Open,
        default_output: 1_024,
        colocation_group: None,
    }
}
