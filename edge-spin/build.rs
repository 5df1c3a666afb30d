//! Bundles the configuration: checks `gateway.toml` and hands the component its JSON form.

use std::path::{Path, PathBuf};
use std::{env, fs, process};

fn main() {
    println!("cargo::rerun-if-env-changed=GATEWAY_TOML");
    let source =
        env::var_os("GATEWAY_TOML").map_or_else(|| PathBuf::from("../gateway.toml"), PathBuf::from);
    println!("cargo::rerun-if-changed={}", source.display());
    let text =
        fs::read_to_string(&source).unwrap_or_else(|error| fail(&source, &error.to_string()));
    let document = gateway::config::author::to_json(&text)
        .unwrap_or_else(|problems| fail(&source, &problems.to_string()));
    let directory = env::var_os("OUT_DIR").expect("cargo sets it for build scripts");
    let target = Path::new(&directory).join("gateway.json");
    fs::write(&target, document).unwrap_or_else(|error| fail(&target, &error.to_string()));
}

/// Ends the build with one error a line, as cargo shows them.
fn fail(path: &Path, reasons: &str) -> ! {
    for reason in reasons.lines() {
        println!("cargo::error={}: {reason}", path.display());
    }
    process::exit(1);
}
