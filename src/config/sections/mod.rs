//! The sections of the configuration. What holds when nothing is set is in the table of
//! [`keys`](super::keys) and made by [`Config::default`](super::Config); a section's own `Default` is
//! empty, for the table to fill.
//!
//! Plain values: filled by [`super::load`], read by the parts of the node, changed by nobody.

mod access;
mod backends;
mod cluster;
mod limits;
mod listeners;
mod logging;
mod management;
mod queues;
mod spans;
mod stream;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::types::Millis;

pub use access::{
    AlternativeName, Auth, CertificateName, DefaultUser, Mechanism, PasswordCheck, PasswordHashing, PasswordRule,
    Permissions,
};
pub use backends::{
    AuthBackend, AuthBackends, AuthCache, AuthHttp, AuthLdap, AuthOauth2, ChainedBackend, ClientTls, LdapBind,
    ResourceServer, TokenIssuer,
};
pub use cluster::{CLUSTER_PORT, Cluster, Discovery, LinkTls, PartitionHandling};
pub use limits::{DiskLimit, Limits, MemoryWatermark, Resources, VhostLimits};
pub use listeners::{Listeners, SniHost, SocketOptions, Tls, TlsVersion};
pub use logging::{Level, LogCategory, LogFormat, Logging, Stream};
pub use management::{HttpListener, HttpState, Management, Prometheus, RatesMode};
pub use queues::{Definitions, LeaderLocator, Membership, OperatorPolicy, Queues};
pub use spans::Otlp;
pub use stream::{Advertised, StreamProtocol};

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
    /// How long a node that is told to stop goes on to serve its clients, while health checks say that it
    /// goes.
    pub drain_time: Millis,
}

/// Who Warren says it is.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Product {
    /// `product` in server properties; clients decide by it what they may use.
    pub product: String,
    /// `version` in server properties.
    pub version: String,
    /// `product_name` of the HTTP API.
    pub product_name: String,
    /// `product_version` of the HTTP API.
    pub product_version: String,
}
