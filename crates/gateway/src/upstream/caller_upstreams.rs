//! State of the upstreams as one caller meets it.

use std::ops::Deref;
use std::rc::Rc;

use civil_time::Timestamp;
use config::{ProviderIndex, Route};

use super::call_permit::CallPermit;
use super::caller_tag::CallerTag;
use super::state::Upstreams;
use crate::record::SkipReason;
use crate::routing::balance::TargetLoad;
use crate::routing::matched_route::TargetHealth;

/// Shared state, in which the circuit breakers and the retries that are left depend on the caller.
#[derive(Clone, Debug)]
pub(crate) struct CallerUpstreams {
    shared: Rc<Upstreams>,
    caller: CallerTag,
}

impl CallerUpstreams {
    /// The state for a consumer; for anonymous callers if there is none.
    pub(crate) fn new(shared: &Rc<Upstreams>, consumer: Option<&str>) -> Self {
        Self { shared: Rc::clone(shared), caller: CallerTag::new(consumer) }
    }

    /// Acquires a permit to call a target for a route. The error holds the time of the next
    /// possible call.
    pub(crate) fn acquire(
        &self,
        target: (ProviderIndex, &str),
        route: &Route,
        is_stream: bool,
        now: Timestamp,
    ) -> Result<CallPermit, Timestamp> {
        self.shared.acquire(target, self.caller, route, is_stream, now)
    }

    /// Reason for which a target may not be called now. `None` if it may.
    pub(crate) fn skip_reason(
        &self,
        target: (ProviderIndex, &str),
        now: Timestamp,
    ) -> Option<SkipReason> {
        self.shared.skip_reason(target, self.caller, now)
    }

    /// Spends a retry at a provider; `false` if none is left.
    pub(crate) fn spend_retry(&self, provider: ProviderIndex, now: Timestamp) -> bool {
        self.shared.spend_retry(provider, self.caller, now)
    }
}

impl TargetHealth for CallerUpstreams {
    fn is_available(&self, provider: ProviderIndex, model: &str, now: Timestamp) -> bool {
        self.skip_reason((provider, model), now).is_none()
    }

    fn is_open_or_half_open(&self, provider: ProviderIndex, model: &str) -> bool {
        self.shared.is_open_or_half_open((provider, model), self.caller)
    }

    fn warm_since(
        &self,
        provider: ProviderIndex,
        model: &str,
        now: Timestamp,
    ) -> Option<Timestamp> {
        self.shared.warm_since((provider, model), self.caller, now)
    }

    fn load(&self, provider: ProviderIndex, model: &str) -> TargetLoad {
        self.shared.load(provider, model)
    }
}

/// All other state is the same for every caller.
impl Deref for CallerUpstreams {
    type Target = Upstreams;

    fn deref(&self) -> &Upstreams {
        &self.shared
    }
}
