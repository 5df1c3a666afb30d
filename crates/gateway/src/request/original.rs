//! Body of a caller of another protocol than Chat Completions, and its form in Chat.
//!
//! All steps before the call of a target read the Chat form: permissions, limits, guards, cache, and
//! history. It holds every text of the caller's body. A target receives a translation of the caller's own
//! body, or that body itself.

use std::cell::OnceCell;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use protocol::model::Protocol;
use protocol::request::{
    BodyChanges, BodyPlaces, EndUserField, InvalidRequest, Options, ReasoningField, Target,
    read_request, rewrite, rewrite_at, splice_seals, write_request,
};
use protocol::{ResponseEcho, StoredReferences};

/// Header with the version of Anthropic's API.
pub(crate) const ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");
/// Header with the previews that a caller of Anthropic's API uses.
pub(crate) const ANTHROPIC_BETA: HeaderName = HeaderName::from_static("anthropic-beta");

/// Version for requests that no caller of Messages sent (Anthropic, "API versioning").
const DEFAULT_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");

/// Maximum length of a forwarded header, in bytes.
const MAX_FORWARDED_BYTES: usize = 512;

/// Prefixes of previews that are forwarded: they change the form of requests and answers, and neither what
/// is stored nor who may read it (Anthropic, "Beta headers").
const FORWARDED_BETAS: [&str; 20] = [
    "advanced-tool-use-",
    "claude-code-",
    "computer-use-",
    "context-1m-",
    "context-management-",
    "effort-",
    "extended-cache-ttl-",
    "fine-grained-tool-streaming-",
    "interleaved-thinking-",
    "mid-conversation-",
    "output-128k-",
    "prompt-caching-",
    "redact-thinking-",
    "search-results-",
    "structured-outputs-",
    "task-budgets-",
    "thinking-token-count-",
    "token-counting-",
    "token-efficient-tools-",
    "tool-search-tool-",
];

/// Body of a caller of another protocol than Chat Completions.
#[derive(Clone, Debug)]
pub(crate) struct OriginalBody {
    /// Protocol of the caller.
    pub protocol: Protocol,
    /// The body as received.
    pub bytes: Bytes,
    /// Whether the Chat form lacks a meaning, though it holds every text.
    pub is_form_lossy: bool,
    /// References to what a provider of Responses stores.
    pub stored: StoredReferences,
    /// Headers for a provider of the same protocol.
    pub headers: AnthropicHeaders,
    /// Places of the members that change for a target. Found once, for all attempts.
    places: OnceCell<Option<BodyPlaces>>,
}

/// Headers of Anthropic's API that are forwarded to a provider of Messages.
#[derive(Clone, Debug)]
pub(crate) struct AnthropicHeaders {
    /// Version of the API.
    pub version: HeaderValue,
    /// Previews; `None` without one.
    pub beta: Option<HeaderValue>,
}

impl Default for AnthropicHeaders {
    fn default() -> Self {
        Self { version: DEFAULT_VERSION, beta: None }
    }
}

impl AnthropicHeaders {
    /// Reads a caller's headers. A version that is no date is replaced, and previews that are not listed
    /// are dropped.
    fn from_headers(headers: &HeaderMap) -> Self {
        let version = headers.get(ANTHROPIC_VERSION).filter(|version| {
            let bytes = version.as_bytes();
            bytes.len() == "YYYY-MM-DD".len()
                && bytes.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-')
        });
        let mut beta = String::new();
        let values = headers.get_all(ANTHROPIC_BETA).iter().filter_map(|value| value.to_str().ok());
        for name in values.flat_map(|value| value.split(',')).map(str::trim) {
            let is_forwarded = FORWARDED_BETAS.iter().any(|prefix| name.starts_with(prefix));
            if is_forwarded && beta.len() + name.len() < MAX_FORWARDED_BYTES {
                if !beta.is_empty() {
                    beta.push(',');
                }
                beta.push_str(name);
            }
        }
        Self {
            version: version.cloned().unwrap_or(DEFAULT_VERSION),
            beta: (!beta.is_empty()).then(|| HeaderValue::try_from(beta).ok()).flatten(),
        }
    }
}

impl OriginalBody {
    /// Reads a body, and returns it with its form in Chat.
    pub(crate) fn parse(
        protocol: Protocol,
        headers: &HeaderMap,
        bytes: Bytes,
    ) -> Result<(Self, Bytes), InvalidRequest> {
        let request = read_request(protocol, &bytes)?;
        let target = Target {
            end_user_field: EndUserField::User,
            reasoning_field: ReasoningField::ReasoningContent,
            accepts_prefill: true,
            ..Target::new(Protocol::Chat)
        };
        let options = Options { is_view: true, ..Options::default() };
        let view = write_request(&request, &target, &options);
        let view = view.expect("a body that is only read may lose everything");
        let stored = match (protocol, str::from_utf8(&bytes)) {
            (Protocol::Responses, Ok(body)) => StoredReferences::parse(body),
            _ => StoredReferences::default(),
        };
        let original = Self {
            protocol,
            stored,
            is_form_lossy: view.is_lossy,
            headers: AnthropicHeaders::from_headers(headers),
            bytes,
            places: OnceCell::new(),
        };
        Ok((original, view.body.into()))
    }

