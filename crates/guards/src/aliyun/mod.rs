//! Alibaba Cloud's content safety: what it is asked, signed, and what its answers mean.
//!
//! It sends nothing, cuts nothing and reads neither clock nor chance.

mod mask_diff;
mod request;
mod sign;
mod verdict;

pub use request::{
    MAX_TEXT_CHARS, RequestNonce, image_base64_request, image_request, image_url_request,
    new_session_id, text_request,
};
pub use verdict::{parse_guard_verdict, parse_text_verdict};
