//! Fuzz targets for the parsers of untrusted bytes. Ordinary tests replay the inputs in `corpus/`. A target
//! returns nothing and asserts its invariants.
//!
//! To fuzz with libFuzzer: `cargo xtask fuzz --seconds 3600`, or one target with `--only events`.

mod protocols;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use civil_time::Timestamp;
use config::{Config, author};
use gateway::upstream::sse_reader::{SseReader, StreamState};
use gateway::upstream::wrapping::{to_answer, to_events};
use hmac::{Hmac, Mac};
use jwt::{KeySet, Rules};
use openai::{
    AnswerSummary, Changes, ContentParts, Endpoint, ErrorReport, Event, Framer, OutputField,
    Prompt, Request, StreamEvent, TextField, UsageScanner, texts_in_answer,
};
use secret::Secret;
use serde_json::Value;
use sha2::Sha256;

pub use protocols::{streams, translations};

/// Shared secret of the issuer whose tokens this crate signs.
const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// Time before the tokens of the fixture expire.
const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const SKEW: Duration = Duration::from_secs(60);

/// Tokens that OpenSSL signed, with their keys.
static FIXTURE: LazyLock<Value> = LazyLock::new(|| {
    let text = include_str!("../../jwt/tests/fixtures/tokens.json");
    serde_json::from_str(text).expect("the fixture is JSON")
});
/// Published key set with several kinds of keys, and a shared secret.
static ISSUERS: LazyLock<[KeySet; 2]> = LazyLock::new(|| {
    let published = FIXTURE["jwks"].to_string();
    [
        KeySet::from_jwks(published.as_bytes()).expect("the fixture's keys are keys"),
        KeySet::from_secret(&Secret::new(SECRET)).expect("it is long enough"),
    ]
});

/// Request body: an accepted request stays the same request when the gateway rewrites it.
pub fn admission(data: &[u8]) {
    for endpoint in Endpoint::ALL {
        let Ok(request) = Request::parse(endpoint, data) else { continue };
        assert!(std::str::from_utf8(&data[request.content.clone()]).is_ok());
        let changes = Changes {
            model: Some("another \"model\""),
            ask_for_usage: true,
            max_output_tokens: Some((7, OutputField::MaxTokens)),
            extra_messages: None,
        };
        let rewritten = request.rewrite(data, changes);
        let rewritten = rewritten.unwrap_or_else(|| data.to_vec());
        let again = Request::parse(endpoint, &rewritten).expect("a rewritten request is a request");
        assert_eq!(again.model, "another \"model\"");
        assert_eq!(again.stream, request.stream);
        assert!(again.wants_usage || !request.stream);
        assert!(again.output.max_per_choice.is_some_and(|max| max <= 7));
        let (Ok(mut before), Ok(mut after)) =
            (serde_json::from_slice::<Value>(data), serde_json::from_slice::<Value>(&rewritten))
        else {
            // The body has numbers beyond the range of f64 or nesting beyond serde_json's bound for trees.
            continue;
        };
        for value in [&mut before, &mut after] {
            let members = value.as_object_mut().expect("a request is an object");
            members.remove("model");
            members.remove("stream_options");
            members.remove("max_tokens");
            members.remove("max_completion_tokens");
        }
        assert_eq!(before, after);
    }
}

/// Stream; the first byte selects the size of its pieces. Neither a split nor parsed content changes the
/// events that pass, and they consist of the upstream's bytes in their order.
pub fn events(data: &[u8]) {
    let Some((size, stream)) = data.split_first() else { return };
    let unparsed = ContentParts::default();
    let (passed, flow) = relay(stream, stream.len().max(1), unparsed);
    for parts in [unparsed, ContentParts { texts: true, delta: true }] {
        let (split, split_flow) = relay(stream, usize::from(*size) + 1, parts);
        assert_eq!((event_data(&passed), flow), (event_data(&split), split_flow));
    }
    let mut rest = stream.iter();
    assert!(passed.iter().all(|byte| rest.any(|other| other == byte)), "something was added");
}

