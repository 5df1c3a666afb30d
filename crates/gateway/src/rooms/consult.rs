//! Asks a guard about a text: what needs no service at once, and services in bounded time.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Method, Uri};
use openai::Endpoint;

use crate::config::{
    Aliyun, AliyunAction, GuardKind, Moderation, OnError, Provider, ProviderIndex, Words,
};
use crate::guard::aliyun::{self, Stamp};
use crate::guard::escape::{REACH, unescaped};
use crate::guard::moderation::{self, Input, Part};
use crate::guard::slices::{self, slices};
use crate::guard::{
    Dimension, Finding, Level, Lexicon, NoVerdict, Phase, Text, Verdict, judge, pii, tail,
};
use crate::platform::Platform;

use super::futures::{join, race};
use super::inspect::{Inspector, Opinion, Post};
use super::outgoing;

/// The longest answer of a service that is read.
const LONGEST: usize = 256 << 10;
/// So many parts of one text are checked at once.
const AT_ONCE: usize = 4;
/// The longest part of a text that services other than Alibaba's are shown at once, in characters.
const LONGEST_PART: usize = 8_000;
/// So much of the end of a text is shown to a service again with what follows it: a phrase, in
/// characters.
const PHRASE: usize = 50;
/// Of one text, so many rounds of questions may fail before no more are asked.
const MOST_TROUBLES: usize = 2;
/// What is longer is no datum of ours, in bytes.
const LONGEST_WORD: usize = 4 << 10;
/// The same for patterns of the operator's own.
const LONGEST_DATUM: usize = 100;

