//! All errors of shape in a JSON document: the first one of each section and of each item of a list.
//!
//! serde stops at the first error of the whole document. The code that reads sections and items exists anyway,
//! so this adds little to an edge's bundle.

use json::Members;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::problem::{Problem, Problems, line_path};
use super::raw;

/// The sections, in the order of [`raw::Document`].
const SECTIONS: [&str; 15] = [
    "server",
    "auth",
    "providers",
    "routes",
    "consumers",
    "groups",
    "limits",
    "prices",
    "guards",
    "cache",
    "history",
    "observe",
    "admin",
    "ledger",
    "store",
];

/// All problems of a document that serde refuses. `first` is its error.
pub(super) fn problems(document: &str, first: serde_json::Error) -> Problems {
    let mut shape = Shape { document, problems: Vec::new() };
    if let Ok(Members(members)) = json::from_text(document) {
        for (name, value) in members {
            shape.section(&name, value);
        }
    }
    // A repeated section is an error of the whole document alone.
    if shape.problems.is_empty() { Problems::from_json(first) } else { Problems(shape.problems) }
}

struct Shape<'d> {
    document: &'d str,
    problems: Vec<Problem>,
}

impl<'d> Shape<'d> {
    fn section(&mut self, name: &str, value: &'d RawValue) {
        match name {
            "server" => self.one::<raw::Server>(value),
            "auth" => self.one::<raw::Auth>(value),
            "providers" => self.list::<raw::Provider>(value),
            "routes" => self.list::<raw::Route>(value),
            "consumers" => self.list::<raw::Consumer>(value),
            "groups" => self.list::<raw::Group>(value),
            "limits" => self.list::<raw::Limit>(value),
            "prices" => self.list::<raw::Price>(value),
            "guards" => self.list::<raw::Guard>(value),
            "cache" => self.one::<Option<raw::Cache>>(value),
            "history" => self.one::<Option<raw::History>>(value),
            "observe" => self.one::<raw::Observe>(value),
            "admin" => self.one::<raw::Admin>(value),
            "ledger" => self.one::<raw::Ledger>(value),
            "store" => self.one::<raw::Store>(value),
            unknown => {
                let sections = SECTIONS.map(|section| format!("`{section}`")).join(", ");
                let message = format!("unknown field `{unknown}`, expected one of {sections}");
                // serde reports the end of the name.
                let before = &self.document[..self.offset(value)];
                let end = before.trim_end_matches([':', ' ', '\t', '\r', '\n']).len();
                let (line, column) = self.position(end);
                let path = line_path(line, column);
                self.problems.push(Problem::from_serde(path, &message, "valid JSON"));
            }
        }
    }

    fn one<T: Deserialize<'d>>(&mut self, value: &'d RawValue) {
        if let Err(error) = json::from_text::<T>(value.get()) {
            self.add(value, &error);
        }
    }

    fn list<T: Deserialize<'d>>(&mut self, value: &'d RawValue) {
        match json::from_text::<Vec<&RawValue>>(value.get()) {
            Ok(items) => items.into_iter().for_each(|item| self.one::<T>(item)),
            Err(error) => self.add(value, &error),
        }
    }

    /// Adds an error in a value, with its position in the document.
    fn add(&mut self, value: &RawValue, error: &serde_json::Error) {
        let (line, column) = self.position(self.offset(value));
        let at = match error.line() {
            0 | 1 => (line, (column + error.column()).max(1)),
            below => (line + below - 1, error.column().max(1)),
        };
        self.problems.push(Problem::from_json(error, at));
    }

    /// The line and the number of bytes before an offset in its line, as serde_json counts them.
    fn position(&self, offset: usize) -> (usize, usize) {
        let before = &self.document[..offset];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, offset - line_start)
    }

    /// The offset of a value, which is a part of the document.
    fn offset(&self, value: &RawValue) -> usize {
        value.get().as_ptr() as usize - self.document.as_ptr() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::{SECTIONS, raw};

    fn messages(document: &str) -> String {
        Config::from_json(document, &|_| None).expect_err("the shape is wrong").to_string()
    }

    #[test]
    fn every_section_and_item_has_its_error() {
        let document = "{\n \"servr\": {},\n \"auth\": { \"required\": 1 },\n \"providers\": [{ \"id\": 5 },\n\
                        { \"id\": \"openai\" }, { \"kind\": \"vllm\" }],\n \"routes\": {}, \"cache\": []\n}";
        let expected = [
            "line 2, column 8: found the unknown field `servr`, expected one of ",
            "line 3, column 24: found a number, expected true or false",
            "line 4, column 24: found a number, expected a string, in quotes",
            "line 5, column 38: found no field `id`, expected the field `id`",
            "line 6, column 11: found a table, expected a list of tables, in square brackets",
            "line 6, column 24: found a list, expected a table",
        ];
        let found = messages(document);
        assert_eq!(found.lines().count(), expected.len(), "{found}");
        for (line, expected) in found.lines().zip(expected) {
            assert!(line.starts_with(expected), "{expected}\n{found}");
        }
    }

    #[test]
    fn error_has_the_position_and_the_sections_that_serde_reports() {
        for document in [
            "{\"servr\":{}}",
            "{\n\"server\" : {\n \"max_bdy\": 1}}",
            "{\"limits\": [1]}",
            "{\"auth\": {\"jwt\": [\n{}]}}",
        ] {
            let error = json::from_text::<raw::Document>(document).expect_err("the shape is wrong");
            assert_eq!(messages(document), super::Problems::from_json(error).to_string());
        }
        assert_eq!(SECTIONS.len(), 15);
    }

    #[test]
    fn repeated_section_is_an_error() {
        assert!(messages("{\"server\":{},\"server\":{}}").contains("the field `server` twice"));
    }
}
