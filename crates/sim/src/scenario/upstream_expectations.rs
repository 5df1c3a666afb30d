//! Expectations about the calls that upstreams received, checked after all requests.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::expect::{check_body, check_equal, check_headers, to_result};
use crate::upstream::{Call, Ended};

/// Expectations about all upstreams of a scenario.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamExpectations {
    /// Expectations by the name of the upstream.
    pub upstreams: BTreeMap<String, UpstreamExpect>,
}

/// Expectations about the calls of one upstream.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamExpect {
    /// Number of calls.
    pub calls: Option<usize>,
    /// The last call.
    pub last: Option<CallExpect>,
    /// All calls, in order.
    pub each: Option<Vec<CallExpect>>,
}

/// Expectations about one call.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CallExpect {
    pub method: Option<String>,
    /// Path after the upstream's name. A leading `…` means that only the end is compared.
    pub path: Option<String>,
    /// Headers by name: an exact value, `""` for an absent header, `"*"` for any value.
    pub headers: BTreeMap<String, String>,
    /// Expected part of a JSON body.
    pub body: Option<Value>,
    pub body_exact: Option<String>,
    /// How the call ended.
    pub ended: Option<Ended>,
}

impl UpstreamExpectations {
    /// Compares the calls with the expectations. Every call must have ended. The error has one line for each
    /// difference.
    pub fn check(&self, by_upstream: &BTreeMap<String, Vec<Call>>) -> Result<(), String> {
        let mut found = Vec::new();
        for (name, calls) in by_upstream {
            for (index, _) in calls.iter().enumerate().filter(|(_, call)| call.ended == Ended::Open)
            {
                found.push(format!("upstreams.{name}: call {index} has not ended"));
            }
        }
        for (name, expected) in &self.upstreams {
            let calls = by_upstream.get(name).map_or(&[][..], Vec::as_slice);
            check_equal(
                &format!("upstreams.{name}.calls"),
                expected.calls.as_ref(),
                &calls.len(),
                &mut found,
            );
            if let Some(last) = &expected.last {
                match calls.last() {
                    Some(call) => last.check(&format!("upstreams.{name}.last"), call, &mut found),
                    None => {
                        found.push(format!("upstreams.{name}.last: expected a call, found none"));
                    }
                }
            }
            let Some(each) = &expected.each else { continue };
            check_equal(
                &format!("upstreams.{name}.each: length"),
                Some(&each.len()),
                &calls.len(),
                &mut found,
            );
            for (index, (expected, call)) in each.iter().zip(calls).enumerate() {
                expected.check(&format!("upstreams.{name}.each[{index}]"), call, &mut found);
            }
        }
        to_result(found)
    }
}

impl CallExpect {
    fn check(&self, place: &str, call: &Call, found: &mut Vec<String>) {
        let mut own = Vec::new();
        check_equal("method", self.method.as_ref(), &call.method, &mut own);
        match self.path.as_deref().map(|path| path.strip_prefix('…').ok_or(path)) {
            Some(Ok(end)) if !call.path.ends_with(end) => {
                own.push(format!(
                    "path: expected a path that ends with {end:?}, found {:?}",
                    call.path
                ));
            }
            Some(Err(path)) => check_equal("path", Some(&path.to_owned()), &call.path, &mut own),
            Some(Ok(_)) | None => {}
        }
        check_equal("ended", self.ended.as_ref(), &call.ended, &mut own);
        check_headers(&self.headers, &call.headers, &mut own);
        check_body(self.body.as_ref(), self.body_exact.as_deref(), &call.body, &mut own);
        found.extend(own.into_iter().map(|difference| format!("{place}.{difference}")));
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;

    use super::UpstreamExpectations;
    use crate::upstream::{Call, Ended};

    #[test]
    fn check_calls_lists_each_difference() {
        let call = |ended| Call {
            method: "POST".to_owned(),
            path: "/v1/chat/completions".to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::from_static(br#"{"model":"m"}"#),
            ended,
        };
        let assert_differences = |text: &str, ended, differences| {
            let expect: UpstreamExpectations = toml::from_str(text).expect("an expectation");
            let found = expect
                .check(&[("a".to_owned(), vec![call(ended)])].into())
                .err()
                .unwrap_or_default();
            assert_eq!(found.lines().count(), differences, "{found}");
        };
        let right = "[upstreams.a]\ncalls = 1\nlast = { path = '…/completions', headers = { authorization = '' }, body = { model = 'm' }, ended = 'completed' }";
        assert_differences(right, Ended::Completed, 0);
        assert_differences(right, Ended::Abandoned, 1);
        assert_differences("", Ended::Open, 1);
        assert_differences(
            "[upstreams.a]\neach = [{ path = '/x' }, {}]\n[upstreams.b]\nlast = {}",
            Ended::Cut,
            3,
        );
    }
}
