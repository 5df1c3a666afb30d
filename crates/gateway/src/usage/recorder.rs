//! Adds up requests that are over and hands the sums to the ledger, off anybody's path.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::rc::Rc;
use std::time::Duration;

use crate::date::Day;
use crate::ledger::{Bounds, Operation, Place, Tally, TallyRow};
use crate::metrics;
use crate::observe::{Counted, Outcome, Record};
use crate::platform::Platform;
use crate::rooms::futures;
use crate::rooms::notary;
use crate::time::Timestamp;

use super::{
    HOUR, Kind, RETENTION_DAYS, RETENTION_HOURS, key, minute_key, minutes_place, minutes_until,
    place, shard, until,
};

/// After so long, whoever writes is taken for dead: a host stops what outlives its request too long.
const LONGEST_WRITE: Duration = Duration::from_secs(30);
/// The wait after a first write. Each next one is twice as long, up to what the host has: the most that
/// is forgotten where a gateway is killed, beside what is under way.
const PAUSE: Duration = Duration::from_millis(100);
/// The same where the ledger is away.
const LATER: Duration = Duration::from_secs(2);
/// How many rows may wait while the ledger is away; what comes on top of them is not counted.
const MOST_WAITING: usize = 10_000;

/// Sums that wait to be written. One writer is at work at a time, writes at once, and then takes along
/// whatever has come in meanwhile: under load there are far fewer writes than requests.
#[derive(Debug, Default)]
pub struct Recorder {
    bounds: Cell<Bounds>,
    waiting: RefCell<BTreeMap<(Place, String), TallyRow>>,
    /// What may have been written or not: it is said again in the same words and under the same name,
    /// and until then nothing else is told to that place.
    unsure: RefCell<BTreeMap<Place, Rc<Operation>>>,
    /// Where the names of operations begin: a number that no other gateway has.
    seed: Cell<Option<u64>>,
    written: Cell<u64>,
    writing_since: Cell<Option<Timestamp>>,
}

