//! `[[guards]]`: the fields of every kind, and the table of fields that belong to one kind.

use std::time::Duration;

use guards::Level;
use http::StatusCode;

use super::super::guard::{BlockFormat, Guard, GuardKind, GuardScope, OnBlock};
use super::super::limit::OnError;
use super::super::raw;
use super::aliyun::aliyun;
use super::diagnostics::Diagnostics;
use super::doc_path::DocPath;
use super::guard_kinds::{judge, moderation, pii, words};
use super::guard_override::overrides;
use super::guard_source::{GuardSource, LEVELS};
use super::ids::IdIndex;

/// The message of a block response without a configured message.
const DEFAULT_BLOCK_MESSAGE: &str = "I cannot help with that.";

/// Parses every guard.
pub(super) fn guards(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    document: &raw::Document,
    providers: &IdIndex<'_>,
    routes: &IdIndex<'_>,
) -> Vec<Guard> {
    let mut guards = Vec::with_capacity(document.guards.len());
    for (index, raw) in document.guards.iter().enumerate() {
        let path = path.item(index);
        let source = GuardSource { document, raw, providers };
        guards.extend(guard(diagnostics, &path, &source, routes));
    }
    guards
}

fn guard(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    source: &GuardSource<'_>,
    routes: &IdIndex<'_>,
) -> Option<Guard> {
    let raw = source.raw;
    let block_at = raw.block_at.as_deref();
    let block_at = diagnostics.choice(&path.field("block_at"), block_at, &raw::LEVELS, LEVELS);
    let block_at = block_at.unwrap_or(Level::High);
    let kind = kind(diagnostics, path, source, block_at);
    let routes = diagnostics.routes(&path.field("routes"), raw.routes.as_deref(), routes);
    let [request, response] = phases(diagnostics, &path.field("check"), raw.check.as_deref());
    let scope = diagnostics.choice(
        &path.field("look_at"),
        raw.look_at.as_deref(),
        &raw::LOOKS,
        [GuardScope::Last, GuardScope::New, GuardScope::All],
    );
    // The caller sends the unmasked text of earlier turns again, so a guard that masks checks all messages.
    let masks = kind.as_ref().is_some_and(GuardKind::masks);
    let scope = scope.unwrap_or(if masks { GuardScope::All } else { GuardScope::New });
    let on_block = on_block(diagnostics, &path.field("on_block"), &raw.on_block);
    let on_error = diagnostics.choice(
        &path.field("on_error"),
        raw.on_error.as_deref(),
        &raw::ON_ERROR,
        [OnError::Open, OnError::Closed],
    );
    let timeout = diagnostics.positive_duration(
        &path.field("timeout"),
        raw.timeout.as_ref(),
        Duration::from_secs(2),
    );
    // Without a service, holding text back saves no calls.
    let calls_service = kind.as_ref().is_none_or(GuardKind::calls_service);
    let window = if calls_service { 200 } else { 1 };
    let window =
        diagnostics.count(&path.field("stream_window"), raw.stream_window, 1..=100_000, window);
    let delay = diagnostics.positive_duration(
        &path.field("stream_delay"),
        raw.stream_delay.as_ref(),
        Duration::from_secs(1),
    );
    let keep = diagnostics.count(&path.field("keep_content"), raw.keep_content, 0..=10_000, 0);
    let overrides = overrides(diagnostics, &path.field("overrides"), raw);
    Some(Guard {
        id: raw.id.clone(),
        kind: kind?,
        routes,
        request,
        response,
        scope,
        block_at: Some(block_at),
        on_block,
        on_error: on_error.unwrap_or_default(),
        timeout,
        window,
        delay,
        keep,
        overrides,
    })
}

fn kind(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    source: &GuardSource<'_>,
    block_at: Level,
) -> Option<GuardKind> {
    let raw = source.raw;
    diagnostics.one_of(&path.field("kind"), &raw.kind, &raw::GUARD_KINDS)?;
    check_fields(diagnostics, path, raw);
    match raw.kind.as_str() {
        "aliyun" => {
            let aliyun = aliyun(diagnostics, path, raw, block_at)?;
            Some(GuardKind::Aliyun(Box::new(aliyun)))
        }
        "openai-moderation" => moderation(diagnostics, path, source).map(GuardKind::Moderation),
        "llm" => judge(diagnostics, path, source).map(GuardKind::Judge),
        "words" => words(diagnostics, path, raw).map(GuardKind::Words),
        _ => pii(diagnostics, path, raw).map(GuardKind::Pii),
    }
}

