//! Call ids and tool names that fit a target's limits.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

/// Longest id of a call that OpenAI accepts.
const MAX_CALL_ID: usize = 64;
/// Bytes of the hash in a shortened tool name.
const NAME_HASH_BYTES: usize = 8;

/// Returns the id as it is if it has at most 64 bytes of `[A-Za-z0-9_-]`. Otherwise the id is made from
/// its hash, so that call and result agree in every request.
pub(super) fn fit_call_id(id: &str) -> Cow<'_, str> {
    if is_plain(id, MAX_CALL_ID) {
        return Cow::Borrowed(id);
    }
    Cow::Owned(format!("call_{}", hash_hex(id, 12)))
}

/// Returns the name as it is if the target accepts it. Otherwise its beginning and its hash.
pub(super) fn fit_tool_name(name: &str, max_length: usize) -> Cow<'_, str> {
    if is_plain(name, max_length) {
        return Cow::Borrowed(name);
    }
    let hash = hash_hex(name, NAME_HASH_BYTES);
    let plain = name.chars().map(|letter| if is_plain_letter(letter) { letter } else { '_' });
    let mut fitted: String = plain.take(max_length - hash.len() - 1).collect();
    fitted.push('_');
    fitted.push_str(&hash);
    Cow::Owned(fitted)
}

/// Returns the text as it is, or its hash if it is longer than the target accepts.
pub(super) fn fit_end_user(id: &str, max_length: usize) -> Cow<'_, str> {
    if id.chars().count() <= max_length {
        return Cow::Borrowed(id);
    }
    Cow::Owned(format!("user_{}", hash_hex(id, 16)))
}

fn is_plain(text: &str, max_length: usize) -> bool {
    (1..=max_length).contains(&text.len()) && text.chars().all(is_plain_letter)
}

fn is_plain_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || letter == '-'
}

fn hash_hex(text: &str, bytes: usize) -> String {
    let hash = Sha256::digest(text);
    hash.iter().take(bytes).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::{fit_call_id, fit_tool_name};

    #[test]
    fn long_or_odd_id_becomes_its_hash() {
        assert_eq!(fit_call_id("toolu_01-A"), "toolu_01-A");
        for id in ["", "a b", "é", &"x".repeat(65), &"y".repeat(1411)] {
            let fitted = fit_call_id(id);
            assert_eq!(fitted.len(), 29, "{id}");
            assert_eq!(fitted, fit_call_id(id));
        }
        assert_ne!(fit_call_id(&"x".repeat(86)), fit_call_id(&"x".repeat(87)));
    }

    #[test]
    fn long_tool_name_keeps_its_beginning() {
        let name = "n".repeat(80);
        let fitted = fit_tool_name(&name, 64);
        assert_eq!(fitted.len(), 64);
        assert!(fitted.starts_with("nnnn"));
        assert_eq!(fit_tool_name(&name, 128), name);
        assert!(fit_tool_name("a.b", 64).starts_with("a_b_"));
    }
}
