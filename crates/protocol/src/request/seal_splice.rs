//! Seals of other makers in a body that goes to a provider of the caller's own protocol.
//!
//! Such a body passes as it is. Only the parts whose seals another maker has made are cut out, and the
//! seals that this maker has made are unwrapped in their place. All other bytes stay.

use std::ops::Range;

use json::{Edits, range_in};
use memchr::memmem;
use serde_json::value::RawValue;

use super::invalid::InvalidRequest;
use super::object::{check_text, list, string};
use crate::model::{Protocol, SealMaker};
use crate::seal::{SEAL_PREFIX, parse_seal};

/// Returns the body for the maker's provider. `None` if it passes as it is.
///
/// Linear in the body. A body without a wrapped seal is searched, and not parsed.
pub fn splice_seals(
    protocol: Protocol,
    body: &[u8],
    maker: Option<&str>,
) -> Result<Option<Vec<u8>>, InvalidRequest> {
    if memmem::find(body, SEAL_PREFIX.as_bytes()).is_none() {
        return Ok(None);
    }
    let text = check_text(body)?;
    let mut splice = Splice { text, protocol, maker, edits: Vec::new() };
    let name = if protocol == Protocol::Responses { "input" } else { "messages" };
    if let Some(elements) = member(text, name).and_then(list) {
        let removed: Vec<bool> = elements.iter().map(|raw| splice.visit_element(raw)).collect();
        splice.remove(&elements, &removed);
    }
    let Splice { mut edits, .. } = splice;
    if edits.is_empty() {
        return Ok(None);
    }
    // A removed element contains the edits of its parts.
    sorting::sort_by_key(&mut edits, |(range, _)| (range.start, std::cmp::Reverse(range.end)));
    let (mut all, mut end) = (Edits::default(), 0);
    for (range, text) in edits {
        if range.start >= end {
            end = range.end;
            all.replace(range, text);
        }
    }
    Ok(Some(all.apply(body)))
}

/// Returns the last member of this name.
fn member<'a>(object: &'a str, name: &str) -> Option<&'a RawValue> {
    let json::Members(members) = json::from_text(object).ok()?;
    members.into_iter().rfind(|(other, _)| other == name).map(|(_, raw)| raw)
}

struct Splice<'a, 'm> {
    text: &'a str,
    protocol: Protocol,
    maker: Option<&'m str>,
    edits: Vec<(Range<usize>, String)>,
}

impl<'a> Splice<'a, '_> {
    /// Visits a message or an item. Returns whether it is removed.
    fn visit_element(&mut self, raw: &'a RawValue) -> bool {
        let element = raw.get();
        match self.protocol {
            Protocol::Responses => {
                is_type(element, &["reasoning"]) && self.visit_seal(element, "encrypted_content")
            }
            Protocol::Messages => {
                let Some(blocks) = member(element, "content").and_then(list) else { return false };
                let removed: Vec<bool> =
                    blocks.iter().map(|block| self.visit_block(block.get())).collect();
                self.remove(&blocks, &removed);
                !removed.is_empty() && removed.iter().all(|is_removed| *is_removed)
            }
            Protocol::Chat => {
                if let Some(details) = member(element, "reasoning_details").and_then(list) {
                    let removed: Vec<bool> =
                        details.iter().map(|detail| self.visit_detail(detail.get())).collect();
                    self.remove(&details, &removed);
                }
                for call in member(element, "tool_calls").and_then(list).unwrap_or_default() {
                    self.visit_call(call.get());
                }
                false
            }
        }
    }

    fn visit_block(&mut self, block: &'a str) -> bool {
        is_type(block, &["thinking"]) && self.visit_seal(block, "signature")
            || is_type(block, &["redacted_thinking"]) && self.visit_seal(block, "data")
    }

    fn visit_detail(&mut self, detail: &'a str) -> bool {
        self.visit_seal(detail, "signature") || self.visit_seal(detail, "data")
    }

    fn visit_call(&mut self, call: &'a str) {
        let Some(extra) = member(call, "extra_content") else { return };
        let Some(google) = member(extra.get(), "google") else { return };
        if self.visit_seal(google.get(), "thought_signature") {
            self.edits.push((range_in(self.text, extra.get()), "{}".to_owned()));
        }
    }

    /// Unwraps the seal of this maker. Returns whether another maker has made it.
    fn visit_seal(&mut self, object: &'a str, name: &str) -> bool {
        let Some(raw) = member(object, name) else { return false };
        let Some(text) = string(raw) else { return false };
        let seal = parse_seal(self.protocol, text);
        let SealMaker::Named(maker) = &seal.maker else { return false };
        if self.maker != Some(maker.as_ref()) {
            return true;
        }
        let bytes = serde_json::to_string(&seal.bytes).expect("a string always serializes");
        self.edits.push((range_in(self.text, raw.get()), bytes));
        false
    }

    /// Removes elements of a list, each with one comma.
    fn remove(&mut self, elements: &[&'a RawValue], removed: &[bool]) {
        let mut start = 0;
        while let Some(offset) = removed[start..].iter().position(|is_removed| *is_removed) {
            let first = start + offset;
            let length = removed[first..].iter().take_while(|is_removed| **is_removed).count();
            let next = first + length;
            let range = |index: usize| range_in(self.text, elements[index].get());
            let cut = match elements.get(next) {
                Some(_) => range(first).start..range(next).start,
                None if first > 0 => range(first - 1).end..range(next - 1).end,
                None => range(first).start..range(next - 1).end,
            };
            self.edits.push((cut, String::new()));
            start = next;
        }
    }
}

