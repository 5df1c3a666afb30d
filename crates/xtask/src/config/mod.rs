//! `config`: reads and changes the configuration of a running gateway, through its admin API.

pub(crate) mod consumers;
mod local;
mod refused;
mod remote;

use std::fmt::Write as _;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use gateway::live_config::diff_documents;
use serde_json::Value;

use crate::log::in_force;

use local::Local;
use refused::{Misused, Refused};
use remote::Remote;

/// Exit code: invalid document, a concurrent change, or no confirmation. For `diff`: a difference.
const REFUSED: u8 = 1;
/// Exit code of arguments that cannot be used: an unreadable file, a URL without a scheme, a missing token.
const MISUSED: u8 = 2;
/// Exit code of any other failure: an unavailable gateway, or a token that it refuses.
const FAILED: u8 = 3;

#[derive(Debug, PartialEq, Eq)]
enum Action {
    Get,
    Put(PathBuf),
    Diff(PathBuf),
    Versions,
    Restore(u64),
    /// Returns to the deployed document.
    Follow,
}

/// Arguments of `config`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    action: Action,
    url: String,
    token_env: String,
    yes: bool,
    /// Note of the new version.
    note: Option<String>,
}

impl Options {
    pub(crate) fn parse(arguments: &mut lexopt::Parser) -> Result<Self, lexopt::Error> {
        use lexopt::Arg::{Long, Value};
        use lexopt::ValueExt as _;
        let (mut words, mut yes, mut note) = (Vec::new(), false, None);
        let (mut url, mut token_env) = ("http://127.0.0.1:8787".to_owned(), "ADMIN_TOKEN".into());
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("url") => url = arguments.value()?.string()?,
                Long("token-env") => token_env = arguments.value()?.string()?,
                Long("yes") => yes = true,
                Long("note") => note = Some(arguments.value()?.string()?),
                Value(word) => words.push(word),
                other => return Err(other.unexpected()),
            }
        }
        let mut words = words.into_iter();
        let command =
            words.next().ok_or("config needs get, put, diff, versions, restore or follow")?;
        let file = |word: Option<std::ffi::OsString>| word.ok_or("name a file").map(PathBuf::from);
        let action = match command.to_str() {
            Some("get") => Action::Get,
            Some("put") => Action::Put(file(words.next())?),
            Some("diff") => Action::Diff(file(words.next())?),
            Some("versions") => Action::Versions,
            Some("restore") => Action::Restore(words.next().ok_or("name a version")?.parse()?),
            Some("follow") => Action::Follow,
            _ => return Err(format!("unknown command config {}", command.display()).into()),
        };
        if let Some(word) = words.next() {
            return Err(Value(word).unexpected());
        }
        let url = checked_url(&url)?;
        let creates = matches!(action, Action::Put(_) | Action::Restore(_) | Action::Follow);
        if note.is_some() && !creates {
            return Err("--note is for put, restore and follow".into());
        }
        Ok(Self { action, url, token_env, yes, note })
    }
}

/// Returns a gateway's URL without a slash at its end, if it has a scheme.
fn checked_url(url: &str) -> Result<String, lexopt::Error> {
    if !(url.starts_with("http://") || url.starts_with("https://")) {
        let is_local = ["localhost", "127.", "[::1]"].iter().any(|host| url.starts_with(host));
        let scheme = if is_local { "http" } else { "https" };
        return Err(format!("--url {url} has no scheme: write {scheme}://{url}").into());
    }
    Ok(url.trim_end_matches('/').to_owned())
}

/// Runs the action. Prints errors here, because their exit code differs from that of a difference.
pub(crate) fn run(options: &Options) -> ExitCode {
    match act(options) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(exit_code(&error))
        }
    }
}

/// Describes which configuration a gateway serves, in one line.
pub(crate) fn describe(url: &str, token: &str) -> anyhow::Result<String> {
    let remote = Remote { url: url.to_owned(), token: token.to_owned() };
    Ok(status_line(&remote.configuration()?.0))
}

fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<Refused>() {
        REFUSED
    } else if error.is::<Misused>() {
        MISUSED
    } else {
        FAILED
    }
}

fn act(options: &Options) -> anyhow::Result<u8> {
    let read = |file: &PathBuf| Local::read(file).map_err(misused_unless_refused);
    // The file first: it needs no gateway.
    let file = match &options.action {
        Action::Put(file) | Action::Diff(file) => Some(read(file)?),
        Action::Get | Action::Versions | Action::Restore(_) | Action::Follow => None,
    };
    let remote = Remote::open(&options.url, &options.token_env).map_err(misused_unless_refused)?;
    match (&options.action, &file) {
        (Action::Put(_), Some(file)) => put(&remote, file, options),
        (Action::Diff(_), Some(file)) => diff(&remote, file),
        (Action::Restore(version), _) => restore(&remote, *version, options),
        (Action::Follow, _) => follow(&remote, options),
        (Action::Versions, _) => versions(&remote),
        (Action::Get | Action::Put(_) | Action::Diff(_), _) => get(&remote),
    }
}

