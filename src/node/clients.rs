//! The listeners for clients: opened when all that is declared is known, closed first.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::Opened;
use super::certificates::Certificates;
use super::error::NodeError;
use crate::broker::{Broker, Forced};
use crate::config::{Config, SocketOptions};
use crate::listen::{Listener, Setup, Tls};
use crate::management::{self, Endpoint};
use crate::{net, stream_net, tasks};

/// How long clients have for their close-ok when the node stops.
const GOODBYE: Duration = Duration::from_secs(3);
/// Connections to the HTTP API that may wait to be accepted.
const HTTP_BACKLOG: u32 = 1024;

/// The listeners for clients.
pub(super) struct Clients {
    pub(super) ports: BTreeMap<&'static str, Vec<u16>>,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) accepting: JoinSet<()>,
    stop_http: watch::Sender<()>,
    /// The HTTP API, and metrics.
    http: Vec<JoinHandle<()>>,
}

/// What is listened on.
#[derive(Default)]
struct Bound {
    ports: BTreeMap<&'static str, Vec<u16>>,
    endpoints: Vec<Endpoint>,
}

impl Bound {
    /// Listens on an address, for what the file of ports and the HTTP API call so.
    fn listen(
        &mut self,
        (word, protocol): (&'static str, &'static str),
        address: SocketAddr,
        setup: Setup,
    ) -> Result<Listener, NodeError> {
        let tls = setup.tls().cloned();
        let listener = Listener::bind(address, setup).map_err(|error| NodeError::Listen { address, error })?;
        self.note(word, protocol, listener.address(), tls);
        Ok(listener)
    }

    /// The same; at one of the [`USUAL`] places nothing where another program listens.
    fn listen_unless_taken(
        &mut self,
        (word, protocol): (&'static str, &'static str),
        address: SocketAddr,
        setup: Setup,
    ) -> Result<Option<Listener>, NodeError> {
        match self.listen((word, protocol), address, setup) {
            Err(NodeError::Listen { address, error })
                if USUAL.contains(&address) && error.kind() == ErrorKind::AddrInUse =>
            {
                tracing::warn!(%address, protocol, "another program has this port: what it is for is not served here; the configuration may say where else");
                Ok(None)
            }
            listener => listener.map(Some),
        }
    }

    fn note(&mut self, word: &'static str, protocol: &'static str, address: SocketAddr, tls: Option<Tls>) {
        self.ports.entry(word).or_default().push(address.port());
        self.endpoints.push(Endpoint { protocol, address, tls });
    }
}

/// Where the stream protocol and metrics are served unless the configuration says otherwise: nobody need have asked for
/// these.
const USUAL: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 5552),
    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 15692),
];

/// Sockets that are listened on, by what is served there.
#[derive(Default)]
struct Listeners {
    amqp: Vec<Listener>,
    http: Vec<Listener>,
    metrics: Vec<Listener>,
    stream: Vec<Listener>,
}

