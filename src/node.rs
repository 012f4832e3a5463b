//! One node: its parts started in order, and stopped in reverse.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixDatagram};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::broker::outbox::Control;
use crate::broker::{Broker, LinksError, StartError};
use crate::cluster::{LINK, Settings, Span, Versions};
use crate::config::{Config, Discovery};
use crate::management::{self, Endpoint, LoadError, LocalSocket};
use crate::types::{Reply, ReplyCode};
use crate::{net, tasks};

/// Why a node does not run.
#[derive(Debug, Error)]
pub enum NodeError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Definitions(#[from] LoadError),
    #[error("cannot listen on {address}: {error}")]
    Listen { address: SocketAddr, error: io::Error },
    #[error("cannot write {path}: {error}")]
    PortsFile { path: String, error: io::Error },
    #[error("{0} is configured, but this version cannot do that yet")]
    Unavailable(&'static str),
    #[error("the links to other nodes cannot be started: {0}")]
    Links(LinksError),
    #[error("cannot start the runtime: {0}")]
    Runtime(io::Error),
}

/// How long clients have for their close-ok when the node stops.
const GOODBYE: Duration = Duration::from_secs(3);

/// Runs a node until it is told to stop (SIGTERM or SIGINT).
///
/// # Errors
/// When something keeps it from starting.
pub fn run(config: Config) -> Result<(), NodeError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("worker")
        .build()
        .map_err(NodeError::Runtime)?;
    runtime.block_on(serve(Arc::new(config)))
}

