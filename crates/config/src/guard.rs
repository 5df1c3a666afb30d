//! Guards as parsed: kinds, scopes, and block responses.

use std::time::Duration;

use guards::settings::{Aliyun, JudgeFormat, Pii, PiiAction};
use guards::{Level, WordList};
use http::StatusCode;

use super::index::{ProviderIndex, RouteIndex};
use super::limit::{OnError, ValuePattern};

/// `[[guards]]`
#[derive(Debug)]
pub struct Guard {
    /// Its name in records, metrics, and the verdict log.
    pub id: String,
    /// The detector and its settings.
    pub kind: GuardKind,
    /// The routes that it checks. `None` for all.
    pub routes: Option<Vec<RouteIndex>>,
    /// Whether it checks requests.
    pub request: bool,
    /// Whether it checks answers.
    pub response: bool,
    /// The part of a request that it checks.
    pub scope: GuardScope,
    /// The lowest risk level that blocks, for services that return levels. `None` if no level blocks.
    pub block_at: Option<Level>,
    /// The block response.
    pub on_block: OnBlock,
    /// Behavior if the check fails.
    pub on_error: OnError,
    /// Timeout of one check.
    pub timeout: Duration,
    /// Characters of a stream to hold back and check together.
    pub window: usize,
    /// The longest wait for more text of a stream before a check.
    pub delay: Duration,
    /// Characters of rejected text to store with the verdict. 0 for none.
    pub keep: usize,
    /// Exceptions for some callers. The first match decides.
    pub overrides: Vec<Override>,
}

/// The part of a request that a guard checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardScope {
    /// The user's last message.
    Last,
    /// Every message after the model's last one.
    New,
    /// Every message, the system prompt included.
    All,
}

/// A guard's exception for some consumers or groups.
#[derive(Debug)]
pub struct Override {
    /// Consumers that it covers (exact, `*`, `prefix*` as an expression, `~regex`).
    pub consumers: Vec<ValuePattern>,
    /// Groups that it covers.
    pub groups: Vec<ValuePattern>,
    /// Whether the guard skips these callers.
    pub off: bool,
    /// The lowest risk level that blocks. `None` for the guard's own.
    pub block_at: Option<Level>,
    /// The service for requests. `None` for the guard's own.
    pub request_service: Option<String>,
    /// The service for answers. `None` for the guard's own.
    pub response_service: Option<String>,
}

/// The block response: the answer to a caller whose request or answer was blocked.
#[derive(Debug)]
pub struct OnBlock {
    /// The HTTP status.
    pub status: StatusCode,
    /// The assistant's message.
    pub message: String,
    /// The format of the body.
    pub format: BlockFormat,
}

/// The format of a block response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BlockFormat {
    /// A completion with the message.
    #[default]
    Message,
    /// The same, with the details under `choices[0].x_serin_guard`.
    Structured,
    /// OpenAI's error `content_filter`.
    Error,
}

/// A guard's detector and its settings.
#[derive(Debug)]
pub enum GuardKind {
    /// Alibaba Cloud's content safety.
    Aliyun(Box<Aliyun>),
    /// `/v1/moderations` of a provider.
    Moderation(Moderation),
    /// A model as a judge.
    Judge(Judge),
    /// A word list.
    Words(Words),
    /// Personal data and secrets.
    Pii(Pii),
}

impl GuardKind {
    /// Whether a check calls a service, which takes time and costs money.
    pub fn calls_service(&self) -> bool {
        match self {
            Self::Aliyun(_) | Self::Moderation(_) | Self::Judge(_) => true,
            Self::Words(_) | Self::Pii(_) => false,
        }
    }

    /// Whether it replaces findings instead of blocking.
    pub fn masks(&self) -> bool {
        match self {
            Self::Aliyun(aliyun) => aliyun.mask,
            Self::Pii(pii) => pii.action != PiiAction::Refuse,
            Self::Moderation(_) | Self::Judge(_) | Self::Words(_) => false,
        }
    }
}

/// `kind = "openai-moderation"`
#[derive(Debug)]
pub struct Moderation {
    /// The provider of `/v1/moderations`.
    pub provider: ProviderIndex,
    /// The model. `None` for the provider's default.
    pub model: Option<String>,
    /// The lowest score that blocks, by category, in thousandths. Any other category blocks if the provider
    /// flags it.
    pub thresholds: Vec<(String, u16)>,
}

/// `kind = "llm"`
#[derive(Debug)]
pub struct Judge {
    /// The provider of the model.
    pub provider: ProviderIndex,
    /// The model's name.
    pub model: String,
    /// The format of its prompt and verdict.
    pub format: JudgeFormat,
}

/// `kind = "words"`
#[derive(Debug)]
pub struct Words {
    /// The words in the configuration.
    pub inline_words: WordList,
    /// The name of a list in the store.
    pub stored_list: Option<String>,
}
