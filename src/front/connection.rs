//! A client's connection before it is known what it wants: counted, with its writer.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::protocol::Protocol;
use super::writer;
use crate::broker::{Broker, ConnectionInfo, Outbox};
use crate::listen::{ClientCertificate, Handshake, Opened, ReadHalf};
use crate::tasks;

/// How long a client that is behind may take for the last bytes.
const LAST_WRITE: Duration = Duration::from_secs(5);

/// A connection that the node has taken on. Whoever serves it takes `info` out of the broker's
/// connections when it has ended, closes the outbox, and then waits for the writer.
pub struct Accepted {
    pub info: Arc<ConnectionInfo>,
    pub outbox: Arc<Outbox>,
    pub socket: ReadHalf,
    /// What the client has shown.
    pub certificate: Option<ClientCertificate>,
    pub handshake: Handshake,
    pub writer: Writer,
}

/// The task that writes what is in the outbox.
pub struct Writer(JoinHandle<()>);

/// Takes a connection on; `None` when the node has as many as it may, or serves nobody.
pub fn accept(broker: &Arc<Broker>, protocol: &Protocol, opened: Opened) -> Option<Accepted> {
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
    Some(Accepted {
        info,
        outbox,
        socket,
        certificate,
        handshake,
        writer: Writer(writer),
    })
}

impl Writer {
    /// Waits until all is written, for as long as a client may take for that.
    pub async fn end(self) {
        let stop = self.0.abort_handle();
        if tokio::time::timeout(LAST_WRITE, self.0).await.is_err() {
            stop.abort();
        }
    }
}
