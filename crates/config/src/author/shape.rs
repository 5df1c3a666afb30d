//! Errors of shape: unknown fields, missing fields, and values of a wrong type.
//!
//! serde stops at the first error. So a document with an error is repaired and parsed again until it has the
//! right shape: an unknown field is removed, a missing one gets a placeholder. A repair is never reported.

use std::collections::BTreeMap;

use serde_path_to_error::{Deserializer, Path, Segment, Track};
use toml::{Table, Value};

use super::super::SecretLookup;
use super::super::parse::{self, MissingSecrets};
use super::super::problem::{Problem, Problems};
use super::super::raw::Document;
use super::locate;

/// The most problems of shape that are reported. Each one costs a further parse of the document.
const MAX_PROBLEMS: usize = 100;
/// The most repairs of one document. A problem needs a few, since a placeholder's type is tried.
const MAX_REPAIRS: usize = 8 * MAX_PROBLEMS;

/// A document, repaired where its shape was wrong.
#[derive(Debug)]
pub(super) struct Shaped {
    pub(super) document: Document,
    pub(super) problems: Vec<Problem>,
    /// The paths of all repaired values.
    repaired: Vec<String>,
}

/// Repairs a table until it has the right shape, and collects all problems.
pub(super) fn repair(mut table: Table, text: &str) -> Shaped {
    let mut repairs = Repairs::default();
    table.iter_mut().for_each(|(_, value)| replace_dates(value));
    let document = (0..MAX_REPAIRS).find_map(|_| {
        let mut track = Track::new();
        let value = Deserializer::new(Value::Table(table.clone()), &mut track);
        match json::from_objects(value) {
            Ok(document) => Some(document),
            Err(error) => {
                let path = steps(&track.path());
                let is_repaired = repairs.repair(&mut table, path, error.message());
                // The problems so far are reported.
                (!is_repaired).then(Document::default)
            }
        }
    });
    let Repairs { mut problems, placeholders, removed } = repairs;
    problems.sort_by_key(|problem| locate(text, &problem.path));
    let repaired = placeholders.keys().chain(&removed).map(|steps| format(steps)).collect();
    Shaped { document: document.unwrap_or_default(), problems, repaired }
}

/// Replaces dates by tables, as which serde reads them from a text. No field is one.
fn replace_dates(value: &mut Value) {
    match value {
        Value::Datetime(_) => *value = Value::Table(Table::new()),
        Value::Array(items) => items.iter_mut().for_each(replace_dates),
        Value::Table(table) => table.iter_mut().for_each(|(_, value)| replace_dates(value)),
        Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => {}
    }
}

impl Shaped {
    /// A document without problems of shape.
    pub(super) fn right(document: Document) -> Self {
        Self { document, problems: Vec::new(), repaired: Vec::new() }
    }

    /// All problems: those of shape, and those of values in sections and list items that have the right shape.
    pub(super) fn all_problems(
        self,
        secrets: &SecretLookup<'_>,
        missing: MissingSecrets,
    ) -> Problems {
        let mut problems = self.problems;
        // A missing section or id makes every reference to it wrong.
        let is_referenced = |path: &String| path.ends_with(".id") || !path.contains(['.', '[']);
        if !self.repaired.iter().any(is_referenced)
            && let Err(Problems(others)) = parse::parse_document(&self.document, secrets, missing)
        {
            let is_right = |other: &Problem| {
                let mut repaired = self.repaired.iter();
                !repaired.any(|path| section_item(path) == section_item(&other.path))
            };
            problems.extend(others.into_iter().filter(is_right));
        }
        Problems(problems)
    }
}

/// The first step of a path: `routes[0]` for `routes[0].targets[1].provider`.
fn section_item(path: &str) -> &str {
    path.split('.').next().unwrap_or(path)
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Field(String),
    Item(usize),
}

