//! Upstreams of one world: selects the script of each call and keeps every call.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use http::HeaderMap;
use serde::Deserialize;

use super::answer::ProviderRequest;
use super::response_plan::ResponsePlan;
use super::script::Script;
use super::service::Service;

/// Upstream: one script for each call, in order.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamSpec {
    /// Scripts of the calls, in order.
    pub script: Vec<Script>,
    /// Behavior after the last script.
    pub then: Then,
    /// Guard service that the upstream simulates. Scripts define its failures; a script without a failure or a
    /// body, or no script, returns the verdict.
    pub service: Option<Service>,
}

/// Behavior of an upstream after its last script.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Then {
    /// Repeats the last script; fails if there is none.
    #[default]
    Repeat,
    /// Fails with status 500.
    Error,
    /// Starts again with the first script.
    Cycle,
}

/// Request of one call, and how the call ended.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: String,
    /// Path and query after the upstream's name: `/v1/chat/completions`.
    pub path: String,
    /// All headers of the request.
    pub headers: HeaderMap,
    pub body: Bytes,
    /// How the call ended.
    pub ended: Ended,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ended {
    /// In progress.
    #[default]
    Open,
    /// The caller received every byte.
    Completed,
    /// The upstream broke the connection, as its script defines.
    Cut,
    /// The upstream refused the connection.
    Refused,
    /// The caller hung up first.
    Abandoned,
}

/// Upstream and index of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallId {
    upstream: String,
    index: usize,
}

/// Upstreams of one world with their calls.
#[derive(Debug, Default)]
pub struct UpstreamRegistry {
    upstreams: BTreeMap<String, UpstreamSpec>,
    calls: BTreeMap<String, Vec<Call>>,
}

impl UpstreamRegistry {
    /// Creates a registry without calls.
    pub fn new(upstreams: BTreeMap<String, UpstreamSpec>) -> Self {
        Self { upstreams, calls: BTreeMap::new() }
    }

    /// Replaces the scripts of an upstream from its next call on. Returns the number of earlier calls.
    pub fn rewrite(&mut self, upstream: &str, script: Script) -> usize {
        let spec = UpstreamSpec { script: vec![script], ..UpstreamSpec::default() };
        self.upstreams.insert(upstream.to_owned(), spec);
        self.calls.get(upstream).map_or(0, Vec::len)
    }

    /// Adds a call and returns the plan of its response. An unknown upstream responds with 404.
    pub fn begin_call(&mut self, upstream: &str, call: Call) -> (CallId, ResponsePlan) {
        let calls = self.calls.entry(upstream.to_owned()).or_default();
        let index = calls.len();
        let request = ProviderRequest::parse(&call.path, &call.body);
        let plan = match self.upstreams.get(upstream) {
            None => scenario_error(404, format!("Unknown upstream: this world has no {upstream}.")),
            Some(spec) => match spec.script_for(index, &call, calls) {
                None => scenario_error(
                    500,
                    format!("No script left: {upstream} received more calls than it has scripts."),
                ),
                Some(script) => {
                    script.plan(&request).unwrap_or_else(|invalid| scenario_error(500, invalid))
                }
            },
        };
        calls.push(call);
        (CallId { upstream: upstream.to_owned(), index }, plan)
    }

    /// Sets how a call ended. Later changes have no effect.
    pub fn end_call(&mut self, id: &CallId, ended: Ended) {
        let call = self.calls.get_mut(&id.upstream).and_then(|calls| calls.get_mut(id.index));
        if let Some(call) = call.filter(|call| call.ended == Ended::Open) {
            call.ended = ended;
        }
    }

    /// All calls so far, by upstream.
    pub fn calls(&self) -> &BTreeMap<String, Vec<Call>> {
        &self.calls
    }

    /// Number of calls in progress.
    pub fn open_calls(&self) -> usize {
        self.calls.values().flatten().filter(|call| call.ended == Ended::Open).count()
    }
}

impl UpstreamSpec {
    /// Selects the script of a call that follows the `earlier` ones.
    fn script_for(&self, index: usize, call: &Call, earlier: &[Call]) -> Option<Cow<'_, Script>> {
        let script = match self.then {
            Then::Repeat => self.script.get(index).or(self.script.last()),
            Then::Error => self.script.get(index),
            Then::Cycle => self.script.get(index % self.script.len().max(1)),
        };
        let Some(service) = &self.service else { return script.map(Cow::Borrowed) };
        let verdict_only = Script::default();
        let script = script.or(self.script.is_empty().then_some(&verdict_only))?;
        Some(Cow::Owned(service.apply(script, call, earlier)))
    }
}

/// Plans a response that reports an error in the scenario.
fn scenario_error(status: u16, message: String) -> ResponsePlan {
    let json = serde_json::json!({ "error": { "message": message } });
    let script = Script { json: Some(json), ..Script::failing(status) };
    script
        .plan(&ProviderRequest::parse("/", b""))
        .expect("the status is valid and there are no headers")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use http::HeaderMap;

    use super::{Call, Ended, Then, UpstreamRegistry, UpstreamSpec};
    use crate::upstream::{ResponsePlan, Script};

    fn call() -> Call {
        Call {
            method: "POST".to_owned(),
            path: "/v1/chat/completions".to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            ended: Ended::Open,
        }
    }

    #[track_caller]
    fn assert_statuses(then: Then, scripts: &[u16], expected: &[u16]) {
        let script = scripts.iter().map(|status| Script::failing(*status)).collect();
        let mut registry = UpstreamRegistry::new(
            [("a".to_owned(), UpstreamSpec { script, then, ..UpstreamSpec::default() })].into(),
        );
        let statuses: Vec<u16> = expected
            .iter()
            .map(|_| match registry.begin_call("a", call()).1 {
                ResponsePlan::Respond(response) => response.status.as_u16(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(statuses, expected);
    }

    #[test]
    fn begin_call_after_the_last_script_follows_then() {
        assert_statuses(Then::Repeat, &[401, 402], &[401, 402, 402]);
        assert_statuses(Then::Error, &[401, 402], &[401, 402, 500]);
        assert_statuses(Then::Cycle, &[401, 402], &[401, 402, 401]);
        assert_statuses(Then::Repeat, &[], &[500]);
    }

    #[test]
    fn rewrite_with_open_calls_keeps_the_calls() {
        let mut registry = UpstreamRegistry::new(BTreeMap::new());
        assert_eq!(registry.rewrite("a", Script::failing(401)), 0);
        let (open, _) = registry.begin_call("a", call());
        assert_eq!(registry.rewrite("a", Script::failing(402)), 1);
        let ResponsePlan::Respond(response) = registry.begin_call("a", call()).1 else {
            panic!("it answers")
        };
        assert_eq!(response.status.as_u16(), 402);
        registry.end_call(&open, Ended::Cut);
        let ends: Vec<Ended> = registry.calls()["a"].iter().map(|call| call.ended).collect();
        assert_eq!(ends, [Ended::Cut, Ended::Open]);
    }

    #[test]
    fn end_call_twice_keeps_the_first_end() {
        let mut registry = UpstreamRegistry::default();
        let (id, _) = registry.begin_call("unknown", call());
        assert_eq!(registry.open_calls(), 1);
        registry.end_call(&id, Ended::Completed);
        registry.end_call(&id, Ended::Abandoned);
        assert_eq!(
            (registry.open_calls(), registry.calls()["unknown"][0].ended),
            (0, Ended::Completed)
        );
    }
}
