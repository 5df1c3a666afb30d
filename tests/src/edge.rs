//! An edge under test: a built artifact on its real runtime, serving many gateways at once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::log::Log;

/// One gateway to serve: a configuration and its secrets.
#[derive(Clone, Debug)]
pub struct App {
    /// Its unique name: lower-case letters, digits and hyphens.
    pub name: String,
    /// The configuration, as JSON.
    pub config: String,
    /// Secrets by their names in the configuration.
    pub secrets: BTreeMap<String, String>,
    /// Whether its ledger is available.
    pub ledger: bool,
}

/// A running edge. Dropping it ends every process that it started.
pub trait Edge: Sync {
    /// `cloudflare` or `spin`.
    fn name(&self) -> &'static str;
    /// Address of an app.
    fn address(&self, app: &str) -> SocketAddr;
    /// Every line that the edge has logged.
    fn log(&self) -> &Log;
    /// Ends it abruptly, as a power cut would.
    fn kill(self: Box<Self>);
}

/// Waits for the record of a request, which an edge may write after the response.
pub async fn record_of(edge: &dyn Edge, request_id: &str, timeout: Duration) -> Vec<Value> {
    let until = Instant::now() + timeout;
    loop {
        let records = edge.log().records(request_id);
        if !records.is_empty() || Instant::now() >= until {
            return records;
        }
        sleep(Duration::from_millis(5)).await;
    }
}
