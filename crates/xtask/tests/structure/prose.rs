//! The tidy rule for comments.

/// Words that a doc comment must not begin with: they make the reader solve for the noun.
const RIDDLES: [&str; 9] =
    ["What", "Who", "Whoever", "Whose", "Where", "Whom", "So many", "So long", "For so"];

/// Whether a line is a doc comment that begins with such a word.
pub(crate) fn is_riddle(line: &str) -> bool {
    let line = line.trim_start();
    let Some(text) = line.strip_prefix("/// ").or_else(|| line.strip_prefix("//! ")) else {
        return false;
    };
    RIDDLES.iter().any(|word| {
        text.strip_prefix(word).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
    })
}

#[test]
fn riddle_is_refused_and_noun_is_accepted() {
    assert!(is_riddle("    /// Who is to answer, and who else if that fails."));
    assert!(is_riddle("//! What a target costs."));
    assert!(!is_riddle("/// Whether the target is available."));
    assert!(!is_riddle("/// Whole seconds until the next attempt."));
    assert!(!is_riddle("// Where this ends is decided by the caller."));
}
