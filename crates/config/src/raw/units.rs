//! Durations, sizes, and names of secrets as written.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A duration: a whole number and `ms`, `s`, `m`, or `h`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "author", schemars(transparent, extend("pattern" = "^[0-9]+(ms|s|m|h)$")))]
pub(crate) struct Span(pub(crate) String);

/// A size: a whole number of bytes, or of `KiB`, `MiB`, or `GiB`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "author", schemars(transparent, extend("pattern" = "^[0-9]+(KiB|MiB|GiB)?$")))]
pub(crate) struct Size(pub(crate) String);

/// A reference to a Worker secret or a Spin variable (in lower case there), written `secret:NAME`.
//
// `Debug` is not derived: the text may be the secret itself.
#[derive(Clone)]
#[cfg_attr(feature = "author", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "author",
    schemars(transparent, extend("pattern" = "^secret:[A-Za-z][A-Za-z0-9_]*$"))
)]
pub(crate) struct SecretText(String);

impl Span {
    /// Expected form, for problems.
    pub(crate) const EXPECTED: &str = "a duration such as \"250ms\", \"2s\", \"5m\" or \"1h\"";

    /// The duration. `None` if the text is malformed or too large.
    pub(crate) fn duration(&self) -> Option<Duration> {
        let (number, unit) = number_and_unit(&self.0)?;
        let milliseconds = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        number.checked_mul(milliseconds).map(Duration::from_millis)
    }
}

impl Size {
    /// Expected form, for problems.
    pub(crate) const EXPECTED: &str = "a size such as \"4MiB\", \"512KiB\" or \"1024\" (bytes)";

    /// The size in bytes. `None` if the text is malformed or too large.
    pub(crate) fn bytes(&self) -> Option<u64> {
        let (number, unit) = number_and_unit(&self.0)?;
        let bytes = match unit {
            "" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return None,
        };
        number.checked_mul(bytes)
    }
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit))
}

/// Reason why a text does not name a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoName {
    /// It does not begin with `secret:`.
    InClear,
    /// The rest is not a valid name.
    Impossible,
}

impl SecretText {
    /// Expected form, for problems.
    pub(crate) const EXPECTED: &str =
        "\"secret:NAME\", where NAME is a Worker secret or a Spin variable";

    /// The secret's name. The text itself stays private, since it may be a secret.
    pub(crate) fn name(&self) -> Result<&str, NoName> {
        let name = self.0.strip_prefix("secret:").ok_or(NoName::InClear)?;
        let possible = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if possible { Ok(name) } else { Err(NoName::Impossible) }
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name().unwrap_or("SecretText(…)"))
    }
}

/// Visitor for strings, with the expected form for errors.
struct Text(&'static str);

impl Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(Self::EXPECTED)).map(Self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(Self::EXPECTED)).map(Self)
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(Self::EXPECTED)).map(Self)
    }
}

/// Deserializes an optional number. Refuses infinities and NaN, which TOML has and JSON lacks.
pub(super) fn finite<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    Option::<f64>::deserialize(deserializer)?.map(checked).transpose()
}

/// Deserializes a number, and refuses infinities and NaN.
pub(super) fn finite_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    checked(f64::deserialize(deserializer)?)
}

fn checked<E: Error>(number: f64) -> Result<f64, E> {
    if number.is_finite() {
        Ok(number)
    } else {
        Err(E::custom(format_args!("{number}, expected a finite number")))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{NoName, SecretText, Size, Span};

    #[track_caller]
    fn assert_duration(text: &str, milliseconds: Option<u64>) {
        assert_eq!(Span(text.to_owned()).duration(), milliseconds.map(Duration::from_millis));
    }

    #[track_caller]
    fn assert_bytes(text: &str, bytes: Option<u64>) {
        assert_eq!(Size(text.to_owned()).bytes(), bytes);
    }

    #[test]
    fn duration_malformed_or_too_large_is_none() {
        assert_duration("250ms", Some(250));
        assert_duration("2s", Some(2_000));
        assert_duration("5m", Some(300_000));
        assert_duration("1h", Some(3_600_000));
        assert_duration("0s", Some(0));
        for text in ["", "5", "s", "-1s", "+1s", "1.5s", "1 s", " 1s", "1S", "1d", "1s1ms", "１s"]
        {
            assert_duration(text, None);
        }
        assert_duration("5124095576030431h", None);
        assert_duration("99999999999999999999ms", None);
    }

    #[test]
    fn size_malformed_or_too_large_is_none() {
        assert_bytes("1024", Some(1024));
        assert_bytes("512KiB", Some(524_288));
        assert_bytes("4MiB", Some(4_194_304));
        assert_bytes("1GiB", Some(1_073_741_824));
        for text in ["", "MiB", "4MB", "4M", "-4MiB", "4 MiB", "17179869184GiB"] {
            assert_bytes(text, None);
        }
    }

    #[test]
    fn secret_text_that_is_not_a_reference_is_refused_and_not_printed() {
        let name = |text: &str| SecretText(text.to_owned()).name().map(str::to_owned);
        assert_eq!(name("secret:OPENAI_API_KEY_2"), Ok("OPENAI_API_KEY_2".to_owned()));
        assert_eq!(name("sk-123"), Err(NoName::InClear));
        for text in ["secret:", "secret:sk-123", "secret:1A", "secret: A", "secret:_A"] {
            assert_eq!(name(text), Err(NoName::Impossible), "{text}");
        }
        assert_eq!(format!("{:?}", SecretText("sk-123".to_owned())), "SecretText(…)");
    }
}