fn steps(path: &Path) -> Vec<Step> {
    let step = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(Step::Item(*index)),
        Segment::Map { key } => Some(Step::Field(key.clone())),
        Segment::Enum { .. } | Segment::Unknown => None,
    };
    path.iter().filter_map(step).collect()
}

fn format(steps: &[Step]) -> String {
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Item(index) => path.push_str(&format!("[{index}]")),
            Step::Field(name) if path.is_empty() => path.push_str(name),
            Step::Field(name) => path.push_str(&format!(".{name}")),
        }
    }
    path
}

#[derive(Default)]
struct Repairs {
    problems: Vec<Problem>,
    /// Values that take the place of missing or wrong ones, and the index of their type.
    placeholders: BTreeMap<Vec<Step>, usize>,
    removed: Vec<Vec<Step>>,
}

impl Repairs {
    /// Reports an error unless a repair caused it, and repairs its value. False if that is impossible.
    fn repair(&mut self, table: &mut Table, mut path: Vec<Step>, message: &str) -> bool {
        let missing =
            message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
        let mut is_own = (1..=path.len()).any(|end| self.placeholders.contains_key(&path[..end]));
        let at = format(&path);
        if let Some(field) = missing {
            path.push(Step::Field(field.to_owned()));
            is_own |= self.removed.contains(&path);
        }
        if !is_own {
            if self.problems.len() == MAX_PROBLEMS {
                return false;
            }
            self.problems.push(Problem::from_serde(at, message, "valid TOML"));
        }
        if path.is_empty() {
            return false;
        }
        if missing.is_some() || self.placeholders.contains_key(&path) {
            return self.put_placeholder(table, path);
        }
        let is_list_expected = message.ends_with(", expected a sequence");
        match value_at(table, &path) {
            // A table stands for a list of one table, whose own problems are found.
            Some(value)
                if is_list_expected && value.is_table() && !self.removed.contains(&path) =>
            {
                let item = std::mem::replace(value, Value::Array(Vec::new()));
                *value = Value::Array(vec![item]);
                self.removed.push(path);
                true
            }
            Some(_) => match path.last() {
                Some(Step::Item(_)) | None => self.put_placeholder(table, path),
                Some(Step::Field(name)) => {
                    let removed = parent(table, &path).and_then(|parent| parent.remove(name));
                    self.removed.push(path);
                    removed.is_some()
                }
            },
            None => false,
        }
    }

    /// Puts a value of the next type at a path.
    fn put_placeholder(&mut self, table: &mut Table, path: Vec<Step>) -> bool {
        let tried = self.placeholders.get(&path).map_or(0, |index| index + 1);
        let value = match tried {
            0 => Value::String("placeholder".to_owned()),
            1 => Value::Integer(1),
            2 => Value::Array(Vec::new()),
            3 => Value::Table(Table::new()),
            4 => Value::Boolean(false),
            _ => return false,
        };
        let is_put = match (value_at(table, &path), path.last()) {
            (Some(slot), _) => {
                *slot = value;
                true
            }
            (None, Some(Step::Field(name))) => {
                parent(table, &path).map(|parent| parent.insert(name.clone(), value)).is_some()
            }
            (None, Some(Step::Item(_)) | None) => false,
        };
        self.placeholders.insert(path, tried);
        is_put
    }
}

/// The value at a path.
fn value_at<'t>(table: &'t mut Table, path: &[Step]) -> Option<&'t mut Value> {
    let (first, rest) = path.split_first()?;
    let Step::Field(name) = first else { return None };
    let mut here = table.get_mut(name)?;
    for step in rest {
        here = match step {
            Step::Field(name) => here.as_table_mut()?.get_mut(name)?,
            Step::Item(index) => here.as_array_mut()?.get_mut(*index)?,
        };
    }
    Some(here)
}

/// The table that holds the field at the end of a path.
fn parent<'t>(table: &'t mut Table, path: &[Step]) -> Option<&'t mut Table> {
    match path {
        [] => None,
        [_] => Some(table),
        [before @ .., _] => value_at(table, before)?.as_table_mut(),
    }
}
