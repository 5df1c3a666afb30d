//! `config`: reads and changes the configuration of a running gateway, through its admin API.
//!
//! Sends HTTP with `curl`, which every machine that deploys has: an HTTP client with TLS would be
//! most of this program's dependencies. `curl` receives the token on standard input, never as an
//! argument.

use std::fmt::Write as _;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, bail};
use config::author;
use gateway::live_config::diff_documents;
use serde_json::Value;

use crate::config_file::Document;
use crate::root;
use crate::secrets::Secrets;

/// Exit code: invalid document, a concurrent change, or no confirmation. For `diff`: a difference.
const REFUSED: u8 = 1;
/// Exit code of any other failure, for example an unavailable gateway.
const FAILED: u8 = 3;

#[derive(Debug, PartialEq, Eq)]
enum Action {
    Get,
    Put(PathBuf),
    Diff(PathBuf),
    Versions,
    Restore(u64),
}

/// Arguments of `config`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    action: Action,
    url: String,
    token_env: String,
    yes: bool,
}

impl Options {
    pub(crate) fn parse(arguments: &mut lexopt::Parser) -> Result<Self, lexopt::Error> {
        use lexopt::Arg::{Long, Value};
        use lexopt::ValueExt as _;
        let (mut words, mut yes) = (Vec::new(), false);
        let (mut url, mut token_env) = ("http://127.0.0.1:8787".to_owned(), "ADMIN_TOKEN".into());
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("url") => url = arguments.value()?.string()?,
                Long("token-env") => token_env = arguments.value()?.string()?,
                Long("yes") => yes = true,
                Value(word) => words.push(word),
                other => return Err(other.unexpected()),
            }
        }
        let mut words = words.into_iter();
        let command = words.next().ok_or("config needs get, put, diff, versions or restore")?;
        let file = |word: Option<std::ffi::OsString>| word.ok_or("name a file").map(PathBuf::from);
        let action = match command.to_str() {
            Some("get") => Action::Get,
            Some("put") => Action::Put(file(words.next())?),
            Some("diff") => Action::Diff(file(words.next())?),
            Some("versions") => Action::Versions,
            Some("restore") => Action::Restore(words.next().ok_or("name a version")?.parse()?),
            _ => return Err(format!("unknown command config {}", command.display()).into()),
        };
        if let Some(word) = words.next() {
            return Err(Value(word).unexpected());
        }
        Ok(Self { action, url: url.trim_end_matches('/').to_owned(), token_env, yes })
    }
}

/// Runs the action. Prints errors here, because their exit code differs from that of a difference.
pub(crate) fn run(options: &Options) -> ExitCode {
    let done = Remote::open(options).and_then(|remote| match &options.action {
        Action::Get => get(&remote),
        Action::Put(file) => put(&remote, &read(file)?, options.yes),
        Action::Diff(file) => diff(&remote, &read(file)?),
        Action::Versions => versions(&remote),
        Action::Restore(version) => restore(&remote, *version, options.yes),
    });
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(if error.is::<Refused>() { REFUSED } else { FAILED })
        }
    }
}

/// Rejection that a corrected document or a retry can resolve.
#[derive(Debug)]
struct Refused(String);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.trim_end())
    }
}

impl std::error::Error for Refused {}

fn get(remote: &Remote) -> anyhow::Result<u8> {
    let (document, tag) = remote.document()?;
    println!("{}", serde_json::to_string_pretty(&document)?);
    eprintln!("ETag {tag}");
    Ok(0)
}

fn diff(remote: &Remote, file: &Local) -> anyhow::Result<u8> {
    let (before, _) = remote.document()?;
    let lines = lines(&before, &file.value);
    print!("{lines}");
    Ok(if lines.is_empty() { 0 } else { REFUSED })
}

