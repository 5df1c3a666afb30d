//! Request body: the fields that steer the gateway, and their ranges in the bytes.
//!
//! One pass validates that the body is JSON. It is never serialized again: changes are spliced into
//! the original bytes.

use std::borrow::Cow;
use std::ops::Range;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::Endpoint;
use crate::invalid::Invalid;
use crate::steering_fields::{SteeringFields, StreamOptions};

/// Validated request body: the fields that steer the gateway, and the ranges of those that may have
/// to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub model: String,
    /// Whether the caller asks for a stream.
    pub stream: bool,
    /// Whether the caller asks for the usage of a stream.
    pub wants_usage: bool,
    /// `user`, if it is a string.
    pub user: Option<String>,
    /// Range of the prompt.
    pub content: Range<usize>,
    /// Ranges of other text that the model reads: tools, a schema, a suffix.
    pub extra_prompt: Vec<Range<usize>>,
    /// Limit on the length of the answer.
    pub output: OutputLimit,
    body_start: usize,
    model_range: Range<usize>,
    usage_option: UsageOption,
}

/// Limit on the length of an answer, as the request states it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutputLimit {
    /// Maximum number of tokens for each choice, if the request names a number.
    pub max_per_choice: Option<u64>,
    /// Number of choices, at least 1: the larger of `n` and `best_of`, times the number of a
    /// completion's prompts.
    pub choices: u64,
    max_tokens: Option<Range<usize>>,
    max_completion_tokens: Option<Range<usize>>,
}

/// Changes to a request for a target. The default changes nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Changes<'a> {
    /// Name of the model at the provider.
    pub model: Option<&'a str>,
    /// Whether a stream must end with its usage.
    pub ask_for_usage: bool,
    /// Maximum number of tokens for each choice, and the field to add if the request has none.
    pub max_output_tokens: Option<(u64, OutputField)>,
    /// Messages to append to a chat: JSON objects separated by commas.
    pub extra_messages: Option<&'a str>,
}

/// Field by which an upstream accepts the maximum number of tokens of a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputField {
    /// `max_tokens`: deprecated by OpenAI and accepted by all other providers.
    MaxTokens,
    /// `max_completion_tokens`, the only one that OpenAI's reasoning models accept.
    MaxCompletionTokens,
}

impl OutputField {
    fn name(self) -> &'static str {
        match self {
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
        }
    }
}

/// State of `stream_options.include_usage`, with the place of an edit.
#[derive(Clone, Debug, PartialEq, Eq)]
enum UsageOption {
    /// No `stream_options`: a member is inserted here, before the others.
    Absent(usize),
    /// `stream_options` is null: its value is replaced.
    Null(Range<usize>),
    /// Object without the member: it is inserted here, followed by a comma if other members follow.
    Silent { at: usize, comma: bool },
    /// Range of the member's value.
    Stated(Range<usize>),
}

