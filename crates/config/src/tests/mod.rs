//! Whole documents: accepted and refused ones, properties, and the documentation.

mod accepted;
mod accepted_access_and_limits;
mod accepted_guards_and_cache;
mod mistakes;
mod pages;
mod properties;
mod reference;
mod refused;
mod rollout;
mod wire;

use std::cell::RefCell;

use secret::Secret;

use super::{Config, Problems, author};

const WORKED_EXAMPLE: &str = include_str!("../../tests/fixtures/worked-example.toml");
/// Authentication, permissions, limits, prices, and operators with every field.
const FULL_EXAMPLE: &str = include_str!("../../tests/fixtures/full-example.toml");

/// Guards, cache, history, and observability with every field.
const GUARDS_EXAMPLE: &str = include_str!("../../tests/fixtures/guards-example.toml");

/// Parses a document with a distinct value for every secret; that of `REDIS_URL` is an address.
fn load(text: &str) -> Result<Config, Problems> {
    author::from_toml(text, &|name| match name {
        "REDIS_URL" => Some(Secret::new("redis://localhost")),
        _ => Some(Secret::new(&format!("value of {name}"))),
    })
}

/// The names of the secrets that parsing requests, in order.
fn secrets_requested(text: &str) -> Vec<String> {
    let names = RefCell::new(Vec::new());
    let secrets = |name: &str| {
        names.borrow_mut().push(name.to_owned());
        Some(author::placeholder_secret(name))
    };
    author::from_toml(text, &secrets).expect("the document is right");
    names.into_inner()
}
