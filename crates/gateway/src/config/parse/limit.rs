//! `[[limits]]`, which are checked here and act in a later version.

use std::net::IpAddr;

use super::super::raw::{self, Limit, Quota};
use super::name::name;
use super::{Names, Place, Review, quoted};

/// Checks every limit.
pub(super) fn limits(
    review: &mut Review<'_>,
    place: &Place<'_>,
    raw: &[Limit],
    routes: &Names<'_>,
) {
    for (index, raw) in raw.iter().enumerate() {
        let place = place.item(index);
        limit(review, &place, raw, routes);
        review.inactive(&place);
    }
}

fn limit(review: &mut Review<'_>, place: &Place<'_>, raw: &Limit, routes: &Names<'_>) {
    let on = place.field("on");
    review.routes(&on.field("routes"), raw.on.routes.as_deref(), routes);
    let groups = on.field("groups");
    for (index, group) in raw.on.groups.iter().flatten().enumerate() {
        name(review, &groups.item(index), group);
    }
    by(review, &place.field("by"), &raw.by);
    let keys = place.field("keys");
    if raw.keys.as_ref().is_some_and(Vec::is_empty) {
        review.problem(&keys, "an empty list", "at least one value, or no `keys` for all");
    }
    for (index, key) in raw.keys.iter().flatten().enumerate() {
        covered(review, &keys.item(index), key, raw.by == "ip");
    }
    if raw.tokens.is_none() && raw.requests.is_none() {
        review.problem(place, "no quota", "`tokens`, `requests` or both");
    }
    for (quota, name) in [(&raw.tokens, "tokens"), (&raw.requests, "requests")] {
        if let Some(quota) = quota {
            self::quota(review, &place.field(name), quota);
        }
    }
}

fn by(review: &mut Review<'_>, place: &Place<'_>, by: &str) {
    let expected = "one of all, consumer, group, ip, header:NAME, param:NAME, cookie:NAME";
    match by.split_once(':') {
        None if matches!(by, "all" | "consumer" | "group" | "ip") => {}
        Some(("header", name)) => {
            review.header_name(place, name);
        }
        // Letters, digits and the like: what both a query's and a cookie's names are made of.
        Some(("param" | "cookie", name)) => self::name(review, place, name),
        None | Some(_) => review.problem(place, quoted(by), expected),
    }
}

fn covered(review: &mut Review<'_>, place: &Place<'_>, key: &str, is_address: bool) {
    if let Some(expression) = key.strip_prefix('~') {
        review.regex(place, expression);
    } else if key.is_empty() {
        review.problem(place, "nothing", "an exact value, * or ~regex");
    } else if is_address && key != "*" && !is_address_block(key) {
        review.problem(
            place,
            quoted(key),
            "an address, a block such as \"10.0.0.0/8\", * or ~regex",
        );
    }
}

fn is_address_block(text: &str) -> bool {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let most = if address.is_ipv4() { 32 } else { 128 };
    bits.is_none_or(|bits| {
        // `parse` takes a "+", which no block has.
        bits.bytes().all(|byte| byte.is_ascii_digit())
            && bits.parse::<u8>().is_ok_and(|bits| bits <= most)
    })
}

fn quota(review: &mut Review<'_>, place: &Place<'_>, quota: &Quota) {
    review.one_of(&place.field("per"), &quota.per, &raw::PERIODS);
    if quota.max == 0 {
        review.problem(&place.field("max"), "0", "a number above zero");
    }
    let Some(timezone) = &quota.timezone else { return };
    let place = place.field("timezone");
    if !matches!(quota.per.as_str(), "day" | "month") {
        let found = format!("a timezone with per {}", quoted(&quota.per));
        review.problem(&place, found, "one with day or month only: other periods have no calendar");
    }
    // The names themselves live in a database of 400 KB: their shape is what can be checked here.
    let fits = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'+'))
    };
    if !(timezone == "UTC" || (timezone.contains('/') && timezone.split('/').all(fits))) {
        review.problem(&place, quoted(timezone), "UTC or a name such as \"Asia/Shanghai\"");
    }
}
