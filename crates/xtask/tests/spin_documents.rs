//! Statements about Spin in the documents, by the findings of a run on Spin 4.1.

use std::path::Path;

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The table of an instance's handles has room for 2³² of them: a lower number of requests for each
/// instance helps nothing, and costs its memory of keys, health and leases.
#[test]
fn finding_5_no_document_names_a_bound_on_handles() {
    for name in ["README.md", "docs/limits.md", "docs/limitations.md", "docs/operations.md"] {
        let text = read(name);
        assert!(!text.contains("--max-instance-reuse-count 64"), "{name}");
        assert!(!text.contains("256 of them for 128 requests"), "{name}");
    }
}

#[test]
fn finding_7_state_of_spin_is_not_committed() {
    let ignored = read(".gitignore");
    assert!(ignored.lines().any(|line| line.trim_matches('/') == ".spin"), "{ignored}");
}
