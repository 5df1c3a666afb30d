//! Parsing of a request body.

use std::borrow::Cow;
use std::ops::Range;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::Endpoint;
use crate::invalid::Invalid;
use crate::steering_fields::{LENGTH_ALIASES, SteeringFields, StreamOptions};

/// Validated request body: the fields that steer the gateway, and the ranges of those that may have
/// to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Model that the caller asks for.
    pub model: String,
    /// Whether the caller asks for a stream.
    pub stream: bool,
    /// Whether the caller asks for the usage of a stream.
    pub wants_usage: bool,
    /// Whether the caller asks the model to think before it answers.
    pub asks_for_thinking: bool,
    /// `user`, if it is a string.
    pub user: Option<String>,
    /// Range of the prompt.
    pub content: Range<usize>,
    /// Ranges of other members that the model may read: tools, a schema, a suffix, and every member
    /// that is not known to hold no text.
    pub extra_prompt: Vec<Range<usize>>,
    /// Limit on the length of the answer.
    pub output: OutputLimit,
    pub(super) body_start: usize,
    pub(super) model_range: Range<usize>,
    pub(super) usage_option: UsageOption,
}

/// Limit on the length of an answer, as the request states it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutputLimit {
    /// Maximum number of tokens for each choice, if the request names a number.
    pub max_per_choice: Option<u64>,
    /// Number of choices, at least 1: the larger of `n` and `best_of`, times the number of a
    /// completion's prompts.
    pub choices: u64,
    pub(super) max_tokens: Option<Range<usize>>,
    pub(super) max_completion_tokens: Option<Range<usize>>,
    /// Fields that some upstreams read as a maximum, too.
    pub(super) aliases: Vec<Range<usize>>,
}

/// State of `stream_options.include_usage`, with the place of an edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum UsageOption {
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
        let range = |raw: &RawValue| json::range_in(text, raw.get());

        let model_raw = require_field(fields.model, "model")?;
        let expected =
            "a string of 1 to 256 bytes that is not a path and has no control characters";
        let model = parse_string(model_raw).filter(|name| is_model_name(name));
        let model = model.ok_or(Invalid::Wrong { param: "model", expected })?.into_owned();
        let content = match fields.content(endpoint) {
            // Some clients send a request of the Responses API to this path.
            None if endpoint == Endpoint::ChatCompletions && fields.has_input() => {
                return Err(Invalid::ResponsesForm);
            }
            content => require_field(content, endpoint.content_field())?,
        };
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
            Some(options) => UsageOption::parse(options, range(options))?,
        };
        let aliases = || LENGTH_ALIASES.into_iter().zip(fields.length_aliases());
        let maxima = [
            ("max_tokens", fields.max_tokens),
            ("max_completion_tokens", fields.max_completion_tokens),
        ];
        let maxima = parse_numbers(maxima.into_iter().chain(aliases()))?;
        let choices = [("n", fields.n), ("best_of", fields.best_of), ("n_cmpl", fields.n_cmpl)];
        let choices = parse_numbers(choices.into_iter())?;
        let prompts = if endpoint == Endpoint::Completions { count_prompts(content) } else { 1 };
        let output = OutputLimit {
            // Upstreams take zero for no maximum, or refuse it.
            max_per_choice: maxima.filter(|max| *max > 0),
            choices: choices.unwrap_or(1).max(1).saturating_mul(prompts),
            max_tokens: fields.max_tokens.map(range),
            max_completion_tokens: fields.max_completion_tokens.map(range),
            aliases: aliases().filter_map(|(_, value)| value).map(range).collect(),
        };
        Ok(Self {
            output,
            body_start: opening + 1,
            model,
            stream: stream && endpoint != Endpoint::Embeddings,
            wants_usage,
            asks_for_thinking: fields.asks_for_thinking,
            user: fields.user.and_then(parse_string).map(Cow::into_owned),
            content: range(content),
            extra_prompt: fields.extra_prompt(endpoint).map(range).collect(),
            model_range: range(model_raw),
            usage_option,
        })
    }
}

impl UsageOption {
    /// Parses `stream_options` in `range`. Also returns whether the option is set.
    fn parse(options: &RawValue, range: Range<usize>) -> Result<(Self, bool), Invalid> {
        if options.get() == "null" {
            return Ok((Self::Null(range), false));
        }
        let wrong = Invalid::Wrong { param: "stream_options", expected: "an object" };
        let members: StreamOptions<'_> = serde_json::from_str(options.get()).map_err(|_| wrong)?;
        if members.is_duplicate {
            return Err(Invalid::Twice("stream_options.include_usage"));
        }
        Ok(match members.include_usage {
            None => (Self::Silent { at: range.start + 1, comma: !members.empty }, false),
            Some(value) => {
                let inside = json::range_in(options.get(), value.get());
                let stated = range.start + inside.start..range.start + inside.end;
                (Self::Stated(stated), value.get() == "true")
            }
        })
    }
}

