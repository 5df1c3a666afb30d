//! Weighted choice of a target: exact over the entropy, and stable for sticky callers.

use config::{Target, Targets, WeightedTarget};
use sha2::{Digest, Sha256};

/// Chooses a target that `offers` the endpoint. Over all 2⁶⁴ values of `entropy`, each target gets
/// its share to within one. `None` if no target has a weight.
///
/// The share of a target that is not available is divided among the available ones, by weight.
/// Callers of other targets do not move, and its own callers return with it. If no target is
/// available, all count as available.
pub(crate) fn choose_weighted(
    targets: &Targets,
    canary_share: Option<u8>,
    entropy: u64,
    offers: impl Fn(&Target) -> bool,
    is_available: impl Fn(&Target) -> bool,
) -> Option<&Target> {
    let draw = |entropy, may: &dyn Fn(&Target) -> bool| match canary_share {
        Some(percent) => draw_with_canary(targets, percent, entropy, may),
        None => draw_weighted(targets, entropy, may),
    };
    let (chosen, position_in_share) = draw(entropy, &offers)?;
    let chosen = &chosen.target;
    if is_available(chosen) {
        return Some(chosen);
    }
    let replacement =
        draw(position_in_share, &|target: &Target| offers(target) && is_available(target));
    Some(replacement.map_or(chosen, |(replacement, _)| &replacement.target))
}

/// The share of each target of all requests, as a fraction of one. A rollout may set that of the last
/// one, in percent.
pub(crate) fn shares(
    targets: &Targets,
    canary_share: Option<u8>,
) -> impl Iterator<Item = (&WeightedTarget, f64)> {
    let last = targets.all().len() - 1;
    let weighted = if canary_share.is_some() { last } else { last + 1 };
    let weights = targets.all()[..weighted].iter().map(|target| f64::from(target.weight));
    let total = weights.sum::<f64>().max(1.0);
    let canary = canary_share.map(|percent| f64::from(percent) / 100.0);
    targets.all().iter().enumerate().map(move |(index, target)| {
        let share = f64::from(target.weight) / total;
        let share = match canary {
            Some(canary) if index == last => canary,
            Some(canary) => share * (1.0 - canary),
            None => share,
        };
        (target, share)
    })
}

/// Draws a target while a rollout sets the share of the last one, in percent. The others share the rest
/// by their weights.
fn draw_with_canary<'t>(
    targets: &'t Targets,
    percent: u8,
    entropy: u64,
    may: &dyn Fn(&Target) -> bool,
) -> Option<(&'t WeightedTarget, u64)> {
    let (canary, others) = targets.all().split_last()?;
    let others: u128 = others
        .iter()
        .filter(|other| may(&other.target))
        .map(|other| u128::from(other.weight))
        .sum();
    let weight = |candidate: &WeightedTarget| match std::ptr::eq(candidate, canary) {
        // If no other target may be taken, the canary takes everything.
        true => u128::from(percent) * others.max(1),
        false => u128::from(100_u8.saturating_sub(percent)) * u128::from(candidate.weight),
    };
    draw_by(targets, weight, entropy, may)
}

/// Draws a target that `may` be taken. Also returns the position within its share, as entropy for
/// another draw.
///
/// Shares are contiguous in the document's order, so a growing canary takes callers from its
/// neighbor and returns none of its own.
pub(crate) fn draw_weighted(
    targets: &Targets,
    entropy: u64,
    may: impl Fn(&Target) -> bool,
) -> Option<(&WeightedTarget, u64)> {
    draw_by(targets, |candidate| u128::from(candidate.weight), entropy, &may)
}

/// The same by other weights, each below 2⁶⁴ together with all others.
fn draw_by<'t>(
    targets: &'t Targets,
    weight: impl Fn(&WeightedTarget) -> u128,
    entropy: u64,
    may: &dyn Fn(&Target) -> bool,
) -> Option<(&'t WeightedTarget, u64)> {
    let candidates = || targets.all().iter().filter(|candidate| may(&candidate.target));
    let total: u128 = candidates().map(&weight).sum();
    let mut at = u128::from(entropy) * total;
    for candidate in candidates() {
        let weight = weight(candidate);
        if at < weight << 64 {
            return Some((candidate, u64::try_from(at / weight).unwrap_or(u64::MAX)));
        }
        at -= weight << 64;
    }
    None
}

