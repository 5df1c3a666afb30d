//! The admin API against its own OpenAPI document, by schemathesis: requests that the document allows, and
//! mutations of them. Answers must have a documented status and form, and none may be a failure of the server.
//!
//! `SERIN_PYTHON` names a Python that has `schemathesis` installed; `cargo xtask test` makes one.

use std::process::Command;

use anyhow::{Context, ensure};
use config::author;
use tests::edge::App;
use tests::edge_kind::EdgeKind;
use tests::test_on_both_edges;
use tests::workerd::root;

test_on_both_edges! {
    answers_are_those_of_the_document,
}

const ADMIN: &str = "admin-token-of-this-test";
const APP: &str = "schema";
/// Seconds of one run.
const SECONDS: &str = "25";
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

async fn answers_are_those_of_the_document(edge_kind: EdgeKind) -> anyhow::Result<()> {
    let python =
        std::env::var("SERIN_PYTHON").context("SERIN_PYTHON is not set: run `cargo xtask test`")?;
    let document = "[[providers]]\nid = 'up'\nkind = 'openai-compatible'\nbase_url = 'http://127.0.0.1:9/v1'\n\
         [[routes]]\nid = 'chat'\nmodels = ['*']\ntargets = [{ provider = 'up' }]\n\
         [[consumers]]\nid = 'app'\nkeys = ['secret:APP_KEY']\n\
         [[limits]]\nid = 'day'\nby = 'consumer'\nrequests = { max = 9, per = 'day' }\n";
    let config = author::to_json(document).map_err(|wrong| anyhow::anyhow!("{wrong}"))?;
    let secrets = [
        ("APP_KEY", "app-key"),
        ("ADMIN_TOKEN", ADMIN),
        ("KEY_PEPPER", "pepper-of-this-test"),
        ("VAULT_KEY", "vault-of-this-test"),
    ];
    let secrets = secrets.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let app = App { name: APP.to_owned(), config, secrets, ledger: true };
    let edge = edge_kind.start(vec![app], None).await?;
    let url = format!("http://{}/admin/v1", edge.address(APP));
    let mut run = Command::new(python);
    run.args(["-m", "schemathesis.cli", "run", "crates/gateway/src/admin/openapi.json"])
        .args(["--url", &url, "--header", &format!("authorization: Bearer {ADMIN}")])
        .args(["--checks", CHECKS, "--phases", "fuzzing"])
        .args(["--max-examples", "3", "--max-time", SECONDS, "--seed", "1"])
        // A document that is put in force would change the gateway under test. There is no provider, whose
        // failure is a 502 of its list of models. The events of `/try` have no schema.
        .args(["--exclude-path", "/config", "--exclude-path", "/providers/{provider}/models"])
        .args(["--exclude-path", "/try"])
        .args(["--warnings", "off", "--no-color", "--no-shrink"])
        .current_dir(root());
    let output = tokio::task::spawn_blocking(move || run.output()).await?.context("it starts")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}:\n{text}\n{errors}", edge_kind.name());
    ensure!(text.contains(" passed"), "{}: nothing was tested:\n{text}", edge_kind.name());
    Ok(())
}
