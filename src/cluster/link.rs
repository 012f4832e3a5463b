//! How connections come to be: accepted or dialled, introduced, given their place.
//!
//! The deadline of a handshake is one for all of it, TLS included.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use parking_lot::Mutex;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Shared;
use super::connection::{Connection, Ending};
use super::handshake::{Cause, Handshake, HandshakeError, Peer, Progress};
use super::hello::Class;
use super::tls::{Accepted, TlsFailure, Wire};
use crate::logging::Said;
use crate::tasks;
use crate::types::NodeId;

/// Sockets that may be in their handshake at once; more are closed.
const MOST_UNKNOWN: usize = 256;
/// Wait after a failed accept, which mostly means that no file descriptors are left.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// Bytes read at once before the peer is known.
const READ: usize = 4096;
/// What became of an attempt to connect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Dialled {
    Linked(NodeId),
    /// There is a connection already, or the other side has begun one.
    Duplicate(NodeId),
    /// The address is this node's own.
    Itself,
}

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("cannot connect: {0}")]
    Io(io::Error),
    #[error(transparent)]
    Tls(TlsFailure),
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error("no answer in time")]
    TimedOut,
    #[error("another process runs with the identity of this node ({0}): a data directory was copied")]
    Twin(NodeId),
    #[error("the node was removed from the cluster")]
    Forgotten,
    #[error("a later process of the node was here")]
    Outdated,
}

impl From<io::Error> for DialError {
    fn from(error: io::Error) -> Self {
        // TLS speaks through the socket: also a read may say that a certificate was refused.
        TlsFailure::of(&error).map_or(Self::Io(error), Self::Tls)
    }
}

/// Accepts until this node stops.
pub(super) async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    let unknown = Arc::new(Semaphore::new(MOST_UNKNOWN));
    let said = Arc::new(Mutex::new(Said::default()));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.stopped() => return,
        };
        let (socket, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if said.lock().is_news(None, &error) {
                    tracing::warn!(%error, "accepting a connection of another node failed");
                }
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        let Ok(permit) = unknown.clone().try_acquire_owned() else {
            if said.lock().is_news(None, "too many") {
                tracing::warn!(%from, "connection refused: too many nodes are in their handshake");
            }
            continue;
        };
        let (shared, said) = (shared.clone(), said.clone());
        tasks::spawn("link accepted", async move {
            let deadline = shared.settings.timing.handshake;
            let result = timeout(deadline, be_dialled(&shared, socket)).await;
            drop(permit);
            // Whoever is refused dials again and again, and from another port each time.
            let node = Some(from.ip());
            match result {
                Ok(Ok(())) => {
                    said.lock().is_over(&node);
                }
                // It has found out that there is a connection already, or only looked who listens.
                Ok(Err(error)) if error.may_pass() => {
                    tracing::debug!(%from, %error, "a connection of another node came to nothing");
                }
                Ok(Err(error)) if said.lock().is_news(node, &error) => {
                    tracing::warn!(%from, %error, "a connection of another node is refused");
                }
                Err(_) if said.lock().is_news(node, "late") => {
                    tracing::warn!(%from, "a connection of another node did not introduce itself in time");
                }
                Ok(Err(_)) | Err(_) => {}
            }
        });
    }
}

async fn be_dialled(shared: &Arc<Shared>, socket: TcpStream) -> Result<(), DialError> {
    prepare(&socket)?;
    let (us, secret) = (shared.introduction(), shared.secret.clone());
    let Some(tls) = &shared.settings.tls else {
        return be_introduced(shared, socket, Handshake::listen(us, secret, rand::random())).await;
    };
    match tls.accept(socket).await? {
        Accepted::Tls(socket) => be_introduced(shared, *socket, Handshake::listen(us, secret, rand::random())).await,
        Accepted::Plain(socket) => be_introduced(shared, socket, Handshake::turn_away(us, secret)).await,
    }
}

async fn be_introduced<W: Wire>(
    shared: &Arc<Shared>,
    mut socket: W,
    mut handshake: Handshake,
) -> Result<(), DialError> {
    let (mut input, mut out) = (BytesMut::with_capacity(READ), Vec::new());
    let peer = loop {
        read_some(&mut socket, &mut input).await?;
        let progress = handshake.on_bytes(&mut input, &mut out);
        if let Ok(Progress::Verified(peer) | Progress::Done(peer)) = progress {
            break peer;
        }
        say(&mut socket, &out).await?;
        out.clear();
        progress?;
    };
    let us = shared.introduction();
    if peer.who.id == us.id {
        // Answered, so that the dialler knows that it has found itself.
        handshake.accept(&mut out);
        say(&mut socket, &out).await?;
        return match peer.who.incarnation == us.incarnation {
            true => Ok(()),
            false => Err(DialError::Twin(us.id)),
        };
    }
    let by = peer.who.id;
    let connection = Connection::new(peer, shared.links.number(), by, &shared.settings);
    match shared.place(&connection, None) {
        Ok(()) => {
            handshake.accept(&mut out);
            start(shared, connection, socket, out, input);
            Ok(())
        }
        Err(cause) => {
            let name = &connection.peer.who.name;
            let reason = match cause {
                Cause::Forgotten => format!("{name} was removed from the cluster of {}: reset it", us.name),
                Cause::Outdated => format!("a later process of {name} is connected"),
                _ => "there is a connection already".to_owned(),
            };
            handshake.refuse(cause, &reason, &mut out);
            say(&mut socket, &out).await?;
            not_placed(cause).map(|_| ())
        }
    }
}