impl Request {
    /// Parses a body in one pass. Only the model's name and the user are copied.
    pub fn parse(endpoint: Endpoint, body: &[u8]) -> Result<Self, Invalid> {
        let text =
            std::str::from_utf8(body).map_err(|error| Invalid::NotJson(error.to_string()))?;
        let opening = text.len() - text.trim_start().len();
        if text.as_bytes().get(opening) != Some(&b'{') {
            return Err(match serde_json::from_str::<IgnoredAny>(text) {
                Ok(_) => Invalid::NotAnObject,
                Err(error) => Invalid::NotJson(error.to_string()),
            });
        }
        let fields: SteeringFields<'_> =
            serde_json::from_str(text).map_err(|error| Invalid::NotJson(error.to_string()))?;
        if let Some(invalid) = fields.invalid {
            return Err(invalid);
        }
        let place = |raw: &RawValue| {
            let start = raw.get().as_ptr() as usize - text.as_ptr() as usize;
            start..start + raw.get().len()
        };

        let model_raw = require_field(fields.model, "model")?;
        let expected =
            "a string of 1 to 256 bytes that is not a path and has no control characters";
        let model = parse_string(model_raw).filter(|name| is_model_name(name));
        let model = model.ok_or(Invalid::Wrong { param: "model", expected })?.into_owned();
        let content = require_field(fields.content(endpoint), endpoint.content_field())?;
        let (first, expected): (&[u8], _) = match endpoint {
            Endpoint::ChatCompletions => (b"[", "an array of messages"),
            Endpoint::Completions | Endpoint::Embeddings => (b"[\"", "a string or an array"),
        };
        if !content.get().bytes().next().is_some_and(|byte| first.contains(&byte)) {
            return Err(Invalid::Wrong { param: endpoint.content_field(), expected });
        }
        let stream = match fields.stream.map(RawValue::get) {
            None | Some("null" | "false") => false,
            Some("true") => true,
            Some(_) => return Err(Invalid::Wrong { param: "stream", expected: "a boolean" }),
        };
        let (usage_option, wants_usage) = match fields.stream_options {
            None => (UsageOption::Absent(opening + 1), false),
            Some(options) if options.get() == "null" => (UsageOption::Null(place(options)), false),
            Some(options) => {
                let wrong = Invalid::Wrong { param: "stream_options", expected: "an object" };
                let members: StreamOptions<'_> =
                    serde_json::from_str(options.get()).map_err(|_| wrong)?;
                if members.is_duplicate {
                    return Err(Invalid::Twice("stream_options.include_usage"));
                }
                let at = place(options).start + 1;
                match members.include_usage {
                    None => (UsageOption::Silent { at, comma: !members.empty }, false),
                    Some(value) => (UsageOption::Stated(place(value)), value.get() == "true"),
                }
            }
        };
        let most = [fields.max_tokens, fields.max_completion_tokens];
        let choices = [fields.n, fields.best_of].into_iter().flatten().filter_map(parse_number);
        let prompts = if endpoint == Endpoint::Completions { count_prompts(content) } else { 1 };
        let output = OutputLimit {
            max_per_choice: most.into_iter().flatten().filter_map(parse_number).max(),
            choices: choices.max().unwrap_or(1).max(1).saturating_mul(prompts),
            max_tokens: fields.max_tokens.map(place),
            max_completion_tokens: fields.max_completion_tokens.map(place),
        };
        Ok(Self {
            output,
            body_start: opening + 1,
            model,
            stream: stream && endpoint != Endpoint::Embeddings,
            wants_usage,
            user: fields.user.and_then(parse_string).map(Cow::into_owned),
            content: place(content),
            extra_prompt: fields.extra_prompt().map(place).collect(),
            model_range: place(model_raw),
            usage_option,
        })
    }

