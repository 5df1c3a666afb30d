//! The process that ends the others when xtask itself was killed and could not.
//!
//! xtask tells it the process groups on its standard input, `+123` and `-123`. When that ends, for
//! whatever reason, the guard ends the groups that are left, and itself. It needs no cooperation
//! from the children, some of which are not ours.

use std::collections::BTreeSet;
use std::io::BufRead;
use std::process::ExitCode;
use std::time::Duration;

use rustix::process::Pid;

use crate::child::end_groups;

const TERMINATION_GRACE: Duration = Duration::from_secs(5);

/// Watches until the standard input ends.
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
    // Never 1 and never 0, which stands for one's own group.
    groups.into_iter().filter(|number| *number > 1).filter_map(Pid::from_raw).collect()
}

#[cfg(test)]
mod tests {
    use super::remaining;

    #[test]
    fn what_was_not_taken_back_remains() {
        let groups = remaining("+11\n+12\nnonsense\n\n+0\n+1\n+-5\n-11\n+13\n".as_bytes());
        let numbers: Vec<i32> =
            groups.into_iter().map(|group| group.as_raw_nonzero().get()).collect();
        assert_eq!(numbers, [12, 13]);
    }
}