fn is_type(object: &str, names: &[&str]) -> bool {
    let found = member(object, "type").and_then(string);
    found.is_some_and(|found| names.contains(&found.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::splice_seals;
    use crate::model::Protocol::{self, Chat, Messages, Responses};
    use crate::seal::wrap_seal;

    #[track_caller]
    fn assert_spliced(protocol: Protocol, body: &str, expected: Option<&str>) {
        let body = body.replace("OTHER", &wrap_seal("gemini-1", "abc"));
        let body = body.replace("OWN", &wrap_seal("me-1", "x\"y"));
        let found = splice_seals(protocol, body.as_bytes(), Some("me-1")).expect("it is valid");
        let found = found.map(|bytes| String::from_utf8(bytes).expect("text"));
        assert_eq!(found.as_deref(), expected, "{body}");
    }

    #[test]
    fn body_without_wrapped_seals_passes() {
        assert_spliced(Messages, r#"{"messages":[{"content":"see sr1.x"}]}"#, None);
        assert_spliced(Messages, "no JSON", None);
        let broken = splice_seals(Chat, b"sr1.{", None).expect("nothing to splice");
        assert_eq!(broken, None);
    }

    // Golden case 4.
    #[test]
    fn thinking_of_another_maker_is_cut_out() {
        assert_spliced(
            Messages,
            r#"{ "messages" : [ {"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"OTHER"} , {"type":"text","text":"\u00e9 1.0"}]} ] }"#,
            Some(
                r#"{ "messages" : [ {"role":"assistant","content":[{"type":"text","text":"\u00e9 1.0"}]} ] }"#,
            ),
        );
        assert_spliced(
            Messages,
            r#"{"messages":[1, {"content":[{"type":"redacted_thinking","data":"OTHER"},{"type":"thinking","signature":"OTHER"}]} , {"content":[{"type":"text"}, {"type":"thinking","signature":"OTHER"} ]}]}"#,
            Some(r#"{"messages":[1, {"content":[{"type":"text"} ]}]}"#),
        );
    }

    #[test]
    fn seal_of_this_maker_is_unwrapped() {
        assert_spliced(
            Messages,
            r#"{"messages":[{"content":[{"type":"thinking","signature": "OWN"}]}]}"#,
            Some(r#"{"messages":[{"content":[{"type":"thinking","signature": "x\"y"}]}]}"#),
        );
        assert_spliced(
            Responses,
            r#"{"input":[{"type":"reasoning","encrypted_content":"OTHER"},{"type":"reasoning","encrypted_content":"OWN"},{"type":"reasoning","encrypted_content":"gAAA"}]}"#,
            Some(
                r#"{"input":[{"type":"reasoning","encrypted_content":"x\"y"},{"type":"reasoning","encrypted_content":"gAAA"}]}"#,
            ),
        );
        assert_spliced(
            Chat,
            r#"{"messages":[{"reasoning_details":[{"data":"OTHER"},{"signature":"OWN"}],"tool_calls":[{"extra_content":{"google":{"thought_signature":"OTHER"}},"id":"a"}]}]}"#,
            Some(
                r#"{"messages":[{"reasoning_details":[{"signature":"x\"y"}],"tool_calls":[{"extra_content":{},"id":"a"}]}]}"#,
            ),
        );
    }
}
