//! Lock that serializes builds of one Worker.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use anyhow::Context;

/// Exclusive right to build. The operating system releases it when the process ends, even by a
/// kill.
pub(crate) struct BuildLock(
    #[expect(dead_code, reason = "closing the file releases the lock")] File,
);

impl BuildLock {
    /// Waits for any other build to end.
    pub(crate) fn acquire(path: &Path) -> anyhow::Result<Self> {
        let mut options = File::options();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                file.read_to_string(&mut owner)?;
                eprintln!("another build is running (process {}), waiting …", owner.trim());
                file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Self(file))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::BuildLock;

    #[test]
    fn finding_3_second_build_waits_for_the_first() {
        let path = std::env::temp_dir().join(format!("worker-bundle-{}-lock", std::process::id()));
        let first = BuildLock::acquire(&path).expect("nobody has it");
        let content = std::fs::read_to_string(&path).expect("it names its owner");
        assert_eq!(content.trim(), std::process::id().to_string());
        let (sender, receiver) = channel();
        let second = std::thread::spawn({
            let path = path.clone();
            move || sender.send(BuildLock::acquire(&path).is_ok())
        });
        assert!(receiver.recv_timeout(Duration::from_millis(100)).is_err());
        drop(first);
        assert_eq!(receiver.recv_timeout(Duration::from_secs(10)), Ok(true));
        second.join().expect("it does not panic").expect("it is received");
        std::fs::remove_file(path).expect("it is ours");
    }
}
