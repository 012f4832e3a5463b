//! What goes over a connection while it lasts: a reader that hands out many frames per read, and a writer that
//! puts the frames of many senders into one write.

use crate::cluster::Timing;
use crate::cluster::calls::NotServed;
use crate::tasks;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::calls::Place;
use super::connection::{Connection, Ending};
use super::frame::{self, Frame, Kind};
use super::hello::Class;
use super::outbox::{Batch, Outgoing};
use super::pace::Pace;
use super::rpc::{Failure, Flow};
use super::shared::Shared;

/// Read at once.
const READ: usize = 64 * 1024;
/// Bytes of a frame after which the buffer that it was read into is given up.
const LARGE: usize = 4 * 1024 * 1024;
/// Pieces handed to one system call.
const PIECES: usize = 64;
/// The largest text of a failed call.
const MOST_TEXT: usize = 4096;

impl Connection {
    /// Reads and writes until it ends.
    pub async fn run<R, W>(self: &Arc<Self>, shared: &Arc<Shared>, read: R, write: W, input: BytesMut)
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        // Whatever happens to the reader, also a handler that panics: nobody is left waiting.
        let _guard = Guard(self.clone());
        let writer = self.clone();
        let timing = shared.settings.timing.clone();
        let mut writing = tasks::spawn("link writer", async move { writer.write(write, &timing).await });
        let ending = tokio::select! {
            ending = self.read(shared, read, input) => ending,
            ending = &mut writing => ending.unwrap_or(Ending::Closed),
            ending = self.ended() => ending,
        };
        self.end(ending);
        writing.abort();
    }

    async fn read<R: AsyncRead + Unpin>(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        mut read: R,
        mut input: BytesMut,
    ) -> Ending {
        let silence = shared.settings.timing.silence;
        let mut messages = Messages::default();
        loop {
            let mut had_large = false;
            loop {
                let frame = match frame::read(&mut input, self.most_payload) {
                    Ok(Some(frame)) => frame,
                    Ok(None) => break,
                    Err(error) => return error.into(),
                };
                had_large |= frame.payload.len() >= LARGE;
                if frame.kind == Kind::Message {
                    if messages.service != frame.service {
                        messages.hand_out(self, shared).await;
                        messages.service = frame.service;
                    }
                    messages.payloads.push(frame.payload);
                } else if let Err(ending) = self.on_frame(shared, frame) {
                    return ending;
                }
            }
            messages.hand_out(self, shared).await;
            if had_large {
                // Else the room for it would be kept for what is small.
                let mut rest = BytesMut::with_capacity(READ.max(input.len()));
                rest.extend_from_slice(&input);
                input = rest;
            }
            if input.capacity() - input.len() < READ / 4 {
                input.reserve(READ);
            }
            match tokio::time::timeout(silence, read.read_buf(&mut input)).await {
                Ok(Ok(0)) => return Ending::Closed,
                Ok(Ok(_)) => {
                    let now = self.began.elapsed().as_millis() as u64;
                    self.heard.store(now, Ordering::Relaxed);
                }
                // A peer that is killed ends TLS without a word; nothing is decided by how a link ends.
                Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return Ending::Closed,
                Ok(Err(error)) => return Ending::Io(error.to_string()),
                Err(_) => return Ending::Silent(silence),
            }
        }
    }

    fn on_frame(self: &Arc<Self>, shared: &Arc<Shared>, frame: Frame) -> Result<(), Ending> {
        match frame.kind {
            Kind::Call => self.serve(shared, frame)?,
            Kind::Answer => self.made.answered(frame.request, Ok(frame.payload)),
            Kind::Failed => {
                let error = Failure::read(&frame.payload, frame.service);
                self.made.answered(frame.request, Err(error));
            }
            Kind::Cancel => self.served.cancel(frame.request),
            Kind::Ping => self.signal(Kind::Pong, frame.request),
            Kind::Pong => shared.on_pong(&self.origin, frame.request),
            Kind::Goodbye if self.peer.class == Class::Control => shared.on_goodbye(&self.origin),
            Kind::Goodbye | Kind::Beat | Kind::Message => {}
        }
        Ok(())
    }

    fn serve(self: &Arc<Self>, shared: &Arc<Shared>, frame: Frame) -> Result<(), Ending> {
        let Frame {
            service,
            request,
            mut payload,
            ..
        } = frame;
        let wait = payload
            .try_get_u32()
            .map_err(|_| Ending::Protocol("a call is too short"))?;
        let wait = Duration::from_millis(wait.into());
        let Some(handler) = shared.services.handler(service, self.peer.class).cloned() else {
            self.refuse(service, request, Failure::NotServed);
            return Ok(());
        };
        let (connection, bytes) = (self.clone(), payload.len());
        let begun = self.served.begin(request, bytes, |place| {
            let answering = Answering {
                connection,
                service,
                request,
                place,
            };
            let answer = async move {
                let call = handler.call(answering.connection.origin, payload);
                // Whoever called has its error by now; what it sees is that nobody answers.
                let result = tokio::time::timeout(wait, call).await.ok();
                answering.end(result).await;
            };
            tasks::spawn("call", answer).abort_handle()
        });
        match begun {
            Ok(()) | Err(NotServed::Closed) => Ok(()),
            Err(NotServed::Busy) => {
                self.refuse(service, request, Failure::Busy);
                Ok(())
            }
            Err(NotServed::Twice) => Err(Ending::Protocol("a call has the number of another")),
        }
    }

    async fn write<W: AsyncWrite + Unpin>(&self, mut write: W, timing: &Timing) -> Ending {
        let mut pace = Pace::new(timing.linger, Instant::now());
        loop {
            let waiting = self.outbox.waiting();
            if waiting == 0 {
                if self.outbox.is_finishing() {
                    // The peer sees the end after the last frame; errors change nothing now.
                    let _ = write.shutdown().await;
                    return Ending::Stopped;
                }
                pace.idle();
                if tokio::time::timeout(timing.beat, self.outbox.wake.notified())
                    .await
                    .is_err()
                {
                    self.signal(Kind::Beat, 0);
                }
                continue;
            }
            if let Some(wait) = pace.wait(waiting, Instant::now()) {
                tokio::time::sleep(wait).await;
            }
            let mut batch = self.outbox.take();
            if let Err(error) = write_all(&mut write, &mut batch).await {
                return Ending::Io(error.to_string());
            }
            self.outbox.written(&batch);
            pace.wrote(batch.frames, Instant::now());
        }
    }
}

