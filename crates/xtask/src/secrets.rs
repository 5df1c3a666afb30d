//! Secrets of the local machine, from `--secret`, then `.dev.vars`, then the environment.
//!
//! Values are passed to the host and never printed.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use secret::Secret;

/// Available secrets.
#[derive(Default)]
pub(crate) struct Secrets {
    given: BTreeMap<String, Secret>,
    file: BTreeMap<String, Secret>,
    with_environment: bool,
}

impl Secrets {
    /// Places of secrets on this machine, for messages about missing ones.
    pub(crate) const PLACES: &str = "On this machine, secrets are lines NAME=VALUE of .dev.vars, or environment variables; `up` also has \
         --secret NAME=VALUE.";

    /// Reads `.dev.vars` in `directory`, and uses the environment for other names.
    pub(crate) fn from_machine(directory: &Path) -> anyhow::Result<Self> {
        let path = directory.join(".dev.vars");
        let file = match std::fs::read_to_string(&path) {
            Ok(text) => variables(&text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        Ok(Self { given: BTreeMap::new(), file, with_environment: true })
    }

    /// Creates a set of these secrets, without the environment.
    pub(crate) fn only(pairs: &[(&str, &str)]) -> Self {
        let given = pairs.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(value)));
        Self { given: given.collect(), ..Self::default() }
    }

    /// Adds a secret from the form `NAME=VALUE`.
    pub(crate) fn add(&mut self, pair: &str) -> Result<(), lexopt::Error> {
        // The error does not repeat the text, which may be a secret without a name.
        let (name, value) = pair.split_once('=').ok_or("--secret needs NAME=VALUE")?;
        if name.is_empty() || value.is_empty() {
            return Err("--secret needs NAME=VALUE, both not empty".into());
        }
        self.given.insert(name.to_owned(), Secret::new(value));
        Ok(())
    }

    /// Finds a secret by name. An empty value counts as not set.
    pub(crate) fn find(&self, name: &str) -> Option<Secret> {
        let of_environment = || {
            let value = std::env::var(name).ok().filter(|_| self.with_environment);
            value.map(|value| Secret::new(&value))
        };
        let known = self.given.get(name).or_else(|| self.file.get(name)).cloned();
        known.or_else(of_environment).filter(|secret| !secret.is_empty())
    }
}

/// Parses `KEY=VALUE` lines as wrangler does: comments, `export`, and three kinds of quotes. A
/// quoted value may span lines.
fn variables(text: &str) -> BTreeMap<String, Secret> {
    let mut variables = BTreeMap::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        rest = after;
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, value)) = line.split_once('=') else { continue };
        let name = name.trim();
        if name.is_empty() || name.starts_with('#') {
            continue;
        }
        let value = value.trim();
        let quote = value.chars().next().filter(|first| matches!(first, '"' | '\'' | '`'));
        let value = match quote.and_then(|quote| quoted(text, value, quote)) {
            Some((inside, after)) => {
                rest = after.split_once('\n').map_or("", |(_, next)| next);
                if quote == Some('"') { unescape(inside) } else { inside.to_owned() }
            }
            None => value.split('#').next().unwrap_or_default().trim_end().to_owned(),
        };
        variables.insert(name.to_owned(), Secret::new(&value));
    }
    variables
}

/// Splits `text` at the quotes of `value`, which is a part of `text` and begins with `quote`.
/// Returns the text inside the quotes and the text after them. `None` if the closing quote is
/// missing.
fn quoted<'t>(text: &'t str, value: &'t str, quote: char) -> Option<(&'t str, &'t str)> {
    let start = value.as_ptr() as usize - text.as_ptr() as usize;
    text[start..].strip_prefix(quote)?.split_once(quote)
}

fn unescape(value: &str) -> String {
    value.replace("\\n", "\n").replace("\\r", "\r")
}

#[cfg(test)]
mod tests {
    use super::{Secrets, variables};

    #[track_caller]
    fn assert_variables(text: &str, expected: &[(&str, &str)]) {
        let found = variables(text);
        let found: Vec<_> =
            found.iter().map(|(name, value)| (name.as_str(), value.reveal())).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn dev_vars_are_parsed_as_in_wrangler() {
        assert_variables("A=1\nB = two words \r\n\n# C=3\n", &[("A", "1"), ("B", "two words")]);
        assert_variables("export A=sk-1 # the first\nnonsense\n=x", &[("A", "sk-1")]);
        assert_variables(
            "A=\"x # y\" # z\nB='it \"is\"'\nC=`c`",
            &[("A", "x # y"), ("B", "it \"is\""), ("C", "c")],
        );
        assert_variables(
            "A=\"one\\ntwo\"\nB='one\\ntwo'",
            &[("A", "one\ntwo"), ("B", "one\\ntwo")],
        );
        assert_variables("A=\"one\ntwo\"\nB=3", &[("A", "one\ntwo"), ("B", "3")]);
        assert_variables("A=\"open\nB=3", &[("A", "\"open"), ("B", "3")]);
        assert_variables("A=k=v==\nA=later", &[("A", "later")]);
        assert_variables("A=", &[("A", "")]);
    }

    #[test]
    fn given_secret_takes_precedence_and_empty_one_is_unset() {
        let mut secrets = Secrets { file: variables("A=file\nB=\nC=c"), ..Secrets::default() };
        secrets.add("A=given=1").expect("the pair is valid");
        let found = |name| secrets.find(name).map(|secret| secret.reveal().to_owned());
        assert_eq!(found("A").as_deref(), Some("given=1"));
        assert_eq!(found("B"), None);
        assert_eq!(found("C").as_deref(), Some("c"));
        // `Secrets::default` does not read the environment.
        assert_eq!(found("PATH"), None);
        secrets.with_environment = true;
        assert!(secrets.find("PATH").is_some());
    }

    #[test]
    fn error_of_an_invalid_pair_hides_the_secret() {
        for pair in ["sk-secret", "=sk-secret", "NAME="] {
            let error = Secrets::default().add(pair).expect_err(pair).to_string();
            assert!(!error.contains("sk-secret"), "{error}");
        }
    }
}
