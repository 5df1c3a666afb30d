//! Problems found so far, secrets, and the parsers of values that many sections have.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use regex_lite::Regex;
use secret::Secret;

use super::super::index::RouteIndex;
use super::super::problem::{Problem, Problems, Warning, with_hint};
use super::super::raw::{self, SecretText, Size, Span};
use super::super::{RESERVED_SECRETS, SecretLookup};
use super::doc_path::DocPath;
use super::ids::IdIndex;

/// The longest duration. A longer one is a mistake, and a Worker's timer of 25 days fires at once.
const MAX_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// The greatest maximum of a quota: 2⁵³, up to which every JSON reader is exact.
pub(super) const MAX_COUNT: u64 = 1 << 53;

/// Expected in place of a missing secret: each host's place, without the name, which the problem has.
const WHERE_TO_SET: &str =
    "a value in a Worker secret, in a Spin variable (lower case), or on this machine in .dev.vars";

/// Treatment of secrets that are not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MissingSecrets {
    /// They are problems: a new document is checked.
    Refuse,
    /// They are warnings, and disable only the part of the document that needs them: a document is served.
    Disable,
}

/// Problems found so far, and access to secrets.
pub(super) struct Diagnostics<'a> {
    secrets: &'a SecretLookup<'a>,
    missing_secrets: MissingSecrets,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Warning>,
}

impl<'a> Diagnostics<'a> {
    pub(super) fn new(secrets: &'a SecretLookup<'a>, missing_secrets: MissingSecrets) -> Self {
        Self { secrets, missing_secrets, problems: Vec::new(), warnings: Vec::new() }
    }

    pub(super) fn warn(&mut self, path: &DocPath<'_>, message: impl Into<String>) {
        self.warnings.push(Warning { path: path.to_string(), message: message.into() });
    }

    /// The parsed value, unless there are problems.
    pub(super) fn finish<T>(self, value: T) -> Result<T, Problems> {
        if self.problems.is_empty() { Ok(value) } else { Err(Problems(self.problems)) }
    }

    pub(super) fn report(
        &mut self,
        doc_path: &DocPath<'_>,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) {
        let (path, found, expected) = (doc_path.to_string(), found.into(), expected.into());
        self.problems.push(Problem { path, found, expected });
    }

    /// The position of a word in the list of allowed words.
    pub(super) fn one_of(
        &mut self,
        path: &DocPath<'_>,
        word: &str,
        allowed: &[&str],
    ) -> Option<usize> {
        let position = allowed.iter().position(|one| *one == word);
        if position.is_none() {
            let expected = format!("one of {}", allowed.join(", "));
            let expected = with_hint(&expected, word, allowed.iter().copied());
            self.report(path, quoted(word), expected);
        }
        position
    }

    /// The value of a word. `None` if the word is absent or not allowed.
    pub(super) fn choice<T: Copy, const N: usize>(
        &mut self,
        path: &DocPath<'_>,
        word: Option<&str>,
        allowed: &[&str; N],
        values: [T; N],
    ) -> Option<T> {
        self.one_of(path, word?, allowed).map(|position| values[position])
    }

    /// A number with at most three decimals, in thousandths.
    pub(super) fn thousandths(
        &mut self,
        path: &DocPath<'_>,
        number: Option<f64>,
        bounds: RangeInclusive<f64>,
        default: u16,
    ) -> u16 {
        let Some(number) = number else { return default };
        let thousandths = (number * 1_000.0).round();
        // Rounding would silently change the number, a small one to zero.
        if !bounds.contains(&number) || (number * 1_000.0 - thousandths).abs() > 1e-6 {
            let (least, max) = (bounds.start(), bounds.end());
            let percent = if *max <= 1.0 { as_share(number) } else { String::new() };
            let expected =
                format!("a number from {least} to {max}, with three decimals at most{percent}");
            self.report(path, number.to_string(), expected);
        }
        thousandths as u16
    }

