//! Tokens in the words of each protocol.
//!
//! Chat and Responses count the prompt as a whole and name its parts; Messages counts the cached
//! parts beside `input_tokens`. Every reader makes totals, and the writer of Messages subtracts.

use serde_json::value::RawValue;

use crate::json_text::JsonText;
use crate::members::{count, pick_in};
use crate::model::{CacheWrite, ServiceTier, Usage};

/// Reads usage of Chat, in the dialects of providers (OpenAI API reference, "The chat completion
/// object", `usage`; the dialects are those of the crate `openai`).
pub(crate) fn read_chat(usage: Option<&RawValue>) -> Option<Usage> {
    let report = openai::Usage::parse(usage?.get())?;
    let [prompt, answer] = pick_in(usage, ["prompt_tokens_details", "completion_tokens_details"]);
    let audio = |details| count(pick_in(details, ["audio_tokens"])[0]).unwrap_or(0);
    // Some providers count reasoning beside the answer: only the total shows it.
    let sum = report.input.saturating_add(report.output);
    let is_beside = report.reasoning > 0
        && (report.reasoning > report.output
            || report.total == sum.saturating_add(report.reasoning));
    let beside = if is_beside { report.reasoning } else { 0 };
    Some(bounded(Usage {
        input: report.input,
        cached: report.cached,
        cache_write: CacheWrite { short: report.cache_write, long: 0 },
        input_audio: audio(prompt),
        output: report.output.saturating_add(beside),
        reasoning: report.reasoning,
        output_audio: audio(answer),
        ..Usage::default()
    }))
}

/// Reads usage of Responses (OpenAI API reference, "The Response object", `usage` and
/// `tool_usage`).
pub(crate) fn read_responses(
    usage: Option<&RawValue>,
    tool_usage: Option<&RawValue>,
) -> Option<Usage> {
    let report = openai::Usage::parse(usage?.get())?;
    let [details] = pick_in(usage, ["input_tokens_details"]);
    let [by_time] = pick_in(details, ["cache_write_tokens_details"]);
    let [long] = pick_in(by_time, ["ttl_12h_tokens"]);
    let long = count(long).unwrap_or(0).min(report.cache_write);
    let [searches] = pick_in(tool_usage, ["web_search"]);
    let [searches] = pick_in(searches, ["num_requests"]);
    Some(bounded(Usage {
        input: report.input,
        cached: report.cached,
        cache_write: CacheWrite { short: report.cache_write - long, long },
        output: report.output,
        reasoning: report.reasoning,
        web_searches: count(searches).unwrap_or(0),
        ..Usage::default()
    }))
}

/// Usage of Messages, as far as it is reported: `message_start` has the prompt, `message_delta` the
/// running totals.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MessagesUsage {
    input: Option<u64>,
    cache_read: Option<u64>,
    cache_creation: Option<u64>,
    cache_creation_long: Option<u64>,
    output: Option<u64>,
    thinking: Option<u64>,
    searches: Option<u64>,
    fetches: Option<u64>,
}

impl MessagesUsage {
    /// Adds a report (Anthropic API reference, "Messages", `usage`). Its members replace those of
    /// earlier ones. A zero does not: some servers fill the members that they do not know.
    pub(crate) fn add(&mut self, usage: Option<&RawValue>) {
        let [input, read, creation, by_time, output, details, tools] = pick_in(
            usage,
            [
                "input_tokens",
                "cache_read_input_tokens",
                "cache_creation_input_tokens",
                "cache_creation",
                "output_tokens",
                "output_tokens_details",
                "server_tool_use",
            ],
        );
        let [short, long] =
            pick_in(by_time, ["ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"]);
        let [thinking] = pick_in(details, ["thinking_tokens"]);
        let [searches, fetches] = pick_in(tools, ["web_search_requests", "web_fetch_requests"]);
        let both = count(short).unwrap_or(0).saturating_add(count(long).unwrap_or(0));
        let slots = [
            (&mut self.input, count(input)),
            (&mut self.cache_read, count(read)),
            (&mut self.cache_creation, count(creation).max(Some(both))),
            (&mut self.cache_creation_long, count(long)),
            (&mut self.output, count(output)),
            (&mut self.thinking, count(thinking)),
            (&mut self.searches, count(searches)),
            (&mut self.fetches, count(fetches)),
        ];
        for (slot, reported) in slots {
            if reported.is_some_and(|count| count > 0) || slot.is_none() {
                *slot = reported;
            }
        }
    }

