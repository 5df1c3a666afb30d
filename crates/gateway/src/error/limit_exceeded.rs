//! A limit that refuses a request, and its error for the caller.

use config::{Measure, Period};
use http::StatusCode;
use ledger::AccountBalance;

use super::{ApiError, ErrorShape};

/// A limit that refuses a request.
#[derive(Debug)]
pub(crate) struct LimitExceeded {
    /// The limit's id.
    pub limit: String,
    /// The limited measure.
    pub measure: Measure,
    /// The quota's period.
    pub per: Period,
    /// The smallest amount that the request needs.
    pub requested: u64,
    /// The balance of the account.
    pub balance: AccountBalance,
    /// Milliseconds until the request may be admitted; `None` if never without an adjustment.
    pub wait_millis: Option<u64>,
    /// OpenAI's rate-limit headers, for all limits of the request.
    pub headers: Vec<(&'static str, String)>,
}

impl LimitExceeded {
    /// Whether it is a quota, for which a short wait does not help, or a rate.
    fn is_quota(&self) -> bool {
        match self.per {
            Period::Second | Period::Minute | Period::Hour => false,
            Period::Day(_) | Period::Month(_) | Period::Total => true,
        }
    }

    /// Seconds until a retry may succeed.
    fn retry_after(&self) -> u64 {
        let never = match self.per {
            Period::Second => 1,
            Period::Minute => 60,
            Period::Hour => 3_600,
            // An operator may raise the balance; a retry every hour finds out.
            Period::Day(_) | Period::Month(_) | Period::Total => 3_600,
        };
        let seconds = self.wait_millis.map_or(never, |millis| millis.div_ceil(1_000).max(1));
        // Amounts leave a window up to one slot after its length. Clients wait up to 60 s at most,
        // and an early retry receives the remaining wait.
        match self.per {
            Period::Second | Period::Minute | Period::Hour => seconds.min(never),
            Period::Day(_) | Period::Month(_) | Period::Total => seconds,
        }
    }

    /// The moment of a renewal in the limit's time zone. `None` if the wait does not end with the period.
    fn renewal(&self) -> Option<String> {
        if self.wait_millis? < self.balance.resets? {
            return None;
        }
        match self.per {
            Period::Day(zone) => Some(format!(" (00:00 {})", zone.name())),
            Period::Month(zone) => Some(format!(" (the 1st, 00:00 {})", zone.name())),
            Period::Second | Period::Minute | Period::Hour | Period::Total => None,
        }
    }

