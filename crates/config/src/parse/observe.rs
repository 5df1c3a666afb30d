//! `[observe]`: metrics, traces, and logged content.

use std::time::Duration;

use http::HeaderName;

use super::super::index::RouteIndex;
use super::super::observe::{Observe, Otlp, RequestLog};
use super::super::raw;
use super::diagnostics::{Diagnostics, quoted};
use super::doc_path::DocPath;
use super::ids::IdIndex;
use super::provider::{check_url, warn_if_plain};

/// Headers that the exporter sets.
const RESERVED_HEADERS: [&str; 5] =
    ["connection", "content-encoding", "content-length", "content-type", "host"];

/// The longest time for which the request log keeps a request.
const MAX_REQUEST_RETENTION: Duration = Duration::from_secs(168 * 60 * 60);

/// Parses `[observe]`.
pub(super) fn observe(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &raw::Observe,
    routes: &IdIndex<'_>,
) -> Observe {
    let max = path.field("max_consumers");
    let max_consumers = diagnostics.count(&max, raw.max_consumers, 1..=10_000, 100);
    let collector = raw.otlp.as_ref();
    let otlp = collector.and_then(|raw| otlp(diagnostics, &path.field("otlp"), raw));
    let content = content(diagnostics, &path.field("content"), &raw.content, routes);
    let requests = request_log(diagnostics, &path.field("requests"), &raw.requests);
    Observe { max_consumers, otlp, content, requests }
}

fn request_log(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &raw::Requests,
) -> RequestLog {
    let default = RequestLog::default();
    let keep = diagnostics.duration_within(
        &path.field("keep"),
        raw.keep.as_ref(),
        ("168h", MAX_REQUEST_RETENTION),
        default.keep,
    );
    let max = diagnostics.count(&path.field("max"), raw.max, 4..=20_000, 2_000);
    let sample = path.field("sample");
    let sample = diagnostics.thousandths(&sample, raw.sample, 0.0..=1.0, default.sample);
    RequestLog { keep, max, sample }
}

fn otlp(diagnostics: &mut Diagnostics<'_>, path: &DocPath<'_>, raw: &raw::Otlp) -> Option<Otlp> {
    let endpoint = match check_url(&raw.endpoint) {
        Ok(address) if address.ends_with("/v1/traces") || address.ends_with("/v1/metrics") => {
            let expected = "the address before \"/v1/traces\", which is added";
            diagnostics.report(&path.field("endpoint"), quoted(&raw.endpoint), expected);
            None
        }
        Ok(address) => {
            warn_if_plain(diagnostics, &path.field("endpoint"), address);
            Some(address.to_owned())
        }
        Err(found) => {
            let expected = "an address such as \"https://collector.example.com:4318\", and nothing after the path";
            diagnostics.report(&path.field("endpoint"), found, expected);
            None
        }
    };
    let all = path.field("headers");
    let mut headers: Vec<_> = Vec::with_capacity(raw.headers.len());
    for (name, text) in &raw.headers {
        let path = all.field(name);
        let secret = diagnostics.secret_for_service(&path, text);
        let Some(name) = header(diagnostics, &path, name) else { continue };
        if headers.iter().any(|(other, _)| *other == name) {
            diagnostics.report(&path, format!("the header {name} twice"), "it once");
        }
        headers.extend(secret.map(|secret| (name, secret)));
    }
    let (traces, metrics) = (raw.traces.unwrap_or(true), raw.metrics.unwrap_or(true));
    if !traces && !metrics {
        let expected = "`traces`, `metrics` or both, or no `otlp`";
        diagnostics.report(path, "a collector without traces and metrics", expected);
    }
    let sample = diagnostics.thousandths(&path.field("sample"), raw.sample, 0.0..=1.0, 1_000);
    let service = raw.service.as_deref().unwrap_or("serin");
    diagnostics.check_text(&path.field("service"), service, "a name");
    let service = service.to_owned();
    Some(Otlp { endpoint: endpoint?, headers, traces, metrics, sample, service })
}

fn header(diagnostics: &mut Diagnostics<'_>, path: &DocPath<'_>, name: &str) -> Option<HeaderName> {
    let header = diagnostics.header(path, name, "the name of a header")?;
    if RESERVED_HEADERS.contains(&header.as_str()) {
        diagnostics.report(path, quoted(name), "another header: the gateway sets this one");
        return None;
    }
    Some(header)
}

fn content(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &[raw::Content],
    routes: &IdIndex<'_>,
) -> Vec<(RouteIndex, usize)> {
    let mut content: Vec<(RouteIndex, usize)> = Vec::new();
    for (index, raw) in raw.iter().enumerate() {
        let path = path.item(index);
        let max = diagnostics.count(&path.field("max"), raw.max, 1..=100_000, 2_000);
        let list = path.field("routes");
        if raw.routes.is_empty() {
            diagnostics.report(&list, "an empty list", "the id of a route, at least one");
        }
        for (index, id) in raw.routes.iter().enumerate() {
            let path = list.item(index);
            let Some(route) = routes.resolve(diagnostics, &path, id).map(RouteIndex) else {
                continue;
            };
            if content.iter().any(|(other, _)| *other == route) {
                diagnostics.report(&path, quoted(id), "each route once");
            }
            content.push((route, max));
        }
    }
    content
}
