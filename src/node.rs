//! One node: its parts started in order, and stopped in reverse.

mod certificates;
mod clients;
mod error;
mod links;
mod service_manager;
mod successor;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::certificates::Certificates;
use self::clients::{Clients, say_goodbye, write_ports};
use self::links::{Listening, start_links};
use crate::broker::{Broker, Failure, JoinError, StartError, advertised};
use crate::cluster::identity::Identity;
use crate::cluster::secret;
use crate::config::{CLUSTER_PORT, Config};
use crate::management::{self, LocalSocket, Order};
use crate::{allocator, logging, tasks};
pub use error::NodeError;

/// How long clients have for their close-ok when the node ends because its disk fails.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How long joining and leaving a cluster may take.
const MEMBERSHIP: Duration = Duration::from_secs(30);
/// Bytes of a disk that a node starts on,
const LITTLE_SPACE: u64 = 1024 * 1024;
/// and between two looks whether they are there.
const LOOK_FOR_SPACE: Duration = Duration::from_millis(500);
/// How long another node may take to accept a connection.
const REACH: Duration = Duration::from_secs(3);

/// Runs a node until it is told to stop (SIGTERM or SIGINT).
///
/// # Errors
/// When something keeps it from starting, or its disk fails.
pub fn run(config: Config) -> Result<(), NodeError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("worker")
        .on_thread_park(allocator::give_back)
        .build()
        .map_err(NodeError::Runtime)?;
    let ended = runtime.block_on(serve(Arc::new(config)));
    if let Err(NodeError::Failed(_) | NodeError::Hurried) = ended {
        // Whoever waits for the disk may wait for ever, and there is nobody who would.
        runtime.shutdown_background();
    }
    ended
}

async fn serve(mut config: Arc<Config>) -> Result<(), NodeError> {
    // Before the ports are known to anyone: whoever reads them may stop us at once.
    let mut signals = StopSignals {
        terminate: signal(SignalKind::terminate()).map_err(NodeError::Runtime)?,
        interrupt: signal(SignalKind::interrupt()).map_err(NodeError::Runtime)?,
    };
    let hangups = signal(SignalKind::hangup()).map_err(NodeError::Runtime)?;
    let certificates = Certificates::of(&config)?;
    service_manager::raise_open_files();
    tasks::spawn("watchdog", service_manager::keep_watchdog());
    tokio::select! {
        () = has_space(&config.node.data_dir) => {}
        () = signals.received() => return Ok(()),
    }
    let opened = Opened::open(&config).await?;
    if let Some(links) = &opened.links {
        // A broker that is started again listens where others look for it.
        Arc::make_mut(&mut config).cluster.listener = Some(links.address);
    }
    let (lifecycle, mut orders) = management::lifecycle();
    let (running, is_running) = watch::channel(None);
    let (stop_local, mut stopping_local) = watch::channel(());
    tasks::spawn("hangups", read_again(hangups, certificates.clone(), is_running.clone()));
    if !certificates.is_empty() {
        tasks::spawn("certificates", certificates.clone().watch());
    }
    let local = local_socket(&config).map(|socket| {
        let stopping = async move {
            // An error is the sender dropped: that is the sign.
            let _ = stopping_local.changed().await;
        };
        let name = config.node.name.clone();
        tasks::spawn("control", async move {
            management::serve_local(socket, &name, lifecycle, is_running, stopping).await;
        })
    });
    let mut node = Node {
        config,
        certificates,
        running,
        app: None,
    };
    let mut goes_on = node.begin(opened, &mut signals).await?;
    while goes_on {
        tokio::select! {
            () = signals.received() => goes_on = false,
            error = node.failed() => return Err(node.give_up(error).await),
            order = orders.next() => {
                let Some((order, answer)) = order else { continue };
                if order == Order::End {
                    tracing::info!("told to stop by its operator");
                    answer.give(Ok(""));
                    goes_on = false;
                    continue;
                }
                let done = node.carry_out(order, &mut signals).await;
                goes_on = !matches!(done, Err(Refused::Stopping));
                answer.give(done.as_ref().map(|said| *said).map_err(|error| error.to_string()));
                if let Err(Refused::Node(error @ NodeError::Failed(_))) = done {
                    return Err(error);
                }
            }
        }
    }
    tracing::info!("stopping");
    service_manager::tell("STOPPING=1");
    let stopped = async {
        node.drain().await;
        node.stop().await
    };
    tokio::select! {
        stopped = stopped => stopped?,
        () = signals.received() => {
            tracing::warn!("told to stop a second time: nothing more is waited for");
            return Err(NodeError::Hurried);
        }
    }
    drop(stop_local);
    if let Some(local) = local
        && local.await.is_err()
    {
        tracing::error!("the control socket did not stop in order");
    }
    tracing::info!("stopped");
    Ok(())
}

