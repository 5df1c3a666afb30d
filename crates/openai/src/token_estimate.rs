//! Token estimates for text without a reported count.

use crate::TextSize;

/// Estimates tokens: one for four narrow characters, four for five wide characters.
///
/// English text has about four characters for each token in OpenAI's tokenizers (rule of thumb of
/// OpenAI's help center). Chinese has 0.6 to 1.3 tokens for each character, depending on the
/// vocabulary.
pub fn estimate_tokens(text: TextSize) -> u64 {
    text.narrow.div_ceil(4) + (text.wide * 4).div_ceil(5)
}

#[cfg(test)]
mod tests {
    use crate::TextSize;

    use super::estimate_tokens;

    #[test]
    fn estimate_of_nonempty_text_is_at_least_one() {
        assert_eq!(estimate_tokens(TextSize::measure("")), 0);
        assert_eq!(estimate_tokens(TextSize::measure("a")), 1);
        assert_eq!(estimate_tokens(TextSize::measure("Hello, world")), 3);
        assert_eq!(estimate_tokens(TextSize::measure("你好世界吗")), 4);
    }
}
