//! Runs one guard on a text: local guards at once, guard services within their timeout.

use std::time::Duration;

use bytes::Bytes;
use config::{GuardKind, Moderation, OnError, Provider, ProviderIndex, Words};
use guards::aliyun::{self, RequestNonce};
use guards::chunking::{self, chunk_text};
use guards::json_unescape::{LOOKBEHIND_CHARS, unescape};
use guards::openai_moderation::{self, ModerationInput, ModerationPart};
use guards::settings::{Aliyun, AliyunAction};
use guards::{
    Dimension, Finding, GuardError, GuardText, Level, Phase, Verdict, WordList, llm_judge, pii,
    tail_start,
};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode, Uri};
use openai::Endpoint;
use protocol::model::Protocol;

use crate::host::Host;
use crate::host::futures::{join_all, until_timer};
use crate::upstream::request;

use super::pipeline::{ActiveGuard, GuardPipeline, GuardResult};

/// The longest response of a service, in bytes.
const MAX_RESPONSE_BYTES: usize = 256 << 10;
/// Parts of one text that are checked concurrently.
const CONCURRENT_PARTS: usize = 4;
/// The longest part of a text for services other than Alibaba's, in characters.
const MAX_PART_CHARS: usize = 8_000;
/// Characters at the end of a text that are sent to a service again with the text after them: the
/// length of a phrase.
const OVERLAP_CHARS: usize = 50;
/// Failed rounds of calls for one text after which no more calls are made.
const MAX_FAILED_ROUNDS: usize = 2;
/// The longest datum of a built-in kind, in bytes.
const MAX_DATUM_BYTES: usize = 4 << 10;
/// The longest match of an operator's pattern, in characters.
const MAX_CUSTOM_DATUM_CHARS: usize = 100;

impl<P: Host> GuardPipeline<P> {
    /// Runs a guard on a text.
    pub(crate) async fn invoke_guard(
        &self,
        guard: &ActiveGuard,
        phase: Phase,
        text: &GuardText,
    ) -> GuardResult {
        let timeout = self.guard_config(guard).timeout;
        let (whole, goes_on) = (text, text.goes_on);
        let text = text.text.as_str();
        // Masking needs positions in the text as written.
        let read = if self.masks_input(guard) { None } else { unescape(text) };
        let text = read.as_deref().unwrap_or(text);
        match &self.guard_config(guard).kind {
            GuardKind::Words(words) => check_words(words, guard, whole).into(),
            GuardKind::Pii(pii) => {
                let mut masks = match phase {
                    Phase::Request => self.masks.borrow_mut(),
                    Phase::Response => self.answer_masks.borrow_mut(),
                };
                let verdict =
                    if goes_on { masks.mask_so_far(pii, text) } else { masks.mask(pii, text) };
                Ok(verdict).into()
            }
            GuardKind::Aliyun(aliyun) => {
                let service = self.service(guard, phase).unwrap_or(match phase {
                    Phase::Request => &aliyun.request_service,
                    Phase::Response => &aliyun.response_service,
                });
                let part = |part: String| async move {
                    let nonce = self.new_nonce();
                    let request =
                        aliyun::text_request(aliyun, service, &part, &self.session, nonce);
                    let answer = self.send(request, timeout).await?;
                    match aliyun.action {
                        AliyunAction::Text => aliyun::parse_text_verdict(&answer, guard.block_at),
                        AliyunAction::MultiModal => {
                            let bars = self.block_levels(aliyun, guard);
                            aliyun::parse_guard_verdict(&answer, &part, &bars, aliyun.mask)
                        }
                    }
                };
                self.check_in_parts(guard, text, aliyun::MAX_TEXT_CHARS, part).await
            }
            GuardKind::Moderation(settings) => {
                let part = |part: String| async move {
                    self.call_moderation(settings, ModerationInput::Texts(&[&part]), timeout).await
                };
                self.check_in_parts(guard, text, MAX_PART_CHARS, part).await
            }
            GuardKind::Judge(settings) => {
                let question = match phase {
                    Phase::Request => String::new(),
                    Phase::Response => self.question.borrow().clone(),
                };
                let (question, model, format) = (&question, &settings.model, settings.format);
                let part = |part: String| async move {
                    let body = match phase {
                        Phase::Request => llm_judge::request_body(model, format, &part, None),
                        Phase::Response => {
                            llm_judge::request_body(model, format, question, Some(&part))
                        }
                    };
                    let uri = |provider: &Provider| {
                        provider.url(Endpoint::ChatCompletions, Protocol::Chat, model)
                    };
                    let answer = self.call_provider(settings.provider, uri, body, timeout).await?;
                    llm_judge::parse_verdict(&answer, format, guard.block_at)
                };
                self.check_in_parts(guard, text, MAX_PART_CHARS, part).await
            }
        }
    }

