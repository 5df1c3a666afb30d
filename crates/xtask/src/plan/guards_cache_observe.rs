//! Plan sections of guards, cache, history and observers.

use std::fmt::{self, Write as _};

use config::{
    BlockFormat, Cache, CacheScope, Config, Guard, GuardKind, GuardScope, History, Observe,
    OnError, Otlp, Override, SessionSource, ValuePattern, Words,
};
use guards::settings::{Aliyun, AliyunAction, JudgeFormat, PiiAction, PiiKind};

use crate::plan::access::{plural, section};
use crate::plan::{describe_routes, format_duration};

/// Writes each section that has entries.
pub(crate) fn write(config: &Config, out: &mut String) -> fmt::Result {
    let guards =
        config.guards.iter().map(|guard| (guard.id.clone(), describe_guard(config, guard)));
    section(out, "Guards", guards)?;
    let cache = config.cache.iter().map(|cache| {
        ("keeps".to_owned(), vec![describe_cache(config, cache), describe_entries(cache)])
    });
    section(out, "Cache", cache)?;
    let history = config
        .history
        .iter()
        .map(|history| ("keeps".to_owned(), vec![describe_history(config, history)]));
    section(out, "History", history)?;
    section(out, "Observers", describe_observers(config, &config.observe).into_iter())
}

/// Checked text, consequences and overrides of a guard, one line each.
fn describe_guard(config: &Config, guard: &Guard) -> Vec<String> {
    let scope = match guard.scope {
        GuardScope::Last => "the user's last message",
        GuardScope::New => "new messages",
        GuardScope::All => "all messages",
    };
    let looked_at = match (guard.request, guard.response) {
        (true, true) => format!("{scope} and answers"),
        (true, false) => scope.to_owned(),
        (false, _) => "answers".to_owned(),
    };
    let routes = describe_routes(config, guard.routes.as_deref());
    let what = format!("{}: {looked_at}, {routes}", describe_kind(config, guard));
    let block = &guard.on_block;
    let format = match block.format {
        BlockFormat::Message => "a message",
        BlockFormat::Structured => "a message with its details",
        BlockFormat::Error => "an error",
    };
    let on_error = match guard.on_error {
        OnError::Open => "fails open",
        OnError::Closed => "fails closed",
    };
    let mut then = format!(
        "blocks with {format} ({}); {on_error}, timeout {}",
        block.status.as_u16(),
        format_duration(guard.timeout),
    );
    if guard.response {
        match (guard.window, format_duration(guard.delay)) {
            (1, _) => write!(then, "; checks streams as they arrive").ok(),
            (window, delay) => {
                write!(then, "; holds back {window} characters of a stream, for {delay}").ok()
            }
        };
    }
    if guard.keep > 0 {
        write!(then, "; stores {} characters of text that does not pass", guard.keep).ok();
    }
    let overrides = guard.overrides.iter().map(describe_override);
    [what, then].into_iter().chain(overrides).collect()
}

fn describe_kind(config: &Config, guard: &Guard) -> String {
    let level = guard.block_at.map_or("no level", |level| level.name());
    match &guard.kind {
        GuardKind::Aliyun(aliyun) => describe_aliyun(aliyun, level),
        GuardKind::Moderation(moderation) => {
            let mut words = format!("moderation by {}", config.provider(moderation.provider).id);
            if let Some(model) = &moderation.model {
                write!(words, ", model {model}").ok();
            }
            let count = moderation.thresholds.len();
            if count > 0 {
                write!(words, ", {count} {}", plural(count, "threshold")).ok();
            }
            words
        }
        GuardKind::Judge(judge) => {
            let format = match judge.format {
                JudgeFormat::LlamaGuard => "Llama Guard",
                JudgeFormat::Qwen3Guard => "Qwen3Guard",
            };
            let provider = &config.provider(judge.provider).id;
            format!("{} at {provider} as {format}, from {level}", judge.model)
        }
        GuardKind::Words(words) => describe_words(words),
        GuardKind::Pii(pii) => {
            let action = match (pii.action, pii.restore) {
                (PiiAction::Replace, true) => "replaces and restores",
                (PiiAction::Replace, false) => "replaces",
                (PiiAction::Hash, _) => "hashes",
                (PiiAction::Refuse, _) => "refuses",
            };
            let known = pii.detect.iter().map(|kind| match kind {
                PiiKind::Email => "e-mail addresses",
                PiiKind::Phone => "telephone numbers",
                PiiKind::ChineseId => "Chinese resident ids",
                PiiKind::Card => "bank cards",
                PiiKind::Address => "IP addresses",
                PiiKind::ApiKey => "API keys",
            });
            let custom = pii.custom.iter().map(|custom| custom.name.as_str());
            format!("{action} {}", known.chain(custom).collect::<Vec<_>>().join(", "))
        }
    }
}

