//! Reads the events of a passing stream: usage, text, and the end.

use openai::{AnswerSize, ChoiceSet, Chunk, EventSummary, OutputBounds, TextSize, Tokens, Usage};

/// Measurements of a stream so far.
#[derive(Debug, Default)]
pub(crate) struct UsageMeter {
    hides_usage: bool,
    usage: Option<Usage>,
    text: TextSize,
    /// Text since the last report of its tokens.
    unreported: TextSize,
    events: u64,
    has_content: bool,
    choices_seen: ChoiceSet,
    choices_finished: ChoiceSet,
    is_cut: bool,
    is_done: bool,
}

/// Kind of an event, for the code that passes it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventKind {
    /// A comment, a role, an empty delta: it may pass, and does not commit the stream.
    Prelude,
    /// Content for the caller.
    Content,
    /// Not for the caller: usage that it did not request, or an event without data. Readers must
    /// ignore the latter (WHATWG HTML, 9.2.6), but client libraries fail on it.
    Hidden,
    /// `[DONE]`: nothing follows.
    Done,
    /// An error event of the upstream.
    Error,
    /// Not JSON: it must not reach the caller.
    Malformed,
}

impl UsageMeter {
    /// Creates a meter that hides or shows the event that carries nothing but usage.
    pub(crate) fn new(hides_usage: bool) -> Self {
        Self { hides_usage, ..Self::default() }
    }

    /// Whether the caller did not request usage.
    pub(crate) fn hides_usage(&self) -> bool {
        self.hides_usage
    }

    /// Measures one event.
    pub(crate) fn observe(&mut self, event: &EventSummary) -> EventKind {
        let chunk = match event {
            EventSummary::Comment => return EventKind::Prelude,
            EventSummary::Empty => return EventKind::Hidden,
            EventSummary::Done => {
                self.events += 1;
                self.is_done = true;
                return EventKind::Done;
            }
            EventSummary::Error => {
                self.events += 1;
                return EventKind::Error;
            }
            EventSummary::Malformed => {
                self.events += 1;
                return EventKind::Malformed;
            }
            EventSummary::Chunk(chunk) => chunk,
            EventSummary::Last(chunk) => {
                self.observe_chunk(chunk);
                self.has_content = true;
                self.is_done = true;
                return EventKind::Done;
            }
        };
        self.observe_chunk(chunk)
    }

    fn observe_chunk(&mut self, chunk: &Chunk) -> EventKind {
        self.events += 1;
        self.text += chunk.text_size;
        self.unreported += chunk.text_size;
        if let Some(usage) = chunk.usage {
            // Some providers repeatedly report running totals, and others the prompt first and the
            // answer last. A total that stands still does not cover the text beside it.
            let known = self.usage.unwrap_or_default();
            let merged = self.usage.map_or(usage, |known| known.merge(usage));
            let counts = |usage: Usage| usage.output > 0 || usage.total > usage.input;
            let has_grown = (merged.output, merged.total) > (known.output, known.total);
            if counts(usage) && (has_grown || chunk.text_size.is_empty()) {
                self.unreported = TextSize::default();
            }
            self.usage = Some(merged);
        }
        self.choices_seen.insert(chunk.choices);
        self.choices_finished.insert(chunk.finished_choices);
        self.is_cut |= chunk.is_cut;
        if self.hides_usage && chunk.choices.is_empty() && chunk.usage.is_some() {
            EventKind::Hidden
        } else if chunk.has_content || !chunk.finished_choices.is_empty() {
            self.has_content = true;
            EventKind::Content
        } else {
            EventKind::Prelude
        }
    }

    /// Number of events with data. Comments keep a connection alive, but are no progress.
    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    /// Whether there was content: from then on the stream is committed.
    pub(crate) fn has_content(&self) -> bool {
        self.has_content
    }

