//! Routes as parsed: models, targets, fallbacks, retries, and bounds on waiting.

use std::num::NonZeroU64;
use std::time::Duration;

use http::HeaderName;
use protocol::request::{Options, SamplingPolicy, UnknownPolicy};

use super::index::ProviderIndex;
use super::model_index::ModelPattern;
use super::rollout::RolloutRules;

/// `[[routes]]`
#[derive(Debug)]
pub struct Route {
    /// Its name in records and `x-serin-route`.
    pub id: String,
    /// The patterns as written, for `GET /v1/models` and for people.
    pub models: Vec<ModelPattern>,
    /// Targets and their weights.
    pub targets: Targets,
    /// Selection of one target.
    pub balance: Balance,
    /// Value that keeps a caller on its side of a canary.
    pub sticky: Sticky,
    /// Targets to try after the selected one, in this order.
    pub fallback: Vec<Target>,
    /// Failures after which the next target is tried.
    pub fallback_on: FallbackOn,
    /// Further attempts at one target.
    pub retries: Retries,
    /// Circuit breaker of each target.
    pub health: Health,
    /// Bounds on waiting.
    pub timeouts: Timeouts,
    /// Losses of a translation.
    pub translation: LossPolicy,
    /// Names for `GET /v1/models` besides the exact ones.
    pub listed: Vec<String>,
    /// Hedging of slow targets. `None` if off.
    pub hedge: Option<Hedge>,
    /// Whether a fallback continues an interrupted stream of plain text.
    pub continues_streams: bool,
    /// Time over which a target that returns or is new gets its share. `None`: at once.
    pub warm_up: Option<Duration>,
    /// Rollout of the last target. `None` if its share is fixed.
    pub rollout: Option<RolloutRules>,
}

impl Route {
    /// Every target that a request may reach: the weighted ones, then the fallbacks.
    pub fn reachable_targets(&self) -> impl Iterator<Item = &Target> {
        let weighted = self.targets.all().iter().map(|weighted| &weighted.target);
        weighted.chain(&self.fallback)
    }
}

/// Losses that a translation into a target's protocol may have.
#[derive(Debug, Default)]
pub struct LossPolicy {
    pub(super) lossy: Vec<String>,
    pub(super) unknown: UnknownPolicy,
    pub(super) sampling: SamplingPolicy,
}

impl LossPolicy {
    /// The options of a translation.
    pub fn options(&self) -> Options<'_> {
        let Self { lossy, unknown, sampling } = self;
        Options { lossy, unknown: *unknown, sampling: *sampling, ..Options::default() }
    }
}

/// Hedging: a fallback is called concurrently with a target that is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hedge {
    /// The greatest share of the route's requests, in thousandths.
    pub share: u32,
    /// The wait before the fallback is called. `None` for the 95th percentile of the target's latency.
    pub after: Option<Duration>,
}

/// The targets of a route and their weights, whose sum is above zero.
#[derive(Debug)]
pub struct Targets {
    pub(super) all: Vec<WeightedTarget>,
    pub(super) total: NonZeroU64,
}

impl Targets {
    /// All targets in the order of the document.
    pub fn all(&self) -> &[WeightedTarget] {
        &self.all
    }

    /// The sum of the weights.
    pub fn total(&self) -> NonZeroU64 {
        self.total
    }
}

/// A target and its share: `weight` of [`Targets::total`].
#[derive(Debug)]
pub struct WeightedTarget {
    /// Zero: never selected.
    pub weight: u32,
    /// The target itself.
    pub target: Target,
}

/// A provider, and the model's name there.
#[derive(Clone, Debug)]
pub struct Target {
    /// The provider.
    pub provider: ProviderIndex,
    /// Sent in place of the caller's model name. `None` if the name stays.
    pub model: Option<String>,
}

/// Selection of one of a route's targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// By weight alone.
    #[default]
    Weight,
    /// Of two targets drawn by weight, the one with the lower latency.
    Latency,
    /// Of two targets drawn by weight, the one with fewer calls in flight relative to its weight.
    LeastBusy,
    /// The cheapest; by weight among equals.
    Cost,
}

/// Value that keeps a caller on its side of a canary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sticky {
    /// None: each request is drawn independently.
    None,
    /// The authenticated consumer.
    Consumer,
    /// The request's `user` field.
    User,
    /// A header's value.
    Header(HeaderName),
}

/// Failures after which the next target is tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FallbackOn {
    /// No connection, or it broke before an answer was committed.
    pub connect: bool,
    /// No first byte in time.
    pub timeout: bool,
    /// Status 429.
    pub too_many_requests: bool,
    /// Status 5xx, or an answer in the wrong format.
    pub server_error: bool,
    /// The caller has reached a limit.
    pub limited: bool,
}

/// Further attempts at one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Attempts after the first.
    pub attempts: u32,
    /// The wait before the first retry; it doubles with each one, and has jitter.
    pub backoff: Duration,
    /// The longest `Retry-After` that is waited for.
    pub honour_retry_after: Duration,
    /// The greatest share of a provider's requests that are retried, in thousandths.
    pub budget: u32,
    /// The longest body that is sent more than once, in bytes. `None` for any length.
    pub max_replay_bytes: Option<usize>,
}

/// Circuit breaker of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// Consecutive failures after which the target cools down. 0: never.
    pub failures: u32,
    /// The time within which these failures must occur.
    pub window: Duration,
    /// The first cool-down; it doubles each time that a probe fails.
    pub cool_down: Duration,
}

impl Health {
    /// The longest cool-down of a target, however many probes fail.
    pub const MAX_OPEN_TIME: Duration = Duration::from_secs(30);
}

/// Bounds on waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the start of an attempt to the first content of a stream.
    pub first_byte: Duration,
    /// From the start of an attempt to the first byte of an answer that is not a stream.
    pub answer: Duration,
    /// Between two pieces of an answer.
    pub idle: Duration,
    /// For the whole request, retries and fallbacks included.
    pub total: Duration,
}

impl Timeouts {
    /// The wait for the first byte of an answer, or for the first content of a stream.
    pub fn until_first_byte(&self, is_stream: bool) -> Duration {
        if is_stream { self.first_byte } else { self.answer }
    }
}