/// Returns the data of every event, as a client reads it. Bytes are not compared: if a stream changes from
/// bare CRs to CRLF, an LF belongs to the event before or after it, without a meaning.
fn event_data(passed: &[u8]) -> Vec<Vec<u8>> {
    let mut framer = Framer::new(passed.len());
    framer.push(Bytes::copy_from_slice(passed)).expect("nothing was there before");
    let mut all = Vec::new();
    while let Some(event) = framer.next_event() {
        all.extend(Event::parse(framer.bytes(event)).data.map(Cow::into_owned));
    }
    all
}

fn relay(stream: &[u8], size: usize, parts: ContentParts) -> (Vec<u8>, StreamState) {
    let mut reader = SseReader::new(true, parts);
    let mut ready = VecDeque::new();
    let mut flow = StreamState::Open;
    for piece in stream.chunks(size) {
        if flow == StreamState::Open {
            flow = reader.push(Bytes::copy_from_slice(piece), &mut ready);
        }
    }
    (ready.into_iter().flat_map(StreamEvent::into_bytes).collect(), flow)
}

/// Configuration, as JSON and as TOML: it is refused with problems, or its routes are consistent.
pub fn configuration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let secrets = |name: &str| Some(Secret::new(&format!("secret {name}")));
    for parsed in [Config::from_json(text, &secrets), author::from_toml(text, &secrets)] {
        match parsed {
            Ok(config) => {
                for (_, route) in config.routes_with_index() {
                    assert!(!route.targets.all().is_empty());
                    assert_eq!(
                        route.targets.total().get(),
                        route
                            .targets
                            .all()
                            .iter()
                            .map(|target| u64::from(target.weight))
                            .sum::<u64>()
                    );
                }
            }
            Err(problems) => assert!(!problems.to_string().is_empty()),
        }
    }
}

/// Untrusted token, and a token that a trusted issuer signed with the first line as its header and the rest
/// as its claims. Neither is accepted without a valid signature and time.
pub fn tokens(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for keys in ISSUERS.iter() {
        assert_verification(text, keys);
    }
    let Some((header, claims)) = text.split_once('\n') else { return };
    if assert_verification(&signed(header, claims), &ISSUERS[1]) {
        let header: Value = serde_json::from_str(header).expect("its header was read");
        assert_eq!(header["alg"], "HS256", "a shared secret verifies HS256 only");
    }
}

/// Published key set: it is refused, or it verifies tokens without accepting a forged one.
pub fn keys(data: &[u8]) {
    match KeySet::from_jwks(data) {
        Ok(keys) => {
            let tokens = FIXTURE["tokens"].as_object().expect("the fixture has tokens");
            for token in tokens.values().filter_map(Value::as_str) {
                assert_verification(token, &keys);
            }
            let forged = signed(r#"{"alg":"HS256"}"#, r#"{"exp":9999999999}"#);
            assert!(!assert_verification(&forged, &keys), "a published key is not a secret");
        }
        Err(invalid) => assert!(!invalid.to_string().is_empty()),
    }
}

/// Asserts that an accepted token looks like a token and has not expired. Returns whether it is accepted.
fn assert_verification(token: &str, keys: &KeySet) -> bool {
    let audiences = ["gateway".to_owned()];
    let peek = jwt::read_unverified(token);
    let looks_like = jwt::looks_like_jwt(token);
    let (token_type, max_lifetime) = (None, None);
    let lenient_rules =
        Rules { issuer: None, audiences: &[], token_type, max_lifetime, skew: SKEW };
    let strict_rules = Rules {
        issuer: Some("joe"),
        audiences: &audiences,
        token_type: Some("JWT"),
        max_lifetime: Some(Duration::from_secs(3_600)),
        skew: Duration::ZERO,
    };
    let [lenient, strict] =
        [lenient_rules, strict_rules].map(|rules| jwt::verify(token, keys, &rules, NOW));
    if let Ok(claims) = &lenient {
        assert!(looks_like, "the gateway would treat it as an API key");
        assert!(
            claims.expires_at().as_millis().saturating_add(SKEW.as_millis() as u64)
                >= NOW.as_millis()
        );
        for path in ["iss", "sub", "realm.team", "https://example.com/team", "", "."] {
            assert!(claims.get_text(path) != Some(""), "an empty text is none");
        }
    }
    if let Ok(claims) = &strict {
        assert!(lenient.is_ok() && claims.get_text("iss") == Some("joe"));
        assert_eq!(peek.and_then(|peek| peek.issuer).as_deref(), Some("joe"));
    }
    lenient.is_ok()
}

/// Signs with the shared secret, regardless of the algorithm in the header.
fn signed(header: &str, claims: &str) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let mut hmac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length will do");
    hmac.update(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(hmac.finalize().into_bytes()))
}

