//! The trace that a request belongs to: W3C Trace Context, level 1.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::platform::Clock;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// The longest `tracestate` that is passed on, in bytes: what everybody has to take.
const LONGEST_STATE: usize = 512;
/// `00-`, 32 digits, `-`, 16 digits, `-`, 2 digits.
const LENGTH: usize = 55;

/// A request's place in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The trace.
    pub id: u128,
    /// The request's own span.
    pub span: u64,
    /// The caller's span.
    pub parent: Option<u64>,
    /// Whether the caller records the trace, where there is one that says so.
    asked: Option<bool>,
    /// Whether this gateway would.
    is_drawn: bool,
    state: Option<HeaderValue>,
}

impl Trace {
    /// Goes on with the caller's trace, or begins one where none is told that makes sense. `sample`:
    /// what part is recorded, in thousandths.
    pub fn begin(headers: &HeaderMap, sample: u16, clock: &impl Clock) -> Self {
        let span = clock.entropy().max(1);
        let told = single(headers, &TRACEPARENT).and_then(|value| read(value.to_str().ok()?));
        let (id, parent, asked, state) = match told {
            Some((id, parent, is_recorded)) => {
                (id, Some(parent), Some(is_recorded), state(headers))
            }
            None => {
                let id = u128::from(clock.entropy()) << 64 | u128::from(clock.entropy());
                (id.max(1), None, None, None)
            }
        };
        Self { id, span, parent, asked, is_drawn: is_drawn(id, sample), state }
    }

    /// Whether it is recorded. The caller's word counts where the caller is known: a stranger must not
    /// be able to fill anybody's collector.
    pub fn is_recorded(&self, is_known: bool) -> bool {
        self.asked.filter(|_| is_known).unwrap_or(self.is_drawn)
    }

    /// The span of the attempt of this number, which no other span of the request has.
    pub fn attempt(&self, number: usize) -> u64 {
        let step = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.span.wrapping_add(step).max(1)
    }

    /// Tells an upstream, as the parent of whatever it does for the attempt of this number.
    pub fn pass_on(&self, number: usize, headers: &mut HeaderMap) {
        let flags = u8::from(self.is_recorded(true));
        let parent = format!("00-{:032x}-{:016x}-{flags:02x}", self.id, self.attempt(number));
        if let Ok(parent) = HeaderValue::try_from(parent) {
            headers.insert(TRACEPARENT, parent);
        }
        if let Some(state) = &self.state {
            headers.insert(TRACESTATE, state.clone());
        }
    }

    /// The `tracestate` that came.
    pub fn state(&self) -> Option<&str> {
        self.state.as_ref()?.to_str().ok()
    }
}

