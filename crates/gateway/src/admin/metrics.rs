//! `/metrics`: the counters of all isolates.

use http::Method;
use http::request::Parts;
use ledger::{LedgerReply, Operation};

use crate::host::{Host, futures};
use crate::limits::ledger_client;
use crate::live_config::VersionStore;
use crate::telemetry::metrics::{self, ConfigVersions};
use crate::telemetry::usage::keys::SHARDS;

use super::query::Query;
use super::response::{AdminError, AdminResponse, AdminResult};
use super::{AdminContext, rollout};

/// `GET /metrics`, for every role.
pub(super) async fn get<P: Host>(
    host: &P,
    context: AdminContext<'_>,
    parts: &Parts,
) -> AdminResult {
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
    let mut versions = ConfigVersions::default();
    if let Some(reloading_gateway) = context.reloading_gateway {
        let head = VersionStore(host).head().await.map_err(|_| AdminError::ledger_unavailable())?;
        versions.in_force = Some(head.version);
        versions.served = reloading_gateway.version().map(|served| served.version);
    }
    let routes: Vec<_> =
        context.config.routes.iter().filter(|route| route.rollout.is_some()).collect();
    let states = routes.iter().map(|route| rollout::read(host, route)).collect();
    let states: Result<Vec<_>, _> = futures::join_all(states).await.into_iter().collect();
    let rollouts = routes.iter().map(|route| route.id.as_str()).zip(states?).collect();
    let page = metrics::render(rows, versions, rollouts);
    Ok(AdminResponse::from_text(page, metrics::CONTENT_TYPE))
}
