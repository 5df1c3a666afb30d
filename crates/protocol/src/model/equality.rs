//! Equality of the types that hold raw JSON: equal text is equal.

use super::part::{Citation, PartKind};

impl PartialEq for PartKind<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text { text, citations }, Self::Text { text: text2, citations: citations2 }) => {
                text == text2 && citations == citations2
            }
            (Self::Refusal(text), Self::Refusal(text2)) => text == text2,
            (
                Self::Reasoning { texts, is_redacted },
                Self::Reasoning { texts: texts2, is_redacted: is_redacted2 },
            ) => texts == texts2 && is_redacted == is_redacted2,
            (
                Self::Media { kind, source, name, detail },
                Self::Media { kind: kind2, source: source2, name: name2, detail: detail2 },
            ) => (kind, source, name, detail) == (kind2, source2, name2, detail2),
            (
                Self::ToolCall { id, name, arguments },
                Self::ToolCall { id: id2, name: name2, arguments: arguments2 },
            ) => (id, name, arguments) == (id2, name2, arguments2),
            (
                Self::ToolResult { call_id, parts, is_error },
                Self::ToolResult { call_id: call_id2, parts: parts2, is_error: is_error2 },
            ) => (call_id, parts, is_error) == (call_id2, parts2, is_error2),
            (
                Self::Foreign { protocol, name, raw },
                Self::Foreign { protocol: protocol2, name: name2, raw: raw2 },
            ) => (protocol, name, raw.get()) == (protocol2, name2, raw2.get()),
            _ => false,
        }
    }
}

impl PartialEq for Citation<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Url { url, title, range, quoted },
                Self::Url { url: url2, title: title2, range: range2, quoted: quoted2 },
            ) => (url, title, range, quoted) == (url2, title2, range2, quoted2),
            (Self::Foreign { protocol, raw }, Self::Foreign { protocol: protocol2, raw: raw2 }) => {
                (protocol, raw.get()) == (protocol2, raw2.get())
            }
            _ => false,
        }
    }
}
