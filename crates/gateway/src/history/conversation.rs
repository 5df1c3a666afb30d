//! Stored conversations: detection of a lone question, the earlier turns before it, and their
//! limits.
//!
//! Pure: `load` reads and writes the store.

use std::ops::Range;

use civil_time::Timestamp;
use serde::de::{Deserializer as _, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::cache::key_part;

const CONVERSATION_VERSION: u8 = 1;

/// The last turns of a conversation, the oldest first.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Conversation {
    v: u8,
    turns: Vec<Turn>,
}

/// A question and its answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Turn {
    /// Time of the answer.
    pub at: Timestamp,
    /// The message as received.
    pub question: Box<RawValue>,
    pub answer: String,
}

/// Limits of a stored conversation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConversationLimits {
    pub turns: usize,
    /// Total size of questions and answers.
    pub bytes: usize,
}

impl Turn {
    fn bytes(&self) -> usize {
        self.question.get().len() + self.answer.len()
    }
}

impl Default for Conversation {
    fn default() -> Self {
        Self { v: CONVERSATION_VERSION, turns: Vec::new() }
    }
}

impl Conversation {
    /// Reads a stored conversation; a corrupt one is empty.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        json::from_bytes::<Self>(bytes)
            .ok()
            .filter(|conversation| conversation.v == CONVERSATION_VERSION)
            .unwrap_or_default()
    }

    /// Bytes in the store.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("turns have only plain members")
    }

    pub(crate) fn turns(&self) -> &[Turn] {
        &self.turns
    }

    /// Time of the last turn.
    pub(crate) fn last_turn_at(&self) -> Timestamp {
        self.turns.last().map(|turn| turn.at).unwrap_or_default()
    }

    pub(crate) fn add_turn(&mut self, turn: Turn, limits: ConversationLimits) {
        self.turns.push(turn);
        self.trim_to(limits);
    }

    /// Removes the oldest turns until the rest is within the limits.
    pub(crate) fn trim_to(&mut self, limits: ConversationLimits) {
        let mut bytes: usize = self.turns.iter().map(Turn::bytes).sum();
        while self.turns.len() > limits.turns || bytes > limits.bytes {
            bytes -= self.turns.remove(0).bytes();
        }
    }

    /// The turns as messages, each followed by a comma.
    pub(crate) fn messages(&self) -> String {
        let mut messages = String::new();
        for turn in &self.turns {
            let answer = serde_json::to_string(&turn.answer).expect("a string always serializes");
            messages.push_str(turn.question.get());
            messages.push_str(r#",{"role":"assistant","content":"#);
            messages.push_str(&answer);
            messages.push_str("},");
        }
        messages
    }
}

/// The only question among messages: a user's message after nothing but instructions, and at the
/// end. `None` if the caller sends a conversation of its own.
pub(crate) fn find_lone_question(messages: &str) -> Option<Range<usize>> {
    let messages_of = serde_json::Deserializer::from_str(messages).deserialize_seq(LoneQuestion);
    messages_of.ok()?.map(|question| json::range_in(messages, question.get()))
}

/// Reads messages up to the first one that is no instruction. Returns it if it is a question and the
/// last message.
struct LoneQuestion;

impl<'de> Visitor<'de> for LoneQuestion {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("messages")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        #[derive(Deserialize)]
        struct Message {
            role: String,
        }
        while let Some(message) = items.next_element::<&'de RawValue>()? {
            let role = json::from_text::<Message>(message.get()).map_err(A::Error::custom)?.role;
            if matches!(role.as_str(), "system" | "developer") {
                continue;
            }
            let is_last = items.next_element::<IgnoredAny>()?.is_none();
            while items.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(Some(message).filter(|_| is_last && role == "user"));
        }
        Ok(None)
    }
}

/// Prefix of the keys of a consumer's conversations.
pub(crate) fn key_prefix(consumer: &str) -> String {
    format!("history/{}/", key_part(consumer))
}

/// Digest of a session's name for the store: the name may be a secret of the caller.
pub(crate) fn session_digest(session: &str) -> String {
    base16ct::lower::encode_string(&Sha256::digest(session.as_bytes()))
}

/// Whether a text has the form of such a digest.
pub(crate) fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use civil_time::Timestamp;
    use serde_json::value::RawValue;

    use super::{
        Conversation, ConversationLimits, Turn, find_lone_question, is_digest, session_digest,
    };

    #[track_caller]
    fn assert_lone_question(messages: &str, expected: Option<&str>) {
        let found = find_lone_question(messages).map(|at| &messages[at]);
        assert_eq!(found, expected, "{messages}");
    }

    #[test]
    fn lone_question_is_found() {
        let user = r#"{"role":"user","content":"Hi"}"#;
        let system = r#"{"content":[],"role":"system"}"#;
        assert_lone_question(&format!("[{user}]"), Some(user));
        assert_lone_question(
            &format!(" [ {system} ,{{\"role\":\"developer\"}},\n{user} ]"),
            Some(user),
        );
        for other in ["assistant", "user", "tool", "function", "System", ""] {
            assert_lone_question(&format!("[{{\"role\":\"{other}\"}},{user}]"), None);
        }
        assert_lone_question(&format!("[{user},{system}]"), None);
        assert_lone_question(&format!("[{system}]"), None);
        for odd in [
            "[]",
            "{}",
            "[1]",
            "[[]]",
            "[{}]",
            "[{\"role\":null}]",
            "[{\"role\":\"user\",\"role\":\"user\"}]",
            "[",
        ] {
            assert_lone_question(odd, None);
        }
    }

    fn turn(number: u64, answer: &str) -> Turn {
        let question = RawValue::from_string(format!("{{\"n\":{number}}}")).expect("JSON");
        Turn { at: Timestamp::from_millis(number), question, answer: answer.to_owned() }
    }

    #[test]
    fn oldest_turns_are_removed() {
        let mut conversation = Conversation::default();
        let limits = ConversationLimits { turns: 2, bytes: 1_000 };
        (1..=3).for_each(|number| conversation.add_turn(turn(number, "a \"quoted\"\n"), limits));
        assert_eq!(
            conversation.messages(),
            concat!(
                r#"{"n":2},{"role":"assistant","content":"a \"quoted\"\n"},"#,
                r#"{"n":3},{"role":"assistant","content":"a \"quoted\"\n"},"#
            )
        );
        conversation.add_turn(turn(4, &"x".repeat(990)), limits);
        assert_eq!((conversation.turns().len(), conversation.last_turn_at().as_millis()), (1, 4));
        conversation.add_turn(turn(5, &"x".repeat(1_000)), limits);
        assert!(conversation.turns().is_empty(), "what is too long by itself is not kept");
    }

    #[test]
    fn stored_conversation_parses_back_and_corrupt_one_is_empty() {
        let mut conversation = Conversation::default();
        conversation.add_turn(turn(1, "a"), ConversationLimits { turns: 9, bytes: 99 });
        let bytes = conversation.to_bytes();
        assert_eq!(Conversation::parse(&bytes).messages(), conversation.messages());
        for end in 0..bytes.len() {
            assert!(Conversation::parse(&bytes[..end]).turns().is_empty());
        }
        let other = String::from_utf8(bytes).expect("text").replace("\"v\":1", "\"v\":2");
        assert!(Conversation::parse(other.as_bytes()).turns().is_empty());
    }

    #[test]
    fn session_digest_is_a_digest() {
        assert!(is_digest(&session_digest("a")) && session_digest("a") != session_digest("b"));
        assert!(!is_digest("a") && !is_digest(&"g".repeat(64)));
    }
}
