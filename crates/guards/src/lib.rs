//! Guard engines: detection of unsafe text, as pure functions of a text or of a service's response
//! and the configured levels.
//!
//! The crate sends nothing and does not choose the reply to blocked content: `gateway::guards`
//! does.

#![warn(missing_docs)]

pub mod aliyun;
pub mod chunking;
pub mod json_unescape;
mod lenient_json;
pub mod llm_judge;
pub mod openai_moderation;
pub mod pii;
pub mod settings;
mod sha256;
mod stream_window;
mod text_fields;
mod verdict;
mod word_list;

pub use pii::Masks;
pub use stream_window::{MaskRestorer, StreamWindow, tail_start};
pub use text_fields::{GuardInput, GuardText, TextFields};
pub use verdict::{Dimension, Edit, Finding, GuardError, Level, Phase, Verdict};
pub use word_list::{WordList, normalize_char};