/// Signals that end the process.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// At each SIGHUP opens the log file again, and reads all certificates again. Runs as long as the process,
/// also while its broker is stopped or waits for others.
async fn read_again(
    mut hangups: Signal,
    certificates: Certificates,
    running: watch::Receiver<Option<management::Running>>,
) {
    while hangups.recv().await.is_some() {
        // It waits for a place behind the lines that are not written yet.
        let _ = tasks::blocking(logging::reopen).await;
        tracing::info!("SIGHUP: the log file is opened again");
        certificates.read_again();
        let broker = running.borrow().as_ref().map(|running| running.broker.clone());
        match broker.and_then(|broker| broker.membership().read_certificates()) {
            None => {}
            Some(Ok(())) => tracing::info!("new links between nodes use the certificates as they are now"),
            Some(Err(error)) => tracing::error!(%error, "the certificates of links between nodes stay as they were"),
        }
    }
}

/// The process, whose broker may be stopped while it goes on.
struct Node {
    config: Arc<Config>,
    certificates: Certificates,
    /// What the control socket is about.
    running: watch::Sender<Option<management::Running>>,
    app: Option<App>,
}

/// Why an order was not carried out, in RabbitMQ's words where it has any.
#[derive(Debug, Error)]
enum Refused {
    #[error(
        "this command requires the 'rabbit' app to be stopped on the target node. Stop it with 'rabbitmqctl stop_app'."
    )]
    Running,
    #[error("the process is told to stop")]
    Stopping,
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error("the data directory cannot be changed: {0}")]
    Data(io::Error),
    #[error("node {0} cannot be reached: {1}")]
    Unreachable(String, io::Error),
    #[error("node {0} does not take this node into its cluster: {1}")]
    NotTaken(String, JoinError),
    #[error("node {0} did not take this node into its cluster in time")]
    NotJoined(String),
    #[error("the cluster did not let this node go ({0}); force_reset does not ask it")]
    NotLeft(String),
}

impl Node {
    /// Makes a broker that is open serve; false when the process is told to stop first.
    async fn begin(&mut self, opened: Opened, signals: &mut StopSignals) -> Result<bool, NodeError> {
        let served = tokio::select! {
            clients = Clients::serve(&opened, &self.config, &self.certificates) => Some(clients),
            () = signals.received() => None,
            error = opened.broker.failed() => return Err(NodeError::Failed(error)),
        };
        match served {
            Some(Ok(clients)) => {
                let listeners = clients.endpoints.iter().map(|endpoint| advertised::Listener {
                    protocol: endpoint.protocol.to_owned(),
                    address: endpoint.address,
                });
                let described = management::describe(clients.endpoints.clone());
                opened.broker.serves(listeners.collect(), described);
                self.running.send_replace(Some(management::Running {
                    broker: opened.broker.clone(),
                    endpoints: clients.endpoints.clone().into(),
                }));
                if let Some(path) = &self.config.node.ports_file {
                    write_ports(path, &clients.ports)?;
                }
                let ports = serde_json::json!(clients.ports);
                tracing::info!(node = opened.broker.node().name, %ports, "ready");
                service_manager::tell("READY=1");
                self.app = Some(App { opened, clients });
                Ok(true)
            }
            Some(Err(error)) => {
                opened.close().await;
                Err(error)
            }
            None => {
                opened.close().await;
                Ok(false)
            }
        }
    }

