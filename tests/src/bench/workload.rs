//! Workloads of the benchmark, and the upstream that answers them.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use sim::server::{CannedResponse, Server};

/// Size of a JSON response and, roughly, of every request.
const KIBIBYTE: usize = 1024;
/// Events with content in a stream.
const STREAM_EVENTS: usize = 200;
/// Number of other events in a stream: finish, usage and `[DONE]`. The role comes before the
/// content.
const TRAILING_EVENTS: usize = 3;
/// Events after the first content, in workloads that measure the events before it.
const EVENTS_AFTER_PRELUDE: usize = 20;
/// Size of a long request.
const LONG_REQUEST_BYTES: usize = 8 * KIBIBYTE;
/// Words of a stream at a model's pace, and the pause between two of them. Together the words are
/// longer than the widest measured window.
const PACED_WORDS: usize = 45;
const WORD_GAP: Duration = Duration::from_millis(20);
/// Largest difference in size of a replayed response, in bytes: its id is a different one.
const REPLAY_SIZE_TOLERANCE: usize = 32;
/// Delay of a late first content.
const FIRST_CONTENT_DELAY: Duration = Duration::from_millis(20);
/// A limit that no run reaches in a minute: leases are an eighth of the remainder, and those that
/// an ended instance still holds must not use it up.
const UNREACHED_LIMIT: u64 = 1 << 52;
/// Worlds of services that are not providers of responses.
pub(super) const MODERATION: &str = "moderation";
pub(super) const ALIYUN: &str = "aliyun";
pub(super) const COLLECTOR: &str = "collector";
/// The consumer's key. Baselines pass it on; the gateway checks it.
pub(super) const CALLER_KEY: &str = "sk-bench-caller";
pub(super) const ADMIN_TOKEN: &str = "bench-admin-token-0123456789";

/// A kind of response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// One JSON document.
    Json,
    /// One JSON document for a request of 8 KiB.
    Long,
    /// A stream of events at full speed.
    Stream,
    /// A stream with a pause before each event: events that arrive alone must be sent alone. The
    /// pauses determine its duration; its cost is in the processor time.
    PacedStream,
    /// A stream at full speed that begins with events without content.
    Prelude(Prelude),
    /// The same, with the first content 20 ms later and with a time stamp.
    Late(Prelude),
    /// A stream at a model's pace, 50 words per second, with a time stamp in the first content.
    ModelPaced,
}

/// Source of a response, on which its exact form depends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Responder {
    /// A pass-through.
    PassThrough,
    /// The gateway, which asks for usage and removes it again.
    Gateway,
    /// The gateway's cache, which sets another id.
    Cache,
}

/// Number of initial events without content: they are held back until some content arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prelude {
    /// No event.
    None,
    Role,
    /// The role and nineteen empty events.
    Twenty,
}

impl Prelude {
    /// Number of events.
    pub fn events(self) -> usize {
        match self {
            Self::None => 0,
            Self::Role => 1,
            Self::Twenty => 20,
        }
    }
}

