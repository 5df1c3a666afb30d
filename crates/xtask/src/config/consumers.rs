//! `consumers apply`: makes the consumers that the admin API keeps equal to those of a file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use gateway::live_config::diff_documents;
use serde_json::{Map, Value};

use super::refused::{Misused, Refused};
use super::remote::Remote;
use super::{REFUSED, confirm, exit_code, misused_unless_refused};

/// Members of a consumer that the gateway adds.
const SHOWN_MEMBERS: [&str; 5] = ["source", "created_at", "created_by", "changed_at", "changed_by"];

/// Arguments of `consumers`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    file: PathBuf,
    url: String,
    token_env: String,
    yes: bool,
    dry_run: bool,
    prune: bool,
}

impl Options {
    pub(crate) fn parse(arguments: &mut lexopt::Parser) -> Result<Self, lexopt::Error> {
        use lexopt::Arg::{Long, Value};
        use lexopt::ValueExt as _;
        let (mut words, mut url, mut token_env) =
            (Vec::new(), "http://127.0.0.1:8787".to_owned(), "ADMIN_TOKEN".to_owned());
        let (mut yes, mut dry_run, mut prune) = (false, false, false);
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("url") => url = super::checked_url(&arguments.value()?.string()?)?,
                Long("token-env") => token_env = arguments.value()?.string()?,
                Long("yes") => yes = true,
                Long("dry-run") => dry_run = true,
                Long("prune") => prune = true,
                Value(word) => words.push(word),
                other => return Err(other.unexpected()),
            }
        }
        match &words[..] {
            [command, file] if command == "apply" => {
                Ok(Self { file: file.into(), url, token_env, yes, dry_run, prune })
            }
            _ => Err("consumers needs: apply FILE".into()),
        }
    }
}

/// One change at the gateway.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Create(Value),
    /// A merge patch (RFC 7396), and the changed members as text.
    Change(String, Value, String),
    /// Deletes a consumer with its keys.
    Delete(String),
}

/// Changes that make the gateway's consumers equal to a file's.
#[derive(Debug, Default, PartialEq)]
struct Plan {
    steps: Vec<Step>,
    /// Consumers of the admin API that the file does not have, and that stay.
    left: Vec<String>,
}

/// Runs the action. Prints errors here, because their exit code differs from that of a difference.
pub(crate) fn run(options: &Options) -> ExitCode {
    match apply(options) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(exit_code(&error))
        }
    }
}

fn apply(options: &Options) -> anyhow::Result<u8> {
    let text = std::fs::read_to_string(&options.file)
        .with_context(|| format!("cannot read {}", options.file.display()));
    let text = text.map_err(|error| Misused(format!("{error:#}")))?;
    let is_json = options.file.extension().is_some_and(|extension| extension == "json");
    let wanted = parse(&text, is_json)
        .map_err(|reason| Refused(format!("{}: {reason}", options.file.display())))?;
    let remote = Remote::open(&options.url, &options.token_env).map_err(misused_unless_refused)?;
    apply_to(&remote, wanted, options)
}

fn apply_to(
    remote: &Remote,
    wanted: BTreeMap<String, Value>,
    options: &Options,
) -> anyhow::Result<u8> {
    let plan = Plan::new(wanted, known(remote)?, options.prune)?;
    print!("{}", plan.describe());
    if plan.steps.is_empty() {
        println!("Nothing changes.");
        return Ok(0);
    }
    if options.dry_run {
        return Ok(REFUSED);
    }
    confirm(options.yes, &remote.url)?;
    for (done, step) in plan.steps.iter().enumerate() {
        let result = match step {
            Step::Create(consumer) => {
                remote.request("POST", "consumers", None, Some(&consumer.to_string()))
            }
            Step::Change(id, patch, _) => {
                remote.request("PATCH", &path(id), None, Some(&patch.to_string()))
            }
            Step::Delete(id) => remote.request("DELETE", &path(id), None, None),
        };
        result.and_then(|answer| answer.done(None)).with_context(|| {
            format!("{} ({done} of {} were made)", step.title(), plan.steps.len())
        })?;
    }
    println!("{} changes were made.", plan.steps.len());
    Ok(0)
}

