//! Structure of the repository, as ARCHITECTURE.md describes it: the order of crates, the order of
//! folders in `gateway`, no large import circles, no long files, and plain prose in comments.

mod circles;
mod imports;
mod prose;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use imports::Crate;

/// The crates of the product and of its tools, each above everything that it may depend on.
const CRATES: [&[&str]; 12] = [
    &["civil-time", "secret", "sorting"],
    &["json", "rollout", "insight"],
    &["openai", "jwt", "ledger"],
    &["protocol"],
    &["guards"],
    &["config", "semantic"],
    &["gateway", "memory-host"],
    &["sim"],
    &["worker-bundle"],
    &["xtask", "fuzz"],
    &["edge-cloudflare", "edge-spin"],
    &["tests", "baseline-component", "baseline-worker"],
];

/// The parts of `gateway`, each above everything that it may import.
const GATEWAY: [&[&str]; 22] = [
    &["fifo_cache"],
    &["record"],
    &["host"],
    &["error"],
    &["request"],
    &["auth"],
    &["audit_entry"],
    &["routing"],
    &["limits"],
    &["rollouts"],
    &["telemetry"],
    &["upstream"],
    &["cache"],
    &["history"],
    &["guards"],
    &["response"],
    &["vault"],
    &["config_loader"],
    &["gateway"],
    &["count_tokens", "feedback", "stored_response"],
    &["pipeline", "live_config"],
    &["admin"],
];

/// Imported by hosts alone: it may import everything.
const TOP: &str = "service";

/// The most files that may import one another in a circle.
const MAX_CIRCLE: usize = 3;
/// The most lines of a file of the product, without its tests.
const MAX_LINES: usize = 400;

fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).expect("the crate is two levels below the root").to_owned()
}

/// The folder of every package of the workspace, by its name.
fn packages() -> BTreeMap<String, PathBuf> {
    let root = root();
    let text = fs::read_to_string(root.join("Cargo.toml")).expect("the workspace has a manifest");
    let manifest: toml::Table = text.parse().expect("the manifest is TOML");
    let members = manifest["workspace"]["members"].as_array().expect("members are a list");
    let folders = members.iter().map(|member| root.join(member.as_str().expect("a path")));
    folders.map(|folder| (package_name(&folder), folder)).collect()
}

fn manifest(folder: &Path) -> toml::Table {
    let text = fs::read_to_string(folder.join("Cargo.toml")).expect("a package has a manifest");
    text.parse().expect("a manifest is TOML")
}

fn package_name(folder: &Path) -> String {
    manifest(folder)["package"]["name"].as_str().expect("a package has a name").to_owned()
}

fn rank(order: &[&[&str]], name: &str) -> Option<usize> {
    order.iter().position(|names| names.contains(&name))
}

#[test]
fn crates_depend_only_on_crates_below_them() {
    let packages = packages();
    let mut wrong = Vec::new();
    for (name, folder) in &packages {
        let Some(own) = rank(&CRATES, name) else {
            wrong.push(format!("{name} has no place in the order of crates"));
            continue;
        };
        let manifest = manifest(folder);
        for section in ["dependencies", "build-dependencies"] {
            let Some(dependencies) = manifest.get(section).and_then(toml::Value::as_table) else {
                continue;
            };
            for other in dependencies.keys().filter(|other| packages.contains_key(*other)) {
                if rank(&CRATES, other).is_none_or(|other| other >= own) {
                    wrong.push(format!("{name} depends on {other}, which is not below it"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn parts_of_the_gateway_import_only_parts_below_them() {
    let gateway = Crate::read(&root().join("crates/gateway/src"));
    let part = |module: &str| module.split("::").next().unwrap_or_default().to_owned();
    let mut wrong = BTreeSet::new();
    for (from, to) in gateway.imports() {
        let (from_part, to_part) = (part(&from), part(&to));
        if from_part == to_part || from_part == TOP || from_part == "testing" {
            continue;
        }
        match (rank(&GATEWAY, &from_part), rank(&GATEWAY, &to_part)) {
            (Some(from_rank), Some(to_rank)) if to_rank < from_rank => {}
            (None, _) => drop(wrong.insert(format!("{from_part} has no place in the order"))),
            (_, _) => drop(wrong.insert(format!("{from} imports {to}, which is not below it"))),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn no_import_circle_has_more_than_three_files() {
    let mut wrong = Vec::new();
    for (name, folder) in packages() {
        let source = folder.join("src");
        if !source.is_dir() {
            continue;
        }
        let imports = Crate::read(&source).imports();
        let large = circles::find(&imports).into_iter().filter(|circle| circle.len() > MAX_CIRCLE);
        wrong.extend(large.map(|circle| format!("{name}: {}", circle.join(", "))));
    }
    assert!(wrong.is_empty(), "circles of more than {MAX_CIRCLE} files:\n{}", wrong.join("\n"));
}

#[test]
fn no_file_of_the_product_is_long() {
    let mut wrong = Vec::new();
    for folder in packages().into_values() {
        let files = imports::rust_files(&folder.join("src"));
        let is_test = |file: &PathBuf| {
            let inside = file.strip_prefix(&folder).expect("the file is in its package");
            inside.iter().any(|name| name == "tests" || name == "tests.rs")
        };
        for file in files.into_iter().filter(|file| !is_test(file)) {
            let text = fs::read_to_string(&file).expect("a source file is text");
            let lines = imports::without_tests(&text).lines().count();
            if lines > MAX_LINES {
                wrong.push(format!("{}: {lines} lines", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "more than {MAX_LINES} lines without tests:\n{}", wrong.join("\n"));
}

#[test]
fn comments_begin_with_a_noun_or_a_verb() {
    let mut wrong = Vec::new();
    for folder in packages().into_values() {
        for file in imports::rust_files(&folder) {
            let text = fs::read_to_string(&file).expect("a source file is text");
            for (number, line) in
                text.lines().enumerate().filter(|(_, line)| prose::is_riddle(line))
            {
                let file = file.strip_prefix(root()).unwrap_or(&file).display();
                wrong.push(format!("{file}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    let count = wrong.len();
    assert!(
        wrong.is_empty(),
        "{count} comments that begin with such a word (see CONTRIBUTING.md, Style):\n{}",
        wrong.join("\n")
    );
}
