//! Names of requests.

use http::HeaderMap;

use crate::platform::Clock;

/// The caller's `x-request-id` if it is a sane one, else a fresh one of 128 random bits.
///
/// Sane: 1 to 128 letters, digits, `-`, `_`, `.` or `:`. Everything else could break a log.
pub fn request_id(headers: &HeaderMap, clock: &impl Clock) -> String {
    let sane = |id: &&str| {
        (1..=128).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
    };
    headers.get("x-request-id").and_then(|value| value.to_str().ok()).filter(sane).map_or_else(
        || format!("req_{:016x}{:016x}", clock.entropy(), clock.entropy()),
        str::to_owned,
    )
}