    pub(super) fn to_api_error(&self) -> ApiError {
        let balance = self.balance;
        let (code, kind) = match (self.is_quota(), self.measure) {
            (true, _) => ("insufficient_quota", "insufficient_quota"),
            (false, Measure::Tokens) => ("rate_limit_exceeded", "tokens"),
            (false, Measure::Requests) => ("rate_limit_exceeded", "requests"),
            (false, Measure::Cost) => ("rate_limit_exceeded", "cost"),
        };
        let per = match self.per {
            Period::Second => " per second",
            Period::Minute => " per minute",
            Period::Hour => " per hour",
            Period::Day(_) => " per day",
            Period::Month(_) => " per month",
            Period::Total => " in total",
        };
        let amount = |amount: u64| match self.measure {
            Measure::Tokens => format!("{amount} tokens"),
            Measure::Requests => format!("{amount} requests"),
            Measure::Cost => format!("{} USD", amount as f64 / 1e9),
        };
        let bare_amount = |amount: u64| match self.measure {
            Measure::Tokens | Measure::Requests => amount.to_string(),
            Measure::Cost => format!("{} USD", amount as f64 / 1e9),
        };
        let (max, left, needed) =
            (amount(balance.max), bare_amount(balance.left()), bare_amount(self.requested));
        let advice = match self.wait_millis {
            Some(_) => {
                let wait = format_wait(self.retry_after());
                format!("Try again in {wait}{}", self.renewal().unwrap_or_default())
            }
            None if self.requested > balance.max => {
                "The request exceeds the limit's maximum".to_owned()
            }
            None => "The limit does not renew by itself; an operator can raise it".to_owned(),
        };
        let limit = &self.limit;
        let mut headers = vec![("retry-after", self.retry_after().to_string())];
        headers.extend(self.headers.iter().cloned());
        if self.is_quota() || self.requested > balance.max {
            // OpenAI's client libraries would retry every 429.
            headers.push(("x-should-retry", "false".to_owned()));
        }
        ApiError {
            status: StatusCode::TOO_MANY_REQUESTS,
            code,
            kind,
            param: None,
            message: format!(
                "The limit '{limit}' of {max}{per} is reached: {left} left, {needed} needed. {advice}."
            ),
            headers,
            shape: ErrorShape::default(),
        }
    }
}

/// A time to wait in its two largest units: `8 h 44 min`.
pub(super) fn format_wait(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let first = units.iter().position(|(size, _)| seconds >= *size).unwrap_or(units.len() - 1);
    let mut rest = seconds;
    let mut words = Vec::new();
    for (size, unit) in units.iter().skip(first).take(2) {
        if rest >= *size || words.is_empty() {
            words.push(format!("{} {unit}", rest / size));
        }
        rest %= size;
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use civil_time::zone::Zone;
    use config::{Measure, Period};
    use ledger::AccountBalance;

    use super::{LimitExceeded, format_wait};

    fn limited(per: Period, wait_millis: Option<u64>, resets: Option<u64>) -> LimitExceeded {
        LimitExceeded {
            limit: "web-day".to_owned(),
            measure: Measure::Requests,
            per,
            requested: 1,
            balance: AccountBalance { max: 20, used: 20, held: 0, resets },
            wait_millis,
            headers: Vec::new(),
        }
    }

    #[test]
    fn message_has_the_wait_and_the_moment_in_the_time_zone() {
        let zone = Zone::lookup("Asia/Shanghai").expect("it is in the table");
        let wait = Some(31_460_000);
        for (per, resets, expected) in [
            (Period::Day(zone), wait, "Try again in 8 h 44 min (00:00 Asia/Shanghai)."),
            (Period::Day(Zone::UTC), wait, "Try again in 8 h 44 min (00:00 UTC)."),
            (Period::Month(zone), wait, "Try again in 8 h 44 min (the 1st, 00:00 Asia/Shanghai)."),
            // A reservation is settled before the day ends.
            (Period::Day(zone), Some(40_000_000), "Try again in 8 h 44 min."),
            (Period::Hour, wait, "Try again in 1 h."),
        ] {
            let message = limited(per, wait, resets).to_api_error().message;
            assert!(message.ends_with(expected), "{message}");
        }
        let never = limited(Period::Total, None, None).to_api_error().message;
        assert!(never.ends_with("does not renew by itself; an operator can raise it."), "{never}");
    }

    #[test]
    fn wait_has_two_units_at_most() {
        let written = [0, 1, 59, 60, 61, 3_600, 3_661, 31_460, 86_400, 90_061, 2_000_000];
        let written = written.map(format_wait);
        let expected =
            ["0 s", "1 s", "59 s", "1 min", "1 min 1 s", "1 h", "1 h 1 min", "8 h 44 min"];
        assert_eq!(written[..8], expected);
        assert_eq!(written[8..], ["1 d", "1 d 1 h", "23 d 3 h"]);
    }

    #[test]
    fn retry_after_is_at_most_the_period() {
        for (per, wait_millis, expected) in [
            (Period::Second, Some(1_020), 1),
            (Period::Minute, Some(61_200), 60),
            (Period::Minute, Some(2_000), 2),
            (Period::Minute, Some(0), 1),
            (Period::Minute, None, 60),
            (Period::Hour, Some(3_672_000), 3_600),
            (Period::Day(Zone::UTC), Some(80_000_000), 80_000),
            (Period::Total, None, 3_600),
        ] {
            let limited = limited(per, wait_millis, None);
            assert_eq!(limited.retry_after(), expected, "{per:?} {wait_millis:?}");
        }
    }
}
