//! Charges of calls whose answers were not used.

use std::time::Duration;

use civil_time::Timestamp;
use openai::Tokens;

use crate::limits::pricing;
use crate::record::{ABANDONED, Record};

/// Charges the prompts of attempts whose answers were not used, if their upstreams may bill them,
/// and the thinking of those whose caller left. Returns their cost.
pub(super) fn charge(record: &mut Record, now: Timestamp) -> Option<u64> {
    let (mut cost, mut thinking) = (None, 0_u64);
    for attempt in record.attempts.iter_mut().filter(|attempt| attempt.is_lost()) {
        let mut output = 0;
        if attempt.result == ABANDONED {
            attempt.ms = millis(now.since(attempt.began));
            output = attempt.hidden_thinking();
            thinking = thinking.saturating_add(output);
        }
        let input = attempt.prompt_tokens;
        let tokens = Tokens { input, output, reasoning: output, ..Tokens::default() };
        attempt.tokens = Some(input);
        if let Some(price) = attempt.price {
            let more = pricing::cost_billionths(tokens, price);
            cost = Some(more.saturating_add(cost.unwrap_or(0)));
        }
    }
    record.add_lost_tokens();
    let tokens = &mut record.tokens;
    tokens.output = tokens.output.saturating_add(thinking);
    tokens.reasoning = tokens.reasoning.saturating_add(thinking);
    cost
}

/// Whole milliseconds of a duration.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