fn describe_aliyun(aliyun: &Aliyun, level: &str) -> String {
    let Aliyun { endpoint, request_service, response_service, .. } = aliyun;
    let mut words = format!("{endpoint}, {request_service} and {response_service}");
    if let Some(images) = &aliyun.image_service {
        write!(words, ", {images} for images").ok();
    }
    match aliyun.action {
        AliyunAction::Text => {
            write!(words, ", from {level}").ok();
        }
        AliyunAction::MultiModal => {
            for (dimension, level) in &aliyun.block_levels {
                write!(words, ", {} from {}", dimension.name(), level.name()).ok();
            }
        }
    }
    if aliyun.mask {
        words.push_str(", masks sensitive data");
    }
    words
}

fn describe_words(words: &Words) -> String {
    let count = words.inline_words.len();
    let listed = (count > 0).then(|| format!("{count} {}", plural(count, "word")));
    let list = words.stored_list.as_ref().map(|list| format!("the list {list}"));
    listed.into_iter().chain(list).collect::<Vec<_>>().join(" and ")
}

fn describe_override(one: &Override) -> String {
    let value = |covered: &ValuePattern| match covered {
        ValuePattern::Any => "*".to_owned(),
        ValuePattern::Exact(exact) => exact.clone(),
        ValuePattern::Regex(regex) => format!("~{regex}"),
        ValuePattern::Block(_) => "an address block".to_owned(),
    };
    let values = |all: &[ValuePattern]| all.iter().map(value).collect::<Vec<_>>().join(", ");
    let mut whom = Vec::new();
    if !one.consumers.is_empty() {
        whom.push(format!("consumers {}", values(&one.consumers)));
    }
    if !one.groups.is_empty() {
        whom.push(format!("groups {}", values(&one.groups)));
    }
    let mut how = Vec::new();
    if one.off {
        how.push("not checked".to_owned());
    }
    how.extend(one.block_at.map(|level| format!("from {}", level.name())));
    how.extend(one.request_service.as_ref().map(|name| format!("requests by {name}")));
    how.extend(one.response_service.as_ref().map(|name| format!("answers by {name}")));
    format!("{}: {}", whom.join(" and "), how.join(", "))
}

fn describe_cache(config: &Config, cache: &Cache) -> String {
    let scope = match cache.scope {
        CacheScope::Consumer => "for the same consumer",
        CacheScope::Group => "for the same group",
        CacheScope::All => "for all callers",
    };
    let (ttl, routes) =
        (format_duration(cache.ttl), describe_routes(config, cache.routes.as_deref()));
    let jitter = f64::from(cache.jitter) / 10.0;
    format!("answers {scope}, {routes}, for {ttl} or up to {jitter} % less")
}

fn describe_entries(cache: &Cache) -> String {
    let temperature = f64::from(cache.max_temperature) / 1000.0;
    let pace = cache.pace.map_or("streams at once".to_owned(), |pace| {
        format!("streams with {} between events", format_duration(pace))
    });
    let charge = if cache.charge { "charged" } else { "not charged" };
    let max = format_size(cache.max_entry);
    format!("up to {max} each, temperature up to {temperature}; {pace}; {charge} to limits")
}

fn describe_history(config: &Config, history: &History) -> String {
    let session = match &history.session {
        SessionSource::Header(name) => format!("header {name}"),
        SessionSource::User => "the request's user".to_owned(),
    };
    let (turns, bytes, ttl) =
        (history.turns, format_size(history.max_bytes), format_duration(history.ttl));
    let routes = describe_routes(config, history.routes.as_deref());
    let noun = plural(turns, "turn");
    format!("up to {turns} {noun} and {bytes} by {session}, {routes}, for {ttl}")
}

/// Empty if the document configures no observer: the label limit alone is not listed.
fn describe_observers(config: &Config, observe: &Observe) -> Vec<(String, Vec<String>)> {
    let mut entries = Vec::new();
    if let Some(otlp) = &observe.otlp {
        entries.push(("otlp".to_owned(), vec![describe_otlp(otlp)]));
    }
    let content: Vec<String> = observe
        .content
        .iter()
        .map(|(route, max)| {
            format!("{max} characters of prompts and answers of {}", config.route(*route).id)
        })
        .collect();
    if !content.is_empty() {
        entries.push(("log".to_owned(), content));
    }
    if !entries.is_empty() {
        let limit = observe.max_consumers;
        let words = format!("separate series for up to {limit} {}", plural(limit, "consumer"));
        entries.push(("metrics".to_owned(), vec![words]));
    }
    entries
}