fn misused_unless_refused(error: anyhow::Error) -> anyhow::Error {
    if error.is::<Refused>() { error } else { Misused(format!("{error:#}")).into() }
}

fn get(remote: &Remote) -> anyhow::Result<u8> {
    let (answer, tag) = remote.configuration()?;
    println!("{}", serde_json::to_string_pretty(&answer["document"])?);
    eprintln!("ETag {tag}: {}", status_line(&answer));
    Ok(0)
}

/// Describes which document is in force, and whether it is served.
fn status_line(answer: &Value) -> String {
    let mut line = in_force(answer);
    if answer["served"] == false {
        write!(line, ". It is not served: version {} is", answer["served_version"]).ok();
        for problem in answer["problems"].as_array().into_iter().flatten() {
            let text = |name: &str| problem[name].as_str().unwrap_or_default();
            write!(
                line,
                "\n{}: found {}, expected {}",
                text("path"),
                text("found"),
                text("expected")
            )
            .ok();
        }
    }
    line
}

fn diff(remote: &Remote, file: &Local) -> anyhow::Result<u8> {
    let (before, _) = remote.document()?;
    let lines = lines(&before, &file.value);
    print!("{lines}");
    if lines.is_empty() {
        return Ok(0);
    }
    // Only owners may ask whether the document would be refused, and a diff is for everybody.
    let tried = remote.request("PUT", "config?dry_run=true", None, Some(&file.json))?;
    if !tried.is_forbidden() {
        tried.done(Some(file)).context("put would be refused")?;
    }
    Ok(REFUSED)
}

fn put(remote: &Remote, file: &Local, options: &Options) -> anyhow::Result<u8> {
    let (before, tag) = remote.document()?;
    // A dry run first: the gateway has the secrets, and reports problems even without changes.
    remote.request("PUT", "config?dry_run=true", Some(&tag), Some(&file.json))?.done(Some(file))?;
    let lines = lines(&before, &file.value);
    if lines.is_empty() {
        println!("Nothing changes: {tag} is in force.");
        return Ok(0);
    }
    print!("{lines}");
    confirm(options.yes, &remote.url)?;
    let path = with_note("config", options);
    let answer = remote.request("PUT", &path, Some(&tag), Some(&file.json))?.done(Some(file))?;
    print_changes(&answer);
    Ok(0)
}

/// Returns to the deployed document.
fn follow(remote: &Remote, options: &Options) -> anyhow::Result<u8> {
    let (answer, tag) = remote.configuration()?;
    if answer["source"] == "deployed" {
        println!("Nothing changes: {}.", status_line(&answer));
        return Ok(0);
    }
    println!("{}.", status_line(&answer));
    confirm(options.yes, &remote.url)?;
    let path = with_note("config/follow", options);
    let answer = remote.request("POST", &path, Some(&tag), None)?.done(None)?;
    for change in answer["changes"].as_array().into_iter().flatten() {
        println!("{}", change["path"].as_str().unwrap_or_default());
    }
    print_changes(&answer);
    println!("From now on the deployed document counts, that of later deployments included.");
    Ok(0)
}

/// A path with the note of the new version as its query.
fn with_note(path: &str, options: &Options) -> String {
    let Some(note) = &options.note else { return path.to_owned() };
    let mut query = String::new();
    for byte in note.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            query.push(char::from(byte));
        } else {
            write!(query, "%{byte:02X}").ok();
        }
    }
    format!("{path}?note={query}")
}

fn restore(remote: &Remote, version: u64, options: &Options) -> anyhow::Result<u8> {
    let (before, tag) = remote.document()?;
    let path = format!("config/versions/{version}");
    let wanted = remote.request("GET", &path, None, None)?.done(None)?;
    let lines = lines(&before, &wanted["document"]);
    if lines.is_empty() {
        println!("Nothing changes: {tag} is in force.");
        return Ok(0);
    }
    print!("{lines}");
    confirm(options.yes, &remote.url)?;
    let path = with_note(&format!("{path}/restore"), options);
    let answer = remote.request("POST", &path, Some(&tag), None)?.done(None)?;
    print_changes(&answer);
    Ok(0)
}

