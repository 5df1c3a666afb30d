//! Agreement of a judge with people: how far its labels can be believed.

use std::collections::BTreeMap;

use serde::Serialize;

use super::labels::Labels;

/// Agreement over labelled conversations, each from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Agreement {
    /// Conversations.
    pub conversations: usize,
    /// Equal topics.
    pub topic: f64,
    /// Equal kinds of request.
    pub intent: f64,
    /// Equal moods.
    pub sentiment: f64,
    /// Equal judgements whether the request is settled.
    pub resolved: f64,
    /// The latter beyond chance (Cohen's kappa): 0 is a judge that guesses.
    pub resolved_kappa: f64,
    /// Grades that differ by at most one.
    pub quality: f64,
}

/// Compares pairs of a person's and a judge's labels. `None` without pairs.
pub fn agreement(pairs: &[(Labels, Labels)]) -> Option<Agreement> {
    if pairs.is_empty() {
        return None;
    }
    let share = |is_equal: &dyn Fn(&Labels, &Labels) -> bool| {
        let equal = pairs.iter().filter(|(person, judge)| is_equal(person, judge)).count();
        equal as f64 / pairs.len() as f64
    };
    let resolved = share(&|person, judge| person.resolved == judge.resolved);
    Some(Agreement {
        conversations: pairs.len(),
        topic: share(&|person, judge| person.topic == judge.topic),
        intent: share(&|person, judge| person.intent == judge.intent),
        sentiment: share(&|person, judge| person.sentiment == judge.sentiment),
        resolved,
        resolved_kappa: kappa(resolved, chance_of_equal(pairs)),
        quality: share(&|person, judge| {
            person.quality.grade().abs_diff(judge.quality.grade()) <= 1
        }),
    })
}

/// Probability that two independent draws from both raters' values are equal.
fn chance_of_equal(pairs: &[(Labels, Labels)]) -> f64 {
    let mut counts: BTreeMap<_, (f64, f64)> = BTreeMap::new();
    for (person, judge) in pairs {
        counts.entry(person.resolved).or_default().0 += 1.0;
        counts.entry(judge.resolved).or_default().1 += 1.0;
    }
    let total = pairs.len() as f64;
    counts.values().map(|(person, judge)| person * judge / (total * total)).sum()
}

fn kappa(observed: f64, chance: f64) -> f64 {
    if chance >= 1.0 {
        // Both always answer the same one value: nothing is shown beyond chance.
        return 0.0;
    }
    (observed - chance) / (1.0 - chance)
}
