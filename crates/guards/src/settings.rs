//! Settings of the guard engines; `config` parses into them.

use regex_lite::Regex;
use secret::Secret;

use crate::{Dimension, Level};

/// `kind = "aliyun"`
#[derive(Debug)]
pub struct Aliyun {
    /// Scheme and host without a trailing slash: `https://green-cip.cn-shanghai.aliyuncs.com`.
    pub endpoint: String,
    /// Id of the access key.
    pub access_key_id: Secret,
    /// Secret of the access key.
    pub access_key: Secret,
    /// Token of a temporary key (STS).
    pub security_token: Option<Secret>,
    /// API call.
    pub action: AliyunAction,
    /// Service for requests.
    pub request_service: String,
    /// Service for answers.
    pub response_service: String,
    /// Service for images, if they are checked.
    pub image_service: Option<String>,
    /// Lowest level that blocks, by dimension (`MultiModalGuard`); other dimensions never block.
    pub block_levels: Vec<(Dimension, Level)>,
    /// Masks sensitive data as the service suggests instead of blocking.
    pub mask: bool,
}

/// API call of Alibaba's service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AliyunAction {
    /// `TextModerationPlus`
    #[default]
    Text,
    /// `MultiModalGuard`
    MultiModal,
}

/// Output format of a judging model.
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
    /// Built-in kinds to detect.
    pub detect: Vec<PiiKind>,
    /// Operator's patterns to detect.
    pub custom: Vec<CustomPii>,
    /// Action on a finding.
    pub action: PiiAction,
    /// Whether an answer shows masked data of its request again.
    pub restore: bool,
}

/// Kind of personal data or secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PiiKind {
    /// E-mail address.
    Email,
    /// Telephone number: Chinese, American, or international.
    Phone,
    /// Identity number of a Chinese resident, with its check digit.
    ChineseId,
    /// Bank card number that passes Luhn's check.
    Card,
    /// IP address of either version.
    Address,
    /// API key.
    ApiKey,
}

/// Operator's own pattern.
#[derive(Debug)]
pub struct CustomPii {
    /// Name in labels and placeholders.
    pub name: String,
    /// Expression to detect.
    pub pattern: Regex,
    /// Replacement, with `$1` or `$name` for groups; `None` is the name in brackets.
    pub replacement: Option<String>,
}

/// Action on personal data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PiiAction {
    /// Replaces it with a placeholder: `[EMAIL_1]`.
    #[default]
    Replace,
    /// Replaces it with a digest.
    Hash,
    /// Blocks the request or the answer.
    Refuse,
}
