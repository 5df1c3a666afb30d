//! Measures an answer that is too long to hold: its length, and the usage at its end. It keeps
//! nothing else of it.

use openai::{TextSize, TokenSource, Tokens, Usage};

/// Bytes of the end that are kept: the usage and the few members after it.
const TAIL_BYTES: usize = 4 << 10;

/// Measurements of a long answer so far.
#[derive(Debug)]
pub(crate) struct UsageTail {
    tail: Vec<u8>,
    length: u64,
    max_output_tokens: u64,
}

impl UsageTail {
    /// Measures an answer of at most this many tokens.
    pub(crate) fn new(max_output_tokens: u64) -> Self {
        Self { tail: Vec::new(), length: 0, max_output_tokens }
    }

    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.length += piece.len() as u64;
        self.tail.extend_from_slice(&piece[piece.len().saturating_sub(TAIL_BYTES)..]);
        let too_many = self.tail.len().saturating_sub(TAIL_BYTES);
        self.tail.drain(..too_many);
    }

    /// Tokens of the answer so far: the reported usage, else an estimate that counts the whole body
    /// as text.
    pub(crate) fn tokens(&self, prompt: TextSize) -> Tokens {
        let usage: Option<Usage> = openai::usage_at_end(&self.tail);
        let answer = TextSize { narrow: self.length, wide: 0 };
        let tokens = Tokens::from_usage_or_estimate(usage, prompt, answer);
        match tokens.counted {
            TokenSource::Estimated => {
                Tokens { output: tokens.output.min(self.max_output_tokens), ..tokens }
            }
            TokenSource::None | TokenSource::Reported => tokens,
        }
    }
}

#[cfg(test)]
mod tests {
    use openai::{TextSize, TokenSource};

    use super::UsageTail;

    #[test]
    fn usage_is_read_from_the_end_or_estimated() {
        let mut tail = UsageTail::new(500);
        tail.push(&[b'a'; 400]);
        assert_eq!(tail.tokens(TextSize::default()).output, 100);
        tail.push(&[b'a'; 9_000]);
        let tokens = tail.tokens(TextSize::default());
        assert_eq!((tokens.output, tokens.counted), (500, TokenSource::Estimated));
        for byte in b"\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":900}}" {
            tail.push(&[*byte]);
        }
        let tokens = tail.tokens(TextSize::default());
        assert_eq!((tokens.output, tokens.counted), (900, TokenSource::Reported));
    }
}