fn put(remote: &Remote, file: &Local, yes: bool) -> anyhow::Result<u8> {
    let (before, tag) = remote.document()?;
    // A dry run first: the gateway has the secrets, and reports problems even without changes.
    remote.request("PUT", "config?dry_run=true", Some(&tag), Some(&file.json))?.done(Some(file))?;
    let lines = lines(&before, &file.value);
    if lines.is_empty() {
        println!("Nothing changes: {tag} is in force.");
        return Ok(0);
    }
    print!("{lines}");
    confirm(yes, &remote.url)?;
    let answer = remote.request("PUT", "config", Some(&tag), Some(&file.json))?.done(Some(file))?;
    print_changes(&answer);
    Ok(0)
}

fn restore(remote: &Remote, version: u64, yes: bool) -> anyhow::Result<u8> {
    let (before, tag) = remote.document()?;
    let path = format!("config/versions/{version}");
    let wanted = remote.request("GET", &path, None, None)?.done(None)?;
    let lines = lines(&before, &wanted["document"]);
    if lines.is_empty() {
        println!("Nothing changes: {tag} is in force.");
        return Ok(0);
    }
    print!("{lines}");
    confirm(yes, &remote.url)?;
    let answer =
        remote.request("POST", &format!("{path}/restore"), Some(&tag), None)?.done(None)?;
    print_changes(&answer);
    Ok(0)
}

fn versions(remote: &Remote) -> anyhow::Result<u8> {
    let mut cursor = String::new();
    loop {
        let path = format!("config/versions?limit=200{cursor}");
        let page = remote.request("GET", &path, None, None)?.done(None)?;
        for one in page["data"].as_array().into_iter().flatten() {
            let text = |name: &str| one[name].as_str().unwrap_or("-").to_owned();
            let at = one["at"].as_u64().map_or_else(|| "-".to_owned(), |at| at.to_string());
            let version = &one["version"];
            println!(
                "{version:>5}  {at:>10}  {:<12}  {:<24}  {}",
                text("by"),
                text("etag"),
                text("note")
            );
        }
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(0),
        }
    }
}

fn print_changes(answer: &Value) {
    println!(
        "Version {} is in force ({}), everywhere in less than a minute.",
        answer["version"],
        answer["etag"].as_str().unwrap_or_default()
    );
}

/// Formats the changes, one line each.
fn lines(before: &Value, after: &Value) -> String {
    let mut lines = String::new();
    for change in diff_documents(before, after) {
        writeln!(lines, "{change}").ok();
    }
    lines
}

fn confirm(yes: bool, url: &str) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        bail!(Refused("Standard input is not a terminal: add --yes to confirm.".to_owned()));
    }
    print!("Put this in force at {url}? [y/N] ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    bail!(Refused("Nothing was changed.".to_owned()))
}

/// Document on this machine.
struct Local {
    document: Document,
    json: String,
    value: Value,
}

/// Reads a file: JSON if its name ends in `.json`, else TOML.
fn read(file: &std::path::Path) -> anyhow::Result<Local> {
    let document = Document::read(file)?;
    let is_json = file.extension().is_some_and(|extension| extension == "json");
    let json = if is_json {
        document.text.clone()
    } else {
        let converted = author::to_json(&document.text);
        converted.map_err(|problems| Refused(document.explain(&problems)))?
    };
    let value = serde_json::from_str(&json)
        .map_err(|error| Refused(format!("{}: {error}", file.display())))?;
    Ok(Local { document, json, value })
}

/// Gateway with an admin API.
struct Remote {
    url: String,
    token: String,
}

/// Response of the admin API.
struct AdminAnswer {
    status: u16,
    tag: String,
    body: Value,
}

impl Remote {
    fn open(options: &Options) -> anyhow::Result<Self> {
        let name = &options.token_env;
        let of_environment = std::env::var(name).ok().filter(|token| !token.is_empty());
        let token = match of_environment {
            Some(token) => token,
            None => {
                let secret = Secrets::from_machine(&root())?.find(name);
                let secret = secret.with_context(|| {
                    format!(
                        "the admin token is missing: set {name}, or name another with --token-env"
                    )
                })?;
                secret.reveal().to_owned()
            }
        };
        Ok(Self { url: options.url.clone(), token })
    }

