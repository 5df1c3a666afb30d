//! `/config`: the document in force, and every version of it.
//!
//! Who wins of two that change it is the ledger's word (`versions/archive.rs`): `If-Match` is judged by
//! it and not by what the store shows. A change is served here before it is answered.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use crate::boot::{self, Opened};
use crate::config::Problems;
use crate::json;
use crate::keys::random;
use crate::outage::Outage;
use crate::platform::Platform;
use crate::versions::{Archive, Change, Committed, Stamp, Station, difference};

use super::Call;
use super::reply::{Answer, Failure, Reply};

/// A version that is in force for so long is shown to everybody, unless whoever put it died.
const OVERDUE: Duration = Duration::from_secs(10);

/// How many changes the audit log names.
const MOST_LOGGED: usize = 50;

/// `GET /config`
pub(super) async fn read<P: Platform>(call: &Call<'_, P>) -> Answer {
    call.query(&[])?;
    let station = station(call)?;
    let archive = Archive(call.platform);
    let stamp = match archive.head().await {
        Ok(head) => head,
        // What is served here can be told without the ledger; whoever changes it needs that anyway.
        Err(_) => station.stamp().ok_or_else(Failure::ledger_unavailable)?,
    };
    let document = document(&archive, &stamp).await?;
    station.adopt(call.platform, &stamp, &document).await;
    complete(call, station, &stamp, &document).await;
    Ok(tagged(Reply::text(document), &stamp))
}

/// `PUT /config`
pub(super) async fn put<P: Platform>(call: &Call<'_, P>) -> Answer {
    let query = call.query(&["dry_run"])?;
    let dry_run = match query.text("dry_run") {
        None | Some("false") => false,
        Some("true" | "") => true,
        Some(other) => {
            return Err(Failure::invalid("dry_run", format!("{other:?}"), "true or false"));
        }
    };
    let station = station(call)?;
    let head = Archive(call.platform).head().await.map_err(unknown_head)?;
    // Who only tries need not have looked.
    if !dry_run || call.if_match.is_some() {
        must_match(call.if_match, &head)?;
    }
    let text = str::from_utf8(&call.body);
    let text = text.map_err(|_| Failure::invalid_json("The document must be UTF-8."))?;
    serves_somebody(&value(text)?)?;
    let draft = Draft { document: text, action: "config.put", note: None, dry_run };
    make(call, station, head, draft).await
}

/// `POST /config/versions/{version}/restore`: the same document as a new version.
pub(super) async fn restore<P: Platform>(call: &Call<'_, P>) -> Answer {
    call.query(&[])?;
    let station = station(call)?;
    let archive = Archive(call.platform);
    let head = archive.head().await.map_err(unknown_head)?;
    must_match(call.if_match, &head)?;
    let stamp = find(call, &head).await?;
    let document = document(&archive, &stamp).await?;
    let note = Some(format!("restored from {}", stamp.version));
    let draft = Draft { document: &document, action: "config.restore", note, dry_run: false };
    make(call, station, head, draft).await
}

/// `GET /config/versions`: the newest first.
pub(super) async fn list<P: Platform>(call: &Call<'_, P>) -> Answer {
    let query = call.query(&["limit", "cursor"])?;
    let limit = query.limit()?;
    let archive = Archive(call.platform);
    let mut next = match query.text("cursor") {
        None => Some(archive.head().await.map_err(unknown_head)?),
        Some(cursor) => {
            let wrong =
                || Failure::invalid("cursor", format!("{cursor:?}"), "a cursor from an answer");
            let (version, nonce) = cursor.split_once('-').ok_or_else(wrong)?;
            let is_name = nonce.bytes().all(|byte| byte.is_ascii_alphanumeric());
            let version = version.parse().ok().filter(|_| is_name).ok_or_else(wrong)?;
            Some(archive.look(version, nonce).await?.ok_or_else(wrong)?)
        }
    };
    let mut data = Vec::new();
    while let Some(stamp) = next.take_if(|_| data.len() < limit) {
        data.push(shown(&stamp));
        next = archive.before(&stamp).await?;
    }
    let cursor = next.map(|stamp| format!("{}-{}", stamp.version, stamp.nonce));
    Ok(Reply::json(&json!({ "data": data, "cursor": cursor })))
}

