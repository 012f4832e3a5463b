//! This node among others.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::Secret;
use crate::config::Named;
use crate::types::Millis;

/// This node among others.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Cluster {
    /// The cluster's name; `None` takes the node's.
    pub name: Option<String>,
    /// Where other nodes are listened for; `None` is nowhere.
    pub listener: Option<SocketAddr>,
    /// HOST:PORT under which others reach this node; `None` is the host part of its name.
    pub advertise: Option<String>,
    /// HOST:PORT of nodes to join.
    pub join: Vec<String>,
    pub secret: Option<Secret>,
    /// A file that holds the secret; comes before `secret`.
    pub secret_file: Option<PathBuf>,
    pub tls: LinkTls,
    pub discovery: Discovery,
    /// Node names of `cluster_formation.classic_config`.
    pub nodes: Named<String>,
    /// The name whose addresses are the peers', for [`Discovery::Dns`].
    pub dns_hostname: Option<String>,
    pub discovery_retry_limit: u32,
    pub discovery_retry_interval: Millis,
    pub target_size: Option<u16>,
    /// How often nodes that discovery does not know are looked for.
    pub cleanup_interval_s: u32,
    /// Such nodes are reported, not removed.
    pub cleanup_only_warns: bool,
    pub partition_handling: PartitionHandling,
    /// Names of nodes, for [`PartitionHandling::PauseIfAllDown`].
    pub pause_unless: Named<String>,
    /// Tags of the cluster, shown to operators.
    pub tags: BTreeMap<String, String>,
}

/// The files of TLS between nodes: all of them, or none for plain text.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct LinkTls {
    /// The authorities whose nodes are let in.
    pub cacertfile: Option<PathBuf>,
    /// This node's certificate, with the chain behind it.
    pub certfile: Option<PathBuf>,
    pub keyfile: Option<PathBuf>,
}

/// What a node does with its clients that does not hear enough others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum PartitionHandling {
    /// It keeps them; what needs a majority waits for it.
    #[default]
    Ignore,
    /// The same: nothing has to be healed, for a minority changes nothing.
    Autoheal,
    /// It sends them away while it hears no majority.
    PauseMinority,
    /// It sends them away while it hears none of certain nodes.
    PauseIfAllDown,
}

/// How peers are found at the first start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Discovery {
    #[default]
    Nodes,
    Dns,
    /// Something outside that Warren does not ask.
    Foreign,
}

impl Cluster {
    /// HOST:PORT of every node to join. Node names stand for their host part and the port that
    /// this node listens on.
    pub fn seeds(&self) -> Vec<String> {
        if !self.join.is_empty() || self.discovery != Discovery::Nodes {
            return self.join.clone();
        }
        let port = self.listener.map_or(CLUSTER_PORT, |listener| listener.port());
        let host = |name: &String| name.rsplit_once('@').map(|(_, host)| format!("{host}:{port}"));
        self.nodes.values().filter_map(host).collect()
    }
}

/// Port for other nodes when none is set.
pub const CLUSTER_PORT: u16 = 25672;
