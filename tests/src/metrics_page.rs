//! Samples of `/metrics` by series. The parser relies on the page's format, which
//! `tests/observe.rs` verifies with the official parser.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::caller::call;

/// The samples of one scrape.
#[derive(Clone, Debug, Default)]
pub struct MetricsPage(BTreeMap<String, f64>);

impl MetricsPage {
    /// Requests the page with an operator's token.
    pub async fn fetch(address: SocketAddr, token: &str) -> anyhow::Result<Self> {
        let answer = call(address, "GET", "/metrics", token, &Value::Null).await?;
        ensure!(answer.status == 200, "{answer:?}");
        Self::parse(std::str::from_utf8(&answer.body)?)
    }

    /// Parses a page.
    pub fn parse(page: &str) -> anyhow::Result<Self> {
        let lines = page.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut samples = BTreeMap::new();
        for line in lines {
            let (series, number) = line.rsplit_once(' ').context("a sample has no number")?;
            let before =
                samples.insert(series.to_owned(), number.parse().context("invalid number")?);
            ensure!(before.is_none(), "duplicate series {series}");
        }
        Ok(Self(samples))
    }

    /// Sum of a metric's samples with all of these labels, in their written form: `kind="input"`.
    pub fn sum(&self, metric: &str, labels: &[&str]) -> f64 {
        let is_match = |series: &str| {
            series.split('{').next() == Some(metric) && labels.iter().all(|it| series.contains(it))
        };
        // `f64::sum` of no numbers is -0.
        self.0
            .iter()
            .filter(|(series, _)| is_match(series))
            .fold(0.0, |sum, (_, number)| sum + number)
    }

    /// Samples that have decreased or are missing.
    pub fn decreased_since(&self, before: &Self) -> Vec<String> {
        let decreased = before
            .0
            .iter()
            .filter(|(series, number)| self.0.get(*series).is_none_or(|later| later < number));
        decreased
            .map(|(series, number)| format!("{series}: {number}, then {:?}", self.0.get(series)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::MetricsPage;

    #[test]
    fn samples_of_a_page_are_summed_and_compared() {
        let read = |page: &str| MetricsPage::parse(page).expect("valid page");
        let page =
            "# TYPE a counter\na{x=\"1\",y=\"2\"} 3\na{x=\"1\",y=\"3\"} 4.5\nab{x=\"1\"} 9\n";
        let before = read(page);
        assert_eq!(before.sum("a", &["x=\"1\""]).to_string(), "7.5");
        assert_eq!(before.sum("a", &["x=\"1\"", "y=\"3\""]).to_string(), "4.5");
        assert_eq!(before.sum("b", &[]).to_string(), "0");
        assert!(read(page).decreased_since(&before).is_empty());
        let after = read(&page.replace(" 4.5", " 4").replace("ab{x=\"1\"} 9\n", "b{} 1\n"));
        assert_eq!(after.decreased_since(&before).len(), 2);
        assert!(
            MetricsPage::parse("a{} 1\na{} 1").is_err() && MetricsPage::parse("a{} x").is_err()
        );
    }
}
