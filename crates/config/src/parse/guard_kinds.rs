//! Guards that ask a model (`openai-moderation`, `llm`) or look for themselves (`words`, `pii`).

use guards::WordList;
use guards::settings::{CustomPii, JudgeFormat, Pii, PiiAction, PiiKind};
use regex_lite::Regex;

use super::super::guard::{Judge, Moderation, Words};
use super::super::model::ProviderIndex;
use super::super::provider::ProviderKind;
use super::super::raw;
use super::guard::GuardSource;
use super::ids::check_name;
use super::{Diagnostics, DocPath, quoted};

/// The kinds of [`raw::PII_KINDS`].
const PII_KINDS: [PiiKind; 6] = [
    PiiKind::Email,
    PiiKind::Phone,
    PiiKind::ChineseId,
    PiiKind::Card,
    PiiKind::Address,
    PiiKind::ApiKey,
];

/// Reads the fields of `openai-moderation`.
pub(super) fn moderation(
    review: &mut Diagnostics<'_>,
    place: &DocPath<'_>,
    reading: &GuardSource<'_>,
) -> Option<Moderation> {
    let raw = reading.raw;
    let provider = provider(review, place, reading);
    if let Some(ProviderIndex(index)) = provider {
        let asked = &reading.document.providers[index];
        let kind = ProviderKind::lookup(asked.kind.as_ref().unwrap_or(&asked.id));
        // Azure's resources have no such endpoint: their content filter works within each call.
        if kind.is_some_and(ProviderKind::has_versions) {
            let expected = "a provider that offers /v1/moderations, which azure does not";
            review.report(&place.field("provider"), quoted(&asked.id), expected);
        }
    }
    let model = model(review, place, raw);
    let mut thresholds = Vec::new();
    let scores = place.field("thresholds");
    for (category, score) in raw.thresholds.iter().flatten() {
        review.check_text(&scores, category, "the name of a category");
        let place = scores.field(category);
        // A score of 0 would block whatever is said.
        let score = review.thousandths(&place, Some(score.0), 0.001..=1.0, 0);
        thresholds.push((category.clone(), score));
    }
    Some(Moderation { provider: provider?, model, thresholds })
}

/// Reads the fields of `llm`.
pub(super) fn judge(
    review: &mut Diagnostics<'_>,
    place: &DocPath<'_>,
    reading: &GuardSource<'_>,
) -> Option<Judge> {
    let provider = provider(review, place, reading);
    let model = model(review, place, reading.raw);
    let format = review.choice(
        &place.field("format"),
        reading.raw.format.as_deref(),
        &raw::JUDGE_FORMATS,
        [JudgeFormat::LlamaGuard, JudgeFormat::Qwen3Guard],
    );
    Some(Judge { provider: provider?, model: model?, format: format? })
}

fn provider(
    review: &mut Diagnostics<'_>,
    place: &DocPath<'_>,
    reading: &GuardSource<'_>,
) -> Option<ProviderIndex> {
    let id = reading.raw.provider.as_ref()?;
    reading.providers.resolve(review, &place.field("provider"), id).map(ProviderIndex)
}

fn model(review: &mut Diagnostics<'_>, place: &DocPath<'_>, raw: &raw::Guard) -> Option<String> {
    let model = raw.model.as_ref()?;
    review.check_text(&place.field("model"), model, "the name of a model");
    Some(model.clone())
}

