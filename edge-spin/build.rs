//! Bundles the configuration into the artifact: `gateway.toml`, or the file that `GATEWAY_TOML` names. Also
//! bundles the web console, if `node console/build.mjs` has built it.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    if env::var_os("CARGO_CFG_TARGET_FAMILY").is_some_and(|family| family == "wasm") {
        // Function names are a tenth of the component and unused at run time.
        println!("cargo::rustc-link-arg-cdylib=--strip-all");
    }
    if let Err(reason) = bundle_console() {
        eprintln!("cannot bundle the console: {reason}");
        return ExitCode::FAILURE;
    }
    config::author::run_build_script(true)
}

/// Writes `console.rs`: the files of the console with their headers, as constants.
fn bundle_console() -> Result<(), String> {
    let console = Path::new(env!("CARGO_MANIFEST_DIR")).join("../console");
    let embedded = console.join("dist/embedded");
    let headers = console.join("_headers");
    println!("cargo::rerun-if-changed={}", headers.display());
    // Exists in every clone: a missing path would run this script at each build.
    println!("cargo::rerun-if-changed={}", console.join("dist").display());
    let text = fs::read_to_string(&headers)
        .map_err(|error| format!("cannot read {}: {error}", headers.display()))?;
    let (of_pages, of_assets) = parse_headers(&text);
    // Without a build, the page says how to make one.
    let table = fs::read_to_string(embedded.join("table.tsv")).unwrap_or_default();
    let mut code = String::new();
    let mut constant = |name: &str, values: &[(String, String)]| {
        writeln!(code, "const {name}: &[(&str, &str)] = &{values:?};").map_err(|e| e.to_string())
    };
    constant("PAGE_HEADERS", &of_pages)?;
    constant("ASSET_HEADERS", &of_assets)?;
    writeln!(code, "const FILES: &[File] = &[").map_err(|error| error.to_string())?;
    for line in table.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [path, content_type, etag, file] = fields[..] else {
            return Err(format!("table.tsv has an invalid line: {line}"));
        };
        let file = embedded.join(file);
        let file = file.to_str().ok_or("the path of the repository is not UTF-8")?;
        writeln!(code, "    File {{ path: {path:?}, content_type: {content_type:?}, etag: \"\\\"{etag}\\\"\", gzip: include_bytes!({file:?}) }},")
            .map_err(|error| error.to_string())?;
    }
    code.push_str("];\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    fs::write(out.join("console.rs"), code)
        .map_err(|error| format!("cannot write console.rs: {error}"))
}

type Headers = Vec<(String, String)>;

/// Headers of pages and of assets in the format of Workers' `_headers`: a path in the first column, its headers
/// indented below; `! Name` removes one that an earlier path has set.
fn parse_headers(text: &str) -> (Headers, Headers) {
    let (mut of_pages, mut of_assets) = (Headers::new(), Headers::new());
    let mut is_of_assets = false;
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        if !line.starts_with(' ') {
            is_of_assets = line.starts_with("/console/assets/");
        } else if let Some(name) = line.trim().strip_prefix('!') {
            of_assets.retain(|(other, _)| *other != name.trim().to_ascii_lowercase());
        } else if let Some((name, value)) = line.trim().split_once(':') {
            let header = (name.to_ascii_lowercase(), value.trim().to_owned());
            if !is_of_assets {
                of_pages.push(header.clone());
            }
            of_assets.push(header);
        }
    }
    (of_pages, of_assets)
}
