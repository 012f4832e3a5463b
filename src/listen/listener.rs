//! One listening socket, and what comes in on it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::identity::{ClientCertificate, TlsSession};
use super::proxy;
use super::stream::Stream;
use super::tls::{HandshakeError, Tls};
use crate::config::{Listeners, SocketOptions};
use crate::logging::Said;

/// Sockets of which nobody knows yet whose they are, at once on one listener. More are turned away.
const MOST_HANDSHAKES: usize = 4096;
/// Wait after a failed accept, which mostly means that no file descriptors are left, and before a socket
/// is opened again that could not be.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// How a listener's connections begin.
#[derive(Clone, Default)]
pub struct Setup {
    pub options: SocketOptions,
    /// With a PROXY header, from one of these networks; of none of them is from anywhere.
    pub proxied: Option<Vec<IpNet>>,
    /// With a TLS handshake, in at most so much time.
    pub tls: Option<(Tls, Duration)>,
}

/// A listening socket.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    setup: Arc<Setup>,
    handshakes: Arc<Semaphore>,
}

/// A socket that was accepted, of which nothing is read yet.
pub struct Incoming {
    socket: TcpStream,
    peer: SocketAddr,
    local: SocketAddr,
    setup: Arc<Setup>,
    handshake: Handshake,
}

/// A connection that is ready for its protocol.
pub struct Opened {
    pub stream: Stream,
    /// The client, as the proxy before this node says where there is one.
    pub peer: SocketAddr,
    pub local: SocketAddr,
    /// What was agreed on, where TLS is spoken.
    pub tls: Option<Box<TlsSession>>,
    /// What the client has shown.
    pub certificate: Option<ClientCertificate>,
    pub handshake: Handshake,
}

/// A place among the connections that are not authenticated yet.
pub struct Handshake(Option<OwnedSemaphorePermit>);

impl Setup {
    /// Sockets with options of their own, and PROXY headers if they are `proxied`.
    pub fn of(config: &Listeners, options: SocketOptions, proxied: bool) -> Self {
        Self {
            options,
            proxied: proxied.then(|| config.proxy_sources.clone()),
            tls: None,
        }
    }

    /// The same with TLS.
    pub fn with_tls(self, tls: Tls, config: &Listeners) -> Self {
        let patience = Duration::from_millis(config.tls_handshake_timeout.0);
        Self {
            tls: Some((tls, patience)),
            ..self
        }
    }

    /// What TLS is spoken with, if it is.
    pub fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref().map(|(tls, _)| tls)
    }
}

impl Listener {
    /// Opens a listening socket.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub fn bind(address: SocketAddr, setup: Setup) -> io::Result<Self> {
        let socket = open(address, &setup.options)?;
        Ok(Self {
            address: socket.local_addr()?,
            socket,
            setup: Arc::new(setup),
            handshakes: Arc::new(Semaphore::new(MOST_HANDSHAKES)),
        })
    }

    /// The address that is listened on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether its connections begin with a TLS handshake.
    pub fn has_tls(&self) -> bool {
        self.setup.tls.is_some()
    }

    /// Waits for a connection. What may be dropped while it waits loses none.
    pub async fn accept(&self) -> Incoming {
        let mut said = Said::default();
        loop {
            let (socket, peer) = match self.socket.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    if said.is_news((), &error) {
                        tracing::warn!(address = %self.address, %error, "accepting a connection failed");
                    }
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                    continue;
                }
            };
            let Ok(place) = self.handshakes.clone().try_acquire_owned() else {
                tracing::warn!(%peer, "connection refused: too many are in their handshake");
                continue;
            };
            if prepare(&socket, &self.setup.options).is_err() {
                continue;
            }
            let Ok(local) = socket.local_addr() else {
                continue;
            };
            return Incoming {
                socket,
                peer,
                local,
                setup: self.setup.clone(),
                handshake: Handshake(Some(place)),
            };
        }
    }

    /// Closes the socket until `again` is there, so that clients and whoever balances them go to other nodes.
    pub async fn again_after(self, again: impl Future<Output = ()>) -> Self {
        drop(self.socket);
        again.await;
        let mut said = Said::default();
        let socket = loop {
            match open(self.address, &self.setup.options) {
                Ok(socket) => break socket,
                Err(error) => {
                    if said.is_news((), &error) {
                        tracing::warn!(address = %self.address, %error, "a listener cannot be opened again yet");
                    }
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            }
        };
        Self { socket, ..self }
    }
}

impl Incoming {
    /// Reads the PROXY header and shakes hands, where the listener has them. `None` when nothing comes of it,
    /// which the log then knows.
    pub async fn open(self) -> Option<Opened> {
        if self.setup.proxied.is_none() && self.setup.tls.is_none() {
            return Some(Opened {
                stream: Stream::Plain(self.socket),
                peer: self.peer,
                local: self.local,
                tls: None,
                certificate: None,
                handshake: self.handshake,
            });
        }
        // On the heap: the task that awaits this lives as long as the connection.
        Box::pin(self.negotiate()).await
    }

    async fn negotiate(mut self) -> Option<Opened> {
        let (proxy, mut peer, mut local) = (self.peer, self.peer, self.local);
        if let Some(sources) = &self.setup.proxied {
            if !is_from(sources, proxy.ip()) {
                tracing::warn!(%proxy, "a connection is closed: proxy_protocol.sources does not have its address");
                return None;
            }
            match proxy::read(&mut self.socket).await {
                Ok(Some(ends)) => (peer, local) = ends,
                Ok(None) => {}
                Err(error) => {
                    tracing::info!(%proxy, %error, "a connection without a PROXY header is closed");
                    return None;
                }
            }
        }
        let opened = |stream, tls, certificate| Opened {
            stream,
            peer,
            local,
            tls,
            certificate,
            handshake: self.handshake,
        };
        let Some((tls, patience)) = &self.setup.tls else {
            return Some(opened(Stream::Plain(self.socket), None, None));
        };
        match tls.accept(self.socket, *patience).await {
            Ok(stream) => {
                let (session, certificate) = TlsSession::of(stream.get_ref().1);
                let session = Some(Box::new(session));
                Some(opened(Stream::Tls(Box::new(stream)), session, certificate))
            }
            // Whoever only looks whether the port is open.
            Err(HandshakeError::Nothing) => None,
            Err(reason) => {
                tracing::info!(%peer, %local, %reason, "a TLS handshake failed");
                None
            }
        }
    }
}

impl Handshake {
    /// The connection is authenticated: its place is free.
    pub fn done(&mut self) {
        self.0 = None;
    }
}

fn is_from(sources: &[IpNet], address: IpAddr) -> bool {
    sources.is_empty() || sources.iter().any(|source| source.contains(&address.to_canonical()))
}

fn open(address: SocketAddr, options: &SocketOptions) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
    TcpListener::from_std(socket.into())
}

fn prepare(socket: &TcpStream, options: &SocketOptions) -> io::Result<()> {
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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn headers_are_taken_from_the_networks_that_are_named() {
        let parse = |text: &str| text.parse::<IpNet>().expect("a network");
        let sources = [parse("10.0.0.0/8"), parse("::1/128")];
        let from = |address: &str| is_from(&sources, address.parse().expect("an address"));
        assert!(from("10.1.2.3") && from("::1") && from("::ffff:10.1.2.3"));
        assert!(!from("11.1.2.3") && !from("::2"));
        assert!(is_from(&[], Ipv4Addr::LOCALHOST.into()));
    }
}
