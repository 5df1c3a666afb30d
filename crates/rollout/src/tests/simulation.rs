//! Error rates of the decisions, over seeded rollouts in virtual time.

use std::collections::BTreeSet;

use super::{MINUTE, apply_report, plan};
use crate::{CheckCounts, Phase, Plan, Report, Rollout, Side, Sides};

/// Time between two reports.
const TICK: u64 = 10_000;
const HOUR: u64 = 60 * MINUTE;

/// A seeded generator; the tests need no quality beyond it.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Number of successes, drawn by the gaps between them.
    fn binomial(&mut self, tries: u64, probability: f64) -> u64 {
        if probability > 0.5 {
            return tries - self.binomial(tries, 1.0 - probability);
        }
        let (mut at, mut successes) = (0.0, 0);
        if probability <= 0.0 {
            return 0;
        }
        loop {
            at += (1.0 - self.unit()).ln() / (-probability).ln_1p();
            if at >= tries as f64 {
                break;
            }
            (at, successes) = (at.floor() + 1.0, successes + 1);
        }
        successes
    }
}

/// Requests of a route, and how often they fail.
#[derive(Clone, Copy)]
struct Traffic {
    per_second: u64,
    control: f64,
    canary: f64,
    /// Isolates that share the requests, each with reports of its own.
    isolates: u64,
    users: Option<Users>,
    /// Factor on both rates of failure by the time of the rollout.
    drift: fn(u64) -> f64,
    /// Time from which 80 % of the canary's requests fail.
    breaks_at: u64,
}

/// Callers with a heavy tail; all requests of one within 10 s fail together, and are repeated.
#[derive(Clone, Copy)]
struct Users {
    count: u64,
    is_sticky: bool,
    /// Whether each user counts once in a report, instead of each request.
    is_unit: bool,
}

const EQUAL: Traffic = Traffic {
    per_second: 10,
    control: 0.01,
    canary: 0.01,
    isolates: 1,
    users: None,
    drift: |_| 1.0,
    breaks_at: u64::MAX,
};

#[derive(Debug)]
struct Outcome {
    phase: Phase,
    ended: u64,
    /// Failures of the canary that callers received.
    shown: u64,
    canary_requests: u64,
}

/// Runs a rollout until it ends or the time is up.
fn run(plan: &Plan, traffic: Traffic, max: u64, seed: u64) -> Outcome {
    let mut random = SplitMix64(seed.wrapping_mul(0x1234_5677) ^ 0x5eed);
    let mut state = None;
    let (mut version, mut weight) = apply_report(&mut state, 0, plan, Report::default());
    let mut outcome = Outcome { phase: Phase::Step, ended: max, shown: 0, canary_requests: 0 };
    let mut id = 0;
    for now in (TICK..=max).step_by(TICK as usize) {
        for _ in 0..traffic.isolates {
            id += 1;
            let requests = traffic.per_second * TICK / 1_000 / traffic.isolates;
            let factor = (traffic.drift)(now);
            let share = f64::from(weight) / 100.0;
            let (counts, routed, failed) =
                observe(traffic, factor, share, requests, now, &mut random);
            outcome.shown += failed;
            outcome.canary_requests += routed.canary;
            let report =
                Report { id, version, requests: routed, checks: vec![counts], ..Report::default() };
            (version, weight) = apply_report(&mut state, now, plan, report);
        }
        let rollout: &Rollout = state.as_ref().expect("it began");
        if rollout.phase() != Phase::Step {
            outcome.ended = now;
            outcome.phase = rollout.phase();
            break;
        }
    }
    outcome
}

