//! `[[auth.jwt]]`: issuers, their keys, and the claims that name a caller.

use std::time::Duration;

use http::Uri;
use jwt::KeySet;
use serde_json::Value;

use super::super::auth::{Issuer, IssuerKeys, TokenGroups, UnknownSubjects};
use super::super::raw::{self, SecretText};
use super::diagnostics::{Diagnostics, quoted};
use super::doc_path::DocPath;
use super::ids::check_name;
use super::provider::{is_link_local, is_loopback};

const MINUTE: Duration = Duration::from_secs(60);
/// A greater difference is a broken clock, and each minute extends the life of a stolen token.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);
const EXPECTED_URL: &str = "an https address such as \"https://id.example.com/jwks.json\"";

/// Claims that people may set themselves at many identity providers (OpenID Connect Core, 5.1).
const CHOSEN_CLAIMS: [&str; 6] =
    ["name", "nickname", "preferred_username", "email", "given_name", "profile"];

/// Parses every issuer.
pub(super) fn issuers(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &[raw::Issuer],
) -> Vec<Issuer> {
    let mut read = Vec::with_capacity(raw.len());
    for (index, one) in raw.iter().enumerate() {
        let path = path.item(index);
        // A token names its issuer, which must have one set of keys.
        if let Some(first) = raw[..index].iter().position(|other| other.issuer == one.issuer) {
            let expected = format!("another issuer than that of auth.jwt[{first}]");
            diagnostics.report(&path.field("issuer"), quoted(&one.issuer), expected);
        }
        if let Some(first) = raw[..index].iter().position(|other| other.namespace == one.namespace)
        {
            let message = format!(
                "tokens of this issuer and of auth.jwt[{first}] share their consumers: a user who may choose the \
                 claim at one of them can name a consumer of the other. Give each its own `namespace`"
            );
            diagnostics.warn(&path, message);
        }
        read.extend(issuer(diagnostics, &path, one));
    }
    read
}

fn issuer(
    diagnostics: &mut Diagnostics<'_>,
    doc_path: &DocPath<'_>,
    raw: &raw::Issuer,
) -> Option<Issuer> {
    check_text(diagnostics, &doc_path.field("issuer"), &raw.issuer, "the value of `iss`");
    let audiences = doc_path.field("audiences");
    if raw.audiences.as_ref().is_some_and(Vec::is_empty) {
        let expected = "at least one audience, or no `audiences` for any";
        diagnostics.report(&audiences, "an empty list", expected);
    }
    for (index, audience) in raw.audiences.iter().flatten().enumerate() {
        check_text(diagnostics, &audiences.item(index), audience, "a value of `aud`");
    }
    if raw.audiences.is_none() {
        let message = "tokens that the issuer makes for other services are accepted, too. Set `audiences` to \
                       the gateway's own";
        diagnostics.warn(&audiences, message);
    }
    if let Some(token_type) = &raw.token_type {
        check_text(diagnostics, &doc_path.field("token_type"), token_type, "a value of `typ`");
    }
    let lifetime = doc_path.field("max_lifetime");
    let max_lifetime = raw.max_lifetime.as_ref();
    let max_lifetime =
        max_lifetime.map(|span| diagnostics.duration_or(&lifetime, Some(span), MINUTE));
    if max_lifetime.is_some_and(|lifetime| lifetime < MINUTE) {
        let found = raw.max_lifetime.as_ref().map_or_else(String::new, |span| quoted(&span.0));
        diagnostics.report(&lifetime, found, "1m at least");
    }
    let keys = keys(diagnostics, doc_path, raw);
    if raw.keep.is_some() && raw.jwks_url.is_none() {
        let expected = "no `keep` without `jwks_url`: other keys are not fetched";
        diagnostics.report(&doc_path.field("keep"), "a time to keep keys", expected);
    }
    let consumer_claim = raw.consumer_claim.as_deref().unwrap_or("sub");
    check_claim_path(diagnostics, &doc_path.field("consumer_claim"), consumer_claim);
    if CHOSEN_CLAIMS.contains(&consumer_claim) && raw.namespace.is_none() {
        let message = "users may often choose this claim, and so name any consumer. Use `sub`, or set a \
                       `namespace`";
        diagnostics.warn(&doc_path.field("consumer_claim"), message);
    }
    if let Some(path) = &raw.group_claim {
        check_claim_path(diagnostics, &doc_path.field("group_claim"), path);
    }
    if let Some(group) = &raw.default_group {
        check_name(diagnostics, &doc_path.field("default_group"), group);
        if raw.group_claim.is_none() {
            let expected = "no `default_group` without `group_claim`: tokens have no group";
            diagnostics.report(&doc_path.field("default_group"), quoted(group), expected);
        }
    }
    if let Some(namespace) = &raw.namespace {
        check_name(diagnostics, &doc_path.field("namespace"), namespace);
    }
    let groups = (&doc_path.field("groups"), raw.groups.as_deref());
    let groups = diagnostics
        .choice(groups.0, groups.1, &raw::TOKEN_GROUPS, [TokenGroups::Any, TokenGroups::Listed])
        .unwrap_or_default();
    let unknown = (&doc_path.field("unknown"), raw.unknown.as_deref());
    let unknown = diagnostics
        .choice(
            unknown.0,
            unknown.1,
            &raw::UNKNOWN_SUBJECTS,
            [UnknownSubjects::Admit, UnknownSubjects::Refuse],
        )
        .unwrap_or_default();
    let skew_path = doc_path.field("skew");
    let skew = diagnostics.duration_or(&skew_path, raw.skew.as_ref(), MINUTE);
    if skew > MAX_CLOCK_SKEW {
        let found = raw.skew.as_ref().map_or_else(String::new, |span| quoted(&span.0));
        diagnostics.report(&skew_path, found, "5m at most");
    }
    Some(Issuer {
        issuer: raw.issuer.clone(),
        audiences: raw.audiences.clone().unwrap_or_default(),
        token_type: raw.token_type.clone(),
        max_lifetime,
        keys: keys?,
        consumer_claim: consumer_claim.to_owned(),
        group_claim: raw.group_claim.clone(),
        default_group: raw.default_group.clone(),
        groups,
        unknown,
        namespace: raw.namespace.clone(),
        skew,
    })
}

