//! Reading and validation of a request's body.

use std::cell::OnceCell;
use std::ops::Range;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use openai::{Changes, Endpoint, OutputBounds, Request, TextSize};

use crate::error::Refusal;
use crate::host::body::{Body, ReadError};

use super::headers::has_media_type;

/// A complete and valid request.
#[derive(Clone, Debug)]
pub(crate) struct ParsedRequest {
    endpoint: Endpoint,
    body: Bytes,
    fields: Request,
    prompt_size: OnceCell<TextSize>,
}

impl ParsedRequest {
    /// Reads a body of at most `limit` bytes and parses the fields that steer the gateway.
    pub(crate) async fn read(
        endpoint: Endpoint,
        headers: &HeaderMap,
        body: Body,
        limit: usize,
    ) -> Result<Self, Refusal> {
        if !has_media_type(headers, &["application/json"]) {
            return Err(Refusal::UnsupportedMediaType);
        }
        if headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
            return Err(Refusal::Encoded);
        }
        let content_length = headers
            .get(CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if content_length.is_some_and(|length| length > limit) {
            return Err(Refusal::TooLarge { limit });
        }
        let body = body.collect(limit).await.map_err(|error| match error {
            ReadError::TooLarge => Refusal::TooLarge { limit },
            ReadError::Broken => Refusal::BodyBroken,
        })?;
        let request = Request::parse(endpoint, &body).map_err(Refusal::Invalid)?;
        Ok(Self { endpoint, body, fields: request, prompt_size: OnceCell::new() })
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// The fields that steer the gateway.
    pub(crate) fn fields(&self) -> &Request {
        &self.fields
    }

    /// The body as received.
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body as text; it is valid UTF-8.
    pub(crate) fn body_text(&self) -> &str {
        str::from_utf8(&self.body).expect("a body that is not UTF-8 is refused")
    }

    /// The same request with other texts in its body.
    pub(crate) fn with_body(&self, body: Bytes) -> Self {
        let request = Request::parse(self.endpoint, &body);
        let request = request.expect("a text was replaced by a text");
        Self { endpoint: self.endpoint, body, fields: request, prompt_size: OnceCell::new() }
    }

    /// The body for a target: as received, except for the changes.
    pub(crate) fn body_for_target(&self, changes: Changes<'_>) -> Bytes {
        self.fields.rewrite(&self.body, changes).map_or_else(|| self.body.clone(), Bytes::from)
    }

    /// Length of the answer that the request allows.
    pub(crate) fn output_bounds(&self) -> OutputBounds {
        let output = &self.fields.output;
        let max = match self.endpoint {
            Endpoint::Embeddings => Some(0),
            Endpoint::ChatCompletions | Endpoint::Completions => {
                output.max_per_choice.map(|max| max.saturating_mul(output.choices))
            }
        };
        OutputBounds { max, choices: output.choices }
    }

    /// Size of the prompt's text, including tools and schema.
    pub(crate) fn prompt_size(&self) -> TextSize {
        // Cached: limits need it before the call, and a stream without usage after it.
        *self.prompt_size.get_or_init(|| {
            let text =
                |at: &Range<usize>| std::str::from_utf8(&self.body[at.clone()]).unwrap_or_default();
            let mut size =
                TextSize::measure_prompt(text(&self.fields.content), EMBEDDED_MEDIA_CHARS);
            self.fields.extra_prompt.iter().for_each(|at| size += TextSize::measure(text(at)));
            size
        })
    }
}

/// Size of an image, sound, or file in an estimate, in characters of text: 1,000 tokens, about an
/// image of 1024 × 1024 at OpenAI's "high" detail.
const EMBEDDED_MEDIA_CHARS: u64 = 4_000;
