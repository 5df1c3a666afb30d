//! What a scenario expects of the upstreams when all requests are done.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::expect::{check_body, check_equal, check_headers, to_result};
use crate::upstream::{Call, Ended};

/// What is expected when all requests are done.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamExpectations {
    /// By the name of the upstream.
    pub upstreams: BTreeMap<String, UpstreamExpect>,
}

/// What is expected of an upstream.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamExpect {
    /// How many calls it saw.
    pub calls: Option<usize>,
    /// What the last of them carried.
    pub last: Option<CallExpect>,
    /// What each of them carried, in order.
    pub each: Option<Vec<CallExpect>>,
}

/// What is expected of a call to an upstream.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CallExpect {
    /// The method.
    pub method: Option<String>,
    /// The path behind the upstream's name; after `…` only its end.
    pub path: Option<String>,
    /// Exact values; `""` must be absent, `"*"` must be there.
    pub headers: BTreeMap<String, String>,
    /// Part of a JSON body.
    pub body: Option<Value>,
    /// The body, byte for byte.
    pub body_exact: Option<String>,
    /// How it ended.
    pub ended: Option<Ended>,
}

impl UpstreamExpectations {
    /// Compares with what the upstreams saw. Every call must have ended.
    pub fn check(&self, seen: &BTreeMap<String, Vec<Call>>) -> Result<(), String> {
        let mut found = Vec::new();
        for (name, calls) in seen {
            for (index, _) in calls.iter().enumerate().filter(|(_, call)| call.ended == Ended::Open)
            {
                found.push(format!("upstreams.{name}: call {index} was left open"));
            }
        }
        for (name, expected) in &self.upstreams {
            let calls = seen.get(name).map_or(&[][..], Vec::as_slice);
            check_equal(
                &format!("upstreams.{name}.calls"),
                expected.calls.as_ref(),
                &calls.len(),
                &mut found,
            );
            if let Some(last) = &expected.last {
                match calls.last() {
                    Some(call) => last.check(&format!("upstreams.{name}.last"), call, &mut found),
                    None => found.push(format!("upstreams.{name}.last: there was no call")),
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
                own.push(format!("path: expected an end of {end:?}, found {:?}", call.path));
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
    fn calls_are_compared_too() {
        let call = |ended| Call {
            method: "POST".to_owned(),
            path: "/v1/chat/completions".to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::from_static(br#"{"model":"m"}"#),
            ended,
        };
        let check = |text: &str, ended, differences| {
            let expect: UpstreamExpectations = toml::from_str(text).expect("an expectation");
            let found = expect
                .check(&[("a".to_owned(), vec![call(ended)])].into())
                .err()
                .unwrap_or_default();
            assert_eq!(found.lines().count(), differences, "{found}");
        };
        let right = "[upstreams.a]\ncalls = 1\nlast = { path = '…/completions', headers = { authorization = '' }, body = { model = 'm' }, ended = 'completed' }";
        check(right, Ended::Completed, 0);
        check(right, Ended::Abandoned, 1);
        check("", Ended::Open, 1);
        check(
            "[upstreams.a]\neach = [{ path = '/x' }, {}]\n[upstreams.b]\nlast = {}",
            Ended::Cut,
            3,
        );
    }
}
