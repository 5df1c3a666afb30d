//! Fields that the gateway adds to callers' requests: `stream_options`, so that a stream reports its
//! usage, and the maximum of a hard limit. A provider that refuses one gets the request again
//! without it, and the target is remembered.

use config::Provider;
use openai::{Changes, Endpoint, ErrorReport, OutputField, Request};

use crate::routing::plan::Candidate;

use super::classify::MAX_REPORT_BYTES;

/// Targets of one provider that are remembered. Beyond it, the oldest is forgotten.
const MAX_KNOWN_TARGETS: usize = 64;

/// A field that the gateway adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Addition {
    /// `stream_options.include_usage`.
    Usage,
    /// `max_tokens` or `max_completion_tokens`.
    OutputField,
}

/// Additions that a target does not get: no `stream_options`, and the other name of the maximum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TakenBack {
    usage: bool,
    output_field: bool,
}

/// Additions in the body of one attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SentAdditions {
    usage: bool,
    output_field: Option<OutputField>,
    taken_back: TakenBack,
}

/// Knowledge about the targets of one provider.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownTargets(Vec<KnownTarget>);

#[derive(Clone, Debug)]
struct KnownTarget {
    model: Box<str>,
    /// Whether the target has answered a request with `stream_options` of the gateway.
    accepts_usage: bool,
    /// Whether the target has reported thinking.
    thinks: bool,
    taken_back: TakenBack,
}

impl TakenBack {
    /// Takes back one more addition.
    pub(crate) fn add(&mut self, addition: Addition) {
        match addition {
            Addition::Usage => self.usage = true,
            Addition::OutputField => self.output_field = true,
        }
    }

    /// The additions that either of two takes back.
    pub(crate) fn union(self, other: Self) -> Self {
        Self {
            usage: self.usage || other.usage,
            output_field: self.output_field || other.output_field,
        }
    }
}

/// Changes of the caller's body for a target, and the additions among them.
pub(crate) fn body_changes<'c>(
    candidate: &'c Candidate<'_>,
    (endpoint, fields): (Endpoint, &Request),
    max_output_tokens: Option<u64>,
    taken_back: TakenBack,
) -> (Changes<'c>, SentAdditions) {
    let field = output_field(candidate.provider, endpoint, taken_back.output_field);
    let ask_for_usage = candidate.provider.stream_usage && !taken_back.usage;
    let changes = Changes {
        model: Some(candidate.model),
        ask_for_usage,
        max_output_tokens: max_output_tokens.map(|max| (max, field)),
        extra_messages: None,
    };
    let is_added = max_output_tokens.is_some() && fields.lacks_output_field(field);
    let sent = SentAdditions {
        usage: ask_for_usage && fields.stream && !fields.wants_usage,
        output_field: is_added.then_some(field),
        taken_back,
    };
    (changes, sent)
}

/// Name of the maximum at a provider, or the other one.
fn output_field(provider: &Provider, endpoint: Endpoint, is_other: bool) -> OutputField {
    let field = match endpoint {
        Endpoint::ChatCompletions => provider.output_field,
        Endpoint::Completions | Endpoint::Embeddings => return OutputField::MaxTokens,
    };
    match (field, is_other) {
        (field, false) => field,
        (OutputField::MaxTokens, true) => OutputField::MaxCompletionTokens,
        (OutputField::MaxCompletionTokens, true) => OutputField::MaxTokens,
    }
}

impl SentAdditions {
    /// The addition that a refusal is about, by its words, which may be the caller's own. So the
    /// request is only sent again without the addition; a success then confirms the words.
    pub(crate) fn named_in(self, body: &[u8], report: &ErrorReport) -> Option<Addition> {
        let read = &body[..body.len().min(MAX_REPORT_BYTES)];
        let is_named = |name: &str| memchr::memmem::find(read, name.as_bytes()).is_some();
        if self.usage && (is_named("stream_options") || is_named("include_usage")) {
            return Some(Addition::Usage);
        }
        // Each addition is taken back once.
        let field = self.output_field.filter(|_| !self.taken_back.output_field)?.name();
        let is_at_fault = report.param == field || report.message.contains(field);
        is_at_fault.then_some(Addition::OutputField)
    }

    /// Whether a refusal of the whole request may be about `stream_options`: it names no other field.
    pub(crate) fn may_be_usage(self, report: &ErrorReport) -> bool {
        self.usage && (report.param.is_empty() || report.param.contains("stream"))
    }
}

impl KnownTargets {
    /// Additions that a target does not get.
    pub(crate) fn taken_back(&self, model: &str) -> TakenBack {
        self.get(model).map(|known| known.taken_back).unwrap_or_default()
    }

    /// Whether a target is known to accept `stream_options`.
    pub(crate) fn accepts_usage(&self, model: &str) -> bool {
        self.get(model).is_some_and(|known| known.accepts_usage)
    }

