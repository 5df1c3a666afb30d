//! Child processes. All of them end on Ctrl-C, if one of them fails, and if xtask is killed.
//!
//! Each child leads a process group of its own, so that its descendants end with it. No child
//! inherits the terminal as standard input.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::log;

/// Time from SIGTERM to SIGKILL.
const TERMINATION_GRACE: Duration = Duration::from_secs(5);
/// Interval between checks of a process: short for the user, and cheap.
const POLL_INTERVAL: Duration = Duration::from_millis(30);

/// Child processes of this run of xtask. Dropping it ends all of them.
pub(crate) struct Processes {
    watchdog: Child,
    is_interrupted: Arc<AtomicBool>,
    running: Vec<Running>,
}

/// Process that serves until xtask ends it.
struct Running {
    name: String,
    child: Child,
    /// Held open, because the services stop when it ends.
    _input: Option<ChildStdin>,
}

/// Process that ended without a signal from xtask.
pub(crate) struct Ended {
    /// Name from `Processes::start`.
    pub(crate) name: String,
    /// Exit status as text.
    pub(crate) how: String,
}

impl Processes {
    /// Registers the handlers for Ctrl-C and starts the watchdog.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let is_interrupted = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // A second signal ends xtask immediately; the watchdog ends the children.
            signal_hook::flag::register_conditional_shutdown(signal, 130, is_interrupted.clone())?;
            signal_hook::flag::register(signal, is_interrupted.clone())?;
        }
        let watchdog = Command::new(std::env::current_exe()?)
            .arg("watchdog")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .context("cannot start the watchdog")?;
        Ok(Self { watchdog, is_interrupted, running: Vec::new() })
    }

    /// Whether xtask received a signal to end.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.is_interrupted.load(Ordering::Relaxed)
    }

    /// Starts a service and writes `input` to its standard input, which stays open if `keep_input`.
    /// Prints piped output with its records and warnings shortened.
    pub(crate) fn start(
        &mut self,
        name: &str,
        command: &mut Command,
        input: &[u8],
        keep_input: bool,
    ) -> anyhow::Result<u32> {
        let mut child = self.spawn(command.stdin(Stdio::piped()), name)?;
        let mut stdin = child.stdin.take();
        if let Some(stdin) = &mut stdin {
            // `ended` reports a service that has already ended, with its exit status.
            stdin.write_all(input).and_then(|()| stdin.flush()).ok();
        }
        if let Some(output) = child.stdout.take() {
            std::thread::spawn(move || log::relay(output, std::io::stdout()));
        }
        if let Some(output) = child.stderr.take() {
            std::thread::spawn(move || log::relay(output, std::io::stderr()));
        }
        let id = child.id();
        let _input = stdin.filter(|_| keep_input);
        self.running.push(Running { name: name.to_owned(), child, _input });
        Ok(id)
    }

    /// Runs a command for up to `limit` and returns whether it succeeded.
    pub(crate) fn run(
        &mut self,
        name: &str,
        command: &mut Command,
        limit: Duration,
    ) -> anyhow::Result<bool> {
        let mut child = self.spawn(command.stdin(Stdio::null()), name)?;
        let status = self.wait(&mut child, name, limit);
        self.forget(&mut child);
        Ok(status?.success())
    }

    /// Runs commands concurrently, each for up to `limit`, and returns whether each succeeded.
    pub(crate) fn run_together(
        &mut self,
        commands: &mut [(&str, Command)],
        limit: Duration,
    ) -> anyhow::Result<Vec<bool>> {
        let mut children = Vec::new();
        for (name, command) in &mut *commands {
            children.push((*name, self.spawn(command.stdin(Stdio::null()), name)?));
        }
        let statuses: Vec<_> =
            children.iter_mut().map(|(name, child)| self.wait(child, name, limit)).collect();
        children.iter_mut().for_each(|(_, child)| self.forget(child));
        statuses.into_iter().map(|status| Ok(status?.success())).collect()
    }

    /// Runs a command for up to `limit` and fails if the command fails.
    pub(crate) fn run_checked(
        &mut self,
        name: &str,
        command: &mut Command,
        limit: Duration,
    ) -> anyhow::Result<()> {
        if self.run(name, command, limit)? {
            return Ok(());
        }
        bail!("{name} failed: {}", command_line(command))
    }

    /// Removes the first service that has ended. `None` if all services run.
    pub(crate) fn ended(&mut self) -> Option<Ended> {
        for index in 0..self.running.len() {
            if let Ok(Some(status)) = self.running[index].child.try_wait() {
                let Running { name, mut child, .. } = self.running.remove(index);
                self.forget(&mut child);
                return Some(Ended { name, how: status.to_string() });
            }
        }
        None
    }

    /// Ends a service, which does not count as ended by itself.
    pub(crate) fn stop(&mut self, id: u32) {
        if let Some(index) = self.running.iter().position(|running| running.child.id() == id) {
            let mut running = self.running.remove(index);
            self.forget(&mut running.child);
        }
    }

    /// Waits for one `POLL_INTERVAL`.
    pub(crate) fn wait_briefly(&self) {
        sleep(POLL_INTERVAL);
    }

    fn spawn(&mut self, command: &mut Command, name: &str) -> anyhow::Result<Child> {
        let child = command
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}: {}", command_line(command)))?;
        self.notify_watchdog('+', &child);
        Ok(child)
    }

    fn wait(&self, child: &mut Child, name: &str, limit: Duration) -> anyhow::Result<ExitStatus> {
        let until = Instant::now() + limit;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            if self.is_interrupted() {
                bail!("stopped during {name}");
            }
            if Instant::now() > until {
                bail!("{name} took longer than {} minutes", limit.as_secs() / 60);
            }
            sleep(POLL_INTERVAL);
        }
    }

    /// Ends the remaining processes of a child's group and removes the group from the watchdog.
    fn forget(&mut self, child: &mut Child) {
        end(child, TERMINATION_GRACE);
        self.notify_watchdog('-', child);
    }

    fn notify_watchdog(&mut self, sign: char, child: &Child) {
        if let Some(stdin) = &mut self.watchdog.stdin {
            // Without the watchdog, xtask still ends its children on drop.
            writeln!(stdin, "{sign}{}", child.id()).ok();
        }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        // Reverse order, because a later process depends on the earlier ones.
        while let Some(mut running) = self.running.pop() {
            self.forget(&mut running.child);
        }
        drop(self.watchdog.stdin.take());
        self.watchdog.wait().ok();
    }
}

