//! Memory of processes, and the limit on this process's open files.

use std::process::Command;

use anyhow::{Context, ensure};

/// Resident memory of a process, in bytes.
pub fn resident(process: u32) -> anyhow::Result<usize> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status"))
        .with_context(|| format!("process {process} has ended, or this is not Linux"))?;
    resident_of(&text).with_context(|| format!("no VmRSS of process {process}"))
}

fn resident_of(status: &str) -> Option<usize> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

/// Child processes of a process.
pub fn children(process: u32) -> Vec<u32> {
    let list = std::fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
    let list = list.unwrap_or_default();
    list.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// Raises the limit on open files for this process and its children; a shell's usual limit of 1,024
/// is too low for a thousand streams.
pub fn allow_files(count: usize) -> anyhow::Result<()> {
    let text = std::fs::read_to_string("/proc/self/limits")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next()).context("no limit found")?;
    if soft == "unlimited" || soft.parse::<usize>()? >= count {
        return Ok(());
    }
    let raised = Command::new("prlimit")
        .arg(format!("--nofile={count}:"))
        .args(["--pid", &std::process::id().to_string()])
        .status();
    ensure!(raised?.success(), "{soft} open files are too few: `ulimit -n {count}`");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{allow_files, resident, resident_of};

    #[test]
    fn resident_memory_is_read_from_the_status_file() {
        assert_eq!(resident_of("Name:\tx\nVmRSS:\t  1024 kB\nThreads:\t1\n"), Some(1 << 20));
        assert_eq!(resident_of("Name:\tx\n"), None);
        assert!(resident(std::process::id()).expect("this process runs") > 1 << 20);
        allow_files(16).expect("16 files are always allowed");
    }
}
