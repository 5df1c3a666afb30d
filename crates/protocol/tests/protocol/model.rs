//! Answers there and back: through each pair of protocols, and through their streams.

use proptest::prelude::{Just, ProptestConfig, Strategy, any, proptest};
use proptest::prop_oneof;
use protocol::model::{
    Answer, AnswerChoice, ArgumentsText, CacheWrite, EndReason, Part, PartKind, ReasoningText,
    ReasoningTextKind, ServiceTier, Usage,
};
use protocol::stream::{Collector, StreamReader, StreamWriter, replay};
use protocol::{answer, model::Protocol};

use crate::support::{PROTOCOLS, Written, context, read_stream};

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{1,6}", "[\\x00-\\x7f]{1,8}", "\\PC{1,8}"]
}

fn part_kind() -> impl Strategy<Value = PartKind<'static>> {
    // Responses has the summaries of an item before its other texts.
    let thoughts = (any::<bool>(), proptest::collection::vec(text(), 1..3));
    let thoughts = thoughts.prop_map(|(is_full, texts)| {
        let kind = if is_full { ReasoningTextKind::Full } else { ReasoningTextKind::Summary };
        texts.into_iter().map(|text| ReasoningText { kind, text: text.into() }).collect()
    });
    let arguments = prop_oneof![
        Just("{}".to_owned()),
        "\\{\"a\": ?[0-9]\\}",
        Just("{\"a\":\"\\\"}\",\"b\":[{}]}".to_owned()),
    ];
    prop_oneof![
        3 => text().prop_map(|text| PartKind::Text { text: text.into(), citations: Vec::new() }),
        1 => text().prop_map(|text| PartKind::Refusal(text.into())),
        2 => thoughts
            .prop_map(|texts| PartKind::Reasoning { texts, is_redacted: false }),
        2 => ("[a-zA-Z0-9_-]{1,64}", "[a-z]{1,5}", arguments).prop_map(|(id, name, arguments)| {
            PartKind::ToolCall {
                id: id.into(),
                name: name.into(),
                arguments: ArgumentsText::Json(arguments.into()),
            }
        }),
    ]
}

fn usage() -> impl Strategy<Value = Usage> {
    (0..1_000_u64, 0..1_000_u64, 0..1_000_u64, 0..1_000_u64, 0..1_000_u64).prop_map(
        |(uncached, cached, written, output, reasoning)| Usage {
            // A report without tokens is none.
            input: 1 + uncached + cached + written,
            cached,
            cache_write: CacheWrite { short: written, long: 0 },
            output: output + reasoning,
            reasoning,
            ..Usage::default()
        },
    )
}

fn answer() -> impl Strategy<Value = Answer<'static>> {
    let end =
        prop_oneof![Just(EndReason::Done), Just(EndReason::Length), Just(EndReason::Filtered)];
    (proptest::collection::vec(part_kind(), 0..6), end, usage()).prop_map(|(kinds, end, usage)| {
        let part = |kind| Part { kind, cache: None, seal: None };
        let parts = kinds.into_iter().map(part).collect();
        let mut choice = AnswerChoice { index: 0, parts, end: EndReason::Other, logprobs: None };
        choice.end = end.given_content(choice.has_calls(), choice.has_refusal());
        Answer {
            id: "id".into(),
            model: "m".into(),
            created: Some(17),
            choices: vec![choice],
            usage: Some(usage),
            tier: Some(ServiceTier::Standard),
            fingerprint: None,
        }
    })
}

/// Content that every protocol can say. Only Chat and Responses mark a refusal in words, only
/// Messages marks a filter as a refusal, and only Responses has several texts of reasoning.
fn shared_content(answer: &Answer<'_>) -> String {
    let choice = &answer.choices[0];
    let (mut text, mut thoughts, mut calls) = (String::new(), Vec::new(), Vec::new());
    let mut refusals = String::new();
    for part in &choice.parts {
        match &part.kind {
            PartKind::Text { text: piece, .. } => text.push_str(piece),
            PartKind::Refusal(piece) => refusals.push_str(piece),
            PartKind::Reasoning { texts, .. } => {
                thoughts.extend(texts.iter().map(|thought| thought.text.as_ref().to_owned()));
            }
            PartKind::ToolCall { id, name, arguments } => {
                calls.push(format!("{id} {name} {arguments:?}"));
            }
            _ => {}
        }
    }
    // A protocol with one text separates those of others by blank lines.
    let thoughts = thoughts.concat().replace('\n', "");
    let mut letters: Vec<char> = (text + &refusals).chars().collect();
    // Messages keeps the order of texts and refusals, Chat does not.
    letters.sort_unstable();
    let letters: String = letters.into_iter().collect();
    let end = match &choice.end {
        EndReason::Filtered | EndReason::Refused { .. } => "refused".to_owned(),
        end => format!("{end:?}"),
    };
    format!("{letters:?} {thoughts:?} {calls:?} {end} {:?} {}", answer.usage, answer.model)
}

