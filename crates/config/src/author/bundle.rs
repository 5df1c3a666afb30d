//! Conversion of the configuration for an artifact, called by both edges' build scripts.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use super::super::problem::Problems;
use super::{explain, from_toml_to_deploy, placeholder_secret, to_json};

/// Bundles the configuration into an edge's artifact, from its build script: `gateway.toml`, or the file that
/// `GATEWAY_TOML` names, relative to the repository's root. An invalid file fails the build with all its
/// problems, and so does a Redis server on an edge that cannot use one.
#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "cargo passes paths to build scripts in variables and reads their output"
)]
pub fn run_build_script(has_redis: bool) -> ExitCode {
    println!("cargo::rerun-if-env-changed=GATEWAY_TOML");
    let directory = |name| PathBuf::from(env::var_os(name).expect("cargo sets it"));
    let root = directory("CARGO_MANIFEST_DIR").join("..");
    let source = root.join(env::var_os("GATEWAY_TOML").unwrap_or_else(|| "gateway.toml".into()));
    println!("cargo::rerun-if-changed={}", source.display());
    let Err(reasons) = bundle(&source, &directory("OUT_DIR").join("gateway.json"), has_redis)
    else {
        return ExitCode::SUCCESS;
    };
    for reason in reasons.lines() {
        println!("cargo::error={reason}");
    }
    ExitCode::FAILURE
}

/// Checks a TOML document, and writes the JSON that an edge reads.
fn bundle(source: &Path, target: &Path, has_redis: bool) -> Result<(), String> {
    let document = check_file(source, &source.display().to_string(), has_redis)?;
    fs::write(target, document).map_err(|error| format!("{}: {error}", target.display()))
}

/// Checks a TOML file for an edge with placeholders for its secrets, and returns it as JSON. The error has one
/// line for each problem, under `name`.
pub fn check_file(source: &Path, name: &str, has_redis: bool) -> Result<String, String> {
    let text = fs::read_to_string(source).map_err(|error| format!("{name}: {error}"))?;
    let explained = |problems: Problems| explain(name, &text, &problems).trim_end().to_owned();
    let config =
        from_toml_to_deploy(&text, &|name| Some(placeholder_secret(name))).map_err(explained)?;
    if !has_redis {
        config.storage.check_is_default().map_err(explained)?;
    }
    to_json(&text).map_err(explained)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::bundle;

    #[test]
    fn bundle_invalid_document_writes_no_artifact() {
        let directory = std::env::temp_dir().join(format!("serin-bundle-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        let (source, target) = (directory.join("gateway.toml"), directory.join("gateway.json"));
        let document = |provider| {
            format!(
                "[[providers]]\nid = 'openai'\nkeys = ['secret:A']\n[[consumers]]\nid = 'app'\nkeys = ['secret:B']\n\
                 [[routes]]\nid = 'r'\nmodels = ['m']\ntargets = [{{ provider = '{provider}' }}]\n"
            )
        };
        fs::write(&source, document("nobody")).expect("the file is written");
        let reasons = bundle(&source, &target, false).expect_err("nobody is no provider");
        assert!(
            reasons.contains("gateway.toml:10:14: routes[0].targets[0].provider: found"),
            "{reasons}"
        );
        assert!(!target.exists());
        fs::write(&source, document("openai")).expect("the file is written");
        bundle(&source, &target, false).expect("it is right");
        assert!(fs::read_to_string(&target).expect("it is there").starts_with('{'));
        fs::remove_dir_all(&directory).expect("it was ours");
    }
}
