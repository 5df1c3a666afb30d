//! Comparison of the reference in `docs/` with the code: the table of providers, the fields of the schema, the
//! defaults, every whole document, and the named files.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use crate::provider_kind::ProviderKind;
use crate::{Authentication, Config, author};

use super::load;

const README: &str = include_str!("../../../../README.md");
const CONFIGURATION: &str = include_str!("../../../../docs/configuration.md");
const PROVIDERS: &str = include_str!("../../../../docs/providers.md");
const ROUTING: &str = include_str!("../../../../docs/routing.md");
const LIMITS: &str = include_str!("../../../../docs/limits.md");
const WIRE: &str = include_str!("../../../../docs/wire.md");

const TABLE: &str = "<!-- table of kinds -->\n";
const END_OF_TABLE: &str = "<!-- end of table -->\n";

#[test]
#[expect(clippy::disallowed_methods, reason = "a person asks for a new table by a variable")]
fn provider_table_in_docs_is_current() {
    let (before, rest) = PROVIDERS.split_once(TABLE).expect("the page has a place for the table");
    let (_, after) = rest.split_once(END_OF_TABLE).expect("the table has an end");
    let page = [before, TABLE, &table(), END_OF_TABLE, after].concat();
    if std::env::var_os("SERIN_BLESS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/providers.md");
        std::fs::write(path, &page).expect("the page can be written");
        return;
    }
    assert!(page == PROVIDERS, "the table has changed: run this test with SERIN_BLESS=1");
}

/// The Markdown table with one row for each kind.
fn table() -> String {
    let mut rows = String::from(
        "| kind | address | endpoints | key | usage in streams |\n| --- | --- | --- | --- | --- |\n",
    );
    for kind in ProviderKind::names().filter_map(ProviderKind::lookup) {
        let address = kind.base_url.map_or("from `base_url`".to_owned(), |url| format!("`{url}`"));
        let paths = kind.paths("", None);
        let mut offered: Vec<&str> = kind.protocols.iter().map(|protocol| protocol.id()).collect();
        offered.extend(paths.completions.is_some().then_some("completions"));
        offered.extend(paths.embeddings.is_some().then_some("embeddings"));
        let offered = offered.join(", ");
        let key = match kind.authentication() {
            Authentication::Bearer if kind.keyless => "bearer, optional".to_owned(),
            Authentication::Bearer => "bearer".to_owned(),
            Authentication::Header(name) => format!("header `{name}`"),
        };
        let usage = if kind.stream_usage { "asked" } else { "not asked" };
        rows += &format!("| `{}` | {address} | {offered} | {key} | {usage} |\n", kind.name);
    }
    rows
}

#[test]
fn every_schema_field_is_documented() {
    let schema: Value = serde_json::from_str(&author::schema()).expect("the schema is JSON");
    let definitions = schema["$defs"].as_object().expect("the schema has definitions");
    for (name, definition) in definitions {
        let Some(fields) = definition["properties"].as_object() else { continue };
        let marker = format!("<!-- fields of {name} -->\n");
        let Some((_, table)) = CONFIGURATION.split_once(&marker) else {
            panic!("{name} is not described");
        };
        let required: BTreeSet<&str> = strings(&definition["required"]).collect();
        assert_fields_documented(name, fields, &required, table);
    }
}

/// Compares a definition's fields with the rows of its table.
fn assert_fields_documented(
    name: &str,
    fields: &Map<String, Value>,
    required: &BTreeSet<&str>,
    table: &str,
) {
    let rows = table.lines().take_while(|line| line.starts_with('|')).skip(2);
    let mut described = BTreeSet::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [field, _, default, meaning] = cells[..] else { panic!("{name}: {row}") };
        let field = field.trim_matches('`');
        assert!(!meaning.is_empty(), "{name}: {row}");
        assert_eq!(required.contains(field), default == "required", "{name}: {row}");
        assert!(described.insert(field), "{name}: {row}");
    }
    assert_eq!(described, fields.keys().map(String::as_str).collect(), "{name}");
}

fn strings(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str)
}

#[test]
fn every_section_is_documented() {
    let schema: Value = serde_json::from_str(&author::schema()).expect("the schema is JSON");
    for section in schema["properties"].as_object().expect("the document has sections").keys() {
        let is_named = [format!("`[{section}]`"), format!("`[[{section}]]`")]
            .iter()
            .any(|name| CONFIGURATION.contains(name));
        assert!(is_named, "{section} is not described");
    }
}

#[test]
fn documented_defaults_are_the_parsed_defaults() {
    let marked = |marker: &str| {
        let (_, rest) = CONFIGURATION.split_once(marker).expect("the marker is there");
        let document = documents(rest).next().expect("a document follows");
        let config = load(document).unwrap_or_else(|problems| panic!("{marker}: {problems}"));
        format!("{:#?}", Config { digest: [0; 32], ..config })
    };
    assert_eq!(marked("<!-- least -->\n"), marked("<!-- same -->\n"));
}

#[test]
fn documented_documents_are_valid() {
    for (page, least) in [(README, 1), (CONFIGURATION, 2), (PROVIDERS, 0), (ROUTING, 1)] {
        let mut count = 0;
        for document in documents(page) {
            load(document).unwrap_or_else(|problems| panic!("{problems}\n{document}"));
            count += 1;
        }
        assert!(count >= least, "only {count} documents were found");
    }
}

#[test]
fn documented_pages_and_scenarios_exist() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let folders: Vec<String> = fs::read_dir(root.join("tests/scenarios"))
        .expect("the scenarios are there")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a plain name"))
        .collect();
    assert!(folders.iter().any(|folder| folder == "fallback"));
    for (page, place) in [
        (README, ""),
        (CONFIGURATION, "docs"),
        (PROVIDERS, "docs"),
        (ROUTING, "docs"),
        (WIRE, "docs"),
        (LIMITS, "docs"),
    ] {
        let links = page.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        let links = links.filter(|link| !link.is_empty() && !link.starts_with("http"));
        for link in links {
            assert!(root.join(place).join(link).exists(), "{place}: {link}");
        }
        let is_scenario = |word: &&str| {
            word.split_once('/').is_some_and(|(folder, name)| {
                folders.iter().any(|known| known == folder) && !name.contains(['.', '/', ' ', '*'])
            })
        };
        for name in page.split('`').filter(is_scenario) {
            let file = root.join("tests/scenarios").join(name).with_extension("toml");
            assert!(file.exists(), "{place}: {name}");
        }
    }
}

/// The blocks of a page that are marked `toml`; a part of a document is marked `toml fragment`.
fn documents(page: &str) -> impl Iterator<Item = &str> {
    page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default())
}
