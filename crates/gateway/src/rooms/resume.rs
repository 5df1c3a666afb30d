//! Whoever may go on where a stream of plain text breaks off, and how they are asked to.
//!
//! When a stream has broken off, and what becomes of what is said then, is the relay's business.

use std::fmt;
use std::rc::Rc;

use http::Uri;
use openai::{Endpoint, Weight};
use serde::{Deserialize, Serialize};

use crate::config::{Config, Price, ProviderIndex, RouteIndex};
use crate::observe::Part;
use crate::platform::Platform;
use crate::policy::estimate;

use super::admit::Ask;
use super::answer::Content;
use super::committed::Committed;
use super::entry::Entry;
use super::exchange::Exchange;
use super::fleet::Fleet;
use super::outgoing;
use super::plan::Candidate;

/// How many targets are asked to go on, for one request.
const MOST_CALLS: usize = 2;

/// What the one who goes on is asked, behind what was said: every chat model understands it, while a
/// message to be completed is something that some providers refuse.
const GO_ON: &str = "Your last message was cut off. Continue it exactly where it stops. Do not repeat any of it, and do not comment on this.";

/// The targets behind the one that answers, with what it takes to ask them.
pub struct Successors {
    config: Rc<Config>,
    fleet: Rc<Fleet>,
    ask: Ask,
    route: RouteIndex,
    targets: Vec<Successor>,
}

struct Successor {
    provider: ProviderIndex,
    model: String,
    url: Uri,
    price: Option<Price>,
}

/// Whether the answer to a request may come from two models: a chat's single stream of free text.
pub(super) fn may_go_on(ask: &Ask) -> bool {
    #[derive(Deserialize)]
    struct Fields<'a> {
        #[serde(borrow)]
        response_format: Option<Format<'a>>,
    }
    #[derive(Deserialize)]
    struct Format<'a> {
        r#type: std::borrow::Cow<'a, str>,
    }
    let request = ask.request();
    request.stream
        && ask.endpoint() == Endpoint::ChatCompletions
        && request.output.choices == 1
        && serde_json::from_slice::<Fields<'_>>(ask.body())
            .is_ok_and(|fields| fields.response_format.is_none_or(|format| format.r#type == "text"))
}

impl Successors {
    pub(super) fn new(
        config: Rc<Config>,
        fleet: Rc<Fleet>,
        ask: &Ask,
        route: RouteIndex,
        candidates: &[Candidate<'_>],
    ) -> Self {
        let successor = |candidate: &Candidate<'_>| Successor {
            provider: candidate.index,
            model: candidate.model.to_owned(),
            url: candidate.url.clone(),
            price: candidate.price,
        };
        let targets = candidates.iter().map(successor).collect();
        Self { config, fleet, ask: ask.clone(), route, targets }
    }

    /// Asks one after another to go on from a text, until one speaks. The entry comes back; if the
    /// caller leaves meanwhile, it is closed here.
    pub(super) async fn go_on<P: Platform>(
        self,
        platform: P,
        mut entry: Entry<P>,
        said: String,
    ) -> (Entry<P>, Option<Box<Committed>>) {
        let route = self.config.route(self.route);
        let beside = Weight::of(&said);
        let exchange = Exchange {
            platform: &platform,
            fleet: &self.fleet,
            ask: &self.ask,
            route,
            deadline: entry.began() + route.timeouts.total,
            beside,
            trace: entry.trace().cloned(),
            keeps_draft: false,
        };
        let most = self.ask.request().output.most;
        let left = most.map(|most| most.saturating_sub(estimate::tokens(beside)));
        let messages = messages(&said);
        let mut calls = 0;
        for target in &self.targets {
            if calls == MOST_CALLS || left == Some(0) || platform.now() >= exchange.deadline {
                break;
            }
            let candidate = Candidate {
                index: target.provider,
                provider: self.config.provider(target.provider),
                model: &target.model,
                url: target.url.clone(),
                price: target.price,
            };
            let Ok(call) = exchange.begin(&candidate, Part::Rest, &mut entry) else { continue };
            calls += 1;
            let changes = outgoing::changes(&candidate, &self.ask, left);
            let body =
                self.ask.body_for(openai::Changes { more_messages: Some(&messages), ..changes });
            let result = exchange.send(&candidate, (call.key, call.number), body).await;
            if let Ok(answer) = exchange.conclude(call, result, &mut entry)
                && answer.status.is_success()
                && let Content::Stream(stream) = answer.content
            {
                entry.continued();
                return (entry, Some(stream));
            }
        }
        (entry, None)
    }
}

/// The messages behind the caller's own: what was said, and the request to go on.
fn messages(said: &str) -> String {
    #[derive(Serialize)]
    struct Message<'a> {
        role: &'a str,
        content: &'a str,
    }
    let messages = [("assistant", said), ("user", GO_ON)].map(|(role, content)| {
        serde_json::to_string(&Message { role, content }).expect("strings always serialise")
    });
    messages.join(",")
}

impl fmt::Debug for Successors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Successors").field("count", &self.targets.len()).finish_non_exhaustive()
    }
}