async fn write_all<W: AsyncWrite + Unpin>(write: &mut W, batch: &mut Batch) -> io::Result<()> {
    let pieces = &mut batch.pieces;
    let mut first = 0;
    while first < pieces.len() {
        let mut slices = [IoSlice::new(&[]); PIECES];
        let some = &pieces[first..pieces.len().min(first + PIECES)];
        for (slice, piece) in slices.iter_mut().zip(some) {
            *slice = IoSlice::new(piece);
        }
        let mut written = write.write_vectored(&slices[..some.len()]).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        while first < pieces.len() && written >= pieces[first].len() {
            written -= pieces[first].len();
            pieces[first] = Bytes::new();
            first += 1;
        }
        if written > 0 {
            pieces[first].advance(written);
        }
    }
    // TLS may have kept some of it; a plain socket has nothing to do.
    write.flush().await
}

/// Messages of one read and one service.
#[derive(Default)]
struct Messages {
    service: u16,
    payloads: Vec<Bytes>,
}

impl Messages {
    async fn hand_out(&mut self, connection: &Connection, shared: &Shared) {
        if self.payloads.is_empty() {
            return;
        }
        if let Some(handler) = shared.services.handler(self.service, connection.peer.class) {
            if let Flow::Wait(ready) = handler.messages(&connection.origin, &mut self.payloads) {
                ready.await;
            }
        } else {
            tracing::warn!(service = self.service, peer = %connection.peer.who.name, "messages for a service that is not known");
        }
        self.payloads.clear();
    }
}

/// A call that is being answered. Dropped without an answer, it tells the caller so.
struct Answering {
    connection: Arc<Connection>,
    service: u16,
    request: u64,
    place: Place,
}

impl Answering {
    /// `None` is the deadline, after which nobody waits.
    async fn end(self, result: Option<Result<Bytes, super::rpc::Failed>>) {
        let most = self.connection.most_payload as usize;
        let (kind, head, payload) = match result {
            Some(Ok(answer)) if answer.len() <= most => (Kind::Answer, None, answer),
            Some(Ok(answer)) => {
                let text = format!("an answer of {} bytes is larger than the limit", answer.len());
                (Kind::Failed, Some([Failure::Failed as u8]), text.into())
            }
            Some(Err(failed)) => {
                let text = super::hello::cut(&failed.0, MOST_TEXT).to_owned();
                (Kind::Failed, Some([Failure::Failed as u8]), text.into())
            }
            None => {
                self.place.leave();
                return;
            }
        };
        let frame = Outgoing {
            kind,
            service: self.service,
            request: self.request,
            head: head.as_ref().map_or(&[], |head| &head[..]),
            payload,
        };
        // The place is kept until there is room for the answer: answers are bounded too.
        let pushed = self.connection.outbox.push(frame).await;
        if pushed.is_ok() {
            self.place.leave();
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if self.place.leave() {
            self.connection.refuse(self.service, self.request, Failure::Failed);
        }
    }
}

struct Guard(Arc<Connection>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.end(Ending::Closed);
    }
}
