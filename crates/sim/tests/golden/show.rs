//! Requests, answers and stored bytes as readable text, byte for byte.

use std::fmt::Write as _;

use http::HeaderMap;
use sha2::{Digest, Sha256};
use sim::world::Received;

use crate::golden::mask_answer;

/// Longer bodies are shown by their ends and their SHA-256.
const LONGEST: usize = 60_000;
/// So much is shown of each end of a longer body.
const END: usize = 600;

/// Headers by name, since their order is nobody's contract.
pub(crate) fn headers(headers: &HeaderMap) -> String {
    let mut lines: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}\n", escaped(value.as_bytes())))
        .collect();
    lines.sort_by(|one, other| one.split(':').next().cmp(&other.split(':').next()));
    lines.concat()
}

/// Bytes as lines: each begins with `| `, and only a line feed ends one.
pub(crate) fn body(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "(no body)\n".to_owned();
    }
    if bytes.len() > LONGEST {
        let digest = hex(&Sha256::digest(bytes));
        let (start, end) = (&bytes[..END], &bytes[bytes.len() - END..]);
        return format!(
            "{}(in all {} bytes, SHA-256 {digest})\n{}",
            lines(start),
            bytes.len(),
            lines(end)
        );
    }
    lines(bytes)
}

fn lines(bytes: &[u8]) -> String {
    bytes.split(|byte| *byte == b'\n').map(|line| format!("| {}\n", escaped(line))).collect()
}

/// Text as it is; control characters and bytes that are no text in escapes.
pub(crate) fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '\\' => text.push('\\'),
                _ if letter.is_control() => text.extend(letter.escape_default()),
                _ => text.push(letter),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a caller got, with the sentences for people masked.
pub(crate) fn answer(received: &Received) -> String {
    let mut text = String::new();
    match &received.head {
        Some((status, map)) => {
            let _ = write!(text, "{}\n{}", status.as_u16(), headers(map));
        }
        None => text.push_str("(no answer)\n"),
    }
    let bytes = received.body();
    match std::str::from_utf8(&bytes) {
        Ok(readable) => text.push_str(&body(mask_answer(readable).as_bytes())),
        Err(_) => text.push_str(&body(&bytes)),
    }
    match (&received.broken, received.is_whole) {
        (Some(_), _) => text.push_str("(broken off)\n"),
        (None, false) => text.push_str("(the caller hung up)\n"),
        (None, true) => {}
    }
    text
}

/// A part of a golden file under its title; nothing where it is empty.
pub(crate) fn part(title: &str, content: &str) -> String {
    if content.is_empty() { String::new() } else { format!("── {title}\n{content}\n") }
}
