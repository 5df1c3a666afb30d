//! Markdown tables of the results.

use std::fmt::{self, Formatter};

use crate::statistics::{median, percentile, spread};

use super::candidate::BenchEdge;
use super::comparison::{CandidateResult, Comparison};

/// Alignment of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Column of a table with one row for each candidate. `docs/benchmarks.md` has the same headings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Workload,
    Connections,
    Candidate,
    /// Responses per second: the median over rounds, and the spread.
    Rate,
    /// Rate divided by the baseline's: the median over rounds.
    Ratio,
    /// The same, with the range over rounds.
    RatioRange,
    /// Latency of whole responses.
    P50,
    P99,
    FirstByteP50,
    /// Time from the upstream's write of the first content to its arrival.
    FirstContentP50,
    FirstContentP99,
    /// Added latency over the baseline's: the median over rounds.
    AddedP50,
    Processor,
    AddedProcessor,
    ProcessorRatio,
}

/// Columns of a comparison with baselines.
pub(super) const BASELINE_COLUMNS: [Column; 9] = [
    Column::Workload,
    Column::Connections,
    Column::Candidate,
    Column::Rate,
    Column::Ratio,
    Column::P50,
    Column::P99,
    Column::FirstByteP50,
    Column::Processor,
];

/// Columns of a comparison that shows the cost of one feature.
pub(super) const COST_COLUMNS: [Column; 9] = [
    Column::Workload,
    Column::Connections,
    Column::Candidate,
    Column::Rate,
    Column::RatioRange,
    Column::P50,
    Column::P99,
    Column::Processor,
    Column::ProcessorRatio,
];

impl Column {
    fn heading(self, baseline: &str) -> String {
        match self {
            Self::Workload => "workload".to_owned(),
            Self::Connections => "connections".to_owned(),
            Self::Candidate => "candidate".to_owned(),
            Self::Rate => "requests/s".to_owned(),
            Self::Ratio => format!("ratio to {baseline}"),
            Self::RatioRange => format!("ratio to {baseline} (range)"),
            Self::P50 => "p50".to_owned(),
            Self::P99 => "p99".to_owned(),
            Self::FirstByteP50 => "first byte p50".to_owned(),
            Self::FirstContentP50 => "first content p50".to_owned(),
            Self::FirstContentP99 => "first content p99".to_owned(),
            Self::AddedP50 => "added p50".to_owned(),
            Self::Processor => "CPU".to_owned(),
            Self::AddedProcessor => "added CPU".to_owned(),
            Self::ProcessorRatio => "CPU ratio".to_owned(),
        }
    }

    fn align(self) -> Align {
        match self {
            Self::Workload | Self::Candidate => Align::Left,
            _ => Align::Right,
        }
    }

    fn value(self, comparison: &Comparison, result: &CandidateResult) -> String {
        let CandidateResult { name, rates, latencies, .. } = result;
        let baseline = || comparison.baseline().and_then(CandidateResult::processor_ms);
        let processors = || result.processor_ms().zip(baseline());
        match self {
            Self::Workload => comparison.workload.title().to_owned(),
            Self::Connections => comparison.connections.to_string(),
            Self::Candidate => (*name).to_owned(),
            Self::Rate if comparison.workload.is_paced() => missing(),
            Self::Rate => rate(rates),
            Self::Ratio => or_missing(comparison.ratio(result), |ratio| format!("{ratio:.2}")),
            Self::RatioRange => range(&comparison.ratios(result)),
            Self::P50 => milliseconds(percentile(&latencies.whole, 0.5)),
            Self::P99 => milliseconds(percentile(&latencies.whole, 0.99)),
            Self::FirstByteP50 | Self::FirstContentP50 => {
                milliseconds(percentile(&latencies.first, 0.5))
            }
            Self::FirstContentP99 => milliseconds(percentile(&latencies.first, 0.99)),
            Self::AddedP50 => added_milliseconds(comparison.added(result)),
            Self::Processor => processor(result.processor_ms()),
            Self::AddedProcessor => {
                or_missing(processors(), |(own, baseline)| format!("{:+.3} ms", own - baseline))
            }
            Self::ProcessorRatio => {
                or_missing(processors(), |(own, baseline)| format!("{:.2}", own / baseline))
            }
        }
    }
}

/// Writes one table for each edge: a caption, and a row for each candidate of each comparison.
pub(super) fn write_comparisons<'a>(
    f: &mut Formatter<'_>,
    comparisons: impl IntoIterator<Item = &'a Comparison>,
    columns: &[Column],
    caption: impl Fn(BenchEdge) -> String,
) -> fmt::Result {
    let mut edge = None;
    for comparison in comparisons {
        if edge != Some(comparison.edge) {
            edge = Some(comparison.edge);
            writeln!(f, "\n{}\n", caption(comparison.edge))?;
            let baseline = comparison.baseline().map_or("", |baseline| baseline.name);
            let headings: Vec<(String, Align)> =
                columns.iter().map(|column| (column.heading(baseline), column.align())).collect();
            write_head(f, &headings)?;
        }
        for result in &comparison.results {
            write_row(f, columns.iter().map(|column| column.value(comparison, result)))?;
        }
    }
    Ok(())
}

