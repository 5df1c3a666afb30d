//! Simulated content safety of Alibaba Cloud: `TextModerationPlus`, `MultiModalGuard`, and
//! `MultiModalGuardForBase64`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::signature::{self, AccountKey, ServiceRefusal};
use super::{Mark, marks};
use crate::upstream::Call;

/// Longest text, in UTF-16 code units.
const MAX_TEXT_CHARS: usize = 2_000;
const LEVELS: [&str; 4] = ["none", "low", "medium", "high"];
/// Mark and type of each dimension.
const DIMENSIONS: [(&str, &str); 4] = [
    ("attack", "promptAttack"),
    ("url", "maliciousUrl"),
    ("hallucination", "modelHallucination"),
    ("custom", "customLabel"),
];

/// Service with one account.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AliyunService {
    /// Id of the only access key; `testid` by default.
    pub access_key_id: String,
    /// Secret of the access key; `testsecret` by default.
    pub access_key_secret: String,
    /// Security token that a request must carry; `None` for a permanent key.
    pub security_token: Option<String>,
    /// Known service codes; every code by default.
    pub services: Option<Vec<String>>,
    /// Mark by word: `"attack plan" = "high"`.
    pub risky: BTreeMap<String, String>,
}

impl Default for AliyunService {
    fn default() -> Self {
        Self {
            access_key_id: "testid".to_owned(),
            access_key_secret: "testsecret".to_owned(),
            security_token: None,
            services: None,
            risky: BTreeMap::new(),
        }
    }
}

impl AliyunService {
    /// Returns the status and the body of the response.
    pub(super) fn answer(&self, call: &Call, earlier: &[Call]) -> (u16, Value) {
        let key = AccountKey {
            id: &self.access_key_id,
            secret: &self.access_key_secret,
            token: self.security_token.as_deref(),
        };
        let verified = signature::verify(call, &key, earlier);
        match verified.and_then(|()| self.judge(call)) {
            Ok(data) => (
                200,
                json!({ "RequestId": REQUEST_ID, "Code": 200, "Message": "OK", "Data": data }),
            ),
            // An invalid text is an error code in a body with status 200.
            Err((200, code, message)) => {
                let code: u64 = code.parse().unwrap_or(500);
                (200, json!({ "RequestId": REQUEST_ID, "Code": code, "Message": message }))
            }
            Err((status, code, message)) => (
                status,
                json!({ "RequestId": REQUEST_ID, "Code": code, "Message": message, "HostId": "green-cip.cn-shanghai.aliyuncs.com", "Recommend": "https://api.aliyun.com/troubleshoot" }),
            ),
        }
    }

