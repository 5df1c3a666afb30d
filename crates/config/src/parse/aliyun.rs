//! Guards of the kind `aliyun`: the service's URL, its action, and the levels that block.

use guards::settings::{Aliyun, AliyunAction};
use guards::{Dimension, Level};
use secret::Secret;

use super::super::raw::{self, SecretText};
use super::diagnostics::Diagnostics;
use super::doc_path::DocPath;
use super::guard_source::LEVELS;
use super::ids::check_name;
use super::provider::{check_url, warn_if_plain};

/// Allowed levels for sensitive data; `S1` to `S3` are the service's own.
const SENSITIVE_DATA_LEVELS: [&str; 7] = ["low", "medium", "high", "never", "S1", "S2", "S3"];
const OTHER_DIMENSION_LEVELS: [&str; 4] = ["low", "medium", "high", "never"];

/// Parses the fields of `aliyun`.
pub(super) fn aliyun(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &raw::Guard,
    block_at: Level,
) -> Option<Aliyun> {
    let endpoint = endpoint(diagnostics, path, raw);
    let secret =
        |diagnostics: &mut Diagnostics<'_>, field, text: Option<&SecretText>| -> Option<Secret> {
            diagnostics.secret_for_service(&path.field(field), text?)
        };
    let access_key_id = secret(diagnostics, "access_key_id", raw.access_key_id.as_ref());
    let access_key = secret(diagnostics, "access_key", raw.access_key.as_ref());
    let security_token = secret(diagnostics, "security_token", raw.security_token.as_ref());
    let action = diagnostics.choice(
        &path.field("action"),
        raw.action.as_deref(),
        &raw::ALIYUN_ACTIONS,
        [AliyunAction::Text, AliyunAction::MultiModal],
    );
    let is_wrong = action.is_none() && raw.action.is_some();
    let action = action.unwrap_or_default();
    let (request, response) = match action {
        AliyunAction::Text => ("llm_query_moderation", "llm_response_moderation"),
        AliyunAction::MultiModal => ("query_security_check", "response_security_check"),
    };
    if action == AliyunAction::Text && !is_wrong {
        refuse_multimodal_fields(diagnostics, path, raw);
    }
    let services = path.field("services");
    let service = |diagnostics: &mut Diagnostics<'_>, field, service: Option<&String>| {
        let service = service?;
        check_name(diagnostics, &services.field(field), service);
        Some(service.clone())
    };
    let given = raw.services.as_ref();
    let request_service =
        service(diagnostics, "request", given.and_then(|all| all.request.as_ref()));
    let response_service =
        service(diagnostics, "response", given.and_then(|all| all.response.as_ref()));
    let image_service = service(diagnostics, "image", given.and_then(|all| all.image.as_ref()));
    let bars = match action {
        AliyunAction::Text => Vec::new(),
        AliyunAction::MultiModal => {
            block_levels(diagnostics, &path.field("bars"), raw.bars.as_ref(), block_at)
        }
    };
    Some(Aliyun {
        endpoint: endpoint?,
        access_key_id: access_key_id?,
        access_key: access_key?,
        security_token,
        action,
        request_service: request_service.unwrap_or_else(|| request.to_owned()),
        response_service: response_service.unwrap_or_else(|| response.to_owned()),
        image_service,
        block_levels: bars,
        mask: raw.mask.unwrap_or(false),
    })
}

/// The configured URL, else the region's.
fn endpoint(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &raw::Guard,
) -> Option<String> {
    if let Some(region) = &raw.region {
        check_name(diagnostics, &path.field("region"), region);
    }
    let Some(endpoint) = &raw.endpoint else {
        if raw.region.is_none() {
            let expected = "the region of the service, such as \"cn-shanghai\", or its `endpoint`";
            diagnostics.report(path, "no `region`", expected);
        }
        return raw
            .region
            .as_ref()
            .map(|region| format!("https://green-cip.{region}.aliyuncs.com"));
    };
    let address = check_url(endpoint).map(str::to_owned);
    if address.is_ok() {
        warn_if_plain(diagnostics, &path.field("endpoint"), endpoint);
    }
    address
        .map_err(|found| {
            let expected = "an address such as \"https://green-cip.cn-shanghai.aliyuncs.com\"";
            diagnostics.report(&path.field("endpoint"), found, expected);
        })
        .ok()
}

/// Refuses fields that `TextModerationPlus` does not have.
fn refuse_multimodal_fields(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &raw::Guard,
) {
    let expected = "this field only with `action = \"MultiModalGuard\"`";
    if raw.bars.is_some() {
        diagnostics.report(&path.field("bars"), "`bars`", expected);
    }
    if raw.mask == Some(true) {
        diagnostics.report(&path.field("mask"), "true", expected);
    }
    if raw.services.as_ref().is_some_and(|services| services.image.is_some()) {
        let services = path.field("services");
        diagnostics.report(&services.field("image"), "a service for images", expected);
    }
}

fn block_levels(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: Option<&raw::Bars>,
    block_at: Level,
) -> Vec<(Dimension, Level)> {
    let Some(raw) = raw else { return vec![(Dimension::Content, block_at)] };
    let table = [
        (Dimension::Content, "content", &raw.content),
        (Dimension::PromptAttack, "prompt_attack", &raw.prompt_attack),
        (Dimension::SensitiveData, "sensitive_data", &raw.sensitive_data),
        (Dimension::MaliciousUrl, "malicious_url", &raw.malicious_url),
        (Dimension::Hallucination, "hallucination", &raw.hallucination),
        (Dimension::CustomLabel, "custom_label", &raw.custom_label),
    ];
    let mut bars = Vec::new();
    for (dimension, field, word) in table {
        let Some(word) = word else {
            if dimension == Dimension::Content {
                bars.push((dimension, block_at));
            }
            continue;
        };
        let allowed = match dimension {
            Dimension::SensitiveData => &SENSITIVE_DATA_LEVELS[..],
            Dimension::Content
            | Dimension::PromptAttack
            | Dimension::MaliciousUrl
            | Dimension::Hallucination
            | Dimension::CustomLabel => &OTHER_DIMENSION_LEVELS[..],
        };
        let [low, medium, high] = LEVELS.map(Some);
        let levels = [low, medium, high, None, low, medium, high];
        let position = diagnostics.one_of(&path.field(field), word, allowed);
        bars.extend(position.and_then(|position| levels[position]).map(|level| (dimension, level)));
    }
    bars
}
