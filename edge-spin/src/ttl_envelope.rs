//! Envelope of stored values with their expiration, since Spin's stores have none. Format: eight bytes
//! of milliseconds since the Unix epoch (little-endian), then the value. Zero: no expiration.
//!
//! This module reads no clock and no store.

use civil_time::Timestamp;

/// Length of the expiration.
const HEADER_BYTES: usize = size_of::<u64>();

/// Wraps a value that expires at `until`; never if `None`.
pub(crate) fn seal(value: &[u8], until: Option<Timestamp>) -> Vec<u8> {
    let until = until.map_or(0, Timestamp::as_millis);
    let mut sealed = Vec::with_capacity(HEADER_BYTES + value.len());
    sealed.extend_from_slice(&until.to_le_bytes());
    sealed.extend_from_slice(value);
    sealed
}

/// Content of an envelope at a given time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum EnvelopeContent {
    Value(Vec<u8>),
    /// An expired value.
    Expired,
    /// Data that [`seal`] did not create.
    Foreign,
}

pub(crate) fn open(mut sealed: Vec<u8>, now: Timestamp) -> EnvelopeContent {
    let Some(front) = sealed.first_chunk::<HEADER_BYTES>() else { return EnvelopeContent::Foreign };
    let until = u64::from_le_bytes(*front);
    if until != 0 && Timestamp::from_millis(until) <= now {
        return EnvelopeContent::Expired;
    }
    sealed.drain(..HEADER_BYTES);
    EnvelopeContent::Value(sealed)
}

#[cfg(test)]
mod tests {
    use civil_time::Timestamp;

    use super::{EnvelopeContent, open, seal};

    #[track_caller]
    fn assert_opened(until: Option<u64>, now: u64, expected: EnvelopeContent) {
        let sealed = seal(b"value", until.map(Timestamp::from_millis));
        assert_eq!(open(sealed, Timestamp::from_millis(now)), expected);
    }

    #[test]
    fn open_returns_the_value_until_it_expires() {
        let value = || EnvelopeContent::Value(b"value".to_vec());
        assert_opened(None, u64::MAX, value());
        assert_opened(Some(1_000), 999, value());
        assert_opened(Some(1_000), 1_000, EnvelopeContent::Expired);
        assert_opened(Some(u64::MAX), 1_000, value());
    }

    #[test]
    fn open_accepts_an_empty_value() {
        assert_eq!(open(seal(b"", None), Timestamp::default()), EnvelopeContent::Value(Vec::new()));
    }

    #[test]
    fn open_of_short_data_is_foreign() {
        assert_eq!(open(b"1234567".to_vec(), Timestamp::default()), EnvelopeContent::Foreign);
    }
}
