//! Lock of a state directory: two gateways over one state would each count by themselves, and limits would
//! hold twice.

use std::fs::{File, TryLockError};
use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, bail};

/// Name of the locked file in the directory.
const FILE: &str = "serin.lock";

/// Exclusive use of a state directory. The operating system releases it when the process ends, even by a
/// kill.
pub(crate) struct StateLock(
    #[expect(dead_code, reason = "closing the file releases the lock")] File,
);

impl StateLock {
    /// Locks a directory for a gateway at this port. Fails if another process uses it.
    pub(crate) fn acquire(directory: &Path, port: u16) -> anyhow::Result<Self> {
        let path = directory.join(FILE);
        let failed = || format!("cannot lock {}", path.display());
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).with_context(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                file.read_to_string(&mut owner).with_context(failed)?;
                bail!(
                    "{} is used by {}: stop it, or choose another directory with --state DIR",
                    directory.display(),
                    owner.trim()
                );
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(failed),
        }
        file.set_len(0).with_context(failed)?;
        writeln!(file, "process {} (port {port})", std::process::id()).with_context(failed)?;
        Ok(Self(file))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::{FILE, StateLock};

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("serin-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory");
        path
    }

    #[test]
    fn finding_2_state_of_a_running_gateway_is_refused() {
        let directory = directory("lock");
        let first = StateLock::acquire(&directory, 8787).expect("nobody uses it");
        let Err(error) = StateLock::acquire(&directory, 8788) else { panic!("it is used") };
        let expected = format!("process {} (port 8787): stop it", std::process::id());
        let message = error.to_string();
        assert!(message.contains(&expected) && message.contains("--state DIR"), "{message}");
        drop(first);
        StateLock::acquire(&directory, 8789).expect("it is free again");
        std::fs::remove_dir_all(directory).expect("it is ours");
    }

    #[test]
    fn finding_2_killed_process_leaves_no_lock() {
        let directory = directory("killed");
        let file = directory.join(FILE);
        std::fs::write(&file, "process 1 (port 1)\n").expect("a file");
        // `flock` of util-linux takes the same lock.
        let mut owner = Command::new("flock")
            .arg("--no-fork")
            .arg(&file)
            .args(["sleep", "600"])
            .stdout(Stdio::null())
            .spawn()
            .expect("util-linux has flock");
        let until = Instant::now() + Duration::from_secs(20);
        while StateLock::acquire(&directory, 2).is_ok() {
            assert!(Instant::now() < until, "the other process takes the lock");
            std::thread::sleep(Duration::from_millis(20));
        }
        owner.kill().expect("it runs");
        owner.wait().expect("it ends");
        let until = Instant::now() + Duration::from_secs(20);
        while StateLock::acquire(&directory, 3).is_err() {
            assert!(Instant::now() < until, "the lock ends with its process");
            std::thread::sleep(Duration::from_millis(20));
        }
        std::fs::remove_dir_all(directory).expect("it is ours");
    }
}
