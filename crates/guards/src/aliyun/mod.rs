//! Client of Alibaba Cloud's content safety: requests, signatures, and verdicts.
//!
//! It sends nothing, splits no text, and reads neither clock nor random numbers.

mod mask_diff;
mod request;
mod sign;
mod verdict;

pub use request::{MAX_TEXT_CHARS, RequestNonce, image_request, new_session_id, text_request};
pub use verdict::{parse_guard_verdict, parse_text_verdict};
