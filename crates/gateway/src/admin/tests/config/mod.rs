//! The configuration and its versions, over a host that two isolates share.

mod concurrency;
mod in_view;
mod refusals;
mod reload;
mod vault;
mod versions;

use bytes::Bytes;
use http::{Method, Request};
use serde_json::{Value, json};

use crate::host::body::Body;
use crate::service::Service;
use crate::testing::fake_host::{FakeHost, block_on};

use super::Response;

/// A document whose only model has this name.
fn document(model: &str) -> String {
    json!({
        "auth": { "required": false },
        "providers": [{ "id": "openai", "keys": ["secret:KEY"] }],
        "routes": [{ "id": "chat", "models": [model], "targets": [{ "provider": "openai", "weight": 90 }] }],
        "admin": { "operators": [
            { "name": "ann", "token": "secret:ANN", "role": "owner" },
            { "name": "eve", "token": "secret:EVE", "role": "editor" },
        ] },
    })
    .to_string()
}

/// One isolate. Isolates that share a fake host share its store and ledger.
struct Isolate {
    fake: FakeHost,
    service: Service,
}

impl Isolate {
    fn first() -> Self {
        let fake_host = FakeHost::new();
        fake_host.deploy(&document("deployed"));
        Self::sharing(&fake_host)
    }

    fn sharing(fake_host: &FakeHost) -> Self {
        Self { fake: fake_host.clone(), service: Service::default() }
    }

    async fn send(&self, line: &str, if_match: Option<&str>, body: &str) -> Response {
        self.send_as("ADMIN_TOKEN", line, if_match, body).await
    }

    async fn send_as(
        &self,
        token: &str,
        line: &str,
        if_match: Option<&str>,
        body: &str,
    ) -> Response {
        let (method, path) = line.split_once(' ').expect("a method and a path");
        let mut request = Request::builder()
            .method(method.parse::<Method>().expect("a method"))
            .uri(path)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json");
        if let Some(if_match) = if_match {
            request = request.header("if-match", if_match);
        }
        let request = request.body(Body::from(Bytes::from(body.to_owned()))).expect("a request");
        let response = self.service.handle(self.fake.clone(), request).await;
        let (parts, body) = response.into_parts();
        let body = body.collect(usize::MAX).await.expect("the body is whole");
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Response { status: parts.status, headers: parts.headers, body }
    }

    fn request(&self, line: &str, if_match: Option<&str>, body: &str) -> Response {
        let (method, path) = line.split_once(' ').expect("a method and a path");
        block_on(self.send(&format!("{method} /admin/v1/{path}"), if_match, body))
    }

    #[track_caller]
    fn assert_status(&self, line: &str, if_match: Option<&str>, body: &str, status: u16) -> Value {
        let response = self.request(line, if_match, body);
        assert_eq!(response.status, status, "{line}: {}", response.body);
        response.body
    }

    /// Puts a document with the current ETag.
    #[track_caller]
    fn put(&self, document: &str) -> Value {
        let tag = self.etag();
        self.assert_status("PUT config", Some(&tag), document, 200)
    }

    /// The ETag of the document in force.
    fn etag(&self) -> String {
        let answer = self.request("GET config?status=true", None, "");
        answer.headers["etag"].to_str().expect("text").to_owned()
    }

    /// The model that this isolate serves.
    #[track_caller]
    fn model(&self) -> String {
        let answer = block_on(self.send("GET /v1/models", None, ""));
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body["data"][0]["id"].as_str().expect("a model").to_owned()
    }

    fn versions(&self) -> Vec<Value> {
        let list = self.assert_status("GET config/versions?limit=200", None, "", 200);
        list["data"].as_array().expect("a list").clone()
    }
}
