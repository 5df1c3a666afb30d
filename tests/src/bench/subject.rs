//! What is asked for, and the upstream that answers it.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use sim::server::{Fixed, Server};

/// The bytes of a JSON answer and, about, of every question.
const KIBIBYTE: usize = 1024;
/// The events with content of a stream.
const EVENTS: usize = 200;
/// Finish, usage and `[DONE]`: what a stream has besides, and a role before.
const BEHIND: usize = 3;
/// The events behind the first content, where what comes before it is compared.
const FEW: usize = 20;
/// How long a late first content is waited for.
const LATENESS: Duration = Duration::from_millis(20);
/// More than anybody spends in a minute: leases are an eighth of what is left, and those that an
/// instance takes to its grave must not use it up.
const PLENTY: u64 = 1 << 52;
/// The consumer's key. Baselines hand it on; the gateway checks it.
pub(super) const CALLER_KEY: &str = "sk-bench-caller";

/// A kind of answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// One JSON document.
    Json,
    /// A stream of events, as fast as they can be written.
    Stream,
    /// The same with a pause before each event: what comes alone must leave alone. The pauses decide
    /// how long it takes; what it costs is in the processor's time.
    PacedStream,
    /// A stream that begins without content, as fast as it can be written.
    Prelude(Prelude),
    /// The same, where the first content comes 20 ms later and says when it was written.
    Late(Prelude),
}

/// How many events without content come first: they are held back until there is some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prelude {
    /// None.
    None,
    /// The role.
    Role,
    /// The role and nineteen empty ones.
    Twenty,
}

impl Prelude {
    /// Their number.
    pub fn events(self) -> usize {
        match self {
            Self::None => 0,
            Self::Role => 1,
            Self::Twenty => 20,
        }
    }
}

impl Subject {
    /// What a table calls it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Json => "JSON, 1 KiB",
            Self::Stream => "stream, 200 events",
            Self::PacedStream => "stream, 200 events, 10 ms apart",
            Self::Prelude(Prelude::None) => "no prelude",
            Self::Prelude(Prelude::Role) => "a prelude of 1 event",
            Self::Prelude(Prelude::Twenty) => "a prelude of 20 events",
            Self::Late(Prelude::None) => "no prelude, 20 ms",
            Self::Late(Prelude::Role) => "a prelude of 1 event, 20 ms",
            Self::Late(Prelude::Twenty) => "a prelude of 20 events, 20 ms",
        }
    }

    /// The world of the upstream that answers so.
    pub(super) fn world(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Stream => "stream",
            Self::PacedStream => "paced",
            Self::Prelude(Prelude::None) => "prelude-0",
            Self::Prelude(Prelude::Role) => "prelude-1",
            Self::Prelude(Prelude::Twenty) => "prelude-20",
            Self::Late(Prelude::None) => "late-0",
            Self::Late(Prelude::Role) => "late-1",
            Self::Late(Prelude::Twenty) => "late-20",
        }
    }

    fn answer(self) -> Fixed {
        match self {
            Self::Json => Fixed::json(KIBIBYTE),
            Self::Stream => Fixed::stream(EVENTS, None),
            Self::PacedStream => Fixed::stream(EVENTS, Some(Duration::from_millis(10))),
            Self::Prelude(prelude) => Fixed::prelude(prelude.events(), None, FEW),
            Self::Late(prelude) => Fixed::prelude(prelude.events(), Some(LATENESS), FEW),
        }
    }

    /// The request as it goes over the wire: what the official Python client sends, and no more than
    /// most callers say.
    pub(super) fn question(self) -> Bytes {
        let stream = self != Self::Json;
        let mut body = json!({
            "model": self.world(),
            "messages": [
                { "role": "system", "content": "You are a helpful assistant." },
                { "role": "user", "content": "" },
            ],
            "temperature": 0.7,
            "stream": stream,
        });
        let missing = KIBIBYTE.saturating_sub(body.to_string().len());
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

    /// Whether a body is the whole answer. The gateway asks for usage and hides it again.
    pub(super) fn is_answered_by(self, body: &[u8], hides_usage: bool) -> bool {
        let before_the_end = match self {
            Self::Json => {
                return body.len() == KIBIBYTE && body.starts_with(b"{") && body.ends_with(b"}");
            }
            Self::Stream | Self::PacedStream => 1 + EVENTS,
            Self::Prelude(prelude) | Self::Late(prelude) => prelude.events() + 1 + FEW,
        };
        let expected = before_the_end + BEHIND - usize::from(hides_usage);
        body.ends_with(b"data: [DONE]\n\n")
            && memchr::memmem::find_iter(body, b"data: ").count() == expected
    }

    /// Whether the upstream's pauses decide how many answers there are in a second.
    pub(super) fn is_paced(self) -> bool {
        match self {
            Self::PacedStream | Self::Late(_) => true,
            Self::Json | Self::Stream | Self::Prelude(_) => false,
        }
    }

    /// The path under which the upstream answers so, without `/v1`: the gateway ignores what comes
    /// before that, and a pass-through has nothing else to go by.
    pub(super) fn provider(self) -> String {
        format!("{}/provider", self.world())
    }
}

