//! Lock files: builds use the versions and the contents that were reviewed.

use std::path::{Path, PathBuf};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn every_package_has_a_checksum() {
    let packages: Value = serde_json::from_str(&read("package-lock.json")).expect("JSON");
    let packages = packages["packages"].as_object().expect("packages");
    assert!(packages.len() > 10);
    for (name, package) in packages.iter().filter(|(name, _)| !name.is_empty()) {
        assert!(package["integrity"].is_string(), "{name}");
    }
    for name in ["Cargo.lock", "crates/fuzz/libfuzzer/Cargo.lock"] {
        let lock: toml::Table = read(name).parse().expect("TOML");
        let packages = lock["package"].as_array().expect("packages");
        for package in packages.iter().filter(|package| package.get("source").is_some()) {
            assert!(package.get("checksum").is_some(), "{name}: {package}");
            let source = package["source"].as_str().expect("text");
            assert!(source.contains("crates.io-index"), "{name}: {source}");
        }
    }
}

#[test]
fn builds_of_the_artifacts_are_locked() {
    for name in ["spin.toml", "edge-cloudflare/build.mjs", "crates/worker-bundle/src/main.rs"] {
        assert!(read(name).contains("--locked"), "{name}");
    }
    let artifacts = read("crates/xtask/src/artifact.rs");
    assert!(!artifacts.contains("cargo().args"), "a build that is not locked");
}
