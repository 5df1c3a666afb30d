//! `[ledger]` and `[store]`.

use http::Uri;

use super::super::raw::{self, SecretText};
use super::super::storage::{RedisServer, Storage};
use super::diagnostics::{Diagnostics, quoted};
use super::doc_path::DocPath;

const DEFAULT_PREFIX: &str = "serin";
const MAX_PREFIX_BYTES: usize = 64;

/// Parses both sections.
pub(super) fn storage(
    diagnostics: &mut Diagnostics<'_>,
    root: &DocPath<'_>,
    ledger: &raw::Ledger,
    store: &raw::Store,
) -> Storage {
    let (ledger_path, store_path) = (root.field("ledger"), root.field("store"));
    Storage {
        ledger: redis_server(
            diagnostics,
            &ledger_path,
            ledger.redis.as_ref(),
            ledger.prefix.as_deref(),
        ),
        store: redis_server(
            diagnostics,
            &store_path,
            store.redis.as_ref(),
            store.prefix.as_deref(),
        ),
    }
}

fn redis_server(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    url: Option<&SecretText>,
    prefix: Option<&str>,
) -> Option<RedisServer> {
    if let Some(prefix) = prefix {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:{}".contains(&byte);
        if url.is_none() {
            diagnostics.report(
                &path.field("prefix"),
                quoted(prefix),
                "no prefix without `redis`, or both",
            );
        } else if prefix.is_empty()
            || prefix.len() > MAX_PREFIX_BYTES
            || !prefix.bytes().all(is_plain)
        {
            let expected = "1 to 64 letters, digits, or \"-\", \"_\", \".\", \":\", \"{\", \"}\"";
            diagnostics.report(&path.field("prefix"), quoted(prefix), expected);
        }
    }
    let path = path.field("redis");
    let (name, url) = diagnostics.secret_value(&path, url?)?;
    if !is_redis_address(url.reveal()) {
        // The address holds a password, so the problem does not repeat it.
        diagnostics.report(
            &path,
            format!("the secret {name}, whose value is not the address of a Redis server"),
            format!(
                "a value such as \"redis://:password@host:6379/0\" (\"rediss://\" for TLS) for the secret {name}"
            ),
        );
        return None;
    }
    Some(RedisServer { url, prefix: prefix.unwrap_or(DEFAULT_PREFIX).to_owned() })
}

/// Whether a text is an address by the `redis` and `rediss` URI schemes (IANA provisional registration).
fn is_redis_address(text: &str) -> bool {
    let Ok(uri) = text.parse::<Uri>() else { return false };
    let is_scheme = uri.scheme_str().is_some_and(|scheme| matches!(scheme, "redis" | "rediss"));
    let database = uri.path().trim_start_matches('/');
    is_scheme
        && uri.host().is_some_and(|host| !host.is_empty())
        && (database.is_empty() || database.parse::<u16>().is_ok())
}
