//! Processes under measurement: starts them, reads their output, measures them, and always ends
//! them.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use anyhow::Context;
use tokio::io::AsyncReadExt;

use crate::memory;

/// Longest start of a process: compiling a component for the first time takes seconds.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// Number of its first lines that are kept: more than a process writes before it listens.
const FIRST_LINES: usize = 16;
/// Prefix of every record of the gateway.
const RECORD_PREFIX: &[u8] = br#"{"event":"request""#;

/// A process that serves. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    /// Open standard input: our own programs end with it if this process is killed.
    _input: Option<ChildStdin>,
    records: Arc<AtomicUsize>,
    first_lines: Receiver<String>,
}

impl Process {
    /// Starts a process. Its output is read and discarded, as a host's log would be.
    pub(super) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let records = Arc::new(AtomicUsize::new(0));
        let (sender, first_lines) = sync_channel(FIRST_LINES);
        let output = child.stdout.take().context("stdout is piped")?;
        std::thread::spawn({
            let records = records.clone();
            move || drain(output, &records, |line| sender.try_send(line).is_ok())
        });
        let _input = child.stdin.take();
        Ok(Self { child, _input, records, first_lines })
    }

    /// Next of the first lines of its output. Fails if the process ends or writes nothing.
    pub(super) fn next_line(&self) -> anyhow::Result<String> {
        self.first_lines.recv_timeout(START_TIMEOUT).context("no line of output")
    }

    /// Number of request records that it has written.
    pub(super) fn records(&self) -> usize {
        self.records.load(Ordering::Relaxed)
    }

    /// Resident memory, in bytes.
    pub(super) fn resident(&self) -> anyhow::Result<usize> {
        memory::resident(self.child.id())
    }

    /// Processor time used so far; `None` if the system does not report it.
    pub(super) fn processor_time(&self) -> Option<Duration> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        processor_time(&text)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The process has no state that an orderly end would save.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Completes when the parent process has ended.
pub async fn until_parent_exits() {
    let mut input = tokio::io::stdin();
    let mut buffer = [0; 64];
    while matches!(input.read(&mut buffer).await, Ok(count) if count > 0) {}
}

/// Reads an output to its end and counts the records. Passes the first lines on, until `pass` returns
/// false.
fn drain(output: impl Read, records: &AtomicUsize, mut pass: impl FnMut(String) -> bool) {
    let mut output = BufReader::with_capacity(64 << 10, output);
    let mut line = Vec::new();
    let mut is_first = true;
    while matches!(output.read_until(b'\n', &mut line), Ok(count) if count > 0) {
        if line.starts_with(RECORD_PREFIX) {
            records.fetch_add(1, Ordering::Relaxed);
        }
        is_first = is_first && pass(String::from_utf8_lossy(&line).trim().to_owned());
        line.clear();
    }
}

/// User and system time of all threads. Linux counts in hundredths of a second, whatever its own
/// clock does.
fn processor_time(stat: &str) -> Option<Duration> {
    // The name, in parentheses, may hold any character.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 10))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::{drain, processor_time};

    #[test]
    fn drain_counts_records_and_passes_the_first_lines() {
        let records = AtomicUsize::new(0);
        let mut first = Vec::new();
        let text = "a\nb\n{\"event\":\"request\",\"id\":1}\nother\n{\"event\":\"request\"";
        drain(text.as_bytes(), &records, |line| {
            first.push(line);
            first.len() < 2
        });
        assert_eq!((records.load(Ordering::Relaxed), first), (2, vec!["a".into(), "b".into()]));
    }

    #[test]
    fn processor_time_is_read_after_any_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194304 1 0 0 0 250 50 0 0 20 0 1 0 100";
        assert_eq!(processor_time(stat), Some(Duration::from_secs(3)));
    }
}
