//! JavaScript side of the WebAssembly: wasm-bindgen's modules, and the entry module around them.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, ensure};
use wasm_bindgen_cli_support::Bindgen;

const ENTRY: &str = include_str!("entry.js");
/// Events that a Worker handles. The second and third arguments are members of the entry point.
const EVENTS: [&str; 5] = ["fetch", "queue", "scheduled", "email", "connect"];

/// Writes `bindings/index.js`, `bindings/index_bg.wasm`, and the entry module `build/index.js`.
pub(crate) fn generate(wasm: Vec<u8>, staging: &Path) -> anyhow::Result<()> {
    let bindings = staging.join("bindings");
    Bindgen::new()
        .input_bytes("index", wasm)
        .module(true)?
        .reset_state_function(true)
        .force_enable_abort_handler(true)
        .generate(&bindings)
        .context("wasm-bindgen failed")?;
    let path = bindings.join("index.js");
    let module = std::fs::read_to_string(&path)?;
    std::fs::write(&path, plain_import(&module)?)?;
    let build = staging.join("build");
    std::fs::create_dir(&build)?;
    std::fs::write(build.join("index.js"), Exports::parse(&module).entry()?)?;
    Ok(())
}

/// Replaces `import source`, which the runtime does not support yet, with `import`. The runtime
/// compiles WebAssembly that is imported without `source`.
fn plain_import(module: &str) -> anyhow::Result<String> {
    ensure!(
        module.matches("import source ").count() == 1,
        "the module of wasm-bindgen does not import its WebAssembly as expected"
    );
    Ok(module.replacen("import source ", "import ", 1))
}

/// Names that a module of wasm-bindgen exports.
#[derive(Debug, Default, PartialEq, Eq)]
struct Exports<'module> {
    functions: Vec<&'module str>,
    classes: Vec<&'module str>,
}

impl<'module> Exports<'module> {
    /// Finds the export declarations, which begin at the start of a line.
    fn parse(module: &'module str) -> Self {
        let mut exports = Self::default();
        for line in module.lines() {
            let Some(declaration) = line.strip_prefix("export ") else { continue };
            let declaration = declaration.strip_prefix("async ").unwrap_or(declaration);
            if let Some(rest) = declaration.strip_prefix("function ") {
                exports.functions.extend(rest.split('(').next().map(str::trim));
            } else if let Some(rest) = declaration.strip_prefix("class ") {
                exports.classes.extend(rest.split([' ', '{']).next());
            }
        }
        exports
    }

    /// Text of the entry module.
    fn entry(&self) -> anyhow::Result<String> {
        for name in ["__worker_init_state", "__wbg_reset_state"] {
            ensure!(self.functions.contains(&name), "the Worker does not export {name}");
        }
        let mut entry = ENTRY.to_owned();
        for event in EVENTS.iter().filter(|event| self.functions.contains(event)) {
            writeln!(entry, "handle(\"{event}\", wasm.{event});")?;
        }
        for class in &self.classes {
            // Marked as free of side effects, so that esbuild drops a class that no module imports.
            writeln!(entry, "export const {class} = /* @__PURE__ */ guarded(wasm.{class});")?;
        }
        Ok(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::{ENTRY, Exports, plain_import};

    const MODULE: &str = "\
import source wasmModule from \"./index_bg.wasm\";
export class Keeper {
    free() {}
}
class Hidden {}
export function fetch(request, environment, context) {
export async function queue(batch) {
export function __worker_init_state() {
export function __wbg_reset_state () {
function hidden() {}
";

    #[test]
    fn exports_are_found_by_their_declarations() {
        let exports = Exports::parse(MODULE);
        assert_eq!(exports.classes, ["Keeper"]);
        assert_eq!(
            exports.functions,
            ["fetch", "queue", "__worker_init_state", "__wbg_reset_state"]
        );
    }

    #[test]
    fn entry_module_handles_events_and_exports_classes() {
        let entry = Exports {
            functions: vec!["__wbg_reset_state", "__worker_init_state", "fetch"],
            classes: vec!["Keeper"],
        }
        .entry()
        .expect("nothing is missing");
        let lines = "handle(\"fetch\", wasm.fetch);\nexport const Keeper = /* @__PURE__ */ guarded(wasm.Keeper);\n";
        assert_eq!(entry.strip_prefix(ENTRY), Some(lines));
    }

    #[test]
    fn worker_without_restart_is_refused() {
        let exports = Exports { functions: vec!["fetch"], classes: vec![] };
        let error = exports.entry().expect_err("it cannot start again");
        assert_eq!(error.to_string(), "the Worker does not export __worker_init_state");
    }

    #[test]
    fn source_import_becomes_an_import() {
        let module = plain_import(MODULE).expect("it imports its WebAssembly");
        assert!(module.starts_with("import wasmModule from \"./index_bg.wasm\";\n"), "{module}");
        assert!(plain_import(&module).is_err());
    }
}
