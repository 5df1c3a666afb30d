//! Bundles the configuration into the artifact: `gateway.toml`, or the file that `GATEWAY_TOML` names.

use std::process::ExitCode;

fn main() -> ExitCode {
    config::author::run_build_script(false)
}