    /// The same body with other texts.
    pub(super) fn with_bytes(&self, bytes: Bytes) -> Self {
        Self { bytes, places: OnceCell::new(), ..self.clone() }
    }

    /// The body for a provider of its protocol, with these changes and without the seals of other makers than
    /// `maker`.
    pub(super) fn body_for(&self, maker: &str, changes: BodyChanges<'_>) -> Bytes {
        // Without a seal of another maker the body needs no change.
        let spliced = splice_seals(self.protocol, &self.bytes, Some(maker)).ok().flatten();
        match spliced {
            Some(body) => rewrite(self.protocol, &body, changes).unwrap_or(body).into(),
            None => {
                let find = || BodyPlaces::find(self.protocol, &self.bytes);
                let places = self.places.get_or_init(find).as_ref();
                let rewritten = places.and_then(|places| rewrite_at(places, &self.bytes, changes));
                rewritten.map_or_else(|| self.bytes.clone(), Bytes::from)
            }
        }
    }

    /// Settings that an answer in the caller's protocol repeats.
    pub(crate) fn echo(&self) -> ResponseEcho {
        match (self.protocol, str::from_utf8(&self.bytes)) {
            (Protocol::Responses, Ok(body)) => ResponseEcho::parse(body),
            _ => ResponseEcho::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;
    use protocol::model::Protocol;

    use super::{ANTHROPIC_BETA, ANTHROPIC_VERSION, AnthropicHeaders, OriginalBody};

    #[test]
    fn chat_form_holds_every_text_of_the_body() {
        let messages = r#"{"model":"m","max_tokens":9,"system":"S1","future":{"x":"F1"},"messages":[
            {"role":"user","content":[{"type":"text","text":"T1"},
                {"type":"document","source":{"type":"text","media_type":"text/plain","data":"D1"},"context":"D2"}]},
            {"role":"assistant","content":[{"type":"thinking","thinking":"H1","signature":"s"},
                {"type":"server_tool_use","id":"s","name":"web_search","input":{"query":"Q1"}},
                {"type":"web_search_tool_result","tool_use_id":"s","content":[{"type":"web_search_result","title":"W1"}]}]},
            {"role":"user","content":"T2"},{"role":"assistant","content":"P1"}]}"#;
        let responses = r#"{"model":"m","instructions":"S1","prompt":{"id":"p","variables":{"x":"F1"}},
            "tools":[{"type":"mcp","server_label":"l","server_description":"D1"}],
            "input":[{"type":"reasoning","id":"r","summary":[{"type":"summary_text","text":"H1"}]},
                {"role":"user","content":"T1"}]}"#;
        for (protocol, body, texts) in [
            (
                Protocol::Messages,
                messages,
                &["S1", "F1", "T1", "D1", "D2", "H1", "Q1", "W1", "T2", "P1"][..],
            ),
            (Protocol::Responses, responses, &["S1", "F1", "D1", "H1", "T1"][..]),
        ] {
            let bytes = Bytes::from_static(body.as_bytes());
            let (original, form) =
                OriginalBody::parse(protocol, &HeaderMap::new(), bytes).expect("it is right");
            assert!(original.is_form_lossy);
            let form = str::from_utf8(&form).expect("text");
            for text in texts {
                assert!(form.contains(text), "{text}: {form}");
            }
        }
    }

    #[test]
    fn only_listed_previews_are_forwarded() {
        let mut headers = HeaderMap::new();
        assert_eq!(AnthropicHeaders::from_headers(&headers).version, "2023-06-01");
        headers.insert(ANTHROPIC_VERSION, "2026-10-21".parse().expect("a value"));
        let beta = "claude-code-20250219, files-api-2025-04-14,interleaved-thinking-2025-05-14";
        headers.insert(ANTHROPIC_BETA, beta.parse().expect("a value"));
        let forwarded = AnthropicHeaders::from_headers(&headers);
        assert_eq!(forwarded.version, "2026-10-21");
        let beta = forwarded.beta.expect("some are listed");
        assert_eq!(beta, "claude-code-20250219,interleaved-thinking-2025-05-14");
        headers.insert(ANTHROPIC_VERSION, "latest".parse().expect("a value"));
        assert_eq!(AnthropicHeaders::from_headers(&headers).version, "2023-06-01");
    }
}