    /// Bytes at the end of a text that a guard cannot judge before it has the text after them.
    pub(crate) fn undecided_bytes(&self, guard: &ActiveGuard, text: &GuardText) -> usize {
        if !text.goes_on {
            return 0;
        }
        let last = |count| text.text.len() - tail_start(&text.text, count);
        match &self.guard_config(guard).kind {
            GuardKind::Words(words) => {
                let undecided = |list: &WordList| list.undecided(&text.text, text.unchecked_from);
                let kept = guard.stored_words.as_deref().map_or(0, undecided);
                let escaped = if text.text.contains('\\') { last(LOOKBEHIND_CHARS) } else { 0 };
                undecided(&words.inline_words).max(kept).max(escaped)
            }
            // The length of a match of an operator's pattern is not known.
            GuardKind::Pii(pii) if !pii.custom.is_empty() => {
                partial_datum_bytes(&text.text).max(last(MAX_CUSTOM_DATUM_CHARS))
            }
            GuardKind::Pii(_) => partial_datum_bytes(&text.text),
            GuardKind::Aliyun(_) | GuardKind::Moderation(_) | GuardKind::Judge(_) => {
                last(OVERLAP_CHARS)
            }
        }
    }

    /// Whether a guard may change the texts that it checks.
    pub(crate) fn masks_input(&self, guard: &ActiveGuard) -> bool {
        match &self.guard_config(guard).kind {
            GuardKind::Aliyun(aliyun) => aliyun.mask,
            GuardKind::Pii(_) => true,
            GuardKind::Words(_) | GuardKind::Moderation(_) | GuardKind::Judge(_) => false,
        }
    }

    async fn call_moderation(
        &self,
        settings: &Moderation,
        input: ModerationInput<'_>,
        timeout: Duration,
    ) -> Result<Verdict, GuardError> {
        let results = input.results();
        let body = openai_moderation::request_body(settings.model.as_deref(), input);
        let uri =
            |provider: &Provider| format!("{}/moderations", provider.base_url).try_into().ok();
        let answer = self.call_provider(settings.provider, uri, body, timeout).await?;
        openai_moderation::parse_verdict(&answer, &settings.thresholds, results)
    }

    /// Whether a guard checks images.
    pub(crate) fn checks_images(&self, guard: &ActiveGuard) -> bool {
        match &self.guard_config(guard).kind {
            GuardKind::Aliyun(aliyun) => aliyun.image_service.is_some(),
            GuardKind::Moderation(_) => true,
            GuardKind::Judge(_) | GuardKind::Words(_) | GuardKind::Pii(_) => false,
        }
    }

    /// Runs a guard on an image. A guard that cannot check images passes them.
    pub(crate) async fn check_image(
        &self,
        guard: &ActiveGuard,
        url: &str,
    ) -> Result<Verdict, GuardError> {
        let timeout = self.guard_config(guard).timeout;
        match &self.guard_config(guard).kind {
            GuardKind::Aliyun(aliyun) => {
                let Some(service) = &aliyun.image_service else { return Ok(Verdict::Pass) };
                let request = aliyun::image_request(aliyun, service, url, self.new_nonce());
                let answer = self.send(request, timeout).await?;
                aliyun::parse_guard_verdict(&answer, "", &self.block_levels(aliyun, guard), false)
            }
            GuardKind::Moderation(settings) => {
                self.call_moderation(
                    settings,
                    ModerationInput::Parts(&[ModerationPart::Image(url)]),
                    timeout,
                )
                .await
            }
            GuardKind::Judge(_) | GuardKind::Words(_) | GuardKind::Pii(_) => Ok(Verdict::Pass),
        }
    }

    /// Block levels of a guard with dimensions; the content dimension has the level of this caller.
    fn block_levels(&self, aliyun: &Aliyun, guard: &ActiveGuard) -> Vec<(Dimension, Level)> {
        let mut bars = aliyun.block_levels.clone();
        if self.has_override(guard)
            && let Some(level) = guard.block_at
        {
            bars.retain(|(dimension, _)| *dimension != Dimension::Content);
            bars.push((Dimension::Content, level));
        }
        bars
    }

    fn new_nonce(&self) -> RequestNonce {
        let nonce = u128::from(self.host.entropy()) << 64 | u128::from(self.host.entropy());
        RequestNonce { now: self.host.now(), nonce }
    }

