//! Alibaba Cloud's content safety: what it is asked, signed, and what its answers mean.
//!
//! It sends nothing, cuts nothing and reads neither clock nor chance.

mod mask;
mod request;
mod sign;
mod verdict;

pub use request::{MOST, Stamp, image, image_base64, image_url, session, text};
pub use verdict::{guard_verdict, text_verdict};
