//! OpenAI's six `x-ratelimit-*` headers.

use config::Measure;
use ledger::AccountBalance;

/// Headers of one measure: limit, remaining, reset.
const REQUEST_HEADERS: [&str; 3] =
    ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"];
const TOKEN_HEADERS: [&str; 3] =
    ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"];

/// OpenAI's headers, for the limit of each measure with the least left. OpenAI has no headers for
/// cost.
pub(crate) fn rate_limit_headers(
    balances: impl Iterator<Item = (Measure, AccountBalance)> + Clone,
) -> Vec<(&'static str, String)> {
    let mut headers = Vec::new();
    for (measure, names) in [(Measure::Requests, REQUEST_HEADERS), (Measure::Tokens, TOKEN_HEADERS)]
    {
        let of_measure = balances.clone().filter(|(other, _)| *other == measure);
        let tightest = of_measure.map(|(_, balance)| balance).min_by_key(AccountBalance::left);
        let Some(balance) = tightest else { continue };
        let [limit, remaining, reset] = names;
        headers.push((limit, balance.max.to_string()));
        headers.push((remaining, balance.left().to_string()));
        // A balance without a period never resets, so it has no reset header.
        if let Some(resets) = balance.resets {
            headers.push((reset, openai::format_duration(resets)));
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use config::Measure;
    use ledger::AccountBalance;

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
        let headers: Vec<String> = rate_limit_headers(balances.into_iter())
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