    /// A whole number within bounds.
    pub(super) fn count(
        &mut self,
        path: &DocPath<'_>,
        number: Option<u32>,
        bounds: RangeInclusive<u32>,
        default: u32,
    ) -> usize {
        let number = number.unwrap_or(default);
        if !bounds.contains(&number) {
            let expected = format!("a whole number from {} to {}", bounds.start(), bounds.end());
            self.report(path, number.to_string(), expected);
        }
        number as usize
    }

    /// A size above zero.
    pub(super) fn size(
        &mut self,
        path: &DocPath<'_>,
        size: Option<&Size>,
        max: (&str, usize),
        default: usize,
    ) -> usize {
        let Some(size) = size else { return default };
        let (name, max) = max;
        let bytes = size.bytes();
        let fitting = bytes
            .and_then(|bytes| usize::try_from(bytes).ok())
            .filter(|bytes| (1..=max).contains(bytes));
        if fitting.is_none() {
            let expected = match bytes {
                Some(_) => format!("between 1 byte and {name}"),
                None => size.expected(),
            };
            self.report(path, quoted(&size.0), expected);
        }
        fitting.unwrap_or(default)
    }

    /// Checks that a text is not blank.
    pub(super) fn check_text(&mut self, path: &DocPath<'_>, text: &str, expected: &str) {
        if text.trim().is_empty() {
            self.report(path, quoted(text), expected);
        }
    }

    /// A duration from zero to 24h.
    pub(super) fn duration_or(
        &mut self,
        path: &DocPath<'_>,
        span: Option<&Span>,
        default: Duration,
    ) -> Duration {
        self.duration_within(path, span, ("24h", MAX_WAIT), default)
    }

    /// A duration from zero to a maximum, which has a name.
    pub(super) fn duration_within(
        &mut self,
        path: &DocPath<'_>,
        span: Option<&Span>,
        (name, max): (&str, Duration),
        default: Duration,
    ) -> Duration {
        let Some(span) = span else { return default };
        match span.duration() {
            Some(duration) if duration <= max => return duration,
            Some(_) => self.report(path, quoted(&span.0), format!("{name} at most")),
            None => self.report(path, quoted(&span.0), span.expected()),
        }
        default
    }

    /// A duration above zero.
    pub(super) fn positive_duration(
        &mut self,
        path: &DocPath<'_>,
        span: Option<&Span>,
        default: Duration,
    ) -> Duration {
        let wait = self.duration_or(path, span, default);
        if wait.is_zero() {
            self.report(path, "zero", "a duration above zero");
            return default;
        }
        wait
    }

    /// The header of a text such as `header:NAME`.
    pub(super) fn header_name(&mut self, path: &DocPath<'_>, name: &str) -> Option<HeaderName> {
        self.header(path, name, "the name of a header after \"header:\"")
    }

    pub(super) fn header(
        &mut self,
        path: &DocPath<'_>,
        name: &str,
        expected: &str,
    ) -> Option<HeaderName> {
        let header = HeaderName::try_from(name).ok();
        if header.is_none() {
            self.report(path, quoted(name), expected);
        }
        header
    }

    pub(super) fn regex(&mut self, path: &DocPath<'_>, expression: &str) -> Option<Regex> {
        let regex = Regex::new(expression);
        if let Err(error) = &regex {
            let found = format!("{} ({error})", quoted(&format!("~{expression}")));
            self.report(path, found, "a regular expression after \"~\"");
        }
        regex.ok()
    }

    /// A provider's key: a secret, or a key in the vault.
    pub(super) fn provider_key(&mut self, path: &DocPath<'_>, text: &SecretText) -> Option<Secret> {
        let Some(reference) = text.vault_reference() else { return self.secret(path, text) };
        let found = (self.secrets)(reference);
        if found.is_none() {
            let found = format!("{reference}, which is not in the vault");
            self.report_missing(path, found, "a key that PUT /admin/v1/vault/NAME has set");
        }
        found
    }