/// `GET /config/versions/{version}`
pub(super) async fn look<P: Platform>(call: &Call<'_, P>) -> Answer {
    call.query(&[])?;
    let archive = Archive(call.platform);
    let head = archive.head().await.map_err(unknown_head)?;
    let stamp = find(call, &head).await?;
    let text = document(&archive, &stamp).await?;
    let mut answer = shown(&stamp);
    answer["document"] = value(&text)?;
    Ok(tagged(Reply::json(&answer), &stamp))
}

/// A document that is to be the next version.
struct Draft<'a> {
    document: &'a str,
    action: &'static str,
    note: Option<String>,
    dry_run: bool,
}

async fn make<P: Platform>(
    call: &Call<'_, P>,
    station: &Station,
    head: Stamp,
    draft: Draft<'_>,
) -> Answer {
    let archive = Archive(call.platform);
    let after = value(draft.document)?;
    let opened = validate(call, draft.document).await?;
    let before = document(&archive, &head).await?;
    let changes = difference(&value(&before)?, &after);
    let stamp = Stamp {
        version: head.version + 1,
        at: call.platform.now(),
        by: call.operator.name.to_owned(),
        note: draft.note,
        nonce: random(call.platform, 12),
        previous: head.nonce.clone(),
        ..Stamp::of_deployed(draft.document)
    };
    if draft.dry_run || stamp.hash == head.hash {
        return Ok(tagged(Reply::json(&told(&head, &changes, draft.dry_run)), &head));
    }
    complete(call, station, &head, &before).await;
    let target = format!("config/version/{}", stamp.version);
    let paths: Vec<&str> =
        changes.iter().take(MOST_LOGGED).map(|change| change.path.as_str()).collect();
    let detail = json!({ "etag": stamp.tag(), "changed": paths, "note": stamp.note });
    let commit = async {
        archive.prepare(&stamp, draft.document).await?;
        match archive.commit(&stamp).await {
            Committed::Done => Ok(()),
            Committed::Beaten(other) => Err(beaten(&other)),
            Committed::Unknown => Err(Failure::unavailable(
                "ledger_unavailable",
                "The ledger did not answer. Nobody can say whether the document is in force: look at \
                 it before you try again.",
            )),
        }
    };
    call.log(draft.action, target, detail, commit).await?;
    station.replace(&stamp, opened);
    archive.publish(&stamp, draft.document).await;
    station.note_shown(stamp.version);
    Ok(tagged(Reply::json(&told(&stamp, &changes, false)), &stamp))
}

/// Refuses a document without a route: nobody means it, but an empty file looks like it.
fn serves_somebody(document: &Value) -> Result<(), Failure> {
    let is_empty = match &document["routes"] {
        Value::Null => true,
        Value::Array(routes) => routes.is_empty(),
        // What else is wrong with it is told with everything else.
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => false,
    };
    if !is_empty {
        return Ok(());
    }
    let (path, found, expected) = ("routes", "none", "one route at least");
    let problems = json!([{ "path": path, "found": found, "expected": expected }]);
    let failure = Failure::invalid(path, found, expected).with("problems", problems);
    Err(failure.with_status(StatusCode::UNPROCESSABLE_ENTITY, "invalid_configuration"))
}

/// Everything that is wrong with a document, or what a gateway is made of.
async fn validate<P: Platform>(call: &Call<'_, P>, document: &str) -> Result<Opened, Failure> {
    let read = boot::read(call.platform, document).await.map_err(|_| {
        Failure::unavailable("settings_unavailable", "The secrets of the host cannot be read.")
    })?;
    read.map_err(|problems| wrong(&problems))
}

fn wrong(problems: &Problems) -> Failure {
    let listed: Vec<Value> = problems
        .iter()
        .map(|it| json!({ "path": it.path, "found": it.found, "expected": it.expected }))
        .collect();
    let failure = Failure::problems(problems).with("problems", listed.into());
    failure.with_status(StatusCode::UNPROCESSABLE_ENTITY, "invalid_configuration")
}

