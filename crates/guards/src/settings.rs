//! Settings of the guard engines, as the configuration is parsed into them.

use regex_lite::Regex;
use secret::Secret;

use crate::{Dimension, Level};

/// `kind = "aliyun"`
#[derive(Debug)]
pub struct Aliyun {
    /// Scheme and host without a slash at the end: `https://green-cip.cn-shanghai.aliyuncs.com`.
    pub endpoint: String,
    /// The id of the access key.
    pub access_key_id: Secret,
    /// The access key's secret.
    pub access_key: Secret,
    /// The token of a temporary key (STS).
    pub security_token: Option<Secret>,
    /// What is asked.
    pub action: AliyunAction,
    /// The service for requests.
    pub request_service: String,
    /// The service for answers.
    pub response_service: String,
    /// The service for images, where they are checked.
    pub image_service: Option<String>,
    /// The least level that blocks, by dimension (`MultiModalGuard`); one that is not named never does.
    pub block_levels: Vec<(Dimension, Level)>,
    /// Sensitive data is masked as the service says instead of blocked.
    pub mask: bool,
}

/// What Alibaba's service is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AliyunAction {
    /// `TextModerationPlus`
    #[default]
    Text,
    /// `MultiModalGuard`
    MultiModal,
}

/// How a model that judges speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JudgeFormat {
    /// `safe`, or `unsafe` and a line of categories (`S1,S9`).
    LlamaGuard,
    /// `Safety: Safe|Controversial|Unsafe`, `Categories: …`.
    Qwen3Guard,
}

/// `kind = "pii"`
#[derive(Debug)]
pub struct Pii {
    /// What is looked for.
    pub detect: Vec<PiiKind>,
    /// What else.
    pub custom: Vec<CustomPii>,
    /// What happens to it.
    pub action: PiiAction,
    /// Whether an answer shows again what was masked in its question.
    pub restore: bool,
}

/// A kind of personal data or of secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PiiKind {
    /// An e-mail address.
    Email,
    /// A telephone number: Chinese, American or international.
    Phone,
    /// A Chinese resident's identity number, by its check digit.
    ChineseId,
    /// A bank card's number, by Luhn's check.
    Card,
    /// An address of the Internet, of either version.
    Address,
    /// A key of an API.
    ApiKey,
}

/// A pattern of the operator's own.
#[derive(Debug)]
pub struct CustomPii {
    /// Its name, in labels and in what replaces it.
    pub name: String,
    /// What is looked for.
    pub pattern: Regex,
    /// What replaces it, with `$1` or `$name` for groups; `None`: its name in brackets.
    pub replacement: Option<String>,
}

/// What happens to personal data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PiiAction {
    /// A placeholder takes its place: `[EMAIL_1]`.
    #[default]
    Replace,
    /// A digest takes its place.
    Hash,
    /// The request or the answer is blocked.
    Refuse,
}
