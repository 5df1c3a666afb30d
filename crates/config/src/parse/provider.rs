//! `[[providers]]`: a row of the table of kinds, with the document's changes.

use std::net::{IpAddr, Ipv6Addr};

use http::Uri;
use openai::Endpoint;
use protocol::model::Protocol;
use sha2::{Digest, Sha256};

use super::super::ip_access::to_canonical;
use super::super::problem::with_hint;
use super::super::provider::Provider;
use super::super::provider_kind::ProviderKind;
use super::super::raw;
use super::diagnostics::{Diagnostics, quoted};
use super::doc_path::DocPath;
use super::permission::forbidden_parameters;
use super::provider_hint::other_kind;

const EXPECTED_URL: &str = "an address such as \"https://api.example.com/v1\"";

/// Parses every provider.
pub(super) fn providers(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &[raw::Provider],
) -> Vec<Provider> {
    let read = |(index, raw)| provider(diagnostics, &path.item(index), raw);
    raw.iter().enumerate().filter_map(read).collect()
}

fn provider(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &raw::Provider,
) -> Option<Provider> {
    let keys = path.field("keys");
    let read = |(index, key)| diagnostics.provider_key(&keys.item(index), key);
    let secrets: Vec<_> = raw.keys.iter().enumerate().filter_map(read).collect();

    let kind = kind(diagnostics, path, raw)?;
    let base_url = provider_url(diagnostics, path, raw, kind);
    if let Some(version) = &raw.api_version {
        api_version(diagnostics, &path.field("api_version"), version, kind);
    }
    // A server that replaces a built-in kind's own may need no key.
    let stands_in = kind.base_url.is_some() && raw.base_url.is_some();
    if raw.keys.is_empty() && !kind.keyless && !stands_in {
        let expected = format!("at least one \"secret:NAME\": {} needs a key", kind.name);
        diagnostics.report(&keys, "no key", expected);
    }
    let forbid = path.field("forbid");
    let forbidden = match &raw.forbid {
        Some(paths) => forbidden_parameters(diagnostics, &forbid, paths.iter().map(String::as_str)),
        None => forbidden_parameters(diagnostics, &forbid, kind.forbid.iter().copied()),
    };
    let protocols = match &raw.protocols {
        Some(names) => protocols(diagnostics, &path.field("protocols"), names),
        None => Some(kind.protocols.to_vec()),
    };
    let base_url = base_url?;
    Some(Provider {
        id: raw.id.clone(),
        kind: kind.name,
        protocols: protocols?,
        seal_maker: seal_maker(kind.name, &base_url),
        chat_extensions: kind.chat_extensions,
        paths: kind.paths(&base_url, raw.api_version.as_deref()),
        base_url,
        authentication: kind.authentication(),
        lacks_keys: secrets.is_empty() && !raw.keys.is_empty(),
        keys: secrets,
        stream_usage: raw.stream_usage.unwrap_or(kind.stream_usage),
        output_field: kind.output_field,
        forbidden,
    })
}

/// Parses the protocols of a provider.
fn protocols(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    names: &[String],
) -> Option<Vec<Protocol>> {
    let mut protocols = Vec::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        let Some(protocol) = Protocol::ALL.into_iter().find(|protocol| protocol.id() == name)
        else {
            let known = Protocol::ALL.map(Protocol::id);
            let expected =
                with_hint(&format!("one of {}", known.join(", ")), name, known.into_iter());
            diagnostics.report(&path.item(index), quoted(name), expected);
            return None;
        };
        if protocols.contains(&protocol) {
            diagnostics.report(&path.item(index), quoted(name), "each protocol once");
            return None;
        }
        protocols.push(protocol);
    }
    if protocols.is_empty() {
        diagnostics.report(path, "an empty list", "at least one protocol, or no `protocols`");
        return None;
    }
    Some(protocols)
}

/// Name of a maker of seals: a seal is bound to the service that made it, which its address names.
fn seal_maker(kind: &str, base_url: &str) -> String {
    let digest = Sha256::digest(base_url);
    digest.iter().take(4).fold(format!("{kind}-"), |name, byte| format!("{name}{byte:02x}"))
}

fn kind(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &raw::Provider,
) -> Option<&'static ProviderKind> {
    let name = raw.kind.as_ref().unwrap_or(&raw.id);
    let kind = ProviderKind::lookup(name);
    if kind.is_none() {
        let (path, found, expected) = match raw.kind {
            Some(_) => (path.field("kind"), quoted(name), "one of the kinds"),
            None => {
                let found = format!("{} and no `kind`", quoted(name));
                (path.field("id"), found, "a `kind`, or an id that is the name of one")
            }
        };
        let expected = match other_kind(name) {
            Some(advice) => advice,
            None => {
                let kinds = ProviderKind::names().collect::<Vec<_>>().join(", ");
                let expected = format!("{expected}: {kinds}");
                with_hint(&expected, name, ProviderKind::names())
            }
        };
        diagnostics.report(&path, found, expected);
    }
    kind
}

