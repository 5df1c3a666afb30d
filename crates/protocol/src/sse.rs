//! Writing of server-sent events.

/// Comment that keeps a connection open. Clients of Chat, Responses, and Messages pass over it.
pub const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// Writes one event. Line ends in the data are white space between JSON tokens, since the JSON text
/// escapes those in strings.
pub(crate) fn write_event(name: Option<&str>, data: &[u8], out: &mut Vec<u8>) {
    if let Some(name) = name {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        out.push(b'\n');
    }
    out.extend_from_slice(b"data: ");
    let start = out.len();
    out.extend_from_slice(data);
    for byte in &mut out[start..] {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    out.extend_from_slice(b"\n\n");
}
