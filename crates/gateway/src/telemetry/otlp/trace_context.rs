//! Trace context of a request: W3C Trace Context, level 1.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::host::Clock;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// The longest `tracestate` that is passed on, in bytes: the length that the specification requires
/// support for.
const MAX_TRACESTATE_BYTES: usize = 512;
/// `00-`, 32 digits, `-`, 16 digits, `-`, 2 digits.
const TRACEPARENT_LENGTH: usize = 55;

/// Trace and spans of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TraceContext {
    pub trace_id: u128,
    /// The request's own span.
    pub span_id: u64,
    /// The caller's span.
    pub parent_span_id: Option<u64>,
    /// The caller's sampling decision, if there is one.
    caller_sampled: Option<bool>,
    /// This gateway's sampling decision.
    sampled_here: bool,
    state: Option<HeaderValue>,
}

impl TraceContext {
    /// Continues the caller's trace, or starts one if the headers are missing or invalid. `sample`:
    /// the share of sampled traces, in thousandths.
    pub(crate) fn from_headers(headers: &HeaderMap, sample: u16, clock: &impl Clock) -> Self {
        let span_id = clock.entropy().max(1);
        let parsed = single_header(headers, &TRACEPARENT)
            .and_then(|value| parse_traceparent(value.to_str().ok()?));
        let (trace_id, parent_span_id, caller_sampled, state) = match parsed {
            Some((id, parent, is_recorded)) => {
                (id, Some(parent), Some(is_recorded), parse_tracestate(headers))
            }
            None => {
                let id = u128::from(clock.entropy()) << 64 | u128::from(clock.entropy());
                (id.max(1), None, None, None)
            }
        };
        Self {
            trace_id,
            span_id,
            parent_span_id,
            caller_sampled,
            sampled_here: is_sampled_id(trace_id, sample),
            state,
        }
    }

    /// Whether the trace is sampled. A caller's decision counts only if the caller is
    /// authenticated: others must not be able to fill the collector.
    pub(crate) fn is_sampled(&self, is_known: bool) -> bool {
        self.caller_sampled.filter(|_| is_known).unwrap_or(self.sampled_here)
    }

    /// Span of the attempt `number`, unique within the request.
    pub(crate) fn attempt_span_id(&self, number: usize) -> u64 {
        let step = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.span_id.wrapping_add(step).max(1)
    }

    /// Adds the headers to an upstream's request, with the span of attempt `number` as the parent.
    pub(crate) fn inject(&self, number: usize, headers: &mut HeaderMap) {
        let flags = u8::from(self.is_sampled(true));
        let parent =
            format!("00-{:032x}-{:016x}-{flags:02x}", self.trace_id, self.attempt_span_id(number));
        if let Ok(parent) = HeaderValue::try_from(parent) {
            headers.insert(TRACEPARENT, parent);
        }
        if let Some(state) = &self.state {
            headers.insert(TRACESTATE, state.clone());
        }
    }

    /// The caller's `tracestate`.
    pub(crate) fn state(&self) -> Option<&str> {
        self.state.as_ref()?.to_str().ok()
    }
}

