//! The links of this node to the others, and what is served over them.

use std::sync::{Arc, Weak};
use std::time::Duration;

use rand::RngCore;
use tokio::net::TcpListener;

use super::Membership;
use super::remote::Input;
use crate::broker::questions::{Answers, QUESTIONS, QuestionService};
use crate::broker::queue::peers::{QUEUES, QueueService};
use crate::broker::queue::stream::asking::STREAMS;
use crate::broker::queue::stream::service::StreamService;
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

impl Membership {
    /// Starts the links to other nodes, whose questions these answer.
    ///
    /// # Errors
    /// [`LinksError`].
    pub(in crate::broker) fn start_links(
        self: &Arc<Self>,
        settings: Settings,
        listener: TcpListener,
        answering: Arc<[Weak<dyn Answers>]>,
    ) -> Result<(), LinksError> {
        let directory = &self.config.node.data_dir;
        let secret = SharedSecret::find(&self.config.cluster, directory, |bytes| rand::rng().fill_bytes(bytes))?;
        let queues: Arc<dyn Handler> = Arc::new(QueueService(Input(Arc::downgrade(self))));
        let services = Services::default()
            .serve(RAFT, Class::Data, Arc::new(RaftService(self.nodes.links().clone())))
            .serve(QUEUES, Class::Data, queues)
            .serve(
                STREAMS,
                Class::Data,
                Arc::new(StreamService(Arc::downgrade(&self.queues))),
            )
            .serve(QUESTIONS, Class::Control, Arc::new(QuestionService(answering)));
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
