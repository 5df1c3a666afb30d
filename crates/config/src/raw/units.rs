//! Durations, sizes, and names of secrets as written.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

use super::super::hint;

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

    /// Expected form, with this duration in it if another unit is recognized.
    pub(crate) fn expected(&self) -> String {
        let units = [
            ("d", 24, "h"),
            ("day", 24, "h"),
            ("days", 24, "h"),
            ("w", 168, "h"),
            ("week", 168, "h"),
            ("weeks", 168, "h"),
            ("h", 1, "h"),
            ("hour", 1, "h"),
            ("hours", 1, "h"),
            ("min", 1, "m"),
            ("mins", 1, "m"),
            ("minute", 1, "m"),
            ("minutes", 1, "m"),
            ("m", 1, "m"),
            ("s", 1, "s"),
            ("sec", 1, "s"),
            ("secs", 1, "s"),
            ("second", 1, "s"),
            ("seconds", 1, "s"),
            ("ms", 1, "ms"),
        ];
        with_correction(Self::EXPECTED, &self.0, &units)
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

    /// Expected form, with this size in it if another unit is recognized.
    pub(crate) fn expected(&self) -> String {
        let units = [
            ("b", 1, ""),
            ("bytes", 1, ""),
            ("k", 1, "KiB"),
            ("kb", 1, "KiB"),
            ("kib", 1, "KiB"),
            ("m", 1, "MiB"),
            ("mb", 1, "MiB"),
            ("mib", 1, "MiB"),
            ("g", 1, "GiB"),
            ("gb", 1, "GiB"),
            ("gib", 1, "GiB"),
        ];
        with_correction(Self::EXPECTED, &self.0, &units)
    }
}

fn with_correction(expected: &str, text: &str, units: &[(&str, u64, &'static str)]) -> String {
    match hint::corrected(text, units) {
        Some(corrected) => format!("{expected} (did you mean \"{corrected}\"?)"),
        None => expected.to_owned(),
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
    /// It is a name or another system's reference: `NAME`, `$NAME`, `${NAME}`, `os.environ/NAME`.
    NoPrefix,
    /// The rest is not a valid name.
    Impossible,
}

impl SecretText {
    /// Expected form, for problems.
    pub(crate) const EXPECTED: &str =
        "\"secret:NAME\", where NAME is a Worker secret or a Spin variable";

    /// The text, if it refers to a key in the vault.
    pub(crate) fn vault_reference(&self) -> Option<&str> {
        let name = self.0.strip_prefix(crate::VAULT_PREFIX)?;
        is_vault_name(name).then_some(&self.0)
    }

    /// The secret's name. The text itself stays private, since it may be a secret.
    pub(crate) fn name(&self) -> Result<&str, NoName> {
        let Some(name) = self.0.strip_prefix("secret:") else {
            return Err(if is_reference(&self.0) { NoName::NoPrefix } else { NoName::InClear });
        };
        let possible = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if possible { Ok(name) } else { Err(NoName::Impossible) }
    }
}

/// Whether a text can be the name of a key in the vault. Names in capitals are those of other systems.
pub fn is_vault_name(name: &str) -> bool {
    let fits =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(fits) && !name.starts_with('.')
}

/// Whether a text looks like the name of a variable. Keys have lower-case letters or no underscore.
fn is_reference(text: &str) -> bool {
    let name = ["$", "env:", "env.", "os.environ/", "secret.", "vault:"]
        .iter()
        .find_map(|prefix| text.strip_prefix(prefix));
    let name = name.or_else(|| text.contains('_').then_some(text)).unwrap_or_default();
    let name = name.trim_start_matches('{').trim_end_matches('}');
    name.starts_with(|c: char| c.is_ascii_uppercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
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