    /// Returns the body with the changes. `None` if nothing changes.
    pub fn rewrite(&self, body: &[u8], changes: Changes<'_>) -> Option<Vec<u8>> {
        let mut edits: Vec<Edit<'_>> = Vec::new();
        if let Some(name) = changes.model.filter(|name| *name != self.model) {
            let name = serde_json::to_string(name).expect("a string always serialises");
            insert_edit(&mut edits, self.model_range.clone(), Cow::Owned(name));
        }
        if changes.ask_for_usage && self.stream && !self.wants_usage {
            let (place, text) = match &self.usage_option {
                UsageOption::Absent(at) => {
                    (*at..*at, r#""stream_options":{"include_usage":true},"#)
                }
                UsageOption::Null(place) => (place.clone(), r#"{"include_usage":true}"#),
                UsageOption::Silent { at, comma: true } => (*at..*at, r#""include_usage":true,"#),
                UsageOption::Silent { at, comma: false } => (*at..*at, r#""include_usage":true"#),
                UsageOption::Stated(place) => (place.clone(), "true"),
            };
            insert_edit(&mut edits, place, Cow::Borrowed(text));
        }
        if let Some((max, field)) = changes.max_output_tokens {
            self.cap_output(body, max, field, &mut edits);
        }
        if let Some(more) = changes.extra_messages {
            let inside = self.content.start + 1..self.content.end - 1;
            let comma = if body[inside.clone()].trim_ascii().is_empty() { "" } else { "," };
            insert_edit(&mut edits, inside.end..inside.end, Cow::Owned([comma, more].concat()));
        }
        (!edits.is_empty()).then(|| {
            let extra: usize = edits.iter().map(|(_, text)| text.len()).sum();
            let mut out = Vec::with_capacity(body.len() + extra);
            let mut at = 0;
            for (place, text) in &edits {
                out.extend_from_slice(&body[at..place.start]);
                out.extend_from_slice(text.as_bytes());
                at = place.end;
            }
            out.extend_from_slice(&body[at..]);
            out
        })
    }

    /// Lowers every maximum that is above `limit` or is not a number. Inserts the upstream's field
    /// if the request has no field that the upstream respects. Upstreams of `max_tokens` may ignore
    /// the newer name. Upstreams of the newer name accept the older one too, but not both at once.
    fn cap_output<'a>(&self, body: &[u8], max: u64, field: OutputField, edits: &mut Vec<Edit<'a>>) {
        let OutputLimit { max_tokens, max_completion_tokens, max_per_choice: asked, .. } =
            &self.output;
        let is_minded = max_tokens.is_some()
            || (max_completion_tokens.is_some() && field == OutputField::MaxCompletionTokens);
        if !is_minded {
            let max = asked.map_or(max, |asked| asked.min(max));
            let member = format!("\"{}\":{max},", field.name());
            insert_edit(edits, self.body_start..self.body_start, Cow::Owned(member));
        }
        for place in [max_tokens, max_completion_tokens].into_iter().flatten() {
            let number = str::from_utf8(&body[place.clone()]).map(str::parse::<u64>);
            if !matches!(number, Ok(Ok(number)) if number <= max) {
                insert_edit(edits, place.clone(), Cow::Owned(max.to_string()));
            }
        }
    }
}

type Edit<'a> = (Range<usize>, Cow<'a, str>);

/// Inserts an edit before those of later ranges: there are few, and a sort costs kilobytes of code.
fn insert_edit<'a>(edits: &mut Vec<Edit<'a>>, place: Range<usize>, text: Cow<'a, str>) {
    let at = edits.partition_point(|(other, _)| other.start <= place.start);
    edits.insert(at, (place, text));
}

/// Whether a model name is valid. It is echoed, logged, and put into URLs, so it is bounded and
/// must not be a relative path.
fn is_model_name(name: &str) -> bool {
    (1..=256).contains(&name.len())
        && name != "."
        && name != ".."
        && !name.contains(char::is_control)
}

fn require_field<'a>(
    field: Option<&'a RawValue>,
    name: &'static str,
) -> Result<&'a RawValue, Invalid> {
    field.ok_or(Invalid::Missing(name))
}

/// Parses a number and rounds it up. Quoted numbers count, since some upstreams take `"5"` and
/// `5.0` for 5. Everything else is `None`, and the upstream refuses it.
fn parse_number(raw: &RawValue) -> Option<u64> {
    let quoted = raw.get().starts_with('"').then(|| parse_string(raw)).flatten();
    let text = quoted.as_deref().unwrap_or(raw.get()).trim();
    text.parse().ok().or_else(|| {
        let number = text.parse::<f64>().ok().filter(|number| *number >= 0.0)?;
        Some(number.ceil() as u64)
    })
}

/// Counts the prompts of a completion. An array holds strings or arrays of tokens, one prompt each,
/// or the tokens of a single prompt.
fn count_prompts(content: &RawValue) -> u64 {
    let first = content.get().strip_prefix('[').map(str::trim_start).unwrap_or_default();
    if !first.starts_with(['"', '[']) {
        return 1;
    }
    serde_json::from_str::<Vec<IgnoredAny>>(content.get()).map_or(1, |all| all.len() as u64)
}

