//! `[[prices]]`, and amounts of money.

use super::super::index::ProviderIndex;
use super::super::model_index::ModelPattern;
use super::super::price::{MAX_TIERS, ModelPrice, Price, PriceEntry, PriceTier, Prices};
use super::super::raw;
use super::diagnostics::{Diagnostics, MAX_COUNT, quoted};
use super::doc_path::DocPath;
use super::ids::IdIndex;
use super::route::pattern;

/// USD for a million tokens: about 1,000 times the highest known price. A price times a hundred million tokens
/// still fits 64 bits.
const MAX_USD_PER_MILLION: u64 = 100_000;
const BILLION: u64 = 1_000_000_000;

/// Parses every price.
pub(super) fn prices(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &[raw::Price],
    providers: &IdIndex<'_>,
) -> Prices {
    let mut all = Vec::with_capacity(raw.len());
    for (index, one) in raw.iter().enumerate() {
        let path = path.item(index);
        let is_same =
            |other: &raw::Price| other.model == one.model && other.provider == one.provider;
        if let Some(first) = raw[..index].iter().position(is_same) {
            let expected = format!("another model or provider than that of prices[{first}]");
            diagnostics.report(&path.field("model"), quoted(&one.model), expected);
        }
        all.extend(price_entry(diagnostics, &path, one, providers));
    }
    Prices { all }
}

fn price_entry(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &raw::Price,
    providers: &IdIndex<'_>,
) -> Option<PriceEntry> {
    let model = match pattern(&raw.model) {
        Ok(model @ (ModelPattern::Exact(_) | ModelPattern::Prefix(_))) => Some(model),
        Ok(ModelPattern::Regex(_)) | Err(_) => {
            diagnostics.report(
                &path.field("model"),
                quoted(&raw.model),
                "an exact name or prefix*",
            );
            None
        }
    };
    let provider = match &raw.provider {
        Some(id) => {
            Some(ProviderIndex(providers.resolve(diagnostics, &path.field("provider"), id)?))
        }
        None => None,
    };
    let price = rates(
        diagnostics,
        path,
        [
            ("input", Some(raw.input)),
            ("output", Some(raw.output)),
            ("cached_input", raw.cached_input),
            ("cache_write", raw.cache_write),
        ],
    );
    let tiers = tiers(diagnostics, &path.field("tiers"), raw.tiers.as_deref().unwrap_or_default());
    Some(PriceEntry { provider, model: model?, price: ModelPrice { base: price?, tiers } })
}

/// Parses the prices by the length of the prompt.
fn tiers(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &[raw::PriceTier],
) -> [Option<PriceTier>; MAX_TIERS] {
    let mut tiers = [None; MAX_TIERS];
    if raw.len() > MAX_TIERS {
        let expected = format!("at most {MAX_TIERS} tiers");
        diagnostics.report(path, format!("{} tiers", raw.len()), expected);
    }
    for (index, one) in raw.iter().enumerate() {
        let path = path.item(index);
        if !(1..=1_000_000_000).contains(&one.above) {
            let expected = "from 1 to 1000000000 prompt tokens";
            diagnostics.report(&path.field("above"), one.above.to_string(), expected);
        }
        if let Some(first) = raw[..index].iter().position(|other| other.above == one.above) {
            let expected = format!("another number than that of tiers[{first}]");
            diagnostics.report(&path.field("above"), one.above.to_string(), expected);
        }
        let price = rates(
            diagnostics,
            &path,
            [
                ("input", Some(one.input)),
                ("output", Some(one.output)),
                ("cached", one.cached),
                ("cache_write", one.cache_write),
            ],
        );
        if let Some((slot, price)) = tiers.get_mut(index).zip(price) {
            *slot = Some(PriceTier { above: one.above, price });
        }
    }
    tiers
}

/// Parses the rates of input, output, reads of the provider's cache, and writes to it. The latter two are
/// those of the input unless given.
fn rates(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: [(&'static str, Option<f64>); 4],
) -> Option<Price> {
    let mut rate = |(name, usd): (&'static str, Option<f64>)| {
        let Some(usd) = usd else { return Some(None) };
        let billionths =
            billionths(usd).filter(|billionths| *billionths <= MAX_USD_PER_MILLION * BILLION);
        if billionths.is_none() {
            let expected = format!(
                "USD for a million tokens: from 0 to {MAX_USD_PER_MILLION}, with nine decimals at most"
            );
            diagnostics.report(&path.field(name), usd.to_string(), expected);
        }
        // From billionths for a million tokens to billionths for a thousand.
        billionths.map(|billionths| Some(billionths.div_ceil(1_000)))
    };
    let [input, output, cached, cache_write] = raw.map(&mut rate);
    let input = input??;
    Some(Price {
        input,
        cached: cached?.unwrap_or(input),
        cache_write: cache_write?.unwrap_or(input),
        output: output??,
    })
}

/// An amount of USD in billionths, exactly as written. `None` if it is negative, has more than nine decimals,
/// or exceeds [`MAX_COUNT`] billionths.
pub(super) fn billionths(usd: f64) -> Option<u64> {
    // `Display` writes the shortest decimal of this number without an exponent, as a person wrote it.
    // Multiplying would not: 0.1 has no exact form. The sum turns a negative zero into zero.
    let text = (usd + 0.0).to_string();
    let (whole, decimals) = text.split_once('.').unwrap_or((&text, ""));
    if decimals.len() > 9 {
        return None;
    }
    let decimals: u64 = format!("{decimals:0<9}").parse().ok()?;
    let whole: u64 = whole.parse().ok()?;
    let sum = whole.checked_mul(BILLION)?.checked_add(decimals)?;
    (sum <= MAX_COUNT).then_some(sum)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::proptest;

    use super::billionths;

    #[track_caller]
    fn assert_billionths(usd: f64, expected: Option<u64>) {
        assert_eq!(billionths(usd), expected, "{usd}");
    }

    #[test]
    fn billionths_inexact_or_out_of_range_is_none() {
        assert_billionths(0.0, Some(0));
        assert_billionths(-0.0, Some(0));
        assert_billionths(0.1, Some(100_000_000));
        assert_billionths(12.5, Some(12_500_000_000));
        assert_billionths(1e-9, Some(1));
        assert_billionths(1e-10, None);
        assert_billionths(0.000_000_000_1, None);
        assert_billionths(-1.0, None);
        assert_billionths(9_007_199.0, Some(9_007_199_000_000_000));
        assert_billionths(9_007_200.0, None);
        assert_billionths(1e300, None);
        assert_billionths(f64::NAN, None);
        assert_billionths(f64::INFINITY, None);
    }

    proptest! {
        #[test]
        fn billionths_with_nine_decimals_are_exact(whole in 0u64..1_000_000, decimals in 0u64..1_000_000_000) {
            let usd: f64 = format!("{whole}.{decimals:09}").parse().expect("it is a number");
            assert_eq!(billionths(usd), Some(whole * 1_000_000_000 + decimals));
        }
    }
}
