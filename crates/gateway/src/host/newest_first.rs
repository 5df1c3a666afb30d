//! Keys that sort the newest first: stores list keys in ascending order only.

use civil_time::Timestamp;

/// Digits of milliseconds since the Unix epoch. They last until the year 2286.
const TIMESTAMP_DIGITS: usize = 13;

/// The largest time in a key. [`newest_first_key`] counts down from here.
pub(crate) const MAX_TIMESTAMP_MILLIS: u64 = max_number(TIMESTAMP_DIGITS);

/// A time as a part of a key, in milliseconds that count down.
pub(crate) fn newest_first_key(at: Timestamp) -> String {
    newest_first_number(at.as_millis(), TIMESTAMP_DIGITS)
}

/// A number as a part of a key, in `digits` digits that count down.
pub(crate) fn newest_first_number(number: u64, digits: usize) -> String {
    format!("{:0digits$}", max_number(digits).saturating_sub(number))
}

const fn max_number(digits: usize) -> u64 {
    let (mut max, mut length) = (0, 0);
    while length < digits {
        max = max * 10 + 9;
        length += 1;
    }
    max
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_first_key_of_later_time_sorts_first() {
        let key = |millis| newest_first_key(Timestamp::from_millis(millis));
        assert_eq!(key(1_700_000_000_000), "8299999999999");
        assert!(key(1_700_000_000_001) < key(1_700_000_000_000));
        assert_eq!(key(MAX_TIMESTAMP_MILLIS + 1), "0000000000000");
    }

    #[test]
    fn newest_first_number_keeps_its_digits() {
        assert_eq!(newest_first_number(1, 10), "9999999998");
        assert_eq!(newest_first_number(9_999_999_998, 10), "0000000001");
    }
}
