//! Lists of models, and counts of tokens.

use civil_time::Timestamp;
use civil_time::rfc3339::Day;

use crate::json_text::JsonText;
use crate::model::Protocol;

/// Model in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedModel<'a> {
    /// Name by which a request asks for it.
    pub id: &'a str,
    /// Name for people; the id if there is none.
    pub display_name: Option<&'a str>,
    /// Seconds from the Unix epoch to its release.
    pub created_epoch_seconds: u64,
    /// Organization that offers it.
    pub owner: &'a str,
}

/// List of models: OpenAI's for callers of Chat and Responses (OpenAI API reference, "List
/// models"), Anthropic's for callers of Messages (Anthropic API reference, "List Models"), as its
/// only page.
pub fn models(caller: Protocol, models: &[ListedModel<'_>]) -> Vec<u8> {
    let mut json = JsonText::with_capacity(64 + 128 * models.len());
    json.begin_object();
    if caller != Protocol::Messages {
        json.text_member("object", "list");
    }
    json.array("data");
    for model in models {
        write_model(&mut json, caller, model);
    }
    json.end_array();
    if caller == Protocol::Messages {
        json.raw_member("has_more", "false");
        json.optional_text_member("first_id", models.first().map(|model| model.id));
        json.optional_text_member("last_id", models.last().map(|model| model.id));
    }
    json.end_object();
    json.into_bytes()
}

/// One model.
pub fn model(caller: Protocol, model: &ListedModel<'_>) -> Vec<u8> {
    let mut json = JsonText::with_capacity(192);
    write_model(&mut json, caller, model);
    json.into_bytes()
}

fn write_model(json: &mut JsonText, caller: Protocol, model: &ListedModel<'_>) {
    json.begin_object();
    if caller == Protocol::Messages {
        json.text_member("type", "model");
        json.text_member("id", model.id);
        json.text_member("display_name", model.display_name.unwrap_or(model.id));
        json.text_member("created_at", &rfc3339(model.created_epoch_seconds));
    } else {
        json.text_member("id", model.id);
        json.text_member("object", "model");
        json.number_member("created", model.created_epoch_seconds);
        json.text_member("owned_by", model.owner);
    }
    json.end_object();
}

/// Count of a prompt's tokens (Anthropic API reference, "Count tokens in a Message"; OpenAI API
/// reference, "Get input token counts"). `None` for Chat, which has no such call.
pub fn token_count(caller: Protocol, input_tokens: u64) -> Option<Vec<u8>> {
    let mut json = JsonText::default();
    json.begin_object();
    match caller {
        Protocol::Chat => return None,
        Protocol::Responses => json.text_member("object", "response.input_tokens"),
        Protocol::Messages => {}
    }
    json.number_member("input_tokens", input_tokens);
    json.end_object();
    Some(json.into_bytes())
}

/// Point in time as RFC 3339 in UTC.
pub(crate) fn rfc3339(epoch_seconds: u64) -> String {
    let day = Day::containing(Timestamp::from_millis(epoch_seconds.saturating_mul(1_000)));
    let (hours, minutes) = (epoch_seconds / 3_600 % 24, epoch_seconds / 60 % 60);
    format!("{day}T{hours:02}:{minutes:02}:{:02}Z", epoch_seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::{ListedModel, model, models, rfc3339, token_count};
    use crate::model::Protocol;

    const MODEL: ListedModel<'_> = ListedModel {
        id: "deepseek/\"chat\"",
        display_name: None,
        created_epoch_seconds: 1_767_225_599,
        owner: "serin",
    };

    #[track_caller]
    fn assert_json(written: &[u8], expected: serde_json::Value) {
        let written: serde_json::Value = serde_json::from_slice(written).expect("JSON");
        assert_eq!(written, expected);
    }

    // Golden case 69.
    #[test]
    fn models_are_listed_in_the_form_of_the_caller() {
        let own = serde_json::json!({
            "id": "deepseek/\"chat\"", "object": "model", "created": 1_767_225_599, "owned_by": "serin",
        });
        for caller in [Protocol::Chat, Protocol::Responses] {
            assert_json(&model(caller, &MODEL), own.clone());
            let list = serde_json::json!({"object": "list", "data": [own]});
            assert_json(&models(caller, &[MODEL]), list);
        }
        let own = serde_json::json!({
            "type": "model", "id": "deepseek/\"chat\"", "display_name": "deepseek/\"chat\"",
            "created_at": "2025-12-31T23:59:59Z",
        });
        assert_json(&model(Protocol::Messages, &MODEL), own.clone());
        let other = ListedModel { id: "b", display_name: Some("B"), ..MODEL };
        let page: serde_json::Value =
            serde_json::from_slice(&models(Protocol::Messages, &[MODEL, other])).expect("JSON");
        assert_eq!(page["data"][0], own);
        assert_eq!(page["data"][1]["display_name"], "B");
        assert_eq!(page["first_id"], "deepseek/\"chat\"");
        assert_eq!((&page["last_id"], &page["has_more"]), (&"b".into(), &false.into()));
        let none = serde_json::json!({
            "data": [], "has_more": false, "first_id": null, "last_id": null,
        });
        assert_json(&models(Protocol::Messages, &[]), none);
    }

    #[test]
    fn token_count_has_the_form_of_the_caller() {
        let written = token_count(Protocol::Messages, 7).expect("a count");
        assert_json(&written, serde_json::json!({"input_tokens": 7}));
        let written = token_count(Protocol::Responses, 7).expect("a count");
        let expected = serde_json::json!({"object": "response.input_tokens", "input_tokens": 7});
        assert_json(&written, expected);
        assert_eq!(token_count(Protocol::Chat, 7), None);
    }

    #[test]
    fn rfc3339_matches_known_times() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        let _ = rfc3339(u64::MAX);
    }
}