    /// Goes on to serve its clients for a while, so that those who balance them see by the health checks that
    /// no more are to come before any is sent away.
    async fn drain(&self) {
        let Some(app) = &self.app else { return };
        let broker = &app.opened.broker;
        broker.membership().drain();
        let time = Duration::from_millis(self.config.node.drain_time.0);
        if time.is_zero() || broker.connections().is_empty() {
            return;
        }
        tracing::info!(
            seconds = time.as_secs_f64(),
            "health checks fail from now on, clients are still served"
        );
        // Those who stay are told to go.
        broker.connections().gone(time).await;
    }

    async fn stop(&mut self) -> Result<(), NodeError> {
        self.running.send_replace(None);
        let Some(App { opened, clients }) = self.app.take() else {
            return Ok(());
        };
        let broker = opened.broker.clone();
        let stopped = async {
            clients.stop(&broker).await;
            opened.close().await;
        };
        tokio::select! {
            () = stopped => Ok(()),
            error = broker.failed() => Err(NodeError::Failed(error)),
        }
    }

    /// Waits until the broker that runs has failed.
    async fn failed(&self) -> Failure {
        match &self.app {
            Some(app) => app.opened.broker.failed().await,
            None => std::future::pending().await,
        }
    }

    /// The broker has failed, and the other nodes know that this one goes. Its clients are told, and
    /// nothing else is waited for.
    async fn give_up(&mut self, error: Failure) -> NodeError {
        if let Some(App { opened, clients }) = self.app.take() {
            drop(clients.accepting);
            say_goodbye(&opened.broker, LAST_WORDS).await;
        }
        NodeError::Failed(error)
    }

    /// Gives what is to be said of it, if anything.
    async fn carry_out(&mut self, order: Order, signals: &mut StopSignals) -> Result<&'static str, Refused> {
        match order {
            Order::Stop => self.stop().await?,
            Order::Start if self.app.is_some() => {}
            Order::Start => {
                let opened = Opened::open(&self.config).await?;
                if !self.begin(opened, signals).await? {
                    return Err(Refused::Stopping);
                }
            }
            Order::Reset | Order::ForceReset | Order::Join(_) if self.app.is_some() => return Err(Refused::Running),
            Order::Reset => self.leave_cluster().await?,
            Order::ForceReset => self.wipe()?,
            Order::Join(node) => return self.join(&node).await,
            Order::End => return Err(Refused::Stopping),
        }
        Ok("")
    }

    /// Lets the cluster know that this node is no member any more, and forgets everything.
    async fn leave_cluster(&self) -> Result<(), Refused> {
        let opened = Opened::open(&self.config).await?;
        let left = match opened.broker.membership().belongs() {
            true => tokio::time::timeout(MEMBERSHIP, opened.broker.membership().leave_cluster()).await,
            false => Ok(Ok(())),
        };
        opened.close().await;
        match left {
            Ok(Ok(())) => self.wipe(),
            Ok(Err(error)) => Err(Refused::NotLeft(error.to_string())),
            Err(_) => Err(Refused::NotLeft("it does not answer".to_owned())),
        }
    }

    /// Becomes a member of the cluster of that node, if it is none, as a new node beside the old one:
    /// what the old one has is kept until the cluster has taken the new one in.
    async fn join(&self, node: &str) -> Result<&'static str, Refused> {
        let port = self
            .config
            .cluster
            .listener
            .map_or(CLUSTER_PORT, |listener| listener.port());
        // By its name, or where it listens for others.
        let address = match node.rsplit_once('@') {
            Some((_, host)) => format!("{host}:{port}"),
            None => node.to_owned(),
        };
        let reached = tokio::time::timeout(REACH, TcpStream::connect(&address)).await;
        let reached = reached.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        reached.map_err(|error| Refused::Unreachable(node.to_owned(), error))?;
        let directory = &self.config.node.data_dir;
        let was = Identity::owner(directory).map_err(StartError::from);
        let was = was.map_err(NodeError::from)?;
        let mut config = Config::clone(&self.config);
        config.node.data_dir = successor::begin(directory).map_err(Refused::Data)?;
        config.cluster.join = vec![address.clone()];
        let secret = config.cluster.secret.as_ref();
        if secret.is_none_or(|secret| secret.reveal().is_empty()) {
            let file = &mut config.cluster.secret_file;
            file.get_or_insert_with(|| directory.join(secret::FILE));
        }
        let opened = Opened::open(&Arc::new(config)).await?;
        let joined = opened.broker.membership().join(&address, opened.address(), was);
        let joined = tokio::time::timeout(MEMBERSHIP, joined).await;
        opened.close().await;
        match joined {
            Ok(Ok(true)) => {
                successor::take_over(directory).map_err(Refused::Data)?;
                Ok("")
            }
            Ok(Ok(false)) => Ok("The node is already a member of this cluster"),
            Ok(Err(error)) => Err(Refused::NotTaken(node.to_owned(), error)),
            Err(_) => Err(Refused::NotJoined(node.to_owned())),
        }
    }

    fn wipe(&self) -> Result<(), Refused> {
        successor::wipe(&self.config.node.data_dir).map_err(Refused::Data)
    }
}