    /// Whether a choice has ended at its maximum length.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Whether the stream is complete and may end here: every choice that began has ended.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_done
            || (!self.choices_finished.is_empty()
                && self.choices_finished.covers(self.choices_seen))
    }

    /// Whether all choices that began have ended, but no usage covers them yet.
    pub(crate) fn awaits_usage(&self) -> bool {
        let has_ended = !self.choices_finished.is_empty()
            && self.choices_finished.covers(self.choices_seen)
            && !self.is_done;
        has_ended && (self.usage.is_none() || !self.unreported.is_empty())
    }

    /// Tokens of the stream so far: the reported usage, completed by estimates.
    pub(crate) fn tokens(&self, prompt: TextSize, bounds: OutputBounds) -> Tokens {
        let (answer, unreported) = (self.text, self.unreported);
        Tokens::count(self.usage, &AnswerSize { prompt, answer, unreported, bounds })
    }
}

#[cfg(test)]
mod tests {
    use openai::{EventSummary, OutputBounds, TextSize, TokenSource, Tokens, UsageDoubt};

    use super::{EventKind, UsageMeter};

    const ROLE: &str = r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#;
    const TEXT: &str = r#"{"choices":[{"delta":{"content":"Hello you"}}],"usage":null}"#;
    const STOP: &str = r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#;
    const USAGE: &str = r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7}}"#;

    fn tokens(meter: &UsageMeter, prompt: TextSize) -> Tokens {
        meter.tokens(prompt, OutputBounds::default())
    }

    fn observe_all(meter: &mut UsageMeter, data: &[&str]) -> Vec<EventKind> {
        let event = |data: &&str| EventSummary::parse(format!("data: {data}\n\n").as_bytes());
        data.iter().map(|data| meter.observe(&event(data))).collect()
    }

    #[test]
    fn stream_cut_at_its_maximum_length_is_recognized() {
        for (reason, is_cut) in [("length", true), ("stop", false)] {
            let mut meter = UsageMeter::new(true);
            let end = STOP.replace("stop", reason);
            observe_all(&mut meter, &[ROLE, TEXT, &end, "[DONE]"]);
            assert_eq!(meter.is_cut(), is_cut, "{reason}");
        }
    }

    #[test]
    fn complete_stream_is_measured() {
        let mut meter = UsageMeter::new(true);
        let seen = observe_all(&mut meter, &[ROLE, TEXT, STOP, USAGE, "[DONE]"]);
        assert_eq!(
            seen,
            [
                EventKind::Prelude,
                EventKind::Content,
                EventKind::Content,
                EventKind::Hidden,
                EventKind::Done
            ]
        );
        let expected =
            Tokens { input: 5, output: 7, counted: TokenSource::Reported, ..Tokens::default() };
        assert_eq!(tokens(&meter, TextSize::default()), expected);
        assert_eq!(observe_all(&mut UsageMeter::new(false), &[USAGE]), [EventKind::Prelude]);
    }

    #[test]
    fn stream_without_usage_is_estimated_from_text() {
        let mut meter = UsageMeter::new(true);
        observe_all(&mut meter, &[ROLE, TEXT]);
        assert!(!meter.is_complete());
        let expected =
            Tokens { input: 2, output: 3, counted: TokenSource::Estimated, ..Tokens::default() };
        assert_eq!(tokens(&meter, TextSize { narrow: 8, wide: 0 }), expected);
    }

    #[test]
    fn text_after_the_last_usage_is_added() {
        let mut meter = UsageMeter::new(true);
        let early =
            r#"{"choices":[{"delta":{}}],"usage":{"prompt_tokens":5,"completion_tokens":0}}"#;
        observe_all(&mut meter, &[early, TEXT]);
        let doubt = Some(UsageDoubt::Partial);
        let counted = TokenSource::Estimated;
        let expected = Tokens { input: 5, output: 3, counted, doubt, ..Tokens::default() };
        assert_eq!(tokens(&meter, TextSize::default()), expected);
        observe_all(&mut meter, &[STOP, USAGE]);
        let expected =
            Tokens { input: 5, output: 7, counted: TokenSource::Reported, ..Tokens::default() };
        assert_eq!(tokens(&meter, TextSize::default()), expected);
    }

    /// Asserts the tokens of a stream with these reports.
    #[track_caller]
    fn assert_tokens(data: &[&str], expected: (u64, u64, TokenSource)) {
        let mut meter = UsageMeter::new(true);
        observe_all(&mut meter, data);
        let tokens = tokens(&meter, TextSize { narrow: 36, wide: 0 });
        assert_eq!((tokens.input, tokens.output, tokens.counted), expected, "{data:?}");
    }

    #[test]
    fn reports_of_a_stream_are_merged() {
        let usage = |members: &str| format!(r#"{{"choices":[],"usage":{{{members}}}}}"#);
        let zeros = usage(r#""prompt_tokens":0,"completion_tokens":0,"total_tokens":0"#);
        let prompt = usage(r#""prompt_tokens":5"#);
        let answer = usage(r#""completion_tokens":7"#);
        let reported = (5, 7, TokenSource::Reported);
        assert_tokens(&[ROLE, TEXT, STOP, USAGE, &zeros, "[DONE]"], reported);
        assert_tokens(&[&prompt, TEXT, STOP, &answer, "[DONE]"], reported);
        assert_tokens(&[ROLE, TEXT, STOP, USAGE, USAGE, "[DONE]"], reported);
        // Zeros beside text are no report.
        assert_tokens(&[ROLE, TEXT, STOP, &zeros, "[DONE]"], (9, 3, TokenSource::Estimated));
        assert_tokens(&[&prompt, TEXT, STOP, "[DONE]"], (5, 3, TokenSource::Estimated));
        // Running totals, beside the text that they cover.
        let running = |count: u64| {
            format!(
                r#"{{"choices":[{{"delta":{{"content":"Hello you"}}}}],"usage":{{"prompt_tokens":5,"completion_tokens":{count}}}}}"#
            )
        };
        let (one, two) = (running(2), running(4));
        assert_tokens(&[&one, &two, STOP], (5, 4, TokenSource::Reported));
        assert_tokens(&[&one, &two, TEXT], (5, 7, TokenSource::Estimated));
        assert_tokens(&[&one, &one, &one], (5, 7, TokenSource::Estimated));
        let groq = r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"x_groq":{"usage":{"prompt_tokens":5,"completion_tokens":7}}}"#;
        assert_tokens(&[ROLE, TEXT, groq], reported);
        let moonshot = r#"{"choices":[{"delta":{},"finish_reason":"stop","usage":{"prompt_tokens":5,"completion_tokens":7,"cached_tokens":2}}]}"#;
        assert_tokens(&[ROLE, TEXT, moonshot], reported);
    }

    #[test]
    fn usage_is_awaited_after_the_end_of_every_choice() {
        let mut meter = UsageMeter::new(true);
        observe_all(&mut meter, &[ROLE, TEXT]);
        assert!(!meter.awaits_usage());
        observe_all(&mut meter, &[STOP]);
        assert!(meter.awaits_usage());
        observe_all(&mut meter, &[USAGE]);
        assert!(!meter.awaits_usage());
    }

    #[test]
    fn text_of_other_fields_is_counted() {
        let mut meter = UsageMeter::new(true);
        observe_all(
            &mut meter,
            &[r#"{"choices":[{"index":null,"delta":{"content":"Hello you"}}]}"#],
        );
        assert!(tokens(&meter, TextSize::default()).output >= 3);
    }

    #[test]
    fn events_that_must_not_pass_are_classified() {
        let mut meter = UsageMeter::new(true);
        let mut observe = |event: &[u8]| meter.observe(&EventSummary::parse(event));
        assert_eq!(observe(b": ping\n\n"), EventKind::Prelude);
        assert_eq!(observe(b"event: ping\ndata:\n\n"), EventKind::Hidden);
        assert_eq!(observe(b"data: {\"choices\":[{\n\n"), EventKind::Malformed);
        assert_eq!(observe(b"data: {\"error\":{\"message\":\"x\"}}\n\n"), EventKind::Error);
        assert_eq!(observe(b"event: error\ndata: {\"message\":\"x\"}\n\n"), EventKind::Error);
    }

    #[test]
    fn stream_is_complete_when_every_choice_has_ended() {
        let mut meter = UsageMeter::new(true);
        let end = |index| {
            format!(r#"{{"choices":[{{"index":{index},"delta":{{}},"finish_reason":"stop"}}]}}"#)
        };
        observe_all(&mut meter, &[r#"{"choices":[{"index":1,"delta":{"content":"a"}}]}"#, &end(0)]);
        assert!(!meter.is_complete());
        observe_all(&mut meter, &[&end(1)]);
        assert!(meter.is_complete());
    }
}