impl<P: Platform> Inspector<P> {
    /// Asks a guard about a text.
    pub(super) async fn consult(&self, post: &Post, phase: Phase, text: &Text) -> Opinion {
        let timeout = self.guard(post).timeout;
        let (whole, goes_on) = (text, text.goes_on);
        let text = text.text.as_str();
        // Who masks says where: in the text as it is.
        let read = if self.masks_what_it_is_shown(post) { None } else { unescaped(text) };
        let text = read.as_deref().unwrap_or(text);
        match &self.guard(post).kind {
            GuardKind::Words(words) => words_in(words, post, whole).into(),
            GuardKind::Pii(pii) => {
                let mut masks = match phase {
                    Phase::Request => self.masks.borrow_mut(),
                    Phase::Response => self.unsaid.borrow_mut(),
                };
                let verdict =
                    if goes_on { masks.mask_so_far(pii, text) } else { masks.mask(pii, text) };
                Ok(verdict).into()
            }
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
                self.in_parts(post, text, aliyun::MOST, part).await
            }
            GuardKind::Moderation(settings) => {
                let part = |part: String| async move {
                    self.moderate(settings, Input::Texts(&[&part]), timeout).await
                };
                self.in_parts(post, text, LONGEST_PART, part).await
            }
            GuardKind::Judge(settings) => {
                let asked = match phase {
                    Phase::Request => String::new(),
                    Phase::Response => self.question.borrow().clone(),
                };
                let (asked, model, format) = (&asked, &settings.model, settings.format);
                let part = |part: String| async move {
                    let body = match phase {
                        Phase::Request => judge::body(model, format, &part, None),
                        Phase::Response => judge::body(model, format, asked, Some(&part)),
                    };
                    let uri = |provider: &Provider| provider.url(Endpoint::ChatCompletions, model);
                    let answer = self.call(settings.provider, uri, body, timeout).await?;
                    judge::verdict(&answer, format, post.block_at)
                };
                self.in_parts(post, text, LONGEST_PART, part).await
            }
        }
    }

    /// How many bytes at the end of a text a guard cannot judge before it knows what follows them.
    pub(super) fn undecided(&self, post: &Post, text: &Text) -> usize {
        if !text.goes_on {
            return 0;
        }
        let last = |count| text.text.len() - tail(&text.text, count);
        match &self.guard(post).kind {
            GuardKind::Words(words) => {
                let undecided = |list: &Lexicon| list.undecided(&text.text, text.from);
                let kept = post.list.as_deref().map_or(0, undecided);
                let escaped = if text.text.contains('\\') { last(REACH) } else { 0 };
                undecided(&words.listed).max(kept).max(escaped)
            }
            // How far an operator's pattern reaches nobody knows.
            GuardKind::Pii(pii) if !pii.custom.is_empty() => {
                datum(&text.text).max(last(LONGEST_DATUM))
            }
            GuardKind::Pii(_) => datum(&text.text),
            GuardKind::Aliyun(_) | GuardKind::Moderation(_) | GuardKind::Judge(_) => last(PHRASE),
        }
    }

    fn masks_what_it_is_shown(&self, post: &Post) -> bool {
        match &self.guard(post).kind {
            GuardKind::Aliyun(aliyun) => aliyun.mask,
            GuardKind::Pii(_) => true,
            GuardKind::Words(_) | GuardKind::Moderation(_) | GuardKind::Judge(_) => false,
        }
    }

    async fn moderate(
        &self,
        settings: &Moderation,
        input: Input<'_>,
        timeout: Duration,
    ) -> Result<Verdict, NoVerdict> {
        let results = input.results();
        let body = moderation::body(settings.model.as_deref(), input);
        let uri =
            |provider: &Provider| format!("{}/moderations", provider.base_url).try_into().ok();
        let answer = self.call(settings.provider, uri, body, timeout).await?;
        moderation::verdict(&answer, &settings.thresholds, results)
    }

    /// Whether a guard looks at pictures.
    pub(super) fn looks(&self, post: &Post) -> bool {
        match &self.guard(post).kind {
            GuardKind::Aliyun(aliyun) => aliyun.image_service.is_some(),
            GuardKind::Moderation(_) => true,
            GuardKind::Judge(_) | GuardKind::Words(_) | GuardKind::Pii(_) => false,
        }
    }

    /// Asks a guard about a picture. Who cannot look at pictures lets them pass.
    pub(super) async fn look(&self, post: &Post, url: &str) -> Result<Verdict, NoVerdict> {
        let timeout = self.guard(post).timeout;
        match &self.guard(post).kind {
            GuardKind::Aliyun(aliyun) => {
                let Some(service) = &aliyun.image_service else { return Ok(Verdict::Pass) };
                let request = aliyun::image(aliyun, service, url, self.stamp());
                let answer = self.ask(request, timeout).await?;
                aliyun::guard_verdict(&answer, "", &self.bars(aliyun, post), false)
            }
            GuardKind::Moderation(settings) => {
                self.moderate(settings, Input::Parts(&[Part::Image(url)]), timeout).await
            }
            GuardKind::Judge(_) | GuardKind::Words(_) | GuardKind::Pii(_) => Ok(Verdict::Pass),
        }
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
        post: &Post,
        text: &str,
        longest: usize,
        ask: impl Fn(String) -> F,
    ) -> Opinion {
        let parts = slices(text, longest);
        let (mut masked, mut findings, mut trouble) = (Vec::new(), Vec::new(), None);
        let mut troubles = 0;
        for some in parts.chunks(AT_ONCE) {
            // Whoever must know does already that he will not, and nobody waits for a service that is
            // away as often as there are parts.
            let is_closed = self.guard(post).on_error == OnError::Closed;
            if troubles == MOST_TROUBLES || (is_closed && troubles > 0) {
                break;
            }

            let asked = some.iter().map(|part| ask(text[part.clone()].to_owned())).collect();
            let verdicts = join(asked).await;
            troubles += usize::from(verdicts.iter().any(Result::is_err));
            for (part, verdict) in some.iter().zip(verdicts) {
                match verdict {
                    Ok(Verdict::Pass) => {}
                    Ok(Verdict::Block(findings)) => return Ok(Verdict::Block(findings)).into(),
                    Ok(Verdict::Mask(edits, found)) => {
                        masked.push((part.clone(), edits));
                        findings.extend(found);
                    }
                    Err(reason) => trouble = Some(reason),
                }
            }
        }
        let verdict = match masked.is_empty() {
            true => Verdict::Pass,
            false => Verdict::Mask(slices::join(masked), findings),
        };
        Opinion { verdict, trouble }
    }

    /// Calls a provider of this configuration, with its next key.
    async fn call(
        &self,
        index: ProviderIndex,
        uri: impl Fn(&Provider) -> Option<Uri>,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, NoVerdict> {
        let provider = self.config.provider(index);
        let uri =
            uri(provider).ok_or_else(|| NoVerdict("the provider does not offer it".into()))?;
        let mut request = http::Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let now = self.platform.now();
        let key = self.fleet.key(index, "", now);
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

/// How many bytes at the end of a text may be the beginning of a datum.
fn datum(text: &str) -> usize {
    pii::undecided(text).min(LONGEST_WORD)
}

fn words_in(words: &Words, post: &Post, text: &Text) -> Result<Verdict, NoVerdict> {
    let block = |label: &str| {
        let (dimension, level) = (Dimension::Content, Level::High);
        Ok(Verdict::Block(vec![Finding { dimension, level, label: label.to_owned() }]))
    };
    // Where a word in what was shown begins is not known: the first may be cut.
    let read = unescaped(&text.text).map(|read| {
        let cut =
            if text.from == 0 { 0 } else { read.find(|c: char| !c.is_alphanumeric()).unwrap_or(0) };
        read[cut..].to_owned()
    });
    let is_in = |list: &Lexicon, said: &str, from: usize| match text.goes_on {
        true => list.find_so_far(said, from).is_some(),
        false => list.find_at_end(said, from).is_some(),
    };
    let has = |list: &Lexicon| {
        is_in(list, &text.text, text.from) || read.as_ref().is_some_and(|read| is_in(list, read, 0))
    };
    if has(&words.listed) {
        return block("words");
    }
    match (&words.list, &post.list) {
        (None, _) => Ok(Verdict::Pass),
        (Some(name), Some(list)) if has(list) => block(name),
        (Some(_), Some(_)) => Ok(Verdict::Pass),
        (Some(_), None) => Err(NoVerdict("its list of words cannot be read".to_owned())),
    }
}
