//! `/history`: conversations that are remembered, and forgetting them.

use serde_json::{Value, json};

use crate::history::{Talk, digest, is_digest, names};
use crate::platform::Platform;

use super::Call;
use super::page::page;
use super::reply::{Answer, Failure, Reply};
use super::sweep::sweep;

/// `GET /history/{consumer}`: the digests of its sessions.
pub(super) async fn list<P: Platform>(call: &Call<'_, P>) -> Answer {
    let query = call.query(&["limit", "cursor"])?;
    let prefix = names(call.argument(0));
    let found = page(&call.shelf(), &prefix, query.text("cursor"), query.limit()?).await?;
    let sessions = found.names.iter().map(|name| json!({ "session": name }));
    Ok(Reply::json(&json!({ "data": sessions.collect::<Vec<Value>>(), "cursor": found.cursor })))
}

/// `GET /history/{consumer}/{session}`
pub(super) async fn read<P: Platform>(call: &Call<'_, P>) -> Answer {
    call.query(&[])?;
    let (name, session) = entry(call);
    let kept = match call.desk.recent.find(&name, call.platform.now()) {
        Some(written) => written,
        None => call.platform.get(&name).await?,
    };
    let kept = kept.ok_or_else(|| {
        Failure::not_found("conversation_not_found", "There is no such conversation.")
    })?;
    let talk = Talk::read(&kept);
    let turns = talk.turns().iter().map(|turn| {
        let question: Value = serde_json::from_str(turn.question.get()).unwrap_or_default();
        json!({ "at": turn.at.as_millis() / 1_000, "question": question, "answer": turn.answer })
    });
    let turns: Vec<Value> = turns.collect();
    Ok(Reply::json(&json!({ "consumer": call.argument(0), "session": session, "turns": turns })))
}

/// `DELETE /history/{consumer}/{session}`
pub(super) async fn delete<P: Platform>(call: &Call<'_, P>) -> Answer {
    call.query(&[])?;
    let (name, session) = entry(call);
    let target = format!("history/{}/{session}", call.argument(0));
    let change = async {
        call.platform.delete(&name).await?;
        call.desk.recent.note(name, None, call.platform.now());
        Ok(())
    };
    call.log("history.delete", target, Value::Null, change).await?;
    Ok(Reply::gone())
}

/// `DELETE /history/{consumer}`
pub(super) async fn purge<P: Platform>(call: &Call<'_, P>) -> Answer {
    let query = call.query(&["cursor"])?;
    let consumer = call.argument(0);
    let target = format!("history/{consumer}");
    sweep(call, ("history.purge", target), &[names(consumer)], query.text("cursor")).await
}

/// The entry of a conversation, and its digest: the path may have either the session's name or that.
fn entry<P: Platform>(call: &Call<'_, P>) -> (String, String) {
    let session = call.argument(1);
    let session = if is_digest(session) { session.to_owned() } else { digest(session) };
    (names(call.argument(0)) + &session, session)
}
