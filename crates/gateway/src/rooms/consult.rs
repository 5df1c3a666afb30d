//! Asks a guard about a text: what needs no service at once, and services in bounded time.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Method, Uri};
use openai::Endpoint;

use crate::config::{Aliyun, AliyunAction, GuardKind, Provider, ProviderIndex, Words};
use crate::guard::aliyun::{self, Stamp};
use crate::guard::{
    Dimension, Edit, Finding, Level, NoVerdict, Phase, Verdict, judge, moderation, slices,
};
use crate::platform::Platform;

use super::inspect::{Inspector, Post};
use super::notary::join;
use super::outgoing;
use super::patience::race;

/// The longest answer of a service that is read.
const LONGEST: usize = 256 << 10;
/// So many parts of one text are checked at once.
const AT_ONCE: usize = 4;
/// The longest part of a text that services other than Alibaba's are shown at once, in characters.
const LONGEST_PART: usize = 8_000;

impl<P: Platform> Inspector<P> {
    /// Asks a guard about a text.
    pub(super) async fn consult(
        &self,
        post: &Post,
        phase: Phase,
        text: &str,
    ) -> Result<Verdict, NoVerdict> {
        let timeout = self.guard(post).timeout;
        match &self.guard(post).kind {
            GuardKind::Words(words) => words_in(words, post, text),
            GuardKind::Pii(pii) => Ok(self.masks.borrow_mut().mask(pii, text)),
            GuardKind::Aliyun(aliyun) => {
                let service = self.service(post, phase).unwrap_or(match phase {
                    Phase::Request => &aliyun.request_service,
                    Phase::Response => &aliyun.response_service,
                });
                let part = |part: String| async move {
                    let stamp = self.stamp();
                    let request = aliyun::text(aliyun, service, &part, &self.session, stamp);
                    let answer = self.ask(request, timeout).await?;
                    match aliyun.action {
                        AliyunAction::Text => aliyun::text_verdict(&answer, post.block_at),
                        AliyunAction::MultiModal => {
                            let bars = self.bars(aliyun, post);
                            aliyun::guard_verdict(&answer, &part, &bars, aliyun.mask)
                        }
                    }
                };
                self.in_parts(text, aliyun::LONGEST, part).await
            }
            GuardKind::Moderation(settings) => {
                let part = |part: String| async move {
                    let body = moderation::body(settings, &part);
                    let uri = |provider: &Provider| {
                        format!("{}/moderations", provider.base_url).try_into().ok()
                    };
                    let answer = self.call(settings.provider, uri, body, timeout).await?;
                    moderation::verdict(settings, &answer)
                };
                self.in_parts(text, LONGEST_PART, part).await
            }
            GuardKind::Judge(settings) => {
                let part = |part: String| async move {
                    let question = match phase {
                        Phase::Request => None,
                        Phase::Response => Some(self.question.borrow().clone()),
                    };
                    let body = judge::body(settings, phase, question.as_deref(), &part);
                    let uri = |provider: &Provider| {
                        provider.url(Endpoint::ChatCompletions, &settings.model)
                    };
                    let answer = self.call(settings.provider, uri, body, timeout).await?;
                    judge::verdict(settings, &answer, post.block_at)
                };
                self.in_parts(text, LONGEST_PART, part).await
            }
        }
    }

    /// Asks a guard about a picture. Who cannot look at pictures lets them pass.
    pub(super) async fn look(&self, post: &Post, url: &str) -> Result<Verdict, NoVerdict> {
        let guard = self.guard(post);
        let GuardKind::Aliyun(aliyun) = &guard.kind else { return Ok(Verdict::Pass) };
        let Some(service) = &aliyun.image_service else { return Ok(Verdict::Pass) };
        let request = aliyun::picture(aliyun, service, url, self.stamp());
        let answer = self.ask(request, guard.timeout).await?;
        aliyun::guard_verdict(&answer, "", &self.bars(aliyun, post), false)
    }

    /// The bars of a guard that tells dimensions apart; what is said has the post's own.
    fn bars(&self, aliyun: &Aliyun, post: &Post) -> Vec<(Dimension, Level)> {
        let mut bars = aliyun.bars.clone();
        if self.is_exception(post)
            && let Some(level) = post.block_at
        {
            bars.retain(|(dimension, _)| *dimension != Dimension::Content);
            bars.push((Dimension::Content, level));
        }
        bars
    }