/// Checks that a guard has the required fields of its kind, and none of another kind.
fn check_fields(diagnostics: &mut Diagnostics<'_>, path: &DocPath<'_>, raw: &raw::Guard) {
    const OPTIONAL: bool = false;
    const REQUIRED: bool = true;
    const ALIYUN: &[&str] = &["aliyun"];
    const MODELS: &[&str] = &["openai-moderation", "llm"];
    const WORDS: &[&str] = &["words"];
    const PII: &[&str] = &["pii"];
    let table = [
        ("region", raw.region.is_some(), ALIYUN, OPTIONAL),
        ("endpoint", raw.endpoint.is_some(), ALIYUN, OPTIONAL),
        ("access_key_id", raw.access_key_id.is_some(), ALIYUN, REQUIRED),
        ("access_key", raw.access_key.is_some(), ALIYUN, REQUIRED),
        ("security_token", raw.security_token.is_some(), ALIYUN, OPTIONAL),
        ("action", raw.action.is_some(), &["aliyun", "pii"], OPTIONAL),
        ("services", raw.services.is_some(), ALIYUN, OPTIONAL),
        ("bars", raw.bars.is_some(), ALIYUN, OPTIONAL),
        ("mask", raw.mask.is_some(), ALIYUN, OPTIONAL),
        ("provider", raw.provider.is_some(), MODELS, REQUIRED),
        // The moderation endpoint has a default model.
        ("model", raw.model.is_some(), MODELS, raw.kind == "llm"),
        ("thresholds", raw.thresholds.is_some(), &["openai-moderation"], OPTIONAL),
        ("format", raw.format.is_some(), &["llm"], REQUIRED),
        ("words", raw.words.is_some(), WORDS, OPTIONAL),
        ("list", raw.list.is_some(), WORDS, OPTIONAL),
        ("detect", raw.detect.is_some(), PII, OPTIONAL),
        ("custom", raw.custom.is_some(), PII, OPTIONAL),
        ("restore", raw.restore.is_some(), PII, OPTIONAL),
    ];
    for (field, is_present, kinds, is_required) in table {
        let belongs = kinds.contains(&raw.kind.as_str());
        if belongs && is_required && !is_present {
            let expected = format!("the field: guards of the kind {} need it", raw.kind);
            diagnostics.report(path, format!("no `{field}`"), expected);
        } else if !belongs && is_present {
            let kinds = kinds.join(" or ");
            let expected = format!("no `{field}`: it belongs to guards of the kind {kinds}");
            diagnostics.report(&path.field(field), format!("`{field}`"), expected);
        }
    }
}

fn phases(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    phases: Option<&[String]>,
) -> [bool; 2] {
    let Some(phases) = phases else { return [true, true] };
    if phases.is_empty() {
        diagnostics.report(path, "an empty list", "request, response or both");
    }
    for (index, phase) in phases.iter().enumerate() {
        diagnostics.one_of(&path.item(index), phase, &raw::PHASES);
    }
    raw::PHASES.map(|known| phases.iter().any(|phase| phase == known))
}

fn on_block(diagnostics: &mut Diagnostics<'_>, path: &DocPath<'_>, raw: &raw::OnBlock) -> OnBlock {
    let format = diagnostics.choice(
        &path.field("format"),
        raw.format.as_deref(),
        &raw::BLOCK_FORMATS,
        [BlockFormat::Message, BlockFormat::Structured, BlockFormat::Error],
    );
    let format = format.unwrap_or_default();
    // A client recognizes an error by its status.
    let (is_message, expected, default) = match format {
        BlockFormat::Message | BlockFormat::Structured => (
            true,
            "200 to 299 except 204 and 205, which have no body, or 400 to 599",
            StatusCode::OK,
        ),
        BlockFormat::Error => {
            (false, "a status from 400 to 599 for an error", StatusCode::BAD_REQUEST)
        }
    };
    let fits = |status: u16| match status {
        204 | 205 => false,
        200..=299 => is_message,
        status => (400..=599).contains(&status),
    };
    if let Some(status) = raw.status.filter(|status| !fits(*status)) {
        diagnostics.report(&path.field("status"), status.to_string(), expected);
    }
    if let Some(message) = &raw.message {
        diagnostics.check_text(&path.field("message"), message, "a message");
    }
    let status = raw.status.and_then(|status| StatusCode::from_u16(status).ok());
    OnBlock {
        status: status.unwrap_or(default),
        message: raw.message.clone().unwrap_or_else(|| DEFAULT_BLOCK_MESSAGE.to_owned()),
        format,
    }
}