    /// Calls a service with parts of a text that fit, several concurrently, until one is blocked.
    async fn check_in_parts<F: Future<Output = Result<Verdict, GuardError>>>(
        &self,
        guard: &ActiveGuard,
        text: &str,
        max_chars: usize,
        check_part: impl Fn(String) -> F,
    ) -> GuardResult {
        let parts = chunk_text(text, max_chars);
        let (mut masked, mut findings, mut error) = (Vec::new(), Vec::new(), None);
        let mut failed_rounds = 0;
        for batch in parts.chunks(CONCURRENT_PARTS) {
            // A fail-closed guard has failed already; an unavailable service is not called for
            // every part.
            let is_closed = self.guard_config(guard).on_error == OnError::Closed;
            if failed_rounds == MAX_FAILED_ROUNDS || (is_closed && failed_rounds > 0) {
                break;
            }

            self.record_calls(guard, batch.len());
            let checks =
                batch.iter().map(|part| check_part(text[part.clone()].to_owned())).collect();
            let verdicts = join_all(checks).await;
            failed_rounds += usize::from(verdicts.iter().any(Result::is_err));
            for (part, verdict) in batch.iter().zip(verdicts) {
                match verdict {
                    Ok(Verdict::Pass) => {}
                    Ok(Verdict::Block(findings)) => return Ok(Verdict::Block(findings)).into(),
                    Ok(Verdict::TooMany) => return Ok(Verdict::TooMany).into(),
                    Ok(Verdict::Mask(edits, found)) => {
                        masked.push((part.clone(), edits));
                        findings.extend(found);
                    }
                    Err(reason) => {
                        let was_limited =
                            error.as_ref().is_some_and(|it: &GuardError| it.is_rate_limited);
                        if !was_limited {
                            error = Some(reason);
                        }
                    }
                }
            }
        }
        let verdict = match masked.is_empty() {
            true => Verdict::Pass,
            false => Verdict::Mask(chunking::join_edits(masked), findings),
        };
        GuardResult { verdict, error }
    }

    /// Calls a provider of this configuration, with its next key.
    async fn call_provider(
        &self,
        index: ProviderIndex,
        uri: impl Fn(&Provider) -> Option<Uri>,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, GuardError> {
        let provider = self.config.provider(index);
        let uri = uri(provider).ok_or_else(|| GuardError::new("the provider does not offer it"))?;
        let mut request = http::Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let now = self.host.now();
        let key = self.upstreams.next_key(index, "", now);
        let key = key.map_err(|_| GuardError::new("every key of the provider cools down"))?;
        request::add_key(headers, provider, key.map(|key| &provider.keys[key]));
        self.send(request, timeout).await
    }

    /// Sends a request and reads the whole response within the timeout.
    async fn send(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> Result<Bytes, GuardError> {
        let exchange = async {
            let response = self.host.fetch(request).await;
            let response = response.map_err(|error| GuardError::new(error.reason()))?;
            let (head, body) = response.into_parts();
            let body = body.collect(MAX_RESPONSE_BYTES).await;
            let body = body.map_err(|_| GuardError::new("its answer broke off"))?;
            // Alibaba's service explains errors in the body, regardless of the status.
            match head.status.is_success() {
                true => Ok(body),
                false => Err(GuardError {
                    is_rate_limited: head.status == StatusCode::TOO_MANY_REQUESTS,
                    ..GuardError::new(format!("it answered {}", head.status.as_u16()))
                }),
            }
        };
        let late = || GuardError::new("it did not answer in time");
        until_timer(exchange, self.host.sleep(timeout)).await.ok_or_else(late)?
    }
}

/// Bytes at the end of a text that may be the beginning of a datum.
fn partial_datum_bytes(text: &str) -> usize {
    pii::undecided_bytes(text).min(MAX_DATUM_BYTES)
}

fn check_words(
    words: &Words,
    guard: &ActiveGuard,
    text: &GuardText,
) -> Result<Verdict, GuardError> {
    let block = |label: &str| {
        let (dimension, level) = (Dimension::Content, Level::High);
        Ok(Verdict::Block(vec![Finding { dimension, level, label: label.to_owned() }]))
    };
    // The first word may be cut, because the text before it was shown earlier.
    let read = unescape(&text.text).map(|read| {
        let cut = if text.unchecked_from == 0 {
            0
        } else {
            read.find(|c: char| !c.is_alphanumeric()).unwrap_or(0)
        };
        read[cut..].to_owned()
    });
    let is_in = |list: &WordList, content: &str, from: usize| match text.goes_on {
        true => list.find_so_far(content, from).is_some(),
        false => list.find_at_end(content, from).is_some(),
    };
    let has = |list: &WordList| {
        is_in(list, &text.text, text.unchecked_from)
            || read.as_ref().is_some_and(|read| is_in(list, read, 0))
    };
    if has(&words.inline_words) {
        return block("words");
    }
    match (&words.stored_list, &guard.stored_words) {
        (None, _) => Ok(Verdict::Pass),
        (Some(name), Some(list)) if has(list) => block(name),
        (Some(_), Some(_)) => Ok(Verdict::Pass),
        (Some(_), None) => Err(GuardError::new("its list of words cannot be read")),
    }
}
