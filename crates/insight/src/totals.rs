//! Totals of judged conversations.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use super::interval::Estimate;
use super::labels::{Intent, Labels, Problem, Resolved, Sentiment};
use super::sampling::Sample;
use super::topics::OTHER_TOPIC;

/// Judged conversations below which a topic is not listed: fewer could point at a person.
pub const MIN_CONVERSATIONS: u64 = 10;

/// Key of totals.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Group {
    /// Id of the route.
    pub route: String,
    /// `provider/model`.
    pub target: String,
    /// Topic of the conversations.
    pub topic: String,
    /// Kind of the requests.
    pub intent: Intent,
}

/// Totals of a group. Weights are integers, in thousandths of a request, so that a sum does not depend on
/// the order of its parts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Judged conversations.
    judged: u64,
    /// Requests that they stand for.
    weight: u64,
    /// Sum of the squares of the weights, for their uncertainty.
    squares: u64,
    /// Sum of weight × grade.
    quality: u64,
    /// Weight of each [`Resolved`], in order.
    resolved: [u64; Resolved::ALL.len()],
    /// Weight of each [`Sentiment`], in order.
    sentiment: [u64; Sentiment::ALL.len()],
    /// Weight of each [`Problem`], in order.
    problems: [u64; Problem::ALL.len()],
}

impl Totals {
    /// Totals of one judged conversation.
    pub fn of(labels: &Labels, sample: Sample) -> Self {
        let weight = sample.weight_milli;
        let mut totals = Self {
            judged: 1,
            weight,
            // In thousandths too: 10⁸ conversations of the largest weight (10⁷) fit into 64 bits.
            squares: u64::try_from(u128::from(weight) * u128::from(weight) / 1_000)
                .unwrap_or(u64::MAX),
            quality: weight.saturating_mul(u64::from(labels.quality.grade())),
            ..Self::default()
        };
        totals.resolved[labels.resolved as usize] = weight;
        totals.sentiment[labels.sentiment as usize] = weight;
        for problem in labels.problems.iter() {
            totals.problems[problem as usize] = weight;
        }
        totals
    }

    /// Judged conversations.
    pub fn judged(&self) -> u64 {
        self.judged
    }

    /// Estimated number of requests.
    pub fn requests(&self) -> f64 {
        self.weight as f64 / 1_000.0
    }

    /// Estimated mean grade. `None` without conversations.
    pub fn quality(&self) -> Option<f64> {
        (self.weight > 0).then(|| self.quality as f64 / self.weight as f64)
    }

    /// Estimated share of a value.
    pub fn resolved(&self, value: Resolved) -> Option<Estimate> {
        self.estimate(self.resolved[value as usize])
    }

    /// Estimated share of a mood.
    pub fn sentiment(&self, value: Sentiment) -> Option<Estimate> {
        self.estimate(self.sentiment[value as usize])
    }

    /// Estimated share of requests whose answer has a fault.
    pub fn problem(&self, value: Problem) -> Option<Estimate> {
        self.estimate(self.problems[value as usize])
    }

    /// Estimated share of these requests in all of `whole`.
    pub fn share_of(&self, whole: &Self) -> Option<Estimate> {
        Estimate::new(self.weight, whole.weight, whole.effective())
    }

    fn estimate(&self, part: u64) -> Option<Estimate> {
        Estimate::new(part, self.weight, self.effective())
    }

    /// Number of equally weighted conversations that tell as much.
    fn effective(&self) -> f64 {
        if self.squares == 0 {
            return 0.0;
        }
        let weight = self.weight as f64;
        weight * weight / (self.squares as f64 * 1_000.0)
    }
}

impl AddAssign<&Totals> for Totals {
    fn add_assign(&mut self, other: &Self) {
        let pairs = [
            (&mut self.judged, other.judged),
            (&mut self.weight, other.weight),
            (&mut self.squares, other.squares),
            (&mut self.quality, other.quality),
        ];
        let lists = (self.resolved.iter_mut().zip(other.resolved))
            .chain(self.sentiment.iter_mut().zip(other.sentiment))
            .chain(self.problems.iter_mut().zip(other.problems));
        for (sum, part) in pairs.into_iter().chain(lists) {
            *sum = sum.saturating_add(part);
        }
    }
}

/// Groups that may be shown. Topics with fewer than [`MIN_CONVERSATIONS`] over all groups of their route
/// are merged into [`OTHER_TOPIC`]; if that has too few as well, it is left out.
pub fn listed(groups: &BTreeMap<Group, Totals>) -> BTreeMap<Group, Totals> {
    let merged = |is_small: &dyn Fn(&str, &str) -> bool, groups: &BTreeMap<Group, Totals>| {
        let mut result: BTreeMap<Group, Totals> = BTreeMap::new();
        for (group, totals) in groups {
            let mut group = group.clone();
            if is_small(&group.route, &group.topic) {
                group.topic = OTHER_TOPIC.to_owned();
            }
            *result.entry(group).or_default() += totals;
        }
        result
    };
    let counts = judged_by_topic(groups);
    let is_small = |counts: &BTreeMap<(String, String), u64>, route: &str, topic: &str| {
        let count = counts.get(&(route.to_owned(), topic.to_owned()));
        count.is_none_or(|count| *count < MIN_CONVERSATIONS)
    };
    let mut shown = merged(&|route, topic| is_small(&counts, route, topic), groups);
    let counts = judged_by_topic(&shown);
    shown.retain(|group, _| !is_small(&counts, &group.route, &group.topic));
    shown
}

fn judged_by_topic(groups: &BTreeMap<Group, Totals>) -> BTreeMap<(String, String), u64> {
    let mut counts = BTreeMap::new();
    for (group, totals) in groups {
        let count: &mut u64 = counts.entry((group.route.clone(), group.topic.clone())).or_default();
        *count = count.saturating_add(totals.judged);
    }
    counts
}