fn parse_string(raw: &RawValue) -> Option<Cow<'_, str>> {
    // `&str` cannot hold an escape; a string with escapes is decoded into an owned one.
    serde_json::from_str::<&str>(raw.get())
        .map(Cow::Borrowed)
        .or_else(|_| serde_json::from_str::<String>(raw.get()).map(Cow::Owned))
        .ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};
    use serde_json::{Value, json};

    use super::{Changes, OutputField, Request};
    use crate::Endpoint::{ChatCompletions, Completions, Embeddings};
    use crate::Invalid;

    #[track_caller]
    fn assert_refused(body: &str, expected: &str) {
        let refusal =
            Request::parse(ChatCompletions, body.as_bytes()).expect_err("the body is wrong");
        assert!(refusal.to_string().contains(expected), "{refusal}");
    }

    #[test]
    fn messages_go_behind_the_last_one() {
        for (messages, expected) in [
            ("[]", r#"[{"n":1}]"#),
            ("[ ]", r#"[ {"n":1}]"#),
            (r#"[{"content":"]"} ]"#, r#"[{"content":"]"} ,{"n":1}]"#),
        ] {
            let body = format!(r#"{{"messages":{messages},"model":"a"}}"#);
            let request = Request::parse(ChatCompletions, body.as_bytes()).expect("it is right");
            let more = Changes { extra_messages: Some(r#"{"n":1}"#), ..Changes::default() };
            let changed = request.rewrite(body.as_bytes(), more).expect("it changes");
            assert_eq!(changed, body.replace(messages, expected).into_bytes());
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_refused("", "not valid JSON");
        assert_refused("{", "not valid JSON");
        assert_refused(r#"{"model":"a","messages":[]}x"#, "not valid JSON");
        assert_refused("[1]", "must be a JSON object");
        assert_refused(r#"{"messages":[]}"#, "'model' is missing");
        assert_refused(r#"{"model":7,"messages":[]}"#, "'model' must be a string");
        assert_refused(r#"{"model":"","messages":[]}"#, "'model' must be a string");
        assert_refused(r#"{"model":"a"}"#, "'messages' is missing");
        assert_refused(r#"{"model":"a","messages":"hi"}"#, "'messages' must be an array");
        assert_refused(r#"{"model":"a","messages":[],"stream":1}"#, "'stream' must be a boolean");
        assert_refused(
            r#"{"model":"a","messages":[],"stream_options":1}"#,
            "'stream_options' must be",
        );
        assert_refused(r#"{"model":"a","messages":[],"mod\u0065l":"b"}"#, "'model' appears twice");
        assert_refused(
            r#"{"model":"a","messages":[],"Model":"b"}"#,
            "'model' must be spelled exactly so",
        );
        assert_refused(
            "{\"model\":\"a\",\"messages\":[],\"\u{17f}tream\":true}",
            "'stream' must be spelled exactly so",
        );
        assert_refused(
            r#"{"model":"..","messages":[]}"#,
            "'model' must be a string of 1 to 256 bytes",
        );
        assert_refused(
            &format!(r#"{{"model":"{}","messages":[]}}"#, "a".repeat(257)),
            "'model' must be a string",
        );
        let twice = r#"{"model":"a","messages":[],"stream_options":{"include_usage":false,"include_usage":true}}"#;
        assert_refused(twice, "'stream_options.include_usage' appears twice");
        assert_eq!(
            Request::parse(ChatCompletions, b"\"\xff\""),
            Err(Invalid::NotJson("invalid utf-8 sequence of 1 bytes from index 1".into()))
        );
        assert_eq!(
            Request::parse(Completions, br#"{"model":"a"}"#),
            Err(Invalid::Missing("prompt"))
        );
        assert_eq!(Request::parse(Embeddings, br#"{"model":"a"}"#), Err(Invalid::Missing("input")));
    }

    #[track_caller]
    fn assert_rewritten(body: &str, model: Option<&str>, expected: Option<&str>) {
        let request = Request::parse(ChatCompletions, body.as_bytes()).expect("the body is right");
        let bytes = request
            .rewrite(body.as_bytes(), Changes { model, ask_for_usage: true, ..Changes::default() });
        assert_eq!(bytes.map(|bytes| String::from_utf8(bytes).expect("text")).as_deref(), expected);
    }

    #[test]
    fn only_what_must_change_is_spliced() {
        let plain =
            r#" { "x" : 1.00, "model" : "a" , "messages":[{"content":"\u00e9"}], "t":1e2 }"#;
        assert_rewritten(plain, None, None);
        assert_rewritten(plain, Some("a"), None);
        assert_rewritten(
            plain,
            Some("b\""),
            Some(
                r#" { "x" : 1.00, "model" : "b\"" , "messages":[{"content":"\u00e9"}], "t":1e2 }"#,
            ),
        );
        let stream =
            |options: &str| format!(r#"{{"messages":[],"stream":true{options},"model":"a"}}"#);
        assert_rewritten(
            &stream(""),
            Some("b"),
            Some(
                r#"{"stream_options":{"include_usage":true},"messages":[],"stream":true,"model":"b"}"#,
            ),
        );
        assert_rewritten(
            &stream(r#","stream_options":null"#),
            None,
            Some(&stream(r#","stream_options":{"include_usage":true}"#)),
        );
        assert_rewritten(
            &stream(r#","stream_options":{ }"#),
            None,
            Some(&stream(r#","stream_options":{"include_usage":true }"#)),
        );
        assert_rewritten(
            &stream(r#","stream_options":{"a":1}"#),
            None,
            Some(&stream(r#","stream_options":{"include_usage":true,"a":1}"#)),
        );
        assert_rewritten(
            &stream(r#","stream_options":{"include_usage":false}"#),
            None,
            Some(&stream(r#","stream_options":{"include_usage":true}"#)),
        );
        assert_rewritten(&stream(r#","stream_options":{"include_usage":true}"#), None, None);
    }

    #[track_caller]
    fn assert_capped(body: &str, expected: Option<&str>) {
        let request = Request::parse(ChatCompletions, body.as_bytes()).expect("the body is right");
        let most_output = Some((50, OutputField::MaxCompletionTokens));
        let bytes = request.rewrite(
            body.as_bytes(),
            Changes { max_output_tokens: most_output, ..Changes::default() },
        );
        assert_eq!(bytes.map(|bytes| String::from_utf8(bytes).expect("text")).as_deref(), expected);
    }

    #[test]
    fn an_answer_is_capped_by_whatever_name() {
        let with = |fields: &str| format!(r#"{{"model":"a","messages":[]{fields}}}"#);
        assert_capped(&with(r#","max_tokens":50"#), None);
        assert_capped(&with(r#","max_tokens":51"#), Some(&with(r#","max_tokens":50"#)));
        assert_capped(&with(r#","max_tokens":null"#), Some(&with(r#","max_tokens":50"#)));
        assert_capped(&with(r#","max_tokens":5e9"#), Some(&with(r#","max_tokens":50"#)));
        assert_capped(
            &with(r#","max_completion_tokens":7,"max_tokens":99"#),
            Some(&with(r#","max_completion_tokens":7,"max_tokens":50"#)),
        );
        assert_capped(&with(""), Some(r#"{"max_completion_tokens":50,"model":"a","messages":[]}"#));
    }

    #[test]
    fn a_server_of_the_older_name_is_told_by_it() {
        let capped = |rest: &str| {
            let body = format!(r#"{{"model":"a","messages":[]{rest}}}"#);
            let request = Request::parse(ChatCompletions, body.as_bytes()).expect("it is right");
            let most_output = Some((50, OutputField::MaxTokens));
            let changes = Changes { max_output_tokens: most_output, ..Changes::default() };
            let bytes = request.rewrite(body.as_bytes(), changes).unwrap_or(body.into_bytes());
            let value: Value = serde_json::from_slice(&bytes).expect("JSON");
            (value["max_tokens"].as_u64(), value["max_completion_tokens"].as_u64())
        };
        assert_eq!(capped(r#","max_completion_tokens":7"#), (Some(7), Some(7)));
        assert_eq!(capped(r#","max_completion_tokens":70"#), (Some(50), Some(50)));
        assert_eq!(capped(r#","max_completion_tokens":null"#), (Some(50), Some(50)));
        assert_eq!(capped(r#","max_tokens":7"#), (Some(7), None));
    }

    #[test]
    fn each_prompt_of_a_completion_has_its_choices() {
        let choices = |prompt: &str| {
            let body = format!(r#"{{"model":"a","n":2,"prompt":{prompt}}}"#);
            Request::parse(Completions, body.as_bytes()).expect("it is right").output.choices
        };
        for (prompt, expected) in [
            (r#""a""#, 2),
            (r#"["a"]"#, 2),
            (r#"[ "a", "b", "c"]"#, 6),
            ("[1, 2, 3]", 2),
            ("[[1,2],[3]]", 4),
            ("[]", 2),
        ] {
            assert_eq!(choices(prompt), expected, "{prompt}");
        }
    }

    #[test]
    fn what_else_the_model_reads_is_found() {
        let body = r#"{"model":"a","messages":[],"tools":[{"t":1}],"response_format":{"r":2}}"#;
        let request = Request::parse(ChatCompletions, body.as_bytes()).expect("it is right");
        let texts: Vec<&str> = request.extra_prompt.iter().map(|at| &body[at.clone()]).collect();
        assert_eq!(texts, [r#"[{"t":1}]"#, r#"{"r":2}"#]);
    }

    #[test]
    fn how_long_an_answer_may_be() {
        let output = |fields: &str| {
            let body = format!(r#"{{"model":"a","messages":[]{fields}}}"#);
            let request = Request::parse(ChatCompletions, body.as_bytes()).expect("it is right");
            (request.output.max_per_choice, request.output.choices)
        };
        assert_eq!(output(""), (None, 1));
        assert_eq!(output(r#","max_tokens":7,"max_completion_tokens":9,"n":3"#), (Some(9), 3));
        assert_eq!(output(r#","max_tokens":null,"n":0,"best_of":4"#), (None, 4));
        assert_eq!(output(r#","max_tokens":-1,"n":"x""#), (None, 1));
        assert_eq!(output(r#","max_tokens":7.5,"n":"100""#), (Some(8), 100));
        assert_eq!(output(r#","max_tokens":5e9,"n":3.0"#), (Some(5_000_000_000), 3));
    }

    proptest! {
        #[test]
        fn a_rewrite_changes_nothing_else(model in r"m\PC{0,12}", other in "m.{0,12}", rest in any::<Vec<String>>(), stream in any::<bool>()) {
            let mut body = json!({"a": rest, "model": model, "messages": rest, "z": {"model": "inner"}});
            if stream {
                body["stream"] = json!(true);
            }
            let text = body.to_string();
            let request = Request::parse(ChatCompletions, text.as_bytes()).expect("the body is right");
            assert_eq!(&request.model, &model);
            assert_eq!(serde_json::from_str::<Value>(&text[request.content.clone()]).expect("the place is right"), json!(rest));
            let changed = request.rewrite(text.as_bytes(), Changes { model: Some(&other), ask_for_usage: true, ..Changes::default() }).unwrap_or(text.into_bytes());
            body["model"] = json!(other);
            if stream {
                body["stream_options"] = json!({"include_usage": true});
            }
            assert_eq!(serde_json::from_slice::<Value>(&changed).expect("still JSON"), body);
        }

        #[test]
        fn nothing_panics(body in any::<Vec<u8>>()) {
            drop(Request::parse(ChatCompletions, &body));
        }
    }
}
