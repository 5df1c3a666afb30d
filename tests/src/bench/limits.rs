//! Cost of limits, as Markdown tables.

use std::fmt::{self, Display, Formatter};

use super::comparison::Comparison;
use super::ledger::LedgerRate;
use super::table::{
    Align, COST_COLUMNS, ledger_caption, rate, write_comparisons, write_head, write_row,
};

const LEDGER_HEADINGS: [(&str, Align); 4] = [
    ("callers", Align::Right),
    ("objects", Align::Right),
    ("implementation", Align::Left),
    ("operations/s", Align::Right),
];

/// A route with limits compared with the same route without, and the ledger alone.
#[derive(Debug, Default)]
pub(super) struct Limits {
    pub(super) comparisons: Vec<Comparison>,
    pub(super) ledger: Vec<LedgerRate>,
}

impl Display for Limits {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.comparisons.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n## Limits\n")?;
        writeln!(
            f,
            "One route and one consumer, without a limit and with a limit on tokens and requests per \
             minute that is never reached. The first two candidates are identical: the difference \
             between them is noise. `CPU` is processor time per request, host and ledger included; \
             on a busy machine it is more precise than the throughput. Every candidate records its \
             usage, with at most one more call to the ledger per request."
        )?;
        write_comparisons(f, &self.comparisons, &COST_COLUMNS, ledger_caption)?;
        if self.ledger.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n**Ledger alone**, called by a Worker of the same workerd.\n")?;
        write_head(f, &LEDGER_HEADINGS)?;
        for LedgerRate { counter, objects, callers, rates } in &self.ledger {
            let (callers, objects) = (callers.to_string(), objects.to_string());
            write_row(f, [callers.as_str(), &objects, counter.title(), &rate(rates)])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::bench::candidate::BenchEdge;
    use crate::bench::comparison::{CandidateResult, Comparison};
    use crate::bench::ledger::{Counter, LedgerRate};
    use crate::bench::workload::Workload;

    use super::Limits;

    #[test]
    fn limits_have_a_row_for_each_candidate_and_ledger() {
        let result = CandidateResult::sample("limit", &[100.0], &[1.0], &[0.5], Some(0.25));
        let comparisons = vec![Comparison::new(BenchEdge::Spin, Workload::Json, 16, vec![result])];
        let counter = Counter::Ledger;
        let ledger = vec![LedgerRate { counter, objects: 1, callers: 16, rates: vec![7.0] }];
        let text = Limits { comparisons, ledger }.to_string();
        let row = "| JSON, 1 KiB | 16 | limit | 100 ± 0 % | 1.000 (1.00 to 1.00) | 1.00 ms | 1.00 ms | 0.250 ms | 1.00 |";
        assert!(text.lines().any(|line| line == row), "{text}");
        assert_eq!(text.lines().last(), Some("| 16 | 1 | serin's ledger | 7 ± 0 % |"));
    }
}