/// The base URL of the document, else of the table.
fn provider_url(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &raw::Provider,
    kind: &ProviderKind,
) -> Option<String> {
    if let Some(account) = &raw.account {
        let path = path.field("account");
        if !kind.has_account() {
            diagnostics.report(
                &path,
                "an account",
                format!("no `account`: {} has no accounts", kind.name),
            );
        } else {
            super::ids::check_name(diagnostics, &path, account);
        }
    }
    match (&raw.base_url, kind.base_url, &raw.account) {
        (Some(url), _, _) => base_url(diagnostics, &path.field("base_url"), url, kind),
        (None, Some(url), Some(account)) => Some(url.replace("{account}", account)),
        (None, Some(_), None) if kind.has_account() => {
            let expected = format!("the `account`, which is part of {}'s address", kind.name);
            diagnostics.report(path, "no `account`", expected);
            None
        }
        (None, Some(url), None) => Some(url.to_owned()),
        (None, None, _) => {
            let expected = if kind.has_versions() {
                "the resource, such as \"https://NAME.openai.azure.com\""
            } else {
                EXPECTED_URL
            };
            diagnostics.report(path, "no `base_url`", expected);
            None
        }
    }
}

/// Checks a provider's base URL.
fn base_url(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    url: &str,
    kind: &ProviderKind,
) -> Option<String> {
    match check_url(url) {
        Ok(trimmed) if kind.has_versions() && trimmed.contains("/openai") => {
            let expected = "the resource alone, such as \"https://NAME.openai.azure.com\"";
            diagnostics.report(path, quoted(url), expected);
            None
        }
        // Documentation often shows an endpoint's whole URL.
        Ok(trimmed) if Endpoint::ALL.iter().any(|endpoint| trimmed.ends_with(endpoint.path())) => {
            let expected =
                "the address before the endpoint, such as \"https://api.example.com/v1\"";
            diagnostics.report(path, quoted(url), expected);
            None
        }
        Ok(trimmed) => {
            warn_if_plain(diagnostics, path, trimmed);
            Some(trimmed.to_owned())
        }
        Err(found) => {
            diagnostics.report(path, found, format!("{EXPECTED_URL}, and nothing after the path"));
            None
        }
    }
}

/// A URL without trailing slashes; else a description without a possible credential.
pub(super) fn check_url(url: &str) -> Result<&str, String> {
    let uri = url.parse::<Uri>().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
    let scheme = uri.as_ref().and_then(Uri::scheme_str).unwrap_or_default();
    if url.contains('@') {
        Err("an address with a user's name or an \"@\"".to_owned())
    } else if url.contains(['?', '#']) {
        Err("an address with a query or a fragment".to_owned())
    } else if host.is_empty() || !matches!(scheme, "http" | "https") {
        Err(quoted(url))
    } else if is_link_local(host) {
        Err(format!("{}, an address of the host's own metadata service", quoted(url)))
    } else {
        Ok(url.trim_end_matches('/'))
    }
}

/// Warns of an address without encryption, except on the machine itself: keys and prompts travel in clear.
pub(super) fn warn_if_plain(diagnostics: &mut Diagnostics<'_>, path: &DocPath<'_>, url: &str) {
    let uri = url.parse::<Uri>().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
    if uri.as_ref().and_then(Uri::scheme_str) == Some("http") && !is_loopback(host) {
        let message = "plain http: keys and prompts are sent to this address in clear. Use https, unless the \
                       network between is private";
        diagnostics.warn(path, message);
    }
}

/// Whether a URL's host is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || ip_of_host(host).is_some_and(|address| address.is_loopback())
}

/// Whether a URL's host is link-local: clouds serve credentials of a machine there, and no provider.
pub(super) fn is_link_local(host: &str) -> bool {
    const AWS_METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    if host.eq_ignore_ascii_case("metadata.google.internal") {
        return true;
    }
    match ip_of_host(host) {
        Some(IpAddr::V4(address)) => address.is_link_local(),
        Some(IpAddr::V6(address)) => address.is_unicast_link_local() || address == AWS_METADATA,
        None => false,
    }
}

/// The address that a URL's host is, also as one number, which URL parsers of browsers accept.
fn ip_of_host(host: &str) -> Option<IpAddr> {
    let text = host.trim_start_matches('[').trim_end_matches(']');
    let number = || text.parse::<u32>().ok().map(|number| IpAddr::V4(number.into()));
    text.parse().ok().map(to_canonical).or_else(number)
}

fn api_version(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    version: &str,
    kind: &ProviderKind,
) {
    if kind.has_versions() {
        super::ids::check_name(diagnostics, path, version);
    } else {
        diagnostics.report(
            path,
            "a version",
            format!("no `api_version`: {} has no versions", kind.name),
        );
    }
}