fn describe_otlp(otlp: &Otlp) -> String {
    let sample = f64::from(otlp.sample) / 10.0;
    let traces = otlp.traces.then(|| format!("traces of {sample} % of requests"));
    let metrics = otlp.metrics.then(|| "metrics".to_owned());
    let sent: Vec<String> = traces.into_iter().chain(metrics).collect();
    let headers = otlp.headers.len();
    let noun = plural(headers, "header");
    format!("{} to {} as {}, {headers} {noun}", sent.join(" and "), otlp.endpoint, otlp.service)
}

/// Formats a size in bytes as in the configuration.
fn format_size(bytes: usize) -> String {
    let units = [(1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units.into_iter().find(|(size, _)| bytes > 0 && bytes.is_multiple_of(*size));
    let (size, unit) = unit.unwrap_or((1, ""));
    format!("{}{unit}", bytes / size)
}

#[cfg(test)]
mod tests {
    use config::author;

    use crate::plan::render;

    use super::format_size;

    #[track_caller]
    fn assert_plan(text: &str, expected: &str) {
        let config = author::from_toml(text, &|name| Some(author::placeholder_secret(name)))
            .expect("it is right");
        let plan = render(&config);
        let at = plan.find("\nGuards\n").expect("there are guards");
        assert_eq!(&plan[at..], expected);
    }

    #[test]
    fn plan_lists_guards_cache_and_exports() {
        let expected = "
Guards
  green       http://127.0.0.1:9200, query_check and response_check, \
img_query_security_check for images, contentModeration from medium, promptAttack from high, \
sensitiveData from medium, maliciousUrl from low, customLabel from high, \
masks sensitive data: answers, routes chat, qwq
              blocks with an error (451); fails closed, timeout 500ms; \
holds back 64 characters of a stream, for 250ms; stores 100 characters of text that does not pass
              consumers app, ~^test\\-, ~^eu\\. and groups design: from low, \
requests by query_check_strict, answers by response_check_strict
              groups *: not checked
  moderation  moderation by openai, model omni-moderation-latest, 2 thresholds: \
new messages and answers, every route
              blocks with a message (200); fails open, timeout 2s; \
holds back 200 characters of a stream, for 1s
  judge       Qwen/Qwen3Guard-Gen-4B at local as Qwen3Guard, from high: \
the user's last message and answers, every route
              blocks with a message with its details (200); \
fails open, timeout 2s; holds back 200 characters of a stream, for 1s
  words       2 words and the list more-words-2: new messages and answers, every route
              blocks with a message (200); fails open, timeout 2s; \
checks streams as they arrive
  pii         replaces and restores API keys, e-mail addresses, case, badge: \
all messages, every route
              blocks with a message (200); fails open, timeout 2s

Cache
  keeps  answers for the same group, routes qwq, for 48h or up to 25 % less
         up to 512KiB each, temperature up to 0.7; streams with 20ms between events; \
charged to limits

History
  keeps  up to 10 turns and 32KiB by header x-session, routes chat, for 2h

Observers
  otlp     traces of 5 % of requests to https://collector.example.com:4318 as edge, 2 headers
  log      500 characters of prompts and answers of chat
           2000 characters of prompts and answers of qwq
  metrics  separate series for up to 50 consumers
";
        assert_plan(include_str!("../../../config/tests/fixtures/guards-example.toml"), expected);
    }

    #[test]
    fn plan_of_the_worked_example_has_a_guard_and_a_cache() {
        let expected = "
Guards
  green  https://green-cip.cn-shanghai.aliyuncs.com, llm_query_moderation and \
llm_response_moderation, from high: new messages and answers, routes deepseek
         blocks with a message (200); fails open, timeout 2s; \
holds back 200 characters of a stream, for 1s

Cache
  keeps  answers for the same consumer, routes qwq, for 1h or up to 10 % less
         up to 256KiB each, temperature up to 1; streams at once; not charged to limits
";
        assert_plan(include_str!("../../../config/tests/fixtures/worked-example.toml"), expected);
    }

    #[test]
    fn size_has_the_largest_exact_unit() {
        let written = [0, 1, 1024, 1536, 1 << 20, 3 << 19].map(format_size);
        assert_eq!(written, ["0", "1", "1KiB", "1536", "1MiB", "1536KiB"]);
    }
}
