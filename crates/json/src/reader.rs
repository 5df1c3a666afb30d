//! Reads JSON with as little generated code as serde allows.
//!
//! serde generates a type's code once for each kind of source, and a struct's code twice each time, since a
//! struct may also be an array of its fields. Both add kilobytes to the bundle. So all code except the hot
//! path reads from text only, and reads a struct from an object only: an array for a struct is an error.

use std::fmt;

use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};

/// Reads a value from bytes, which must be UTF-8.
pub fn from_bytes<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, serde_json::Error> {
    from_text(str::from_utf8(bytes).map_err(serde_json::Error::custom)?)
}

/// Reads a value from the whole text.
pub fn from_text<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = T::deserialize(Plain(&mut reader))?;
    reader.end()?;
    Ok(value)
}

/// Reads a value of another format. A struct is read from a table only, as in JSON.
pub fn from_objects<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    T::deserialize(Plain(deserializer))
}

/// Wrapper of deserializers, visitors, and accesses that makes every struct an object, at any depth.
pub(crate) struct Plain<T>(pub(crate) T);

macro_rules! forward {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method(visitor)
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Plain<D> {
    type Error = D::Error;

    forward! {
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32
        deserialize_i64 deserialize_i128 deserialize_u8 deserialize_u16 deserialize_u32
        deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64 deserialize_char
        deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf deserialize_unit
        deserialize_identifier deserialize_ignored_any
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(ObjectOnly(visitor))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(Plain(visitor))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_seq(Plain(visitor))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_option(Plain(visitor))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple(length, Plain(visitor))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple_struct(name, length, Plain(visitor))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_newtype_struct(name, Plain(visitor))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_unit_struct(name, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_enum(name, variants, Plain(visitor))
    }
}

/// Wrapper of a struct's visitor. A list is an error also where a format does not distinguish it from a table
/// before it is visited.
struct ObjectOnly<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for ObjectOnly<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Plain(map))
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Plain<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Plain(map))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Plain(list))
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Plain(value))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, value: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Plain(value))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(Plain(data))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Plain<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Plain(value))
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Plain<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Plain(seed))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Plain<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Plain(seed))
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Plain<A> {
    type Error = A::Error;
    type Variant = Plain<A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        self.0.variant_seed(seed).map(|(name, variant)| (name, Plain(variant)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Plain<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.0.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.0.newtype_variant_seed(Plain(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.0.tuple_variant(length, Plain(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.0.newtype_variant_seed(VariantMembers(visitor))
    }
}

/// Reads the members of a struct variant.
struct VariantMembers<V>(V);

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for VariantMembers<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<V::Value, D::Error> {
        value.deserialize_map(Plain(self.0))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use serde::Deserialize;

    use super::{from_bytes, from_text};

    #[derive(Debug, PartialEq, Deserialize)]
    struct Pair {
        one: u64,
        #[serde(default)]
        other: Option<Box<Pair>>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    enum Choice {
        Neither,
        Some(Vec<Pair>),
        Both { pair: (u64, Pair) },
    }

    fn pair(one: u64) -> Pair {
        Pair { one, other: None }
    }

    #[track_caller]
    fn assert_read<T: for<'de> Deserialize<'de> + fmt::Debug + PartialEq>(
        text: &str,
        expected: Option<T>,
    ) {
        assert_eq!(from_text(text).ok(), expected, "{text}");
        assert_eq!(from_bytes(text.as_bytes()).ok(), expected, "{text}");
        // serde_json itself must read the same value.
        if expected.is_some() {
            assert_eq!(serde_json::from_str(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn struct_from_array_at_any_depth_is_refused() {
        assert_read("{\"one\":1}", Some(pair(1)));
        assert_read("[1,null]", None::<Pair>);
        let nested = Pair { one: 1, other: Some(Box::new(pair(2))) };
        assert_read("{\"one\":1,\"other\":{\"one\":2}}", Some(nested));
        assert_read("{\"one\":1,\"other\":[2]}", None::<Pair>);
        assert_read(
            "{\"a\":{\"one\":1}}",
            Some(std::collections::BTreeMap::from([("a".to_owned(), pair(1))])),
        );
        assert_read("\"Neither\"", Some(Choice::Neither));
        assert_read("{\"Some\":[{\"one\":1}]}", Some(Choice::Some(vec![pair(1)])));
        assert_read("{\"Some\":[[1]]}", None::<Choice>);
        assert_read(
            "{\"Both\":{\"pair\":[1,{\"one\":2}]}}",
            Some(Choice::Both { pair: (1, pair(2)) }),
        );
        assert_read("{\"Both\":[[1,{\"one\":2}]]}", None::<Choice>);
        assert_read("{\"Both\":{\"pair\":[1,[2]]}}", None::<Choice>);
        assert_read("\"Both\"", None::<Choice>);
    }

    #[test]
    fn text_after_value_is_refused() {
        assert_read(" {\"one\":1}\n", Some(pair(1)));
        assert_read("{\"one\":1}{", None::<Pair>);
        assert!(from_bytes::<String>(b"\"\xff\"").is_err());
    }
}
