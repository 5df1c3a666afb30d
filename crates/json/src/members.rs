//! Raw members of an object.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::name::MemberName;

/// The members of an object in their order, repeated ones included.
#[derive(Debug)]
pub struct Members<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(MemberName(name)) = map.next_key::<MemberName<'de>>()? {
                    members.push((name, map.next_value()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// Finds a member of an object; of several with the same name, the last one. `Ok(None)` if there is none.
pub fn last_member<'a>(object: &'a str, name: &str) -> serde_json::Result<Option<&'a RawValue>> {
    struct Last<'n>(&'n str);
    impl<'de> Visitor<'de> for Last<'_> {
        type Value = Option<&'de RawValue>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(MemberName(name)) = map.next_key::<MemberName<'de>>()? {
                if name == self.0 {
                    found = Some(map.next_value()?);
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(found)
        }
    }
    serde_json::Deserializer::from_str(object).deserialize_map(Last(name))
}

#[cfg(test)]
mod tests {
    use super::last_member;

    #[test]
    fn last_member_of_a_name_counts() {
        let find =
            |object| last_member(object, "a").map(|found| found.map(|raw| raw.get().to_owned()));
        assert_eq!(
            find(r#"{"a":1,"b":2,"\u0061":[3]}"#).expect("an object"),
            Some("[3]".to_owned())
        );
        assert_eq!(find("{}").expect("an object"), None);
        assert!(find("[]").is_err() && find(r#"{"a":1"#).is_err());
    }
}