fn versions(remote: &Remote) -> anyhow::Result<u8> {
    let mut cursor = String::new();
    println!("{:>7}  {:<24}  {:<12}  {:<24}  note", "version", "created at", "by", "etag");
    loop {
        let path = format!("config/versions?limit=200{cursor}");
        let page = remote.request("GET", &path, None, None)?.done(None)?;
        for one in page["data"].as_array().into_iter().flatten() {
            let text = |name: &str| one[name].as_str().unwrap_or("-").to_owned();
            let version = one["version"].to_string();
            let in_force = if one["in_force"] == true { "*" } else { " " };
            println!(
                "{in_force}{version:>6}  {:<24}  {:<12}  {:<24}  {}",
                text("created_at"),
                text("created_by"),
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

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::path::PathBuf;
    use std::thread::{JoinHandle, spawn};

    use super::{Action, Local, Options, Refused, Remote, diff, exit_code, follow, put};

    fn parse(words: &[&str]) -> Result<Options, lexopt::Error> {
        Options::parse(&mut lexopt::Parser::from_args(words))
    }

    #[test]
    fn arguments_are_parsed_and_unknown_ones_refused() {
        let options = parse(&["put", "a.toml", "--url", "https://gw.example/", "--yes"]);
        let options = options.expect("the arguments are valid");
        assert_eq!((&options.action, options.yes), (&Action::Put("a.toml".into()), true));
        assert_eq!(
            (options.url.as_str(), options.token_env.as_str()),
            ("https://gw.example", "ADMIN_TOKEN")
        );
        assert_eq!(parse(&["restore", "7"]).expect("a number").action, Action::Restore(7));
        for invalid in
            [&[][..], &["put"], &["restore", "x"], &["set"], &["get", "x"], &["get", "--no"]]
        {
            assert!(parse(invalid).is_err(), "{invalid:?}");
        }
    }

    #[test]
    fn finding_44_wrong_arguments_are_not_failures_of_the_gateway() {
        let run = |words: &[&str]| {
            let error = super::act(&parse(words).expect("the arguments are valid"));
            let error = error.expect_err("it cannot run");
            (exit_code(&error), format!("{error:#}"))
        };
        let (code, message) = run(&["put", "/nothing/nope.toml"]);
        assert_eq!(code, 2, "{message}");
        assert!(message.contains("/nothing/nope.toml"), "{message}");
        let (code, message) = run(&["get", "--token-env", "SERIN_TEST_NO_SUCH_TOKEN"]);
        assert!(code == 2 && message.contains("SERIN_TEST_NO_SUCH_TOKEN"), "{code} {message}");
        let error = parse(&["get", "--url", "example.com"]).expect_err("there is no scheme");
        assert!(error.to_string().contains("https://example.com"), "{error}");
        let error = parse(&["get", "--url", "127.0.0.1:8787"]).expect_err("there is no scheme");
        assert!(error.to_string().contains("http://127.0.0.1:8787"), "{error}");
        assert!(parse(&["get", "--note", "x"]).is_err());
    }

    #[test]
    fn finding_1_follow_returns_to_the_deployed_document() {
        let (remote, served) = gateway(&[
            (200, r#"{"source":"version","version":3,"created_by":"eve","document":{}}"#),
            (200, r#"{"version":4,"etag":"4-def","changes":[]}"#),
            (200, r#"{"source":"deployed","version":4,"document":{}}"#),
        ]);
        let options = parse(&["follow", "--yes"]).expect("the arguments are valid");
        assert_eq!(follow(&remote, &options).expect("it is done"), 0);
        assert_eq!(follow(&remote, &options).expect("nothing changes"), 0);
        let requests = served.join().expect("the thread ends");
        assert!(requests[1].starts_with("POST /admin/v1/config/follow "), "{}", requests[1]);
        assert!(requests[1].contains("f-match: \"3-abc\"\r\n"), "{}", requests[1]);
    }

    /// Serves these answers in order. The thread returns the requests.
    pub(super) fn gateway(
        answers: &'static [(u16, &'static str)],
    ) -> (Remote, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let served = spawn(move || {
            let serve = |(status, body): &(u16, &str)| {
                let (mut stream, _) = listener.accept().expect("a caller");
                let mut request = Vec::new();
                let is_whole = |request: &[u8]| {
                    let text = String::from_utf8_lossy(request);
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
                    let length =
                        head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
                    body.len() >= length.map_or(0, |length| length.parse().expect("a number"))
                };
                while !is_whole(&request) {
                    let mut piece = [0; 4096];
                    let count = stream.read(&mut piece).expect("a request");
                    request.extend_from_slice(&piece[..count]);
                }
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 {status} X\r\netag: \"3-abc\"\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
                );
                stream.write_all(format!("{head}{body}").as_bytes()).expect("an answer");
                String::from_utf8(request).expect("text")
            };
            answers.iter().map(serve).collect()
        });
        (Remote { url, token: "the-token\"\\".to_owned() }, served)
    }

    #[test]
    fn gateway_without_an_admin_api_is_named() {
        let (remote, served) =
            gateway(&[(404, r#"{"error":{"message":"This path does not exist."}}"#)]);
        let error = remote.document().expect_err("there is no admin API").to_string();
        assert!(error.ends_with("is off: set ADMIN_TOKEN at the gateway"), "{error}");
        served.join().expect("the thread ends");
    }

    fn local(name: &str, text: &str) -> Local {
        let path = std::env::temp_dir().join(format!("serin-{}-{name}", std::process::id()));
        std::fs::write(&path, text).expect("a file");
        let read = Local::read(&path).expect("the document is valid");
        std::fs::remove_file(path).expect("the file exists");
        Local {
            document: crate::config_file::Document { path: PathBuf::from(name), ..read.document },
            ..read
        }
    }

    #[test]
    fn diff_exit_code_depends_on_the_difference() {
        let file = local("diff.toml", "[[providers]]\nid = 'openai'\n");
        let (remote, served) = gateway(&[
            (200, r#"{"document":{"providers":[{"id":"openai"}]}}"#),
            (200, r#"{"document":{"providers":[]}}"#),
            (403, r#"{"error":{"message":"the role is too low"}}"#),
            (200, r#"{"document":{"providers":[]}}"#),
            (
                422,
                r#"{"error":{"message":"no","problems":[{"path":"providers[0].keys","found":"none","expected":"a key"}]}}"#,
            ),
            (500, "{}"),
        ]);
        assert_eq!(diff(&remote, &file).expect("the gateway answers"), 0);
        assert_eq!(diff(&remote, &file).expect("the gateway answers"), 1);
        // Finding 44: a document that would be refused is said to be so.
        let refused = diff(&remote, &file).expect_err("the document is invalid");
        let shown = format!("{refused:#}");
        assert!(refused.is::<Refused>(), "{shown}");
        assert!(
            shown.contains("put would be refused: ") && shown.contains("providers[0].keys"),
            "{shown}"
        );
        let failed = diff(&remote, &file).expect_err("the gateway fails");
        assert_eq!(exit_code(&failed), 3);
        let requests = served.join().expect("the thread ends");
        assert!(
            requests[0].starts_with("GET /admin/v1/config?status=true HTTP/1.1\r\n"),
            "{}",
            requests[0]
        );
        assert!(requests[0].contains("uthorization: Bearer the-token\"\\\r\n"), "{}", requests[0]);
    }

    #[test]
    fn put_sends_the_etag_and_reports_problems_with_their_place() {
        let file = local(
            "put.toml",
            "[[routes]]\nid = 'chat'\nmodels = ['m']\ntargets = [{ provider = 'x' }]\n",
        );
        let (remote, served) = gateway(&[
            (200, r#"{"document":{}}"#),
            (200, "{}"),
            (200, r#"{"version":4,"etag":"4-def"}"#),
            (200, r#"{"document":{}}"#),
            (
                422,
                r#"{"error":{"message":"no","problems":[{"path":"routes[0].targets[0].provider","found":"\"x\"","expected":"y"}]}}"#,
            ),
            (200, r#"{"document":{}}"#),
            (200, "{}"),
            (412, r#"{"error":{"message":"Version 9 is in force"}}"#),
        ]);
        let options = parse(&["put", "put.toml", "--yes", "--note", "commit 1a2b/c"]);
        let options = options.expect("the arguments are valid");
        assert_eq!(put(&remote, &file, &options).expect("the put succeeds"), 0);
        let invalid = put(&remote, &file, &options).expect_err("the document is invalid");
        let shown = invalid.to_string();
        assert!(
            invalid.is::<Refused>() && shown.starts_with("put.toml:4:14: routes[0]"),
            "{shown}"
        );
        let conflict = put(&remote, &file, &options).expect_err("another writer was first");
        assert!(
            conflict.is::<Refused>() && conflict.to_string().contains("Version 9"),
            "{conflict}"
        );
        let requests = served.join().expect("the thread ends");
        assert!(requests[1].starts_with("PUT /admin/v1/config?dry_run=true "), "{}", requests[1]);
        assert!(
            requests[2].starts_with("PUT /admin/v1/config?note=commit%201a2b%2Fc "),
            "{}",
            requests[2]
        );
        assert!(requests[2].contains("f-match: \"3-abc\"\r\n"), "{}", requests[2]);
        assert!(requests[2].ends_with(r#""targets":[{"provider":"x"}]}]}"#), "{}", requests[2]);
    }
}
