//! `config`: reads and changes the configuration of a running gateway, through its admin API.

mod local;
mod refused;
mod remote;

use std::fmt::Write as _;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use gateway::live_config::diff_documents;
use serde_json::Value;

use local::Local;
use refused::Refused;
use remote::Remote;

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
    let done =
        Remote::open(&options.url, &options.token_env).and_then(|remote| match &options.action {
            Action::Get => get(&remote),
            Action::Put(file) => put(&remote, &Local::read(file)?, options.yes),
            Action::Diff(file) => diff(&remote, &Local::read(file)?),
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

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::path::PathBuf;
    use std::thread::{JoinHandle, spawn};

    use super::{Action, Local, Options, Refused, Remote, diff, put};

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

    /// Serves these answers in order. The thread returns the requests.
    fn gateway(answers: &'static [(u16, &'static str)]) -> (Remote, JoinHandle<Vec<String>>) {
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
            (200, r#"{"providers":[{"id":"openai"}]}"#),
            (200, r#"{"providers":[]}"#),
            (500, "{}"),
        ]);
        assert_eq!(diff(&remote, &file).expect("the gateway answers"), 0);
        assert_eq!(diff(&remote, &file).expect("the gateway answers"), 1);
        let failed = diff(&remote, &file).expect_err("the gateway fails");
        assert!(!failed.is::<Refused>());
        let requests = served.join().expect("the thread ends");
        assert!(requests[0].starts_with("GET /admin/v1/config HTTP/1.1\r\n"), "{}", requests[0]);
        assert!(requests[0].contains("uthorization: Bearer the-token\"\\\r\n"), "{}", requests[0]);
    }

    #[test]
    fn put_sends_the_etag_and_reports_problems_with_their_place() {
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
        assert_eq!(put(&remote, &file, true).expect("the put succeeds"), 0);
        let invalid = put(&remote, &file, true).expect_err("the document is invalid");
        let shown = invalid.to_string();
        assert!(
            invalid.is::<Refused>() && shown.starts_with("put.toml:4:14: routes[0]"),
            "{shown}"
        );
        let conflict = put(&remote, &file, true).expect_err("another writer was first");
        assert!(
            conflict.is::<Refused>() && conflict.to_string().contains("Version 9"),
            "{conflict}"
        );
        let requests = served.join().expect("the thread ends");
        assert!(requests[1].starts_with("PUT /admin/v1/config?dry_run=true "), "{}", requests[1]);
        assert!(requests[2].starts_with("PUT /admin/v1/config "), "{}", requests[2]);
        assert!(requests[2].contains("f-match: \"3-abc\"\r\n"), "{}", requests[2]);
        assert!(requests[2].ends_with(r#""targets":[{"provider":"x"}]}]}"#), "{}", requests[2]);
    }
}
