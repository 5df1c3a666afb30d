//! Durations in scripts and scenarios: `20ms`, `1.5s`, `2m`.

use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error};

/// Parses a number and a unit: `us`, `ms`, `s`, `m`, or `h`. `None` if the text is anything else.
pub fn parse(text: &str) -> Option<Duration> {
    let unit = text.find(|letter: char| letter.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit);
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.trim().parse::<f64>().ok()? * seconds).ok()
}

/// Deserializes an optional field that holds a duration.
pub fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).map(Some).ok_or_else(|| {
        D::Error::custom(format!(
            "`{text}` is not a duration: write a number and a unit, such as `20ms` or `1.5s`"
        ))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::parse;

    #[test]
    fn parse_number_and_unit_returns_a_duration() {
        assert_eq!(parse("20ms"), Some(Duration::from_millis(20)));
        assert_eq!(parse("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(parse("2m"), Some(Duration::from_secs(120)));
        for wrong in ["", "20", "ms", "-1s", "3 days"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
