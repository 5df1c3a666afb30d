//! API keys, detected by the prefixes of their issuers. A key without a prefix is not detected.

use std::ops::Range;

/// Prefix of a key and form of the rest.
struct KeyFormat {
    prefix: &'static str,
    /// Bytes of the rest besides letters and digits.
    extra_bytes: &'static [u8],
    min_length: usize,
    max_length: usize,
    /// Whether the rest must have a letter and a digit: words have this prefix too.
    is_mixed: bool,
}

const fn format(prefix: &'static str, others: &'static [u8], min: usize, max: usize) -> KeyFormat {
    KeyFormat { prefix, extra_bytes: others, min_length: min, max_length: max, is_mixed: false }
}

const fn mixed(prefix: &'static str, others: &'static [u8], min: usize) -> KeyFormat {
    KeyFormat {
        prefix,
        extra_bytes: others,
        min_length: min,
        max_length: usize::MAX,
        is_mixed: true,
    }
}

const KEY_FORMATS: [KeyFormat; 27] = [
    // OpenAI, Anthropic, DeepSeek, Alibaba Cloud, OpenRouter
    mixed("sk-", b"-_", 20),
    // Stripe
    mixed("sk_live_", b"", 16),
    mixed("sk_test_", b"", 16),
    mixed("rk_live_", b"", 16),
    // Amazon, Alibaba Cloud
    format("AKIA", b"", 16, 16),
    format("ASIA", b"", 16, 16),
    format("LTAI", b"", 12, 26),
    // GitHub, GitLab
    format("ghp_", b"", 36, 255),
    format("gho_", b"", 36, 255),
    format("ghu_", b"", 36, 255),
    format("ghs_", b"", 36, 255),
    format("ghr_", b"", 36, 255),
    format("github_pat_", b"_", 50, 255),
    format("glpat-", b"-_", 20, 255),
    // Google
    format("AIza", b"-_", 35, 35),
    format("GOCSPX-", b"-_", 24, 40),
    // Slack
    mixed("xoxa-", b"-", 10),
    mixed("xoxb-", b"-", 10),
    mixed("xoxp-", b"-", 10),
    mixed("xoxr-", b"-", 10),
    mixed("xoxs-", b"-", 10),
    // Hugging Face, Groq, xAI, NVIDIA, Replicate, npm
    format("hf_", b"", 30, 64),
    format("gsk_", b"", 40, 64),
    format("xai-", b"", 60, 100),
    format("nvapi-", b"-_", 40, 100),
    format("r8_", b"", 36, 48),
    format("npm_", b"", 36, 36),
];

/// First letters of prefixes.
const START_BYTES: [bool; 128] = {
    let mut starts = [false; 128];
    starts[b'e' as usize] = true;
    let mut form = 0;
    while form < KEY_FORMATS.len() {
        starts[KEY_FORMATS[form].prefix.as_bytes()[0] as usize] = true;
        form += 1;
    }
    starts
};

/// Bytes after a prefix that are searched for a letter and a digit.
const MIXED_CHECK_BYTES: usize = 64;

/// Scans a text from beginning to end, with bounded time at each place.
#[derive(Default)]
pub(super) struct ApiKeyScanner {
    /// End of the last key.
    found: usize,
    /// End of the token that was tried last.
    tried: usize,
}

impl ApiKeyScanner {
    /// Detects the key that begins at a letter.
    pub(super) fn find_at(&mut self, text: &[u8], at: usize) -> Option<Range<usize>> {
        let rest = &text[at..];
        if at < self.found || !START_BYTES[usize::from(rest[0] & 0x7F)] {
            return None;
        }
        let length = if rest.starts_with(b"eyJ") && at >= self.tried {
            let header = run_length(rest, b"-_");
            self.tried = at + header;
            jwt_length(rest, header)
        } else {
            let is_start = |form: &&KeyFormat| form.prefix.as_bytes()[0] == rest[0];
            KEY_FORMATS.iter().filter(is_start).find_map(|form| form.match_length(rest))
        };
        let key = at..at + length?;
        self.found = key.end;
        Some(key)
    }
}

impl KeyFormat {
    /// Returns the length of a key at the beginning of a text, in bytes.
    fn match_length(&self, text: &[u8]) -> Option<usize> {
        let body = text.strip_prefix(self.prefix.as_bytes())?;
        let probe = &body[..body.len().min(MIXED_CHECK_BYTES)];
        let probe = &probe[..run_length(probe, self.extra_bytes)];
        let is_mixed =
            probe.iter().any(u8::is_ascii_digit) && probe.iter().any(u8::is_ascii_alphabetic);
        if (self.is_mixed && !is_mixed) || probe.len() < self.min_length.min(MIXED_CHECK_BYTES) {
            return None;
        }
        let length = run_length(
            &body[..body.len().min(self.max_length.saturating_add(1))],
            self.extra_bytes,
        );
        (self.min_length..=self.max_length).contains(&length).then_some(self.prefix.len() + length)
    }
}

/// Returns the length of a JSON Web Token (RFC 7519): two JSON objects, the first `header` bytes
/// long, and a signature.
fn jwt_length(text: &[u8], header: usize) -> Option<usize> {
    let body = text.get(header + 1..).filter(|_| text[header] == b'.')?;
    if !body.starts_with(b"eyJ") {
        return None;
    }
    let claims = run_length(body, b"-_");
    let last = body.get(claims + 1..).filter(|_| body[claims] == b'.')?;
    let signature = run_length(last, b"-_");
    let is_one = header >= 10 && claims >= 10 && signature >= 10;
    is_one.then_some(header + 1 + claims + 1 + signature)
}

/// Counts the letters, digits, and `others` at the beginning of a text.
fn run_length(text: &[u8], others: &[u8]) -> usize {
    let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || others.contains(byte);
    text.iter().take_while(is_part).count()
}
