//! What a value of the store is wrapped in: until when it holds, since Spin's stores keep everything
//! for ever. Eight bytes of milliseconds since the Unix epoch, little-endian, then the value. Zero
//! means for ever.
//!
//! It reads no clock and no store.

use civil_time::Timestamp;

/// How long the front part is.
const HEADER_BYTES: usize = size_of::<u64>();

/// Wraps a value that holds until a moment, or for ever.
pub(crate) fn seal(value: &[u8], until: Option<Timestamp>) -> Vec<u8> {
    let until = until.map_or(0, Timestamp::as_millis);
    let mut sealed = Vec::with_capacity(HEADER_BYTES + value.len());
    sealed.extend_from_slice(&until.to_le_bytes());
    sealed.extend_from_slice(value);
    sealed
}

/// What a name holds at a moment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum EnvelopeContent {
    /// The value.
    Value(Vec<u8>),
    /// A value whose time is over.
    Expired,
    /// Something that [`seal`] did not make.
    Foreign,
}

/// Unwraps a value.
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
    fn a_value_holds_until_its_time_is_over() {
        let value = || EnvelopeContent::Value(b"value".to_vec());
        assert_opened(None, u64::MAX, value());
        assert_opened(Some(1_000), 999, value());
        assert_opened(Some(1_000), 1_000, EnvelopeContent::Expired);
        assert_opened(Some(u64::MAX), 1_000, value());
    }

    #[test]
    fn an_empty_value_is_a_value() {
        assert_eq!(open(seal(b"", None), Timestamp::default()), EnvelopeContent::Value(Vec::new()));
    }

    #[test]
    fn what_is_too_short_is_nothing_of_ours() {
        assert_eq!(open(b"1234567".to_vec(), Timestamp::default()), EnvelopeContent::Foreign);
    }
}
