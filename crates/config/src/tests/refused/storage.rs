//! Invalid places of ledger and store.

use secret::Secret;

use super::super::load;
use super::assert_refused_after_base;
use crate::{Config, Storage, author};

#[test]
fn redis_section_invalid_values_are_refused() {
    assert_refused_after_base(
        "[ledger]\nredis = \"redis://localhost\"",
        &[("ledger.redis", "a value written in clear", "secret:NAME")],
    );
    assert_refused_after_base(
        "[store]\nredis = \"secret:ADMIN_TOKEN\"",
        &[("store.redis", "reserved for the gateway", "another secret")],
    );
    assert_refused_after_base(
        "[ledger]\nprefix = \"a\"",
        &[("ledger.prefix", "\"a\"", "no prefix without `redis`")],
    );
    for prefix in ["", "a b", "é"] {
        let text = format!("[store]\nredis = \"secret:REDIS_URL\"\nprefix = \"{prefix}\"");
        assert_refused_after_base(&text, &[("store.prefix", prefix, "1 to 64 letters")]);
    }
}

fn storage(url: &str) -> Result<Storage, String> {
    let document = r#"{ "ledger": { "redis": "secret:URL", "prefix": "p:" }, "other": 1 }"#;
    Storage::from_json(document, &|_| Some(Secret::new(url)))
        .map_err(|problems| problems.to_string())
}

#[test]
fn redis_address_is_checked_and_never_repeated() {
    for url in [
        "redis://localhost",
        "redis://:pass%20word@10.0.0.5:6379/2",
        "rediss://user:p@db.example.com:6380",
        "redis://[::1]:6379/",
    ] {
        let server = storage(url).expect(url).ledger.expect("a server");
        assert_eq!((server.url.reveal(), server.prefix.as_str()), (url, "p:"));
    }
    for url in ["localhost:6379", "http://10.0.0.5", "redis://hunter2:6379/first", "redis://"] {
        let problems = storage(url).expect_err(url);
        assert!(problems.contains("the secret URL, whose value is not the address"), "{problems}");
        assert!(!problems.contains("hunter2"), "{problems}");
    }
}

#[test]
fn place_other_than_the_deployed_one_is_refused() {
    let (one, other) =
        (storage("redis://one").expect("right"), storage("redis://two").expect("right"));
    assert_eq!(one.check_is_deployed(&one), Ok(()));
    assert_eq!(Storage::default().check_is_deployed(&one), Ok(()));
    for (live, deployed) in [(&other, &one), (&one, &Storage::default())] {
        let problems = live.check_is_deployed(deployed).expect_err("another place");
        assert!(problems.to_string().starts_with("ledger.redis: "), "{problems}");
    }
    assert!(one.check_is_default().is_err() && Storage::default().check_is_default().is_ok());
}

#[test]
fn document_without_places_uses_the_edges_own() {
    let config: Config = load("").expect("an empty document is right");
    assert!(config.storage.is_default());
    let text = "[ledger]\nredis = 'secret:REDIS_URL'";
    assert_eq!(author::secret_names(text), ["REDIS_URL"]);
}
