//! The imports between the files of a crate, read from its text.
//!
//! A `mod.rs` or `lib.rs` that only re-exports an item counts as transparent: an import through it is an
//! import of the file that defines the item.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// How many re-exports are followed for one item.
const MAX_REEXPORTS: usize = 8;

/// The files of a crate without their tests, by module path; the crate's root is the empty path.
pub(crate) struct Crate {
    modules: BTreeMap<String, String>,
    /// The full path of an item that a module re-exports, by module and name.
    reexports: BTreeMap<(String, String), Vec<String>>,
}

/// All Rust files below a folder, without build output.
pub(crate) fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return files };
    for path in entries.map(|entry| entry.expect("the folder can be read").path()) {
        if path.is_dir() && !path.ends_with("target") && !path.ends_with("node_modules") {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// A file's text up to its test module.
pub(crate) fn without_tests(text: &str) -> &str {
    text.split_once("#[cfg(test)]\nmod tests {").map_or(text, |(product, _)| product)
}

impl Crate {
    /// Reads all files below `source`.
    pub(crate) fn read(source: &Path) -> Self {
        let mut modules = BTreeMap::new();
        for file in rust_files(source) {
            let relative = file.strip_prefix(source).expect("the file is below the folder");
            let mut names: Vec<String> = relative
                .with_extension("")
                .iter()
                .map(|name| name.to_string_lossy().into_owned())
                .collect();
            if names.iter().any(|name| name == "tests" || name == "bin") {
                continue;
            }
            if names.last().is_some_and(|name| matches!(name.as_str(), "mod" | "lib" | "main")) {
                names.pop();
            }
            let text = fs::read_to_string(&file).expect("a source file is text");
            modules.insert(names.join("::"), without_comments(without_tests(&text)));
        }
        let mut all = Self { modules, reexports: BTreeMap::new() };
        all.reexports = all.find_reexports();
        all
    }

    /// Pairs of modules of which the first imports the second.
    pub(crate) fn imports(&self) -> BTreeSet<(String, String)> {
        let mut imports = BTreeSet::new();
        for (module, text) in &self.modules {
            let used = statements(text).flat_map(|(_, tree)| expand(tree));
            for path in used.chain(inline_paths(text)) {
                let Some(path) = absolute(module, &path) else { continue };
                let to = self.resolve(path, 0);
                if !to.is_empty() && to != *module {
                    imports.insert((module.clone(), to));
                }
            }
        }
        imports
    }

    fn find_reexports(&self) -> BTreeMap<(String, String), Vec<String>> {
        let mut reexports = BTreeMap::new();
        for (module, text) in &self.modules {
            for path in
                statements(text).filter(|(is_public, _)| *is_public).flat_map(|(_, it)| expand(it))
            {
                let name = path.rsplit("::").next().unwrap_or_default().to_owned();
                let absolute = absolute(module, &path).or_else(|| {
                    // `pub use child::Item` without `self::`.
                    let prefix =
                        if module.is_empty() { String::new() } else { format!("{module}::") };
                    let full = format!("{prefix}{path}");
                    let child = format!("{prefix}{}", path.split("::").next().unwrap_or_default());
                    self.modules.contains_key(&child).then(|| split(&full))
                });
                if let Some(absolute) = absolute {
                    reexports.insert((module.clone(), name), absolute);
                }
            }
        }
        reexports
    }

    /// The module that defines the item at a path; empty if it is none of this crate's files.
    fn resolve(&self, path: Vec<String>, depth: usize) -> String {
        for length in (0..=path.len()).rev() {
            let module = path[..length].join("::");
            if !self.modules.contains_key(&module) {
                continue;
            }
            let Some(name) = path.get(length) else { return module };
            return match self.reexports.get(&(module.clone(), name.clone())) {
                Some(target) if depth < MAX_REEXPORTS => {
                    let mut target = target.clone();
                    target.extend_from_slice(&path[length + 1..]);
                    self.resolve(target, depth + 1)
                }
                Some(_) | None => module,
            };
        }
        String::new()
    }
}

fn split(path: &str) -> Vec<String> {
    path.split("::").map(str::to_owned).collect()
}

/// A path from the crate's root; `None` if it begins outside of the crate.
fn absolute(module: &str, path: &str) -> Option<Vec<String>> {
    let mut names = split(path);
    let mut base = if module.is_empty() { Vec::new() } else { split(module) };
    match names.first()?.as_str() {
        "crate" => return Some(names.split_off(1)),
        "self" => drop(names.remove(0)),
        "super" => {
            while names.first().is_some_and(|name| name == "super") {
                names.remove(0);
                base.pop();
            }
        }
        _ => return None,
    }
    base.append(&mut names);
    Some(base)
}

/// The trees of all `use` statements, and whether each is public.
fn statements(text: &str) -> impl Iterator<Item = (bool, &str)> {
    text.match_indices("use ").filter_map(|(at, _)| {
        let before = text[..at].rsplit('\n').next().unwrap_or_default().trim();
        let is_statement = before.is_empty() || before.starts_with("pub");
        let tree = text[at + 4..].split_once(';')?.0;
        is_statement.then_some((!before.is_empty(), tree.trim()))
    })
}

/// Every path of a `use` tree.
fn expand(tree: &str) -> Vec<String> {
    let Some((prefix, rest)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default().trim();
        return vec![path.trim_end_matches("::self").to_owned()];
    };
    let inner = rest.rsplit_once('}').map_or(rest, |(inner, _)| inner);
    let (mut depth, mut begin, mut parts) = (0, 0, Vec::new());
    for (at, character) in inner.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&inner[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inner[begin..]);
    let parts = parts.into_iter().map(str::trim).filter(|part| !part.is_empty());
    parts.flat_map(|part| expand(&format!("{}{part}", prefix.trim()))).collect()
}

/// Paths such as `crate::limits::Balance` outside of `use` statements.
fn inline_paths(text: &str) -> Vec<String> {
    let is_part = |character: char| character.is_alphanumeric() || matches!(character, '_' | ':');
    let words = text.split(|character: char| !is_part(character));
    let begins =
        |word: &&str| ["crate::", "super::", "self::"].iter().any(|it| word.starts_with(it));
    words.filter(begins).map(|word| word.trim_end_matches(':').to_owned()).collect()
}

fn without_comments(text: &str) -> String {
    let lines = text.lines().map(|line| line.split_once("//").map_or(line, |(code, _)| code));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn tree_is_expanded_into_its_paths() {
    let paths = expand("crate::{a::{self, B}, c::D as E}");
    assert_eq!(paths, ["crate::a", "crate::a::B", "crate::c::D"]);
    assert_eq!(absolute("x::y", "super::z::Item"), Some(split("x::z::Item")));
    assert_eq!(absolute("x::y", "std::rc::Rc"), None);
    assert_eq!(inline_paths("a(crate::limits::cost(x), b)"), ["crate::limits::cost"]);
}