    fn judge(&self, call: &Call) -> Result<Value, ServiceRefusal> {
        let header = |name: &str| {
            call.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
        };
        let is_form = header("content-type") == "application/x-www-form-urlencoded";
        let is_fine = call.method == "POST" && call.path.starts_with("/?") && is_form;
        if !is_fine || header("x-acs-version") != "2022-03-02" {
            let message = "Specified api is not found.".to_owned();
            return Err((404, "InvalidAction.NotFound", message));
        }
        let query = call.path.split_once('?').map_or("", |(_, query)| query);
        let body = std::str::from_utf8(&call.body).ok().and_then(signature::parse_form);
        let mut fields = signature::parse_form(query).unwrap_or_default();
        fields.extend(body.ok_or_else(|| invalid_parameter("the form is broken"))?);
        let field = |name: &str| {
            let found = fields.iter().find(|(own, _)| own == name);
            found.map(|(_, value)| value.as_str()).ok_or_else(|| invalid_parameter(name))
        };
        let service = field("Service")?.to_owned();
        let is_known = |all: &Vec<String>| all.contains(&service);
        if service.is_empty() || !self.services.as_ref().is_none_or(is_known) {
            return Err(invalid_parameter("there is no such service"));
        }
        let parameters: Value = serde_json::from_str(field("ServiceParameters")?)
            .map_err(|_| invalid_parameter("ServiceParameters is not JSON"))?;
        if parameters["requestFrom"] != "CIPFrom/AIGateway" {
            return Err(invalid_parameter("requestFrom"));
        }
        match header("x-acs-action") {
            "TextModerationPlus" => Ok(text_moderation_verdict(&self.marks(content(&parameters)?))),
            "MultiModalGuard" if parameters["imageUrls"].is_array() => {
                let urls: Vec<&str> = parameters["imageUrls"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .collect();
                Ok(self.multi_modal_verdict(&urls.join(" ")))
            }
            "MultiModalGuard" => Ok(self.multi_modal_verdict(content(&parameters)?)),
            "MultiModalGuardForBase64" => {
                let image = STANDARD
                    .decode(field("ImageBase64Str")?)
                    .map_err(|_| invalid_parameter("the image is not base64"))?;
                Ok(self.multi_modal_verdict(&String::from_utf8_lossy(&image)))
            }
            _ => Err((404, "InvalidAction.NotFound", "Specified api is not found.".to_owned())),
        }
    }

    fn marks(&self, text: &str) -> Vec<Mark> {
        marks(text, &self.risky)
    }

    /// Verdict of `MultiModalGuard`.
    fn multi_modal_verdict(&self, text: &str) -> Value {
        let marks = self.marks(text);
        let mut details = vec![detail("contentModeration", content_level(&marks))];
        for (mark, kind) in DIMENSIONS {
            let level = level_of(&marks, mark);
            if level > 0 || kind == "promptAttack" {
                details.push(detail(kind, level));
            }
        }
        let personal: Vec<&Mark> = marks.iter().filter(|mark| mark.split().0 == "phone").collect();
        if personal.is_empty() {
            details.push(json!({ "Suggestion": "pass", "Type": "sensitiveData", "Level": "S0", "Result": [] }));
        } else {
            let shown: Vec<&str> = personal.iter().map(|mark| &text[mark.at.clone()]).collect();
            let result = json!({ "Label": "phone_number", "Confidence": 100.0, "Level": "S3",
                "Ext": { "Desensitization": desensitized(text, &personal), "SensitiveData": shown } });
            details.push(json!({ "Suggestion": "mask", "Type": "sensitiveData", "Level": "S3", "Result": [result] }));
        }
        let suggests = |what: &str| details.iter().any(|detail| detail["Suggestion"] == what);
        let suggestion = ["block", "mask", "watch"].into_iter().find(|what| suggests(what));
        json!({ "Suggestion": suggestion.unwrap_or("pass"), "DataId": null, "Detail": details })
    }
}

const REQUEST_ID: &str = "5D2E9A1B-0000-0000-0000-57A4D1000000";

/// Extracts a valid text from the parameters.
fn content(parameters: &Value) -> Result<&str, ServiceRefusal> {
    let session = parameters["sessionId"].as_str().unwrap_or_default();
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if session.len() != 20 || !session.bytes().all(is_digit) {
        return Err(invalid_parameter("sessionId"));
    }
    match parameters["content"].as_str() {
        None | Some("") => Err(invalid_parameter("content is missing")),
        Some(text) if text.encode_utf16().count() > MAX_TEXT_CHARS => {
            Err(invalid_parameter("content is too long"))
        }
        Some(text) => Ok(text),
    }
}

fn invalid_parameter(cause: &str) -> ServiceRefusal {
    (200, "400", format!("Invalid parameter: {cause}"))
}

/// Verdict of `TextModerationPlus`.
fn text_moderation_verdict(marks: &[Mark]) -> Value {
    let level = content_level(marks);
    let results = if level > 0 {
        json!([{ "Label": "violent_incidents", "Confidence": 99.1, "Description": "a stand-in's finding" }])
    } else {
        json!([{ "Label": "nonLabel", "Description": "nothing was found" }])
    };
    let attack = level_of(marks, "attack");
    let attacks = if attack > 0 {
        json!([{ "Label": "Security Risk Attack", "AttackLevel": LEVELS[attack], "Confidence": 99.0 }])
    } else {
        json!([])
    };
    let is_personal = marks.iter().any(|mark| mark.split().0 == "phone");
    json!({
        "RiskLevel": LEVELS[level], "Score": if level > 0 { 99.1 } else { 0.0 }, "Result": results,
        "AttackLevel": LEVELS[attack], "AttackResult": attacks,
        "SensitiveLevel": if is_personal { "S3" } else { "S0" }, "SensitiveResult": [],
    })
}

fn detail(kind: &str, level: usize) -> Value {
    let results = if level > 0 {
        json!([{ "Label": format!("standin_{kind}"), "Confidence": 99.1, "Level": LEVELS[level] }])
    } else {
        json!([{ "Label": "nonLabel", "Level": "none" }])
    };
    let suggestion = ["pass", "watch", "watch", "block"][level];
    json!({ "Suggestion": suggestion, "Type": kind, "Level": LEVELS[level], "Result": results })
}

/// Highest level of the content marks, as an index of [`LEVELS`].
fn content_level(marks: &[Mark]) -> usize {
    let level = |mark: &Mark| LEVELS.iter().position(|level| *level == mark.what);
    marks.iter().filter_map(level).max().unwrap_or(0)
}

/// Highest level of the marks with this name, as an index of [`LEVELS`]. A mark without a level is high.
fn level_of(marks: &[Mark], name: &str) -> usize {
    let level = |level: Option<&str>| {
        level.map_or(Some(3), |level| LEVELS.iter().position(|known| *known == level))
    };
    let levels = marks.iter().map(Mark::split).filter(|(what, _)| *what == name);
    levels.filter_map(|(_, own)| level(own)).max().unwrap_or(0)
}

/// Masks personal data in a text, except the first three characters of each.
fn desensitized(text: &str, personal: &[&Mark]) -> String {
    let hides = |at: usize| {
        personal.iter().any(|mark| {
            let shown: usize = text[mark.at.clone()].chars().take(3).map(char::len_utf8).sum();
            (mark.at.start + shown..mark.at.end).contains(&at)
        })
    };
    text.char_indices().map(|(at, letter)| if hides(at) { '*' } else { letter }).collect()
}
