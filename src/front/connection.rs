//! One client's connection, whatever it speaks: from the socket that was accepted to the last byte written.
//!
//! [`serve`] runs the [`Session`] of a front end and sees to what all of them owe the node at the end. A session has
//! its [`ClientConnection`], with what it reads, writes and waits for as every other does.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::panics::has_panicked;
use super::protocol::Protocol;
use super::writer;
use crate::auth::Rights;
use crate::broker::{Broker, ConnectionInfo, Outbox};
use crate::listen::{ClientCertificate, Handshake, Opened, ReadHalf};
use crate::statistics::Measure;
use crate::tasks;
use crate::types::{Timestamp, UserName};

/// How long a client that is behind may take for the last bytes.
const LAST_WRITE: Duration = Duration::from_secs(5);
/// Reads in a row before other tasks get a turn.
const READS_IN_A_ROW: u32 = 32;
/// Bytes of answers for which memory is kept.
const REST_CAPACITY: usize = 1024;

/// What a front end does with a connection.
pub trait Session: Send {
    /// What all sessions have.
    fn connection(&self) -> &ClientConnection;

    /// Serves it until it ends.
    fn run(&mut self) -> impl Future<Output = ()> + Send;

    /// Gives back what it holds of the broker's, also after a panic.
    fn clean_up(&mut self) -> impl Future<Output = ()> + Send;

    /// Whether it was let into a virtual host.
    fn was_open(&self) -> bool;

    /// One that was is gone: whoever observes the broker is told.
    fn tell_of_end(&self);
}

/// A connection that the node has taken on.
pub struct ClientConnection {
    pub broker: Arc<Broker>,
    pub info: Arc<ConnectionInfo>,
    pub outbox: Arc<Outbox>,
    pub socket: ReadHalf,
    /// What the client has shown, until it has logged in.
    pub certificate: Option<ClientCertificate>,
    pub handshake: Handshake,
    /// Who has logged in.
    pub user: Option<UserName>,
    /// What a backend has said of its rights.
    pub rights: Rights,
    /// Answers of the protocol machine on their way to the outbox.
    pub out: Vec<u8>,
    reads: u32,
}

/// Serves a connection until it ends; not at all when the node has as many as it may, or serves nobody.
pub async fn serve<S: Session>(
    broker: Arc<Broker>,
    protocol: &Protocol,
    opened: Opened,
    begin: impl FnOnce(ClientConnection) -> S,
) {
    let Some((connection, writer)) = accept(broker, protocol, opened) else {
        return;
    };
    let mut session = Box::new(begin(connection));
    // On the heap: most connections are idle most of the time, and this is the larger part.
    if has_panicked(Box::pin(session.run())).await {
        let name = session.connection().info.name();
        tracing::error!(connection = name, "a panic ended the connection");
    }
    // What it held goes back to its queues in any case.
    has_panicked(Box::pin(session.clean_up())).await;
    let ClientConnection {
        broker, info, outbox, ..
    } = session.connection();
    if session.was_open() {
        broker.statistics().node().add(Measure::ConnectionClosed, 1);
        session.tell_of_end();
    }
    broker.connections().remove(info);
    // It may be said again.
    let _ = info.undone.set(());
    outbox.close();
    drop(session);
    end(writer).await;
}

/// Takes a connection on, with the task that writes what is in its outbox.
fn accept(broker: Arc<Broker>, protocol: &Protocol, opened: Opened) -> Option<(ClientConnection, JoinHandle<()>)> {
    let Opened {
        stream,
        peer,
        local,
        tls,
        certificate,
        handshake,
    } = opened;
    let id = broker.next_connection();
    let outbox = Arc::new(Outbox::new(id));
    let info = Arc::new(ConnectionInfo::new(
        protocol.key,
        id,
        outbox.clone(),
        (peer, local),
        tls,
        broker.now(),
    ));
    let connections = broker.connections();
    if !connections.add(info.clone(), broker.config().limits.connection_max) {
        tracing::warn!(%peer, "connection refused: the node has as many as it may");
        return None;
    }
    if broker.has_failed() || broker.membership().is_paused() || broker.membership().is_drained() {
        // Too late to be told with the others.
        connections.remove(&info);
        return None;
    }
    let (socket, write) = stream.into_halves();
    let writer = tasks::spawn("connection writer", writer::run(broker.clone(), outbox.clone(), write));
    let connection = ClientConnection {
        broker,
        info,
        outbox,
        socket,
        certificate,
        handshake,
        user: None,
        rights: Rights::Internal,
        out: Vec::new(),
        reads: 0,
    };
    Some((connection, writer))
}

/// Waits until all is written, for as long as a client may take for that.
async fn end(writer: JoinHandle<()>) {
    let stop = writer.abort_handle();
    if tokio::time::timeout(LAST_WRITE, writer).await.is_err() {
        stop.abort();
    }
}

impl ClientConnection {
    /// Moves the protocol machine's answers to the outbox.
    pub fn send_own(&mut self) {
        if self.out.is_empty() {
            return;
        }
        let mut out = self.outbox.lock();
        out.output.bytes().extend_from_slice(&self.out);
        out.finish();
        self.out.clear();
        self.out.shrink_to(REST_CAPACITY);
    }

    /// So many bytes were read.
    pub fn received(&self, bytes: usize) {
        if self.outbox.received(bytes) {
            self.broker.connections().moves(self.outbox.id);
        }
    }

    /// Whether other tasks are to have a turn after this read: a client that always has more to say is never waited
    /// for.
    pub fn is_others_turn(&mut self) -> bool {
        self.reads += 1;
        self.reads.is_multiple_of(READS_IN_A_ROW)
    }

    /// Whether the client takes its answers too slowly, or the disk is behind: it is not read for now.
    pub fn is_behind(&self) -> bool {
        self.outbox.is_behind() || self.broker.store_is_behind()
    }

    /// Waits until neither is.
    pub fn caught_up(&self) -> impl Future<Output = ()> + use<> {
        let (outbox, broker) = (self.outbox.clone(), self.broker.clone());
        async move {
            outbox.drained().await;
            broker.store_drained().await;
        }
    }

    /// Waits for a time that has been found now, for ever without one.
    pub fn until(&self, deadline: Option<Timestamp>) -> impl Future<Output = ()> + use<> {
        let wait = deadline.map(|at| Duration::from_millis(at.since(self.broker.now()).0));
        async move {
            match wait {
                Some(wait) => tokio::time::sleep_until(Instant::now() + wait).await,
                None => std::future::pending().await,
            }
        }
    }

    /// Time has passed for what a backend has said.
    pub fn pass_time(&self, now: Timestamp) {
        if let Some(granted) = self.rights.granted() {
            granted.pass_time(now);
        }
    }

    /// Whether a backend has to be asked something.
    pub fn has_questions(&self) -> bool {
        self.rights.granted().is_some_and(|granted| granted.has_questions())
    }

    /// Asks it. Whether there was anything to ask.
    pub async fn find_answers(&self) -> bool {
        self.broker.access().find_answers(&self.rights).await
    }

    /// Notes why the connection ended; that it was `closed` is not worth a line.
    pub fn log_end<E: Display + PartialEq>(&self, ending: &E, closed: &E) {
        let connection = self.info.name();
        let user = self.user.as_deref().unwrap_or_default();
        match ending == closed {
            true => tracing::debug!(connection, user, "connection closed"),
            false => tracing::info!(connection, user, reason = %ending, "connection ended"),
        }
    }
}
