//! Roles of operators, and the OpenAPI document.

use std::collections::BTreeSet;

use config::Role;
use http::Request;
use serde_json::Value;

use crate::host::body::Body;
use crate::testing::fake_host::block_on;

use super::super::response::OPENAPI;
use super::super::router::{Action, ROUTES};
use super::super::{PREFIX, auth};
use super::{ADMIN, Fixture};

/// Reads of content and of names of secrets, and changes of one's own sessions.
const EXCEPTIONS: [Action; 7] = [
    Action::ReadConversation,
    Action::ListSecrets,
    Action::ListVault,
    Action::OpenSession,
    Action::CloseSession,
    Action::RevokeSession,
    Action::RevokeSessions,
];

#[test]
fn each_route_requires_its_role() {
    for route in ROUTES {
        for (token, role) in [
            ("viewer", Role::Viewer),
            ("editor", Role::Editor),
            ("owner", Role::Owner),
            (ADMIN, Role::Owner),
        ] {
            let fixture = Fixture::new();
            let path = route.path.replace("{consumer}", "acme").replace("{limit}", "team");
            let path = path.replace("{value}", "acme").replace("{key}", "key_1");
            let path = path
                .replace("{version}", "0")
                .replace("{other}", "0")
                .replace("{request}", "req_1")
                .replace("{guard}", "g")
                .replace("{provider}", "p")
                .replace("{list}", "terms");
            let path = path.replace("{session}", "1");
            let path = path.replace("{route}", "chat").replace("{command}", "pause");
            let answer = block_on(fixture.request(token, route.method.clone(), &path, ""));
            let refused = answer.body["error"]["code"] == "role_not_allowed";
            assert_eq!(refused, role < route.role, "{token}: {} {path}", route.method);
            assert_eq!(refused, answer.status == 403, "{token}: {} {path}", route.method);
            if refused {
                assert!(fixture.fake.entries().is_empty());
            }
        }
        let is_read = route.method == http::Method::GET;
        assert_eq!(
            is_read != EXCEPTIONS.contains(&route.action),
            route.role == Role::Viewer,
            "reads need only the role viewer, except for {EXCEPTIONS:?}"
        );
    }
}

#[test]
fn request_without_valid_token_is_unauthorized() {
    let fixture = Fixture::new();
    for path in ["consumers", "nothing", "openapi.json"] {
        let wrong = block_on(fixture.request("wrong", http::Method::GET, path, ""));
        assert_eq!(
            (wrong.status.as_u16(), &wrong.body["error"]["code"]),
            (401, &Value::from("invalid_api_key"))
        );
        assert_eq!(wrong.headers["www-authenticate"], "Bearer");
        let none = Request::get(format!("{PREFIX}{path}")).body(Body::Empty).expect("a request");
        assert_eq!(block_on(fixture.send(none)).status, 401);
    }
    let empty = block_on(fixture.request("", http::Method::GET, "consumers", ""));
    assert_eq!(empty.status, 401);
}

#[test]
fn admin_api_without_any_token_is_disabled() {
    let mut fixture = Fixture::new();
    fixture.config.operators.clear();
    fixture.token = None;
    fixture.assert_refused("GET consumers", "", 404, "unknown_url");
    fixture = Fixture { token: None, ..Fixture::new() };
    fixture.assert_status("GET consumers", "", 401);
    assert_eq!(block_on(fixture.request("viewer", http::Method::GET, "consumers", "")).status, 200);
}

#[test]
fn openapi_document_describes_exactly_all_routes() {
    let fixture = Fixture::new();
    let document = fixture.assert_status("GET openapi.json", "", 200);
    assert_eq!(document, serde_json::from_str::<Value>(OPENAPI).expect("JSON"));
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let role = operation["x-role"].as_str().expect("a role").to_owned();
            described.insert((path.clone(), method.to_uppercase(), role));
            let named: BTreeSet<&str> = operation["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|parameter| parameter["in"] == "path")
                .filter_map(|parameter| parameter["name"].as_str())
                .collect();
            let variable =
                path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
            assert_eq!(named, variable.collect(), "{method} {path}");
        }
    }
    let role = |role| auth::role_name(role).to_owned();
    let routes = ROUTES
        .map(|route| (format!("/{}", route.path), route.method.to_string(), role(route.role)));
    assert_eq!(described, BTreeSet::from(routes));
    // Every reference has a target.
    for reference in OPENAPI.split("\"$ref\": \"#").skip(1) {
        let (pointer, _) = reference.split_once('"').expect("it ends");
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
}
