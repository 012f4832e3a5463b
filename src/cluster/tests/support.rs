//! Nodes for tests: each with a directory, a port and services that record.

use std::future::Future;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore, broadcast};

use crate::cluster::identity::Identity;
use crate::cluster::rpc::Origin;
use crate::cluster::{
    CallFuture, Class, Cluster, Event, Failed, Flow, Handler, Health, LINK, OUTBOX_BYTES, Services, Settings, Timing,
    Versions,
};
use crate::types::NodeId;

pub const DATA: u16 = 1;
pub const BULK: u16 = 2;
/// A service that tests can hold up.
pub const GATED: u16 = 3;
/// Nobody serves it.
pub const MISSING: u16 = 9;

/// How long anything may take that must happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for what must happen.
pub async fn must<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("happens in time")
}

/// Waits until something holds that no event tells of.
pub async fn until(mut holds: impl FnMut() -> bool) {
    must(async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

pub fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// Records messages; answers calls as their first byte says.
#[derive(Default)]
pub struct Recorder {
    pub messages: Mutex<Vec<(Origin, Bytes)>>,
    pub came: Notify,
    pub ended: AtomicUsize,
    /// Calls that are being answered.
    pub busy: Arc<AtomicUsize>,
    /// Lets calls that wait for it end.
    pub release: Arc<Notify>,
}

impl Recorder {
    /// Waits for so many messages, and takes them.
    pub async fn take(&self, count: usize) -> Vec<Bytes> {
        must(async {
            loop {
                let came = self.came.notified();
                if let Some(messages) = self.take_now(count) {
                    return messages;
                }
                came.await;
            }
        })
        .await
    }
}

impl Recorder {
    fn take_now(&self, count: usize) -> Option<Vec<Bytes>> {
        let mut messages = self.messages.lock();
        (messages.len() >= count).then(|| messages.drain(..).map(|(_, message)| message).collect())
    }
}

struct Busy(Arc<AtomicUsize>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Handler for Recorder {
    fn call(&self, _from: Origin, request: Bytes) -> CallFuture {
        self.busy.fetch_add(1, Ordering::SeqCst);
        let busy = Busy(self.busy.clone());
        let release = self.release.clone();
        Box::pin(async move {
            let _busy = busy;
            match request.first() {
                Some(b'w') => release.notified().await,
                Some(b'h') => std::future::pending().await,
                Some(b'f') => return Err(Failed("as asked".to_owned())),
                Some(b'p') => panic!("as asked"),
                _ => {}
            }
            Ok(request)
        })
    }

    fn messages(&self, from: &Origin, messages: &mut Vec<Bytes>) -> Flow {
        self.messages
            .lock()
            .extend(messages.drain(..).map(|message| (*from, message)));
        self.came.notify_one();
        Flow::Ready
    }

    fn ended(&self, _from: &Origin) {
        self.ended.fetch_add(1, Ordering::SeqCst);
    }
}

/// Takes messages only when let.
pub struct Gate {
    pub open: Arc<Semaphore>,
    pub recorder: Recorder,
}

impl Handler for Gate {
    fn call(&self, from: Origin, request: Bytes) -> CallFuture {
        self.recorder.call(from, request)
    }

    fn messages(&self, from: &Origin, messages: &mut Vec<Bytes>) -> Flow {
        self.recorder.messages(from, messages);
        let open = self.open.clone();
        Flow::Wait(Box::pin(async move {
            // Closed is open for good.
            let _ = open.acquire().await;
        }))
    }
}

pub fn versions() -> Versions {
    Versions::all(LINK)
}

/// A node that is to run.
pub struct Plan {
    pub listener: TcpListener,
    pub name: String,
    pub secret: &'static str,
    pub settings: Settings,
    pub directory: Arc<TempDir>,
}

impl Plan {
    pub async fn new(name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        Self {
            listener,
            name: format!("rabbit@{name}"),
            secret: "secret",
            settings: Settings {
                advertise: address.to_string(),
                seeds: Vec::new(),
                dns: None,
                versions: versions(),
                timing: Timing::default(),
                most_payload: 32 * 1024 * 1024,
                outbox_bytes: OUTBOX_BYTES,
                tls: None,
            },
            directory: Arc::new(tempfile::tempdir().expect("temporary directory")),
        }
    }

    pub fn address(&self) -> String {
        self.listener.local_addr().expect("bound").to_string()
    }

    pub fn seeds(mut self, seeds: &[&str]) -> Self {
        self.settings.seeds = seeds.iter().map(|seed| (*seed).to_owned()).collect();
        self
    }

    pub fn start(self) -> Node {
        let directory = self.directory.path();
        let identity = Identity::open(directory, &self.name, rand::random).expect("opens");
        let recorder = Arc::new(Recorder::default());
        let gate = Arc::new(Gate {
            open: Arc::new(Semaphore::new(0)),
            recorder: Recorder::default(),
        });
        let services = Services::default()
            .serve(DATA, Class::Data, recorder.clone())
            .serve(BULK, Class::Bulk, recorder.clone())
            .serve(GATED, Class::Data, gate.clone());
        let cluster = Cluster::start(
            self.settings,
            &identity,
            self.secret.into(),
            services,
            self.listener,
            directory,
        );
        let cluster = cluster.expect("starts");
        Node {
            events: cluster.events(),
            id: identity.id(),
            cluster,
            recorder,
            gate,
            _directory: self.directory,
        }
    }
}

pub struct Node {
    pub id: NodeId,
    pub cluster: Cluster,
    pub recorder: Arc<Recorder>,
    pub gate: Arc<Gate>,
    _directory: Arc<TempDir>,
    events: broadcast::Receiver<Event>,
}

impl Node {
    /// Waits until this node is connected to another in every class.
    pub async fn linked(&self, other: &Node) {
        for class in Class::ALL {
            must(self.cluster.linked(other.id, class)).await;
        }
    }

    /// The next event.
    pub async fn event(&mut self) -> Event {
        must(self.events.recv()).await.expect("not behind")
    }

    /// Waits until another node is up, and hears only what happens after that.
    pub async fn sees_up(&mut self, other: &Node) {
        until(|| self.cluster.health(other.id) == Health::Up).await;
        self.events = self.cluster.events();
    }

    pub async fn echo(&self, other: &Node) {
        let answer = self.cluster.call(other.id, DATA, "echo".into(), soon()).await;
        assert_eq!(answer.expect("answered"), "echo");
    }
}

/// Does something that ends every connection of two nodes, and waits until both have seen it.
pub async fn broken(a: &Node, b: &Node, breaking: impl Future<Output = ()>) {
    let links = [(a, b.id), (b, a.id)];
    let current = |class| links.map(|(node, other)| node.cluster.0.links.current(other, class));
    let connections: Vec<_> = Class::ALL.into_iter().flat_map(current).flatten().collect();
    breaking.await;
    for connection in connections {
        must(connection.ended()).await;
    }
}

/// What is logged on this thread.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    pub fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    pub fn has(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.0.lock()).contains(text)
    }
}

/// Two connected nodes, of which the first has the smaller id.
pub async fn pair() -> (Node, Node) {
    let (a, b) = (Plan::new("a").await, Plan::new("b").await);
    let to_b = b.address();
    let (a, b) = (a.seeds(&[&to_b]).start(), b.start());
    agreed(&a, &b).await;
    if a.id < b.id { (a, b) } else { (b, a) }
}

/// Waits until two nodes have connections, and the same ones.
pub async fn agreed(a: &Node, b: &Node) {
    a.linked(b).await;
    b.linked(a).await;
    for class in Class::ALL {
        let rank = |node: &Node, other: &Node| {
            let connection = node.cluster.0.links.current(other.id, class)?;
            (!connection.has_ended()).then_some((connection.dialled_by, connection.peer.attempt))
        };
        until(|| rank(a, b).is_some() && rank(a, b) == rank(b, a)).await;
    }
}