impl Workload {
    /// Name in tables.
    pub fn title(self) -> &'static str {
        match self {
            Self::Json => "JSON, 1 KiB",
            Self::Long => "JSON, 8 KiB request",
            Self::Stream => "stream, 200 events",
            Self::PacedStream => "stream, 200 events, 10 ms apart",
            Self::Prelude(Prelude::None) => "stream, content at once",
            Self::Prelude(Prelude::Role) => "stream, content after 1 event",
            Self::Prelude(Prelude::Twenty) => "stream, content after 20 events",
            Self::Late(Prelude::None) => "stream, late content",
            Self::Late(Prelude::Role) => "stream, late content after 1 event",
            Self::Late(Prelude::Twenty) => "stream, late content after 20 events",
            Self::ModelPaced => "stream, 45 words, 20 ms apart",
        }
    }

    /// World of the upstream for this workload.
    pub(super) fn world(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Long => "long",
            Self::Stream => "stream",
            Self::PacedStream => "paced",
            Self::Prelude(Prelude::None) => "prelude-0",
            Self::Prelude(Prelude::Role) => "prelude-1",
            Self::Prelude(Prelude::Twenty) => "prelude-20",
            Self::Late(Prelude::None) => "late-0",
            Self::Late(Prelude::Role) => "late-1",
            Self::Late(Prelude::Twenty) => "late-20",
            Self::ModelPaced => "model-paced",
        }
    }

    fn canned_response(self) -> CannedResponse {
        match self {
            Self::Json | Self::Long => CannedResponse::json(KIBIBYTE),
            Self::Stream => CannedResponse::stream(STREAM_EVENTS, None),
            Self::PacedStream => {
                CannedResponse::stream(STREAM_EVENTS, Some(Duration::from_millis(10)))
            }
            Self::Prelude(prelude) => {
                CannedResponse::prelude(prelude.events(), None, EVENTS_AFTER_PRELUDE)
            }
            Self::Late(prelude) => CannedResponse::prelude(
                prelude.events(),
                Some(FIRST_CONTENT_DELAY),
                EVENTS_AFTER_PRELUDE,
            ),
            Self::ModelPaced => CannedResponse::paced(PACED_WORDS, WORD_GAP),
        }
    }

    /// The request's bytes on the wire: the official Python client's request, with no more fields
    /// than most callers send.
    pub(super) fn request(self) -> Bytes {
        let stream = !matches!(self, Self::Json | Self::Long);
        let mut body = json!({
            "model": self.world(),
            "messages": [
                { "role": "system", "content": "You are a helpful assistant." },
                { "role": "user", "content": "" },
            ],
            "temperature": 0.7,
            "stream": stream,
        });
        let size = if self == Self::Long { LONG_REQUEST_BYTES } else { KIBIBYTE };
        let missing = size.saturating_sub(body.to_string().len());
        body["messages"][1]["content"] =
            "word ".chars().cycle().take(missing).collect::<String>().into();
        let body = body.to_string();
        let head = format!(
            "POST /{}/v1/chat/completions HTTP/1.1\r\n\
             host: 127.0.0.1\r\n\
             accept: application/json\r\n\
             accept-encoding: gzip, deflate\r\n\
             authorization: Bearer {CALLER_KEY}\r\n\
             content-type: application/json\r\n\
             user-agent: OpenAI/Python 2.8.0\r\n\
             x-stainless-arch: x64\r\n\
             x-stainless-async: async:asyncio\r\n\
             x-stainless-lang: python\r\n\
             x-stainless-os: Linux\r\n\
             x-stainless-runtime: CPython\r\n\
             content-length: {}\r\n\r\n",
            self.provider(),
            body.len(),
        );
        Bytes::from(head + &body)
    }

    /// Whether a body is the whole response.
    pub(super) fn is_answered_by(self, body: &[u8], responder: Responder) -> bool {
        let (hides_usage, tolerance) = match responder {
            Responder::PassThrough => (false, 0),
            Responder::Gateway => (true, 0),
            Responder::Cache => (true, REPLAY_SIZE_TOLERANCE),
        };
        let before_end = match self {
            Self::Json | Self::Long => {
                let has_length = body.len().abs_diff(KIBIBYTE) <= tolerance;
                return has_length && body.starts_with(b"{") && body.ends_with(b"}");
            }
            Self::Stream | Self::PacedStream => 1 + STREAM_EVENTS,
            Self::Prelude(prelude) | Self::Late(prelude) => {
                prelude.events() + 1 + EVENTS_AFTER_PRELUDE
            }
            Self::ModelPaced => 2 + PACED_WORDS,
        };
        let expected = before_end + TRAILING_EVENTS - usize::from(hides_usage);
        body.ends_with(b"data: [DONE]\n\n")
            && memchr::memmem::find_iter(body, b"data: ").count() == expected
    }

    /// Whether the upstream's pauses determine the responses per second.
    pub(super) fn is_paced(self) -> bool {
        match self {
            Self::PacedStream | Self::Late(_) | Self::ModelPaced => true,
            Self::Json | Self::Long | Self::Stream | Self::Prelude(_) => false,
        }
    }

    /// Whether the pauses make a response longer than a turn.
    pub(super) fn is_long(self) -> bool {
        self.is_paced() && !matches!(self, Self::Late(_))
    }

    /// Whether the first content has a time stamp.
    pub(super) fn is_stamped(self) -> bool {
        match self {
            Self::Late(_) | Self::ModelPaced => true,
            Self::Json | Self::Long | Self::Stream | Self::PacedStream | Self::Prelude(_) => false,
        }
    }

    /// Path of the upstream for this workload, without `/v1`: the gateway ignores everything before
    /// that, and a pass-through selects the upstream by nothing else.
    pub(super) fn provider(self) -> String {
        format!("{}/provider", self.world())
    }
}

