//! Waits between attempts.

use std::time::Duration;

/// The longest wait between two attempts.
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// Doubles `base` with every earlier attempt, and adds jitter.
pub(crate) fn delay(base: Duration, earlier_tries: u32, entropy: u64) -> Duration {
    jitter(base.saturating_mul(1u32 << earlier_tries.min(16)).min(MAX_BACKOFF), entropy)
}

/// A random wait between `full / 2` and `full` ("equal jitter"), so that requests that failed
/// together do not retry together.
pub(crate) fn jitter(full: Duration, entropy: u64) -> Duration {
    let half = full / 2;
    let part = (half.as_nanos() * u128::from(entropy)) >> 64;
    half + Duration::from_nanos(u64::try_from(part).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::{any, proptest};

    use super::{MAX_BACKOFF, delay};

    proptest! {
        #[test]
        fn delay_is_between_half_and_all_of_the_doubled_base(base in 0u64..120_000, tries in any::<u32>(), entropy in any::<u64>()) {
            let base = Duration::from_millis(base);
            let full = base.saturating_mul(1u32 << tries.min(16)).min(MAX_BACKOFF);
            let wait = delay(base, tries, entropy);
            assert!(full / 2 <= wait && wait <= full);
        }
    }
}
