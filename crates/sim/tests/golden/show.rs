//! Lossless text form of requests, responses and stored bytes.

use std::fmt::Write as _;

use http::HeaderMap;
use sha2::{Digest, Sha256};
use sim::world::Received;

use crate::golden::mask_answer;

/// Longest body that is shown whole, in bytes. Longer ones are shown by their ends and SHA-256.
const MAX_WHOLE_BODY_BYTES: usize = 60_000;
/// Length of each shown end of a longer body, in bytes.
const SHOWN_END_BYTES: usize = 600;

/// Shows headers sorted by name.
pub(crate) fn headers(headers: &HeaderMap) -> String {
    let mut lines: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}\n", escaped(value.as_bytes())))
        .collect();
    lines.sort_by(|one, other| one.split(':').next().cmp(&other.split(':').next()));
    lines.concat()
}

/// Shows bytes as lines that begin with `| ` and end at line feeds.
pub(crate) fn body(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "(no body)\n".to_owned();
    }
    if bytes.len() > MAX_WHOLE_BODY_BYTES {
        let digest = hex(&Sha256::digest(bytes));
        let (start, end) = (&bytes[..SHOWN_END_BYTES], &bytes[bytes.len() - SHOWN_END_BYTES..]);
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

/// Escapes control characters and bytes that are not UTF-8.
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

/// Shows a response with its error texts masked.
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

/// Section of a golden file under its title; empty if the content is.
pub(crate) fn part(title: &str, content: &str) -> String {
    if content.is_empty() { String::new() } else { format!("── {title}\n{content}\n") }
}
