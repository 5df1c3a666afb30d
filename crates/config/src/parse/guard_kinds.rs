//! Guards that call a model (`openai-moderation`, `llm`), or check text locally (`words`, `pii`).

use guards::WordList;
use guards::settings::{CustomPii, JudgeFormat, Pii, PiiAction, PiiKind};
use regex_lite::Regex;

use super::super::guard::{Judge, Moderation, Words};
use super::super::index::ProviderIndex;
use super::super::provider_kind::ProviderKind;
use super::super::raw;
use super::diagnostics::{Diagnostics, quoted};
use super::doc_path::DocPath;
use super::guard_source::GuardSource;
use super::ids::check_name;

/// The kinds of [`raw::PII_KINDS`].
const PII_KINDS: [PiiKind; 6] = [
    PiiKind::Email,
    PiiKind::Phone,
    PiiKind::ChineseId,
    PiiKind::Card,
    PiiKind::Address,
    PiiKind::ApiKey,
];

/// Parses the fields of `openai-moderation`.
pub(super) fn moderation(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    source: &GuardSource<'_>,
) -> Option<Moderation> {
    let raw = source.raw;
    let provider = provider(diagnostics, path, source);
    if let Some(ProviderIndex(index)) = provider {
        let provider = &source.document.providers[index];
        let kind = ProviderKind::lookup(provider.kind.as_ref().unwrap_or(&provider.id));
        // Azure has no such endpoint: its content filter is part of each call.
        if kind.is_some_and(ProviderKind::has_versions) {
            let expected = "a provider that offers /v1/moderations, which azure does not";
            diagnostics.report(&path.field("provider"), quoted(&provider.id), expected);
        }
    }
    let model = model(diagnostics, path, raw);
    let mut thresholds = Vec::new();
    let scores = path.field("thresholds");
    for (category, score) in raw.thresholds.iter().flatten() {
        diagnostics.check_text(&scores, category, "the name of a category");
        let path = scores.field(category);
        // A score of 0 would block every text.
        let score = diagnostics.thousandths(&path, Some(score.0), 0.001..=1.0, 0);
        thresholds.push((category.clone(), score));
    }
    Some(Moderation { provider: provider?, model, thresholds })
}

/// Parses the fields of `llm`.
pub(super) fn judge(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    source: &GuardSource<'_>,
) -> Option<Judge> {
    let provider = provider(diagnostics, path, source);
    let model = model(diagnostics, path, source.raw);
    let format = diagnostics.choice(
        &path.field("format"),
        source.raw.format.as_deref(),
        &raw::JUDGE_FORMATS,
        [JudgeFormat::LlamaGuard, JudgeFormat::Qwen3Guard],
    );
    Some(Judge { provider: provider?, model: model?, format: format? })
}

fn provider(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    source: &GuardSource<'_>,
) -> Option<ProviderIndex> {
    let id = source.raw.provider.as_ref()?;
    source.providers.resolve(diagnostics, &path.field("provider"), id).map(ProviderIndex)
}

fn model(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &raw::Guard,
) -> Option<String> {
    let model = raw.model.as_ref()?;
    diagnostics.check_text(&path.field("model"), model, "the name of a model");
    Some(model.clone())
}

/// Parses the fields of `words`.
pub(super) fn words(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &raw::Guard,
) -> Option<Words> {
    let words = path.field("words");
    if raw.words.is_none() && raw.list.is_none() {
        diagnostics.report(path, "no words", "`words`, the name of a `list`, or both");
    }
    if raw.words.as_ref().is_some_and(Vec::is_empty) {
        diagnostics.report(&words, "an empty list", "at least one word");
    }
    for (index, word) in raw.words.iter().flatten().enumerate() {
        diagnostics.check_text(&words.item(index), word, "a word");
    }
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if let Some(list) = raw.list.as_ref().filter(|list| list.is_empty() || !list.bytes().all(fits))
    {
        let expected = "lower-case letters, digits and \"-\", at least one";
        diagnostics.report(&path.field("list"), quoted(list), expected);
    }
    let listed = WordList::new(raw.words.iter().flatten().map(String::as_str));
    Some(Words { inline_words: listed, stored_list: raw.list.clone() })
}

/// Parses the fields of `pii`.
pub(super) fn pii(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &raw::Guard,
) -> Option<Pii> {
    let action = diagnostics.choice(
        &path.field("action"),
        raw.action.as_deref(),
        &raw::PII_ACTIONS,
        [PiiAction::Replace, PiiAction::Hash, PiiAction::Refuse],
    );
    let action = action.unwrap_or_default();
    if raw.restore == Some(true) && action != PiiAction::Replace {
        let expected = "`action = \"replace\"`: other actions cannot be restored";
        diagnostics.report(&path.field("restore"), "true", expected);
    }
    let detect = detect(diagnostics, &path.field("detect"), raw);
    let all = path.field("custom");
    let mut custom: Vec<CustomPii> = Vec::new();
    for (index, pattern) in raw.custom.iter().flatten().enumerate() {
        let path = all.item(index);
        if custom.iter().any(|other| other.name == pattern.name) {
            let expected = "a name of its own for each pattern";
            diagnostics.report(&path.field("name"), quoted(&pattern.name), expected);
        }
        custom.extend(self::custom(diagnostics, &path, pattern, action));
    }
    let restore = action == PiiAction::Replace && raw.restore.unwrap_or(true);
    Some(Pii { detect, custom, action, restore })
}

fn detect(diagnostics: &mut Diagnostics<'_>, path: &DocPath<'_>, raw: &raw::Guard) -> Vec<PiiKind> {
    let Some(words) = &raw.detect else { return PII_KINDS.to_vec() };
    if words.is_empty() && raw.custom.as_ref().is_none_or(Vec::is_empty) {
        diagnostics.report(path, "an empty list", "at least one kind, or a pattern in `custom`");
    }
    let mut kinds = Vec::with_capacity(words.len());
    for (index, word) in words.iter().enumerate() {
        let path = path.item(index);
        let kind = diagnostics.choice(&path, Some(word), &raw::PII_KINDS, PII_KINDS);
        kinds.extend(kind.filter(|kind| !kinds.contains(kind)));
    }
    kinds
}

fn custom(
    diagnostics: &mut Diagnostics<'_>,
    path: &DocPath<'_>,
    raw: &raw::CustomPii,
    action: PiiAction,
) -> Option<CustomPii> {
    let own = path.field("name");
    check_name(diagnostics, &own, &raw.name);
    if raw::PII_KINDS.iter().any(|kind| kind.eq_ignore_ascii_case(&raw.name)) {
        diagnostics.report(&own, quoted(&raw.name), "another name: this one is a built-in kind");
    }
    if raw.replace.is_some() && action != PiiAction::Replace {
        let expected = "no `replace` with the actions `hash` and `refuse`";
        diagnostics.report(&path.field("replace"), "a replacement", expected);
    }
    let pattern = path.field("pattern");
    match Regex::new(&raw.pattern) {
        Ok(regex) if regex.is_match("") => {
            let expected = "a regular expression that never matches the empty string";
            diagnostics.report(
                &pattern,
                format!("{}, which matches the empty string", quoted(&raw.pattern)),
                expected,
            );
            None
        }
        Ok(pattern) => {
            Some(CustomPii { name: raw.name.clone(), pattern, replacement: raw.replace.clone() })
        }
        Err(error) => {
            let found = format!("{} ({error})", quoted(&raw.pattern));
            diagnostics.report(&pattern, found, "a regular expression");
            None
        }
    }
}
