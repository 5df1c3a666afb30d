//! Schedule of the candidates: all of them in turn, for several rounds, so that noise of the machine
//! affects all of them equally.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::time::sleep;

use crate::wait::wait_until;

use super::candidate::{BenchEdge, Candidate};
use super::comparison::{CandidateResult, Comparison};
use super::load::Load;
use super::workload::Workload;

/// Number of turns of each candidate for each workload.
pub(super) const ROUNDS: u32 = 5;
/// Time before each turn. The very first turns get more: code is compiled while it runs.
const WARM_UP: Duration = Duration::from_millis(100);
const FIRST_WARM_UP: Duration = Duration::from_millis(1000);
/// Longest wait for records in the log.
const RECORDS_TIMEOUT: Duration = Duration::from_secs(60);

/// A workload and its number of connections.
pub(super) type Task = (Workload, usize);

/// Runs all tasks of the candidates on one edge.
pub(super) async fn run_schedule(
    edge: BenchEdge,
    candidates: &[Candidate],
    tasks: &[Task],
    turn: Duration,
) -> anyhow::Result<Vec<Comparison>> {
    let mut comparisons = Vec::new();
    // Some candidates have served requests before.
    let before = candidates.iter().map(|candidate| (candidate.name, candidate.process.records()));
    let mut sent: BTreeMap<&str, usize> = before.collect();
    for &(workload, connections) in tasks {
        eprintln!("  {}, connections: {connections}", workload.title());
        let results = run_turns(candidates, workload, connections, turn).await?;
        for result in &results {
            *sent.entry(result.name).or_insert(0) += result.responses;
        }
        comparisons.push(Comparison::new(edge, workload, connections, results));
    }
    for candidate in candidates.iter().filter(|candidate| candidate.is_gateway) {
        check_records(candidate, sent[candidate.name]).await?;
    }
    Ok(comparisons)
}

async fn run_turns(
    candidates: &[Candidate],
    workload: Workload,
    connections: usize,
    turn: Duration,
) -> anyhow::Result<Vec<CandidateResult>> {
    let mut results: Vec<CandidateResult> =
        candidates.iter().map(|candidate| CandidateResult::new(candidate.name)).collect();
    for round in 0..ROUNDS as usize {
        // The order of candidates changes from round to round, too.
        for position in 0..candidates.len() {
            let index = (position + round) % candidates.len();
            let candidate = &candidates[index];
            let load = Load {
                address: candidate.address,
                workload,
                is_gateway: candidate.is_gateway,
                style: candidate.style,
                connections,
                warm_up: match round {
                    // One response takes longer than a turn, and all candidates are warm by then.
                    _ if workload.is_long() => Duration::ZERO,
                    0 => FIRST_WARM_UP,
                    _ => WARM_UP,
                },
                duration: turn,
            };
            let before = candidate.process.processor_time();
            let result = load.run().await.with_context(|| candidate.name.to_owned())?;
            sleep(candidate.style.deferred).await;
            let spent = candidate.process.processor_time().zip(before);
            // A turn without a response counts as rate zero: the host stalled.
            let spent = spent.map(|(after, before)| after - before);
            results[index].add_turn(workload, turn, result, spent);
        }
    }
    for result in &results {
        ensure!(!result.latencies.whole.is_empty(), "{}: no response in {turn:?}", result.name);
    }
    Ok(results)
}

/// Checks that every request has a record: records are part of the product, and a run without them
/// would measure something else.
async fn check_records(candidate: &Candidate, sent: usize) -> anyhow::Result<()> {
    wait_until(RECORDS_TIMEOUT, || candidate.process.records() >= sent).await;
    let records = candidate.process.records();
    ensure!(records == sent, "{} wrote {records} records of {sent} requests", candidate.name);
    Ok(())
}
