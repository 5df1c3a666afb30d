use super::{AnswerSize, OutputBounds, TokenSource, Tokens, UsageDoubt};
use crate::{TextSize, Usage};

/// A prompt of 10 tokens and an answer of 5 by estimate.
fn size() -> AnswerSize {
    AnswerSize {
        prompt: TextSize { narrow: 40, ..TextSize::default() },
        answer: TextSize { narrow: 20, ..TextSize::default() },
        ..AnswerSize::default()
    }
}

#[track_caller]
fn assert_counted(usage: Usage, size: &AnswerSize, expected: (u64, u64, Option<UsageDoubt>)) {
    let tokens = Tokens::count(Some(usage), size);
    assert_eq!((tokens.input, tokens.output, tokens.doubt), expected, "{usage:?}");
    let is_reported = tokens.counted == TokenSource::Reported;
    assert_eq!(is_reported, tokens.doubt.is_none(), "{tokens:?}");
}

fn usage(input: u64, output: u64, total: u64) -> Usage {
    Usage { input, output, total, ..Usage::default() }
}

#[test]
fn zero_or_missing_counts_beside_text_are_estimated() {
    assert_counted(usage(9, 3, 12), &size(), (9, 3, None));
    assert_counted(usage(0, 3, 3), &size(), (0, 3, None));
    assert_counted(usage(0, 0, 0), &size(), (10, 5, Some(UsageDoubt::Zero)));
    assert_counted(usage(9, 0, 9), &size(), (9, 5, Some(UsageDoubt::Partial)));
    let half = Usage { lacks_input: true, ..usage(0, 3, 0) };
    assert_counted(half, &size(), (10, 3, Some(UsageDoubt::Partial)));
    let silent = AnswerSize { answer: TextSize::default(), ..size() };
    assert_counted(usage(9, 0, 9), &silent, (9, 0, None));
    assert_counted(usage(0, 0, 0), &silent, (0, 0, None));
    let more = AnswerSize { unreported: TextSize { narrow: 8, ..TextSize::default() }, ..size() };
    assert_counted(usage(9, 3, 12), &more, (9, 5, Some(UsageDoubt::Partial)));
}

#[test]
fn total_alone_is_divided() {
    let total = Usage { lacks_input: true, ..usage(0, 0, 59) };
    assert_counted(total, &size(), (10, 49, None));
    assert_counted(usage(0, 0, 59), &size(), (10, 49, None));
    assert_counted(Usage { total: 4, ..total }, &size(), (4, 0, None));
    let bounds = OutputBounds { max: Some(0), choices: 1 };
    let embeddings = AnswerSize { bounds, answer: TextSize::default(), ..size() };
    assert_counted(total, &embeddings, (59, 0, None));
}

#[test]
fn implausible_counts_are_replaced() {
    let doubt = Some(UsageDoubt::Implausible);
    assert_counted(usage(4_000_000_000, 3, 0), &size(), (10, 3, doubt));
    assert_counted(usage(9, u64::MAX, u64::MAX), &size(), (9, 5, doubt));
    let bounds = OutputBounds { max: Some(50), choices: 1 };
    let bounded = AnswerSize { bounds, ..size() };
    assert_counted(usage(9, 4_000_000_000, 0), &bounded, (9, 50, doubt));
    // Thinking beyond the maximum is real.
    assert_counted(usage(9, 100_000, 0), &bounded, (9, 100_000, None));
    assert_counted(usage(900_000, 3, 0), &bounded, (900_000, 3, None));
    let many = AnswerSize { bounds: OutputBounds { max: None, choices: 8 }, ..size() };
    assert_counted(usage(9, 4_000_000, 0), &many, (9, 4_000_000, None));
    let long =
        AnswerSize { prompt: TextSize { narrow: 40_000_000, ..TextSize::default() }, ..size() };
    assert_counted(usage(9_000_000, 3, 0), &long, (9_000_000, 3, None));
}

#[test]
fn tokens_without_usage_are_estimated() {
    let tokens = Tokens::count(None, &size());
    assert_eq!((tokens.input, tokens.output, tokens.doubt), (10, 5, None));
    assert_eq!(tokens.counted, TokenSource::Estimated);
}
