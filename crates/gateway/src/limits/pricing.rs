//! Cost of requests: consumption of quotas, and prices in billionths of a USD.

use config::{Measure, ModelPrice, Price};
use openai::Tokens;

/// Consumption of a quota: a fixed part, and a part for each thousand tokens of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QuotaCost {
    /// Consumed in any case.
    pub fixed: u64,
    /// Consumed for a thousand tokens of the answer.
    pub output: u64,
}

impl QuotaCost {
    /// Consumption of a prompt of `prompt` tokens.
    pub(crate) fn for_prompt(measure: Measure, prompt: u64, price: Price) -> Self {
        match measure {
            Measure::Tokens => Self { fixed: prompt, output: 1_000 },
            Measure::Requests => Self { fixed: 1, output: 0 },
            // The provider may write the whole prompt to its cache.
            Measure::Cost => {
                let rate = price.input.max(price.cache_write);
                Self { fixed: per_thousand(prompt, rate), output: price.output }
            }
        }
    }

    /// Consumption including an answer of `output` tokens.
    pub(crate) fn with_output(self, output: u64) -> u64 {
        self.fixed.saturating_add(per_thousand(output, self.output))
    }

    /// The longest answer, in tokens, that fits into the granted amount; `None` if any does.
    pub(crate) fn max_output(self, granted: u64) -> Option<u64> {
        let rest = u128::from(granted.saturating_sub(self.fixed));
        let tokens = (rest * 1_000).checked_div(self.output.into())?;
        Some(u64::try_from(tokens).unwrap_or(u64::MAX))
    }
}

/// Cost of tokens in billionths of a USD, rounded up. The prompt's length selects the tier.
pub(crate) fn cost_billionths(tokens: Tokens, price: ModelPrice) -> u64 {
    let price = price.at(tokens.input);
    let cached = tokens.cached.min(tokens.input);
    let written = tokens.cache_write.min(tokens.input - cached);
    let sum = u128::from(tokens.input - cached - written) * u128::from(price.input)
        + u128::from(cached) * u128::from(price.cached)
        + u128::from(written) * u128::from(price.cache_write)
        + u128::from(tokens.output) * u128::from(price.output);
    u64::try_from(sum.div_ceil(1_000)).unwrap_or(u64::MAX)
}

fn per_thousand(tokens: u64, price: u64) -> u64 {
    let product = u128::from(tokens) * u128::from(price);
    u64::try_from(product.div_ceil(1_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use config::{Measure, ModelPrice, Price};
    use openai::Tokens;

    use super::{QuotaCost, cost_billionths};

    #[test]
    fn cost_follows_the_measure_and_the_price() {
        // 0.15 and 0.60 USD for a million tokens.
        let price = Price { input: 150_000, cached: 75_000, cache_write: 187_500, output: 600_000 };
        let tokens = QuotaCost::for_prompt(Measure::Tokens, 12, price);
        assert_eq!((tokens.with_output(100), tokens.max_output(62)), (112, Some(50)));
        let requests = QuotaCost::for_prompt(Measure::Requests, 12, price);
        assert_eq!((requests.with_output(100), requests.max_output(1)), (1, None));
        let money = QuotaCost::for_prompt(Measure::Cost, 12, price);
        // The prompt may be written to the provider's cache.
        assert_eq!((money.with_output(100), money.max_output(62_250)), (62_250, Some(100)));
        assert_eq!(QuotaCost::for_prompt(Measure::Cost, 12, Price::default()).with_output(100), 0);
        let spent = Tokens { input: 12, cached: 4, output: 100, ..Tokens::default() };
        let flat = ModelPrice::flat;
        assert_eq!(cost_billionths(spent, flat(price)), 61_500);
        let written = Tokens { cache_write: 8, ..spent };
        assert_eq!(cost_billionths(written, flat(price)), 61_800);
        let odd = Tokens { cached: 20, cache_write: 20, ..spent };
        assert_eq!(cost_billionths(odd, flat(price)), 60_900);
        let one = Tokens { input: 1, ..Tokens::default() };
        assert_eq!(cost_billionths(one, flat(Price { input: 1, ..price })), 1);
    }
}