fn through<'a>(protocol: Protocol, answer: &Answer<'_>, body: &'a mut Vec<u8>) -> Answer<'a> {
    *body = answer::write(protocol, answer, &context()).expect("arguments are objects").body;
    answer::read(protocol, body).expect("an answer that was just written")
}

/// A refusal in words ends as `Done` in Chat and Responses beside calls or limits only, so that the
/// reason is compared without it.
fn has_refusal(answer: &Answer<'_>) -> bool {
    answer.choices[0].has_refusal()
}

/// Writes an answer as a stream.
fn stream_of(protocol: Protocol, answer: Answer<'_>) -> Vec<u8> {
    let mut written = Written(StreamWriter::new(protocol, context()), Vec::new());
    for event in replay(answer) {
        written.0.write(&event, &mut written.1);
    }
    assert!(written.0.has_ended());
    written.1
}

fn collect(protocol: Protocol, bytes: &[u8]) -> Answer<'static> {
    let mut collector = Collector::default();
    read_stream(protocol, [bytes], &mut collector);
    collector.into_answer().expect("the stream is whole")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn answer_through_two_protocols_keeps_its_content(
        answer in answer(),
        one in 0..3_usize,
        other in 0..3_usize,
    ) {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        let once = through(PROTOCOLS[one], &answer, &mut first);
        let twice = through(PROTOCOLS[other], &once, &mut second);
        let expected = shared_content(&answer);
        assert_eq!(shared_content(&once), expected);
        // Messages does not mark a refusal in words, so that the way back has a filter.
        if !has_refusal(&answer) {
            assert_eq!(shared_content(&twice), expected);
        }
    }

    #[test]
    fn stream_of_an_answer_collects_to_the_answer(answer in answer(), at in 0..3_usize) {
        let protocol = PROTOCOLS[at];
        let mut body = Vec::new();
        let whole = through(protocol, &answer, &mut body);
        let bytes = stream_of(protocol, answer.clone());
        let collected = collect(protocol, &bytes);
        assert_eq!(shared_content(&collected), shared_content(&whole));
        if protocol != Protocol::Chat {
            // Chat has one place for each kind of content, the others keep the order.
            let parts = |answer: &Answer<'_>| format!("{:?}", answer.choices[0].parts);
            assert_eq!(parts(&collected), parts(&whole));
        }
        assert_eq!(collected.tier, whole.tier);
        assert_eq!((collected.created, &*collected.id), (whole.created, &*whole.id));
    }

    #[test]
    fn stream_through_another_protocol_keeps_its_content(
        answer in answer(),
        one in 0..3_usize,
        other in 0..3_usize,
    ) {
        let first = stream_of(PROTOCOLS[one], answer.clone());
        let once = collect(PROTOCOLS[one], &first);
        let mut written = Written(StreamWriter::new(PROTOCOLS[other], context()), Vec::new());
        read_stream(PROTOCOLS[one], [first.as_slice()], &mut written);
        let twice = collect(PROTOCOLS[other], &written.1);
        if !has_refusal(&answer) {
            assert_eq!(shared_content(&twice), shared_content(&once));
        }
    }
}

#[test]
fn stream_that_is_not_finished_is_not_an_answer() {
    assert!(Collector::default().into_answer().is_err());
    let mut reader = StreamReader::new(Protocol::Messages);
    let mut events = Vec::new();
    reader.finish(&mut events);
    let mut collector = Collector::default();
    events.iter().for_each(|event| collector.add(event));
    assert!(collector.into_answer().is_err());
}
