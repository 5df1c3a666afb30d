//! Mistakes of people, each with the full text of its message: `tests/fixtures/mistakes.txt`.

use std::fmt::Write as _;
use std::path::Path;

use secret::Secret;

use super::author;

const TABLE: &str = include_str!("../../tests/fixtures/mistakes.txt");
/// The providers and the route that mistakes in other sections need.
const BASE: &str = "\
[[providers]]
id = \"openai\"
keys = [\"secret:OPENAI_API_KEY\"]
[[routes]]
id = \"chat\"
models = [\"gpt-4o\"]
targets = [{ provider = \"openai\" }]
";

/// Parses a document with a value for every secret, or for none of them.
fn messages(document: &str, has_secrets: bool) -> String {
    let secrets = |name: &str| has_secrets.then(|| Secret::new(&format!("value of {name}")));
    match author::from_toml(document, &secrets) {
        Ok(_) => "accepted\n".to_owned(),
        Err(problems) => author::explain("gateway.toml", document, &problems),
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the switch that all golden files have")]
fn mistakes_have_these_messages() {
    let (heading, mistakes) = TABLE.split_once("\n=== ").expect("the table has a heading");
    let mut table = heading.to_owned();
    for mistake in mistakes.split("\n=== ") {
        let (name, rest) = mistake.split_once('\n').expect("a mistake has a name");
        let document = rest.split("---\n").next().unwrap_or_default();
        let is_part = name.ends_with("(after the base)");
        let whole = if is_part { format!("{BASE}{document}") } else { document.to_owned() };
        let said = messages(&whole, !name.contains("secrets unset"));
        write!(table, "\n=== {name}\n{document}---\n{said}").expect("a string takes everything");
    }
    if std::env::var_os("SERIN_BLESS").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/mistakes.txt");
        std::fs::write(path, &table).expect("the table is written");
        return;
    }
    for (expected, found) in TABLE.split("\n=== ").zip(table.split("\n=== ")) {
        assert_eq!(expected, found);
    }
}
