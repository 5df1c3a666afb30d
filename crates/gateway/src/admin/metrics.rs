//! `/metrics`: the counters of all isolates.

use http::Method;
use http::request::Parts;
use ledger::{LedgerReply, Operation};

use crate::host::{Host, futures};
use crate::limits::ledger_client;
use crate::telemetry::metrics;
use crate::telemetry::usage::keys::SHARDS;

use super::query::Query;
use super::response::{AdminError, AdminResponse, AdminResult};

/// `GET /metrics`, for every role.
pub(super) async fn get<P: Host>(host: &P, parts: &Parts) -> AdminResult {
    if parts.method != Method::GET {
        return Err(AdminError::method_not_allowed("GET".to_owned()));
    }
    Query::parse(parts.uri.query(), &[])?;
    let now = host.now();
    let read = |shard| async move {
        ledger_client::call(host, &metrics::book_id(shard), &Operation::ReadUsage).await
    };
    let mut rows = Vec::new();
    for reply in futures::join_all((0..SHARDS).map(read).collect()).await {
        // Without one of the shards, every counter would appear to be reset.
        let Ok(LedgerReply::Usage(some)) = reply else {
            return Err(AdminError::ledger_unavailable());
        };
        rows.extend(some.into_iter().filter(|row| row.until > now));
    }
    Ok(AdminResponse::from_text(metrics::render(rows), metrics::CONTENT_TYPE))
}
