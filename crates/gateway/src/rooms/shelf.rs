//! The cache, as a request meets it: whether an answer is kept for it, and where its own will be.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use openai::Endpoint;

use crate::cache::{
    Canonical, Entry as Kept, Head, Key, LONGEST_BODY, Replay, Retelling, Scope, Spent, Subject,
    Wish, is_complete,
};
use crate::config::{Cache, Config, RouteIndex};
use crate::observe::Tokens;
use crate::platform::{Clock, Platform};
use crate::time::Timestamp;

use super::admit::Ask;
use super::caller::Caller;
use super::flight::{Flights, Pilot, Seat};
use super::plan::Plan;
use super::recent::Recent;

/// No store keeps anything for a shorter time; the entry itself says how long it counts.
pub(super) const SHORTEST: Duration = Duration::from_secs(60);

/// What the cache has for a request.
#[derive(Debug)]
pub(crate) enum Look {
    /// The route has no cache.
    Off,
    /// The request has nothing to do with it.
    Bypass,
    /// Nothing, but the answer will be kept here.
    Miss(Box<Slot>),
    /// An answer.
    Hit(Box<Hit>),
}

impl Look {
    /// Its name in records and in `x-serin-cache`.
    pub(crate) fn name(&self) -> Option<&'static str> {
        match self {
            Self::Off => None,
            Self::Bypass => Some("bypass"),
            Self::Miss(_) => Some("miss"),
            Self::Hit(_) => Some("hit"),
        }
    }
}

/// An answer that is served again.
#[derive(Debug)]
pub struct Hit {
    /// The answer.
    pub(super) replay: Replay,
    /// The `provider/model` that gave it.
    pub(crate) target: String,
    /// How old it is, in whole seconds.
    pub(super) age: u64,
    /// The pause between its events.
    pub(super) pace: Option<Duration>,
    /// What it is charged with.
    pub(super) charge: Option<Tokens>,
}

impl Hit {
    /// Whether limits have a say in it.
    pub(crate) fn is_charged(&self) -> bool {
        self.charge.is_some()
    }
}

/// The place of an answer that is to be kept.
#[derive(Debug)]
pub struct Slot {
    name: String,
    route: String,
    consumer: String,
    target: String,
    endpoint: Endpoint,
    keep: Duration,
    /// The longest body that is kept, in bytes.
    pub(super) most: usize,
    /// The answer may be shorter than the request asked for.
    pub(crate) is_capped: bool,
    pilot: Option<Pilot>,
    recent: Rc<Recent>,
}

/// The response cache of one gateway, as its configuration says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponseCache<'a> {
    pub(crate) config: &'a Config,
    pub(crate) recent: &'a Rc<Recent>,
    pub(crate) flights: &'a Flights,
}