/// Caption of an edge's table.
pub(super) fn edge_caption(edge: BenchEdge) -> String {
    format!("**{}**", edge.title())
}

/// Caption with the location of the edge's ledger.
pub(super) fn ledger_caption(edge: BenchEdge) -> String {
    format!("**{}**. {}.", edge.title(), edge.ledger_location())
}

/// Writes the headings of a table and the line below them.
pub(super) fn write_head<T: AsRef<str>>(
    f: &mut Formatter<'_>,
    headings: &[(T, Align)],
) -> fmt::Result {
    write_row(f, headings.iter().map(|(heading, _)| heading))?;
    let line = |align: &Align| if *align == Align::Left { "---" } else { "--:" };
    write_row(f, headings.iter().map(|(_, align)| line(align)))
}

/// Writes one row of a table.
pub(super) fn write_row<T: AsRef<str>>(
    f: &mut Formatter<'_>,
    values: impl IntoIterator<Item = T>,
) -> fmt::Result {
    write!(f, "|")?;
    for value in values {
        write!(f, " {} |", value.as_ref())?;
    }
    writeln!(f)
}

/// A rate: the median over rounds, and the spread.
pub(super) fn rate(rates: &[f64]) -> String {
    format!("{:.0} ± {:.0} %", median(rates), spread(rates) * 100.0)
}

pub(super) fn milliseconds(time: f64) -> String {
    format!("{time:.2} ms")
}

/// A difference in milliseconds, with its sign.
pub(super) fn added_milliseconds(time: f64) -> String {
    format!("{time:+.2} ms")
}

/// Processor time in milliseconds.
pub(super) fn processor(time: Option<f64>) -> String {
    or_missing(time, |time| format!("{time:.3} ms"))
}

/// Median and range. One digit more than elsewhere: a leased limit may cost five per cent at most.
fn range(ratios: &[f64]) -> String {
    let (min, max) = (percentile(ratios, 0.0), percentile(ratios, 1.0));
    format!("{:.3} ({min:.2} to {max:.2})", median(ratios))
}

fn or_missing<T>(value: Option<T>, format: impl Fn(T) -> String) -> String {
    value.map_or_else(missing, format)
}

fn missing() -> String {
    "–".to_owned()
}

#[cfg(test)]
mod tests {
    use std::fmt::{self, Display, Formatter};

    use crate::bench::candidate::BenchEdge;
    use crate::bench::comparison::{CandidateResult, Comparison};
    use crate::bench::workload::Workload;

    use super::{Column, edge_caption, write_comparisons};

    struct Tables(Vec<Comparison>, &'static [Column]);

    impl Display for Tables {
        fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
            write_comparisons(f, &self.0, self.1, edge_caption)
        }
    }

    fn comparison(edge: BenchEdge, workload: Workload) -> Comparison {
        let result = |name, rates: [f64; 3], processor| {
            CandidateResult::sample(name, &rates, &[1.0, 2.0, 3.0], &[0.5], processor)
        };
        // The machine became slower in the last round.
        let results = vec![
            result("bare", [1000.0, 1100.0, 500.0], Some(0.25)),
            result("serin", [960.0, 1045.0, 482.0], None),
        ];
        Comparison::new(edge, workload, 16, results)
    }

    #[test]
    fn table_of_each_edge_has_its_own_head() {
        const COLUMNS: [Column; 3] = [Column::Workload, Column::Candidate, Column::Ratio];
        let comparisons = [BenchEdge::Cloudflare, BenchEdge::Spin]
            .map(|edge| comparison(edge, Workload::Json))
            .into();
        let text = Tables(comparisons, &COLUMNS).to_string();
        let head = "| workload | candidate | ratio to bare |\n| --- | --- | --: |\n";
        assert_eq!(text.matches(head).count(), 2, "{text}");
        assert_eq!(text.matches("| JSON, 1 KiB | serin | 0.96 |\n").count(), 2, "{text}");
    }

    #[test]
    fn ratio_is_that_of_each_round() {
        const COLUMNS: [Column; 6] = [
            Column::Rate,
            Column::RatioRange,
            Column::P50,
            Column::P99,
            Column::Processor,
            Column::ProcessorRatio,
        ];
        let text = Tables(vec![comparison(BenchEdge::Spin, Workload::Json)], &COLUMNS).to_string();
        let rows: Vec<&str> = text.lines().rev().take(2).collect();
        let serin = "| 960 ± 29 % | 0.960 (0.95 to 0.96) | 2.00 ms | 3.00 ms | – | – |";
        let bare = "| 1000 ± 30 % | 1.000 (1.00 to 1.00) | 2.00 ms | 3.00 ms | 0.250 ms | 1.00 |";
        assert_eq!(rows, [serin, bare]);
    }

    #[test]
    fn rate_of_a_paced_workload_is_missing() {
        const COLUMNS: [Column; 3] = [Column::Candidate, Column::Rate, Column::Ratio];
        let comparisons = vec![comparison(BenchEdge::Spin, Workload::PacedStream)];
        let text = Tables(comparisons, &COLUMNS).to_string();
        assert!(text.ends_with("| serin | – | – |\n"), "{text}");
    }
}
