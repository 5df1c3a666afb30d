//! Last uses of issued keys, by day.

use std::collections::BTreeMap;
use std::time::Duration;

use civil_time::Timestamp;
use civil_time::rfc3339::parse_timestamp_or_date;
use ledger::{LedgerReply, Operation};
use serde_json::{Value, json};

use crate::host::{Clock, LedgerHost};
use crate::telemetry::usage::details::{key_use_book, parse_key_use_row};

use super::response::rfc3339_json;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Days on which the keys of a consumer were last used. `None` if the ledger is unavailable.
pub(super) struct KeyUses(Option<BTreeMap<String, Timestamp>>);

impl KeyUses {
    pub(super) async fn read(host: &(impl Clock + LedgerHost), consumer: &str) -> Self {
        let reply = host.apply(&key_use_book(consumer), &Operation::ReadUsage).await;
        let Ok(LedgerReply::Usage(rows)) = reply else { return Self(None) };
        let mut last = BTreeMap::new();
        for row in rows.iter().filter(|row| row.until > host.now()) {
            let Some((year, owner, key)) = parse_key_use_row(&row.key) else { continue };
            let first = parse_timestamp_or_date(&format!("{year}-01-01"));
            let day = row.totals.statuses.iter().map(|(day, _)| day).max();
            let (Some(first), Some(day), true) = (first, day, owner == consumer) else { continue };
            let at = first + DAY * u32::from(day);
            last.entry(key.into_owned())
                .and_modify(|it: &mut Timestamp| *it = at.max(*it))
                .or_insert(at);
        }
        Self(Some(last))
    }

    /// Adds `last_used_at` to a key in a response, unless it is unknown.
    pub(super) fn add_to(&self, shown: &mut Value, key: &str) {
        if let Some(last) = &self.0 {
            shown["last_used_at"] = json!(last.get(key).copied().map(rfc3339_json));
        }
    }
}