    fn stamp(&self) -> Stamp {
        let nonce = u128::from(self.platform.entropy()) << 64 | u128::from(self.platform.entropy());
        Stamp { now: self.platform.now(), nonce }
    }

    /// Asks about a text in parts that the service can take, some at once, until one is blocked.
    async fn in_parts<F: Future<Output = Result<Verdict, NoVerdict>>>(
        &self,
        text: &str,
        longest: usize,
        ask: impl Fn(String) -> F,
    ) -> Result<Verdict, NoVerdict> {
        let parts = slices(text, longest);
        let (mut edits, mut findings): (Vec<Edit>, Vec<Finding>) = Default::default();
        let mut trouble = None;
        for some in parts.chunks(AT_ONCE) {
            let asked = some.iter().map(|part| ask(text[part.clone()].to_owned())).collect();
            for (part, verdict) in some.iter().zip(join(asked).await) {
                match verdict {
                    Ok(Verdict::Pass) => {}
                    Ok(Verdict::Block(findings)) => return Ok(Verdict::Block(findings)),
                    Ok(Verdict::Mask(some, found)) => {
                        // Parts overlap where no sentence ends: what two of them mask is masked once.
                        let from = edits.last().map_or(0, |edit| edit.at.end);
                        edits.extend(some.into_iter().filter_map(|edit| {
                            let at = edit.at.start + part.start..edit.at.end + part.start;
                            (at.start >= from).then_some(Edit { at, text: edit.text })
                        }));
                        findings.extend(found);
                    }
                    Err(reason) => trouble = Some(reason),
                }
            }
        }
        match trouble {
            Some(reason) => Err(reason),
            None if findings.is_empty() => Ok(Verdict::Pass),
            None => Ok(Verdict::Mask(edits, findings)),
        }
    }

    /// Calls a provider of this configuration, with its next key.
    async fn call(
        &self,
        index: ProviderIndex,
        uri: impl Fn(&Provider) -> Option<Uri>,
        body: Vec<u8>,
        timeout: Duration,
    ) -> Result<Bytes, NoVerdict> {
        let provider = self.gateway.config().provider(index);
        let uri = uri(provider).ok_or_else(|| NoVerdict("the provider does not offer it".into()))?;
        let mut request = http::Request::new(Bytes::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let now = self.platform.now();
        let key = self.gateway.fleet().key(index, "", now);
        let key = key.map_err(|_| NoVerdict("every key of the provider rests".into()))?;
        outgoing::authenticate(headers, provider, key.map(|key| &provider.keys[key]));
        self.ask(request, timeout).await
    }

    /// Sends a request and reads the answer whole, in time.
    async fn ask(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> Result<Bytes, NoVerdict> {
        let exchange = async {
            let response = self.platform.fetch(request).await;
            let response = response.map_err(|outage| NoVerdict(outage.reason().to_owned()))?;
            let (head, body) = response.into_parts();
            let body = body.collect(LONGEST).await;
            let body = body.map_err(|_| NoVerdict("its answer broke off".to_owned()))?;
            // Alibaba's service explains what is wrong in the body, whatever the status is.
            match head.status.is_success() {
                true => Ok(body),
                false => Err(NoVerdict(format!("it answered {}", head.status.as_u16()))),
            }
        };
        let late = || NoVerdict("it did not answer in time".to_owned());
        race(exchange, self.platform.sleep(timeout)).await.ok_or_else(late)?
    }
}

fn words_in(words: &Words, post: &Post, text: &str) -> Result<Verdict, NoVerdict> {
    let block = |label: &str| {
        let (dimension, level) = (Dimension::Content, Level::High);
        Ok(Verdict::Block(vec![Finding { dimension, level, label: label.to_owned() }]))
    };
    if words.listed.find(text).is_some() {
        return block("words");
    }
    match (&words.list, &post.list) {
        (None, _) => Ok(Verdict::Pass),
        (Some(name), Some(list)) if list.find(text).is_some() => block(name),
        (Some(_), Some(_)) => Ok(Verdict::Pass),
        (Some(_), None) => Err(NoVerdict("its list of words cannot be read".to_owned())),
    }
}
