//! Detection and masking of personal data and secrets.
//!
//! The detectors are hand-written scanners that try the possible forms at each byte: forms with a
//! check digit or prefix where the data have one. They detect neither names nor streets nor
//! birthdays, and use no context.

mod api_key;
mod boundaries;
mod checksummed;
mod detect;
mod email;
mod ip;
mod masking;
mod phone;
#[cfg(test)]
mod tests;

pub use detect::{MAX_CUSTOM_BYTES, MAX_MATCHES, PiiDetector, PiiMatch, detect, undecided_bytes};
pub use masking::{MAX_RESTORED_BYTES, Masks};
