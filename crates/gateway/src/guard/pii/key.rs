//! Keys of APIs, by the prefixes that their issuers give them. A key without a prefix is not found.

use std::ops::Range;

/// A prefix and what follows it.
struct Form {
    prefix: &'static str,
    /// What follows besides letters and digits.
    others: &'static [u8],
    least: usize,
    most: usize,
    /// Whether only one with a letter and a digit is meant: words follow this prefix too.
    is_mixed: bool,
}

const fn form(prefix: &'static str, others: &'static [u8], least: usize, most: usize) -> Form {
    Form { prefix, others, least, most, is_mixed: false }
}

const fn mixed(prefix: &'static str, others: &'static [u8], least: usize) -> Form {
    Form { prefix, others, least, most: usize::MAX, is_mixed: true }
}

const FORMS: [Form; 27] = [
    // OpenAI, Anthropic, DeepSeek, Alibaba Cloud, OpenRouter
    mixed("sk-", b"-_", 20),
    // Stripe
    mixed("sk_live_", b"", 16),
    mixed("sk_test_", b"", 16),
    mixed("rk_live_", b"", 16),
    // Amazon, Alibaba Cloud
    form("AKIA", b"", 16, 16),
    form("ASIA", b"", 16, 16),
    form("LTAI", b"", 12, 26),
    // GitHub, GitLab
    form("ghp_", b"", 36, 255),
    form("gho_", b"", 36, 255),
    form("ghu_", b"", 36, 255),
    form("ghs_", b"", 36, 255),
    form("ghr_", b"", 36, 255),
    form("github_pat_", b"_", 50, 255),
    form("glpat-", b"-_", 20, 255),
    // Google
    form("AIza", b"-_", 35, 35),
    form("GOCSPX-", b"-_", 24, 40),
    // Slack
    mixed("xoxa-", b"-", 10),
    mixed("xoxb-", b"-", 10),
    mixed("xoxp-", b"-", 10),
    mixed("xoxr-", b"-", 10),
    mixed("xoxs-", b"-", 10),
    // Hugging Face, Groq, xAI, NVIDIA, Replicate, npm
    form("hf_", b"", 30, 64),
    form("gsk_", b"", 40, 64),
    form("xai-", b"", 60, 100),
    form("nvapi-", b"-_", 40, 100),
    form("r8_", b"", 36, 48),
    form("npm_", b"", 36, 36),
];

/// The letters with which keys begin.
const STARTS: [bool; 128] = {
    let mut starts = [false; 128];
    starts[b'e' as usize] = true;
    let mut form = 0;
    while form < FORMS.len() {
        starts[FORMS[form].prefix.as_bytes()[0] as usize] = true;
        form += 1;
    }
    starts
};

/// So much of what follows a prefix says whether it has letters and digits.
const PROBE: usize = 64;

/// Looks for keys in a text from its beginning to its end, at each place a bounded time.
#[derive(Default)]
pub(super) struct Keys {
    /// Up to here there is a key.
    found: usize,
    /// Up to here there is no other token than the one that was tried.
    tried: usize,
}

impl Keys {
    /// The key that begins at a letter.
    pub(super) fn at(&mut self, text: &[u8], at: usize) -> Option<Range<usize>> {
        let rest = &text[at..];
        if at < self.found || !STARTS[usize::from(rest[0] & 0x7F)] {
            return None;
        }
        let length = if rest.starts_with(b"eyJ") && at >= self.tried {
            let header = run(rest, b"-_");
            self.tried = at + header;
            token(rest, header)
        } else {
            let is_start = |form: &&Form| form.prefix.as_bytes()[0] == rest[0];
            FORMS.iter().filter(is_start).find_map(|form| form.length(rest))
        };
        let key = at..at + length?;
        self.found = key.end;
        Some(key)
    }
}

impl Form {
    /// The bytes of such a key at the beginning of a text.
    fn length(&self, text: &[u8]) -> Option<usize> {
        let body = text.strip_prefix(self.prefix.as_bytes())?;
        let probe = &body[..body.len().min(PROBE)];
        let probe = &probe[..run(probe, self.others)];
        let is_mixed =
            probe.iter().any(u8::is_ascii_digit) && probe.iter().any(u8::is_ascii_alphabetic);
        if (self.is_mixed && !is_mixed) || probe.len() < self.least.min(PROBE) {
            return None;
        }
        let length = run(&body[..body.len().min(self.most.saturating_add(1))], self.others);
        (self.least..=self.most).contains(&length).then_some(self.prefix.len() + length)
    }
}

/// The bytes of a signed token of JSON (RFC 7519): two objects, the first of which is so long, and a
/// signature.
fn token(text: &[u8], header: usize) -> Option<usize> {
    let body = text.get(header + 1..).filter(|_| text[header] == b'.')?;
    if !body.starts_with(b"eyJ") {
        return None;
    }
    let claims = run(body, b"-_");
    let last = body.get(claims + 1..).filter(|_| body[claims] == b'.')?;
    let signature = run(last, b"-_");
    let is_one = header >= 10 && claims >= 10 && signature >= 10;
    is_one.then_some(header + 1 + claims + 1 + signature)
}

/// How many letters, digits and others a text begins with.
fn run(text: &[u8], others: &[u8]) -> usize {
    let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || others.contains(byte);
    text.iter().take_while(is_part).count()
}