/// A broker and whoever it serves.
struct App {
    opened: Opened,
    clients: Clients,
}

/// A broker with its links to other nodes, which serves nobody yet.
struct Opened {
    broker: Arc<Broker>,
    links: Option<Listening>,
    running: [JoinHandle<()>; 12],
}

impl Opened {
    async fn open(config: &Arc<Config>) -> Result<Self, NodeError> {
        successor::finish(&config.node.data_dir).map_err(NodeError::Data)?;
        let broker = Broker::open(config.clone()).await?;
        let links = start_links(&broker, config).await?;
        let running = [
            tasks::spawn("timers", broker.clone().run_timers()),
            tasks::spawn("alarms", broker.clone().run_alarms()),
            tasks::spawn("shortages", broker.membership().clone().run_shortages()),
            tasks::spawn("nodes", broker.membership().clone().run_nodes()),
            tasks::spawn("elections", broker.replicas().clone().run_elections()),
            tasks::spawn("leader lookups", broker.queues().clone().run_leader_lookups()),
            tasks::spawn(
                "dead letter outcomes",
                broker.queues().clone().run_dead_letter_outcomes(),
            ),
            tasks::spawn("reclaiming", broker.replicas().clone().run_reclaiming()),
            tasks::spawn("repair", broker.replicas().clone().run_repair()),
            tasks::spawn("observers", broker.vhosts().clone().run_observers()),
            tasks::spawn("absences", broker.membership().clone().run_absences()),
            tasks::spawn("sampler", broker.reports().clone().run_sampler()),
        ];
        Ok(Self { broker, links, running })
    }

    /// Waits until the node belongs to a cluster.
    async fn form(&self) -> Result<(), StartError> {
        let seeds = self.links.as_ref().map_or(0, |links| links.seeds);
        self.broker.membership().form(seeds, self.address()).await
    }

    /// Where other nodes find this one.
    fn address(&self) -> &str {
        match &self.links {
            Some(links) => &links.advertise,
            None => &self.broker.node().name,
        }
    }

    async fn close(self) {
        self.broker.replicas().hand_over().await;
        for task in self.running {
            task.abort();
            // The error is that it was aborted. It holds the broker until then.
            let _ = task.await;
        }
        if let Some(links) = self.broker.membership().links() {
            links.stop().await;
        }
        self.broker.replicas().end_groups().await;
        let broker = self.broker;
        // The last sync may take a while, and blocks.
        let stopped = tasks::blocking(move || broker.stop()).await;
        if stopped.is_err() {
            tracing::error!("the store did not stop in order");
        }
    }
}

/// The socket of `warren ctl`. A node without one serves its clients all the same.
fn local_socket(config: &Config) -> Option<LocalSocket> {
    let path = config.control_socket();
    match LocalSocket::bind(&path) {
        Ok(socket) => Some(socket),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "no socket for warren ctl, which will not find this node");
            None
        }
    }
}

/// Waits until there is space for the small files of a start: a node that ended at once would be given up
/// by its supervisor before there is any.
async fn has_space(directory: &Path) {
    let is_there = || {
        // A directory that is not there yet is the next step's to complain of.
        let disk = rustix::fs::statvfs(directory);
        disk.map_or(true, |disk| disk.f_bavail.saturating_mul(disk.f_frsize) >= LITTLE_SPACE)
    };
    if is_there() {
        return;
    }
    tracing::warn!(directory = %directory.display(), "the disk is full: the node waits for space before it starts");
    while !is_there() {
        tokio::time::sleep(LOOK_FOR_SPACE).await;
    }
}
