//! Cost of limits, as Markdown tables.

use std::fmt::{self, Display, Formatter};

use super::ledger::LedgerRate;
use super::report::{Cell, Entrant};
use super::statistics::{median, percentile, spread};

/// A route with limits compared with the same route without, and the ledger alone.
#[derive(Debug, Default)]
pub(super) struct Limits {
    pub(super) cells: Vec<Cell>,
    pub(super) ledger: Vec<LedgerRate>,
}

impl Display for Limits {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.cells.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n## Limits\n")?;
        writeln!(
            f,
            "One route and one consumer, without a limit and with one on tokens and requests per \
             minute that is never reached. The first two do not differ: what lies between them is \
             noise. `CPU` is processor time per request, the host's and the ledger's included; on a \
             busy machine it says more than the throughput. Everyone records its usage, which is one more call to the ledger for each \
             request or, under load, for several."
        )?;
        let mut edge = None;
        for cell in &self.cells {
            if edge != Some(cell.edge) {
                edge = Some(cell.edge);
                writeln!(f, "\n**{}**. {}.\n", cell.edge.title(), cell.edge.ledger_location())?;
                let baseline = cell.entrants.first().map_or("", |entrant| entrant.name);
                writeln!(
                    f,
                    "| | connections | | requests/s | of {baseline} (each round) | p50 | p99 | CPU | of it |"
                )?;
                writeln!(f, "| --- | --: | --- | --: | --: | --: | --: | --: | --: |")?;
            }
            for entrant in &cell.entrants {
                row(f, cell, entrant)?;
            }
        }
        if self.ledger.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n**The ledger alone**, called by a Worker of the same workerd.\n")?;
        writeln!(f, "| callers | objects | | operations/s |\n| --: | --: | --- | --: |")?;
        for LedgerRate { counter: keeper, objects: places, callers, rates } in &self.ledger {
            let (rate, spread) = (median(rates), spread(rates) * 100.0);
            let title = keeper.title();
            writeln!(f, "| {callers} | {places} | {title} | {rate:.0} ± {spread:.0} % |")?;
        }
        Ok(())
    }
}

/// A table row. The ratio has one more digit than elsewhere: the question is whether a lease costs
/// five per cent.
fn row(f: &mut Formatter<'_>, cell: &Cell, entrant: &Entrant) -> fmt::Result {
    let Entrant { name, rates, whole, first: _, processor, .. } = entrant;
    let ratios = cell.ratios(entrant);
    let (ratio, least, greatest) =
        (median(&ratios), percentile(&ratios, 0.0), percentile(&ratios, 1.0));
    write!(
        f,
        "| {} | {} | {name} | {:.0} ± {:.0} % | {ratio:.3} ({least:.2} to {greatest:.2}) | ",
        cell.subject.title(),
        cell.connections,
        median(rates),
        spread(rates) * 100.0,
    )?;
    write!(f, "{:.2} ms | {:.2} ms | ", percentile(whole, 0.5), percentile(whole, 0.99))?;
    let baseline = cell.entrants.first().and_then(|baseline| baseline.processor);
    match processor.zip(baseline) {
        Some((time, baseline)) => writeln!(f, "{time:.3} ms | {:.2} |", time / baseline),
        None => writeln!(f, "– | – |"),
    }
}

#[cfg(test)]
mod tests {
    use crate::bench::candidate::BenchEdge;
    use crate::bench::report::{Cell, Entrant};
    use crate::bench::workload::Workload;

    use super::Limits;

    #[test]
    fn a_small_difference_is_visible() {
        let entrant = |name, rates: [f64; 3]| Entrant {
            name,
            rates: rates.to_vec(),
            whole: vec![1.0, 2.0, 3.0],
            first: vec![0.5],
            middles: vec![1.0],
            processor: Some(0.25),
        };
        // The machine became slower in the last round.
        let entrants =
            vec![entrant("none", [1000.0, 1100.0, 500.0]), entrant("one", [960.0, 1045.0, 482.0])];
        let cells = vec![Cell::new(BenchEdge::Spin, Workload::Json, 16, entrants)];
        let text = Limits { cells, ledger: Vec::new() }.to_string();
        let line = "| JSON, 1 KiB | 16 | one | 960 ± 29 % | 0.960 (0.95 to 0.96) | 2.00 ms | 3.00 ms | 0.250 ms | 1.00 |";
        assert_eq!(text.lines().last(), Some(line));
    }
}