    /// Reads the document in force and its ETag.
    fn document(&self) -> anyhow::Result<(Value, String)> {
        let answer = self.request("GET", "config", None, None)?;
        let tag = answer.tag.clone();
        Ok((answer.done(None)?, tag))
    }

    fn request(
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
                Some(TempFile::write(body)?)
            }
            None => None,
        };
        let mut orders = String::new();
        for header in &headers {
            writeln!(orders, "header = {}", quoted(header))?;
        }
        if let Some(TempFile(path)) = &file {
            writeln!(orders, "data-binary = {}", quoted(&format!("@{}", path.display())))?;
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
        curl.stdin.take().context("stdin is piped")?.write_all(orders.as_bytes())?;
        let output = curl.wait_with_output()?;
        if !output.status.success() {
            bail!("{}: {}", self.url, String::from_utf8_lossy(&output.stderr).trim());
        }
        answer(&String::from_utf8(output.stdout).context("the response is not UTF-8")?)
    }
}

/// Parses the output of curl: the body, the status and the ETag.
fn answer(text: &str) -> anyhow::Result<AdminAnswer> {
    let mut parts = text.rsplitn(3, '\n');
    let tag = parts.next().unwrap_or_default().to_owned();
    let status = parts.next().and_then(|status| status.parse().ok());
    let status = status.context("curl is too old: 7.84 or newer is required")?;
    let body = serde_json::from_str(parts.next().unwrap_or_default()).unwrap_or_default();
    Ok(AdminAnswer { status, tag, body })
}

impl AdminAnswer {
    /// Returns the body of a successful response. The error shows problems with their place in
    /// `file`.
    fn done(self, file: Option<&Local>) -> anyhow::Result<Value> {
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
            status => bail!("status {status}: {message}"),
        }
    }
}

/// Temporary file, removed on drop.
struct TempFile(PathBuf);