async fn serve(config: Arc<Config>) -> Result<(), NodeError> {
    // Before the ports are known to anyone: whoever reads them may stop us at once.
    let mut terminate = signal(SignalKind::terminate()).map_err(NodeError::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(NodeError::Runtime)?;
    if let Some(wish) = unavailable(&config) {
        return Err(NodeError::Unavailable(wish));
    }
    let broker = Broker::open(config.clone()).await?;
    let mut ports = BTreeMap::<&str, Vec<u16>>::new();
    let links = start_links(&broker, &config).await?;
    if let Some(links) = &links {
        ports.entry("cluster").or_default().push(links.address.port());
    }
    let running = [
        tasks::spawn("timers", broker.clone().run_timers()),
        tasks::spawn("alarms", broker.clone().run_alarms()),
        tasks::spawn("nodes", broker.clone().run_nodes()),
        tasks::spawn("elections", broker.clone().run_elections()),
        tasks::spawn("leases", broker.clone().run_leases()),
        tasks::spawn("reclaiming", broker.clone().run_reclaiming()),
    ];
    let (seeds, address) = links.map_or((0, broker.node().name.clone()), |links| (links.seeds, links.advertise));
    tokio::select! {
        member = async {
            broker.form(seeds, &address).await?;
            broker.catch_up().await;
            Ok::<_, StartError>(())
        } => member?,
        _ = terminate.recv() => return stop_early(&broker).await,
        _ = interrupt.recv() => return stop_early(&broker).await,
    }
    management::load_definitions(&broker).await?;
    let mut listeners = Vec::new();
    let mut endpoints = Vec::new();
    for address in config.listeners.tcp.values() {
        let failed = |error| NodeError::Listen {
            address: *address,
            error,
        };
        let listener = net::bind(*address, &config.listeners).map_err(failed)?;
        let address = listener.address().map_err(failed)?;
        ports.entry("amqp").or_default().push(address.port());
        endpoints.push(Endpoint {
            protocol: "amqp",
            address,
        });
        listeners.push(listener);
    }
    let mut http = None;
    if let Some(address) = config.management.address() {
        let failed = |error| NodeError::Listen { address, error };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        ports.entry("management").or_default().push(address.port());
        endpoints.push(Endpoint {
            protocol: "http",
            address,
        });
        http = Some(listener);
    }
    let accepting = net::start(listeners, &broker);
    let (stop_http, stopping_http) = watch::channel(());
    let local = local_socket(&config).map(management::Listener::from);
    let http: Vec<_> = http
        .map(management::Listener::from)
        .into_iter()
        .chain(local)
        .map(|listener| {
            let mut stopping = stopping_http.clone();
            let stopping = async move {
                // An error is the sender dropped: that is the sign.
                let _ = stopping.changed().await;
            };
            let serving = management::serve(listener, broker.clone(), endpoints.clone(), stopping);
            tasks::spawn("http", serving)
        })
        .collect();
    if let Some(path) = &config.node.ports_file {
        write_ports(path, &ports)?;
    }
    tracing::info!(node = broker.node().name, ports = %serde_json::json!(ports), "ready");
    tell_service_manager("READY=1");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    tell_service_manager("STOPPING=1");
    drop(accepting);
    drop(stop_http);
    say_goodbye(&broker).await;
    for http in http {
        if http.await.is_err() {
            tracing::error!("the HTTP API did not stop in order");
        }
    }
    broker.hand_over().await;
    for task in running {
        task.abort();
    }
    if let Some(links) = broker.links() {
        links.stop().await;
    }
    let stopping = broker.clone();
    // The last sync may take a while, and blocks.
    let stopped = tokio::task::spawn_blocking(move || stopping.stop()).await;
    if stopped.is_err() {
        tracing::error!("the store did not stop in order");
    }
    tracing::info!("stopped");
    Ok(())
}

/// Where other nodes find this one.
struct Listening {
    address: SocketAddr,
    advertise: String,
    /// Other nodes that are configured.
    seeds: usize,
}

/// Listens for other nodes, and looks for them.
async fn start_links(broker: &Arc<Broker>, config: &Config) -> Result<Option<Listening>, NodeError> {
    let Some(address) = config.cluster.listener else {
        return Ok(None);
    };
    let failed = |error| NodeError::Listen { address, error };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let versions = Versions {
        link: LINK,
        entries: Span::only(1),
        snapshots: Span::only(1),
        catalogue: Span::only(1),
    };
    let settings = Settings::of(config, address, versions);
    let (advertise, seeds) = (settings.advertise.clone(), settings.seeds.clone());
    broker.start_links(settings, listener).map_err(NodeError::Links)?;
    let others = seeds.iter().filter(|seed| **seed != advertise).count();
    let seeds = match config.cluster.discovery {
        Discovery::Dns if config.cluster.dns_hostname.is_some() => others.max(1),
        _ => others,
    };
    Ok(Some(Listening {
        address,
        advertise,
        seeds,
    }))
}

/// Told to stop before the node served anybody.
async fn stop_early(broker: &Arc<Broker>) -> Result<(), NodeError> {
    let stopping = broker.clone();
    let stopped = tokio::task::spawn_blocking(move || stopping.stop()).await;
    if stopped.is_err() {
        tracing::error!("the store did not stop in order");
    }
    Ok(())
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

/// What the configuration asks for and this version does not have: better not to start than to
/// serve less than was meant.
fn unavailable(config: &Config) -> Option<&'static str> {
    let wishes = [(!config.listeners.tls.is_empty(), "a TLS listener")];
    wishes.into_iter().find(|(wanted, _)| *wanted).map(|(_, wish)| wish)
}

/// Closes every connection and waits a little for the clients to agree.
async fn say_goodbye(broker: &Broker) {
    let reply = Reply::connection(
        ReplyCode::ConnectionForced,
        "broker forced connection closure with reason 'shutdown'",
    );
    for connection in broker.connections().all() {
        connection.outbox.control(Control::Close(reply.clone()));
    }
    let gone = async {
        while !broker.connections().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    // Those that do not answer are cut off.
    let _ = tokio::time::timeout(GOODBYE, gone).await;
}

/// Tells systemd, where it started us (sd_notify(3)).
fn tell_service_manager(state: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let told = UnixDatagram::unbound().and_then(|from| {
        let name = socket.as_encoded_bytes();
        match name.strip_prefix(b"@") {
            Some(name) => from.send_to_addr(state.as_bytes(), &UnixAddress::from_abstract_name(name)?),
            None => from.send_to(state.as_bytes(), Path::new(&socket)),
        }
    });
    if let Err(error) = told {
        tracing::warn!(%error, "the service manager could not be told");
    }
}

/// Writes the ports in one go: whoever waits for the file finds it whole.
fn write_ports(path: &Path, ports: &BTreeMap<&str, Vec<u16>>) -> Result<(), NodeError> {
    let failed = |error| NodeError::PortsFile {
        path: path.display().to_string(),
        error,
    };
    let temporary = path.with_extension("tmp");
    std::fs::write(&temporary, serde_json::json!(ports).to_string()).map_err(failed)?;
    std::fs::rename(&temporary, path).map_err(failed)
}
