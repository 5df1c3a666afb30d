//! Scenario files: requests, a scripted world and what is expected of both. The same files run in
//! the simulator, in the Spin component inside wasmtime and in the Worker inside workerd.

mod expect;
mod simulate;
mod subset;
mod transcript;
mod upstream_expectations;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;

pub use expect::{EventsExpect, Expect, Observed};
pub use transcript::{Transcript, count_events};
pub use upstream_expectations::{CallExpect, UpstreamExpect, UpstreamExpectations};

use crate::upstream::{UpstreamSpec, optional_duration};

/// How the file of a world ends.
const WORLD_SUFFIX: &str = ".world.toml";

/// One scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its place among the others: `fault/dns`.
    #[serde(skip)]
    pub name: String,
    /// What it shows, in one sentence.
    pub about: String,
    /// A whole configuration; `UPSTREAM` and `CLOSED` stand for bases.
    #[serde(default)]
    pub config: String,
    /// In its place, the name of a world: configuration and secrets from `NAME.world.toml` at the
    /// top of the directory.
    pub world: Option<String>,
    /// The secrets that the configuration names.
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
    /// Edges that cannot run it.
    #[serde(default)]
    pub skip: Vec<Skip>,
    /// Who answers.
    #[serde(default)]
    pub upstreams: BTreeMap<String, UpstreamSpec>,
    /// Played one after another.
    pub requests: Vec<Request>,
    /// What is expected of the upstreams when all is done.
    #[serde(default)]
    pub expect: UpstreamExpectations,
}

/// Configuration and secrets that several scenarios share.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SharedWorld {
    config: String,
    secrets: BTreeMap<String, String>,
}

/// An edge that cannot run a scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skip {
    /// `simulator`, `spin` or `cloudflare`.
    pub edge: String,
    /// The reason.
    pub why: String,
}

/// One request and what is expected of its answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// `POST` by default.
    #[serde(default = "post")]
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Headers. `content-type: application/json` is added to a body that has no type of its own.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body.
    #[serde(default)]
    pub body: String,
    /// How often it is sent; every answer is checked.
    #[serde(default = "once")]
    pub repeat: usize,
    /// The caller goes away after this many events of the answer.
    pub hang_up_after_events: Option<usize>,
    /// The caller goes away after this time.
    #[serde(default, deserialize_with = "optional_duration")]
    pub hang_up_after: Option<Duration>,
    /// What is expected.
    #[serde(default)]
    pub expect: Expect,
}

fn post() -> String {
    "POST".to_owned()
}

fn once() -> usize {
    1
}

impl Scenario {
    /// Reads a scenario.
    pub fn parse(name: &str, text: &str) -> anyhow::Result<Self> {
        let scenario: Self = toml::from_str(text)?;
        if scenario.world.is_some() != scenario.config.is_empty() {
            bail!("a scenario has either a world or a config");
        }
        if scenario.requests.is_empty() {
            bail!("a scenario needs a request");
        }
        if let Some(skip) = scenario.skip.iter().find(|skip| skip.why.trim().is_empty()) {
            bail!("skip of {} gives no reason", skip.edge);
        }
        if let Some(stranger) =
            scenario.expect.upstreams.keys().find(|name| !scenario.upstreams.contains_key(*name))
        {
            bail!("something is expected of {stranger}, which is no upstream of this scenario");
        }
        Ok(Self { name: name.to_owned(), ..scenario })
    }

    /// Takes over its world's configuration, and the secrets that it does not have itself.
    fn with_world(mut self, directory: &Path) -> anyhow::Result<Self> {
        if let Some(name) = &self.world {
            let text = text_of(&directory.join(format!("{name}{WORLD_SUFFIX}")))?;
            let world: SharedWorld =
                toml::from_str(&text).with_context(|| format!("in {name}{WORLD_SUFFIX}"))?;
            self.config = world.config;
            for (secret, value) in world.secrets {
                self.secrets.entry(secret).or_insert(value);
            }
        }
        Ok(self)
    }

