use proptest::prelude::*;
use serde_json::Value;

use super::{CanonicalRequest, IGNORED_MEMBERS};

fn canonical_text(body: &str) -> String {
    let canonical = CanonicalRequest::parse(body.as_bytes()).expect("an object");
    String::from_utf8(canonical.text).expect("what came was UTF-8")
}

#[track_caller]
fn assert_same(one: &str, other: &str) {
    assert_eq!(canonical_text(one), canonical_text(other), "{one} and {other}");
}

#[track_caller]
fn assert_different(one: &str, other: &str) {
    assert_ne!(canonical_text(one), canonical_text(other), "{one} and {other}");
}

/// Bodies, and the text and the temperature that the cache keys of stored entries depend on.
const GOLDEN: [(&str, &str, Option<f64>); 15] = [
    (r#"{}"#, r#"{}"#, None),
    (r#" { } "#, r#"{}"#, None),
    (
        r#"{"b" : 1 , "a":[ 1,	{"d":2,"c":3} ] ,"":[ ]}"#,
        r#"{"":[],"a":[1,{"c":3,"d":2,},],"b":1,}"#,
        None,
    ),
    (
        r#"{"model":"m","stream":true,"user":{"x":["]}",1]},"a":{"model":"n"}}"#,
        r#"{"a":{"model":"n",},}"#,
        None,
    ),
    (r#"{"mod\u0065l":"m","b":1,"a":2}"#, r#"{"mod\u0065l":"m","b":1,"a":2,}"#, None),
    (r#"{"a":[{"b":2,"b":1,"a":0}],"a":null}"#, r#"{"a":[{"a":0,"b":2,"b":1,},],"a":null,}"#, None),
    (r#"{"a":[{"b":1,"\u0062":2,"a":3}]}"#, r#"{"a":[{"b":1,"\u0062":2,"a":3,},],}"#, None),
    (r#"{"a!":1,"a":2,"é":3,"Z":4}"#, r#"{"Z":4,"a!":1,"a":2,"é":3,}"#, None),
    (
        r#"{"n":[1,1.0,-0,1e+400,18446744073709551617,0.10],"temperature" : 0.50 }"#,
        r#"{"n":[1,1.0,-0,1e+400,18446744073709551617,0.10,],"temperature":0.50,}"#,
        Some(0.5),
    ),
    (
        r#"{"temperature":1,"a":{"temperature":2},"temperature":"0.5"}"#,
        r#"{"a":{"temperature":2,},"temperature":1,"temperature":"0.5",}"#,
        None,
    ),
    (
        r#"{"temperature":2,"temperature":3e-1}"#,
        r#"{"temperature":2,"temperature":3e-1,}"#,
        Some(0.3),
    ),
    (r#"{"temper\u0061ture":2}"#, r#"{"temper\u0061ture":2,}"#, None),
    (r#"{"temperature":[ 1 ]}"#, r#"{"temperature":[1,],}"#, None),
    (r#"{"s":"\"\\\/\ud800\u00e9é, ] }"}"#, r#"{"s":"\"\\\/\ud800\u00e9é, ] }",}"#, None),
    (
        r#"{"b":{"b":{"b":1,"a":2},"a":3},"a":4}"#,
        r#"{"a":4,"b":{"a":3,"b":{"a":2,"b":1,},},}"#,
        None,
    ),
];

#[test]
fn canonical_form_matches_stored_keys() {
    for (body, text, temperature) in GOLDEN {
        let canonical = CanonicalRequest::parse(body.as_bytes()).expect("an object");
        assert_eq!(String::from_utf8(canonical.text).as_deref(), Ok(text), "{body}");
        assert_eq!(canonical.temperature, temperature, "{body}");
    }
}

#[test]
fn deeply_nested_value_stays_as_written() {
    let nested = |levels: usize, inner: &str, end: &str| {
        format!("{{\"a\":{}{inner}{end}{}}}", "[".repeat(levels), "]".repeat(levels))
    };
    let sorted = |levels: usize, inner: &str| {
        format!("{{\"a\":{}{inner}{},}}", "[".repeat(levels), ",]".repeat(levels))
    };
    let object = r#"{ "b" : 1 , "a" : [ 2 ] }"#;
    assert_eq!(canonical_text(&nested(30, object, " ")), sorted(30, r#"{"a":[2,],"b":1,}"#));
    assert_eq!(canonical_text(&nested(31, object, " ")), sorted(31, r#"{"a":[ 2 ],"b":1,}"#));
    assert_eq!(canonical_text(&nested(32, object, " ")), sorted(32, object));
}

#[test]
fn canonical_form_grows_linearly_with_the_body() {
    let nested = |levels: usize, inner: &str| {
        format!("{}{inner}{}", "{\"a\":".repeat(levels), "}".repeat(levels))
    };
    for element in ["1", "[]", "{}", "\"\"", "{\"b\":1,\"a\":2}"] {
        for levels in [1, 32, 40] {
            let body = nested(levels, &format!("[{}]", vec![element; 20_000].join(",")));
            assert!(canonical_text(&body).len() <= body.len() * 2, "{element}, {levels} levels");
        }
    }
}

#[test]
fn different_requests_have_different_forms() {
    // Numbers as written: a parser of floats would equate these.
    assert_different(r#"{"seed":1}"#, r#"{"seed":1.0}"#);
    assert_different(r#"{"seed":18446744073709551616}"#, r#"{"seed":18446744073709551617}"#);
    // Of members with one name the last one counts, however the name is written.
    assert_different(r#"{"a":[{"b":1,"b":2}]}"#, r#"{"a":[{"b":2,"b":1}]}"#);
    assert_different(r#"{"a":[{"b":1,"\u0062":2}]}"#, r#"{"a":[{"\u0062":2,"b":1}]}"#);
    // A nested member is not ignored.
    assert_different(r#"{"a":{"stream":true}}"#, r#"{"a":{}}"#);
    assert_different(r#"{"a":"b\",\"c\":\"d"}"#, r#"{"a":"b","c":"d"}"#);
    assert_different(r#"{"a":"x y"}"#, r#"{"a":"xy"}"#);
    assert_different(r#"{"a":[]}"#, r#"{"a":{}}"#);
    assert_different(r#"{"a":[1,2]}"#, r#"{"a":[2,1]}"#);
    assert_different(r#"{"a":[[1],2]}"#, r#"{"a":[[1,2]]}"#);
    assert_different(r#"{"n":null}"#, r#"{}"#);
}

#[test]
fn equivalent_requests_have_the_same_form() {
    assert_same(r#" {"b" : 1 , "a":[ 1,	{"d":2,"c":3} ] }"#, r#"{"a":[1,{"c":3,"d":2}],"b":1}"#);
    for name in IGNORED_MEMBERS {
        let body = format!(r#"{{"a":1,"{name}":{{"x":["]}}",1]}},"b":2}}"#);
        assert_same(&body, r#"{"b":2,"a":1}"#);
    }
}

#[test]
fn temperature_is_read_from_the_outermost_object() {
    let of = |body: &str| CanonicalRequest::parse(body.as_bytes()).expect("an object").temperature;
    assert_eq!(of(r#"{"a":{"temperature":2},"temperature" : 0.5 }"#), Some(0.5));
    assert_eq!(of(r#"{"a":{"temperature":2},"temperature":null}"#), None);
}

#[test]
fn deep_nesting_is_accepted() {
    let deep =
        |inner: &str| format!("{{\"a\":{}{inner}{}}}", "[".repeat(200_000), "]".repeat(200_000));
    assert_same(&deep("1"), &deep("1"));
    assert_different(&deep("1"), &deep("2"));
    for broken in ["", "1", "[]", "{", "{\"a", "{\"a\":", "{\"a\":[", "{\"a\":\"\\", "{\"a\":1"] {
        assert_eq!(CanonicalRequest::parse(broken.as_bytes()), None, "{broken}");
    }
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-c{}\\[\\],:\" \\\\\u{e9}]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            object(inner),
        ]
    })
}

fn object(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop::collection::btree_map("[a-d]{1,2}", inner, 0..5)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
}

/// Writes a value with shuffled members and with white space.
fn shuffled(value: &Value, seed: &mut u64) -> String {
    let mut roll = |max: usize| {
        *seed =
            seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 33) as usize % max
    };
    let space = [" ", "", "\n\t", "\r\n"][roll(4)];
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            let turn = roll(members.len().max(1));
            members.rotate_left(turn);
            let members: Vec<String> = members
                .into_iter()
                .map(|(name, value)| {
                    format!(
                        "{space}{}{space}:{space}{}",
                        Value::from(name.as_str()),
                        shuffled(value, seed)
                    )
                })
                .collect();
            format!("{{{}{space}}}", members.join(","))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| shuffled(item, seed)).collect();
            format!("[{space}{}{space}]", items.join(&format!("{space},{space}")))
        }
        other => other.to_string(),
    }
}

proptest! {
    #[test]
    fn order_and_white_space_do_not_matter(value in object(json()), seed in any::<u64>()) {
        prop_assert_eq!(canonical_text(&shuffled(&value, &mut seed.clone())), canonical_text(&value.to_string()));
    }

    #[test]
    fn any_other_difference_changes_the_form(one in object(json()), other in object(json())) {
        prop_assert_eq!(canonical_text(&one.to_string()) == canonical_text(&other.to_string()), one == other);
    }
}