/// The value of a header that is there once.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// The trace, the parent and whether it is recorded. A later version is read as far as it is known.
fn read(text: &str) -> Option<(u128, u64, bool)> {
    let known = text.get(..LENGTH)?;
    let mut fields = known.split('-');
    let mut field = |digits: usize| {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        fields.next().filter(|field| field.len() == digits && field.bytes().all(is_digit))
    };
    let (version, id, parent, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
    match (version, text.as_bytes().get(LENGTH)) {
        ("ff", _) | ("00", Some(_)) => return None,
        (_, None | Some(b'-')) => {}
        (_, Some(_)) => return None,
    }
    let id = u128::from_str_radix(id, 16).ok().filter(|id| *id != 0)?;
    let parent = u64::from_str_radix(parent, 16).ok().filter(|parent| *parent != 0)?;
    Some((id, parent, u8::from_str_radix(flags, 16).ok()? & 1 == 1))
}

/// What came as `tracestate`, unless it is too long or no text. Several headers are one list.
fn state(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut all = String::new();
    for value in headers.get_all(TRACESTATE) {
        let value = value.to_str().ok()?;
        if !all.is_empty() && !value.is_empty() {
            all.push(',');
        }
        all.push_str(value);
    }
    let is_fit = (1..=LONGEST_STATE).contains(&all.len());
    HeaderValue::try_from(all).ok().filter(|_| is_fit)
}

/// Decides by the trace, so that every gateway decides the same.
fn is_drawn(id: u128, sample: u16) -> bool {
    let part = ((id & ((1 << 56) - 1)) * 1_000) >> 56;
    part < u128::from(sample)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use proptest::prelude::*;

    use super::{Trace, is_drawn, read};
    use crate::keys::fake::Fake;

    const ID: &str = "0af7651916cd43dd8448eb211c80319c";
    const PARENT: &str = "b7ad6b7169203331";

    fn begin(headers: &[(&'static str, &str)], sample: u16) -> Trace {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().expect("a value"));
        }
        Trace::begin(&map, sample, &Fake::new())
    }

    #[test]
    fn what_makes_no_sense_begins_a_trace() {
        let good = format!("00-{ID}-{PARENT}-01");
        assert_eq!(read(&good).map(|(_, _, is_recorded)| is_recorded), Some(true));
        let zeros = format!("00-{}-{PARENT}-01", "0".repeat(32));
        let no_parent = format!("00-{ID}-{}-01", "0".repeat(16));
        for wrong in [
            "",
            "00",
            &good[..54],
            &format!("{good}-more"),
            &format!("{good} "),
            &good.to_uppercase(),
            &good.replacen("00", "ff", 1),
            &good.replacen('-', "_", 1),
            &format!("01-{ID}-{PARENT}-01x"),
            &format!("00-{ID}-{PARENT}-0é"),
            &zeros,
            &no_parent,
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        // A later version may say more, and other flags mean nothing to us.
        for (text, is_recorded) in [
            (format!("01-{ID}-{PARENT}-01-what"), true),
            (format!("cc-{ID}-{PARENT}-03"), true),
            (format!("00-{ID}-{PARENT}-fe"), false),
        ] {
            assert_eq!(read(&text).map(|read| read.2), Some(is_recorded), "{text}");
        }
        let trace = begin(&[("traceparent", "00-x"), ("tracestate", "a=1")], 1_000);
        assert_eq!((trace.parent, trace.state()), (None, None));
        let twice = begin(&[("traceparent", &good), ("traceparent", &good)], 1_000);
        assert_eq!(twice.parent, None);
        assert!(twice.id != 0 && twice.span != 0);
    }

    #[test]
    fn the_parents_word_counts_where_the_caller_is_known() {
        let recorded = begin(&[("traceparent", &format!("00-{ID}-{PARENT}-01"))], 0);
        assert_eq!(recorded.parent, Some(0xb7ad_6b71_6920_3331));
        assert!(recorded.is_recorded(true) && !recorded.is_recorded(false));
        let ignored = begin(&[("traceparent", &format!("00-{ID}-{PARENT}-00"))], 1_000);
        assert!(!ignored.is_recorded(true) && ignored.is_recorded(false));
        assert!(begin(&[], 1_000).is_recorded(true) && !begin(&[], 0).is_recorded(true));
    }

    #[test]
    fn an_upstream_is_told_the_attempt() {
        let parent = ("traceparent", &*format!("00-{ID}-{PARENT}-00"));
        let trace = begin(&[parent, ("tracestate", "a=1"), ("tracestate", "b=2,c=3")], 1_000);
        let mut headers = HeaderMap::new();
        trace.pass_on(2, &mut headers);
        let expected = format!("00-{ID}-{:016x}-00", trace.attempt(2));
        assert_eq!(headers["traceparent"], expected);
        assert_eq!(headers["tracestate"], "a=1,b=2,c=3");
        assert!(trace.attempt(0) != trace.attempt(1) && trace.attempt(0) != trace.span);
        let long = format!("a={}", "x".repeat(511));
        assert_eq!(begin(&[parent, ("tracestate", &long)], 0).state(), None);
        let fits = &long[..512];
        assert_eq!(begin(&[parent, ("tracestate", fits)], 0).state(), Some(fits));
    }

    proptest! {
        #[test]
        fn nothing_a_stranger_says_is_a_panic(text in "\\PC{0,70}") {
            read(&text);
        }

        #[test]
        fn more_are_drawn_and_never_others(id in any::<u128>(), a in 0_u16..=1_000, b in 0_u16..=1_000) {
            let (less, more) = (a.min(b), a.max(b));
            prop_assert!(!is_drawn(id, less) || is_drawn(id, more));
            prop_assert!(is_drawn(id, 1_000) && !is_drawn(id, 0));
        }
    }
}