/// Requests of one isolate between two reports: the counts, the routed requests, and the failures of the
/// canary.
fn observe(
    traffic: Traffic,
    factor: f64,
    share: f64,
    requests: u64,
    now: u64,
    random: &mut SplitMix64,
) -> (CheckCounts, Sides, u64) {
    let rate = |side| match side {
        Side::Canary if now >= traffic.breaks_at => 0.8,
        Side::Canary => factor * traffic.canary,
        Side::Control => factor * traffic.control,
    };
    let Some(users) = traffic.users else {
        let canary = random.binomial(requests, share);
        let units = Sides { control: requests - canary, canary };
        let events = Sides {
            control: random.binomial(units.control, rate(Side::Control)),
            canary: random.binomial(units.canary, rate(Side::Canary)),
        };
        return (CheckCounts { units, events }, units, events.canary);
    };
    let (mut counts, mut routed, mut failures) = (CheckCounts::default(), Sides::default(), 0);
    let mut seen = BTreeSet::new();
    for _ in 0..requests {
        // A few users send most requests.
        let user = (random.unit().powi(3) * users.count as f64) as u64;
        let position =
            if users.is_sticky { SplitMix64(user ^ 0xabc).unit() } else { random.unit() };
        let side = if position < share { Side::Canary } else { Side::Control };
        // The same luck for all requests of a user within a report, who repeats one that failed.
        let fails = SplitMix64(user ^ (now << 20)).unit() < rate(side);
        let sent = if fails { 1 + random.next() % 7 } else { 1 };
        routed.add(side, sent);
        failures += if fails && side == Side::Canary { sent } else { 0 };
        let units = match users.is_unit {
            true => u64::from(seen.insert((user, side))),
            false => sent,
        };
        counts.units.add(side, units);
        counts.events.add(side, if fails { units } else { 0 });
    }
    (counts, routed, failures)
}

/// Shares of outcomes over many seeds.
struct Summary {
    outcomes: Vec<Outcome>,
}

impl Summary {
    fn of(plan: &Plan, traffic: Traffic, max: u64, seeds: u64) -> Self {
        Self { outcomes: (1..=seeds).map(|seed| run(plan, traffic, max, seed)).collect() }
    }

    fn share(&self, phase: Phase) -> f64 {
        let count = self.outcomes.iter().filter(|one| one.phase == phase).count();
        count as f64 / self.outcomes.len() as f64
    }

    fn quantile(&self, of: impl Fn(&Outcome) -> u64, permille: usize) -> u64 {
        let mut values: Vec<u64> = self.outcomes.iter().map(of).collect();
        values.sort_unstable();
        values[(values.len() * permille / 1_000).min(values.len() - 1)]
    }

    #[expect(clippy::disallowed_macros, reason = "the figures are read with --nocapture")]
    fn print(&self, name: &str) {
        eprintln!(
            "{name}: back {:.3}, promoted {:.3}, ended {} min, canary {} (median), shown {} / {} (p50, p90)",
            self.share(Phase::RolledBack),
            self.share(Phase::Promoted),
            self.quantile(|one| one.ended, 500) / MINUTE,
            self.quantile(|one| one.canary_requests, 500),
            self.quantile(|one| one.shown, 500),
            self.quantile(|one| one.shown, 900),
        );
    }
}

#[test]
fn equal_sides_are_promoted_and_seldom_rolled_back() {
    let summary = Summary::of(&plan(), EQUAL, 4 * HOUR, 300);
    summary.print("1 % and 1 %");
    assert!(summary.share(Phase::RolledBack) <= 0.05);
    assert!(summary.share(Phase::Promoted) >= 0.95);
}

#[test]
fn broken_canary_is_rolled_back_after_few_failures() {
    for (canary, shown) in [(0.2, 5), (0.8, 5), (0.05, 15)] {
        let summary = Summary::of(&plan(), Traffic { canary, ..EQUAL }, 4 * HOUR, 300);
        summary.print(&format!("1 % and {canary}"));
        assert!(summary.share(Phase::RolledBack) >= 0.99, "{canary}");
        let failures = summary.quantile(|one| one.shown, 900);
        assert!(failures <= shown, "{canary}: {failures}");
    }
}

