//! Plays scenarios against an edge, over real HTTP.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::{Bytes, BytesMut};
use config::author;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use sim::scenario::{Observed, Request, Scenario, count_events};
use sim::server::Server;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::closed_port::ClosedPort;
use crate::edge::{App, Edge, record_of};
use crate::wait::{EVENT_TIMEOUT, wait_until};

/// Longest wait for the expected calls. It is short enough for several failing scenarios in one run.
const CALLS_TIMEOUT: Duration = Duration::from_secs(20);

/// A name that both edges accept.
pub fn app_name(scenario: &Scenario) -> String {
    scenario.name.replace(['/', '_', '.'], "-")
}

/// The app for a scenario; its upstreams are registered with the server. `closed` must exist for as
/// long as the app is served.
pub fn prepare(scenario: &Scenario, server: &Server, closed: &ClosedPort) -> anyhow::Result<App> {
    let name = app_name(scenario);
    server.register(&name, scenario.upstreams.clone());
    let document = scenario.config_for(&server.base(&name), &closed.base());
    let config = author::to_json(&document).map_err(|problems| {
        anyhow::anyhow!("invalid configuration of {}: {problems}", scenario.name)
    })?;
    Ok(App { name, config, secrets: scenario.secrets.clone(), ledger: true })
}

/// Plays every request of a scenario and checks the expectations.
pub async fn play(scenario: &Scenario, edge: &dyn Edge, server: &Server) -> Result<(), String> {
    let app = app_name(scenario);
    for (index, request) in scenario.requests.iter().enumerate() {
        for turn in 0..request.repeat {
            let place = |what: String| format!("request {index}, turn {turn}: {what}");
            let id = request.headers.get("x-request-id").cloned();
            let id = id.unwrap_or_else(|| format!("{app}-{index}-{turn}"));
            let calls = || server.calls(&app).values().map(Vec::len).sum::<usize>();
            let observed = send_request(edge.address(&app), request, &id, &calls)
                .await
                .map_err(|error| place(format!("{error:#}")))?;
            let timeout =
                if request.expect.record.is_empty() { Duration::ZERO } else { EVENT_TIMEOUT };
            let records = record_of(edge, &id, timeout).await;
            let observed = Observed { records: Some(records), ..observed };
            request.expect.check(&observed).map_err(place)?;
            scenario.check_secrecy(&observed).map_err(place)?;
        }
    }
    let until = Instant::now() + CALLS_TIMEOUT;
    loop {
        let calls = server.settled(&app, CALLS_TIMEOUT).await;
        let verdict = scenario.expect.check(&calls);
        // Exports to a collector may arrive some seconds after the responses.
        if verdict.is_ok() || Instant::now() >= until {
            return verdict;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Sends a request. `calls` returns the number of the upstreams' calls so far.
async fn send_request(
    address: SocketAddr,
    request: &Request,
    id: &str,
    calls: &(impl Fn() -> usize + Sync),
) -> anyhow::Result<Observed> {
    let mut observed = Observed::default();
    let before = calls();
    let exchange = exchange(address, request, id, &mut observed);
    match request.hang_up_after {
        Some(after) => {
            // The time begins with the first upstream call: on a loaded machine, the gateway could
            // otherwise receive the request after its caller hung up.
            let hang_up = async {
                wait_until(EVENT_TIMEOUT, || calls() > before).await;
                sleep(after).await;
            };
            observed.hung_up = tokio::select! {
                _ = exchange => false,
                () = hang_up => true,
            };
        }
        None => {
            let ended = timeout(EVENT_TIMEOUT, exchange).await.context("no response in time")??;
            observed.hung_up = ended == ExchangeEnd::HungUp;
        }
    }
    Ok(observed)
}

#[derive(PartialEq)]
enum ExchangeEnd {
    Whole,
    HungUp,
}

/// One request on its own connection, which ends with this future.
async fn exchange(
    address: SocketAddr,
    request: &Request,
    id: &str,
    observed: &mut Observed,
) -> anyhow::Result<ExchangeEnd> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    // A caller that disconnects resets its connection: a plain FIN may mean that it only has
    // nothing more to send (RFC 9112, 9.6), so servers go on.
    stream.set_zero_linger()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    // Aborting the connection task closes the socket, which disconnects the caller.
    let _ended = AbortOnDrop(connection);
    let mut message = http::Request::builder()
        .method(request.method.as_str())
        .uri(&request.path)
        .body(Full::new(Bytes::from(request.body.clone())))?;
    *message.headers_mut() = request.request_headers()?;
    message.headers_mut().insert("host", address.to_string().parse()?);
    message.headers_mut().insert("x-request-id", id.parse()?);
    let response = sender.send_request(message).await?;
    let (head, mut body) = response.into_parts();
    observed.status = Some(head.status.as_u16());
    observed.headers = head.headers;
    let mut whole = BytesMut::new();
    let mut ended = ExchangeEnd::Whole;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => whole.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Err(error) => {
                observed.broken = Some(error.to_string());
                break;
            }
        }
        if request.hang_up_after_events.is_some_and(|count| count_events(&whole) >= count) {
            ended = ExchangeEnd::HungUp;
            break;
        }
    }
    observed.body = whole.freeze();
    Ok(ended)
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
