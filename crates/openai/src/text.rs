//! How much text there is, without keeping any of it: what a token estimate needs.

use std::fmt;
use std::ops::AddAssign;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Characters of a text, by how densely tokenizers pack them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Characters of alphabetic scripts, digits, punctuation.
    pub narrow: u64,
    /// Characters of scripts without spaces between words (Chinese, Japanese, Korean), and emoji.
    pub wide: u64,
}

impl Weight {
    /// Weighs a text. Takes JSON as well as plain text: quotes and braces count as characters.
    pub fn of(text: &str) -> Self {
        // Continuation bytes aside, every byte begins a character; a lead byte of 0xE2 and above
        // with three or four bytes is a wide script but for general punctuation (U+2000..U+2DFF).
        let mut weight = Self::default();
        for byte in text.bytes() {
            match byte {
                0x00..=0x7F | 0xC0..=0xE2 => weight.narrow += 1,
                0x80..=0xBF => {}
                0xE3..=0xFF => weight.wide += 1,
            }
        }
        weight
    }

    /// Whether there is no text.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl AddAssign for Weight {
    fn add_assign(&mut self, other: Self) {
        self.narrow += other.narrow;
        self.wide += other.wide;
    }
}

/// Adds up every string inside a value, whatever its shape: text, tool calls, parts, audio.
pub(crate) struct Weigh<'a>(pub(crate) &'a mut Weight);

impl<'de> DeserializeSeed<'de> for Weigh<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Weigh<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        *self.0 += Weight::of(text);
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Weigh(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while members.next_key::<IgnoredAny>()?.is_some() {
            members.next_value_seed(Weigh(self.0))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Weight;

    #[test]
    fn scripts_are_told_apart() {
        assert_eq!(Weight::of("Hello, wörld…"), Weight { narrow: 13, wide: 0 });
        assert_eq!(Weight::of("你好 hi 🐦"), Weight { narrow: 4, wide: 3 });
    }
}