/// Whether a model name is valid. It is echoed, logged, and put into URLs, so it is bounded and
/// must not be a relative path.
pub fn is_model_name(name: &str) -> bool {
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

/// The highest of some numbers. A quoted number in a spelling that only some upstreams read is
/// refused: `"1_00"` is 100 in Python, and no number elsewhere.
fn parse_numbers<'a>(
    fields: impl Iterator<Item = (&'static str, Option<&'a RawValue>)>,
) -> Result<Option<u64>, Invalid> {
    let mut highest = None;
    for (param, raw) in fields.filter_map(|(param, raw)| Some((param, raw?))) {
        let number = parse_number(raw);
        let text = raw.get();
        let is_odd = number.is_none() || text.contains('+');
        if is_odd && text.starts_with('"') && text.contains(|letter: char| letter.is_numeric()) {
            let expected = "a number in digits, without quotes";
            return Err(Invalid::Wrong { param, expected });
        }
        highest = highest.max(number);
    }
    Ok(highest)
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

    use super::Request;
    use crate::Endpoint::{ChatCompletions, Completions, Embeddings};
    use crate::Invalid;

    #[track_caller]
    fn assert_refused(body: &str, expected: &str) {
        let refusal =
            Request::parse(ChatCompletions, body.as_bytes()).expect_err("the body is wrong");
        assert!(refusal.to_string().contains(expected), "{refusal}");
    }

    #[test]
    fn invalid_body_is_refused_with_field_name() {
        assert_refused("", "not valid JSON");
        assert_refused("{", "not valid JSON");
        assert_refused(r#"{"model":"a","messages":[]}x"#, "not valid JSON");
        assert_refused("[1]", "must be a JSON object");
        assert_refused(r#"{"messages":[]}"#, "'model' is missing");
        assert_refused(r#"{"model":7,"messages":[]}"#, "'model' must be a string");
        assert_refused(r#"{"model":"","messages":[]}"#, "'model' must be a string");
        assert_refused(r#"{"model":"a"}"#, "'messages' is missing");
        assert_refused(r#"{"model":"a","input":[]}"#, "'input' belongs to the Responses API");
        assert_refused(r#"{"model":"a","messages":"hi"}"#, "'messages' must be an array");
        assert_refused(r#"{"model":"a","messages":[],"stream":1}"#, "'stream' must be a boolean");
        assert_refused(
            r#"{"model":"a","messages":[],"stream_options":1}"#,
            "'stream_options' must be",
        );
        assert_refused(r#"{"model":"a","messages":[],"mod\u0065l":"b"}"#, "'model' appears twice");
        assert_refused(
            r#"{"model":"a","messages":[],"Model":"b"}"#,
            "'model' must be spelled exactly like this",
        );
        assert_refused(
            "{\"model\":\"a\",\"messages\":[],\"\u{17f}tream\":true}",
            "'stream' must be spelled exactly like this",
        );
        assert_refused(
            r#"{"model":"..","messages":[]}"#,
            "'model' must be a string of 1 to 256 bytes",
        );
        assert_refused(
            &format!(r#"{{"model":"{}","messages":[]}}"#, "a".repeat(257)),
            "'model' must be a string",
        );
        for odd in [r#""1_00""#, r#""+5""#, r#""5 tokens""#, r#""٥""#, r#""0x10""#, r#""-5""#] {
            for field in ["n", "best_of", "n_cmpl", "max_tokens", "n_predict"] {
                assert_refused(
                    &format!(r#"{{"model":"a","messages":[],"{field}":{odd}}}"#),
                    &format!("'{field}' must be a number in digits"),
                );
            }
        }
        assert_refused(
            r#"{"model":"a","messages":[],"N_Predict":5}"#,
            "'n_predict' must be spelled exactly like this",
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

    #[test]
    fn completion_choices_are_multiplied_by_prompts() {
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
    fn extra_prompt_ranges_are_found() {
        let body = r#"{"model":"a","messages":[],"tools":[{"t":1}],"response_format":{"r":2}}"#;
        let request = Request::parse(ChatCompletions, body.as_bytes()).expect("it is right");
        let texts: Vec<&str> = request.extra_prompt.iter().map(|at| &body[at.clone()]).collect();
        assert_eq!(texts, [r#"[{"t":1}]"#, r#"{"r":2}"#]);
    }

    #[test]
    fn members_that_may_hold_text_are_found() {
        let extra = |endpoint, field: &str, member: &str| {
            let body = format!(r#"{{"model":"a","{field}":[],{member}}}"#);
            let request = Request::parse(endpoint, body.as_bytes()).expect("it is right");
            let list = request.extra_prompt.iter().map(|at| body[at.clone()].to_owned());
            list.collect::<Vec<_>>().join(" ")
        };
        let chat = |member: &str| extra(ChatCompletions, "messages", member);
        for member in [
            r#""documents":[{"text":"x"}]"#,
            r#""chat_template":"x""#,
            r#""Documents":["x"]"#,
            r#""stop":["x"]"#,
            r#""prompt":"x""#,
            r#""input":["x"]"#,
            r#""prediction":{"content":"x"}"#,
            r#""guided_json":{"x":1}"#,
            r#""Temperature":"x""#,
        ] {
            let value = member.split_once(':').expect("a member").1;
            assert_eq!(chat(member), value, "{member}");
        }
        for member in [
            r#""temperature":1"#,
            r#""top_k":5"#,
            r#""user":"x""#,
            r#""metadata":{"a":"x"}"#,
            r#""new":7"#,
            r#""new":null"#,
            r#""logit_bias":{"5":1}"#,
        ] {
            assert_eq!(chat(member), "", "{member}");
        }
        assert_eq!(extra(Completions, "prompt", r#""messages":[1]"#), "[1]");
        assert_eq!(extra(Embeddings, "input", r#""suffix":"x""#), r#""x""#);
    }

    #[test]
    fn number_of_unknown_members_is_bounded() {
        let parse = |count: usize, value: &str| {
            let members: String = (0..count).map(|at| format!(",\"m{at}\":{value}")).collect();
            let body = format!(r#"{{"model":"a","messages":[]{members}}}"#);
            Request::parse(ChatCompletions, body.as_bytes())
                .map(|request| request.extra_prompt.len())
        };
        assert_eq!(parse(256, "\"x\""), Ok(256));
        assert_eq!(parse(257, "\"x\""), Err(Invalid::TooManyMembers));
        assert_eq!(parse(5_000, "1"), Ok(0));
    }

    #[test]
    fn every_field_that_steers_is_refused_in_another_case() {
        for field in [
            "model",
            "messages",
            "prompt",
            "input",
            "stream",
            "stream_options",
            "user",
            "max_tokens",
            "max_completion_tokens",
            "n",
            "best_of",
            "tools",
            "functions",
            "response_format",
            "suffix",
            "prediction",
        ] {
            let body = |name: &str| format!(r#"{{"model":"a","messages":[],"{name}":null}}"#);
            let message = format!("'{field}' must be spelled exactly like this");
            assert_refused(&body(&field.to_uppercase()), &message);
            let twice = body(field).replace("}", &format!(",\"{field}\":null}}"));
            assert_refused(&twice, &format!("'{field}' appears twice"));
        }
    }

    #[test]
    fn output_limit_is_read_from_request() {
        let output = |fields: &str| {
            let body = format!(r#"{{"model":"a","messages":[]{fields}}}"#);
            let request = Request::parse(ChatCompletions, body.as_bytes()).expect("it is right");
            (request.output.max_per_choice, request.output.choices)
        };
        assert_eq!(output(""), (None, 1));
        assert_eq!(output(r#","max_tokens":7,"max_completion_tokens":9,"n":3"#), (Some(9), 3));
        assert_eq!(output(r#","max_tokens":null,"n":0,"best_of":4"#), (None, 4));
        assert_eq!(output(r#","max_tokens":-1,"n":"x""#), (None, 1));
        assert_eq!(output(r#","max_tokens":0,"max_completion_tokens":0.0"#), (None, 1));
        assert_eq!(output(r#","max_tokens":1,"n_predict":100000"#), (Some(100_000), 1));
        assert_eq!(output(r#","max_tokens":1,"thinking_budget":9000"#), (Some(9_000), 1));
        assert_eq!(output(r#","num_predict":5,"max_new_tokens":7,"n_cmpl":4,"n":2"#), (Some(7), 4));
        assert_eq!(output(r#","max_output_tokens":"9""#), (Some(9), 1));
        assert_eq!(output(r#","max_tokens":7.5,"n":"100""#), (Some(8), 100));
        assert_eq!(output(r#","max_tokens":5e9,"n":3.0"#), (Some(5_000_000_000), 3));
    }

    proptest! {
        #[test]
        fn body_of_any_bytes_does_not_panic(body in any::<Vec<u8>>()) {
            drop(Request::parse(ChatCompletions, &body));
        }
    }

    #[test]
    fn request_that_asks_for_thinking_is_recognized() {
        for (member, expected) in [
            (r#""reasoning_effort":"high""#, true),
            (r#""reasoning_effort":"none""#, false),
            (r#""reasoning_effort":null"#, false),
            (r#""reasoning":{"effort":"low"}"#, true),
            (r#""reasoning":null"#, false),
            (r#""thinking":{"type":"enabled","budget_tokens":9}"#, true),
            (r#""thinking":{"type":"disabled"}"#, false),
            (r#""enable_thinking":true"#, true),
            (r#""enable_thinking":false"#, false),
            (r#""temperature":1"#, false),
        ] {
            let body = format!(r#"{{"model":"m","messages":[],{member}}}"#);
            let request = Request::parse(ChatCompletions, body.as_bytes());
            assert_eq!(request.expect(member).asks_for_thinking, expected, "{member}");
        }
    }
}
