//! Watchdog: the process that ends the children of xtask if xtask is killed.
//!
//! xtask writes process groups to its standard input: `+123` adds a group, `-123` removes it. When
//! the input ends, for any reason, the watchdog ends the remaining groups and exits. It needs no
//! cooperation from the children, some of which are third-party programs.

use std::collections::BTreeSet;
use std::io::BufRead;
use std::process::ExitCode;
use std::time::Duration;

use rustix::process::Pid;

use crate::child::end_groups;

const TERMINATION_GRACE: Duration = Duration::from_secs(5);

/// Waits until standard input ends, then ends the remaining groups.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    end_groups(&remaining(std::io::stdin().lock()), TERMINATION_GRACE);
    Ok(ExitCode::SUCCESS)
}

fn remaining(input: impl BufRead) -> Vec<Pid> {
    let mut groups = BTreeSet::new();
    for line in input.lines().map_while(Result::ok) {
        match (line.get(..1), line.get(1..).and_then(|number| number.parse::<i32>().ok())) {
            (Some("+"), Some(number)) => groups.insert(number),
            (Some("-"), Some(number)) => groups.remove(&number),
            _ => false,
        };
    }
    // Never 1 (init), and never 0, which stands for the caller's own group.
    groups.into_iter().filter(|number| *number > 1).filter_map(Pid::from_raw).collect()
}

#[cfg(test)]
mod tests {
    use super::remaining;

    #[test]
    fn group_remains_until_it_is_removed() {
        let groups = remaining("+11\n+12\nnonsense\n\n+0\n+1\n+-5\n-11\n+13\n".as_bytes());
        let numbers: Vec<i32> =
            groups.into_iter().map(|group| group.as_raw_nonzero().get()).collect();
        assert_eq!(numbers, [12, 13]);
    }
}