    /// The configuration with its bases put in: `upstream` is followed by the name of an upstream,
    /// and nothing listens at `closed`. `https://UPSTREAM` is the same place, where nobody speaks TLS.
    pub fn config_for(&self, upstream: &str, closed: &str) -> String {
        let over_tls = upstream.replacen("http:", "https:", 1);
        let config = self.config.replace("https://UPSTREAM", &over_tls);
        config.replace("UPSTREAM", upstream).replace("CLOSED", closed)
    }

    /// Makes sure that no secret of the scenario is in an answer or in a record.
    pub fn check_secrecy(&self, seen: &Observed) -> Result<(), String> {
        let headers = seen.headers.values().map(|value| String::from_utf8_lossy(value.as_bytes()));
        let records = seen.records.iter().flatten().map(|record| record.to_string().into());
        let body = String::from_utf8_lossy(&seen.body);
        for text in headers.chain(records).chain([body]) {
            let shown = self
                .secrets
                .iter()
                .find(|(_, value)| !value.is_empty() && text.contains(value.as_str()));
            if let Some((name, _)) = shown {
                return Err(format!("the secret {name} is shown in an answer or in a record"));
            }
        }
        Ok(())
    }

    /// Why an edge does not run it, if it does not.
    pub fn skipped_on(&self, edge: &str) -> Option<&str> {
        self.skip.iter().find(|skip| skip.edge == edge).map(|skip| skip.why.as_str())
    }
}

impl Request {
    /// The headers as they are sent.
    pub fn request_headers(&self) -> anyhow::Result<http::HeaderMap> {
        let mut headers = http::HeaderMap::new();
        if !self.body.is_empty() {
            headers.insert("content-type", http::HeaderValue::from_static("application/json"));
        }
        for (name, value) in &self.headers {
            headers.insert(http::HeaderName::from_bytes(name.as_bytes())?, value.parse()?);
        }
        Ok(headers)
    }
}

/// Loads every scenario in a directory and those in it, in the order of their names.
pub fn load(directory: &Path) -> anyhow::Result<Vec<Scenario>> {
    let mut files = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(next) = directories.pop() {
        let entries =
            std::fs::read_dir(&next).with_context(|| format!("cannot list {}", next.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                directories.push(path);
            } else if is_scenario(&path) {
                files.push(path);
            }
        }
    }
    files.sort();
    let read =
        |path: &PathBuf| read(directory, path).with_context(|| format!("in {}", path.display()));
    files.iter().map(read).collect()
}

fn is_scenario(path: &Path) -> bool {
    let name = path.to_string_lossy();
    name.ends_with(".toml") && !name.ends_with(WORLD_SUFFIX)
}

fn read(directory: &Path, path: &Path) -> anyhow::Result<Scenario> {
    let name = path.strip_prefix(directory).unwrap_or(path).with_extension("");
    let name = name.to_string_lossy().replace('\\', "/");
    Scenario::parse(&name, &text_of(path)?)?.with_world(directory)
}

fn text_of(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::Scenario;

    const LEAST: &str =
        "about = 'a'\nconfig = 'UPSTREAM/a CLOSED'\n[[requests]]\npath = '/v1/models'\n";

    #[test]
    fn the_least_scenario_has_defaults() {
        let scenario = Scenario::parse("a/b", LEAST).expect("a scenario");
        assert_eq!(
            (scenario.requests[0].method.as_str(), scenario.requests[0].repeat),
            ("POST", 1)
        );
        assert_eq!(scenario.config_for("http://u", "http://c"), "http://u/a http://c");
        assert!(scenario.skipped_on("spin").is_none());
    }

    #[test]
    fn what_comes_on_top_is_read() {
        let more = "expect.upstreams.x.calls = 1\nupstreams.x.script = []\nskip = [{ edge = 'spin', why = 'y' }]";
        let scenario = Scenario::parse("a", &format!("{more}\n{LEAST}")).expect("a scenario");
        assert_eq!(
            (scenario.skipped_on("spin"), scenario.expect.upstreams["x"].calls),
            (Some("y"), Some(1))
        );
    }

    #[test]
    fn mistakes_in_a_scenario_are_found() {
        for more in [
            "world = 'x'",
            "expect.upstreams.x.calls = 1",
            "typo = 1",
            "skip = [{ edge = 'spin', why = '' }]",
        ] {
            assert!(Scenario::parse("a", &format!("{more}\n{LEAST}")).is_err(), "{more}");
        }
    }
}
