//! Durations in rate-limit headers.

/// Formats a duration in milliseconds as OpenAI and Go do: `20ms`, `1s`, `6m0s`, `23h59m1s`.
pub fn format_duration(millis: u64) -> String {
    if millis < 1_000 {
        return format!("{millis}ms");
    }
    let seconds = millis.div_ceil(1_000);
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        (_, _) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::format_duration;

    #[test]
    fn format_duration_matches_openai() {
        for (millis, expected) in [
            (0, "0ms"),
            (20, "20ms"),
            (1_000, "1s"),
            (59_001, "1m0s"),
            (360_000, "6m0s"),
            (86_340_500, "23h59m1s"),
        ] {
            assert_eq!(format_duration(millis), expected);
        }
    }
}
