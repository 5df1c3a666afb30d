//! Cache lookup for a request, and storage of its answer.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use civil_time::Timestamp;
use config::{Cache, CacheScope, Config, RouteIndex};
use http::HeaderMap;
use openai::{Endpoint, Tokens};

use crate::auth::caller::Caller;
use crate::cache::{
    CacheDirectives, CacheEntry, CacheEntryHead, CacheKey, CacheKeyScope, CacheSubject,
    CanonicalRequest, MAX_ENTRY_BODY_BYTES, Replay, ReplayOptions, StoredTokens, is_complete,
};
use crate::host::recent_writes::RecentWrites;
use crate::host::{Clock, Host};
use crate::request::parse::ParsedRequest;
use crate::routing::plan::TargetPlan;

use super::single_flight::{FlightRole, Leader, SingleFlight};

/// Stores keep no value for a shorter time; the entry holds its own expiry.
pub(crate) const MIN_STORE_TTL: Duration = Duration::from_secs(60);

/// Result of a cache lookup.
#[derive(Debug)]
pub(crate) enum CacheLookup {
    /// The route has no cache.
    Disabled,
    /// The request opted out of caching, or of an answer that others share and that must stay.
    Bypass,
    /// No entry; the answer will be stored here.
    Miss(Box<FillSlot>),
    Hit(Box<CacheHit>),
}

impl CacheLookup {
    /// Value in records and in `x-serin-cache`.
    pub(crate) fn name(&self) -> Option<&'static str> {
        match self {
            Self::Disabled => None,
            Self::Bypass => Some("bypass"),
            Self::Miss(_) => Some("miss"),
            Self::Hit(_) => Some("hit"),
        }
    }
}

/// A cache entry that is served.
#[derive(Debug)]
pub(crate) struct CacheHit {
    pub(crate) replay: Replay,
    /// The `provider/model` that answered.
    pub(crate) target: String,
    /// Age in whole seconds.
    pub(crate) age: u64,
    /// Pause between events.
    pub(crate) pace: Option<Duration>,
    /// Tokens that the hit is charged with; `None` if it is free.
    pub(crate) charge: Option<Tokens>,
}

impl CacheHit {
    /// Whether limits apply to the hit.
    pub(crate) fn is_charged(&self) -> bool {
        self.charge.is_some()
    }
}

/// Cache entry to be filled with an answer.
#[derive(Debug)]
pub(crate) struct FillSlot {
    name: String,
    route: String,
    consumer: String,
    target: String,
    endpoint: Endpoint,
    ttl: Duration,
    /// The longest body that is stored, in bytes.
    pub(crate) max_bytes: usize,
    /// A limit capped the answer, so it may be shorter than the request asked for.
    pub(crate) is_capped: bool,
    leader: Option<Leader>,
    recent_writes: Rc<RecentWrites>,
}

/// Response cache of a gateway.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponseCache<'a> {
    pub(crate) config: &'a Config,
    pub(crate) recent_writes: &'a Rc<RecentWrites>,
    pub(crate) single_flight: &'a SingleFlight,
}

/// Properties of a request that the cache uses.
pub(crate) struct CacheRequest<'a> {
    pub(crate) caller: &'a Caller<'a>,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) request: &'a ParsedRequest,
    pub(crate) plan: &'a TargetPlan<'a>,
    /// Fingerprint of the request's guards: an answer that others have checked is not found.
    pub(crate) guard_fingerprint: &'a [u8],
}

/// Looks up the answer to a request.
pub(crate) async fn lookup<P: Host>(
    shared: ResponseCache<'_>,
    host: &P,
    cache_request: CacheRequest<'_>,
) -> CacheLookup {
    let CacheRequest { caller, headers, request, plan, guard_fingerprint } = cache_request;
    let cache = shared.config.cache.as_ref();
    let cache = cache.filter(|cache| includes_route(cache.routes.as_deref(), plan.route_index()));
    let Some(cache) = cache else { return CacheLookup::Disabled };
    let directives = CacheDirectives::from_headers(headers);
    let canonical =
        if directives.disabled { None } else { CanonicalRequest::parse(request.body()) };
    let is_hot = |temperature: f64| temperature * 1_000.0 > f64::from(cache.max_temperature);
    let canonical =
        canonical.filter(|body| directives.force || !body.temperature.is_some_and(is_hot));
    let Some(canonical) = canonical else { return CacheLookup::Bypass };
    let target = plan.targets()[0].label();
    let subject = CacheSubject {
        scope: CacheKeyScope::from_config(cache.scope, caller.id(), caller.group()),
        route: &plan.route().id,
        endpoint: request.endpoint(),
        target: &target,
        guards: guard_fingerprint,
        original: request.original().map(|original| (original.protocol.id(), &original.bytes[..])),
    };
    let name = CacheKey::new(&subject, &canonical).storage_key(&subject);
    let mut leader = None;
    let reader = EntryReader { host, cache, directives, request };
    // Callers that share an entry must not repeat a request until its answer suits them: a stored answer stays.
    let is_shared = match cache.scope {
        CacheScope::Consumer => false,
        CacheScope::Group => caller.group().is_some(),
        CacheScope::All => true,
    };
    let keeps = |bytes: &Bytes| is_shared && reader.is_live(bytes);
    if directives.no_cache {
        if is_shared
            && let Ok(Some(bytes)) = shared.recent_writes.get(host, &name).await
            && keeps(&bytes)
        {
            return CacheLookup::Bypass;
        }
    } else {
        let now = host.now();
        // Only requests for whole answers are coalesced: a caller of a stream needs its first token
        // at once.
        if !request.fields().stream {
            match shared.single_flight.join(&name, now) {
                FlightRole::Leader(first) => leader = Some(first),
                FlightRole::Follower(flight) => {
                    let until = now + plan.route().timeouts.total / 2;
                    let shared = flight.wait(host, until).await;
                    if let Some(hit) = shared.and_then(|bytes| reader.to_hit(&bytes)) {
                        return CacheLookup::Hit(Box::new(hit));
                    }
                }
            }
        }
        if let Ok(Some(bytes)) = shared.recent_writes.get(host, &name).await {
            if let Some(hit) = reader.to_hit(&bytes) {
                if let Some(leader) = leader {
                    leader.publish(bytes);
                }
                return CacheLookup::Hit(Box::new(hit));
            }
            if keeps(&bytes) {
                return CacheLookup::Bypass;
            }
        }
    }
    CacheLookup::Miss(Box::new(FillSlot {
        name,
        route: plan.route().id.clone(),
        consumer: caller.id().to_owned(),
        endpoint: request.endpoint(),
        ttl: jittered_ttl(cache, host.entropy()),
        max_bytes: cache.max_entry.min(MAX_ENTRY_BODY_BYTES),
        is_capped: false,
        target,
        leader,
        recent_writes: Rc::clone(shared.recent_writes),
    }))
}