/// The entropy of a sticky caller: a hash of route and name.
pub(crate) fn sticky_entropy(route: &str, name: &str) -> u64 {
    let mut hash = Sha256::new();
    hash.update(route.as_bytes());
    hash.update([0]);
    hash.update(name.as_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    u64::from_be_bytes([
        digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7],
    ])
}

#[cfg(test)]
mod tests {
    use config::{Config, Target};
    use proptest::prelude::{any, proptest};
    use proptest::sample::Index;

    use super::{choose_weighted, sticky_entropy};

    /// A configuration with one route and one target for each weight; the model is the position.
    fn config(weights: &[u32]) -> Config {
        let targets: Vec<String> = weights
            .iter()
            .enumerate()
            .map(|(at, weight)| {
                format!(r#"{{"provider":"ollama","model":"{at}","weight":{weight}}}"#)
            })
            .collect();
        let document = format!(
            r#"{{"auth":{{"required":false}},"providers":[{{"id":"ollama"}}],
               "routes":[{{"id":"r","models":["m"],"targets":[{}]}}]}}"#,
            targets.join(",")
        );
        Config::from_json(&document, &|_| None).expect("the document is right")
    }

    fn position(config: &Config, entropy: u64) -> usize {
        position_if_available(config, entropy, |_| true)
    }

    fn position_if_available(
        config: &Config,
        entropy: u64,
        is_available: impl Fn(usize) -> bool,
    ) -> usize {
        let is_available = |target: &Target| is_available(target_position(target));
        let chosen =
            choose_weighted(&config.routes[0].targets, None, entropy, |_| true, is_available);
        target_position(chosen.expect("there is a share"))
    }

    fn target_position(target: &Target) -> usize {
        target.model.as_deref().and_then(|model| model.parse().ok()).expect("models are positions")
    }

    /// The smallest number of the range for which the monotonic predicate holds.
    fn first(range: std::ops::Range<u128>, holds: impl Fn(u64) -> bool) -> u128 {
        let (mut low, mut high) = (range.start, range.end);
        while low < high {
            let middle = (low + high) / 2;
            let entropy = u64::try_from(middle).expect("it is below 2⁶⁴");
            if holds(entropy) { high = middle } else { low = middle + 1 }
        }
        low
    }

    /// The smallest entropy for which the monotonic predicate holds; 2⁶⁴ if none does.
    fn first_entropy(holds: impl Fn(u64) -> bool) -> u128 {
        first(0..1 << 64, holds)
    }

    /// The smallest entropy that selects this position or a later one; 2⁶⁴ if none does.
    fn border(config: &Config, at: usize) -> u128 {
        first_entropy(|entropy| position(config, entropy) >= at)
    }

    proptest! {
        /// A rollout's share is exact, and growing it only adds callers to the canary.
        #[test]
        fn canary_share_is_exact_and_grows_without_taking_callers_back(first in 1u32..1_000, rest in proptest::collection::vec(0u32..1_000, 0..4), percent in 0u8..=100, entropy in any::<u64>()) {
            // The weight of the canary itself does not count.
            let config = config(&[vec![first], rest, vec![7]].concat());
            let targets = &config.routes[0].targets;
            let canary = targets.all().len() - 1;
            let chosen = |percent, entropy| {
                let target = choose_weighted(targets, Some(percent), entropy, |_| true, |_| true);
                target_position(target.expect("there is a share"))
            };
            let share = (1 << 64) - first_entropy(|entropy| chosen(percent, entropy) >= canary);
            assert!(share.abs_diff((u128::from(percent) << 64) / 100) <= 1, "{share}");
            if chosen(percent, entropy) == canary && percent < 100 {
                assert_eq!(chosen(percent + 1, entropy), canary);
            }
            // A canary that is alone answers; without a share it does not.
            let alone = |percent| {
                let may = |target: &Target| target_position(target) == canary;
                choose_weighted(targets, Some(percent), entropy, may, |_| true).map(target_position)
            };
            assert_eq!((alone(0), alone(1)), (None, Some(canary)));
        }

        #[test]
        fn shares_are_exact_over_all_entropy(first in 1u32..1_000, rest in proptest::collection::vec(0u32..1_000, 0..5)) {
            let weights = [vec![first], rest].concat();
            let total: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
            let config = config(&weights);
            for (at, weight) in weights.iter().enumerate() {
                let share = border(&config, at + 1) - border(&config, at);
                let exact = (u128::from(*weight) << 64) / total;
                assert!(share.abs_diff(exact) <= 1, "{weights:?}[{at}]: {share} instead of {exact}");
                assert!(*weight > 0 || share == 0);
            }
        }

        /// If a target is unavailable, its share is divided among the others to within one each,
        /// and only its own callers move.
        #[test]
        fn share_of_an_unavailable_target_goes_to_the_others(weights in proptest::collection::vec(1u32..1_000, 2..6), which in any::<Index>(), entropy in any::<u64>()) {
            let unavailable = which.index(weights.len());
            let config = config(&weights);
            let now = |entropy| position_if_available(&config, entropy, |at| at != unavailable);
            let before = position(&config, entropy);
            assert_ne!(now(entropy), unavailable);
            assert!(before == unavailable || now(entropy) == before);
            let own = border(&config, unavailable)..border(&config, unavailable + 1);
            let others: u128 = weights.iter().enumerate().filter(|(at, _)| *at != unavailable).map(|(_, weight)| u128::from(*weight)).sum();
            for (at, weight) in weights.iter().enumerate().filter(|(at, _)| *at != unavailable) {
                let taken = first(own.clone(), |entropy| now(entropy) > at) - first(own.clone(), |entropy| now(entropy) >= at);
                let share = border(&config, at + 1) - border(&config, at) + taken;
                let exact = (u128::from(*weight) << 64) / others;
                assert!(share.abs_diff(exact) <= 4, "{weights:?}[{at}] without {unavailable}: {share} instead of {exact}");
            }
        }

        #[test]
        fn growing_canary_loses_no_caller(name in any::<String>(), old in 0u32..100, more in 0u32..100) {
            let new = (old + more).min(100);
            let was_canary = position(&config(&[100 - old, old]), sticky_entropy("r", &name)) == 1;
            let is_canary = position(&config(&[100 - new, new]), sticky_entropy("r", &name)) == 1;
            assert!(is_canary || !was_canary);
        }
    }

    #[test]
    fn sticky_callers_are_spread_and_stable() {
        let config = config(&[90, 10]);
        let canary = |name: &usize| position(&config, sticky_entropy("r", &name.to_string())) == 1;
        let share = (0..10_000).filter(canary).count();
        assert!((900..1_100).contains(&share), "{share} of 10,000");
        assert_ne!(
            sticky_entropy("r", "alice"),
            sticky_entropy("s", "alice"),
            "routes are independent"
        );
        assert_eq!(sticky_entropy("r", "alice"), sticky_entropy("r", "alice"));
    }

    #[test]
    fn only_targets_with_the_endpoint_are_chosen() {
        let config = config(&[50, 50, 0]);
        let targets = &config.routes[0].targets;
        let is =
            |model: &'static str| move |target: &Target| target.model.as_deref() == Some(model);
        for entropy in [0, u64::MAX] {
            let chosen =
                choose_weighted(targets, None, entropy, is("1"), |_| true).expect("it has a share");
            assert_eq!(chosen.model.as_deref(), Some("1"));
            let none = choose_weighted(targets, None, entropy, is("2"), |_| true);
            assert!(none.is_none(), "a weight of zero is no share");
            let chosen = choose_weighted(targets, None, entropy, is("1"), |_| false)
                .expect("it has a share");
            assert_eq!(
                chosen.model.as_deref(),
                Some("1"),
                "if none is available, all count as available"
            );
            let only =
                choose_weighted(targets, None, entropy, |_| true, is("1")).expect("it has a share");
            assert_eq!(only.model.as_deref(), Some("1"));
            let spare = choose_weighted(targets, None, entropy, |_| true, is("2"))
                .expect("others have a share");
            assert_ne!(spare.model.as_deref(), Some("2"), "a weight of zero is no share of a rest");
        }
    }
}
