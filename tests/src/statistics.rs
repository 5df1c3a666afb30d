//! Statistics of measurements.

/// Value below which a share of the numbers lies; zero if there are none.
pub fn percentile(numbers: &[f64], share: f64) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    // The share of a count is small and never negative.
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// The middle number; for an even count, the mean of the two in the middle.
pub fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        count if count % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    }
}

/// Spread of the numbers: half the distance from minimum to maximum, divided by the median.
pub fn spread(numbers: &[f64]) -> f64 {
    let least = numbers.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if numbers.is_empty() { 0.0 } else { (greatest - least) / 2.0 / median(numbers) }
}

#[cfg(test)]
mod tests {
    use super::{median, percentile, spread};

    #[test]
    fn statistics_of_few_numbers_and_of_none() {
        let numbers = [5.0, 1.0, 4.0, 2.0, 3.0];
        assert_eq!(median(&numbers), 3.0);
        assert_eq!(median(&numbers[..4]), 3.0);
        assert_eq!((percentile(&numbers, 0.5), percentile(&numbers, 0.99)), (3.0, 5.0));
        assert_eq!(spread(&numbers), 2.0 / 3.0);
        assert_eq!((median(&[]), percentile(&[], 0.5), spread(&[])), (0.0, 0.0, 0.0));
    }
}
