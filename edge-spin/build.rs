//! Bundles the configuration into the artifact: `gateway.toml`, or the file that `GATEWAY_TOML` names.

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    if env::var_os("CARGO_CFG_TARGET_FAMILY").is_some_and(|family| family == "wasm") {
        // Function names are a tenth of the component and unused at run time.
        println!("cargo::rustc-link-arg-cdylib=--strip-all");
    }
    config::author::run_build_script(true)
}
