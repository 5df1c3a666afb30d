//! One connection: reads requests, plays what they get, and notices when the caller goes away.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::upstream::{
    BodyStep, Call, CallId, Ended, PlannedResponse, ProviderRequest, ResponsePlan, Script,
};

use super::canned::{self, CannedResponse, CannedStep};
use super::wire::{self, RequestHead};
use super::{ServedContent, ServedWorld};

/// How long a reset waits for the caller to read what was sent: it would overtake it.
const RESET_DELAY: Duration = Duration::from_millis(20);
/// How much of the next request is read while this one is answered.
const MAX_READ_AHEAD_BYTES: usize = 256 * 1024;

pub(super) struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
}

/// What a request gets.
enum RequestPlan {
    Canned(Arc<CannedResponse>),
    Play(Box<ResponsePlan>, TrackedCall),
}

/// A call on the books of a world. However it is dropped, its end is noted.
struct TrackedCall {
    repertoire: Arc<ServedContent>,
    /// The world and the call in it; nobody keeps a persona's books.
    place: Option<(String, CallId)>,
    ended: Ended,
}

impl Drop for TrackedCall {
    fn drop(&mut self) {
        let Some((world, id)) = &self.place else { return };
        let mut worlds = self.repertoire.worlds();
        if let Some(ServedWorld::Scripted(stage)) =
            worlds.as_mut().and_then(|worlds| worlds.get_mut(world))
        {
            stage.end_call(id, self.ended);
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
                RequestPlan::Canned(canned) => self.write_fixed(&canned).await.is_ok(),
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
        let nonsense = |_| io::Error::from(io::ErrorKind::InvalidData);
        let head = loop {
            if let Some(head) = wire::take_head(&mut self.buffer).map_err(nonsense)? {
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
            if let Some(body) = wire::take_body(&mut self.buffer, head.framing).map_err(nonsense)? {
                return Ok(Some((head, body)));
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    async fn write_fixed(&mut self, canned: &CannedResponse) -> io::Result<()> {
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
                    // Whoever held it is gone: that releases it, too.
                    released.clone().wait_for(|released| *released).await.ok();
                }
                CannedStep::Stamp => {
                    self.stream.write_all(&canned::stamp(SystemTime::now())).await?
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
                self.wait_gone().await;
                Ended::Abandoned
            }
            ResponsePlan::Respond(response) => {
                self.respond(response).await.unwrap_or(Ended::Abandoned)
            }
        }
    }

    /// An error means that the caller went away.
    async fn respond(&mut self, response: PlannedResponse) -> io::Result<Ended> {
        self.wait(response.delay).await?;
        let is_chunked = response.length.is_none();
        // The head travels with the first piece of the body, if that comes at once.
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
                    self.wait_gone().await;
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
            () = self.wait_gone() => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    async fn wait_gone(&mut self) {
        watch(&mut self.stream, &mut self.buffer).await;
    }

    /// Makes the coming close a TCP reset.
    fn reset(&mut self) {
        // Where this fails the connection is closed all the same, only more politely.
        let _ = self.stream.set_zero_linger();
    }
}

/// Completes when the caller closes or resets the connection. What it sends meanwhile is kept.
///
/// A caller that closes only its sending half counts as gone: no HTTP client of ours does that.
async fn watch(reader: &mut (impl AsyncReadExt + Unpin), buffer: &mut BytesMut) {
    while buffer.len() < MAX_READ_AHEAD_BYTES {
        if !matches!(reader.read_buf(buffer).await, Ok(count) if count > 0) {
            return;
        }
    }
    std::future::pending::<()>().await;
}

fn plan_request(content: &Arc<ServedContent>, head: RequestHead, body: Bytes) -> RequestPlan {
    let tracked_call =
        |place| TrackedCall { repertoire: content.clone(), place, ended: Ended::Abandoned };
    if let ServedContent::Persona { persona: provider, models, log } = &**content {
        let script = provider.script(&head.method, &head.target, &head.headers, &body, models);
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
    let mut parts = head.target.trim_start_matches('/').splitn(3, '/');
    let (world, upstream) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let path = format!("/{}", parts.next().unwrap_or_default());
    let call = Call { method: head.method, path, headers: head.headers, body, ended: Ended::Open };
    match content.worlds().as_mut().and_then(|worlds| worlds.get_mut(world)) {
        Some(ServedWorld::Canned(canned)) => RequestPlan::Canned(canned.clone()),
        Some(ServedWorld::Scripted(stage)) => {
            let (id, plan) = stage.begin_call(upstream, call);
            RequestPlan::Play(Box::new(plan), tracked_call(Some((world.to_owned(), id))))
        }
        None => {
            let plan = Script::failing(404).plan(&ProviderRequest::parse("/", b""));
            RequestPlan::Play(Box::new(plan.unwrap_or(ResponsePlan::Refuse)), tracked_call(None))
        }
    }
}

fn outcome(script: &Script) -> String {
    match (script.refuse, script.hang, script.status) {
        (true, ..) => "connection reset".to_owned(),
        (_, true, _) => "silence".to_owned(),
        (.., status) => status.unwrap_or(200).to_string(),
    }
}
