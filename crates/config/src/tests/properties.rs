//! Properties of parsing any text, and the published schema.

use std::time::Duration;

use proptest::prelude::{Strategy, any, prop_oneof, proptest};
use proptest::sample::Index;

use crate::raw::{Size, Span};
use crate::{Config, author};

use super::{FULL_EXAMPLE, GUARDS_EXAMPLE, WORKED_EXAMPLE};

/// An example with a part removed, doubled, or replaced: it reaches deeper code than noise does.
fn damaged_document() -> impl Strategy<Value = String> {
    let words = prop_oneof![
        proptest::string::string_regex("[\\[\\]{}=,\"'\\\\\n#.*~:é\u{0}-]{0,6}")
            .expect("it is a regex"),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| format!("{number:?}")),
        proptest::sample::select(vec![
            "\"\"",
            "[]",
            "{}",
            "true",
            "\"secret:\"",
            "\"~(\"",
            "\"0s\"",
            "1979-05-27"
        ])
        .prop_map(str::to_owned),
    ];
    let text = proptest::sample::select(vec![WORKED_EXAMPLE, FULL_EXAMPLE, GUARDS_EXAMPLE]);
    (text, any::<Index>(), any::<Index>(), words).prop_map(|(text, from, to, word)| {
        let characters: Vec<char> = text.chars().collect();
        let (from, length) = (from.index(characters.len()), to.index(40));
        let end = (from + length).min(characters.len());
        characters[..from]
            .iter()
            .copied()
            .chain(word.chars())
            .chain(characters[end..].iter().copied())
            .collect()
    })
}

/// Parses a text as TOML and as JSON, and asserts that every problem can be located.
fn assert_readable(text: &str) {
    let secrets =
        |name: &str| (!name.len().is_multiple_of(3)).then(|| author::placeholder_secret(name));
    if let Err(problems) = author::from_toml(text, &secrets) {
        assert!(problems.iter().count() > 0);
        for problem in &problems {
            if let Some((line, column)) = author::locate(text, &problem.path) {
                let lines = text.matches('\n').count() + 1;
                assert!((1..=lines).contains(&line) && column >= 1, "{problem}");
            }
        }
    }
    author::secret_names(text);
    let _ = Config::from_json(text, &secrets);
    if let Ok(json) = author::to_json(text) {
        let said = |config: Config| format!("{:?}", Config { digest: [0; 32], ..config });
        let from_json = Config::from_json(&json, &secrets).map(said);
        let from_toml = author::from_toml(text, &secrets).map(said);
        assert_eq!(from_json, from_toml);
    }
}

proptest! {
    #[test]
    fn parse_noise_never_panics(text in any::<String>()) {
        assert_readable(&text);
    }

    #[test]
    fn parse_damaged_document_never_panics(text in damaged_document()) {
        assert_readable(&text);
    }

    #[test]
    fn parse_noise_in_any_string_never_panics(noise in any::<String>(), at in any::<Index>()) {
        let text = [WORKED_EXAMPLE, FULL_EXAMPLE, GUARDS_EXAMPLE][noise.len() % 3];
        let json = author::to_json(text).expect("it is right");
        let mut document: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
        let mut places = 0;
        visit(&mut document, &mut |_| places += 1);
        let mut countdown = at.index(places);
        visit(&mut document, &mut |value| {
            if countdown == 0 {
                noise.clone_into(value);
            }
            countdown = countdown.wrapping_sub(1);
        });
        let _ = Config::from_json(&document.to_string(), &|name| Some(author::placeholder_secret(name)));
    }

    #[test]
    fn duration_round_trips(number in 0u64..=u64::MAX / 3_600_000) {
        for (unit, milliseconds) in [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)] {
            let duration = Span(format!("{number}{unit}")).duration();
            assert_eq!(duration, Some(Duration::from_millis(number * milliseconds)));
        }
    }

    #[test]
    fn size_round_trips(number in 0u64..=u64::MAX >> 30) {
        for (unit, shift) in [("", 0), ("KiB", 10), ("MiB", 20), ("GiB", 30)] {
            assert_eq!(Size(format!("{number}{unit}")).bytes(), Some(number << shift));
        }
    }
}

fn visit(value: &mut serde_json::Value, each: &mut impl FnMut(&mut String)) {
    match value {
        serde_json::Value::String(text) => each(text),
        serde_json::Value::Array(items) => items.iter_mut().for_each(|item| visit(item, each)),
        serde_json::Value::Object(members) => {
            members.values_mut().for_each(|member| visit(member, each));
        }
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => {}
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a person asks for a new schema by a variable")]
fn published_schema_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schema/gateway.schema.json");
    let schema = author::schema();
    if std::env::var_os("SERIN_BLESS").is_some() {
        std::fs::write(path, &schema).expect("the schema can be written");
    }
    let published = std::fs::read_to_string(path).expect("the schema is published");
    assert!(published == schema, "the types have changed: run this test with SERIN_BLESS=1");
}
