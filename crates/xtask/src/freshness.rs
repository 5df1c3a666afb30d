//! Whether an artifact is newer than all files that it is made of, so that `up` need not call cargo, which
//! takes half a minute to find out.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;

/// Directories and files of the repository that artifacts are made of. The configuration is none: `up` hands
/// it to the host.
const INPUTS: [&str; 9] = [
    "Cargo.lock",
    "Cargo.toml",
    "console",
    "crates",
    "edge-cloudflare",
    "edge-spin",
    "package-lock.json",
    "rust-toolchain.toml",
    "tests/src",
];
/// Directories in them that no artifact is made of.
const OTHERS: [&str; 7] = ["target", "node_modules", "build", ".build", "dist", "tests", "benches"];

/// Time of the last build of one artifact.
pub(crate) struct LastBuild {
    stamp: PathBuf,
    began: SystemTime,
}

impl LastBuild {
    /// The last build of an artifact, by a stamp in cargo's target directory.
    pub(crate) fn of(artifact: &str, target: &Path) -> Self {
        Self { stamp: target.join(format!(".serin-{artifact}-built")), began: SystemTime::now() }
    }

    /// Whether the artifact exists, and no input has changed since its build began.
    pub(crate) fn is_current(&self, root: &Path, output: &Path) -> bool {
        let built = self.stamp.metadata().and_then(|stamp| stamp.modified());
        output.exists()
            && built.is_ok_and(|built| {
                INPUTS.iter().all(|input| newest(&root.join(input)).is_none_or(|it| it < built))
            })
    }

    /// Records a build that began when this value was made: a file that changed meanwhile counts as newer.
    pub(crate) fn record(self) -> anyhow::Result<()> {
        let failed = || format!("cannot write {}", self.stamp.display());
        let file = std::fs::File::create(&self.stamp).with_context(failed)?;
        file.set_modified(self.began).with_context(failed)
    }
}

/// Latest change in a file or a directory, deletions included. `None` if there is nothing.
fn newest(path: &Path) -> Option<SystemTime> {
    let metadata = path.metadata().ok()?;
    let own = metadata.modified().ok();
    if !metadata.is_dir() {
        return own;
    }
    let entries = std::fs::read_dir(path).ok()?.filter_map(Result::ok);
    let inputs = entries.filter(|entry| {
        let name = entry.file_name();
        OTHERS.iter().all(|other| name != *other)
    });
    inputs.filter_map(|entry| newest(&entry.path())).chain(own).max()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::{Duration, SystemTime};

    use super::LastBuild;

    /// Sets the time of a file that is written with some text, and of its directory.
    fn write(path: &Path, at: SystemTime) {
        let directory = path.parent().expect("a directory");
        std::fs::create_dir_all(directory).expect("a directory");
        std::fs::write(path, "x").expect("a file");
        for changed in [path, directory] {
            let file = std::fs::File::open(changed).expect("it exists");
            file.set_modified(at).expect("it is ours");
        }
    }

    #[test]
    fn finding_11_build_is_skipped_while_no_input_is_newer() {
        let root = std::env::temp_dir().join(format!("serin-fresh-{}", std::process::id()));
        let target = root.join("target");
        let now = SystemTime::now();
        let before = |seconds| now - Duration::from_secs(seconds);
        let output = root.join("out");
        write(&output, before(50));
        write(&root.join("crates/a/src/lib.rs"), before(100));
        std::fs::File::open(root.join("crates/a"))
            .expect("it exists")
            .set_modified(before(100))
            .expect("ours");
        std::fs::File::open(root.join("crates"))
            .expect("it exists")
            .set_modified(before(100))
            .expect("ours");
        std::fs::create_dir_all(&target).expect("a directory");
        let is_current = || LastBuild::of("worker", &target).is_current(&root, &output);
        assert!(!is_current(), "it was never built");
        LastBuild { began: before(60), ..LastBuild::of("worker", &target) }
            .record()
            .expect("written");
        assert!(is_current());
        write(&root.join("gateway.toml"), now);
        std::fs::create_dir_all(root.join("crates/a/tests")).expect("a directory");
        std::fs::File::open(root.join("crates/a"))
            .expect("it exists")
            .set_modified(before(100))
            .expect("ours");
        write(&root.join("crates/a/tests/one.rs"), now);
        assert!(is_current(), "neither the configuration nor a test is part of it");
        write(&root.join("crates/a/src/lib.rs"), before(10));
        assert!(!is_current(), "a source has changed");
        LastBuild::of("worker", &target).record().expect("written");
        assert!(is_current());
        std::fs::remove_file(root.join("crates/a/src/lib.rs")).expect("it is ours");
        std::fs::File::open(root.join("crates/a/src"))
            .expect("it exists")
            .set_modified(now + Duration::from_secs(5))
            .expect("ours");
        assert!(!is_current(), "a source is gone");
        std::fs::remove_file(&output).expect("it is ours");
        assert!(!is_current());
        std::fs::remove_dir_all(root).expect("it is ours");
    }
}
