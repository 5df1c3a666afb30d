//! One connection: reads requests, plays what they get, and notices when the caller goes away.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::fixed::{self, Fixed, Move};
use super::wire::{self, Head};
use super::{Repertoire, World};
use crate::upstream::{Asked, Call, CallId, Ended, Play, Response, Script, Step};

/// How long a reset waits for the caller to read what was sent: it would overtake it.
const BEFORE_RESET: Duration = Duration::from_millis(20);
/// How much of the next request is read while this one is answered.
const READ_AHEAD: usize = 256 * 1024;

pub(super) struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
}

/// What a request gets.
enum Turn {
    Fixed(Arc<Fixed>),
    Play(Box<Play>, Visit),
}

/// A call on the books of a world. However it is dropped, its end is noted.
struct Visit {
    repertoire: Arc<Repertoire>,
    /// The world and the call in it; nobody keeps a persona's books.
    place: Option<(String, CallId)>,
    ended: Ended,
}

impl Drop for Visit {
    fn drop(&mut self) {
        let Some((world, id)) = &self.place else { return };
        let mut worlds = self.repertoire.worlds();
        if let Some(World::Scripted(stage)) =
            worlds.as_mut().and_then(|worlds| worlds.get_mut(world))
        {
            stage.leave(id, self.ended);
        }
    }
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: BytesMut::with_capacity(8 * 1024) }
    }

    pub(super) async fn serve(mut self, repertoire: Arc<Repertoire>) {
        while let Ok(Some((head, body))) = self.read().await {
            let closes = head.closes;
            let is_open = match turn(&repertoire, head, body) {
                Turn::Fixed(fixed) => self.write_fixed(&fixed).await.is_ok(),
                Turn::Play(play, mut visit) => {
                    visit.ended = self.perform(*play).await;
                    visit.ended == Ended::Completed
                }
            };
            if closes || !is_open {
                return;
            }
        }
    }

    async fn read(&mut self) -> io::Result<Option<(Head, Bytes)>> {
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

    async fn write_fixed(&mut self, fixed: &Fixed) -> io::Result<()> {
        for next in &fixed.moves {
            match next {
                Move::Write(bytes) => self.stream.write_all(bytes).await?,
                Move::Repeat(bytes, times) => {
                    for _ in 0..*times {
                        self.stream.write_all(bytes).await?;
                    }
                }
                Move::Pause(pause) => sleep(*pause).await,
                Move::Hold(released) => {
                    // Whoever held it is gone: that releases it, too.
                    released.clone().wait_for(|released| *released).await.ok();
                }
                Move::Stamp => self.stream.write_all(&fixed::stamp(SystemTime::now())).await?,
            }
        }
        Ok(())
    }

    async fn perform(&mut self, play: Play) -> Ended {
        match play {
            Play::Refuse => {
                self.reset();
                Ended::Refused
            }
            Play::Silence => {
                self.gone().await;
                Ended::Abandoned
            }
            Play::Respond(response) => self.respond(response).await.unwrap_or(Ended::Abandoned),
        }
    }

    /// An error means that the caller went away.
    async fn respond(&mut self, response: Response) -> io::Result<Ended> {
        self.wait(response.delay).await?;
        let is_chunked = response.length.is_none();
        // The head travels with the first piece of the body, if that comes at once.
        let mut out = wire::head(response.status, &response.headers, response.length);
        for step in response.steps {
            match step {
                Step::Send(bytes) => {
                    if is_chunked {
                        wire::chunk(&bytes, &mut out);
                    } else {
                        out.extend_from_slice(&bytes);
                    }
                    self.write(&mut out).await?;
                }
                Step::Wait(duration) => {
                    self.write(&mut out).await?;
                    self.wait(duration).await?;
                }
                Step::Cut { reset } => {
                    self.write(&mut out).await?;
                    if reset {
                        sleep(BEFORE_RESET).await;
                        self.reset();
                    }
                    return Ok(Ended::Cut);
                }
                Step::Hang => {
                    self.write(&mut out).await?;
                    self.gone().await;
                    return Ok(Ended::Abandoned);
                }
                Step::End => break,
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
            () = self.gone() => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    async fn gone(&mut self) {
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
    while buffer.len() < READ_AHEAD {
        if !matches!(reader.read_buf(buffer).await, Ok(count) if count > 0) {
            return;
        }
    }
    std::future::pending::<()>().await;
}

fn turn(repertoire: &Arc<Repertoire>, head: Head, body: Bytes) -> Turn {
    let visit = |place| Visit { repertoire: repertoire.clone(), place, ended: Ended::Abandoned };
    if let Repertoire::Persona { persona, models, log } = &**repertoire {
        let script = persona.script(&head.method, &head.target, &head.headers, &body, models);
        let asked = Asked::read(&head.target, &body);
        if let Some(log) = log {
            log(&format!(
                "{} {} {} -> {}",
                head.method,
                head.target,
                asked.model,
                outcome(&script)
            ));
        }
        let play = script.play(&asked).unwrap_or(Play::Refuse);
        return Turn::Play(Box::new(play), visit(None));
    }
    let mut parts = head.target.trim_start_matches('/').splitn(3, '/');
    let (world, upstream) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let path = format!("/{}", parts.next().unwrap_or_default());
    let call = Call { method: head.method, path, headers: head.headers, body, ended: Ended::Open };
    match repertoire.worlds().as_mut().and_then(|worlds| worlds.get_mut(world)) {
        Some(World::Fixed(fixed)) => Turn::Fixed(fixed.clone()),
        Some(World::Scripted(stage)) => {
            let (id, play) = stage.enter(upstream, call);
            Turn::Play(Box::new(play), visit(Some((world.to_owned(), id))))
        }
        None => {
            let play = Script::failing(404).play(&Asked::read("/", b""));
            Turn::Play(Box::new(play.unwrap_or(Play::Refuse)), visit(None))
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