/// Does what somebody who died left undone: everybody follows what the store shows.
async fn complete<P: Platform>(
    call: &Call<'_, P>,
    station: &Station,
    stamp: &Stamp,
    document: &str,
) {
    let is_young = call.platform.now().since(stamp.at) < OVERDUE;
    if stamp.version == 0 || is_young || station.has_shown(stamp.version) {
        return;
    }
    Archive(call.platform).publish(stamp, document).await;
    station.note_shown(stamp.version);
}

/// Refuses whoever does not know what is in force. A `W/` is passed over: proxies that compress an
/// answer put it there, and what is in force is the same document.
fn must_match(if_match: Option<&str>, head: &Stamp) -> Result<(), Failure> {
    let Some(if_match) = if_match else {
        let message =
            "An If-Match header with the ETag of the document that is to be replaced is needed.";
        let status = StatusCode::PRECONDITION_REQUIRED;
        return Err(Failure::new(status, "precondition_required", message));
    };
    let tag = head.tag();
    let fits = |one: &str| {
        let one = one.trim();
        one == "*" || one.strip_prefix("W/").unwrap_or(one).trim_matches('"') == tag
    };
    if if_match.split(',').any(fits) { Ok(()) } else { Err(beaten(head)) }
}

/// Somebody else was first.
fn beaten(head: &Stamp) -> Failure {
    let message = match head.version {
        0 => {
            "The document that was deployed is in force, and it is not the one of If-Match.".into()
        }
        version => format!("Version {version} is in force, which {} has put.", head.by),
    };
    let failure = Failure::new(StatusCode::PRECONDITION_FAILED, "precondition_failed", message);
    failure.with("current", shown(head))
}

async fn find<P: Platform>(call: &Call<'_, P>, head: &Stamp) -> Result<Stamp, Failure> {
    let version = call.argument(0).parse().ok().filter(|version| *version <= head.version);
    let version = version.ok_or_else(|| {
        Failure::not_found("version_not_found", "There is no such version of the configuration.")
    })?;
    Ok(Archive(call.platform).find(version, head).await?)
}

async fn document<P: Platform>(archive: &Archive<'_, P>, stamp: &Stamp) -> Result<String, Failure> {
    let document = archive.document(stamp).await?;
    Ok(document.ok_or_else(|| Outage::new("the store does not show it yet"))?)
}

fn value(document: &str) -> Result<Value, Failure> {
    let value: Value = json::from_text(document)
        .map_err(|error| Failure::invalid_json(&Problems::from_json(error).to_string()))?;
    if value.is_object() {
        return Ok(value);
    }
    Err(Failure::invalid_json("The document must be a JSON object."))
}

fn unknown_head(_: Outage) -> Failure {
    Failure::ledger_unavailable()
}

fn station<'a, P: Platform>(call: &Call<'a, P>) -> Result<&'a Station, Failure> {
    call.desk.station.ok_or_else(|| {
        let message = "This gateway was opened with one document and serves no other.";
        Failure::new(StatusCode::NOT_IMPLEMENTED, "configuration_fixed", message)
    })
}

fn tagged(reply: Reply, stamp: &Stamp) -> Reply {
    let reply = reply.header("etag", format!("\"{}\"", stamp.tag()));
    reply.header("x-serin-config-version", stamp.version.to_string())
}

fn told(stamp: &Stamp, changes: &[Change], dry_run: bool) -> Value {
    let mut told = shown(stamp);
    told["dry_run"] = dry_run.into();
    told["changes"] = json!(changes);
    told
}

/// A version as operators see it.
fn shown(stamp: &Stamp) -> Value {
    let deployed = stamp.version == 0;
    json!({
        "version": stamp.version,
        "etag": stamp.tag(),
        "at": (!deployed).then(|| stamp.at.as_millis() / 1_000),
        "by": (!deployed).then_some(&stamp.by),
        "note": if deployed { Some("deployed with the gateway") } else { stamp.note.as_deref() },
    })
}