/// Value of a header that occurs once.
fn single_header<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Trace, parent, and sampling decision. A later version is read as far as it is known.
fn parse_traceparent(text: &str) -> Option<(u128, u64, bool)> {
    let known = text.get(..TRACEPARENT_LENGTH)?;
    let mut fields = known.split('-');
    let mut field = |digits: usize| {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        fields.next().filter(|field| field.len() == digits && field.bytes().all(is_digit))
    };
    let (version, id, parent, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
    match (version, text.as_bytes().get(TRACEPARENT_LENGTH)) {
        ("ff", _) | ("00", Some(_)) => return None,
        (_, None | Some(b'-')) => {}
        (_, Some(_)) => return None,
    }
    let id = u128::from_str_radix(id, 16).ok().filter(|id| *id != 0)?;
    let parent = u64::from_str_radix(parent, 16).ok().filter(|parent| *parent != 0)?;
    Some((id, parent, u8::from_str_radix(flags, 16).ok()? & 1 == 1))
}

/// The caller's `tracestate`, unless it is too long or not text. Several headers form one list.
fn parse_tracestate(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut all = String::new();
    for value in headers.get_all(TRACESTATE) {
        let value = value.to_str().ok()?;
        if !all.is_empty() && !value.is_empty() {
            all.push(',');
        }
        all.push_str(value);
    }
    let is_fit = (1..=MAX_TRACESTATE_BYTES).contains(&all.len());
    HeaderValue::try_from(all).ok().filter(|_| is_fit)
}

/// Decides by the trace id, so that every gateway decides the same.
fn is_sampled_id(id: u128, sample: u16) -> bool {
    let part = ((id & ((1 << 56) - 1)) * 1_000) >> 56;
    part < u128::from(sample)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use proptest::prelude::*;

    use crate::testing::fake_host::FakeHost;

    use super::{TraceContext, is_sampled_id, parse_traceparent};

    const ID: &str = "0af7651916cd43dd8448eb211c80319c";
    const PARENT: &str = "b7ad6b7169203331";

    fn begin(headers: &[(&'static str, &str)], sample: u16) -> TraceContext {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().expect("a value"));
        }
        TraceContext::from_headers(&map, sample, &FakeHost::new())
    }

    #[test]
    fn invalid_traceparent_starts_a_new_trace() {
        let good = format!("00-{ID}-{PARENT}-01");
        assert_eq!(parse_traceparent(&good).map(|(_, _, is_recorded)| is_recorded), Some(true));
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
            assert_eq!(parse_traceparent(wrong), None, "{wrong}");
        }
        // A later version may have more fields, and unknown flags are ignored.
        for (text, is_recorded) in [
            (format!("01-{ID}-{PARENT}-01-what"), true),
            (format!("cc-{ID}-{PARENT}-03"), true),
            (format!("00-{ID}-{PARENT}-fe"), false),
        ] {
            assert_eq!(parse_traceparent(&text).map(|read| read.2), Some(is_recorded), "{text}");
        }
        let trace = begin(&[("traceparent", "00-x"), ("tracestate", "a=1")], 1_000);
        assert_eq!((trace.parent_span_id, trace.state()), (None, None));
        let twice = begin(&[("traceparent", &good), ("traceparent", &good)], 1_000);
        assert_eq!(twice.parent_span_id, None);
        assert!(twice.trace_id != 0 && twice.span_id != 0);
    }

    #[test]
    fn parent_decision_counts_for_authenticated_callers() {
        let recorded = begin(&[("traceparent", &format!("00-{ID}-{PARENT}-01"))], 0);
        assert_eq!(recorded.parent_span_id, Some(0xb7ad_6b71_6920_3331));
        assert!(recorded.is_sampled(true) && !recorded.is_sampled(false));
        let ignored = begin(&[("traceparent", &format!("00-{ID}-{PARENT}-00"))], 1_000);
        assert!(!ignored.is_sampled(true) && ignored.is_sampled(false));
        assert!(begin(&[], 1_000).is_sampled(true) && !begin(&[], 0).is_sampled(true));
    }

    #[test]
    fn upstream_request_names_the_attempt_span() {
        let parent = ("traceparent", &*format!("00-{ID}-{PARENT}-00"));
        let trace = begin(&[parent, ("tracestate", "a=1"), ("tracestate", "b=2,c=3")], 1_000);
        let mut headers = HeaderMap::new();
        trace.inject(2, &mut headers);
        let expected = format!("00-{ID}-{:016x}-00", trace.attempt_span_id(2));
        assert_eq!(headers["traceparent"], expected);
        assert_eq!(headers["tracestate"], "a=1,b=2,c=3");
        assert!(
            trace.attempt_span_id(0) != trace.attempt_span_id(1)
                && trace.attempt_span_id(0) != trace.span_id
        );
        let long = format!("a={}", "x".repeat(511));
        assert_eq!(begin(&[parent, ("tracestate", &long)], 0).state(), None);
        let fits = &long[..512];
        assert_eq!(begin(&[parent, ("tracestate", fits)], 0).state(), Some(fits));
    }

    proptest! {
        #[test]
        fn any_traceparent_is_read_without_panic(text in "\\PC{0,70}") {
            parse_traceparent(&text);
        }

        #[test]
        fn larger_share_samples_a_superset(id in any::<u128>(), a in 0_u16..=1_000, b in 0_u16..=1_000) {
            let (less, more) = (a.min(b), a.max(b));
            prop_assert!(!is_sampled_id(id, less) || is_sampled_id(id, more));
            prop_assert!(is_sampled_id(id, 1_000) && !is_sampled_id(id, 0));
        }
    }
}
