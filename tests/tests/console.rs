//! The web console as both edges serve it: the same headers, pages for its screens, files that may be kept.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context;
use serde_json::Value;
use tests::caller::{Answer, call, call_with};
use tests::edge::{App, Edge};
use tests::edge_kind::EdgeKind;
use tests::test_on_both_edges;

test_on_both_edges! {
    every_path_of_the_console_has_its_headers,
    files_may_be_kept_and_pages_are_checked_again,
    requests_to_the_gateway_are_not_the_consoles,
}

async fn start(edge: EdgeKind) -> anyhow::Result<Box<dyn Edge + Send>> {
    let app = App {
        name: "console".to_owned(),
        config: r#"{"providers":[{"id":"openai"}],"routes":[{"id":"chat","models":["m"],"targets":[{"provider":"openai"}]}]}"#.to_owned(),
        secrets: BTreeMap::new(),
        ledger: true,
    };
    edge.start(vec![app], None).await
}

async fn get(edge: &dyn Edge, path: &str) -> anyhow::Result<Answer> {
    call(edge.address("console"), "GET", path, "", &Value::Null).await
}

/// Headers of `console/_headers` for every path.
fn expected_headers() -> anyhow::Result<Vec<(String, String)>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../console/_headers");
    let text = fs::read_to_string(path)?;
    let (_, rules) = text.split_once("/console/*\n").context("a rule for every path")?;
    let (rules, _) = rules.split_once("/console/assets/*").context("a rule for the files")?;
    let headers = rules.lines().filter_map(|line| line.split_once(": "));
    Ok(headers
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.to_owned()))
        .filter(|(name, _)| name != "cache-control")
        .collect())
}

/// Path of a built file, from the name of the build's output.
fn script() -> anyhow::Result<String> {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../console/dist/site/console/assets");
    let files = fs::read_dir(assets).context("build the console first: node console/build.mjs")?;
    let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
    let name =
        names.into_iter().find(|name| Path::new(name).extension().is_some_and(|it| it == "js"));
    Ok(format!("/console/assets/{}", name.context("a script")?))
}

async fn every_path_of_the_console_has_its_headers(edge: EdgeKind) -> anyhow::Result<()> {
    let host = start(edge).await?;
    let script = script()?;
    let paths = [
        ("/console/", 200),
        ("/console/routes/chat", 200),
        ("/console/consumers/v1.2", 200),
        ("/console/serin.svg", 200),
        (script.as_str(), 200),
        ("/console/assets/none.js", 404),
    ];
    for (path, status) in paths {
        let answer = get(&*host, path).await?;
        assert_eq!(answer.status, status, "{path}");
        for (name, value) in expected_headers()? {
            assert_eq!(answer.header(&name), value, "{name} of {path}");
        }
    }
    let answer = get(&*host, "/console").await?;
    assert!((300..400).contains(&answer.status), "{}", answer.status);
    assert!(answer.header("location").ends_with("/console/"), "{}", answer.header("location"));
    Ok(())
}

async fn files_may_be_kept_and_pages_are_checked_again(edge: EdgeKind) -> anyhow::Result<()> {
    let host = start(edge).await?;
    let file = get(&*host, &script()?).await?;
    assert_eq!(file.header("cache-control"), "public, max-age=31536000, immutable");
    assert!(file.header("content-type").starts_with("text/javascript"));
    let missing = get(&*host, "/console/assets/none.js").await?;
    assert_eq!((missing.status, missing.header("cache-control")), (404, "no-cache"));
    for path in ["/console/", "/console/routes/chat"] {
        let page = get(&*host, path).await?;
        assert_eq!(page.header("cache-control"), "no-cache", "{path}");
        assert!(page.header("content-type").starts_with("text/html"), "{path}");
        let known = [("if-none-match", page.header("etag"))];
        let address = host.address("console");
        let again = call_with(address, "GET", path, "", &known, &Value::Null).await?;
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
    }
    Ok(())
}

async fn requests_to_the_gateway_are_not_the_consoles(edge: EdgeKind) -> anyhow::Result<()> {
    let host = start(edge).await?;
    let address = host.address("console");
    let body = serde_json::json!({ "model": "none", "messages": [] });
    let posted = call(address, "POST", "/console/v1/chat/completions", "", &body).await?;
    assert!(posted.header("content-type").starts_with("application/json"), "{posted:?}");
    for path in ["/v1/models", "/consoles", "/healthz"] {
        let answer = get(&*host, path).await?;
        assert_eq!(answer.header("content-security-policy"), "", "{path}");
    }
    Ok(())
}
