//! A wire between nodes that can be cut, held and taken away.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the wire does with what is on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wire {
    Open,
    /// Nothing comes through, and nobody is told.
    Held,
}

/// Listens at an address of its own and passes everything on to another.
pub struct Proxy {
    pub address: SocketAddr,
    to: SocketAddr,
    wire: watch::Sender<Wire>,
    cuts: watch::Sender<u64>,
    accepting: Option<JoinHandle<()>>,
    /// What came through.
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Proxy {
    pub async fn before(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let mut proxy = Self {
            address,
            to,
            wire: watch::Sender::new(Wire::Open),
            cuts: watch::Sender::new(0),
            accepting: None,
            seen: Arc::default(),
        };
        proxy.accept(listener);
        proxy
    }

    fn accept(&mut self, listener: TcpListener) {
        let (to, wire, cuts, seen) = (self.to, self.wire.clone(), self.cuts.clone(), self.seen.clone());
        self.accepting = Some(tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.expect("accepts");
                let (mut wire, mut cut) = (wire.subscribe(), cuts.subscribe());
                cut.mark_unchanged();
                let seen = seen.clone();
                tokio::spawn(async move {
                    let connecting = async {
                        wire.wait_for(|wire| *wire == Wire::Open).await.ok()?;
                        TcpStream::connect(to).await.ok()
                    };
                    let far = tokio::select! {
                        far = connecting => far,
                        _ = cut.changed() => None,
                    };
                    let Some(far) = far else { return };
                    near.set_nodelay(true).expect("a socket");
                    far.set_nodelay(true).expect("a socket");
                    let (near_read, near_write) = near.into_split();
                    let (far_read, far_write) = far.into_split();
                    tokio::select! {
                        () = carry(near_read, far_write, wire.clone(), &seen) => {}
                        () = carry(far_read, near_write, wire.clone(), &seen) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        }));
    }

    /// Ends every connection; new ones are possible.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    pub fn set(&self, wire: Wire) {
        self.wire.send_replace(wire);
    }

    /// Whether these bytes came through, as they are.
    pub fn saw(&self, bytes: &[u8]) -> bool {
        self.seen.lock().windows(bytes.len()).any(|some| some == bytes)
    }

    /// Ends every connection, and nobody listens any more.
    pub async fn remove(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            // Over only when the listening socket is closed.
            let _ = accepting.await;
        }
        self.cut();
    }

    /// Listens again at the same address.
    pub async fn restore(&mut self) {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("a socket");
        socket.bind(self.address).expect("the address is free");
        self.accept(socket.listen(64).expect("listens"));
    }
}

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut wire: watch::Receiver<Wire>,
    seen: &Mutex<Vec<u8>>,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        if wire.wait_for(|wire| *wire == Wire::Open).await.is_err() {
            return;
        }
        seen.lock().extend_from_slice(&buffer[..read]);
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