/// Command as typed in a shell. xtask passes no secrets as arguments.
pub(crate) fn command_line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Sends SIGTERM to the leader, then to its group, then SIGKILL to the rest.
fn end(child: &mut Child, grace: Duration) {
    let Some(group) = Pid::from_raw(child.id().cast_signed()) else { return };
    // After a successful wait the leader's id may belong to another process, so no signal is sent.
    if matches!(child.try_wait(), Ok(None)) {
        kill_process(group, Signal::TERM).ok();
        let until = Instant::now() + grace;
        while matches!(child.try_wait(), Ok(None)) && Instant::now() < until {
            sleep(POLL_INTERVAL);
        }
    }
    end_groups(&[group], grace);
    child.wait().ok();
}

/// Ends every process of the groups: SIGTERM first, SIGKILL after `grace`.
pub(crate) fn end_groups(groups: &[Pid], grace: Duration) {
    // The system does not reuse the id of a group that has members.
    let is_there = |group: &&Pid| test_kill_process_group(**group).is_ok();
    for group in groups {
        kill_process_group(*group, Signal::TERM).ok();
    }
    let until = Instant::now() + grace;
    while groups.iter().any(|group| is_there(&group)) && Instant::now() < until {
        sleep(POLL_INTERVAL);
    }
    for group in groups.iter().filter(is_there) {
        kill_process_group(*group, Signal::KILL).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use rustix::process::{Pid, test_kill_process_group};

    use super::{command_line, end};

    #[test]
    fn end_of_a_group_includes_its_descendants() {
        // The grandchild ignores SIGTERM, reports that, and outlives the shell.
        let script = "(trap '' TERM; echo; exec sleep 600) & wait";
        let mut child = Command::new("sh")
            .args(["-c", script])
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("a shell exists");
        let group = Pid::from_raw(child.id().cast_signed()).expect("a process has an id");
        let mut output = child.stdout.take().expect("stdout is piped");
        output.read_exact(&mut [0]).expect("the grandchild writes a line");
        end(&mut child, Duration::from_millis(200));
        let until = Instant::now() + Duration::from_secs(60);
        while test_kill_process_group(group).is_ok() {
            assert!(Instant::now() < until, "the group is still there");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn command_line_has_the_typed_form() {
        assert_eq!(
            command_line(Command::new("cargo").args(["build", "-p", "sim"])),
            "cargo build -p sim"
        );
    }
}
