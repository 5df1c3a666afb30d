//! Tokens of a text that nobody counted.

use crate::TextSize;

/// Estimates tokens: four narrow characters to one, five wide characters to four.
///
/// English text runs at about four characters a token in OpenAI's tokenizers (their help centre's
/// rule of thumb), Chinese at 0.6 to 1.3 tokens a character depending on the vocabulary.
pub fn estimate_tokens(text: TextSize) -> u64 {
    text.narrow.div_ceil(4) + (text.wide * 4).div_ceil(5)
}

#[cfg(test)]
mod tests {
    use crate::TextSize;

    use super::estimate_tokens;

    #[test]
    fn nothing_is_nothing_and_something_is_at_least_one() {
        assert_eq!(estimate_tokens(TextSize::measure("")), 0);
        assert_eq!(estimate_tokens(TextSize::measure("a")), 1);
        assert_eq!(estimate_tokens(TextSize::measure("Hello, world")), 3);
        assert_eq!(estimate_tokens(TextSize::measure("你好世界吗")), 4);
    }
}
