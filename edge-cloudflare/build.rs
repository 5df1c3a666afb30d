//! Puts the configuration into the Worker: `gateway.toml`, or the file that `GATEWAY_TOML` names,
//! as JSON. A file that is wrong fails the build and says what is wrong with it.

use std::path::PathBuf;
use std::{env, fs, process};

fn main() {
    println!("cargo::rerun-if-env-changed=GATEWAY_TOML");
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("..");
    let path = root.join(env::var_os("GATEWAY_TOML").unwrap_or_else(|| "gateway.toml".into()));
    println!("cargo::rerun-if-changed={}", path.display());
    let json = match fs::read_to_string(&path) {
        Ok(text) => {
            gateway::config::author::to_json(&text).map_err(|problems| problems.to_string())
        }
        Err(error) => Err(error.to_string()),
    };
    let json = json.unwrap_or_else(|reasons| {
        for line in reasons.lines() {
            println!("cargo::error={}: {line}", path.display());
        }
        process::exit(1);
    });
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("gateway.json");
    fs::write(out, json).expect("cargo made the directory");
}