/// Request or answer: each text is at its reported range, and the ranges are in order.
pub fn texts(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(all) = texts_in_answer(text) {
        assert_ranges(text, all.iter());
    }
    for endpoint in Endpoint::ALL {
        let Ok(request) = Request::parse(endpoint, data) else { continue };
        if let Ok(prompt) = Prompt::parse(endpoint, text, request.content) {
            assert_ranges(text, prompt.texts.iter().map(|(_, field)| field));
            let numbers = prompt.texts.iter().map(|(number, _)| *number);
            let numbers = numbers.chain(prompt.images.iter().map(|picture| picture.message));
            assert!(numbers.max().is_none_or(|max| max < prompt.roles.len()));
        }
    }
}

/// Answer of a provider; the first byte selects the size of its pieces. Pieces do not change the usage that is
/// found. A stream that becomes one answer and a stream again keeps its texts.
pub fn answers(data: &[u8]) {
    let Some((size, body)) = data.split_first() else { return };
    let mut split = UsageScanner::default();
    body.chunks(usize::from(*size) + 1).for_each(|piece| split.push(piece));
    let mut whole = UsageScanner::default();
    whole.push(body);
    assert_eq!(split.usage(), whole.usage());
    for endpoint in Endpoint::ALL {
        let _ = AnswerSummary::parse(endpoint, body);
        let answer = match to_events(endpoint, body) {
            Some(events) => to_answer(endpoint, &events),
            None => to_answer(endpoint, &Bytes::copy_from_slice(body)),
        };
        let Some(answer) = answer else { continue };
        let text = std::str::from_utf8(&answer).expect("an answer is JSON");
        assert!(serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok(), "{text}");
        let Some(again) = to_events(endpoint, &answer).and_then(|it| to_answer(endpoint, &it))
        else {
            continue;
        };
        let texts = |answer: &[u8]| {
            let text = std::str::from_utf8(answer).expect("an answer is JSON");
            let all = texts_in_answer(text).ok()?;
            let mut all: Vec<String> = all.iter().map(|field| field.text.to_string()).collect();
            // An empty text is as good as none.
            all.retain(|text| !text.is_empty());
            all.sort_unstable();
            Some(all)
        };
        assert_eq!(texts(&answer), texts(&again), "{text}");
    }
}

/// Refusal of a provider: its report is bounded.
pub fn reports(data: &[u8]) {
    let Some(report) = ErrorReport::parse(data) else { return };
    assert!(report.names().count() <= 64);
    assert!(report.message.len() <= 6 * data.len() && report.param.len() <= 6 * data.len());
}