/// Looks for an answer that was given before. `guards` stands for whatever watches this request and its
/// answer: what was watched otherwise is not found.
pub(crate) async fn look<P: Platform>(
    shared: ResponseCache<'_>,
    platform: &P,
    caller: &Caller<'_>,
    headers: &HeaderMap,
    (ask, plan): (&Ask, &Plan<'_>),
    guards: &[u8],
) -> Look {
    let cache = shared.config.cache.as_ref();
    let cache = cache.filter(|cache| covers(cache.routes.as_deref(), plan.route_index()));
    let Some(cache) = cache else { return Look::Off };
    let wish = Wish::of(headers);
    let canonical = if wish.off { None } else { Canonical::of(ask.body()) };
    let is_hot = |temperature: f64| temperature * 1_000.0 > f64::from(cache.max_temperature);
    let canonical =
        canonical.filter(|request| wish.forced || !request.temperature.is_some_and(is_hot));
    let Some(canonical) = canonical else { return Look::Bypass };
    let target = plan.targets()[0].label();
    let subject = Subject {
        scope: Scope::of(cache.scope, caller.id(), caller.group()),
        route: &plan.route().id,
        endpoint: ask.endpoint(),
        target: &target,
        guards,
    };
    let name = Key::of(&subject, &canonical).name(&subject);
    let mut pilot = None;
    if !wish.fresh {
        let reader = Reader { platform, cache, wish, ask };
        let now = platform.now();
        // Whoever wants a stream wants its first token now.
        if !ask.request().stream {
            match shared.flights.board(&name, now) {
                Seat::First(first) => pilot = Some(first),
                Seat::Next(flight) => {
                    let until = now + plan.route().timeouts.total / 2;
                    let shared = flight.wait(platform, until).await;
                    if let Some(hit) = shared.and_then(|bytes| reader.read(&bytes)) {
                        return Look::Hit(Box::new(hit));
                    }
                }
            }
        }
        if let Ok(Some(bytes)) = shared.recent.read(platform, &name).await
            && let Some(hit) = reader.read(&bytes)
        {
            if let Some(pilot) = pilot {
                pilot.land(bytes);
            }
            return Look::Hit(Box::new(hit));
        }
    }
    Look::Miss(Box::new(Slot {
        name,
        route: plan.route().id.clone(),
        consumer: caller.id().to_owned(),
        endpoint: ask.endpoint(),
        keep: keep(cache, platform.entropy()),
        most: cache.max_entry.min(LONGEST_BODY),
        is_capped: false,
        target,
        pilot,
        recent: Rc::clone(shared.recent),
    }))
}

/// Whether a route is among those of a section.
pub(super) fn covers(routes: Option<&[RouteIndex]>, route: RouteIndex) -> bool {
    routes.is_none_or(|routes| routes.contains(&route))
}

/// How long an answer is kept: shorter by chance, so that not all end at once.
fn keep(cache: &Cache, entropy: u64) -> Duration {
    let share = u64::from(cache.jitter) * (entropy % 1_001) / 1_000;
    let ttl = u64::try_from(cache.ttl.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(ttl - ttl / 1_000 * share.min(1_000))
}

/// Makes an answer of what was kept.
struct Reader<'a, P> {
    platform: &'a P,
    cache: &'a Cache,
    wish: Wish,
    ask: &'a Ask,
}

impl<P: Clock> Reader<'_, P> {
    /// `None`: it is broken, too old, or cannot be told in the way that is asked for.
    fn read(&self, bytes: &Bytes) -> Option<Hit> {
        let entry = Kept::read(bytes)?;
        let now = self.platform.now();
        let age = now.since(entry.head.at);
        // The time to live may have been made shorter since.
        if now >= entry.head.until || age >= self.cache.ttl {
            return None;
        }
        if self.wish.max_age.is_some_and(|most| age > Duration::from_secs(most)) {
            return None;
        }
        let request = self.ask.request();
        let replay = Replay::of(
            &entry,
            Retelling {
                endpoint: self.ask.endpoint(),
                stream: request.stream,
                usage: request.wants_usage,
                id: &format!("{:016x}{:016x}", self.platform.entropy(), self.platform.entropy()),
                piecewise: self.cache.pace.is_some(),
            },
        )?;
        let Head { target, spent, .. } = entry.head;
        let charge = self.cache.charge.then(|| Tokens::from(spent));
        Some(Hit { replay, target, age: age.as_secs(), pace: self.cache.pace, charge })
    }
}

impl Slot {
    /// Keeps an answer that was shown whole, if it is worth it.
    pub(super) async fn store<P: Platform>(
        self,
        platform: &P,
        (stream, body): (bool, Bytes),
        target: Option<&str>,
        tokens: Tokens,
    ) {
        // A fallback's answer is not what is asked for: the next caller may have the chosen one's.
        let is_whole = || is_complete(self.endpoint, stream, &body, self.is_capped);
        if target != Some(self.target.as_str()) || !is_whole() {
            return;
        }
        let now: Timestamp = platform.now();
        let names = (self.route, self.consumer, self.target);
        let head = Head::new((now, now + self.keep), names, stream, Spent::from(tokens));
        let bytes = Bytes::from(Kept::new(head, body).to_bytes());
        self.recent.note(self.name.clone(), Some(bytes.clone()), now);
        if let Some(pilot) = self.pilot {
            pilot.land(bytes.clone());
        }
        // A cache that is away is no cache; nobody has to be told.
        let _ = platform.put(&self.name, bytes.to_vec(), Some(self.keep.max(SHORTEST))).await;
    }
}
