//! Headers about rate limits: OpenAI's six, or Anthropic's.

use civil_time::Timestamp;
use config::Measure;
use ledger::AccountBalance;
use protocol::model::Protocol;
use protocol::rate_limit::{self, RateLimit, RateLimitMeasure};

/// Rate-limit headers in the words of the caller's protocol, for the limit of each measure with the least
/// left. No protocol has headers for cost.
pub(crate) fn rate_limit_headers(
    (caller, now): (Protocol, Timestamp),
    balances: impl Iterator<Item = (Measure, AccountBalance)> + Clone,
) -> Vec<(&'static str, String)> {
    let measures = [
        (Measure::Requests, RateLimitMeasure::Requests),
        (Measure::Tokens, RateLimitMeasure::Tokens),
    ];
    let limits = measures.into_iter().filter_map(|(measure, name)| {
        let of_measure = balances.clone().filter(|(other, _)| *other == measure);
        let balance = of_measure.map(|(_, balance)| balance).min_by_key(AccountBalance::left)?;
        Some(RateLimit {
            measure: name,
            limit: balance.max,
            remaining: balance.left(),
            // A balance without a period never resets.
            resets_in_millis: balance.resets,
        })
    });
    rate_limit::headers(caller, &limits.collect::<Vec<_>>(), now.as_millis() / 1_000)
}

#[cfg(test)]
mod tests {
    use civil_time::Timestamp;
    use config::Measure;
    use ledger::AccountBalance;
    use protocol::model::Protocol;

    use super::rate_limit_headers;

    #[test]
    fn headers_describe_the_tightest_limit_of_each_measure() {
        let balance = |max, used, resets| AccountBalance { max, used, held: 0, resets };
        let balances = [
            (Measure::Tokens, balance(1_000, 100, Some(1_000))),
            (Measure::Tokens, balance(500, 450, None)),
            (Measure::Cost, balance(5, 5, None)),
            (Measure::Requests, balance(20, 21, Some(5))),
        ];
        let headers: Vec<String> =
            rate_limit_headers((Protocol::Chat, Timestamp::from_millis(0)), balances.into_iter())
                .into_iter()
                .map(|(name, value)| format!("{} {value}", name.trim_start_matches("x-ratelimit-")))
                .collect();
        assert_eq!(
            headers,
            [
                "limit-requests 20",
                "remaining-requests 0",
                "reset-requests 5ms",
                "limit-tokens 500",
                "remaining-tokens 50",
            ]
        );
    }
}
