//! Looks at the events of a stream on their way through: usage, text, and how it ends.

use openai::{ChoiceSet, Chunk, Event, Usage, Weight};

use crate::observe::{Counted, Tokens};
use crate::policy::estimate;

/// What has been seen of a stream so far.
#[derive(Debug, Default)]
pub struct Meter {
    hides_usage: bool,
    usage: Option<Usage>,
    /// What has come since the usage that was reported last.
    text: Weight,
    events: u64,
    content: bool,
    seen: ChoiceSet,
    finished: ChoiceSet,
    done: bool,
}

/// What one event means for whoever passes it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// A comment, a role, an empty delta: it may pass, and commits to nothing.
    Prelude,
    /// Something for the caller.
    Content,
    /// Not for the caller: usage that it did not ask for, or an event without data, which readers
    /// are to ignore (WHATWG HTML, 9.2.6) and client libraries stumble over.
    Hidden,
    /// `[DONE]`: nothing follows.
    Done,
    /// The upstream says that it failed.
    Error,
    /// Not JSON: it must not reach the caller.
    Malformed,
}

impl Meter {
    /// A meter that hides the event that carries nothing but usage, or shows it.
    pub fn new(hides_usage: bool) -> Self {
        Self { hides_usage, ..Self::default() }
    }

    /// Looks at one whole event.
    pub fn see(&mut self, event: &[u8]) -> Sight {
        let event = Event::read(event);
        let Some(data) = event.data else { return Sight::Prelude };
        let data = data.trim_ascii();
        if data.is_empty() {
            return Sight::Hidden;
        }
        self.events += 1;
        if data == b"[DONE]" {
            self.done = true;
            return Sight::Done;
        }
        let Some(chunk) = Chunk::read(data) else { return Sight::Malformed };
        if chunk.is_error || event.name == Some(b"error") {
            return Sight::Error;
        }
        // Providers that report as they go report running totals: the last one counts.
        match chunk.usage {
            Some(usage) => (self.usage, self.text) = (Some(usage), Weight::default()),
            None => self.text += chunk.weight,
        }
        self.seen.insert(chunk.seen);
        self.finished.insert(chunk.finished);
        if self.hides_usage && chunk.seen.is_empty() && chunk.usage.is_some() {
            Sight::Hidden
        } else if chunk.has_content || !chunk.finished.is_empty() {
            self.content = true;
            Sight::Content
        } else {
            Sight::Prelude
        }
    }

    /// How many events with data there were. Comments keep a connection alive, but are no progress.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Whether there was anything to show: from then on the stream cannot be taken back.
    pub fn has_content(&self) -> bool {
        self.content
    }

    /// Whether the stream said everything it had to: it may end here. Every choice that began must
    /// have ended.
    pub fn is_complete(&self) -> bool {
        self.done || (!self.finished.is_empty() && self.finished.covers(self.seen))
    }

    /// What the stream has cost so far: what was reported, and what has come since, by estimate.
    pub fn tokens(&self, prompt: Weight) -> Tokens {
        let tokens = Tokens::count(self.usage, prompt, self.text);
        if self.usage.is_none() || self.text.is_empty() {
            return tokens;
        }
        let output = tokens.output.saturating_add(estimate::tokens(self.text));
        Tokens { output, counted: Counted::Estimated, ..tokens }
    }
}

#[cfg(test)]
mod tests {
    use openai::Weight;

    use super::{Meter, Sight};
    use crate::observe::{Counted, Tokens};

    const ROLE: &str = r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#;
    const TEXT: &str = r#"{"choices":[{"delta":{"content":"Hello you"}}],"usage":null}"#;
    const STOP: &str = r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#;
    const USAGE: &str = r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7}}"#;

    fn sights(meter: &mut Meter, data: &[&str]) -> Vec<Sight> {
        data.iter().map(|data| meter.see(format!("data: {data}\n\n").as_bytes())).collect()
    }

    #[test]
    fn a_whole_stream() {
        let mut meter = Meter::new(true);
        let seen = sights(&mut meter, &[ROLE, TEXT, STOP, USAGE, "[DONE]"]);
        assert_eq!(
            seen,
            [Sight::Prelude, Sight::Content, Sight::Content, Sight::Hidden, Sight::Done]
        );
        let expected =
            Tokens { input: 5, output: 7, counted: Counted::Reported, ..Tokens::default() };
        assert_eq!(meter.tokens(Weight::default()), expected);
        assert_eq!(sights(&mut Meter::new(false), &[USAGE]), [Sight::Prelude]);
    }

    #[test]
    fn without_usage_the_text_counts() {
        let mut meter = Meter::new(true);
        sights(&mut meter, &[ROLE, TEXT]);
        assert!(!meter.is_complete());
        let expected =
            Tokens { input: 2, output: 3, counted: Counted::Estimated, ..Tokens::default() };
        assert_eq!(meter.tokens(Weight { narrow: 8, wide: 0 }), expected);
    }

    #[test]
    fn what_came_after_the_last_usage_counts() {
        let mut meter = Meter::new(true);
        let early =
            r#"{"choices":[{"delta":{}}],"usage":{"prompt_tokens":5,"completion_tokens":0}}"#;
        sights(&mut meter, &[early, TEXT]);
        let expected =
            Tokens { input: 5, output: 3, counted: Counted::Estimated, ..Tokens::default() };
        assert_eq!(meter.tokens(Weight::default()), expected);
        sights(&mut meter, &[STOP, USAGE]);
        assert_eq!(meter.tokens(Weight::default()).output, 7);
    }

    #[test]
    fn text_of_another_shape_counts() {
        let mut meter = Meter::new(true);
        sights(&mut meter, &[r#"{"choices":[{"index":null,"delta":{"content":"Hello you"}}]}"#]);
        assert!(meter.tokens(Weight::default()).output >= 3);
    }

    #[test]
    fn what_must_not_pass() {
        let mut meter = Meter::new(true);
        assert_eq!(meter.see(b": ping\n\n"), Sight::Prelude);
        assert_eq!(meter.see(b"event: ping\ndata:\n\n"), Sight::Hidden);
        assert_eq!(meter.see(b"data: {\"choices\":[{\n\n"), Sight::Malformed);
        assert_eq!(meter.see(b"data: {\"error\":{\"message\":\"x\"}}\n\n"), Sight::Error);
        assert_eq!(meter.see(b"event: error\ndata: {\"message\":\"x\"}\n\n"), Sight::Error);
    }

    #[test]
    fn every_choice_must_end() {
        let mut meter = Meter::new(true);
        let end = |index| {
            format!(r#"{{"choices":[{{"index":{index},"delta":{{}},"finish_reason":"stop"}}]}}"#)
        };
        sights(&mut meter, &[r#"{"choices":[{"index":1,"delta":{"content":"a"}}]}"#, &end(0)]);
        assert!(!meter.is_complete());
        sights(&mut meter, &[&end(1)]);
        assert!(meter.is_complete());
    }
}
