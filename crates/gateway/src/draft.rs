//! What a stream of plain text has said so far, and another stream that goes on from there, made to look
//! like the first one's rest.
//!
//! Neither knows why the first one ended, nor who goes on.

use std::fmt;

use bytes::{Bytes, BytesMut};
use openai::{Delta, Event, Framer};

use crate::policy::seam::Seam;

/// The longest text that is kept, in bytes: nobody is asked to go on from a longer one.
const LONGEST: usize = 1 << 20;

/// The text of a stream so far.
#[derive(Default)]
pub struct Draft {
    text: String,
    /// The first id that the stream had, as JSON.
    id: Option<String>,
    is_spoilt: bool,
}

impl Draft {
    /// Takes an event that is shown to the caller.
    pub fn see(&mut self, event: &[u8]) {
        if self.is_spoilt {
            return;
        }
        let Some(data) = Event::read(event).data else { return };
        let Some(delta) = Delta::read(&data) else {
            self.is_spoilt = true;
            return;
        };
        if self.id.is_none() {
            self.id = delta.id.map(str::to_owned);
        }
        self.text.push_str(&delta.text);
        self.is_spoilt = !delta.is_plain || self.text.len() > LONGEST;
    }

    /// What was said, where it is plain text and not at its end.
    pub fn text(&self) -> Option<&str> {
        Some(&*self.text).filter(|text| !self.is_spoilt && !text.is_empty())
    }
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft").field("length", &self.text.len()).finish_non_exhaustive()
    }
}

/// Turns the events of a stream that goes on for another into the rest of that one: its id, no second
/// beginning, no repetition.
pub struct Sequel {
    seam: Seam,
    id: Option<String>,
    /// The data of the last event whose text is held back.
    held: Option<Vec<u8>>,
    has_spoken: bool,
}

impl Sequel {
    /// What goes on behind a draft.
    pub fn to(draft: &Draft) -> Self {
        let seam = Seam::behind(&draft.text);
        Self { seam, id: draft.id.clone(), held: None, has_spoken: false }
    }

    /// Takes whole events and gives back what is to be shown in their place.
    pub fn pass(&mut self, events: Bytes) -> Bytes {
        let mut out = BytesMut::new();
        let mut framer = Framer::new(usize::MAX);
        if framer.push(events).is_err() {
            return Bytes::new();
        }
        while let Some(event) = framer.next_event() {
            self.see(framer.bytes(event), &mut out);
        }
        // A border that the next piece would have confirmed.
        self.see(framer.unfinished(), &mut out);
        out.freeze()
    }

    fn see(&mut self, event: &[u8], out: &mut BytesMut) {
        let read = Event::read(event);
        let Some(data) = read.data else {
            // The comments of a beginning are part of it.
            if self.has_spoken && !event.is_empty() {
                out.extend_from_slice(event);
            }
            return;
        };
        let Some(delta) = Delta::read(&data).filter(|_| read.name.is_none()) else {
            self.flush(out);
            out.extend_from_slice(event);
            return;
        };
        let is_over = !delta.is_plain || delta.is_general;
        if is_over && delta.text.is_empty() {
            self.flush(out);
        }
        let mut text = self.seam.take(&delta.text);
        if is_over {
            text += &self.seam.finish();
        }
        if is_over || !text.is_empty() {
            self.has_spoken = true;
            self.held = None;
            write(&delta.rewrite(self.id.as_deref(), &text), out);
        } else if self.seam.holds() && !delta.text.is_empty() {
            self.held = Some(data.into_owned());
        }
    }

    /// Shows what is held back and no repetition.
    fn flush(&mut self, out: &mut BytesMut) {
        let Some(held) = self.held.take() else { return };
        let text = self.seam.finish();
        if let Some(delta) = Delta::read(&held).filter(|_| !text.is_empty()) {
            self.has_spoken = true;
            write(&delta.rewrite(self.id.as_deref(), &text), out);
        }
    }
}

impl fmt::Debug for Sequel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sequel").field("has_spoken", &self.has_spoken).finish_non_exhaustive()
    }
}