fn path(id: &str) -> String {
    // Ids are letters, digits, ".", "_", and "-".
    format!("consumers/{id}")
}

/// Reads all consumers of the gateway, by id.
fn known(remote: &Remote) -> anyhow::Result<BTreeMap<String, Value>> {
    let (mut all, mut cursor) = (BTreeMap::new(), String::new());
    loop {
        let page = format!("consumers?limit=200{cursor}");
        let page = remote.request("GET", &page, None, None)?.done(None)?;
        for consumer in page["data"].as_array().into_iter().flatten() {
            let id = consumer["id"].as_str().unwrap_or_default().to_owned();
            all.insert(id, consumer.clone());
        }
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(all),
        }
    }
}

/// Parses the file: `[[consumers]]` as in the configuration, without keys.
fn parse(text: &str, is_json: bool) -> Result<BTreeMap<String, Value>, String> {
    let document: Value = match is_json {
        true => serde_json::from_str(text).map_err(|error| error.to_string())?,
        false => toml::from_str(text).map_err(|error| error.to_string())?,
    };
    let members = document.as_object().ok_or("found no table, expected [[consumers]]")?;
    if let Some(other) = members.keys().find(|name| *name != "consumers") {
        return Err(format!("{other}: found an unknown section, expected [[consumers]] alone"));
    }
    let list = members.get("consumers").and_then(Value::as_array);
    let list = list.ok_or("consumers: found no list, expected [[consumers]]")?;
    let mut all = BTreeMap::new();
    for (at, consumer) in list.iter().enumerate() {
        let id = consumer["id"].as_str().unwrap_or_default();
        let is_id = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if id.is_empty() || !id.chars().all(is_id) {
            return Err(format!(
                "consumers[{at}].id: found {}, expected letters, digits, \".\", \"_\", or \"-\"",
                consumer["id"]
            ));
        }
        if consumer.get("keys").is_some() {
            return Err(format!(
                "consumers[{at}].keys: keys are not declared here; issue or adopt them with POST \
                 /admin/v1/consumers/{id}/keys"
            ));
        }
        if all.insert(id.to_owned(), consumer.clone()).is_some() {
            return Err(format!("consumers[{at}].id: found {id:?} twice"));
        }
    }
    Ok(all)
}

impl Plan {
    fn new(
        wanted: BTreeMap<String, Value>,
        known: BTreeMap<String, Value>,
        prune: bool,
    ) -> Result<Self, Refused> {
        let mut plan = Self::default();
        let is_wanted = |id: &String| wanted.contains_key(id);
        let (mut created, mut changed) = (Vec::new(), Vec::new());
        for (id, consumer) in &wanted {
            match known.get(id) {
                None => created.push(Step::Create(consumer.clone())),
                Some(before) if before["source"] == "configuration" => {
                    return Err(Refused(format!(
                        "{id} is a consumer of the configuration: change it there, or remove it from one of the two"
                    )));
                }
                Some(before) => {
                    let mut before = before.clone();
                    if let Some(members) = before.as_object_mut() {
                        members.retain(|name, _| !SHOWN_MEMBERS.contains(&name.as_str()));
                    }
                    if let Some(patch) = merge_patch(&before, consumer) {
                        let mut lines = String::new();
                        for change in diff_documents(&before, consumer) {
                            writeln!(lines, "  {change}").ok();
                        }
                        changed.push(Step::Change(id.clone(), patch, lines));
                    }
                }
            }
        }
        let others = known.iter().filter(|(_, consumer)| consumer["source"] != "configuration");
        let others = others.map(|(id, _)| id).filter(|id| !is_wanted(id)).cloned();
        // Deletions last: everything else is done if one of them fails.
        plan.steps.extend(created.into_iter().chain(changed));
        match prune {
            true => plan.steps.extend(others.map(Step::Delete)),
            false => plan.left.extend(others),
        }
        Ok(plan)
    }

