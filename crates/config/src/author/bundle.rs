//! Conversion of the configuration for an artifact, called by both edges' build scripts.

use std::fs;
use std::path::Path;

use super::{from_toml, placeholder_secret, to_json};

/// Checks a TOML document with placeholders for its secrets, and writes the JSON that an edge reads. The
/// error has one line for each problem.
pub fn bundle(source: &Path, target: &Path) -> Result<(), String> {
    let named = |error: &dyn ToString| {
        let lines = error.to_string();
        let lines = lines.lines().map(|line| format!("{}: {line}", source.display()));
        lines.collect::<Vec<_>>().join("\n")
    };
    let text = fs::read_to_string(source).map_err(|error| named(&error))?;
    from_toml(&text, &|name| Some(placeholder_secret(name)))
        .map_err(|problems| named(&problems))?;
    let document = to_json(&text).map_err(|problems| named(&problems))?;
    fs::write(target, document).map_err(|error| format!("{}: {error}", target.display()))
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
        let reasons = bundle(&source, &target).expect_err("nobody is no provider");
        assert!(
            reasons.contains("gateway.toml: routes[0].targets[0].provider: found"),
            "{reasons}"
        );
        assert!(!target.exists());
        fs::write(&source, document("openai")).expect("the file is written");
        bundle(&source, &target).expect("it is right");
        assert!(fs::read_to_string(&target).expect("it is there").starts_with('{'));
        fs::remove_dir_all(&directory).expect("it was ours");
    }
}
