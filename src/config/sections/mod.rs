//! The sections of the configuration, each a struct whose `Default` is what holds when nothing is
//! set. The defaults are RabbitMQ 4.0's unless the field says otherwise.
//!
//! Plain values: filled by [`super::load`], read by the parts of the node, changed by nobody.

mod access;
mod cluster;
mod limits;
mod listeners;
mod logging;
mod management;
mod queues;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

pub use access::{
    Auth, CertificateName, DefaultUser, Mechanism, PasswordCheck, PasswordHashing, PasswordRule, Permissions,
};
pub use cluster::{CLUSTER_PORT, Cluster, Discovery, LinkTls, PartitionHandling};
pub use limits::{DiskLimit, Limits, MemoryWatermark, Resources, VhostLimits};
pub use listeners::{Listeners, SocketOptions, Tls};
pub use logging::{Level, LogCategory, LogFormat, Logging, Stream};
pub use management::{HttpListener, HttpState, Management, Prometheus, RatesMode};
pub use queues::{Definitions, LeaderLocator, Membership, OperatorPolicy, Queues};

/// A text that does not show itself: passwords, the cluster's secret.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// The text; not to be logged.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// This node.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Node {
    /// `rabbit@host`; filled by [`super::load`].
    pub name: String,
    /// Where everything of this node lies; filled by [`super::load`].
    pub data_dir: PathBuf,
    /// The file that gets the ports listened on, as JSON, once the node is ready.
    pub ports_file: Option<PathBuf>,
    /// Tags of the node, shown to operators.
    pub tags: BTreeMap<String, String>,
}

/// Who Warren says it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// `product` in server properties; clients decide by it what they may use.
    pub product: String,
    /// `version` in server properties.
    pub version: String,
    /// `product_name` of the HTTP API.
    pub product_name: String,
    /// `product_version` of the HTTP API.
    pub product_version: String,
}

fn everywhere(port: u16) -> SocketAddr {
    (Ipv4Addr::UNSPECIFIED, port).into()
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            product: "RabbitMQ".to_owned(),
            version: "4.0.5".to_owned(),
            product_name: "Warren".to_owned(),
            product_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}