pub(super) const WORKLOADS: [Workload; 11] = [
    Workload::Json,
    Workload::Long,
    Workload::ModelPaced,
    Workload::Stream,
    Workload::PacedStream,
    Workload::Prelude(Prelude::None),
    Workload::Prelude(Prelude::Role),
    Workload::Prelude(Prelude::Twenty),
    Workload::Late(Prelude::None),
    Workload::Late(Prelude::Role),
    Workload::Late(Prelude::Twenty),
];

/// The consumer's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Budget {
    /// None.
    Unlimited,
    /// A limit that is never reached: each request is reserved and settled.
    Limited,
    /// The same limit, with admission from leases.
    Leased,
}

impl Budget {
    /// Additional members of the configuration.
    pub(super) fn members(self) -> Value {
        let lease = match self {
            Self::Unlimited => return json!({}),
            Self::Limited => false,
            Self::Leased => true,
        };
        json!({ "limits": [{
            "id": "bench",
            "by": "consumer",
            "tokens": { "per": "minute", "max": UNREACHED_LIMIT },
            "requests": { "per": "minute", "max": UNREACHED_LIMIT },
            "lease": lease,
            // An unavailable ledger would be measured as none: the run fails instead.
            "on_error": "closed",
        }]})
    }
}

/// The gateway's configuration: a canary of two, a fallback and retries, a consumer with a key, a
/// provider for moderation, and the given members.
pub(super) fn configuration(upstream: &str, members: &Value) -> String {
    let providers = WORKLOADS.map(|workload| {
        json!({
            "id": workload.world(),
            "kind": "openai-compatible",
            "base_url": format!("http://{upstream}/{}/v1", workload.provider()),
            "keys": ["secret:UPSTREAM_KEY"],
        })
    });
    let routes = WORKLOADS.map(|workload| {
        json!({
            "id": workload.world(),
            "models": [workload.world()],
            "targets": [
                { "provider": workload.world(), "weight": 90 },
                { "provider": workload.world(), "weight": 10, "model": "canary" },
            ],
            "fallback": [{ "provider": workload.world(), "model": "fallback" }],
            "fallback_on": ["connect", "timeout", "429", "5xx"],
            "retries": { "attempts": 1, "backoff": "250ms" },
        })
    });
    let moderation = json!({
        "id": MODERATION,
        "kind": "openai-compatible",
        "base_url": format!("http://{upstream}/{MODERATION}/provider/v1"),
        "keys": ["secret:UPSTREAM_KEY"],
    });
    let providers: Vec<Value> = providers.into_iter().chain([moderation]).collect();
    let mut all = json!({
        "providers": providers,
        "routes": routes,
        "consumers": [{ "id": "bench", "keys": ["secret:CALLER_KEY"] }],
    });
    for (name, member) in members.as_object().into_iter().flatten() {
        all[name] = member.clone();
    }
    all.to_string()
}