impl Recorder {
    /// Opens a recorder whose metrics tell so much apart.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds: Cell::new(bounds), ..Self::default() }
    }

    /// From now on metrics tell so much apart.
    pub fn bound(&self, bounds: Bounds) {
        self.bounds.set(bounds);
    }

    /// Adds a request that is over; `cost` is in billionths of a USD.
    pub fn note<P: Platform>(self: &Rc<Self>, platform: &P, record: &Record, cost: u64) {
        let Some(kind) = Kind::of(record) else { return };
        let at = Timestamp::from_millis(record.at_ms);
        let seed = self.seed.get().unwrap_or_else(|| {
            let seed = platform.entropy();
            if !P::FORGETS {
                self.clear_away(platform.now(), shard(seed));
            }
            seed
        });
        self.seed.set(Some(seed));
        let shard = shard(seed);
        let tally = tally(record, cost);
        let (hour, minute) = (key(at, &kind), minute_key(at, &kind));
        self.add(place(Day::of(at), shard), hour, until(at), &tally);
        self.add(minutes_place(at, shard), minute, minutes_until(at), &tally);
        let place = metrics::place(shard);
        for (key, tally) in metrics::counted(record, &kind, tally) {
            self.add(place.clone(), key, metrics::until(at), &tally);
        }
        self.write(platform);
    }

    fn add(&self, place: Place, key: String, until: Timestamp, tally: &Tally) {
        let mut waiting = self.waiting.borrow_mut();
        let full = waiting.len() >= MOST_WAITING;
        match waiting.entry((place, key)) {
            Entry::Occupied(mut before) => before.get_mut().tally += tally,
            Entry::Vacant(_) if full => {}
            Entry::Vacant(free) => {
                let key = free.key().1.clone();
                free.insert(TallyRow { key, until, tally: tally.clone() });
            }
        }
    }

    /// Touches the places whose time has just ended, which makes a host sweep them that forgets nothing by
    /// itself. Every gateway does, since a place is this old for one hour or one day only; one
    /// that is clear already is a look and no write.
    fn clear_away(&self, now: Timestamp, shard: u8) {
        let before =
            |hours: u64| Timestamp::from_millis(now.as_millis().saturating_sub(hours * HOUR));
        let nothing = || Rc::new(Operation::Tally { id: 0, bounds: None, rows: Vec::new() });
        let hour = minutes_place(before(RETENTION_HOURS + 2), shard);
        let day = place(Day::of(before((RETENTION_DAYS + 2) * 24)), shard);
        self.unsure.borrow_mut().extend([(hour, nothing()), (day, nothing())]);
    }

    fn write<P: Platform>(self: &Rc<Self>, platform: &P) {
        let now = platform.now();
        let busy = self.writing_since.get();
        if busy.is_some_and(|since| now.since(since) < LONGEST_WRITE) {
            return;
        }
        self.writing_since.set(Some(now));
        let (recorder, host) = (Rc::clone(self), platform.clone());
        platform.defer(async move {
            let began = host.now();
            let mut pause = PAUSE;
            loop {
                recorder.prepare();
                let told: Vec<(Place, Rc<Operation>)> = {
                    let unsure = recorder.unsure.borrow();
                    unsure.iter().map(|(place, it)| (place.clone(), Rc::clone(it))).collect()
                };
                if told.is_empty() {
                    break;
                }
                // All at once: a place does not wait for another one's host.
                let ask = |(place, operation): &(Place, Rc<Operation>)| {
                    let (host, place, operation) =
                        (host.clone(), place.clone(), Rc::clone(operation));
                    async move { notary::ask(&host, &place, &operation).await.is_ok() }
                };
                let done = futures::join(told.iter().map(ask).collect()).await;
                let away = done.contains(&false);
                for ((place, operation), is_done) in told.into_iter().zip(done) {
                    let mut unsure = recorder.unsure.borrow_mut();
                    // Another writer, who took this one for dead, may have been faster.
                    let is_it = unsure.get(&place).is_some_and(|it| Rc::ptr_eq(it, &operation));
                    if is_done && is_it {
                        unsure.remove(&place);
                    }
                }
                // The next request's writer takes along what is left.
                if host.now().since(began) + LATER >= LONGEST_WRITE {
                    break;
                }
                host.sleep(if away { LATER } else { pause }).await;
                pause = (pause * 2).min(P::GATHERS);
            }
            recorder.writing_since.set(None);
        });
    }

    /// Makes one operation of what waits for each place that is sure of the one before.
    fn prepare(&self) {
        let mut unsure = self.unsure.borrow_mut();
        let mut rows: BTreeMap<Place, Vec<TallyRow>> = BTreeMap::new();
        let mut waiting = self.waiting.borrow_mut();
        for ((place, key), row) in std::mem::take(&mut *waiting) {
            if unsure.contains_key(&place) {
                waiting.insert((place, key), row);
            } else {
                rows.entry(place).or_default().push(row);
            }
        }
        for (place, rows) in rows {
            let written = self.written.get() + 1;
            self.written.set(written);
            let id = self.seed.get().unwrap_or_default().wrapping_add(written);
            let bounds = metrics::is_place(&place).then_some(self.bounds.get());
            unsure.insert(place, Rc::new(Operation::Tally { id, bounds, rows }));
        }
    }
}

fn tally(record: &Record, cost: u64) -> Tally {
    let count = |condition: bool| u64::from(condition);
    let failed = matches!(record.outcome, Outcome::Failed | Outcome::Truncated);
    let tokens = record.tokens;
    let is_estimated = tokens.counted == Counted::Estimated;
    let estimated = |tokens: u64| if is_estimated { tokens } else { 0 };
    let mut tally = Tally {
        requests: 1,
        failed: count(failed),
        limited: count(record.outcome == Outcome::Refused && record.limited_by.is_some()),
        hits: count(record.cache == Some("hit")),
        blocked: count(record.blocked_by.is_some()),
        estimated: count(is_estimated),
        input: tokens.input,
        cached: tokens.cached,
        output: tokens.output,
        reasoning: tokens.reasoning,
        estimated_input: estimated(tokens.input),
        estimated_output: estimated(tokens.output),
        cost,
        first_ms: record.first_token_ms.unwrap_or(0),
        first: count(record.first_token_ms.is_some()),
        total_ms: record.total_ms,
        ..Tally::default()
    };
    if let Some(first) = record.first_token_ms {
        tally.firsts.count(first);
    }
    tally.totals.count(record.total_ms);
    tally
}
