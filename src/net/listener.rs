//! Listening sockets: each accepted connection becomes a session. While the node pauses, or is told to take no
//! clients, there are none, so that clients and whoever balances them go to other nodes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::{login, proxy, session};
use crate::broker::Broker;
use crate::config::{Config, Listeners, SocketOptions};
use crate::connection::{FRAME_MIN, ServerNames, Settings, server_properties};
use crate::tasks;
use crate::types::Millis;

/// Sockets that may be in their handshake at once on one listener.
const MOST_UNAUTHENTICATED: usize = 4096;
/// Wait after a failed accept, which mostly means that no file descriptors are left, and before a socket
/// is opened again that could not be.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// One listening socket.
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
    options: SocketOptions,
    /// Connections begin with a PROXY protocol header.
    proxied: bool,
}

/// Opens a listening socket.
///
/// # Errors
/// When the address cannot be used.
pub fn bind(address: SocketAddr, config: &Listeners) -> io::Result<Listener> {
    let options = &config.socket;
    let listener = open(address, options)?;
    Ok(Listener {
        address: listener.local_addr()?,
        listener,
        options: options.clone(),
        proxied: config.proxy_protocol,
    })
}

fn open(address: SocketAddr, options: &SocketOptions) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
    TcpListener::from_std(socket.into())
}

impl Listener {
    /// The address that is listened on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts until the task is dropped; the connections go on without it.
    pub async fn run(mut self, broker: Arc<Broker>) {
        let mut takes_clients = broker.subscribe_takes_clients();
        let settings = Arc::new(settings(broker.config(), &broker.node().cluster_name));
        let handshakes = Arc::new(Semaphore::new(MOST_UNAUTHENTICATED));
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = until(&mut takes_clients, false) => {
                    self = self.again_after(&mut takes_clients).await;
                    continue;
                }
            };
            let (socket, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                    continue;
                }
            };
            let Ok(permit) = handshakes.clone().try_acquire_owned() else {
                tracing::warn!(%peer, "connection refused: too many are in their handshake");
                continue;
            };
            if broker.has_failed() || self.prepare(&socket).is_err() {
                continue;
            }
            let Ok(local) = socket.local_addr() else {
                continue;
            };
            let (broker, settings) = (broker.clone(), settings.clone());
            let id = broker.next_connection();
            let handshake = Handshake(Some(permit));
            if !self.proxied {
                tasks::spawn("connection", async move {
                    session::serve(broker, settings, socket, id, (peer, local), handshake).await;
                });
                continue;
            }
            tasks::spawn("connection behind a proxy", async move {
                let mut socket = socket;
                match proxy::read(&mut socket).await {
                    Ok(ends) => {
                        let ends = ends.unwrap_or((peer, local));
                        session::serve(broker, settings, socket, id, ends, handshake).await;
                    }
                    Err(error) => tracing::info!(%peer, %error, "a connection without a PROXY header is closed"),
                }
            });
        }
    }

    /// Closes the socket until the node takes clients again.
    async fn again_after(self, takes_clients: &mut watch::Receiver<bool>) -> Self {
        drop(self.listener);
        until(takes_clients, true).await;
        let listener = loop {
            match open(self.address, &self.options) {
                Ok(listener) => break listener,
                Err(error) => {
                    tracing::warn!(address = %self.address, %error, "a listener cannot be opened again yet");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            }
        };
        Self { listener, ..self }
    }

    fn prepare(&self, socket: &TcpStream) -> io::Result<()> {
        let options = &self.options;
        socket.set_nodelay(options.nodelay)?;
        let socket = SockRef::from(socket);
        if options.keepalive {
            socket.set_tcp_keepalive(&TcpKeepalive::new())?;
        }
        if let Some(bytes) = options.sndbuf {
            socket.set_send_buffer_size(bytes as usize)?;
        }
        if let Some(bytes) = options.recbuf {
            socket.set_recv_buffer_size(bytes as usize)?;
        }
        Ok(())
    }
}

async fn until(takes_clients: &mut watch::Receiver<bool>, wished: bool) {
    // An error is the broker dropped, which cannot be while a listener has it.
    let _ = takes_clients.wait_for(|takes| *takes == wished).await;
}

/// A place among the connections that are not authenticated yet.
pub struct Handshake(Option<OwnedSemaphorePermit>);

impl Handshake {
    /// The connection is authenticated: its place is free.
    pub fn done(&mut self) {
        self.0 = None;
    }
}

/// What every connection is offered.
fn settings(config: &Config, cluster_name: &str) -> Settings {
    let product = &config.product;
    let limits = &config.limits;
    Settings {
        server_properties: server_properties(&ServerNames {
            product: &product.product,
            version: &product.version,
            platform: concat!("Warren ", env!("CARGO_PKG_VERSION"), " (Rust)"),
            information: "Warren, an AMQP 0-9-1 broker. Licensed under Apache-2.0.",
            copyright: "The Warren authors",
            cluster_name,
        }),
        mechanisms: login::mechanisms(&config.auth),
        channel_max: match limits.channel_max {
            0 => u16::MAX,
            most => most,
        },
        frame_max: match limits.frame_max {
            0 => u32::MAX,
            most => most.max(FRAME_MIN),
        },
        initial_frame_max: limits.initial_frame_max.max(FRAME_MIN),
        heartbeat: limits.heartbeat_s,
        max_message_size: limits.max_message_size,
        handshake_timeout: config.listeners.handshake_timeout.unwrap_or(Millis(u64::MAX / 2)),
    }
}

/// Starts every listener's task.
pub fn start(listeners: Vec<Listener>, broker: &Arc<Broker>) -> JoinSet<()> {
    let mut running = JoinSet::new();
    for listener in listeners {
        running.spawn(listener.run(broker.clone()));
    }
    running
}
