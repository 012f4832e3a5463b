//! The links of this node to the others, and what is served over them.

use std::sync::Arc;
use std::time::Duration;

use rand::RngCore;
use tokio::net::TcpListener;

use super::control::{CONTROL, ControlService};
use super::remote::Input;
use crate::broker::Broker;
use crate::broker::queue::peers::{QUEUES, QueueService};
use crate::cluster::rpc::Services;
use crate::cluster::secret::{SecretError, SharedSecret};
use crate::cluster::tls::{Tls, TlsError};
use crate::cluster::{Class, Cluster, Handler, Settings, Timing};
use crate::journal::raft::{RAFT, RaftService};
use crate::pem::Certificate;

/// Why a node has no links to others.
#[derive(Debug, thiserror::Error)]
pub enum LinksError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("what is known of other nodes cannot be read: {0}")]
    Book(#[from] std::io::Error),
}

impl Broker {
    /// Starts the links to other nodes.
    ///
    /// # Errors
    /// [`LinksError`].
    pub fn start_links(self: &Arc<Self>, settings: Settings, listener: TcpListener) -> Result<(), LinksError> {
        let directory = &self.config.node.data_dir;
        let secret = SharedSecret::find(&self.config.cluster, directory, |bytes| rand::rng().fill_bytes(bytes))?;
        let queues: Arc<dyn Handler> = Arc::new(QueueService(Input(Arc::downgrade(self))));
        let services = Services::default()
            .serve(RAFT, Class::Data, Arc::new(RaftService(self.nodes.links().clone())))
            .serve(QUEUES, Class::Data, queues)
            .serve(CONTROL, Class::Control, Arc::new(ControlService(Arc::downgrade(self))));
        let identity = self.identity.lock();
        let cluster = Cluster::start(settings, &identity, secret, services, listener, directory)?;
        drop(identity);
        self.nodes.join(cluster);
        Ok(())
    }

    /// The links to other nodes, on a node that has any.
    pub fn links(&self) -> Option<&Cluster> {
        self.nodes.cluster()
    }

    /// After how long a link over which nothing came ends.
    pub fn silence_between_nodes(&self) -> Duration {
        Timing::default().silence
    }

    /// Reads the certificates of the links between nodes again; `None` where they do not speak TLS.
    pub fn read_certificates(&self) -> Option<Result<(), TlsError>> {
        Some(self.links()?.tls()?.read_again())
    }

    /// The certificates that the links between nodes use.
    pub fn certificates(&self) -> Vec<Certificate> {
        let tls = self.links().and_then(Cluster::tls);
        tls.map(Tls::certificates).unwrap_or_default()
    }
}
