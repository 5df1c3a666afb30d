//! `/history`: lists, shows, and deletes stored conversations.

use serde_json::{Value, json};

use crate::history::conversation::{Conversation, is_digest, key_prefix, session_digest};
use crate::host::Host;

use super::AdminRequest;
use super::bulk_delete::delete_prefixes;
use super::limit::is_consumer;
use super::pagination::read_page;
use super::response::{AdminError, AdminResponse, AdminResult, rfc3339_json};

/// `GET /history/{consumer}`: the digests of its sessions.
pub(super) async fn list<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    let query = request.parse_query(&["limit", "cursor"])?;
    let prefix = key_prefix(request.path_argument(0));
    let found =
        read_page(&request.key_store(), &prefix, query.get("cursor"), query.page_limit()?).await?;
    // A subject of an issuer, or a deleted consumer, may have conversations.
    if found.names.is_empty()
        && query.get("cursor").is_none()
        && !is_consumer(request, request.path_argument(0)).await?
    {
        return Err(AdminError::not_found(
            "consumer_not_found",
            "This consumer does not exist, and there are no conversations of this name.",
        ));
    }
    let sessions = found.names.iter().map(|name| json!({ "session": name }));
    Ok(AdminResponse::json(
        &json!({ "data": sessions.collect::<Vec<Value>>(), "cursor": found.cursor }),
    ))
}

/// `GET /history/{consumer}/{session}`
pub(super) async fn get<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    let (name, session) = conversation_key(request);
    let kept = match request.context.recent_writes.lookup(&name, request.host.now()) {
        Some(written) => written,
        None => request.host.get(&name).await?,
    };
    let kept = kept.ok_or_else(|| {
        AdminError::not_found("conversation_not_found", "This conversation does not exist.")
    })?;
    let conversation = Conversation::parse(&kept);
    let turns = conversation.turns().iter().map(|turn| {
        let question: Value = serde_json::from_str(turn.question.get()).unwrap_or_default();
        json!({ "at": rfc3339_json(turn.at), "question": question, "answer": turn.answer })
    });
    let turns: Vec<Value> = turns.collect();
    Ok(AdminResponse::json(
        &json!({ "consumer": request.path_argument(0), "session": session, "turns": turns }),
    ))
}

/// `DELETE /history/{consumer}/{session}`
pub(super) async fn delete<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    let (name, session) = conversation_key(request);
    let target = format!("history/{}/{session}", request.path_argument(0));
    let change = async {
        request.host.delete(&name).await?;
        request.context.recent_writes.record_write(name, None, request.host.now());
        Ok(())
    };
    request.run_audited("history.delete", target, Value::Null, change).await?;
    Ok(AdminResponse::no_content())
}

/// `DELETE /history/{consumer}`
pub(super) async fn purge<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    let query = request.parse_query(&["cursor"])?;
    let consumer = request.path_argument(0);
    let target = format!("history/{consumer}");
    delete_prefixes(
        request,
        ("history.purge", target),
        &[key_prefix(consumer)],
        query.get("cursor"),
    )
    .await
}

/// Store key of a conversation and its digest. The path holds either the session's name or its digest.
fn conversation_key<P: Host>(request: &AdminRequest<'_, P>) -> (String, String) {
    let session = request.path_argument(1);
    let session = if is_digest(session) { session.to_owned() } else { session_digest(session) };
    (key_prefix(request.path_argument(0)) + &session, session)
}
