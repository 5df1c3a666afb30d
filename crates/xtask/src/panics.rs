//! Counts the panics that the optimizer leaves in the code of our own crates in an artifact. A panic ends every
//! request of an isolate, so the number may not grow unnoticed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::child::Processes;
use crate::tools;

const TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Our crates in the artifacts.
const OWN_CRATES: [&str; 12] = [
    "civil_time",
    "config",
    "edge_cloudflare",
    "edge_spin",
    "gateway",
    "guards",
    "json",
    "jwt",
    "ledger",
    "openai",
    "protocol",
    "secret",
];

/// Kind of a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// `expect` on an option or a result. Each names the reason for which it holds.
    Expect,
    /// Index or range of a slice or a text, or slices of different lengths.
    Index,
    /// Second borrow of a `RefCell`: no borrow crosses an await, which is a lint.
    Borrow,
    /// `unreachable!` and assertions.
    Explicit,
    /// Division by zero, or a shift that is too far.
    Arithmetic,
}

/// Panics of each kind in our own code, at most: a fifth above the numbers of December 2026 (330, 467, 161, 159,
/// 14), which `cargo xtask test --only worker` prints. Most come from `BTreeMap` and `Vec` by inlining. A greater
/// number has to be argued where it is raised.
const MAX_PANICS: [(Kind, usize); 5] = [
    (Kind::Expect, 400),
    (Kind::Index, 560),
    (Kind::Borrow, 195),
    (Kind::Explicit, 190),
    (Kind::Arithmetic, 17),
];

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Expect => "expect",
            Self::Index => "index",
            Self::Borrow => "borrow",
            Self::Explicit => "explicit",
            Self::Arithmetic => "arithmetic",
        }
    }

    /// Kind of a panic by the function that is called for it. `None` for any other function, for a future
    /// that is polled after its end, which no executor does, and for memory that runs out.
    fn of_call(callee: &str) -> Option<Self> {
        let has = |parts: &[&str]| parts.iter().any(|part| callee.contains(part));
        if has(&["async_fn_resumed", "async_gen_fn_resumed", "coroutine_resumed", "nounwind"]) {
            None
        } else if has(&["expect_failed", "unwrap_failed"]) {
            Some(Self::Expect)
        } else if has(&[
            "panic_bounds_check",
            "slice_index",
            "slice_error_fail",
            "len_mismatch_fail",
        ]) || (has(&["core::slice::index"]) && has(&["fail"]))
        {
            Some(Self::Index)
        } else if has(&["panic_already_borrowed", "panic_already_mutably_borrowed"]) {
            Some(Self::Borrow)
        } else if has(&["panic_const_div", "panic_const_rem", "panic_const_shl", "panic_const_shr"])
        {
            Some(Self::Arithmetic)
        } else if has(&["9panicking5panic", "9panicking9panic_fmt", "9panicking13assert_failed"]) {
            Some(Self::Explicit)
        } else {
            None
        }
    }
}

/// Panics by crate and kind.
type Counts = BTreeMap<(String, Kind), usize>;

/// Counts the panics of a compiled artifact with the names of its functions, and fails if there are more than
/// before.
pub(crate) fn check(processes: &mut Processes, artifact: &Path) -> anyhow::Result<()> {
    let text = artifact.with_extension("wat");
    let mut disassemble = tools::node("node")?;
    disassemble.arg("node_modules/binaryen/bin/wasm-dis").arg(artifact).arg("-o").arg(&text);
    processes.run_checked("wasm-dis", disassemble.stderr(Stdio::null()), TIMEOUT)?;
    let code = std::fs::read_to_string(&text)
        .with_context(|| format!("cannot read {}", text.display()))?;
    std::fs::remove_file(&text)?;
    let counts = count(&code);
    println!("{}", describe(&counts));
    let problems = excess(&counts);
    if problems.is_empty() { Ok(()) } else { bail!("{}", problems.join("\n")) }
}

/// Counts the calls in the text form of WebAssembly, which has a line for each function and each call.
fn count(code: &str) -> Counts {
    let (mut counts, mut own): (Counts, Option<&str>) = (Counts::new(), None);
    for line in code.lines() {
        let line = line.trim_start();
        if let Some(function) = line.strip_prefix("(func ") {
            own = own_crate(name(function));
        } else if let Some(call) = line.strip_prefix("(call ")
            && let Some(own) = own
            && let Some(kind) = Kind::of_call(name(call))
        {
            *counts.entry((own.to_owned(), kind)).or_default() += 1;
        }
    }
    counts
}

