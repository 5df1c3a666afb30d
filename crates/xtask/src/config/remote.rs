//! Client of a gateway's admin API.
//!
//! Sends HTTP with `curl`, which every machine that deploys has: an HTTP client with TLS would be
//! most of this program's dependencies. `curl` receives the token on standard input, never as an
//! argument.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use config::author;
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::root;
use crate::secrets::Secrets;

use super::local::Local;
use super::refused::Refused;

/// Gateway with an admin API.
pub(super) struct Remote {
    pub(super) url: String,
    pub(super) token: String,
}

/// Response of the admin API.
pub(super) struct AdminAnswer {
    status: u16,
    tag: String,
    body: Value,
}

impl Remote {
    /// The gateway at a URL, with the token in an environment variable or among the local secrets.
    pub(super) fn open(url: &str, token_env: &str) -> anyhow::Result<Self> {
        let of_environment = std::env::var(token_env).ok().filter(|token| !token.is_empty());
        let token = match of_environment {
            Some(token) => token,
            None => {
                let secret = Secrets::from_machine(&root())?.find(token_env);
                let secret = secret.with_context(|| {
                    format!(
                        "the admin token is missing: set {token_env}, or name another with --token-env"
                    )
                })?;
                secret.reveal().to_owned()
            }
        };
        Ok(Self { url: url.to_owned(), token })
    }

    /// Reads the document in force and its ETag.
    pub(super) fn document(&self) -> anyhow::Result<(Value, String)> {
        let (mut answer, tag) = self.configuration()?;
        Ok((answer["document"].take(), tag))
    }

    /// Reads the version in force with its document, and the ETag.
    pub(super) fn configuration(&self) -> anyhow::Result<(Value, String)> {
        let answer = self.request("GET", "config?status=true", None, None)?;
        if answer.status == 404 {
            bail!("the admin API of {} is off: set ADMIN_TOKEN at the gateway", self.url);
        }
        let tag = answer.tag.clone();
        Ok((answer.done(None)?, tag))
    }

    pub(super) fn request(
        &self,
        method: &str,
        path: &str,
        if_match: Option<&str>,
        body: Option<&str>,
    ) -> anyhow::Result<AdminAnswer> {
        let mut headers = vec![format!("authorization: Bearer {}", self.token)];
        headers.extend(if_match.map(|tag| format!("if-match: {tag}")));
        let file = match body {
            Some(body) => {
                headers.push("content-type: application/json".to_owned());
                Some(temporary_file(body).context("cannot write a temporary file")?)
            }
            None => None,
        };
        let mut options = String::new();
        for header in &headers {
            writeln!(options, "header = {}", quoted(header))?;
        }
        if let Some(file) = &file {
            let path = file.path().display();
            writeln!(options, "data-binary = {}", quoted(&format!("@{path}")))?;
        }
        let mut curl = Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "60", "--config", "-"])
            .args(["--request", method, "--write-out", "\n%{http_code}\n%header{etag}"])
            .arg(format!("{}/admin/v1/{path}", self.url))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start curl")?;
        // Dropping standard input ends curl's configuration.
        curl.stdin.take().context("stdin is piped")?.write_all(options.as_bytes())?;
        let output = curl.wait_with_output()?;
        if !output.status.success() {
            bail!("{}: {}", self.url, String::from_utf8_lossy(&output.stderr).trim());
        }
        parse_answer(&String::from_utf8(output.stdout).context("the response is not UTF-8")?)
    }
}

/// Parses the output of curl: the body, the status and the ETag.
fn parse_answer(text: &str) -> anyhow::Result<AdminAnswer> {
    let mut parts = text.rsplitn(3, '\n');
    let tag = parts.next().unwrap_or_default().to_owned();
    let status = parts.next().and_then(|status| status.parse().ok());
    let status = status.context("curl is too old: 7.84 or newer is required")?;
    let body = serde_json::from_str(parts.next().unwrap_or_default()).unwrap_or_default();
    Ok(AdminAnswer { status, tag, body })
}

impl AdminAnswer {
    /// Whether the operator's role is too low.
    pub(super) fn is_forbidden(&self) -> bool {
        self.status == 403
    }

    /// Returns the body of a successful response. The error shows problems with their place in
    /// `file`.
    pub(super) fn done(self, file: Option<&Local>) -> anyhow::Result<Value> {
        let error = &self.body["error"];
        let message = error["message"].as_str().unwrap_or("the response contains no error message");
        match self.status {
            200..=299 => Ok(self.body),
            403 | 404 | 409 | 412 | 413 => bail!(Refused(message.to_owned())),
            400 | 422 => {
                let mut lines = String::new();
                for problem in error["problems"].as_array().into_iter().flatten() {
                    let text = |name: &str| problem[name].as_str().unwrap_or_default();
                    let path = text("path");
                    let place = file.and_then(|file| {
                        let (line, column) = author::locate(&file.document.text, path)?;
                        Some(format!("{}:{line}:{column}: ", file.document.path.display()))
                    });
                    let place = place.unwrap_or_default();
                    let (found, expected) = (text("found"), text("expected"));
                    writeln!(lines, "{place}{path}: found {found}, expected {expected}")?;
                }
                bail!(Refused(if lines.is_empty() { message.to_owned() } else { lines }))
            }
            401 => bail!("the gateway refuses the admin token: {message}"),
            status => bail!("status {status}: {message}"),
        }
    }
}

/// Writes a file that others cannot read, and that is removed on drop.
fn temporary_file(text: &str) -> std::io::Result<NamedTempFile> {
    let mut file = NamedTempFile::new()?;
    file.write_all(text.as_bytes())?;
    Ok(file)
}

/// Quotes a value for curl's configuration.
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::{parse_answer, quoted};

    #[test]
    fn output_of_curl_is_split_into_body_status_and_etag() {
        let answer = parse_answer("{\"a\":\n1}\n200\n\"3-abc\"").expect("the output is complete");
        assert_eq!((answer.status, answer.tag.as_str()), (200, "\"3-abc\""));
        assert_eq!(answer.body["a"], 1);
        assert_eq!(quoted("if-match: \"3-abc\""), r#""if-match: \"3-abc\"""#);
    }
}
