//! Measures an answer that is too long to hold: its length, and its usage wherever it stands. It
//! keeps nothing else of it.

use openai::{AnswerSize, OutputBounds, TextSize, TokenSource, Tokens, UsageScanner};

/// Measurements of a long answer so far.
#[derive(Debug)]
pub(crate) struct UsageTail {
    /// Boxed, since only long answers use it.
    scanner: Box<UsageScanner>,
    length: u64,
    bounds: OutputBounds,
}

impl UsageTail {
    /// Measures an answer of at most this length.
    pub(crate) fn new(bounds: OutputBounds) -> Self {
        Self { scanner: Box::default(), length: 0, bounds }
    }

    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.length += piece.len() as u64;
        self.scanner.push(piece);
    }

    /// Tokens of the answer so far: the reported usage, else an estimate that counts the whole body
    /// as text.
    pub(crate) fn tokens(&self, prompt: TextSize) -> Tokens {
        let usage = self.scanner.usage();
        // Vectors are no text.
        let narrow = if self.bounds.max == Some(0) { 0 } else { self.length };
        let answer = TextSize { narrow, wide: 0 };
        let size = AnswerSize { prompt, answer, bounds: self.bounds, ..AnswerSize::default() };
        let tokens = Tokens::count(usage, &size);
        match tokens.counted {
            TokenSource::Estimated => {
                let max = self.bounds.max.unwrap_or(u64::MAX);
                Tokens { output: tokens.output.min(max), ..tokens }
            }
            TokenSource::None | TokenSource::Reported => tokens,
        }
    }
}

#[cfg(test)]
mod tests {
    use openai::{OutputBounds, TextSize, TokenSource};

    use super::UsageTail;

    const BOUNDS: OutputBounds = OutputBounds { max: Some(500), choices: 1 };
    const USAGE: &[u8] = b"\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":900}";

    #[test]
    fn usage_is_found_or_estimated() {
        let mut tail = UsageTail::new(BOUNDS);
        tail.push(b"{\"x\":\"");
        tail.push(&[b'a'; 393]);
        assert_eq!(tail.tokens(TextSize::default()).output, 100);
        tail.push(&[b'a'; 9_000]);
        let tokens = tail.tokens(TextSize::default());
        assert_eq!((tokens.output, tokens.counted), (500, TokenSource::Estimated));
        for byte in [b"\",", USAGE, b"}"].concat() {
            tail.push(&[byte]);
        }
        let tokens = tail.tokens(TextSize::default());
        assert_eq!((tokens.output, tokens.counted), (900, TokenSource::Reported));
    }

    #[test]
    fn usage_before_a_long_text_is_found() {
        let mut tail = UsageTail::new(BOUNDS);
        tail.push(&[b"{", USAGE, b",\"data\":\""].concat());
        for _ in 0..100 {
            tail.push(&[b'a'; 10_000]);
        }
        let tokens = tail.tokens(TextSize::default());
        assert_eq!((tokens.input, tokens.output, tokens.counted), (3, 900, TokenSource::Reported));
    }

    #[test]
    fn long_embeddings_have_no_answer() {
        let mut tail = UsageTail::new(OutputBounds { max: Some(0), choices: 1 });
        tail.push(b"{\"usage\":{\"prompt_tokens\":3,\"total_tokens\":3},\"data\":[0.5]}");
        let tokens = tail.tokens(TextSize::default());
        assert_eq!((tokens.input, tokens.output, tokens.counted), (3, 0, TokenSource::Reported));
    }
}