    /// Totals. `None` if neither side is reported.
    pub(crate) fn totals(&self) -> Option<Usage> {
        if self.input.is_none() && self.output.is_none() {
            return None;
        }
        let cached = self.cache_read.unwrap_or(0);
        let written = self.cache_creation.unwrap_or(0);
        let long = self.cache_creation_long.unwrap_or(0).min(written);
        let input = self.input.unwrap_or(0);
        Some(bounded(Usage {
            input: input.saturating_add(cached).saturating_add(written),
            cached,
            cache_write: CacheWrite { short: written - long, long },
            output: self.output.unwrap_or(0),
            reasoning: self.thinking.unwrap_or(0),
            web_searches: self.searches.unwrap_or(0),
            web_fetches: self.fetches.unwrap_or(0),
            ..Usage::default()
        }))
    }
}

/// Bounds each part by its whole.
fn bounded(mut usage: Usage) -> Usage {
    usage.cached = usage.cached.min(usage.input);
    let uncached = usage.input - usage.cached;
    usage.cache_write.long = usage.cache_write.long.min(uncached);
    usage.cache_write.short = usage.cache_write.short.min(uncached - usage.cache_write.long);
    usage.reasoning = usage.reasoning.min(usage.output);
    usage
}

/// Writes usage of Chat.
pub(crate) fn write_chat(json: &mut JsonText, usage: &Usage) {
    json.begin_object();
    json.number_member("prompt_tokens", usage.input);
    json.number_member("completion_tokens", usage.output);
    json.number_member("total_tokens", usage.total());
    json.object("prompt_tokens_details");
    json.number_member("cached_tokens", usage.cached);
    json.number_member("cache_write_tokens", usage.cache_write.total());
    json.number_member("audio_tokens", usage.input_audio);
    json.end_object();
    json.object("completion_tokens_details");
    json.number_member("reasoning_tokens", usage.reasoning);
    json.number_member("audio_tokens", usage.output_audio);
    json.number_member("accepted_prediction_tokens", 0);
    json.number_member("rejected_prediction_tokens", 0);
    json.end_object();
    json.end_object();
}

/// Writes usage of Responses.
pub(crate) fn write_responses(json: &mut JsonText, usage: &Usage) {
    json.begin_object();
    json.number_member("input_tokens", usage.input);
    json.object("input_tokens_details");
    json.number_member("cached_tokens", usage.cached);
    json.number_member("cache_write_tokens", usage.cache_write.total());
    json.object("cache_write_tokens_details");
    json.number_member("ttl_30m_tokens", usage.cache_write.short);
    json.number_member("ttl_12h_tokens", usage.cache_write.long);
    json.end_object();
    json.end_object();
    json.number_member("output_tokens", usage.output);
    json.object("output_tokens_details");
    json.number_member("reasoning_tokens", usage.reasoning);
    json.end_object();
    json.number_member("total_tokens", usage.total());
    json.end_object();
}

/// Writes usage of Messages, with every member that clients know.
pub(crate) fn write_messages(json: &mut JsonText, usage: &Usage, tier: Option<ServiceTier>) {
    json.begin_object();
    json.number_member("input_tokens", usage.uncached_input());
    json.number_member("cache_creation_input_tokens", usage.cache_write.total());
    json.number_member("cache_read_input_tokens", usage.cached);
    json.object("cache_creation");
    json.number_member("ephemeral_5m_input_tokens", usage.cache_write.short);
    json.number_member("ephemeral_1h_input_tokens", usage.cache_write.long);
    json.end_object();
    json.number_member("output_tokens", usage.output);
    json.object("output_tokens_details");
    json.number_member("thinking_tokens", usage.reasoning);
    json.end_object();
    if usage.web_searches > 0 || usage.web_fetches > 0 {
        json.object("server_tool_use");
        json.number_member("web_search_requests", usage.web_searches);
        json.number_member("web_fetch_requests", usage.web_fetches);
        json.end_object();
    } else {
        json.raw_member("server_tool_use", "null");
    }
    let tier = match tier {
        Some(ServiceTier::Standard) => Some("standard"),
        Some(ServiceTier::Priority) => Some("priority"),
        Some(ServiceTier::Batch) => Some("batch"),
        Some(ServiceTier::Flex | ServiceTier::Scale) | None => None,
    };
    json.optional_text_member("service_tier", tier);
    json.raw_member("inference_geo", "null");
    json.end_object();
}