/// Reads the fields of `words`.
pub(super) fn words(
    review: &mut Diagnostics<'_>,
    place: &DocPath<'_>,
    raw: &raw::Guard,
) -> Option<Words> {
    let words = place.field("words");
    if raw.words.is_none() && raw.list.is_none() {
        review.report(place, "no words", "`words`, the name of a `list`, or both");
    }
    if raw.words.as_ref().is_some_and(Vec::is_empty) {
        review.report(&words, "an empty list", "at least one word");
    }
    for (index, word) in raw.words.iter().flatten().enumerate() {
        review.check_text(&words.item(index), word, "a word");
    }
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if let Some(list) = raw.list.as_ref().filter(|list| list.is_empty() || !list.bytes().all(fits))
    {
        let expected = "lower-case letters, digits and \"-\", at least one";
        review.report(&place.field("list"), quoted(list), expected);
    }
    let listed = WordList::new(raw.words.iter().flatten().map(String::as_str));
    Some(Words { inline_words: listed, stored_list: raw.list.clone() })
}

/// Reads the fields of `pii`.
pub(super) fn pii(
    review: &mut Diagnostics<'_>,
    place: &DocPath<'_>,
    raw: &raw::Guard,
) -> Option<Pii> {
    let action = review.choice(
        &place.field("action"),
        raw.action.as_deref(),
        &raw::PII_ACTIONS,
        [PiiAction::Replace, PiiAction::Hash, PiiAction::Refuse],
    );
    let action = action.unwrap_or_default();
    if raw.restore == Some(true) && action != PiiAction::Replace {
        let expected = "`action = \"replace\"`: nothing else can be taken back";
        review.report(&place.field("restore"), "true", expected);
    }
    let detect = detect(review, &place.field("detect"), raw);
    let all = place.field("custom");
    let mut custom: Vec<CustomPii> = Vec::new();
    for (index, pattern) in raw.custom.iter().flatten().enumerate() {
        let place = all.item(index);
        if custom.iter().any(|other| other.name == pattern.name) {
            let expected = "a name of its own for each pattern";
            review.report(&place.field("name"), quoted(&pattern.name), expected);
        }
        custom.extend(self::custom(review, &place, pattern, action));
    }
    let restore = action == PiiAction::Replace && raw.restore.unwrap_or(true);
    Some(Pii { detect, custom, action, restore })
}

fn detect(review: &mut Diagnostics<'_>, place: &DocPath<'_>, raw: &raw::Guard) -> Vec<PiiKind> {
    let Some(words) = &raw.detect else { return PII_KINDS.to_vec() };
    if words.is_empty() && raw.custom.as_ref().is_none_or(Vec::is_empty) {
        review.report(place, "an empty list", "something to look for, here or in `custom`");
    }
    let mut kinds = Vec::with_capacity(words.len());
    for (index, word) in words.iter().enumerate() {
        let place = place.item(index);
        let kind = review.choice(&place, Some(word), &raw::PII_KINDS, PII_KINDS);
        kinds.extend(kind.filter(|kind| !kinds.contains(kind)));
    }
    kinds
}

fn custom(
    review: &mut Diagnostics<'_>,
    place: &DocPath<'_>,
    raw: &raw::CustomPii,
    action: PiiAction,
) -> Option<CustomPii> {
    let own = place.field("name");
    check_name(review, &own, &raw.name);
    if raw::PII_KINDS.iter().any(|kind| kind.eq_ignore_ascii_case(&raw.name)) {
        review.report(&own, quoted(&raw.name), "another name, since that one is built in");
    }
    if raw.replace.is_some() && action != PiiAction::Replace {
        let expected = "none beside `hash` and `refuse`";
        review.report(&place.field("replace"), "a replacement", expected);
    }
    let pattern = place.field("pattern");
    match Regex::new(&raw.pattern) {
        Ok(regex) if regex.is_match("") => {
            let expected = "a regular expression that matches something";
            review.report(
                &pattern,
                format!("{}, which matches nothing", quoted(&raw.pattern)),
                expected,
            );
            None
        }
        Ok(pattern) => {
            Some(CustomPii { name: raw.name.clone(), pattern, replacement: raw.replace.clone() })
        }
        Err(error) => {
            let found = format!("{} ({error})", quoted(&raw.pattern));
            review.report(&pattern, found, "a regular expression");
            None
        }
    }
}