impl TempFile {
    fn write(text: &str) -> anyhow::Result<Self> {
        let file = Self(std::env::temp_dir().join(format!("serin-config-{}", std::process::id())));
        std::fs::write(&file.0, text).context("cannot write a temporary file")?;
        Ok(file)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

/// Quotes a value for curl's configuration.
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::path::PathBuf;
    use std::thread::{JoinHandle, spawn};

    use super::{Action, Local, Options, Refused, Remote, answer, diff, put, quoted, read};

    fn parse(words: &[&str]) -> Result<Options, lexopt::Error> {
        Options::parse(&mut lexopt::Parser::from_args(words))
    }

    #[test]
    fn arguments() {
        let options = parse(&["put", "a.toml", "--url", "https://gw.example/", "--yes"]);
        let options = options.expect("all are known");
        assert_eq!((&options.action, options.yes), (&Action::Put("a.toml".into()), true));
        assert_eq!(
            (options.url.as_str(), options.token_env.as_str()),
            ("https://gw.example", "ADMIN_TOKEN")
        );
        assert_eq!(parse(&["restore", "7"]).expect("a number").action, Action::Restore(7));
        for wrong in
            [&[][..], &["put"], &["restore", "x"], &["set"], &["get", "x"], &["get", "--no"]]
        {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_curl_prints_is_taken_apart() {
        let answer = answer("{\"a\":\n1}\n200\n\"3-abc\"").expect("it is whole");
        assert_eq!((answer.status, answer.tag.as_str()), (200, "\"3-abc\""));
        assert_eq!(answer.body["a"], 1);
        assert_eq!(quoted("if-match: \"3-abc\""), r#""if-match: \"3-abc\"""#);
    }

    /// Serves these answers in order. The thread returns the requests.
    fn gateway(answers: &'static [(u16, &'static str)]) -> (Remote, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let served = spawn(move || {
            let serve = |(status, body): &(u16, &str)| {
                let (mut stream, _) = listener.accept().expect("a caller");
                let mut asked = Vec::new();
                let is_whole = |asked: &[u8]| {
                    let text = String::from_utf8_lossy(asked);
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
                    let length =
                        head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
                    body.len() >= length.map_or(0, |length| length.parse().expect("a number"))
                };
                while !is_whole(&asked) {
                    let mut piece = [0; 4096];
                    let count = stream.read(&mut piece).expect("a request");
                    asked.extend_from_slice(&piece[..count]);
                }
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 {status} X\r\netag: \"3-abc\"\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
                );
                stream.write_all(format!("{head}{body}").as_bytes()).expect("an answer");
                String::from_utf8(asked).expect("text")
            };
            answers.iter().map(serve).collect()
        });
        (Remote { url, token: "the-token\"\\".to_owned() }, served)
    }

    fn local(name: &str, text: &str) -> Local {
        let path = std::env::temp_dir().join(format!("serin-{}-{name}", std::process::id()));
        std::fs::write(&path, text).expect("a file");
        let read = read(&path).expect("it is right");
        std::fs::remove_file(path).expect("it is there");
        Local {
            document: crate::config_file::Document { path: PathBuf::from(name), ..read.document },
            ..read
        }
    }

    #[test]
    fn a_difference_is_an_exit_code() {
        let file = local("diff.toml", "[[providers]]\nid = 'openai'\n");
        let (remote, served) = gateway(&[
            (200, r#"{"providers":[{"id":"openai"}]}"#),
            (200, r#"{"providers":[]}"#),
            (500, "{}"),
        ]);
        assert_eq!(diff(&remote, &file).expect("it was asked"), 0);
        assert_eq!(diff(&remote, &file).expect("it was asked"), 1);
        let failed = diff(&remote, &file).expect_err("nobody knows");
        assert!(!failed.is::<Refused>());
        let asked = served.join().expect("it ends");
        assert!(asked[0].starts_with("GET /admin/v1/config HTTP/1.1\r\n"), "{}", asked[0]);
        assert!(asked[0].contains("uthorization: Bearer the-token\"\\\r\n"), "{}", asked[0]);
    }

    #[test]
    fn a_put_names_what_it_replaces_and_problems_their_place() {
        let file = local(
            "put.toml",
            "[[routes]]\nid = 'chat'\nmodels = ['m']\ntargets = [{ provider = 'x' }]\n",
        );
        let (remote, served) = gateway(&[
            (200, "{}"),
            (200, "{}"),
            (200, r#"{"version":4,"etag":"4-def"}"#),
            (200, "{}"),
            (
                422,
                r#"{"error":{"message":"no","problems":[{"path":"routes[0].targets[0].provider","found":"\"x\"","expected":"y"}]}}"#,
            ),
            (200, "{}"),
            (200, "{}"),
            (412, r#"{"error":{"message":"Version 9 is in force"}}"#),
        ]);
        assert_eq!(put(&remote, &file, true).expect("it is done"), 0);
        let wrong = put(&remote, &file, true).expect_err("it is wrong");
        let shown = wrong.to_string();
        assert!(wrong.is::<Refused>() && shown.starts_with("put.toml:4:14: routes[0]"), "{shown}");
        let beaten = put(&remote, &file, true).expect_err("somebody was first");
        assert!(beaten.is::<Refused>() && beaten.to_string().contains("Version 9"), "{beaten}");
        let asked = served.join().expect("it ends");
        assert!(asked[1].starts_with("PUT /admin/v1/config?dry_run=true "), "{}", asked[1]);
        assert!(asked[2].starts_with("PUT /admin/v1/config "), "{}", asked[2]);
        assert!(asked[2].contains("f-match: \"3-abc\"\r\n"), "{}", asked[2]);
        assert!(asked[2].ends_with(r#""targets":[{"provider":"x"}]}]}"#), "{}", asked[2]);
    }
}