/// Whether a route is in a section's list of routes.
pub(crate) fn includes_route(routes: Option<&[RouteIndex]>, route: RouteIndex) -> bool {
    routes.is_none_or(|routes| routes.contains(&route))
}

/// Time to live of an entry, randomly shortened so that entries do not expire at the same time.
fn jittered_ttl(cache: &Cache, entropy: u64) -> Duration {
    let share = u64::from(cache.jitter) * (entropy % 1_001) / 1_000;
    let ttl = u64::try_from(cache.ttl.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(ttl - ttl / 1_000 * share.min(1_000))
}

/// Creates hits from stored entries.
struct EntryReader<'a, P> {
    host: &'a P,
    cache: &'a Cache,
    directives: CacheDirectives,
    request: &'a ParsedRequest,
}

impl<P: Clock> EntryReader<'_, P> {
    /// Whether an entry has not expired, whatever the request asks for.
    fn is_live(&self, bytes: &Bytes) -> bool {
        CacheEntry::parse(bytes).is_some_and(|entry| self.is_current(&entry.head))
    }

    /// Whether an entry has not expired. The configured time to live may be shorter now than when the entry
    /// was stored.
    fn is_current(&self, head: &CacheEntryHead) -> bool {
        let now = self.host.now();
        now < head.until && now.since(head.at) < self.cache.ttl
    }

    /// `None` if the entry is corrupt, expired, or cannot be converted to the requested form.
    fn to_hit(&self, bytes: &Bytes) -> Option<CacheHit> {
        let entry = CacheEntry::parse(bytes)?;
        if !self.is_current(&entry.head) {
            return None;
        }
        let age = self.host.now().since(entry.head.at);
        if self.directives.max_age.is_some_and(|max| age > Duration::from_secs(max)) {
            return None;
        }
        let request = self.request.fields();
        let replay = Replay::from_entry(
            &entry,
            ReplayOptions {
                endpoint: self.request.endpoint(),
                stream: request.stream,
                include_usage: request.wants_usage,
                id: &format!("{:016x}{:016x}", self.host.entropy(), self.host.entropy()),
                split_text: self.cache.pace.is_some(),
            },
        )?;
        let CacheEntryHead { target, spent, .. } = entry.head;
        let charge = self.cache.charge.then(|| Tokens::from(spent));
        Some(CacheHit { replay, target, age: age.as_secs(), pace: self.cache.pace, charge })
    }
}

impl FillSlot {
    /// Stores an answer that was delivered whole, if it is complete and fits.
    pub(crate) async fn store<P: Host>(
        self,
        host: &P,
        (stream, body): (bool, Bytes),
        target: Option<&str>,
        tokens: Tokens,
    ) {
        // A fallback's answer is not stored: the next request may be answered by the selected
        // target.
        let is_whole = || is_complete(self.endpoint, stream, &body, self.is_capped);
        if target != Some(self.target.as_str()) || !is_whole() {
            return;
        }
        let now: Timestamp = host.now();
        let names = (self.route, self.consumer, self.target);
        let head =
            CacheEntryHead::new((now, now + self.ttl), names, stream, StoredTokens::from(tokens));
        let bytes = Bytes::from(CacheEntry::new(head, body).to_bytes());
        self.recent_writes.record_write(self.name.clone(), Some(bytes.clone()), now);
        if let Some(leader) = self.leader {
            leader.publish(bytes.clone());
        }
        // A failed write only loses the entry.
        let _ = host.put(&self.name, bytes.to_vec(), Some(self.ttl.max(MIN_STORE_TTL))).await;
    }
}
