//! `[server]` and `[auth]`.

use http::HeaderName;

use super::super::parsed::{Auth, KeySource, Server};
use super::super::raw;
use super::issuer::issuers;
use super::permission::addresses;
use super::{Place, Review, quoted};

const DEFAULT_BODY: usize = 4 << 20;
/// A body is held in memory, of which an isolate has 128 MB.
const LARGEST_BODY: (&str, usize) = ("64MiB", 64 << 20);

/// Reads `[server]`.
pub(super) fn server(review: &mut Review<'_>, place: &Place<'_>, raw: &raw::Server) -> Server {
    let header = place.field("address_header");
    let address_header = raw
        .address_header
        .as_ref()
        .and_then(|name| review.header(&header, name, "a header's name"));
    let size = raw.max_body.as_ref();
    let max_body = review.size(&place.field("max_body"), size, LARGEST_BODY, DEFAULT_BODY);
    Server { max_body, address_header }
}

/// Reads `[auth]`.
pub(super) fn auth(review: &mut Review<'_>, place: &Place<'_>, raw: &raw::Auth) -> Auth {
    Auth {
        required: raw.required.unwrap_or(true),
        sources: sources(review, &place.field("sources"), raw.sources.as_deref()),
        addresses: addresses(review, &place.field("addresses"), raw.addresses.as_ref()),
        issuers: issuers(review, &place.field("jwt"), &raw.jwt),
    }
}

fn sources(
    review: &mut Review<'_>,
    place: &Place<'_>,
    sources: Option<&[String]>,
) -> Vec<KeySource> {
    let Some(sources) = sources else {
        let header = KeySource::Header(HeaderName::from_static("x-api-key"));
        return vec![KeySource::Bearer, header];
    };
    if sources.is_empty() {
        review.problem(place, "an empty list", "\"bearer\" or \"header:NAME\", at least one");
    }
    let read = |(index, source): (usize, &String)| {
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
    sources.iter().enumerate().filter_map(read).collect()
}
