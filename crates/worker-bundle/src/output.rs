//! Output directory: a symbolic link to one of the built versions.
//!
//! Versions never change, and the link is replaced atomically. A reader that resolves the link once
//! reads a module and the WebAssembly that belongs to it, even if a newer version appears
//! meanwhile: the previous version is kept.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Directory of the versions, inside the Worker's directory.
const VERSIONS: &str = ".build";
const LINK: &str = "build";

/// Versions of one Worker.
pub(crate) struct Output {
    versions: PathBuf,
    link: PathBuf,
}

impl Output {
    /// Opens the output of the Worker in `directory`.
    pub(crate) fn open(directory: &Path) -> anyhow::Result<Self> {
        let versions = directory.join(VERSIONS);
        fs::create_dir_all(&versions)
            .with_context(|| format!("cannot create {}", versions.display()))?;
        Ok(Self { versions, link: directory.join(LINK) })
    }

    /// File for `BuildLock`.
    pub(crate) fn lock_file(&self) -> PathBuf {
        self.versions.join("lock")
    }

    /// Creates an empty directory to build in. Removes the one of an interrupted build.
    pub(crate) fn staging(&self) -> anyhow::Result<PathBuf> {
        let staging = self.versions.join("staging");
        remove(&staging)?;
        fs::create_dir(&staging).with_context(|| format!("cannot create {}", staging.display()))?;
        Ok(staging)
    }

    /// Whether this version exists.
    pub(crate) fn contains(&self, version: &str) -> bool {
        self.versions.join(version).exists()
    }

    /// Adds a version by moving its complete directory.
    pub(crate) fn add(&self, version: &str, built: &Path) -> anyhow::Result<()> {
        let place = self.versions.join(version);
        fs::rename(built, &place).with_context(|| format!("cannot create {}", place.display()))
    }

    /// Makes a version the current one. Removes all others but the previous one.
    pub(crate) fn select(&self, version: &str) -> anyhow::Result<()> {
        let target = Path::new(VERSIONS).join(version);
        let before = fs::read_link(&self.link).ok();
        if before.as_ref() == Some(&target) {
            return Ok(());
        }
        let link = self.versions.join("link");
        remove(&link)?;
        symlink(&target, &link).with_context(|| format!("cannot create {}", link.display()))?;
        if before.is_none() {
            // Earlier versions of serin created a directory instead of a link.
            remove(&self.link)?;
        }
        fs::rename(&link, &self.link)
            .with_context(|| format!("cannot replace {}", self.link.display()))?;
        let kept = [Some(target), before]
            .map(|kept| kept.and_then(|kept| Some(kept.file_name()?.to_owned())));
        for entry in fs::read_dir(&self.versions)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() && !kept.contains(&Some(entry.file_name())) {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// Removes a file, a link or a directory, if it exists.
fn remove(path: &Path) -> anyhow::Result<()> {
    let removed = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    removed.with_context(|| format!("cannot remove {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::Output;

    fn scratch(name: &str) -> PathBuf {
        let directory =
            std::env::temp_dir().join(format!("worker-bundle-{}-{name}", std::process::id()));
        fs::create_dir(&directory).expect("it is new");
        directory
    }

    fn publish(output: &Output, version: &str) {
        let staging = output.staging().expect("it can be created");
        fs::create_dir(staging.join("bundle")).expect("it is empty");
        fs::write(staging.join("bundle/index.js"), version).expect("it can be written");
        output.add(version, &staging.join("bundle")).expect("it is new");
        output.select(version).expect("it is there");
    }

    fn current(directory: &Path) -> String {
        fs::read_to_string(directory.join("build/index.js")).expect("it was built")
    }

    #[test]
    fn output_is_the_selected_version_and_the_one_before_is_kept() {
        let directory = scratch("versions");
        let output = Output::open(&directory).expect("it can be created");
        publish(&output, "one");
        assert_eq!(current(&directory), "one");
        publish(&output, "two");
        let reader = directory.join("build").canonicalize().expect("it is a link");
        publish(&output, "three");
        assert_eq!(current(&directory), "three");
        assert_eq!(fs::read_to_string(reader.join("index.js")).expect("it is kept"), "two");
        assert_eq!(["one", "two", "three"].map(|it| output.contains(it)), [false, true, true]);
        output.select("two").expect("it is there");
        assert_eq!(current(&directory), "two");
        fs::remove_dir_all(directory).expect("it is ours");
    }

    #[test]
    fn output_directory_of_earlier_times_is_replaced() {
        let directory = scratch("directory");
        fs::create_dir(directory.join("build")).expect("it is new");
        fs::write(directory.join("build/index.js"), "old").expect("it can be written");
        let output = Output::open(&directory).expect("it can be created");
        publish(&output, "one");
        assert_eq!(current(&directory), "one");
        fs::remove_dir_all(directory).expect("it is ours");
    }

    #[test]
    fn staging_is_empty_after_an_interrupted_build() {
        let directory = scratch("staging");
        let output = Output::open(&directory).expect("it can be created");
        let staging = output.staging().expect("it can be created");
        fs::write(staging.join("half"), "").expect("it can be written");
        let staging = output.staging().expect("it can be created again");
        assert_eq!(fs::read_dir(staging).expect("it is there").count(), 0);
        fs::remove_dir_all(directory).expect("it is ours");
    }
}
