//! One connection: reads requests, plays the planned responses, and detects that the caller hangs up.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::upstream::{
    BodyStep, Call, CallId, Ended, PlannedResponse, ProviderRequest, ResponsePlan, Script,
};

use super::canned::{self, CannedResponse, CannedStep};
use super::wire::{self, RequestHead};
use super::{ServedContent, ServedWorld};

/// Delay of a reset. A reset without it would overtake the bytes before it.
const RESET_DELAY: Duration = Duration::from_millis(20);
/// Most bytes of the next request that are read during a response.
const MAX_READ_AHEAD_BYTES: usize = 256 * 1024;

pub(super) struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
}

/// Response to a request.
enum RequestPlan {
    Canned(Arc<CannedResponse>),
    Play(Box<ResponsePlan>, TrackedCall),
}

/// Call in the list of a world. Dropping it records how the call ended.
struct TrackedCall {
    content: Arc<ServedContent>,
    /// World and id of the call; `None` for a demo provider, which keeps no calls.
    id: Option<(String, CallId)>,
    ended: Ended,
}

impl Drop for TrackedCall {
    fn drop(&mut self) {
        let Some((world, id)) = &self.id else { return };
        let mut worlds = self.content.worlds();
        if let Some(ServedWorld::Scripted(registry)) =
            worlds.as_mut().and_then(|worlds| worlds.get_mut(world))
        {
            registry.end_call(id, self.ended);
        }
    }
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: BytesMut::with_capacity(8 * 1024) }
    }

    pub(super) async fn serve(mut self, content: Arc<ServedContent>) {
        while let Ok(Some((head, body))) = self.read().await {
            let closes = head.closes;
            let is_open = match plan_request(&content, head, body) {
                RequestPlan::Canned(canned) => self.write_canned(&canned).await.is_ok(),
                RequestPlan::Play(plan, mut call) => {
                    call.ended = self.play(*plan).await;
                    call.ended == Ended::Completed
                }
            };
            if closes || !is_open {
                return;
            }
        }
    }

    async fn read(&mut self) -> io::Result<Option<(RequestHead, Bytes)>> {
        let invalid_data = |_| io::Error::from(io::ErrorKind::InvalidData);
        let head = loop {
            if let Some(head) = wire::take_head(&mut self.buffer).map_err(invalid_data)? {
                break head;
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        };
        if head
            .headers
            .get("expect")
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
        {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        loop {
            if let Some(body) =
                wire::take_body(&mut self.buffer, head.framing).map_err(invalid_data)?
            {
                return Ok(Some((head, body)));
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    async fn write_canned(&mut self, canned: &CannedResponse) -> io::Result<()> {
        for next in &canned.steps {
            match next {
                CannedStep::Write(bytes) => self.stream.write_all(bytes).await?,
                CannedStep::Repeat(bytes, times) => {
                    for _ in 0..*times {
                        self.stream.write_all(bytes).await?;
                    }
                }
                CannedStep::Pause(pause) => sleep(*pause).await,
                CannedStep::Hold(released) => {
                    // A dropped sender releases the stream, too.
                    released.clone().wait_for(|released| *released).await.ok();
                }
                CannedStep::Stamp => {
                    self.stream.write_all(&canned::stamp(SystemTime::now())).await?;
                }
            }
        }
        Ok(())
    }

    async fn play(&mut self, plan: ResponsePlan) -> Ended {
        match plan {
            ResponsePlan::Refuse => {
                self.reset();
                Ended::Refused
            }
            ResponsePlan::Silence => {
                self.wait_for_hang_up().await;
                Ended::Abandoned
            }
            ResponsePlan::Respond(response) => {
                self.respond(response).await.unwrap_or(Ended::Abandoned)
            }
        }
    }

    /// Plays a response. An error means that the caller hung up.
    async fn respond(&mut self, response: PlannedResponse) -> io::Result<Ended> {
        self.wait(response.delay).await?;
        let is_chunked = response.length.is_none();
        // The head is written together with the first bytes of the body if no pause precedes them.
        let mut out = wire::head(response.status, &response.headers, response.length);
        for step in response.steps {
            match step {
                BodyStep::Send(bytes) => {
                    if is_chunked {
                        wire::chunk(&bytes, &mut out);
                    } else {
                        out.extend_from_slice(&bytes);
                    }
                    self.write(&mut out).await?;
                }
                BodyStep::Wait(duration) => {
                    self.write(&mut out).await?;
                    self.wait(duration).await?;
                }
                BodyStep::Cut { reset } => {
                    self.write(&mut out).await?;
                    if reset {
                        sleep(RESET_DELAY).await;
                        self.reset();
                    }
                    return Ok(Ended::Cut);
                }
                BodyStep::Hang => {
                    self.write(&mut out).await?;
                    self.wait_for_hang_up().await;
                    return Ok(Ended::Abandoned);
                }
                BodyStep::End => break,
            }
        }
        if is_chunked {
            out.extend_from_slice(wire::LAST_CHUNK);
        }
        self.write(&mut out).await?;
        Ok(Ended::Completed)
    }

    async fn write(&mut self, out: &mut BytesMut) -> io::Result<()> {
        let bytes = out.split();
        if bytes.is_empty() {
            return Ok(());
        }
        let (mut reader, mut writer) = self.stream.split();
        tokio::select! {
            biased;
            written = writer.write_all(&bytes) => written,
            () = watch(&mut reader, &mut self.buffer) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    async fn wait(&mut self, duration: Duration) -> io::Result<()> {
        if duration.is_zero() {
            return Ok(());
        }
        tokio::select! {
            () = sleep(duration) => Ok(()),
            () = self.wait_for_hang_up() => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    async fn wait_for_hang_up(&mut self) {
        watch(&mut self.stream, &mut self.buffer).await;
    }

    /// Turns the following close into a TCP reset.
    fn reset(&mut self) {
        // If this fails, the connection is closed without a reset.
        let _ = self.stream.set_zero_linger();
    }
}

/// Completes when the caller closes or resets the connection. Bytes that arrive meanwhile are kept.
///
/// A caller that closes only its sending half counts as gone: no HTTP client of the tests does that.
async fn watch(reader: &mut (impl AsyncReadExt + Unpin), buffer: &mut BytesMut) {
    while buffer.len() < MAX_READ_AHEAD_BYTES {
        if !matches!(reader.read_buf(buffer).await, Ok(count) if count > 0) {
            return;
        }
    }
    std::future::pending::<()>().await;
}

fn plan_request(content: &Arc<ServedContent>, head: RequestHead, body: Bytes) -> RequestPlan {
    let tracked_call = |id| TrackedCall { content: content.clone(), id, ended: Ended::Abandoned };
    if let ServedContent::Demo { provider, models, log, outage } = &**content {
        let script = outage_script(outage, &head).unwrap_or_else(|| {
            provider.script(&head.method, &head.target, &head.headers, &body, models)
        });
        let request = ProviderRequest::parse(&head.target, &body);
        if let Some(log) = log {
            log(&format!(
                "{} {} {} -> {}",
                head.method,
                head.target,
                request.model,
                outcome(&script)
            ));
        }
        let plan = script.plan(&request).unwrap_or(ResponsePlan::Refuse);
        return RequestPlan::Play(Box::new(plan), tracked_call(None));
    }
    let mut segments = head.target.trim_start_matches('/').splitn(3, '/');
    let (world, upstream) =
        (segments.next().unwrap_or_default(), segments.next().unwrap_or_default());
    let path = format!("/{}", segments.next().unwrap_or_default());
    let call = Call { method: head.method, path, headers: head.headers, body, ended: Ended::Open };
    match content.worlds().as_mut().and_then(|worlds| worlds.get_mut(world)) {
        Some(ServedWorld::Canned(canned)) => RequestPlan::Canned(canned.clone()),
        Some(ServedWorld::Scripted(registry)) => {
            let (id, plan) = registry.begin_call(upstream, call);
            RequestPlan::Play(Box::new(plan), tracked_call(Some((world.to_owned(), id))))
        }
        None => {
            let plan = Script::failing(404).plan(&ProviderRequest::parse("/", b""));
            RequestPlan::Play(Box::new(plan.unwrap_or(ResponsePlan::Refuse)), tracked_call(None))
        }
    }
}

/// Starts an outage by `POST /outage?status=503` and ends it by `DELETE /outage`. During an outage every
/// other request fails with that status. `None` without one.
fn outage_script(outage: &AtomicU16, head: &RequestHead) -> Option<Script> {
    let (path, query) = head.target.split_once('?').unwrap_or((&head.target, ""));
    if path != "/outage" {
        let status = outage.load(Ordering::Relaxed);
        return (status != 0).then(|| Script::failing(status));
    }
    let status = match head.method.as_str() {
        "POST" => query.strip_prefix("status=").and_then(|status| status.parse().ok()),
        "DELETE" => Some(0),
        _ => return Some(Script::failing(405)),
    };
    let Some(status @ (0 | 400..=599)) = status else { return Some(Script::failing(400)) };
    outage.store(status, Ordering::Relaxed);
    let is_failing = status != 0;
    Some(Script { json: Some(json!({ "failing": is_failing })), ..Script::default() })
}

fn outcome(script: &Script) -> String {
    match (script.refuse, script.hang, script.status) {
        (true, ..) => "connection reset".to_owned(),
        (_, true, _) => "silence".to_owned(),
        (.., status) => status.unwrap_or(200).to_string(),
    }
}