    /// The value of a secret that is sent in a header.
    pub(super) fn secret(&mut self, path: &DocPath<'_>, text: &SecretText) -> Option<Secret> {
        let (name, secret) = self.secret_value(path, text)?;
        if HeaderValue::from_str(secret.reveal()).is_ok() {
            return Some(secret);
        }
        let found =
            format!("the secret {name}, whose value has characters that no header can hold");
        self.report(path, found, "a value of visible characters on one line");
        None
    }

    /// A secret's name and value. Problems never repeat the text, which may be the secret itself.
    pub(super) fn secret_value<'t>(
        &mut self,
        path: &DocPath<'_>,
        text: &'t SecretText,
    ) -> Option<(&'t str, Secret)> {
        let name = match text.name() {
            Ok(name) => name,
            Err(raw::NoName::InClear) => {
                self.report(path, "a value written in clear", SecretText::EXPECTED);
                return None;
            }
            Err(raw::NoName::NoPrefix) => {
                let found = "a reference without \"secret:\"";
                self.report(path, found, SecretText::EXPECTED);
                return None;
            }
            Err(raw::NoName::Impossible) => {
                let expected = "letters, digits and underscores after \"secret:\", a letter first";
                self.report(path, "an invalid name of a secret", expected);
                return None;
            }
        };
        // An operator who may change the document could default send these secrets to any URL.
        if RESERVED_SECRETS.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            let found = format!("the secret {name}, which is reserved for the gateway");
            self.report(path, found, "another secret");
            return None;
        }
        let secret = (self.secrets)(name);
        let found = match &secret {
            Some(secret) if secret.is_empty() => format!("the secret {name}, which is empty"),
            Some(_) => return secret.map(|secret| (name, secret)),
            None => format!("the secret {name}, which is not set"),
        };
        self.report_missing(path, found, WHERE_TO_SET);
        None
    }

    /// Reports a value that nobody has set; in a document that is served, it is a warning.
    fn report_missing(&mut self, path: &DocPath<'_>, found: String, expected: &str) {
        match self.missing_secrets {
            MissingSecrets::Refuse => {
                self.report(path, found, expected);
            }
            MissingSecrets::Disable => {
                self.warn(path, format!("{found}: what needs it is disabled until it is set"));
            }
        }
    }

    /// The value of a secret that a service receives. A missing one is sent empty, so that the service refuses
    /// the calls and the rule for its failures applies.
    pub(super) fn secret_for_service(
        &mut self,
        path: &DocPath<'_>,
        text: &SecretText,
    ) -> Option<Secret> {
        let problems = self.problems.len();
        let secret = self.secret(path, text);
        // Without a problem the secret is missing and disabled.
        secret.or_else(|| (self.problems.len() == problems).then(|| Secret::new("")))
    }

    /// References to routes. `None` for every route.
    pub(super) fn routes(
        &mut self,
        path: &DocPath<'_>,
        ids: Option<&[String]>,
        routes: &IdIndex<'_>,
    ) -> Option<Vec<RouteIndex>> {
        let ids = ids?;
        if ids.is_empty() {
            self.report(path, "an empty list", "the id of a route, or no `routes` for every route");
        }
        let find = |(index, id): (usize, &String)| {
            routes.resolve(self, &path.item(index), id).map(RouteIndex)
        };
        Some(ids.iter().enumerate().filter_map(find).collect())
    }
}

/// A hint for a share that was written in percent.
pub(super) fn as_share(number: f64) -> String {
    if number > 1.0 && number <= 100.0 {
        return format!(" ({number} % is {})", number / 100.0);
    }
    String::new()
}

/// A value as written, cut to 80 characters.
pub(super) fn quoted(value: &str) -> String {
    match value.char_indices().nth(80) {
        Some((end, _)) => format!("{:?}…", &value[..end]),
        None => format!("{value:?}"),
    }
}
