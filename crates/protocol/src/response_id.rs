//! Ids of responses that a provider of Responses stores: their places in requests, answers, and events.

use json::{Edits, range_in};
use serde_json::value::RawValue;

use crate::members::{pick, pick_in, text};

/// References of a request to what a provider stores.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredReferences {
    /// `previous_response_id`.
    pub previous_response: Option<String>,
    /// Whether the request names a `conversation`.
    pub has_conversation: bool,
    /// Whether the provider is to answer without a caller who waits (`background`).
    pub is_background: bool,
    /// Whether the provider stores the answer, as it does unless `store` is false.
    pub is_stored: bool,
}

impl StoredReferences {
    /// Reads the body of a request of Responses. Another body has no references.
    pub fn parse(body: &str) -> Self {
        let picked = pick(body, ["previous_response_id", "conversation", "background", "store"]);
        let Some([previous, conversation, background, store]) = picked else {
            return Self::default();
        };
        Self {
            previous_response: text(previous).map(|id| id.into_owned()),
            has_conversation: conversation.is_some(),
            is_background: background.is_some_and(|background| background.get() != "false"),
            is_stored: store.is_none_or(|store| store.get() != "false"),
        }
    }
}

/// Returns an answer of Responses with other ids of responses. `None` if it has none.
pub fn edit_answer_ids(body: &str, edit: &dyn Fn(&str) -> String) -> Option<String> {
    let mut edits = Edits::default();
    edit_members(body, pick(body, NAMES)?, edit, &mut edits);
    (!edits.is_empty()).then(|| edits.apply_to_text(body))
}

/// Returns the data of an event of Responses with other ids of responses. `None` if it has none.
pub fn edit_event_ids(data: &str, edit: &dyn Fn(&str) -> String) -> Option<String> {
    let [response] = pick(data, ["response"])?;
    let mut edits = Edits::default();
    edit_members(data, pick_in(response, NAMES), edit, &mut edits);
    (!edits.is_empty()).then(|| edits.apply_to_text(data))
}

/// Members of a response that hold ids of responses.
const NAMES: [&str; 2] = ["id", "previous_response_id"];

fn edit_members(
    whole: &str,
    members: [Option<&RawValue>; 2],
    edit: &dyn Fn(&str) -> String,
    edits: &mut Edits<'_>,
) {
    for member in members.into_iter().flatten() {
        let Some(id) = text(Some(member)) else { continue };
        let id = serde_json::to_string(&edit(&id)).expect("a string always serializes");
        edits.replace(range_in(whole, member.get()), id);
    }
}

#[cfg(test)]
mod tests {
    use super::{StoredReferences, edit_answer_ids, edit_event_ids};

    #[test]
    fn references_of_a_request_are_read() {
        let found = StoredReferences::parse(r#"{"previous_response_id":"resp_1","store":false}"#);
        let expected = StoredReferences {
            previous_response: Some("resp_1".to_owned()),
            has_conversation: false,
            is_background: false,
            is_stored: false,
        };
        assert_eq!(found, expected);
        assert!(StoredReferences::parse(r#"{"conversation":"c"}"#).has_conversation);
        assert!(StoredReferences::parse(r#"{"previous_response_id":null}"#).is_stored);
        assert_eq!(StoredReferences::parse("[]"), StoredReferences::default());
    }

    #[test]
    fn only_ids_of_responses_are_edited() {
        let edit = |id: &str| format!("{id}\"x");
        let body = r#"{ "id" : "resp_1", "output":[{"id":"msg_1"}],"previous_response_id":null}"#;
        let expected =
            r#"{ "id" : "resp_1\"x", "output":[{"id":"msg_1"}],"previous_response_id":null}"#;
        assert_eq!(edit_answer_ids(body, &edit).as_deref(), Some(expected));
        let data =
            r#"{"type":"response.created","response":{"previous_response_id":"a","id":"b"}}"#;
        let expected =
            r#"{"type":"response.created","response":{"previous_response_id":"a\"x","id":"b\"x"}}"#;
        assert_eq!(edit_event_ids(data, &edit).as_deref(), Some(expected));
        assert_eq!(edit_event_ids(r#"{"type":"x","id":"a"}"#, &edit), None);
        assert_eq!(edit_answer_ids("[]", &edit), None);
    }
}