fn keys(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &raw::Issuer,
) -> Option<IssuerKeys> {
    match (&raw.secret, &raw.jwks, &raw.jwks_url) {
        (Some(secret), None, None) => {
            shared_secret_keys(diagnostics, &path.field("secret"), secret)
        }
        (None, Some(jwks), None) => {
            public_keys(diagnostics, &path.field("jwks"), jwks).map(IssuerKeys::Inline)
        }
        (None, None, Some(url)) => {
            let keep = key_cache_duration(diagnostics, &path.field("keep"), raw);
            let url = jwks_url(diagnostics, &path.field("jwks_url"), url)?;
            Some(IssuerKeys::Url { url, keep })
        }
        (None, None, None) => {
            diagnostics.report(path, "no keys", "one of `secret`, `jwks`, `jwks_url`");
            None
        }
        (_, _, _) => {
            // A forger needs only the weaker of two.
            diagnostics.report(
                path,
                "keys from more than one place",
                "one of `secret`, `jwks`, `jwks_url`",
            );
            None
        }
    }
}

fn shared_secret_keys(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    text: &SecretText,
) -> Option<IssuerKeys> {
    let problems = diagnostics.problems.len();
    let Some((name, secret)) = diagnostics.secret_value(path, text) else {
        // Without a problem the secret is missing, and only this issuer is disabled.
        return (diagnostics.problems.len() == problems).then_some(IssuerKeys::Missing);
    };
    let keys = KeySet::from_secret(&secret);
    if let Err(error) = &keys {
        let expected = format!("a value of 32 bytes or more for the secret {name}");
        diagnostics.report(path, format!("{error}"), expected);
    }
    keys.ok().map(IssuerKeys::Inline)
}

fn public_keys(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    text: &str,
) -> Option<KeySet> {
    if has_private_part(text) {
        let expected = "public keys only; configure a shared key as a `secret`";
        diagnostics.report(path, "a key that is not public, written in clear", expected);
        return None;
    }
    let keys = KeySet::from_jwks(text.as_bytes());
    if let Err(error) = &keys {
        let expected = "a JSON Web Key Set: '{\"keys\": […]}' with keys for RS256 or ES256";
        diagnostics.report(path, format!("{error}"), expected);
    }
    keys.ok()
}

/// Whether a set has a private key (`d`, RFC 7518, 6.2.2 and 6.3.2) or a shared one (`k`, 6.4).
fn has_private_part(text: &str) -> bool {
    let Ok(document) = serde_json::from_str::<Value>(text) else { return false };
    let set = document["keys"].as_array().map_or(std::slice::from_ref(&document), Vec::as_slice);
    set.iter().any(|key| key.get("d").is_some() || key.get("k").is_some())
}

fn key_cache_duration(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &raw::Issuer,
) -> Duration {
    let keep = diagnostics.duration_or(path, raw.keep.as_ref(), 10 * MINUTE);
    if keep < MINUTE {
        let found = raw.keep.as_ref().map_or_else(String::new, |span| quoted(&span.0));
        diagnostics.report(path, found, "1m at least");
    }
    keep
}

/// Checks a URL without repeating a possible credential. An attacker who changes the response can forge
/// tokens, so plain http is allowed for loopback only.
fn jwks_url(diagnostics: &mut Diagnostics<'_>, path: &DocPath<'_>, url: &str) -> Option<Uri> {
    let uri = url.parse::<Uri>().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
    let scheme = uri.as_ref().and_then(Uri::scheme_str).unwrap_or_default();
    let found = if url.contains('@') {
        "an address with a user's name or an \"@\"".to_owned()
    } else if url.contains('#') {
        "an address with a fragment".to_owned()
    } else if host.is_empty() || !matches!(scheme, "http" | "https") {
        quoted(url.split('?').next().unwrap_or_default())
    } else if is_link_local(host) {
        "an address of the host's own metadata service".to_owned()
    } else if scheme == "http" && !is_loopback(host) {
        "a plain http address that is not loopback".to_owned()
    } else {
        return uri;
    };
    diagnostics.report(path, found, EXPECTED_URL);
    None
}

fn check_text(diagnostics: &mut Diagnostics<'_>, path: &DocPath<'_>, text: &str, expected: &str) {
    if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        diagnostics.report(path, quoted(text), format!("{expected}, without white space"));
    }
}

fn check_claim_path(diagnostics: &mut Diagnostics<'_>, doc_path: &DocPath<'_>, path: &str) {
    let fits = |step: &str| {
        !step.is_empty() && !step.contains(|c: char| c.is_whitespace() || c.is_control())
    };
    if !path.split('.').all(fits) {
        diagnostics.report(
            doc_path,
            quoted(path),
            "a claim's name, or a path such as \"realm.team\"",
        );
    }
}