/// Opens the listeners for clients.
fn listeners(config: &Config, certificates: &Certificates, bound: &mut Bound) -> Result<Listeners, NodeError> {
    let common = &config.listeners;
    let plain = Setup::of(common, common.socket.clone(), common.proxy_protocol);
    let mut listeners = Listeners::default();
    for address in common.tcp.values() {
        listeners
            .amqp
            .push(bound.listen(("amqp", "amqp"), *address, plain.clone())?);
    }
    if let Some(tls) = &certificates.amqp {
        let setup = plain.with_tls(tls.clone(), common);
        for address in common.tls.values() {
            listeners
                .amqp
                .push(bound.listen(("amqps", "amqp/ssl"), *address, setup.clone())?);
        }
    }
    let stream = &config.stream;
    let plain = Setup::of(common, stream.socket.clone(), stream.proxy_protocol);
    for address in stream.tcp.values() {
        let listener = bound.listen_unless_taken(("stream", "stream"), *address, plain.clone())?;
        listeners.stream.extend(listener);
    }
    if let Some(tls) = &certificates.amqp {
        let setup = plain.with_tls(tls.clone(), common);
        for address in stream.tls.values() {
            listeners
                .stream
                .push(bound.listen(("stream_tls", "stream/ssl"), *address, setup.clone())?);
        }
    }
    let options = SocketOptions {
        backlog: HTTP_BACKLOG,
        nodelay: true,
        ..SocketOptions::default()
    };
    let plain = Setup::of(common, options.clone(), config.management.proxy_protocol);
    if let Some(address) = config.management.address() {
        listeners
            .http
            .push(bound.listen(("management", "http"), address, plain.clone())?);
    }
    if let (Some(tls), Some(address)) = (&certificates.management, config.management.tls_address()) {
        let setup = plain.with_tls(tls.clone(), common);
        listeners
            .http
            .push(bound.listen(("management_tls", "https"), address, setup)?);
    }
    let plain = Setup::of(common, options, false);
    if let Some(address) = config.prometheus.address() {
        let names = ("prometheus", "http/prometheus");
        let listener = bound.listen_unless_taken(names, address, plain.clone())?;
        listeners.metrics.extend(listener);
    }
    if let (Some(tls), Some(address)) = (&certificates.prometheus, config.prometheus.tls_address()) {
        let names = ("prometheus_tls", "https/prometheus");
        listeners
            .metrics
            .push(bound.listen(names, address, plain.with_tls(tls.clone(), common))?);
    }
    Ok(listeners)
}

impl Clients {
    /// Finds the cluster and what is declared in it, then listens.
    pub(super) async fn serve(
        opened: &Opened,
        config: &Config,
        certificates: &Certificates,
    ) -> Result<Self, NodeError> {
        let broker = &opened.broker;
        opened.form().await?;
        broker.catch_up().await;
        broker.membership().tell_name(opened.address()).await;
        management::load_definitions(broker).await?;
        broker.declarations().declare_event_exchange().await;
        broker.reports().speaks(certificates.all().cloned());
        let mut bound = Bound::default();
        let listeners = listeners(config, certificates, &mut bound)?;
        if let Some(links) = &opened.links {
            bound.note("cluster", "clustering", links.address, None);
        }
        let Bound { ports, endpoints } = bound;
        let mut accepting = net::start(listeners.amqp, broker);
        stream_net::start(&mut accepting, listeners.stream, broker);
        let (stop_http, stopping_http) = watch::channel(());
        let stopping = || {
            let mut stopping = stopping_http.clone();
            async move {
                // An error is the sender dropped: that is the sign.
                let _ = stopping.changed().await;
            }
        };
        let http = listeners.http.into_iter().map(|listener| {
            let serving = management::serve(listener, broker.clone(), endpoints.clone(), stopping());
            tasks::spawn("http", serving)
        });
        let metrics = listeners.metrics.into_iter().map(|listener| {
            let serving = management::serve_metrics(listener, broker.clone(), stopping());
            tasks::spawn("metrics", serving)
        });
        Ok(Self {
            http: http.chain(metrics).collect(),
            ports,
            endpoints,
            accepting,
            stop_http,
        })
    }

    /// Closes the listeners, and sends all clients away.
    pub(super) async fn stop(self, broker: &Broker) {
        drop(self.accepting);
        drop(self.stop_http);
        say_goodbye(broker, GOODBYE).await;
        for http in self.http {
            if http.await.is_err() {
                tracing::error!("the HTTP API did not stop in order");
            }
        }
    }
}

/// Closes every connection and waits a little for the clients to agree.
pub(super) async fn say_goodbye(broker: &Broker, patience: Duration) {
    broker.connections().close_all(&Forced::Shutdown);
    // Those that do not answer are cut off.
    broker.connections().gone(patience).await;
}

/// Writes the ports in one go: whoever waits for the file finds it whole.
pub(super) fn write_ports(path: &Path, ports: &BTreeMap<&str, Vec<u16>>) -> Result<(), NodeError> {
    let failed = |error| NodeError::PortsFile {
        path: path.display().to_string(),
        error,
    };
    let temporary = path.with_extension("tmp");
    std::fs::write(&temporary, serde_json::json!(ports).to_string()).map_err(failed)?;
    std::fs::rename(&temporary, path).map_err(failed)
}
