//! What a key looks like, so that most wrong ones are refused without a look into the store.

use crate::host::Clock;

use super::hashing::Pepper;

/// How every key begins that was made here.
pub const KEY_PREFIX: &str = "sk-serin-";

/// A key that was made elsewhere has at least so many characters.
pub const MIN_ADOPTED_CHARS: usize = 16;

/// A key that was made elsewhere has at most so many characters.
pub const MAX_ADOPTED_CHARS: usize = 512;

/// 62⁴³ is more than 2²⁵⁶.
const RANDOM_CHARS: usize = 43;

/// 62⁸ is more than 2⁴⁷: so many guesses reach the store once.
const CHECKSUM_CHARS: usize = 8;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Makes a key: `sk-serin-`, 43 random letters and digits, and eight that only the pepper's owner can
/// add to them.
pub(crate) fn generate(pepper: &Pepper, clock: &impl Clock) -> String {
    let body = random_chars(clock, RANDOM_CHARS);
    format!("{KEY_PREFIX}{body}{}", checksum(pepper, &body))
}

/// Whether a text is a key that was made here, under this pepper. It says nothing of whether the key
/// was issued and still works.
pub(crate) fn has_valid_checksum(pepper: &Pepper, key: &str) -> bool {
    let Some(rest) = key.strip_prefix(KEY_PREFIX) else { return false };
    let is_shaped = rest.len() == RANDOM_CHARS + CHECKSUM_CHARS
        && rest.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_shaped && checksum(pepper, &rest[..RANDOM_CHARS]) == rest[RANDOM_CHARS..]
}

/// Whether a key that was made elsewhere can be taken over: visible characters that a header can hold,
/// and nothing that only looks as if it were made here.
pub(crate) fn is_adoptable(pepper: &Pepper, key: &str) -> bool {
    (MIN_ADOPTED_CHARS..=MAX_ADOPTED_CHARS).contains(&key.len())
        && key.bytes().all(|byte| byte.is_ascii_graphic())
        && (!key.starts_with(KEY_PREFIX) || has_valid_checksum(pepper, key))
}

/// So many letters and digits, each as likely as every other one.
pub(crate) fn random_chars(clock: &impl Clock, length: usize) -> String {
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let mut bits = clock.entropy();
        for _ in 0..10 {
            // 62 and 63 stand for nothing: taking them too would favour some characters.
            if let Some(character) = ALPHABET.get((bits & 63) as usize)
                && text.len() < length
            {
                text.push(char::from(*character));
            }
            bits >>= 6;
        }
    }
    text
}

fn checksum(pepper: &Pepper, body: &str) -> String {
    let mut number = pepper.checksum(body);
    let mut text = String::with_capacity(CHECKSUM_CHARS);
    for _ in 0..CHECKSUM_CHARS {
        text.push(char::from(ALPHABET[(number % 62) as usize]));
        number /= 62;
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secret::Secret;

    use crate::auth::keys::Pepper;
    use crate::testing::fake_host::FakeHost;

    use super::{KEY_PREFIX, generate, has_valid_checksum, is_adoptable, random_chars};

    fn pepper(text: &str) -> Pepper {
        Pepper::new(&Secret::new(text)).expect("it is not empty")
    }

    #[test]
    fn a_key_is_known_as_ours_under_its_pepper_alone() {
        let fake_host = FakeHost::new();
        let key = generate(&pepper("a"), &fake_host);
        assert!(key.starts_with(KEY_PREFIX) && key.len() == 60, "{}", key.len());
        assert_ne!(key, generate(&pepper("a"), &fake_host));
        assert!(has_valid_checksum(&pepper("a"), &key) && is_adoptable(&pepper("a"), &key));
        assert!(!has_valid_checksum(&pepper("b"), &key) && !is_adoptable(&pepper("b"), &key));
        for at in KEY_PREFIX.len()..key.len() {
            let mut wrong = key.clone().into_bytes();
            wrong[at] = if wrong[at] == b'a' { b'b' } else { b'a' };
            let wrong = String::from_utf8(wrong).expect("ASCII");
            assert!(!has_valid_checksum(&pepper("a"), &wrong), "{at}");
        }
        assert!(
            !has_valid_checksum(&pepper("a"), &key[..59])
                && !has_valid_checksum(&pepper("a"), &format!("{key}a"))
        );
    }

    #[test]
    fn what_can_be_adopted() {
        let longest = "k".repeat(512);
        for key in ["0123456789abcdef", "sk-proj-!\"#$%&'()*+,/~", &longest] {
            assert!(is_adoptable(&pepper("a"), key), "{key}");
        }
        let longer = "k".repeat(513);
        let wrong = [
            "",
            "0123456789abcde",
            "0123456789 abcdef",
            "0123456789abcdé",
            "sk-serin-0123456789",
            &longer,
        ];
        for key in wrong {
            assert!(!is_adoptable(&pepper("a"), key), "{key}");
        }
    }

    #[test]
    fn every_character_is_as_likely() {
        let text = random_chars(&FakeHost::new(), 62_000);
        for character in super::ALPHABET {
            let count = text.bytes().filter(|byte| byte == character).count();
            assert!((850..1_150).contains(&count), "{character}: {count}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(sk-serin-)?\\PC{0,60}") {
            prop_assert!(!has_valid_checksum(&pepper("a"), &text));
        }
    }
}
