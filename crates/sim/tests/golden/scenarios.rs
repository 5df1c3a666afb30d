//! Scenario files: responses, upstream requests, ledger operations of limits, records, store entries.

use std::fmt::Write as _;
use std::path::Path;

use bytes::Bytes;
use config::author;
use gateway::host::body::Body;
use sim::scenario::{Request, Scenario, load};
use sim::world::{CLOSED, UPSTREAM};

use crate::golden::compare;
use crate::host::RecordingHost;
use crate::show;

/// Number of first repetitions of a request that a golden file shows, beside the last one.
const SHOWN_REPETITIONS: usize = 3;
/// Beyond this number of requests, a golden file shows the first repetition of each only.
const MAX_REQUESTS_SHOWN: usize = 60;

#[test]
fn scenario_files_match_golden() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/scenarios");
    let mut differences = Vec::new();
    for scenario in load(&directory).expect("scenario files") {
        let name = format!("scenarios/{}.txt", scenario.name);
        differences.extend(compare(&name, &dump(&scenario)).err());
    }
    let count = differences.len();
    assert!(differences.is_empty(), "{count} scenarios differ:\n{}", differences.join("\n"));
}

fn dump(scenario: &Scenario) -> String {
    let document = author::to_json(&scenario.config_for(UPSTREAM, CLOSED));
    let document = document.expect("the document is right");
    let host = RecordingHost::new(&document, &scenario.secrets, scenario.upstreams.clone());
    let count: usize = scenario.requests.iter().map(|request| request.repeat).sum();
    let mut text = String::new();
    for (index, request) in scenario.requests.iter().enumerate() {
        for turn in 0..request.repeat {
            let title = format!("request {index}.{turn}: {} {}", request.method, request.path);
            let received = host.play(message(request), request.hang_up());
            let is_last = turn + 1 == request.repeat && count <= MAX_REQUESTS_SHOWN;
            if turn >= (if count > MAX_REQUESTS_SHOWN { 1 } else { SHOWN_REPETITIONS }) && !is_last
            {
                host.take_calls();
                host.take_operations(|_| false);
                host.take_lines();
                continue;
            }
            let _ = writeln!(text, "━━ {title}");
            text.push_str(&show::part("answer", &show::answer(&received)));
            text.push_str(&show::part("upstream", &host.take_calls()));
            let operations = host.take_operations(|text| !is_sum(text));
            text.push_str(&show::part("ledger", &operations));
            text.push_str(&show::part("log", &host.take_lines()));
        }
    }
    text + &show::part("store", &host.entries())
}

/// Whether an operation adds to usage or metrics; `admin.rs` covers those.
pub(crate) fn is_sum(operation: &str) -> bool {
    operation.starts_with("usage/") || operation.starts_with("metrics/")
}

fn message(request: &Request) -> http::Request<Body> {
    let body = Body::from(Bytes::from(request.body.clone()));
    let message = http::Request::builder().method(request.method.as_str()).uri(&request.path);
    let mut message = message.body(body).expect("a request");
    *message.headers_mut() = request.request_headers().expect("headers");
    message
}
