//! Bundles the configuration into the artifact: `gateway.toml`, or the file that `GATEWAY_TOML` names,
//! relative to the repository's root. An invalid file fails the build with all its problems.

use std::path::PathBuf;
use std::{env, process};

fn main() {
    println!("cargo::rerun-if-env-changed=GATEWAY_TOML");
    if env::var_os("CARGO_CFG_TARGET_FAMILY").is_some_and(|family| family == "wasm") {
        // Function names are a tenth of the component and unused at run time.
        println!("cargo::rustc-link-arg-cdylib=--strip-all");
    }
    let directory = |name| PathBuf::from(env::var_os(name).expect("cargo sets it"));
    let root = directory("CARGO_MANIFEST_DIR").join("..");
    let source = root.join(env::var_os("GATEWAY_TOML").unwrap_or_else(|| "gateway.toml".into()));
    println!("cargo::rerun-if-changed={}", source.display());
    let target = directory("OUT_DIR").join("gateway.json");
    if let Err(reasons) = config::author::bundle(&source, &target) {
        for reason in reasons.lines() {
            println!("cargo::error={reason}");
        }
        process::exit(1);
    }
}
