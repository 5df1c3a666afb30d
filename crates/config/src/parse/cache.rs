//! `[cache]` and `[history]`.

use std::time::Duration;

use super::super::cache::{Cache, CacheScope};
use super::super::history::{History, SessionSource};
use super::super::raw::{self, Span};
use super::diagnostics::{Diagnostics, quoted};
use super::doc_path::DocPath;
use super::ids::IdIndex;

/// Thirty days. An older answer is likely out of date.
const MAX_TTL: (&str, Duration) = ("720h", Duration::from_secs(720 * 60 * 60));
/// A longer pause would look like a stalled provider.
const MAX_PACE: (&str, Duration) = ("1s", Duration::from_secs(1));
const MAX_ENTRY_BYTES: (&str, usize) = ("1MiB", 1 << 20);
const MAX_HISTORY_BYTES: (&str, usize) = ("512KiB", 512 << 10);

/// Parses `[cache]`.
pub(super) fn cache(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &raw::Cache,
    routes: &IdIndex<'_>,
) -> Option<Cache> {
    let routes = diagnostics.routes(&path.field("routes"), raw.routes.as_deref(), routes);
    let ttl = bounded_duration(diagnostics, &path.field("ttl"), &raw.ttl, MAX_TTL);
    let jitter = diagnostics.thousandths(&path.field("jitter"), raw.jitter, 0.0..=0.5, 100);
    let scope = diagnostics.choice(
        &path.field("scope"),
        raw.scope.as_deref(),
        &raw::SCOPES,
        [CacheScope::Consumer, CacheScope::Group, CacheScope::All],
    );
    let temperature = path.field("max_temperature");
    let max_temperature =
        diagnostics.thousandths(&temperature, raw.max_temperature, 0.0..=2.0, 1_000);
    let entry = raw.max_entry.as_ref();
    let max_entry = diagnostics.size(&path.field("max_entry"), entry, MAX_ENTRY_BYTES, 256 << 10);
    let pace = raw.pace.as_ref();
    let pace =
        pace.and_then(|pace| bounded_duration(diagnostics, &path.field("pace"), pace, MAX_PACE));
    Some(Cache {
        routes,
        ttl: ttl?,
        jitter,
        scope: scope.unwrap_or_default(),
        max_temperature: max_temperature.into(),
        max_entry,
        pace,
        charge: raw.charge.unwrap_or(false),
    })
}

/// Parses `[history]`.
pub(super) fn history(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &raw::History,
    routes: &IdIndex<'_>,
) -> Option<History> {
    let routes = diagnostics.routes(&path.field("routes"), raw.routes.as_deref(), routes);
    let session = session(diagnostics, &path.field("session"), &raw.session);
    let turns = diagnostics.count(&path.field("turns"), raw.turns, 1..=100, 5);
    let bytes = raw.max_bytes.as_ref();
    let max_bytes = diagnostics.size(&path.field("max_bytes"), bytes, MAX_HISTORY_BYTES, 16 << 10);
    let ttl = match &raw.ttl {
        Some(ttl) => bounded_duration(diagnostics, &path.field("ttl"), ttl, MAX_TTL),
        None => Some(Duration::from_secs(60 * 60)),
    };
    Some(History { routes, session: session?, turns, max_bytes, ttl: ttl? })
}

fn session(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    session: &str,
) -> Option<SessionSource> {
    match (session, session.strip_prefix("header:")) {
        ("user", _) => Some(SessionSource::User),
        (_, Some(name)) => diagnostics.header_name(path, name).map(SessionSource::Header),
        (_, None) => {
            diagnostics.report(path, quoted(session), "\"header:NAME\" or \"user\"");
            None
        }
    }
}

/// A duration above zero, up to `longest`.
fn bounded_duration(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    span: &Span,
    (name, longest): (&str, Duration),
) -> Option<Duration> {
    let (found, expected) = match span.duration() {
        Some(Duration::ZERO) => ("zero".to_owned(), "a duration above zero".to_owned()),
        Some(duration) if duration <= longest => return Some(duration),
        Some(_) => (quoted(&span.0), format!("{name} at most")),
        None => (quoted(&span.0), span.expected()),
    };
    diagnostics.report(path, found, expected);
    None
}
