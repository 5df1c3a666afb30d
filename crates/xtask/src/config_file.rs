//! Configuration file on the local machine: reads and validates it, and reports problems with line
//! and column.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use config::{Config, Problems, RESERVED_SECRETS, VAULT_PREFIX, author};
use secret::Secret;

use crate::secrets::Secrets;

/// Text of a configuration file.
pub(crate) struct Document {
    /// Path as the user typed it.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

impl Document {
    /// Reads a file. `option` is the argument that names another one, for the error.
    pub(crate) fn read(path: &Path, option: &str) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| {
            format!("cannot read the configuration {} (`{option}` names another)", path.display())
        })?;
        Ok(Self { path: path.to_owned(), text })
    }

    /// Validates the document with the available secrets.
    pub(crate) fn parse(&self, secrets: &Secrets) -> Result<Config, Problems> {
        // Only a running gateway knows its vault.
        let in_vault =
            |name: &str| name.starts_with(VAULT_PREFIX).then(|| author::placeholder_secret(name));
        let find = |name: &str| secrets.find(name).or_else(|| in_vault(name));
        author::from_toml_to_deploy(&self.text, &find)
    }

    /// Validates the document as if every secret were set.
    pub(crate) fn parse_with_any_secret(&self) -> Result<Config, Problems> {
        author::from_toml_to_deploy(&self.text, &|name| Some(author::placeholder_secret(name)))
    }

    /// Names of the secrets that the document refers to.
    pub(crate) fn secret_names(&self) -> Vec<String> {
        author::secret_names(&self.text)
    }

    /// Available secrets that the document refers to, and the gateway's own. A host receives no
    /// others.
    pub(crate) fn secrets(&self, secrets: &Secrets) -> BTreeMap<String, Secret> {
        let names = self.secret_names().into_iter().chain(RESERVED_SECRETS.map(str::to_owned));
        names.filter_map(|name| secrets.find(&name).map(|secret| (name, secret))).collect()
    }

    /// Names of the secrets in the `keys` of one kind of section (`providers`, `consumers`). The
    /// parsed configuration holds the keys instead of their names.
    pub(crate) fn key_names(&self, section: &str) -> Vec<String> {
        let table: toml::Table = self.text.parse().unwrap_or_default();
        let entries = table.get(section).and_then(toml::Value::as_array);
        entries.into_iter().flatten().flat_map(key_names_of).collect()
    }

    /// Name of a consumer's first secret. `None` if the consumer has none.
    pub(crate) fn key_name_of_consumer(&self, id: &str) -> Option<String> {
        let table: toml::Table = self.text.parse().ok()?;
        let consumers = table.get("consumers")?.as_array()?;
        let is_meant =
            |entry: &&toml::Value| entry.get("id").and_then(toml::Value::as_str) == Some(id);
        key_names_of(consumers.iter().find(is_meant)?).into_iter().next()
    }

    /// Formats one line for each problem, as compilers do: `FILE:LINE:COLUMN: path: …`.
    pub(crate) fn explain(&self, problems: &Problems) -> String {
        author::explain(&self.path.display().to_string(), &self.text, problems)
    }
}

fn key_names_of(entry: &toml::Value) -> Vec<String> {
    let keys = entry.get("keys").and_then(toml::Value::as_array);
    let texts = keys.into_iter().flatten().filter_map(toml::Value::as_str);
    texts.filter_map(|text| text.strip_prefix("secret:")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::Document;
    use crate::secrets::Secrets;

    const TEXT: &str = r#"
[[providers]]
id   = "openai"
keys = ["secret:OPENAI_API_KEY", "secret:OPENAI_API_KEY_2"]

[[routes]]
id      = "chat"
models  = ["gpt-4o"]
targets = [{ provider = "opnai" }]

[[consumers]]
id   = "app"
keys = ["secret:APP_KEY"]
"#;

    fn document(text: &str) -> Document {
        Document { path: PathBuf::from("gateway.toml"), text: text.to_owned() }
    }

    #[test]
    fn problem_is_reported_with_its_place() {
        let wrong = document(TEXT);
        let problems = wrong.parse_with_any_secret().expect_err("there is no such provider");
        let shown = wrong.explain(&problems);
        let beginning =
            "gateway.toml:9:14: routes[0].targets[0].provider: found \"opnai\", expected ";
        assert!(shown.starts_with(beginning) && shown.ends_with('\n'), "{shown}");
        assert_eq!(shown.lines().count(), 1, "{shown}");
    }

    #[test]
    fn syntax_error_has_a_place_and_no_path() {
        let wrong = document("[server]\nmax_body = = 1\n");
        let shown = wrong.explain(&wrong.parse_with_any_secret().expect_err("this is no TOML"));
        assert!(shown.starts_with("gateway.toml:2:") && !shown.contains("line 2"), "{shown}");
    }

    #[test]
    fn missing_secret_is_a_problem_if_secrets_are_required() {
        let right = document(&TEXT.replace("opnai", "openai"));
        assert!(right.parse_with_any_secret().is_ok());
        let some = Secrets::only(&[("OPENAI_API_KEY", "a"), ("APP_KEY", "c")]);
        let shown = right.explain(&right.parse(&some).expect_err("one secret is missing"));
        assert!(shown.contains("gateway.toml:4:") && shown.contains("OPENAI_API_KEY_2"), "{shown}");
        assert_eq!(right.secrets(&some).keys().collect::<Vec<_>>(), ["APP_KEY", "OPENAI_API_KEY"]);
    }

    #[test]
    fn key_names_are_found_by_section() {
        let document = document(TEXT);
        assert_eq!(document.key_names("providers"), ["OPENAI_API_KEY", "OPENAI_API_KEY_2"]);
        assert_eq!(document.key_names("guards"), Vec::<String>::new());
        assert_eq!(document.key_name_of_consumer("app").as_deref(), Some("APP_KEY"));
        assert_eq!(document.key_name_of_consumer("unknown"), None);
    }
}
