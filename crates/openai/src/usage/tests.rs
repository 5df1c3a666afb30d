use super::Usage;
use crate::{AnswerSize, Tokens};

/// Asserts input, output, cached, and reasoning of a report beside an answer without text.
#[track_caller]
fn assert_usage(json: &str, expected: Option<[u64; 4]>) {
    let read = Usage::parse(json).map(|usage| {
        let tokens = Tokens::count(Some(usage), &AnswerSize::default());
        [tokens.input, tokens.output, tokens.cached, tokens.reasoning]
    });
    assert_eq!(read, expected, "{json}");
}

#[test]
fn usage_of_every_dialect_is_parsed() {
    for (json, expected) in [
        // OpenAI, Azure, and most others.
        (r#"{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10}"#, [9, 1, 0, 0]),
        (r#"{"prompt_tokens":3,"total_tokens":3}"#, [3, 0, 0, 0]),
        (r#"{"prompt_tokens":0,"completion_tokens":0}"#, [0, 0, 0, 0]),
        (
            r#"{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13,"prompt_tokens_details":{"cached_tokens":5},"completion_tokens_details":{"reasoning_tokens":2}}"#,
            [9, 4, 5, 2],
        ),
        // OpenAI Responses.
        (
            r#"{"input_tokens":9,"output_tokens":4,"total_tokens":13,"input_tokens_details":{"cached_tokens":5},"output_tokens_details":{"reasoning_tokens":2}}"#,
            [9, 4, 5, 2],
        ),
        // DeepSeek.
        (
            r#"{"prompt_tokens":9,"completion_tokens":4,"prompt_cache_hit_tokens":7,"prompt_tokens_details":null}"#,
            [9, 4, 7, 0],
        ),
        (
            r#"{"completion_tokens":4,"prompt_cache_hit_tokens":7,"prompt_cache_miss_tokens":2}"#,
            [9, 4, 7, 0],
        ),
        // Moonshot.
        (
            r#"{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13,"cached_tokens":7}"#,
            [9, 4, 7, 0],
        ),
        // Mistral.
        (r#"{"prompt_tokens":9,"completion_tokens":4,"num_cached_tokens":7}"#, [9, 4, 7, 0]),
        (
            r#"{"prompt_tokens":9,"completion_tokens":4,"prompt_token_details":{"cached_tokens":7}}"#,
            [9, 4, 7, 0],
        ),
        // xAI, and Gemini's OpenAI endpoint: reasoning is outside of the answer's count.
        (
            r#"{"prompt_tokens":1000,"completion_tokens":10,"total_tokens":3010,"completion_tokens_details":{"reasoning_tokens":2000}}"#,
            [1000, 2010, 0, 2000],
        ),
        (r#"{"prompt_tokens":7,"completion_tokens":20,"total_tokens":1966}"#, [7, 1959, 0, 0]),
        // Gemini.
        (
            r#"{"promptTokenCount":20,"candidatesTokenCount":198,"thoughtsTokenCount":405,"totalTokenCount":623,"cachedContentTokenCount":4}"#,
            [20, 603, 4, 405],
        ),
        // Anthropic Messages: the cache is outside of the input.
        (
            r#"{"input_tokens":3,"output_tokens":4,"cache_read_input_tokens":100,"cache_creation_input_tokens":20}"#,
            [123, 4, 100, 0],
        ),
        // LiteLLM: the same names beside OpenAI's, where the cache is inside.
        (
            r#"{"prompt_tokens":123,"completion_tokens":4,"total_tokens":127,"cache_read_input_tokens":100,"cache_creation_input_tokens":20}"#,
            [123, 4, 100, 0],
        ),
        (
            r#"{"input_tokens":123,"output_tokens":4,"total_tokens":127,"cache_read_input_tokens":100}"#,
            [123, 4, 100, 0],
        ),
        // Compatible endpoints that leave the cache out of the prompt.
        (
            r#"{"prompt_tokens":3,"completion_tokens":4,"total_tokens":107,"prompt_tokens_details":{"cached_tokens":100}}"#,
            [103, 4, 100, 0],
        ),
        // Perplexity: where the total adds up, nothing changes.
        (
            r#"{"prompt_tokens":108,"completion_tokens":3256,"total_tokens":3364,"citation_tokens":7299,"num_search_queries":74,"reasoning_tokens":73248}"#,
            [108, 3256, 0, 3256],
        ),
        // Without a total, reasoning above the answer cannot be a part of it.
        (
            r#"{"prompt_tokens":9,"completion_tokens":4,"completion_tokens_details":{"reasoning_tokens":50}}"#,
            [9, 54, 0, 50],
        ),
        // Groq adds times.
        (
            r#"{"queue_time":0.07,"prompt_tokens":23,"prompt_time":0.006,"completion_tokens":19,"total_tokens":42,"total_time":0.02}"#,
            [23, 19, 0, 0],
        ),
        // One half and the total.
        (r#"{"prompt_tokens":9,"total_tokens":59}"#, [9, 50, 0, 0]),
        (r#"{"completion_tokens":50,"total_tokens":59}"#, [9, 50, 0, 0]),
        (r#"{"prompt_tokens":9,"completion_tokens":4,"total_tokens":7}"#, [9, 4, 0, 0]),
    ] {
        assert_usage(json, Some(expected));
    }
    for json in ["{}", "[]", "null", r#""many""#, r#"{"prompt_tokens":-1}"#, r#"{"x":1}"#] {
        assert_usage(json, None);
    }
}

#[test]
fn unreadable_member_leaves_the_others() {
    for odd in [
        r#""prompt_tokens_details":[]"#,
        r#""prompt_tokens_details":"none""#,
        r#""prompt_tokens_details":{"cached_tokens":"some"}"#,
        r#""completion_tokens_details":{"reasoning_tokens":-1}"#,
        r#""total_tokens":"13 tokens""#,
        r#""total_tokens":null"#,
        r#""cost":{"usd":1e-5}"#,
        r#""\ud83d":1"#,
    ] {
        let json = format!(r#"{{"prompt_tokens":9,"completion_tokens":4.0,{odd}}}"#);
        assert_usage(&json, Some([9, 4, 0, 0]));
    }
    assert_usage(r#"{"prompt_tokens":"9","completion_tokens":4e0}"#, Some([9, 4, 0, 0]));
}

#[test]
fn cache_writes_are_read_in_every_dialect() {
    for json in [
        r#"{"prompt_tokens":30,"completion_tokens":4,"prompt_tokens_details":{"cache_write_tokens":20}}"#,
        r#"{"input_tokens":30,"output_tokens":4,"total_tokens":34,"input_tokens_details":{"cache_write_tokens":20}}"#,
        r#"{"prompt_tokens":30,"completion_tokens":4,"prompt_tokens_details":{"cache_creation_input_tokens":20,"cache_type":"ephemeral"}}"#,
        r#"{"prompt_tokens":30,"completion_tokens":4,"cache_creation_input_tokens":20}"#,
        r#"{"input_tokens":10,"output_tokens":4,"cache_creation_input_tokens":20}"#,
    ] {
        let tokens = Tokens::count(Usage::parse(json), &AnswerSize::default());
        assert_eq!((tokens.input, tokens.cache_write), (30, 20), "{json}");
    }
}

#[test]
fn merged_reports_complete_each_other_and_do_not_fall() {
    let merged = |reports: &[&str]| {
        let reports = reports.iter().map(|json| Usage::parse(json));
        let merged = reports.fold(None, Usage::merge_options);
        let tokens = Tokens::count(merged, &AnswerSize::default());
        [tokens.input, tokens.output]
    };
    let whole = r#"{"prompt_tokens":9,"completion_tokens":50,"total_tokens":59}"#;
    let zeros = r#"{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}"#;
    for reports in [
        vec![whole, zeros],
        vec![zeros, whole],
        vec![r#"{"prompt_tokens":9}"#, r#"{"completion_tokens":50}"#],
        vec![
            r#"{"prompt_tokens":9,"completion_tokens":0}"#,
            r#"{"prompt_tokens":0,"completion_tokens":50}"#,
        ],
        vec![r#"{"prompt_tokens":9,"completion_tokens":20}"#, whole],
        vec![whole, whole],
        vec![whole, r#"{"prompt_tokens":9,"completion_tokens":20,"total_tokens":29}"#],
        vec![r#"{"prompt_tokens":9}"#, r#"{"total_tokens":59}"#],
        vec![whole, "{}"],
    ] {
        assert_eq!(merged(&reports), [9, 50], "{reports:?}");
    }
}
