//! State of the upstreams as one caller meets it.

use std::ops::Deref;
use std::rc::Rc;

use civil_time::Timestamp;
use config::{ProviderIndex, Route};

use super::call_permit::CallPermit;
use super::caller_tag::CallerTag;
use super::last_resort::Access;
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

    /// Acquires a permit to call a target for a route; during a cool-down only as a last resort. The error holds the time of the next
    /// possible call.
    pub(crate) fn acquire(
        &self,
        target: (ProviderIndex, &str),
        route: &Route,
        is_stream: bool,
        access: Access,
        now: Timestamp,
    ) -> Result<CallPermit, Timestamp> {
        let last_resorts =
            || (access == Access::LastResort).then(|| self.shared.last_resorts.borrow_mut());
        if let Some(mut last_resorts) = last_resorts() {
            last_resorts.check_due(target, now)?;
        }
        let permit = self.shared.acquire(target, (self.caller, access), route, is_stream, now)?;
        if let Some(mut last_resorts) = last_resorts() {
            last_resorts.called(target, now);
        }
        Ok(permit)
    }

    /// The key whose cool-down ends first; `None` if none is needed.
    pub(crate) fn first_key_to_return(
        &self,
        (provider, model): (ProviderIndex, &str),
    ) -> Option<usize> {
        self.shared.key_pools.borrow()[provider.position()].first_to_return(model)
    }

    /// Records that a target, or the last key of its provider, may have begun to cool down.
    pub(crate) fn check_cool_down(&self, target: (ProviderIndex, &str), now: Timestamp) {
        if self.skip_reason(target, now).is_some() {
            self.shared.last_resorts.borrow_mut().begin(target, now);
        }
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
