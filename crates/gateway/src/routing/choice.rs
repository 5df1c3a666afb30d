//! The choice among the weighted targets of a route.

use civil_time::Timestamp;
use config::{Balance, Config, Route, Target};
use rollout::Side;

use crate::request::parse::ParsedRequest;
use crate::routing::balance;
use crate::routing::matched_route::{MatchedRoute, TargetHealth};
use crate::routing::weighted;

/// Smallest share of its requests that a returning target gets, as a divisor.
const MIN_WARM_UP_SHARE_DIVISOR: u64 = 10;

/// Input of the choice.
pub(super) struct Choice<'c, 'r, H> {
    pub config: &'c Config,
    pub matched: MatchedRoute<'c>,
    pub request: &'r ParsedRequest,
    pub health: &'r H,
    pub now: Timestamp,
}

impl<'c, H: TargetHealth> Choice<'c, '_, H> {
    /// The model's name at a target.
    fn model<'t>(&'t self, target: &'t Target) -> &'t str {
        target_model(target, &self.request.fields().model)
    }

    /// Whether a target can take the request.
    fn offers(&self, target: &Target) -> bool {
        let endpoint = self.request.endpoint();
        let provider = self.config.provider(target.provider);
        let protocol = provider.protocol_for(endpoint, self.request.protocol());
        let at_target = (provider, self.model(target));
        self.matched.admits(target.provider)
            && provider.paths.path(endpoint, protocol).is_some()
            && self.request.check_translatable(at_target, protocol, self.matched.route).is_ok()
    }

    /// Whether a target may be called, apart from its warm-up.
    fn is_available(&self, target: &Target) -> bool {
        self.health.is_available(target.provider, self.model(target), self.now)
    }

    /// The part of its share that a target gets. `None` if it gets all.
    fn admitted_share(&self, target: &Target) -> Option<u64> {
        let since = self.health.warm_since(target.provider, self.model(target), self.now);
        admitted_share(self.matched.route, since, self.now)
    }

    /// Chooses among the weighted targets of a route by its balance mode, first among the available
    /// ones. A target that cannot take the request is no choice. `entropy` selects among weights.
    pub(super) fn choose(&self, entropy: u64) -> Option<&'c Target> {
        let offers = |target: &Target| self.offers(target);
        let is_available = |target: &Target| {
            let share = self.admitted_share(target);
            self.is_available(target) && share.is_none_or(|share| warm_up_position(entropy) < share)
        };
        let may = |target: &Target| offers(target) && is_available(target);
        let route = self.matched.route;
        let all = &route.targets;
        let better = match route.balance {
            Balance::Weight => None,
            Balance::Latency => balance::better_of_two(all, entropy, may, |target, _| {
                let load = self.health.load(target.provider, self.model(target));
                load.latency(self.request.fields().stream, self.now)
            }),
            // Calls in flight per weight, in thousandths.
            Balance::LeastBusy => balance::better_of_two(all, entropy, may, |target, weight| {
                let busy = self.health.load(target.provider, self.model(target)).in_flight();
                u64::from(busy) * 1_000 / u64::from(weight.max(1))
            }),
            // A target without a known price counts as the most expensive one.
            Balance::Cost => balance::choose_min(all, entropy, may, |target| {
                let price = self.config.prices.lookup(target.provider, self.model(target));
                price
                    .map(|price| price.at(0))
                    .map_or(u64::MAX, |price| price.input.saturating_add(price.output))
            }),
        };
        // If no target is available, the weights decide.
        let canary = self.matched.canary.map(|canary| canary.percent);
        better.or_else(|| weighted::choose_weighted(all, canary, entropy, offers, is_available))
    }

    /// Side of the chosen target. `None` without a rollout, or if not every target could have been chosen:
    /// then the shares are not those of the rollout.
    pub(super) fn side_of(&self, chosen: &Target) -> Option<Side> {
        let percent = self.matched.canary.filter(|canary| canary.version > 0)?.percent;
        let may = |target: &Target| {
            self.offers(target)
                && self.is_available(target)
                && self.admitted_share(target).is_none()
        };
        let (canary, others) = self.matched.route.targets.all().split_last()?;
        let is_compared = (1..100).contains(&percent)
            && may(&canary.target)
            && others.iter().all(|other| other.weight == 0 || may(&other.target));
        let is_canary = std::ptr::eq(chosen, &canary.target);
        is_compared.then_some(if is_canary { Side::Canary } else { Side::Control })
    }
}

/// The model's name at a target.
pub(super) fn target_model<'t>(target: &'t Target, requested: &'t str) -> &'t str {
    target.model.as_deref().unwrap_or(requested)
}

/// The part of its share that a target gets which is back or new since `since`, of 2⁶⁴. `None` if it gets all.
fn admitted_share(route: &Route, since: Option<Timestamp>, now: Timestamp) -> Option<u64> {
    let window = u64::try_from(route.warm_up?.as_millis()).unwrap_or(u64::MAX).max(1);
    let age = u64::try_from(now.since(since?).as_millis()).unwrap_or(u64::MAX);
    if age >= window {
        return None;
    }
    let share = u128::from(u64::MAX) * u128::from(age) / u128::from(window);
    let share = u64::try_from(share).unwrap_or(u64::MAX);
    Some(share.max(u64::MAX / MIN_WARM_UP_SHARE_DIVISOR))
}

/// Position of a request within the warm-up of any target, spread over the requests of each target. The
/// same for a sticky name, so that the same callers return first.
fn warm_up_position(entropy: u64) -> u64 {
    // The multiplier of Fibonacci hashing: neighboring requests get distant positions.
    entropy.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use civil_time::Timestamp;
    use config::Config;

    use super::{admitted_share, warm_up_position};

    #[test]
    fn returning_target_gets_a_tenth_and_then_its_whole_share() {
        let document = r#"{"auth":{"required":false},"providers":[{"id":"ollama"}],
            "routes":[{"id":"r","models":["m"],"warm_up":"60s","targets":[{"provider":"ollama"}]}]}"#;
        let config = Config::from_json(document, &|_| None).expect("the document is right");
        let (route, since) = (&config.routes[0], Timestamp::from_millis(1_000_000));
        let admitted = |seconds| {
            let share = admitted_share(route, Some(since), since + Duration::from_secs(seconds))?;
            let step = u64::MAX / 10_000;
            let count = (0..10_000).filter(|n| warm_up_position(n * step) < share).count();
            Some(count / 100)
        };
        assert_eq!([0, 3, 6, 30, 45].map(admitted), [10, 10, 10, 50, 75].map(Some));
        assert_eq!((admitted(60), admitted_share(route, None, since)), (None, None));
    }
}
