//! `[server]` and `[auth]`.

use http::HeaderName;

use super::super::auth::{Auth, KeySource};
use super::super::raw;
use super::super::server::{Origins, Server};
use super::diagnostics::{Diagnostics, quoted};
use super::doc_path::DocPath;
use super::issuer::issuers;
use super::permission::addresses;

const DEFAULT_MAX_BODY: usize = 16 << 20;
/// A greater maximum gets a warning.
const LARGE_MAX_BODY: usize = 16 << 20;
/// A body is held in memory, and an isolate has 128 MB.
const MAX_BODY_LIMIT: (&str, usize) = ("64MiB", 64 << 20);

/// Parses `[server]`.
pub(super) fn server(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &raw::Server,
) -> Server {
    let header = path.field("address_header");
    let address_header = raw
        .address_header
        .as_ref()
        .and_then(|name| diagnostics.header(&header, name, "a header's name"));
    let size = raw.max_body.as_ref();
    let max_body =
        diagnostics.size(&path.field("max_body"), size, MAX_BODY_LIMIT, DEFAULT_MAX_BODY);
    if max_body > LARGE_MAX_BODY {
        let message = "above 16MiB: a body needs a multiple of its length, and a Worker has 128 MB for all of \
                       its requests";
        diagnostics.warn(&path.field("max_body"), message);
    }
    let origins = origins(diagnostics, &path.field("cors"), &raw.cors);
    let on_store_error = (&path.field("on_store_error"), raw.on_store_error.as_deref());
    let waits_for_store = diagnostics
        .choice(on_store_error.0, on_store_error.1, &raw::ON_ERROR, [false, true])
        .unwrap_or_default();
    Server { max_body, client_ip_header: address_header, origins, waits_for_store }
}

fn origins(diagnostics: &mut Diagnostics<'_>, path: &DocPath<'_>, raw: &[String]) -> Origins {
    for (index, origin) in raw.iter().enumerate().filter(|(_, origin)| *origin != "*") {
        // Not only http: browser extensions and applications have their own schemes.
        let fits = origin.split_once("://").is_some_and(|(scheme, host)| {
            let is_end = |byte: u8| matches!(byte, b'/' | b'?' | b'#' | b'@');
            let is_plain = |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase();
            !scheme.is_empty()
                && !host.is_empty()
                && origin.bytes().all(is_plain)
                && !host.bytes().any(is_end)
        });
        if !fits {
            let expected =
                "an origin as browsers write it, such as \"https://app.example.com\", or \"*\"";
            diagnostics.report(&path.item(index), quoted(origin), expected);
        }
    }
    if raw.iter().any(|origin| origin == "*") { Origins::All } else { Origins::Some(raw.to_vec()) }
}

/// Parses `[auth]`.
pub(super) fn auth(diagnostics: &mut Diagnostics<'_>, path: &DocPath<'_>, raw: &raw::Auth) -> Auth {
    Auth {
        required: raw.required.unwrap_or(true),
        sources: sources(diagnostics, &path.field("sources"), raw.sources.as_deref()),
        ip_access: addresses(diagnostics, &path.field("addresses"), raw.addresses.as_ref()),
        issuers: issuers(diagnostics, &path.field("jwt"), &raw.jwt),
    }
}

fn sources(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    sources: Option<&[String]>,
) -> Vec<KeySource> {
    let Some(sources) = sources else {
        let header = |name| KeySource::Header(HeaderName::from_static(name));
        // Azure's clients send `api-key`.
        return vec![KeySource::Bearer, header("x-api-key"), header("api-key")];
    };
    if sources.is_empty() {
        diagnostics.report(path, "an empty list", "\"bearer\" or \"header:NAME\", at least one");
    }
    let read = |(index, source): (usize, &String)| {
        let path = path.item(index);
        match (source.as_str(), source.strip_prefix("header:")) {
            ("bearer", _) => Some(KeySource::Bearer),
            (_, Some(name)) => diagnostics.header_name(&path, name).map(KeySource::Header),
            (_, None) => {
                diagnostics.report(&path, quoted(source), "\"bearer\" or \"header:NAME\"");
                None
            }
        }
    };
    sources.iter().enumerate().filter_map(read).collect()
}
