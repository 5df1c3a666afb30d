//! Looks at an answer that is too long to hold on its way through: how long it is, and the usage that
//! stands in its end. It keeps nothing else of it.

use openai::{Usage, Weight};

use crate::observe::{Counted, Tokens};

/// How much of the end is kept, in bytes: usage and what little comes after it.
const KEPT: usize = 4 << 10;

/// What has been seen of a long answer so far.
#[derive(Debug)]
pub(crate) struct Tail {
    last: Vec<u8>,
    length: u64,
    most: u64,
}

impl Tail {
    /// Has seen nothing of an answer that can have so many tokens at most.
    pub(crate) fn new(most: u64) -> Self {
        Self { last: Vec::new(), length: 0, most }
    }

    /// Looks at a piece.
    pub(crate) fn see(&mut self, piece: &[u8]) {
        self.length += piece.len() as u64;
        self.last.extend_from_slice(&piece[piece.len().saturating_sub(KEPT)..]);
        let too_many = self.last.len().saturating_sub(KEPT);
        self.last.drain(..too_many);
    }

    /// What the answer has cost so far: what it reports, else an estimate, as if all of it were text.
    pub(crate) fn tokens(&self, prompt: Weight) -> Tokens {
        let usage: Option<Usage> = openai::usage_at_end(&self.last);
        let answer = Weight { narrow: self.length, wide: 0 };
        let tokens = Tokens::count(usage, prompt, answer);
        match tokens.counted {
            Counted::Estimated => Tokens { output: tokens.output.min(self.most), ..tokens },
            Counted::None | Counted::Reported => tokens,
        }
    }
}

#[cfg(test)]
mod tests {
    use openai::Weight;

    use super::Tail;
    use crate::observe::Counted;

    #[test]
    fn the_end_tells_what_the_rest_cost() {
        let mut tail = Tail::new(500);
        tail.see(&[b'a'; 400]);
        assert_eq!(tail.tokens(Weight::default()).output, 100);
        tail.see(&[b'a'; 9_000]);
        let tokens = tail.tokens(Weight::default());
        assert_eq!((tokens.output, tokens.counted), (500, Counted::Estimated));
        for byte in b"\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":900}}" {
            tail.see(&[*byte]);
        }
        let tokens = tail.tokens(Weight::default());
        assert_eq!((tokens.output, tokens.counted), (900, Counted::Reported));
    }
}