/// Connects to an address and gives the connection its place.
pub(super) async fn dial(shared: &Arc<Shared>, address: &str, class: Class) -> Result<Dialled, DialError> {
    let timing = &shared.settings.timing;
    let socket = match timeout(timing.connect, connect(address)).await {
        Ok(socket) => socket?,
        Err(_) => return Err(DialError::TimedOut),
    };
    let reached = async {
        prepare(&socket)?;
        match &shared.settings.tls {
            None => introduce(shared, socket, address, class).await,
            Some(tls) => introduce(shared, tls.connect(socket).await?, address, class).await,
        }
    };
    match timeout(timing.handshake, reached).await {
        Ok(result) => result,
        Err(_) => Err(DialError::TimedOut),
    }
}

async fn connect(address: &str) -> io::Result<TcpStream> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    // Names may have many; all are tried within the time for one.
    for address in tokio::net::lookup_host(address).await?.collect::<Vec<SocketAddr>>() {
        match TcpStream::connect(address).await {
            Ok(socket) => return Ok(socket),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

async fn introduce<W: Wire>(
    shared: &Arc<Shared>,
    mut socket: W,
    address: &str,
    class: Class,
) -> Result<Dialled, DialError> {
    let us = shared.introduction();
    let (mut input, mut out) = (BytesMut::with_capacity(READ), Vec::new());
    let attempt = (class, shared.links.number());
    let mut handshake = Handshake::dial(us.clone(), attempt, shared.secret.clone(), rand::random(), &mut out);
    let mut claimed = None;
    let peer: Peer = loop {
        say(&mut socket, &out).await?;
        out.clear();
        read_some(&mut socket, &mut input).await?;
        let progress = handshake.on_bytes(&mut input, &mut out);
        claimed = handshake.claimed().map(|who| who.id).or(claimed);
        if let Some(id) = claimed
            && id != us.id
            && shared.links.has(id, class, &shared.settings.timing)
        {
            return Ok(Dialled::Duplicate(id));
        }
        match progress {
            Ok(Progress::Done(peer) | Progress::Verified(peer)) => break peer,
            Ok(Progress::More) => {}
            Err(HandshakeError::Refused {
                cause: Cause::Duplicate,
                ..
            }) => return claimed.map(Dialled::Duplicate).ok_or(HandshakeError::OutOfTurn.into()),
            Err(error) => {
                // The other side is told why, as far as it still listens.
                let _ = say(&mut socket, &out).await;
                return Err(error.into());
            }
        }
    };
    if peer.who.id == us.id {
        return match peer.who.incarnation == us.incarnation {
            true => Ok(Dialled::Itself),
            false => Err(DialError::Twin(us.id)),
        };
    }
    let id = peer.who.id;
    let connection = Connection::new(peer, shared.links.number(), us.id, &shared.settings);
    match shared.place(&connection, Some(address)) {
        Ok(()) => {
            start(shared, connection, socket, out, input);
            Ok(Dialled::Linked(id))
        }
        Err(Cause::Duplicate) => Ok(Dialled::Duplicate(id)),
        Err(cause) => not_placed(cause).map(|()| Dialled::Duplicate(id)),
    }
}

fn not_placed(cause: Cause) -> Result<(), DialError> {
    match cause {
        Cause::Forgotten => Err(DialError::Forgotten),
        Cause::Outdated => Err(DialError::Outdated),
        _ => Ok(()),
    }
}

/// Runs a connection that has its place; `first` is written before anything else.
fn start<W: Wire>(shared: &Arc<Shared>, connection: Arc<Connection>, socket: W, first: Vec<u8>, input: BytesMut) {
    let shared = shared.clone();
    tasks::spawn("link", async move {
        let _leaving = Leaving {
            shared: shared.clone(),
            connection: connection.clone(),
        };
        let (read, mut write) = socket.halves();
        let sent = tokio::select! {
            sent = say(&mut write, &first) => sent,
            _ = connection.ended() => return,
        };
        match sent {
            Ok(()) => connection.run(&shared, read, write, input).await,
            Err(error) => connection.end(Ending::Io(error.to_string())),
        }
    });
}

/// Gives the place of a connection free when its task ends, however it ends.
struct Leaving {
    shared: Arc<Shared>,
    connection: Arc<Connection>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.connection.end(Ending::Closed);
        self.shared.on_ended(&self.connection);
    }
}

async fn read_some<R: AsyncRead + Unpin>(socket: &mut R, input: &mut BytesMut) -> io::Result<()> {
    input.reserve(READ);
    match socket.read_buf(input).await {
        Ok(1..) => Ok(()),
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
        // TLS has a long text for an end that it was not told of.
        Ok(0) | Err(_) => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

async fn say<W: AsyncWrite + Unpin>(socket: &mut W, bytes: &[u8]) -> io::Result<()> {
    socket.write_all(bytes).await?;
    // TLS may have kept some of it.
    socket.flush().await
}

fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    // Finds peers that are gone while nothing is sent; what is sent is watched by beats.
    SockRef::from(socket).set_tcp_keepalive(&TcpKeepalive::new())
}

impl DialError {
    /// Whether it may be over in a moment, without anybody doing anything about it.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Io(_) | Self::TimedOut | Self::Outdated)
    }

    pub(super) fn nobody_listens(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused)
    }
}