    /// Whether a target has reported thinking.
    pub(crate) fn thinks(&self, model: &str) -> bool {
        self.get(model).is_some_and(|known| known.thinks)
    }

    /// Records that a target has reported thinking.
    pub(crate) fn record_thinking(&mut self, model: &str) {
        if !self.thinks(model) {
            self.get_or_insert(model).thinks = true;
        }
    }

    /// Records that a target has answered a request with these additions.
    pub(crate) fn record_success(&mut self, model: &str, sent: SentAdditions) {
        if sent == SentAdditions::default() {
            return;
        }
        let is_known = |known: &KnownTarget| {
            (known.accepts_usage || !sent.usage)
                && known.taken_back.union(sent.taken_back) == known.taken_back
        };
        if self.get(model).is_some_and(is_known) {
            return;
        }
        let known = self.get_or_insert(model);
        known.accepts_usage |= sent.usage;
        known.taken_back = known.taken_back.union(sent.taken_back);
    }

    fn get(&self, model: &str) -> Option<&KnownTarget> {
        self.0.iter().find(|known| &*known.model == model)
    }

    fn get_or_insert(&mut self, model: &str) -> &mut KnownTarget {
        if let Some(at) = self.0.iter().position(|known| &*known.model == model) {
            return &mut self.0[at];
        }
        if self.0.len() >= MAX_KNOWN_TARGETS {
            self.0.remove(0);
        }
        let taken_back = TakenBack::default();
        let (accepts_usage, thinks) = (false, false);
        self.0.push(KnownTarget { model: model.into(), accepts_usage, thinks, taken_back });
        self.0.last_mut().expect("a target was added")
    }
}

#[cfg(test)]
mod tests {
    use openai::{ErrorReport, OutputField};

    use super::{Addition, KnownTargets, MAX_KNOWN_TARGETS, SentAdditions, TakenBack};

    const USAGE: SentAdditions = SentAdditions {
        usage: true,
        output_field: None,
        taken_back: TakenBack { usage: false, output_field: false },
    };

    #[test]
    fn addition_is_recognized_by_its_name() {
        let none = SentAdditions::default();
        let capped = SentAdditions { output_field: Some(OutputField::MaxTokens), ..none };
        let fastapi = r#"{"detail":[{"loc":["body","stream_options"],"msg":"Extra inputs"}]}"#;
        let text = "Argument not supported on this model: stream_options";
        let field = r#"{"error":{"message":"m","param":"max_tokens"}}"#;
        for (sent, body, expected) in [
            (USAGE, fastapi, Some(Addition::Usage)),
            (USAGE, text, Some(Addition::Usage)),
            (none, text, None),
            (USAGE, field, None),
            (capped, field, Some(Addition::OutputField)),
            (capped, fastapi, None),
        ] {
            let report = ErrorReport::parse(body.as_bytes()).unwrap_or_default();
            assert_eq!(sent.named_in(body.as_bytes(), &report), expected, "{sent:?} {body}");
        }
    }

    #[test]
    fn addition_is_taken_back_once() {
        let body =
            br#"{"error":{"message":"'max_tokens' or 'max_completion_tokens' is too large"}}"#;
        let report = ErrorReport::parse(body).expect("a report");
        let capped = |taken_back| SentAdditions {
            usage: false,
            output_field: Some(OutputField::MaxTokens),
            taken_back,
        };
        let again = TakenBack { usage: false, output_field: true };
        assert_eq!(
            capped(TakenBack::default()).named_in(body, &report),
            Some(Addition::OutputField)
        );
        assert_eq!(capped(again).named_in(body, &report), None);
    }

    #[test]
    fn refusal_that_names_another_field_is_not_about_usage() {
        let report = |param: &str| {
            let body = format!("{{\"error\":{{\"message\":\"m\",\"param\":\"{param}\"}}}}");
            ErrorReport::parse(body.as_bytes()).expect("a report")
        };
        assert!(USAGE.may_be_usage(&report("")) && USAGE.may_be_usage(&report("stream")));
        assert!(!USAGE.may_be_usage(&report("messages")));
        assert!(!SentAdditions::default().may_be_usage(&report("")));
    }

    #[test]
    fn targets_are_remembered_within_bounds() {
        let mut known = KnownTargets::default();
        known.record_success("plain", SentAdditions::default());
        assert!(known.0.is_empty());
        known.record_success("a", USAGE);
        assert!(known.accepts_usage("a") && !known.accepts_usage("b"));
        let taken_back = TakenBack { usage: true, output_field: false };
        known.record_success("c", SentAdditions { taken_back, ..SentAdditions::default() });
        assert_eq!(known.taken_back("c"), taken_back);
        assert_eq!(known.taken_back("a"), TakenBack::default());
        for number in 0..1_000 {
            known.record_success(&number.to_string(), USAGE);
        }
        assert_eq!(known.0.len(), MAX_KNOWN_TARGETS);
        assert!(!known.accepts_usage("a"));
    }
}
