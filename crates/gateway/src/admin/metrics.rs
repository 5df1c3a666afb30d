//! `/metrics`: what all gateways have counted together.

use http::Method;
use http::request::Parts;

use crate::ledger::{Operation, Reply as Told};
use crate::metrics;
use crate::platform::Platform;
use crate::rooms::futures;
use crate::rooms::notary;
use crate::usage::SHARDS;

use super::query::Query;
use super::reply::{Answer, Failure, Reply};

/// `GET /metrics`, for any role.
pub(super) async fn read<P: Platform>(platform: &P, parts: &Parts) -> Answer {
    if parts.method != Method::GET {
        return Err(Failure::method_not_allowed("GET".to_owned()));
    }
    Query::read(parts.uri.query(), &[])?;
    let now = platform.now();
    let ask = |shard| async move {
        notary::ask(platform, &metrics::place(shard), &Operation::Tallies).await
    };
    let mut rows = Vec::new();
    for told in futures::join((0..SHARDS).map(ask).collect()).await {
        // Of three shards every counter would seem to have been reset.
        let Ok(Told::Tallies(some)) = told else { return Err(Failure::ledger_unavailable()) };
        rows.extend(some.into_iter().filter(|row| row.until > now));
    }
    Ok(Reply::plain(metrics::shown(rows), metrics::CONTENT_TYPE))
}