/// Returns the name at the beginning of a text: `$name` or `$"name"`.
fn name(text: &str) -> &str {
    let text = text.strip_prefix('$').unwrap_or(text);
    match text.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next().unwrap_or_default(),
        None => text.split([' ', ')']).next().unwrap_or_default(),
    }
}

/// Returns our crate that a function belongs to: by the first part of its mangled path, or by the type that it is
/// a method of.
fn own_crate(function: &str) -> Option<&'static str> {
    let path = function.strip_prefix("_ZN")?;
    let digits = path.find(|c: char| !c.is_ascii_digit())?;
    let part = path[digits..].get(..path[..digits].parse().ok()?)?;
    let mut part = part.trim_start_matches('_');
    // `<`, `&`, `*`, and `mut ` before the type.
    while let Some(rest) =
        ["$LT$", "$RF$", "$BP$", "mut$u20$"].iter().find_map(|sign| part.strip_prefix(sign))
    {
        part = rest;
    }
    let first = part.split("..").next().unwrap_or_default();
    OWN_CRATES.into_iter().find(|own| *own == first)
}

fn describe(counts: &Counts) -> String {
    let mut text = "panics in our own code, by crate:".to_owned();
    for (kind, max) in MAX_PANICS {
        let of_kind = counts.iter().filter(|((_, other), _)| *other == kind);
        let all: Vec<String> =
            of_kind.clone().map(|((own, _), number)| format!("{own} {number}")).collect();
        let sum: usize = of_kind.map(|(_, number)| number).sum();
        write!(text, "\n  {:10} {sum} of {max}: {}", kind.name(), all.join(", ")).ok();
    }
    text
}

/// Kinds of which there are more than before.
fn excess(counts: &Counts) -> Vec<String> {
    let sum = |kind| counts.iter().filter(|((_, other), _)| *other == kind).map(|(_, it)| it).sum();
    let over = MAX_PANICS.into_iter().filter_map(|(kind, max)| {
        let found: usize = sum(kind);
        (found > max).then(|| {
            format!(
                "{found} panics of the kind {} in our own code, at most {max}: remove the new ones, or raise the \
                 number in crates/xtask/src/panics.rs with the reason",
                kind.name()
            )
        })
    });
    over.collect()
}

#[cfg(test)]
mod tests {
    use super::{Counts, Kind, MAX_PANICS, count, excess, own_crate};

    const CODE: &str = r#"(module
 (func $_ZN7gateway8pipeline3run17h0123E (param $0 i32)
  (call $_RNvNtCsgXGp5Oqx2Ny_4core9panicking18panic_bounds_check
   (i32.const 1)
  )
  (call $_RNvNtCsgXGp5Oqx2Ny_4core6option13expect_failed)
  (call $_RNvNtNtCsgXGp5Oqx2Ny_4core9panicking11panic_const28panic_const_async_fn_resumed)
  (call $_ZN7gateway5other17h0123E)
 )
 (func $_ZN50_$LT$openai..Request$u20$as$u20$core..fmt..Debug$GT$3fmt17hE (param $0 i32)
  (call $_RNvNtCsgXGp5Oqx2Ny_4core9panicking9panic_fmt (i32.const 1))
 )
 (func $_ZN10serde_json2de17h7E
  (call $_RNvNtCsgXGp5Oqx2Ny_4core6result13unwrap_failed)
 )
)"#;

    #[test]
    fn panics_of_our_own_code_are_counted() {
        let expected = [
            (("gateway".to_owned(), Kind::Expect), 1),
            (("gateway".to_owned(), Kind::Index), 1),
            (("openai".to_owned(), Kind::Explicit), 1),
        ];
        assert_eq!(count(CODE), Counts::from(expected));
        for (name, own) in [
            ("_ZN35_$LT$$RF$mut$u20$gateway..a..B$GT$1cE", Some("gateway")),
            ("_ZN4core3ptr30drop_in_place$LT$gateway..A$GT$E", None),
            ("_ZN3jwt6verifyE", Some("jwt")),
            ("_ZN4jwtx6verifyE", None),
            ("_ZN99jwtE", None),
            ("main", None),
        ] {
            assert_eq!(own_crate(name), own, "{name}");
        }
    }

    #[test]
    fn more_panics_than_before_are_named() {
        let counts = |number| Counts::from([(("gateway".to_owned(), Kind::Explicit), number)]);
        let (_, max) = MAX_PANICS[3];
        assert!(excess(&counts(max)).is_empty());
        let over = excess(&counts(max + 1));
        assert!(over.len() == 1 && over[0].contains("explicit"), "{over:?}");
    }
}
