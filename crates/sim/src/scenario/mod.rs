//! Scenario files: requests, scripted upstreams, and expectations about both. The same files run in the
//! simulator, in the Spin component inside wasmtime, and in the Worker inside workerd.
//!
//! [`Scenario`] is a file, [`Request`] one request in it, [`Expect`] the expected response, and
//! [`UpstreamSpec`] the scripts of an upstream. A list of events may repeat one event:
//! `events = [{ data = '{"choices":[]}', repeat = 30 }, "[DONE]"]`.

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

/// Suffix of a file with a shared configuration.
const WORLD_SUFFIX: &str = ".world.toml";

/// Scenario file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Path of the file without its suffix: `fault/dns`.
    #[serde(skip)]
    pub name: String,
    /// Description in one sentence.
    pub about: String,
    /// Complete configuration. `UPSTREAM` and `CLOSED` are replaced by base URLs.
    #[serde(default)]
    pub config: String,
    /// Name of a shared configuration instead: configuration and secrets from `NAME.world.toml` at the top of
    /// the directory.
    pub world: Option<String>,
    /// Secrets that the configuration names.
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
    /// Edges that cannot run the scenario.
    #[serde(default)]
    pub skip: Vec<Skip>,
    /// Upstreams by name.
    #[serde(default)]
    pub upstreams: BTreeMap<String, UpstreamSpec>,
    /// Requests, sent one after another.
    pub requests: Vec<Request>,
    /// Expectations about the upstreams after all requests.
    #[serde(default)]
    pub expect: UpstreamExpectations,
}

/// Shared configuration of several scenarios, with its secrets.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SharedWorld {
    config: String,
    secrets: BTreeMap<String, String>,
}

/// Edge that cannot run a scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skip {
    /// `simulator`, `spin`, or `cloudflare`.
    pub edge: String,
    /// Reason.
    pub why: String,
}

/// Request and the expected response.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Method, `POST` by default.
    #[serde(default = "post")]
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Headers. `content-type: application/json` is added to a body that has no type of its own.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    #[serde(default)]
    pub body: String,
    /// Number of times that the request is sent; every response is checked.
    #[serde(default = "once")]
    pub repeat: usize,
    /// The caller hangs up after this many events of the response.
    pub hang_up_after_events: Option<usize>,
    /// The caller hangs up after this time.
    #[serde(default, deserialize_with = "optional_duration")]
    pub hang_up_after: Option<Duration>,
    /// Expected response.
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
    /// Parses and validates a scenario.
    pub fn parse(name: &str, text: &str) -> anyhow::Result<Self> {
        let scenario: Self = toml::from_str(text)?;
        if scenario.world.is_some() != scenario.config.is_empty() {
            bail!("invalid scenario: set exactly one of `world` and `config`");
        }
        if scenario.requests.is_empty() {
            bail!("invalid scenario: `requests` is empty");
        }
        if let Some(skip) = scenario.skip.iter().find(|skip| skip.why.trim().is_empty()) {
            bail!("invalid scenario: `skip` of {} has no `why`", skip.edge);
        }
        if let Some(unknown) =
            scenario.expect.upstreams.keys().find(|name| !scenario.upstreams.contains_key(*name))
        {
            bail!("invalid scenario: `expect.upstreams.{unknown}` names no entry of `upstreams`");
        }
        Ok(Self { name: name.to_owned(), ..scenario })
    }

    /// Adds the shared configuration and its secrets. Own secrets take precedence.
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

    /// Returns the configuration with its base URLs. The name of an upstream follows `upstream`; nothing
    /// listens at `closed`. `https://UPSTREAM` is the same address without TLS on the other side.
    pub fn config_for(&self, upstream: &str, closed: &str) -> String {
        let over_tls = upstream.replacen("http:", "https:", 1);
        let config = self.config.replace("https://UPSTREAM", &over_tls);
        config.replace("UPSTREAM", upstream).replace("CLOSED", closed)
    }

    /// Checks that no secret of the scenario is in a response or a record.
    pub fn check_secrecy(&self, observed: &Observed) -> Result<(), String> {
        let headers =
            observed.headers.values().map(|value| String::from_utf8_lossy(value.as_bytes()));
        let records = observed.records.iter().flatten().map(|record| record.to_string().into());
        let body = String::from_utf8_lossy(&observed.body);
        for text in headers.chain(records).chain([body]) {
            let leaked = self
                .secrets
                .iter()
                .find(|(_, value)| !value.is_empty() && text.contains(value.as_str()));
            if let Some((name, _)) = leaked {
                return Err(format!("secret leaked: {name} is in a response or a record"));
            }
        }
        Ok(())
    }

    /// Returns the reason for which an edge skips the scenario; `None` if it runs.
    pub fn skipped_on(&self, edge: &str) -> Option<&str> {
        self.skip.iter().find(|skip| skip.edge == edge).map(|skip| skip.why.as_str())
    }
}

impl Request {
    /// Returns the headers of the request.
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

/// Loads every scenario below a directory, in the order of their names.
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

    const MINIMAL: &str =
        "about = 'a'\nconfig = 'UPSTREAM/a CLOSED'\n[[requests]]\npath = '/v1/models'\n";

    #[test]
    fn parse_minimal_scenario_sets_defaults() {
        let scenario = Scenario::parse("a/b", MINIMAL).expect("a scenario");
        assert_eq!(
            (scenario.requests[0].method.as_str(), scenario.requests[0].repeat),
            ("POST", 1)
        );
        assert_eq!(scenario.config_for("http://u", "http://c"), "http://u/a http://c");
        assert!(scenario.skipped_on("spin").is_none());
    }

    #[test]
    fn parse_optional_fields_returns_their_values() {
        let more = "expect.upstreams.x.calls = 1\nupstreams.x.script = []\nskip = [{ edge = 'spin', why = 'y' }]";
        let scenario = Scenario::parse("a", &format!("{more}\n{MINIMAL}")).expect("a scenario");
        assert_eq!(
            (scenario.skipped_on("spin"), scenario.expect.upstreams["x"].calls),
            (Some("y"), Some(1))
        );
    }

    #[test]
    fn parse_invalid_scenario_fails() {
        for more in [
            "world = 'x'",
            "expect.upstreams.x.calls = 1",
            "typo = 1",
            "skip = [{ edge = 'spin', why = '' }]",
        ] {
            assert!(Scenario::parse("a", &format!("{more}\n{MINIMAL}")).is_err(), "{more}");
        }
    }
}