/// All of them.
pub(super) const SUBJECTS: [Subject; 9] = [
    Subject::Json,
    Subject::Stream,
    Subject::PacedStream,
    Subject::Prelude(Prelude::None),
    Subject::Prelude(Prelude::Role),
    Subject::Prelude(Prelude::Twenty),
    Subject::Late(Prelude::None),
    Subject::Late(Prelude::Role),
    Subject::Late(Prelude::Twenty),
];

/// What the consumer is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Budget {
    /// Nothing.
    Unlimited,
    /// A limit that is never reached: each request is reserved and settled.
    Limited,
    /// The same one, admitted from leases.
    Leased,
}

impl Budget {
    fn limits(self) -> Vec<Value> {
        let lease = match self {
            Self::Unlimited => return Vec::new(),
            Self::Limited => false,
            Self::Leased => true,
        };
        vec![json!({
            "id": "bench",
            "by": "consumer",
            "tokens": { "per": "minute", "max": PLENTY },
            "requests": { "per": "minute", "max": PLENTY },
            "lease": lease,
            // A ledger that is away would be measured as no ledger at all: the run fails instead.
            "on_error": "closed",
        })]
    }
}

/// The gateway's configuration: a canary of two, a fallback and retries, a consumer with a key.
pub(super) fn configuration(upstream: &str, budget: Budget) -> String {
    let providers = SUBJECTS.map(|subject| {
        json!({
            "id": subject.world(),
            "kind": "openai-compatible",
            "base_url": format!("http://{upstream}/{}/v1", subject.provider()),
            "keys": ["secret:UPSTREAM_KEY"],
        })
    });
    let routes = SUBJECTS.map(|subject| {
        json!({
            "id": subject.world(),
            "models": [subject.world()],
            "targets": [
                { "provider": subject.world(), "weight": 90 },
                { "provider": subject.world(), "weight": 10, "model": "canary" },
            ],
            "fallback": [{ "provider": subject.world(), "model": "fallback" }],
            "fallback_on": ["connect", "timeout", "429", "5xx"],
            "retries": { "attempts": 1, "backoff": "250ms" },
        })
    });
    json!({
        "providers": providers,
        "routes": routes,
        "consumers": [{ "id": "bench", "keys": ["secret:CALLER_KEY"] }],
        "limits": budget.limits(),
    })
    .to_string()
}

/// Serves every subject until the future is dropped; says where.
pub async fn serve_upstream() -> anyhow::Result<(Server, String)> {
    let server = Server::start().await?;
    for subject in SUBJECTS {
        server.register_fixed(subject.world(), subject.answer());
    }
    let address = server.address().to_string();
    Ok((server, address))
}

#[cfg(test)]
mod tests {
    use super::{Budget, Prelude, SUBJECTS, Subject, configuration};

    #[test]
    fn the_gateway_accepts_its_configuration() {
        let secret = |_: &str| Some(gateway::secret::Secret::new("key"));
        for budget in [Budget::Unlimited, Budget::Limited, Budget::Leased] {
            let text = configuration("127.0.0.1:1", budget);
            let config = gateway::config::Config::from_json(&text, &secret);
            let limits = config.map(|config| config.limits.len());
            assert_eq!(limits.ok(), Some(usize::from(budget != Budget::Unlimited)), "{text}");
        }
    }

    #[test]
    fn a_question_says_how_long_it_is() {
        for subject in SUBJECTS {
            let question = String::from_utf8(subject.question().to_vec()).expect("UTF-8");
            let (head, body) = question.split_once("\r\n\r\n").expect("a head");
            assert!(head.ends_with(&format!("content-length: {}", body.len())), "{head}");
            assert_eq!(body.len(), 1024);
        }
    }

    #[test]
    fn half_an_answer_is_none() {
        let events = |count: usize| "data: {}\n\n".repeat(count) + "data: [DONE]\n\n";
        assert!(Subject::Stream.is_answered_by(events(203).as_bytes(), false));
        assert!(Subject::Stream.is_answered_by(events(202).as_bytes(), true));
        assert!(!Subject::Stream.is_answered_by(events(202).as_bytes(), false));
        assert!(!Subject::Stream.is_answered_by("data: {}\n\n".repeat(204).as_bytes(), false));
        assert!(!Subject::Json.is_answered_by(b"{}", false));
        let late = Subject::Late(Prelude::Twenty);
        assert!(late.is_answered_by(events(43).as_bytes(), false));
        assert!(!late.is_answered_by(events(42).as_bytes(), false));
    }
}