fn assert_ranges<'a>(body: &str, all: impl Iterator<Item = &'a TextField<'a>>) {
    let mut end: Option<usize> = None;
    for field in all {
        let raw = &body[field.at.clone()];
        assert!(raw.len() >= 2 && raw.starts_with('"') && raw.ends_with('"'), "{raw}");
        // serde_json refuses half a surrogate pair; `openai` reads it as U+FFFD.
        if let Ok(text) = serde_json::from_str::<String>(raw) {
            assert_eq!(text, field.text);
        }
        assert!(end.is_none_or(|end| end <= field.at.start), "{:?} after {end:?}", field.at);
        end = Some(field.at.end);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Mutations of each input, unless `SERIN_MUTATIONS` sets another number. They are equal in every run.
    const MUTATIONS: u64 = 50;

    /// Replays a corpus and mutations of it. A corpus has at least 8 inputs, since an empty one proves nothing.
    #[track_caller]
    fn assert_corpus_holds(name: &str, target: fn(&[u8])) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let files = std::fs::read_dir(corpus).expect("the corpus is committed");
        let mut inputs: Vec<Vec<u8>> = files
            .map(|file| std::fs::read(file.expect("a file").path()).expect("a readable file"))
            .collect();
        inputs.sort_unstable();
        assert!(inputs.len() >= 8, "{name} has only {} inputs", inputs.len());
        inputs.iter().for_each(|input| target(input));
        let mutations = std::env::var("SERIN_MUTATIONS").ok().and_then(|count| count.parse().ok());
        let mut rng = Rng(0);
        for _ in 0..mutations.unwrap_or(MUTATIONS) {
            for input in &inputs {
                let mutant = mutate(input, &inputs, &mut rng);
                let result = std::panic::catch_unwind(|| target(&mutant));
                assert!(result.is_ok(), "{name}: {:?}", String::from_utf8_lossy(&mutant));
            }
        }
    }

    /// SplitMix64.
    struct Rng(u64);

    impl Rng {
        fn below(&mut self, end: usize) -> usize {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.0;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((mixed ^ (mixed >> 31)) % end.max(1) as u64) as usize
        }
    }

    /// Changes an input at one to four places: bytes that matter to parsers, repetitions, cuts, and pieces of
    /// other inputs.
    fn mutate(input: &[u8], inputs: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
        const SHARP: &[u8] = b"\"\\{}[]:,.\r\n \t0-eE+\0\x7f\x80\xef\xbb\xbf\xff";
        let mut mutant = input.to_vec();
        for _ in 0..=rng.below(4) {
            let (one, other) = (rng.below(mutant.len() + 1), rng.below(mutant.len() + 1));
            let span = one.min(other)..one.max(other);
            match rng.below(6) {
                0 => {
                    if let Some(byte) = mutant.get_mut(one) {
                        *byte = SHARP[rng.below(SHARP.len())];
                    }
                }
                1 => mutant.insert(one, SHARP[rng.below(SHARP.len())]),
                2 => {
                    if let Some(byte) = mutant.get_mut(one) {
                        *byte ^= 1 << rng.below(8);
                    }
                }
                3 => drop(mutant.drain(span)),
                4 => {
                    let again = mutant[span].to_vec();
                    mutant.splice(other..other, again);
                }
                _ => {
                    let from = &inputs[rng.below(inputs.len())];
                    let (begin, end) = (rng.below(from.len() + 1), rng.below(from.len() + 1));
                    mutant.splice(span, from[begin.min(end)..begin.max(end)].iter().copied());
                }
            }
            mutant.truncate(64 << 10);
        }
        mutant
    }

    #[test]
    fn admission_of_the_corpus_and_mutations_hold() {
        assert_corpus_holds("admission", super::admission);
    }

    #[test]
    fn events_of_the_corpus_and_mutations_hold() {
        assert_corpus_holds("events", super::events);
    }

    #[test]
    fn answers_of_the_corpus_and_mutations_hold() {
        assert_corpus_holds("answers", super::answers);
    }

    #[test]
    fn reports_of_the_corpus_and_mutations_hold() {
        assert_corpus_holds("reports", super::reports);
    }

    #[test]
    fn configuration_of_the_corpus_and_mutations_hold() {
        assert_corpus_holds("configuration", super::configuration);
    }

    #[test]
    fn tokens_of_the_corpus_and_mutations_hold() {
        assert_corpus_holds("tokens", super::tokens);
    }

    #[test]
    fn keys_of_the_corpus_and_mutations_hold() {
        assert_corpus_holds("keys", super::keys);
    }

    #[test]
    fn texts_of_the_corpus_and_mutations_hold() {
        assert_corpus_holds("texts", super::texts);
    }

    #[test]
    fn translations_of_the_corpus_and_mutations_hold() {
        assert_corpus_holds("translations", super::translations);
    }

    #[test]
    fn streams_of_the_corpus_and_mutations_hold() {
        assert_corpus_holds("streams", super::streams);
    }
}
