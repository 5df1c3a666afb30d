//! `[server]` and `[auth]`.

use http::HeaderName;

use super::super::block::Addresses;
use super::super::parsed::{Auth, KeySource, Server};
use super::super::raw::{self, Size};
use super::{Place, Review, quoted};

const DEFAULT_BODY: usize = 4 << 20;
/// A body is held in memory, of which an isolate has 128 MB.
const LARGEST_BODY: usize = 64 << 20;

/// Reads `[server]`.
pub(super) fn server(review: &mut Review<'_>, place: &Place<'_>, raw: &raw::Server) -> Server {
    let Some(size) = &raw.max_body else {
        return Server { max_body: DEFAULT_BODY, address_header: None };
    };
    let place = place.field("max_body");
    let bytes = size.bytes();
    let fitting = bytes
        .and_then(|bytes| usize::try_from(bytes).ok())
        .filter(|bytes| (1..=LARGEST_BODY).contains(bytes));
    if fitting.is_none() {
        let expected = if bytes.is_some() { "between 1 byte and 64MiB" } else { Size::EXPECTED };
        review.problem(&place, quoted(&size.0), expected);
    }
    Server { max_body: fitting.unwrap_or(DEFAULT_BODY), address_header: None }
}

/// Reads `[auth]`.
pub(super) fn auth(review: &mut Review<'_>, place: &Place<'_>, raw: &raw::Auth) -> Auth {
    let required = raw.required.unwrap_or(true);
    let Some(sources) = &raw.sources else {
        let header = KeySource::Header(HeaderName::from_static("x-api-key"));
        let sources = vec![KeySource::Bearer, header];
        return Auth { required, sources, addresses: Addresses::default(), issuers: Vec::new() };
    };
    let place = place.field("sources");
    if sources.is_empty() {
        review.problem(&place, "an empty list", "\"bearer\" or \"header:NAME\", at least one");
    }
    let mut read = |(index, source): (usize, &String)| {
        let place = place.item(index);
        match (source.as_str(), source.strip_prefix("header:")) {
            ("bearer", _) => Some(KeySource::Bearer),
            (_, Some(name)) => review.header_name(&place, name).map(KeySource::Header),
            (_, None) => {
                review.problem(&place, quoted(source), "\"bearer\" or \"header:NAME\"");
                None
            }
        }
    };
    let sources = sources.iter().enumerate().filter_map(&mut read).collect();
    Auth { required, sources, addresses: Addresses::default(), issuers: Vec::new() }
}
