//! Adds up requests that are over and hands the sums to the ledger, off anybody's path.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::rc::Rc;
use std::time::Duration;

use crate::date::Day;
use crate::ledger::{Operation, Place, Tally, TallyRow};
use crate::observe::{Counted, Outcome, Record};
use crate::platform::Platform;
use crate::rooms::notary;
use crate::time::Timestamp;

use super::{Kind, key, place, shard, until};

/// After so long, whoever writes is taken for dead: a host stops what outlives its request too long.
const LONGEST_WRITE: Duration = Duration::from_secs(30);
/// The wait between two writes: the most that is forgotten where a gateway is killed, beside what is
/// under way.
const PAUSE: Duration = Duration::from_millis(100);
/// The same where the ledger is away.
const LATER: Duration = Duration::from_secs(2);
/// How many rows may wait while the ledger is away; what comes on top of them is not counted.
const MOST_WAITING: usize = 10_000;

/// Sums that wait to be written. One writer is at work at a time, writes at once, and then takes along
/// whatever has come in meanwhile: under load there are far fewer writes than requests.
#[derive(Debug, Default)]
pub struct Recorder {
    waiting: RefCell<BTreeMap<(Place, String), TallyRow>>,
    shard: Cell<Option<u8>>,
    writing_since: Cell<Option<Timestamp>>,
}

impl Recorder {
    /// Adds a request that is over; `cost` is in billionths of a USD.
    pub fn note<P: Platform>(self: &Rc<Self>, platform: &P, record: &Record, cost: u64) {
        // Who had no key, or asked for no model, has used nothing.
        let (Some(consumer), Some(model)) = (&record.consumer, &record.model) else { return };
        let at = Timestamp::from_millis(record.at_ms);
        let shard = self.shard.get().unwrap_or_else(|| shard(platform.entropy()));
        self.shard.set(Some(shard));
        let (provider, answered) = match record.target.as_deref().and_then(|it| it.split_once('/'))
        {
            Some((provider, model)) => (provider, model),
            // A name that no route serves may be anything, and every one would be a row.
            None if record.route.is_none() => ("", ""),
            None => ("", model.as_str()),
        };
        let kind = Kind {
            consumer: consumer.clone(),
            group: record.group.clone().unwrap_or_default(),
            model: answered.to_owned(),
            provider: provider.to_owned(),
            route: record.route.clone().unwrap_or_default(),
        };
        let row = TallyRow { key: key(at, &kind), until: until(at), tally: tally(record, cost) };
        self.add(place(Day::of(at), shard), row);
        self.write(platform);
    }

    fn add(&self, place: Place, row: TallyRow) {
        let mut waiting = self.waiting.borrow_mut();
        let full = waiting.len() >= MOST_WAITING;
        match waiting.entry((place, row.key.clone())) {
            Entry::Occupied(mut before) => before.get_mut().tally += row.tally,
            Entry::Vacant(_) if full => {}
            Entry::Vacant(free) => {
                free.insert(row);
            }
        }
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
            loop {
                let mut places: BTreeMap<Place, Vec<TallyRow>> = BTreeMap::new();
                for ((place, _), row) in recorder.waiting.take() {
                    places.entry(place).or_default().push(row);
                }
                if places.is_empty() {
                    break;
                }
                let mut away = false;
                for (place, rows) in places {
                    let operation = Operation::Tally { rows };
                    let done = notary::ask(&host, &place, &operation).await;
                    if done.is_err()
                        && let Operation::Tally { rows } = operation
                    {
                        away = true;
                        rows.into_iter().for_each(|row| recorder.add(place.clone(), row));
                    }
                }
                // The next request's writer takes along what is left.
                if host.now().since(began) + LATER >= LONGEST_WRITE {
                    break;
                }
                host.sleep(if away { LATER } else { PAUSE }).await;
            }
            recorder.writing_since.set(None);
        });
    }
}

fn tally(record: &Record, cost: u64) -> Tally {
    let count = |condition: bool| u64::from(condition);
    let failed = matches!(record.outcome, Outcome::Failed | Outcome::Truncated);
    let tokens = record.tokens;
    Tally {
        requests: 1,
        failed: count(failed),
        limited: count(record.outcome == Outcome::Refused && record.limited_by.is_some()),
        estimated: count(tokens.counted == Counted::Estimated),
        input: tokens.input,
        cached: tokens.cached,
        output: tokens.output,
        reasoning: tokens.reasoning,
        cost,
        first_ms: record.first_token_ms.unwrap_or(0),
        first: count(record.first_token_ms.is_some()),
        total_ms: record.total_ms,
    }
}
