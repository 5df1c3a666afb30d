//! Validation of a request's body.

use std::cell::OnceCell;
use std::ops::Range;
use std::rc::Rc;

use bytes::Bytes;
use http::HeaderMap;
use openai::{Changes, Endpoint, Invalid, OutputBounds, Request, TextSize};
use protocol::model::Protocol;

use crate::error::{Error, Fault, Refusal};

use super::body_budget::BodyPermit;
use super::changed_texts;
use super::endpoint::InferenceCall;
use super::original::OriginalBody;
use super::read_body::ReceivedBody;
use super::translation::Translations;

/// A complete and valid request.
#[derive(Clone, Debug)]
pub(crate) struct ParsedRequest {
    endpoint: Endpoint,
    body: Bytes,
    fields: Request,
    prompt_size: OnceCell<TextSize>,
    /// The body's share of the isolate's budget.
    permit: Rc<BodyPermit>,
    /// The caller's own body, if it is not in Chat. The body is its Chat form then.
    original: Option<Rc<OriginalBody>>,
    /// Whether a step has changed the body's texts.
    is_changed: bool,
    pub(super) translations: Translations,
}

impl ParsedRequest {
    /// Parses the fields that steer the gateway. A deployment of the path takes the place of the body's
    /// model, so that every later step reads the same name.
    pub(crate) fn parse(
        call: &InferenceCall,
        headers: &HeaderMap,
        body: ReceivedBody,
    ) -> Result<Self, Error> {
        let ReceivedBody { bytes, mut permit } = body;
        let endpoint = call.endpoint;
        let (bytes, original) = match call.protocol {
            Protocol::Chat => (bytes, None),
            protocol => {
                let parsed = OriginalBody::parse(protocol, headers, bytes);
                let (original, view) = parsed.map_err(Refusal::InvalidForProtocol)?;
                permit.grow(view.len()).map_err(|_| Fault::Overloaded)?;
                (view, Some(Rc::new(original)))
            }
        };
        let deployment = call.deployment.as_deref();
        let (body, fields) = parse_body(endpoint, deployment, bytes).map_err(Refusal::Invalid)?;
        let (prompt_size, translations) = (OnceCell::new(), Translations::default());
        let permit = Rc::new(permit);
        let is_changed = false;
        Ok(Self { endpoint, body, fields, prompt_size, permit, original, is_changed, translations })
    }

    /// Protocol of the caller.
    pub(crate) fn protocol(&self) -> Protocol {
        self.original.as_ref().map_or(Protocol::Chat, |original| original.protocol)
    }

    /// The caller's own body, if it is not in Chat.
    pub(crate) fn original(&self) -> Option<&OriginalBody> {
        self.original.as_deref()
    }

    /// The caller's own body, if it is not in Chat and no step has changed its texts.
    pub(crate) fn untouched_original(&self) -> Option<&OriginalBody> {
        self.original().filter(|_| !self.is_changed)
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// The fields that steer the gateway.
    pub(crate) fn fields(&self) -> &Request {
        &self.fields
    }

    /// The body as received, or its form in Chat.
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
        self.permit.add_copy(body.len());
        Self {
            endpoint: self.endpoint,
            body,
            fields: request,
            prompt_size: OnceCell::new(),
            permit: Rc::clone(&self.permit),
            original: self.original.clone(),
            is_changed: true,
            translations: Translations::default(),
        }
    }

    /// The same request with texts that a guard has masked, in the caller's own body too.
    pub(crate) fn with_masked_body(&self, body: Bytes) -> Self {
        let mut masked = self.with_body(body);
        if let Some(original) = self.untouched_original()
            && let Some(bytes) =
                changed_texts::apply(&original.bytes, self.body_text(), masked.body_text())
        {
            masked.original = Some(Rc::new(original.with_bytes(bytes.into())));
            masked.is_changed = false;
        }
        masked
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

    /// Size of the prompt's text, and of all other members that may hold text.
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

/// Parses a body, with the model of a deployment. Clients of Azure may send no model, `null`, or their
/// default.
fn parse_body(
    endpoint: Endpoint,
    deployment: Option<&str>,
    body: Bytes,
) -> Result<(Bytes, Request), Invalid> {
    let parsed = Request::parse(endpoint, &body);
    let Some(deployment) = deployment else { return Ok((body, parsed?)) };
    match parsed {
        Ok(request) if request.model == deployment => Ok((body, request)),
        Err(error @ (Invalid::NotJson(_) | Invalid::NotAnObject)) => Err(error),
        Ok(_) | Err(_) => {
            let body = Bytes::from(openai::with_model(&body, deployment)?);
            let request = Request::parse(endpoint, &body)?;
            Ok((body, request))
        }
    }
}

/// Size of an image, sound, or file in an estimate, in characters of text: 1,000 tokens, about an
/// image of 1024 × 1024 at OpenAI's "high" detail.
const EMBEDDED_MEDIA_CHARS: u64 = 4_000;