fn write(data: &str, out: &mut BytesMut) {
    // Data of several lines is JSON with line breaks between its parts, which no string holds.
    for line in data.lines() {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line.as_bytes());
        out.extend_from_slice(b"\n");
    }
    out.extend_from_slice(b"\n");
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Draft, Sequel};

    fn chunk(id: &str, delta: &str, more: &str) -> String {
        format!(
            "data: {{\"id\":\"{id}\",\"choices\":[{{\"index\":0,\"delta\":{delta}{more}}}]}}\n\n"
        )
    }

    fn draft(events: &[String]) -> Draft {
        let mut draft = Draft::default();
        events.iter().for_each(|event| draft.see(event.as_bytes()));
        draft
    }

    const SAID: &str = r#"{"content":"Once upon a time there was"}"#;
    const ROLE: &str = r#"{"role":"assistant","content":""}"#;

    #[test]
    fn only_plain_text_that_has_begun_can_go_on() {
        let (role, said) = (chunk("a", ROLE, ""), chunk("a", SAID, ""));
        assert_eq!(draft(std::slice::from_ref(&role)).text(), None);
        let both = [role, ": ping\n\n".to_owned(), said];
        assert_eq!(draft(&both).text(), Some("Once upon a time there was"));
        for spoiling in [
            chunk("a", r#"{"tool_calls":[{"index":0}]}"#, ""),
            chunk("a", r#"{"reasoning_content":"so"}"#, ""),
            chunk("a", "{}", r#","finish_reason":"stop""#),
            chunk("a", r#"{"content":"x"}"#, r#","logprobs":{"content":[]}"#),
            "data: [1]\n\n".to_owned(),
        ] {
            assert_eq!(draft(&[&both[..], &[spoiling]].concat()).text(), None);
        }
    }

    #[track_caller]
    fn check(events: &[String], expected: &[String]) {
        let said = draft(&[chunk("a", SAID, "")]);
        let all = events.concat();
        let whole = Sequel::to(&said).pass(Bytes::from(all));
        assert_eq!(String::from_utf8_lossy(&whole), expected.concat());
        let mut sequel = Sequel::to(&said);
        let each = events.iter().flat_map(|event| sequel.pass(Bytes::from(event.clone())));
        assert_eq!(each.collect::<Vec<u8>>(), whole);
    }

    #[test]
    fn what_goes_on_has_no_second_beginning() {
        let done = "data: [DONE]\n\n".to_owned();
        let stop = |id| chunk(id, "{}", r#","finish_reason":"stop""#);
        let usage = |id| format!("data: {{\"id\":\"{id}\",\"choices\":[],\"usage\":{{}}}}\n\n");
        check(
            &[
                ": hello\n\n".to_owned(),
                chunk("b", ROLE, ""),
                chunk("b", r#"{"role":"assistant","content":" a king"}"#, ""),
                ": ping\n\n".to_owned(),
                stop("b"),
                usage("b"),
                done.clone(),
            ],
            &[
                chunk("a", r#"{"content":" a king"}"#, ""),
                ": ping\n\n".to_owned(),
                stop("a"),
                usage("a"),
                done,
            ],
        );
        check(
            &[
                chunk("b", r#"{"content":"upon a time"}"#, ""),
                chunk("b", r#"{"content":" there was a"}"#, ""),
                chunk("b", r#"{"content":" king"}"#, ""),
                stop("b"),
            ],
            &[
                chunk("a", r#"{"content":" a"}"#, ""),
                chunk("a", r#"{"content":" king"}"#, ""),
                stop("a"),
            ],
        );
    }

    #[test]
    fn what_was_held_back_is_shown_before_the_end() {
        let held = chunk("b", r#"{"content":"upon a time"}"#, "");
        let shown = chunk("a", r#"{"content":"upon a time"}"#, "");
        let stop = chunk("b", "{}", r#","finish_reason":"stop""#);
        check(&[held.clone(), stop.clone()], &[shown.clone(), stop.replace("\"b\"", "\"a\"")]);
        let done = "data: [DONE]\n\n".to_owned();
        check(&[held.clone(), done.clone()], &[shown, done]);
        let last = chunk("b", r#"{"content":" there"}"#, r#","finish_reason":"stop""#);
        let joined = chunk("a", r#"{"content":"upon a time there"}"#, r#","finish_reason":"stop""#);
        check(&[held, last], &[joined]);
    }
}