#[test]
fn slightly_worse_canary_is_rolled_back() {
    let twice = Summary::of(&plan(), Traffic { canary: 0.02, ..EQUAL }, 4 * HOUR, 100);
    twice.print("1 % and 2 %");
    assert!(twice.share(Phase::RolledBack) >= 0.9);
    let slower = Traffic { control: 0.1, canary: 0.15, ..EQUAL };
    let slower = Summary::of(&plan(), slower, 4 * HOUR, 100);
    slower.print("10 % and 15 %");
    assert!(slower.share(Phase::RolledBack) >= 0.9);
}

#[test]
fn little_traffic_leaves_a_rollout_undecided() {
    let plan = Plan { max_ms: 6 * HOUR, ..plan() };
    let summary = Summary::of(&plan, Traffic { per_second: 1, ..EQUAL }, 7 * HOUR, 100);
    summary.print("1 request/s");
    assert!(summary.share(Phase::Undecided) >= 0.9);
    assert!(summary.share(Phase::RolledBack) <= 0.05);
}

#[test]
fn many_isolates_with_few_requests_each_are_compared_together() {
    let traffic = Traffic { isolates: 50, canary: 0.8, ..EQUAL };
    let summary = Summary::of(&plan(), traffic, HOUR, 60);
    summary.print("50 isolates, 1 % and 80 %");
    assert!(summary.share(Phase::RolledBack) >= 0.99);
    assert!(summary.quantile(|one| one.shown, 900) <= 5);
    let equal = Summary::of(&plan(), Traffic { isolates: 50, ..EQUAL }, HOUR, 60);
    equal.print("50 isolates, equal");
    assert!(equal.share(Phase::RolledBack) <= 0.05);
}

#[test]
fn bursts_of_single_users_count_once() {
    for is_sticky in [false, true] {
        let users = |is_unit| Some(Users { count: 2_000, is_sticky, is_unit });
        let plan = Plan { draws_requests: false, ..plan() };
        let by_user = Traffic { users: users(true), ..EQUAL };
        let summary = Summary::of(&plan, by_user, 80 * MINUTE, 120);
        summary.print(&format!("bursts by user, sticky {is_sticky}"));
        assert!(summary.share(Phase::RolledBack) <= 0.05, "sticky {is_sticky}");
        let by_request = Traffic { users: users(false), ..EQUAL };
        let naive = Summary::of(&plan, by_request, 90 * MINUTE, 25);
        naive.print(&format!("bursts by request, sticky {is_sticky}"));
        let wrong = naive.share(Phase::RolledBack);
        assert!(wrong > 0.1, "requests would be the wrong unit: {wrong}");
        let worse = Traffic { canary: 0.05, ..by_user };
        let found = Summary::of(&plan, worse, 90 * MINUTE, 25);
        found.print(&format!("bursts by user, 5 times as many, sticky {is_sticky}"));
        assert!(found.share(Phase::RolledBack) >= 0.9, "sticky {is_sticky}");
    }
}

#[test]
fn canary_that_breaks_after_a_good_history_is_rolled_back() {
    // In the middle of the last step.
    let breaks_at = 40 * MINUTE;
    let summary = Summary::of(&plan(), Traffic { breaks_at, ..EQUAL }, 4 * HOUR, 50);
    summary.print("breaks after 40 minutes");
    let late = summary.outcomes.iter().filter(|one| one.ended >= breaks_at);
    assert!(late.clone().count() > 35);
    for outcome in late.filter(|one| one.phase == Phase::RolledBack) {
        assert!(outcome.ended <= breaks_at + 4 * TICK, "{outcome:?}");
    }
    assert!(summary.share(Phase::RolledBack) >= 0.9);
}

#[test]
fn failures_that_follow_the_time_of_day_are_no_evidence() {
    // Ten times as many failures in every other quarter of an hour.
    let drift = |now: u64| if now / (15 * MINUTE) % 2 == 1 { 10.0 } else { 1.0 };
    let summary = Summary::of(&plan(), Traffic { drift, ..EQUAL }, 4 * HOUR, 100);
    summary.print("drift");
    assert!(summary.share(Phase::RolledBack) <= 0.05);
    assert!(summary.share(Phase::Promoted) >= 0.9);
}