    fn describe(&self) -> String {
        let mut text = String::new();
        for step in &self.steps {
            writeln!(text, "{}", step.title()).ok();
            if let Step::Change(_, _, lines) = step {
                text.push_str(lines);
            }
        }
        if !self.left.is_empty() {
            writeln!(
                text,
                "not in the file, and left as they are (--prune deletes them with their keys): {}",
                self.left.join(", ")
            )
            .ok();
        }
        text
    }
}

impl Step {
    fn title(&self) -> String {
        match self {
            Self::Create(consumer) => {
                format!("+ {}", consumer["id"].as_str().unwrap_or_default())
            }
            Self::Change(id, _, _) => format!("~ {id}"),
            Self::Delete(id) => format!("- {id}, with its keys"),
        }
    }
}

/// Returns the merge patch (RFC 7396) that turns one value into another. `None` if they are equal.
fn merge_patch(before: &Value, after: &Value) -> Option<Value> {
    let (Value::Object(before), Value::Object(after)) = (before, after) else {
        return (before != after).then(|| after.clone());
    };
    let mut patch = Map::new();
    for (name, value) in after {
        let known = before.get(name).unwrap_or(&Value::Null);
        patch.extend(merge_patch(known, value).map(|value| (name.clone(), value)));
    }
    let removed = before.keys().filter(|name| !after.contains_key(*name));
    patch.extend(removed.map(|name| (name.clone(), Value::Null)));
    (!patch.is_empty()).then_some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::gateway;
    use super::{Options, Plan, Step, apply_to, merge_patch, parse};

    const FILE: &str = "
[[consumers]]
id     = 'acme'
group  = 'gold'
routes = ['chat']
params = { max_tokens = { max = 100 } }

[[consumers]]
id = 'new'
";
    const KNOWN: &str = r#"{"data":[
        {"id":"app","source":"configuration"},
        {"id":"acme","group":"silver","routes":["chat"],"params":{"n":{"max":1}},"source":"admin",
            "created_at":"2026-01-01T00:00:00.000Z","created_by":"eve"},
        {"id":"old","source":"admin"}],"cursor":null}"#;

    fn options(words: &[&str]) -> Result<Options, lexopt::Error> {
        Options::parse(&mut lexopt::Parser::from_args(words))
    }

    #[test]
    fn arguments_are_parsed() {
        let all =
            ["apply", "a.toml", "--url", "https://gw.example/", "--yes", "--prune", "--dry-run"];
        let all = options(&all).expect("the arguments are valid");
        assert!(all.yes && all.prune && all.dry_run);
        assert_eq!((all.url.as_str(), all.file), ("https://gw.example", "a.toml".into()));
        for wrong in [
            &[][..],
            &["apply"],
            &["list", "a"],
            &["apply", "a", "b"],
            &["apply", "a", "--url", "x"],
        ] {
            assert!(options(wrong).is_err(), "{wrong:?}");
        }
    }

    #[track_caller]
    fn assert_invalid(text: &str, expected: &str) {
        let reason = parse(text, text.starts_with('{')).expect_err("it is wrong");
        assert!(reason.contains(expected), "{reason}");
    }

    #[test]
    fn file_with_mistakes_is_refused() {
        assert_invalid("[[consumer]]\nid = 'a'", "consumer: found an unknown section");
        assert_invalid("", "expected [[consumers]]");
        assert_invalid("consumers = 1", "expected [[consumers]]");
        assert_invalid("[[consumers]]\nname = 'a'", "consumers[0].id: found null");
        assert_invalid("[[consumers]]\nid = 'a/b'", "consumers[0].id");
        assert_invalid("[[consumers]]\nid = 'a'\n[[consumers]]\nid = 'a'", "\"a\" twice");
        assert_invalid("[[consumers]]\nid = 'a'\nkeys = ['secret:A']", "consumers[0].keys");
        assert_invalid("{", "line 1");
        let configured = [("app".to_owned(), json!({ "id": "app", "source": "configuration" }))];
        let wanted = parse("[[consumers]]\nid = 'app'", false).expect("it is right");
        let error = Plan::new(wanted, configured.into(), false).expect_err("it is configured");
        assert!(error.0.contains("app is a consumer of the configuration"), "{error}");
    }

    #[test]
    fn consumers_become_those_of_the_file() {
        let (remote, served) = gateway(&[
            (200, KNOWN),
            (200, KNOWN),
            (201, "{}"),
            (200, "{}"),
            (204, ""),
            (200, KNOWN),
            (
                400,
                r#"{"error":{"message":"no","problems":[{"path":"routes[0]","found":"\"x\"","expected":"a route"}]}}"#,
            ),
        ]);
        let wanted = || parse(FILE, false).expect("it is right");
        let dry = options(&["apply", "f", "--dry-run"]).expect("valid");
        assert_eq!(apply_to(&remote, wanted(), &dry).expect("it is shown"), 1);
        let all = options(&["apply", "f", "--yes", "--prune"]).expect("valid");
        assert_eq!(apply_to(&remote, wanted(), &all).expect("it is done"), 0);
        let some = options(&["apply", "f", "--yes"]).expect("valid");
        let error = apply_to(&remote, wanted(), &some).expect_err("it is refused");
        let shown = format!("{error:#}");
        assert!(shown.contains("+ new (0 of 2") && shown.contains("routes[0]"), "{shown}");
        let requests = served.join().expect("the thread ends");
        assert!(requests[2].starts_with("POST /admin/v1/consumers "), "{}", requests[2]);
        assert!(requests[2].ends_with(r#"{"id":"new"}"#), "{}", requests[2]);
        assert!(requests[3].starts_with("PATCH /admin/v1/consumers/acme "), "{}", requests[3]);
        let (_, patch) = requests[3].split_once("\r\n\r\n").expect("a body");
        let patch: Value = serde_json::from_str(patch).expect("JSON");
        let params = json!({ "max_tokens": { "max": 100 }, "n": null });
        assert_eq!(patch, json!({ "group": "gold", "params": params }));
        assert!(requests[4].starts_with("DELETE /admin/v1/consumers/old "), "{}", requests[4]);
    }

    #[test]
    fn plan_is_described_before_it_is_applied() {
        let known = json!([
            { "id": "acme", "group": "silver", "source": "admin", "created_by": "eve" },
            { "id": "old", "source": "admin" },
        ]);
        let known = known.as_array().expect("a list").iter();
        let known = known.map(|it| (it["id"].as_str().expect("text").to_owned(), it.clone()));
        let wanted = parse("[[consumers]]\nid = 'acme'\ngroup = 'gold'", false).expect("right");
        let plan = Plan::new(wanted, known.collect(), false).expect("possible");
        assert!(matches!(&plan.steps[..], [Step::Change(id, _, _)] if id == "acme"));
        let text = plan.describe();
        assert!(
            text.starts_with("~ acme\n") && text.contains("group: \"silver\" → \"gold\""),
            "{text}"
        );
        assert!(text.contains("left as they are") && text.trim_end().ends_with("old"), "{text}");
    }

    #[test]
    fn merge_patch_removes_members() {
        let before = json!({ "a": 1, "b": { "c": [1], "d": 2 }, "e": 3 });
        let after = json!({ "a": 1, "b": { "c": [2] } });
        let patch = json!({ "b": { "c": [2], "d": null }, "e": null });
        assert_eq!(merge_patch(&before, &after), Some(patch));
        assert_eq!(merge_patch(&after, &after), None);
    }
}
