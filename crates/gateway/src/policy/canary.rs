//! Which target a request goes to, by weight: exact over the entropy, stable for who is sticky.

use sha2::{Digest, Sha256};

use crate::config::{Target, Targets};

/// Chooses one of the targets that `offers`. Of all 2⁶⁴ values of `entropy`, each gets its share to
/// within one. `None`: none of them has a share.
///
/// The shares lie side by side in the document's order, so that a growing canary takes callers from
/// its neighbour and sends none of its own back.
pub fn choose(
    targets: &Targets,
    entropy: u64,
    offers: impl Fn(&Target) -> bool,
) -> Option<&Target> {
    let candidates = || targets.all().iter().filter(|candidate| offers(&candidate.target));
    let total: u128 = candidates().map(|candidate| u128::from(candidate.weight)).sum();
    let mut at = (u128::from(entropy) * total) >> 64;
    for candidate in candidates() {
        let weight = u128::from(candidate.weight);
        if at < weight {
            return Some(&candidate.target);
        }
        at -= weight;
    }
    None
}

/// The entropy of somebody who is to stay where they are: the same for the same route and name.
pub fn sticky(route: &str, name: &str) -> u64 {
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
    use proptest::prelude::{any, proptest};

    use super::{choose, sticky};
    use crate::config::Config;

    /// A configuration whose only route has one target for each weight; its model is the position.
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
        let target =
            choose(&config.routes[0].targets, entropy, |_| true).expect("there is a share");
        target.model.as_deref().and_then(|model| model.parse().ok()).expect("models are positions")
    }

    /// The smallest entropy that leads to a position at or behind this one; 2⁶⁴ if none does.
    fn border(config: &Config, at: usize) -> u128 {
        let (mut low, mut high) = (0u128, 1u128 << 64);
        while low < high {
            let middle = (low + high) / 2;
            let entropy = u64::try_from(middle).expect("it is below 2⁶⁴");
            if position(config, entropy) < at { low = middle + 1 } else { high = middle }
        }
        low
    }

    proptest! {
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

        #[test]
        fn a_growing_canary_sends_nobody_back(name in any::<String>(), old in 0u32..100, more in 0u32..100) {
            let new = (old + more).min(100);
            let was_canary = position(&config(&[100 - old, old]), sticky("r", &name)) == 1;
            let is_canary = position(&config(&[100 - new, new]), sticky("r", &name)) == 1;
            assert!(is_canary || !was_canary);
        }
    }

    #[test]
    fn sticky_callers_spread_and_stay() {
        let config = config(&[90, 10]);
        let canary = |name: &usize| position(&config, sticky("r", &name.to_string())) == 1;
        let share = (0..10_000).filter(canary).count();
        assert!((900..1_100).contains(&share), "{share} of 10,000");
        assert_ne!(sticky("r", "alice"), sticky("s", "alice"), "routes are independent");
        assert_eq!(sticky("r", "alice"), sticky("r", "alice"));
    }

    #[test]
    fn only_who_offers_it_is_chosen() {
        let config = config(&[50, 50, 0]);
        let targets = &config.routes[0].targets;
        let is = |model: &'static str| {
            move |target: &crate::config::Target| target.model.as_deref() == Some(model)
        };
        for entropy in [0, u64::MAX] {
            let chosen = choose(targets, entropy, is("1")).expect("it has a share");
            assert_eq!(chosen.model.as_deref(), Some("1"));
            assert!(choose(targets, entropy, is("2")).is_none(), "a weight of zero is no share");
        }
    }
}
