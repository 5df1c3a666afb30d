//! What a key looks like, so that most wrong ones are refused without a look into the store.

use crate::platform::Clock;

use super::pepper::Pepper;

/// How every key begins that was made here.
pub const PREFIX: &str = "sk-serin-";

/// A key that was made elsewhere has at least so many characters.
pub const SHORTEST: usize = 16;

/// A key that was made elsewhere has at most so many characters.
pub const LONGEST: usize = 512;

/// 62⁴³ is more than 2²⁵⁶.
const RANDOM: usize = 43;

/// 62⁸ is more than 2⁴⁷: so many guesses reach the store once.
const CHECK: usize = 8;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Makes a key: `sk-serin-`, 43 random letters and digits, and eight that only the pepper's owner can
/// add to them.
pub(crate) fn make(pepper: &Pepper, clock: &impl Clock) -> String {
    let body = random(clock, RANDOM);
    format!("{PREFIX}{body}{}", check(pepper, &body))
}

/// Whether a text is a key that was made here, under this pepper. It says nothing of whether the key
/// was issued and still works.
pub(crate) fn is_ours(pepper: &Pepper, key: &str) -> bool {
    let Some(rest) = key.strip_prefix(PREFIX) else { return false };
    let is_shaped =
        rest.len() == RANDOM + CHECK && rest.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_shaped && check(pepper, &rest[..RANDOM]) == rest[RANDOM..]
}

/// Whether a key that was made elsewhere can be taken over: visible characters that a header can hold,
/// and nothing that only looks as if it were made here.
pub(crate) fn is_adoptable(pepper: &Pepper, key: &str) -> bool {
    (SHORTEST..=LONGEST).contains(&key.len())
        && key.bytes().all(|byte| byte.is_ascii_graphic())
        && (!key.starts_with(PREFIX) || is_ours(pepper, key))
}

/// So many letters and digits, each as likely as every other one.
pub(crate) fn random(clock: &impl Clock, length: usize) -> String {
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

fn check(pepper: &Pepper, body: &str) -> String {
    let mut number = pepper.check(body);
    let mut text = String::with_capacity(CHECK);
    for _ in 0..CHECK {
        text.push(char::from(ALPHABET[(number % 62) as usize]));
        number /= 62;
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{PREFIX, is_adoptable, is_ours, make, random};
    use crate::keys::Pepper;
    use crate::keys::fake::Fake;
    use crate::secret::Secret;

    fn pepper(text: &str) -> Pepper {
        Pepper::new(&Secret::new(text)).expect("it is not empty")
    }

    #[test]
    fn a_key_is_known_as_ours_under_its_pepper_alone() {
        let fake = Fake::new();
        let key = make(&pepper("a"), &fake);
        assert!(key.starts_with(PREFIX) && key.len() == 60, "{}", key.len());
        assert_ne!(key, make(&pepper("a"), &fake));
        assert!(is_ours(&pepper("a"), &key) && is_adoptable(&pepper("a"), &key));
        assert!(!is_ours(&pepper("b"), &key) && !is_adoptable(&pepper("b"), &key));
        for at in PREFIX.len()..key.len() {
            let mut wrong = key.clone().into_bytes();
            wrong[at] = if wrong[at] == b'a' { b'b' } else { b'a' };
            let wrong = String::from_utf8(wrong).expect("ASCII");
            assert!(!is_ours(&pepper("a"), &wrong), "{at}");
        }
        assert!(!is_ours(&pepper("a"), &key[..59]) && !is_ours(&pepper("a"), &format!("{key}a")));
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
        let text = random(&Fake::new(), 62_000);
        for character in super::ALPHABET {
            let count = text.bytes().filter(|byte| byte == character).count();
            assert!((850..1_150).contains(&count), "{character}: {count}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(sk-serin-)?\\PC{0,60}") {
            prop_assert!(!is_ours(&pepper("a"), &text));
        }
    }
}
