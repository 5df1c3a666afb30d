//! Permit for one call to a target, and the signals of the call.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use civil_time::Timestamp;
use config::{Health, ProviderIndex};
use openai::{TokenSource, Tokens};

use crate::routing::balance::TargetLoad;
use crate::upstream::additions::KnownTargets;
use crate::upstream::caller_tag::CallerTag;
use crate::upstream::circuit_breaker::{Permit, Signal};
use crate::upstream::health::HealthTable;

/// Permit for one call, which receives the call's signals. Dropping it without a signal, because
/// the caller hung up or a key was refused, releases a half-open probe.
pub(crate) struct CallPermit {
    pub(super) health_table: Rc<RefCell<HealthTable>>,
    pub(super) known_targets: Rc<RefCell<Vec<KnownTargets>>>,
    pub(super) provider: ProviderIndex,
    pub(super) model: Box<str>,
    pub(super) health: Health,
    pub(super) permit: Permit,
    pub(super) caller: CallerTag,
    pub(super) began: Timestamp,
    /// The latency that is still to be measured.
    pub(super) latency_timer: Cell<LatencyTimer>,
    /// Whether the route hedges by the target's latency.
    pub(super) records_latency: bool,
}

/// State of a call's latency measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LatencyTimer {
    /// Latency is not measured.
    Off,
    Running,
    /// The latency was recorded.
    Stopped,
}

impl CallPermit {
    /// Records a signal of the call.
    pub(crate) fn record(&self, signal: Signal, now: Timestamp, entropy: u64) {
        let target = (self.provider, &*self.model);
        let stream = match signal {
            Signal::FirstContent => Some(true),
            Signal::Success => Some(false),
            Signal::Failure | Signal::Unreachable | Signal::Throttled(_) | Signal::Neutral => None,
        };
        if let Some(stream) = stream.filter(|_| self.latency_timer.get() == LatencyTimer::Running) {
            self.latency_timer.set(LatencyTimer::Stopped);
            let took = now.since(self.began);
            let read = |load: &mut TargetLoad| load.record_latency(stream, took, now);
            self.health_table.borrow_mut().update_load(self.provider, &self.model, read);
        }
        self.health_table.borrow_mut().record(
            target,
            self.caller,
            (self.permit, signal),
            now,
            entropy,
            &self.health,
        );
    }

    /// Records the tokens of the target's answer: one that reports thinking thinks again.
    pub(crate) fn record_tokens(&self, tokens: Tokens) {
        if tokens.counted == TokenSource::Reported && tokens.reasoning > 0 {
            let mut known = self.known_targets.borrow_mut();
            known[self.provider.position()].record_thinking(&self.model);
        }
    }

    /// Records the latency of the target, or the time after which waiting for it ended, if the
    /// route needs it.
    pub(crate) fn record_latency(&self, stream: bool, now: Timestamp) {
        if self.records_latency {
            let target = (self.provider, &*self.model);
            self.health_table.borrow_mut().record_latency(
                target,
                stream,
                now.since(self.began),
                now,
            );
        }
    }

    /// Whether the target's circuit breaker is open or half open for the caller.
    pub(crate) fn is_open_or_half_open(&self) -> bool {
        let target = (self.provider, &*self.model);
        self.health_table.borrow().is_open_or_half_open(target, self.caller)
    }
}

impl Drop for CallPermit {
    fn drop(&mut self) {
        // A neutral signal uses neither time nor entropy.
        self.record(Signal::Neutral, Timestamp::default(), 0);
        if self.latency_timer.get() != LatencyTimer::Off {
            self.health_table.borrow_mut().update_load(
                self.provider,
                &self.model,
                TargetLoad::call_finished,
            );
        }
    }
}

impl fmt::Debug for CallPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallPermit")
            .field("model", &self.model)
            .field("permit", &self.permit)
            .finish()
    }
}
