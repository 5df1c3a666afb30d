//! Request ids.

use http::HeaderMap;

use crate::host::Clock;

/// The caller's `x-request-id` if it is valid, else 128 random bits.
///
/// Valid are 1 to 128 letters, digits, `-`, `_`, `.`, or `:`. Other characters could break a log.
pub(crate) fn request_id(headers: &HeaderMap, clock: &impl Clock) -> String {
    let is_valid = |id: &&str| {
        (1..=128).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
    };
    headers
        .get("x-request-id")
        .and_then(|value| value.to_str().ok())
        .filter(is_valid)
        .map_or_else(|| format!("req_{}", random_hex(clock, 32)), str::to_owned)
}

/// `digits` unpredictable hexadecimal digits.
pub(crate) fn random_hex(clock: &impl Clock, digits: usize) -> String {
    let mut id = String::with_capacity(digits + 16);
    while id.len() < digits {
        id.push_str(&format!("{:016x}", clock.entropy()));
    }
    id.truncate(digits);
    id
}
