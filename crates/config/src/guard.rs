//! Guards as parsed: what is checked, by whom, and what follows.

use std::time::Duration;

use guards::settings::{Aliyun, JudgeFormat, Pii, PiiAction};
use guards::{Level, WordList};
use http::StatusCode;

use super::limit::{OnError, ValuePattern};
use super::model::{Config, ProviderIndex, RouteIndex};

/// `[[guards]]`
#[derive(Debug)]
pub struct Guard {
    /// Its name in records, metrics and the audit.
    pub id: String,
    /// Who checks, and by what.
    pub kind: GuardKind,
    /// The routes that it watches; `None` means all.
    pub routes: Option<Vec<RouteIndex>>,
    /// Whether it looks at requests.
    pub request: bool,
    /// Whether it looks at answers.
    pub response: bool,
    /// How much of a request it looks at.
    pub scope: GuardScope,
    /// The least risk that blocks, where the service speaks of levels; `None`: no level blocks.
    pub block_at: Option<Level>,
    /// What a blocked caller gets.
    pub on_block: OnBlock,
    /// What happens where the check fails.
    pub on_error: OnError,
    /// How long one check may take.
    pub timeout: Duration,
    /// Characters of a stream that are held back until they are checked together.
    pub window: usize,
    /// How long text of a stream waits for others before it is checked alone.
    pub delay: Duration,
    /// How many characters of what was not passed are kept with the verdict; 0: none.
    pub keep: usize,
    /// Otherwise for some; the first that fits decides.
    pub overrides: Vec<Override>,
}

/// How much of a request is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardScope {
    /// The last message of the user.
    Last,
    /// Every message after the model's last one.
    New,
    /// Everything, the system's prompt too.
    All,
}

/// A guard's other ways for some consumers or groups.
#[derive(Debug)]
pub struct Override {
    /// Consumers that it is for (exact, `*`, `prefix*` as an expression, `~regex`).
    pub consumers: Vec<ValuePattern>,
    /// Groups that it is for.
    pub groups: Vec<ValuePattern>,
    /// They are not checked at all.
    pub off: bool,
    /// The least risk that blocks; `None`: as the guard says.
    pub block_at: Option<Level>,
    /// The service for requests; `None`: as the guard says.
    pub request_service: Option<String>,
    /// The service for answers; `None`: as the guard says.
    pub response_service: Option<String>,
}

/// What a blocked caller gets.
#[derive(Debug)]
pub struct OnBlock {
    /// The status.
    pub status: StatusCode,
    /// The assistant's message.
    pub message: String,
    /// In what shape.
    pub format: BlockFormat,
}

/// The shape of a blocked reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BlockFormat {
    /// The assistant says the message.
    #[default]
    Message,
    /// The same, with the details under `choices[0].x_serin_guard`.
    Structured,
    /// OpenAI's error `content_filter`.
    Error,
}

/// Who checks.
#[derive(Debug)]
pub enum GuardKind {
    /// Alibaba Cloud's content safety.
    Aliyun(Box<Aliyun>),
    /// `/v1/moderations` of a provider.
    Moderation(Moderation),
    /// A model as judge.
    Judge(Judge),
    /// A list of what may not be said.
    Words(Words),
    /// Personal data and secrets.
    Pii(Pii),
}

impl GuardKind {
    /// Whether what it says comes from elsewhere, in time and for money.
    pub fn calls_service(&self) -> bool {
        match self {
            Self::Aliyun(_) | Self::Moderation(_) | Self::Judge(_) => true,
            Self::Words(_) | Self::Pii(_) => false,
        }
    }

    /// Whether it puts something else in the place of what it finds.
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
    /// Who offers `/v1/moderations`.
    pub provider: ProviderIndex,
    /// The model; the provider's own choice unless said.
    pub model: Option<String>,
    /// The least score that blocks, by category, in thousandths; categories that are not named block
    /// where the provider flags them.
    pub thresholds: Vec<(String, u16)>,
}

/// `kind = "llm"`
#[derive(Debug)]
pub struct Judge {
    /// Who runs the model.
    pub provider: ProviderIndex,
    /// The model.
    pub model: String,
    /// How it speaks.
    pub format: JudgeFormat,
}

/// `kind = "words"`
#[derive(Debug)]
pub struct Words {
    /// Those of the configuration.
    pub inline_words: WordList,
    /// The name of a list that is kept in the store.
    pub stored_list: Option<String>,
}

impl Config {
    /// The guards that watch a route, in the order of the document, with their positions.
    pub fn guards_for(&self, route: RouteIndex) -> impl Iterator<Item = (usize, &Guard)> {
        let watches =
            move |guard: &Guard| guard.routes.as_ref().is_none_or(|routes| routes.contains(&route));
        self.guards.iter().enumerate().filter(move |(_, guard)| watches(guard))
    }
}
