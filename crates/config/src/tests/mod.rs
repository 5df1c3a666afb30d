//! The configuration as a whole: what it refuses, what it makes of the worked example, its laws.

mod accepted;
mod accepted_access_and_limits;
mod accepted_guards_and_cache;
mod pages;
mod properties;
mod reference;
mod refused;
mod wire;

use std::cell::RefCell;

use secret::Secret;

use super::{Config, Problems, author};

const WORKED_EXAMPLE: &str = include_str!("../../tests/fixtures/worked-example.toml");
/// Every section that acts, in full.
const FULL_EXAMPLE: &str = include_str!("../../tests/fixtures/full-example.toml");

/// Guards, cache, history and observers, in full.
const GUARDS_EXAMPLE: &str = include_str!("../../tests/fixtures/guards-example.toml");

/// Reads a document for which every secret is set, each to another value.
fn load(text: &str) -> Result<Config, Problems> {
    author::from_toml(text, &|name| Some(Secret::new(&format!("value of {name}"))))
}

/// The names of the secrets that reading asks for, in order.
fn secrets_requested(text: &str) -> Vec<String> {
    let names = RefCell::new(Vec::new());
    let secrets = |name: &str| {
        names.borrow_mut().push(name.to_owned());
        Some(author::placeholder_secret(name))
    };
    author::from_toml(text, &secrets).expect("the document is right");
    names.into_inner()
}