/// Serves every workload until the server is dropped; returns its address.
pub async fn serve_upstream() -> anyhow::Result<(Server, String)> {
    let server = Server::start().await?;
    for workload in WORKLOADS {
        server.register_canned(workload.world(), workload.canned_response());
    }
    for (world, response) in services() {
        server.register_canned(world, CannedResponse::document(&response.to_string()));
    }
    let address = server.address().to_string();
    Ok((server, address))
}

/// Additional services with their fixed, immediate responses.
fn services() -> [(&'static str, Value); 3] {
    let scores = ["harassment", "hate", "self-harm", "sexual", "violence"];
    let for_all = |value: Value| scores.map(|name| (name.to_owned(), value.clone()));
    let result = json!({
        "flagged": false,
        "categories": Value::Object(for_all(json!(false)).into_iter().collect()),
        "category_scores": Value::Object(for_all(json!(0.0001)).into_iter().collect()),
    });
    let moderated =
        json!({ "id": "modr-1", "model": "omni-moderation-latest", "results": [result] });
    let data = json!({
        "RiskLevel": "none",
        "Result": [{ "Label": "nonLabel", "Description": "nothing was found" }],
        "AttackLevel": "none",
        "AttackResult": [],
    });
    let reviewed = json!({ "Code": 200, "Message": "OK", "RequestId": "1", "Data": data });
    [(MODERATION, moderated), (ALIYUN, reviewed), (COLLECTOR, json!({}))]
}

#[cfg(test)]
mod tests {
    use super::{Budget, Prelude, Responder, WORKLOADS, Workload, configuration};

    #[test]
    fn configuration_with_each_budget_is_valid() {
        let secret = |_: &str| Some(secret::Secret::new("key"));
        for budget in [Budget::Unlimited, Budget::Limited, Budget::Leased] {
            let text = configuration("127.0.0.1:1", &budget.members());
            let config = config::Config::from_json(&text, &secret);
            let limits = config.map(|config| config.limits.len());
            assert_eq!(limits.ok(), Some(usize::from(budget != Budget::Unlimited)), "{text}");
        }
    }

    #[test]
    fn request_has_its_content_length() {
        for workload in WORKLOADS {
            let request = String::from_utf8(workload.request().to_vec()).expect("UTF-8");
            let (head, body) = request.split_once("\r\n\r\n").expect("a head");
            assert!(head.ends_with(&format!("content-length: {}", body.len())), "{head}");
            assert_eq!(body.len(), if workload == Workload::Long { 8192 } else { 1024 });
        }
    }

    #[test]
    fn incomplete_response_is_no_answer() {
        let events = |count: usize| "data: {}\n\n".repeat(count) + "data: [DONE]\n\n";
        let whole = |workload: Workload, body: String, responder| {
            workload.is_answered_by(body.as_bytes(), responder)
        };
        assert!(whole(Workload::Stream, events(203), Responder::PassThrough));
        assert!(whole(Workload::Stream, events(202), Responder::Gateway));
        assert!(!whole(Workload::Stream, events(202), Responder::PassThrough));
        assert!(!whole(Workload::Stream, "data: {}\n\n".repeat(204), Responder::PassThrough));
        assert!(!whole(Workload::Json, "{}".to_owned(), Responder::PassThrough));
        let json = |length: usize| format!("{{{}}}", " ".repeat(length - 2));
        assert!(whole(Workload::Json, json(1030), Responder::Cache));
        assert!(!whole(Workload::Json, json(1030), Responder::Gateway));
        assert!(!whole(Workload::Json, json(1057), Responder::Cache));
        let late = Workload::Late(Prelude::Twenty);
        assert!(whole(late, events(43), Responder::PassThrough));
        assert!(!whole(late, events(42), Responder::PassThrough));
    }
}
