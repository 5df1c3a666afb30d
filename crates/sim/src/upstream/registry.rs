//! The upstreams of one world: whose turn it is, and what each call carried.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use http::HeaderMap;
use serde::Deserialize;

use super::answer::ProviderRequest;
use super::response_plan::ResponsePlan;
use super::script::Script;
use super::service::Service;

/// One upstream: its scripts, played in turn, call by call.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamSpec {
    /// What each call gets, in order.
    pub script: Vec<Script>,
    /// What calls get when every script has been played.
    pub then: Then,
    /// Makes it a service that judges texts. Its scripts say how it fails; one that says nothing of
    /// the kind, or none at all, lets it judge.
    pub service: Option<Service>,
}

/// What calls get when every script has been played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Then {
    /// The last one again; an error if there is none.
    #[default]
    Repeat,
    /// A status of 500.
    Error,
    /// The first one again, and so on.
    Cycle,
}

/// What one call carried and how it ended.
#[derive(Clone, Debug)]
pub struct Call {
    /// The method.
    pub method: String,
    /// Path and query behind the upstream's name: `/v1/chat/completions`.
    pub path: String,
    /// Every header that was sent.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// How it ended.
    pub ended: Ended,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ended {
    /// It has not.
    #[default]
    Open,
    /// Every byte was handed over.
    Completed,
    /// The upstream broke off, as its script says.
    Cut,
    /// The upstream took no connection.
    Refused,
    /// The caller went away first.
    Abandoned,
}

/// The place of a call in its upstream's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallId {
    upstream: String,
    index: usize,
}

/// The upstreams of one world.
#[derive(Debug, Default)]
pub struct UpstreamRegistry {
    upstreams: BTreeMap<String, UpstreamSpec>,
    calls: BTreeMap<String, Vec<Call>>,
}

impl UpstreamRegistry {
    /// Sets up the upstreams.
    pub fn new(upstreams: BTreeMap<String, UpstreamSpec>) -> Self {
        Self { upstreams, calls: BTreeMap::new() }
    }

    /// Has an upstream play this and nothing else from its next call on, and says how many calls it had
    /// before.
    pub fn rewrite(&mut self, upstream: &str, script: Script) -> usize {
        let spec = UpstreamSpec { script: vec![script], ..UpstreamSpec::default() };
        self.upstreams.insert(upstream.to_owned(), spec);
        self.calls.get(upstream).map_or(0, Vec::len)
    }

    /// Notes a call and says what it gets. An upstream that does not exist answers 404.
    pub fn begin_call(&mut self, upstream: &str, call: Call) -> (CallId, ResponsePlan) {
        let calls = self.calls.entry(upstream.to_owned()).or_default();
        let index = calls.len();
        let request = ProviderRequest::parse(&call.path, &call.body);
        let plan = match self.upstreams.get(upstream) {
            None => scenario_error(404, format!("There is no upstream {upstream} in this world.")),
            Some(spec) => match spec.script_for(index, &call, calls) {
                None => scenario_error(500, format!("The script of {upstream} is at its end.")),
                Some(script) => {
                    script.plan(&request).unwrap_or_else(|wrong| scenario_error(500, wrong))
                }
            },
        };
        calls.push(call);
        (CallId { upstream: upstream.to_owned(), index }, plan)
    }

    /// Notes how a call ended. The first word counts.
    pub fn end_call(&mut self, id: &CallId, ended: Ended) {
        let call = self.calls.get_mut(&id.upstream).and_then(|calls| calls.get_mut(id.index));
        if let Some(call) = call.filter(|call| call.ended == Ended::Open) {
            call.ended = ended;
        }
    }

    /// Every call so far, by upstream.
    pub fn calls(&self) -> &BTreeMap<String, Vec<Call>> {
        &self.calls
    }

    /// How many calls have not ended.
    pub fn open_calls(&self) -> usize {
        self.calls.values().flatten().filter(|call| call.ended == Ended::Open).count()
    }
}

impl UpstreamSpec {
    /// The script of a call that comes after `earlier` ones.
    fn script_for(&self, index: usize, call: &Call, earlier: &[Call]) -> Option<Cow<'_, Script>> {
        let script = match self.then {
            Then::Repeat => self.script.get(index).or(self.script.last()),
            Then::Error => self.script.get(index),
            Then::Cycle => self.script.get(index % self.script.len().max(1)),
        };
        let Some(service) = &self.service else { return script.map(Cow::Borrowed) };
        let silent = Script::default();
        let script = script.or(self.script.is_empty().then_some(&silent))?;
        Some(Cow::Owned(service.apply(script, call, earlier)))
    }
}

/// The simulator's own word about a mistake in a scenario, as loud as an upstream can be.
fn scenario_error(status: u16, message: String) -> ResponsePlan {
    let json = serde_json::json!({ "error": { "message": message } });
    let script = Script { json: Some(json), ..Script::failing(status) };
    script.plan(&ProviderRequest::parse("/", b"")).expect("it has a good status and no headers")
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
    fn check(then: Then, scripts: &[u16], expected: &[u16]) {
        let script = scripts.iter().map(|status| Script::failing(*status)).collect();
        let mut stage = UpstreamRegistry::new(
            [("a".to_owned(), UpstreamSpec { script, then, ..UpstreamSpec::default() })].into(),
        );
        let seen: Vec<u16> = expected
            .iter()
            .map(|_| match stage.begin_call("a", call()).1 {
                ResponsePlan::Respond(response) => response.status.as_u16(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn scripts_are_played_in_turn() {
        check(Then::Repeat, &[401, 402], &[401, 402, 402]);
        check(Then::Error, &[401, 402], &[401, 402, 500]);
        check(Then::Cycle, &[401, 402], &[401, 402, 401]);
        check(Then::Repeat, &[], &[500]);
    }

    #[test]
    fn a_script_can_change_while_calls_are_open() {
        let mut stage = UpstreamRegistry::new(BTreeMap::new());
        assert_eq!(stage.rewrite("a", Script::failing(401)), 0);
        let (open, _) = stage.begin_call("a", call());
        assert_eq!(stage.rewrite("a", Script::failing(402)), 1);
        let ResponsePlan::Respond(response) = stage.begin_call("a", call()).1 else {
            panic!("it answers")
        };
        assert_eq!(response.status.as_u16(), 402);
        stage.end_call(&open, Ended::Cut);
        let ends: Vec<Ended> = stage.calls()["a"].iter().map(|call| call.ended).collect();
        assert_eq!(ends, [Ended::Cut, Ended::Open]);
    }

    #[test]
    fn the_first_word_about_an_end_counts() {
        let mut stage = UpstreamRegistry::default();
        let (id, _) = stage.begin_call("nobody", call());
        assert_eq!(stage.open_calls(), 1);
        stage.end_call(&id, Ended::Completed);
        stage.end_call(&id, Ended::Abandoned);
        assert_eq!((stage.open_calls(), stage.calls()["nobody"][0].ended), (0, Ended::Completed));
    }
}
