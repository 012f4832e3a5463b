//! What the links are told when they start.

use std::net::SocketAddr;
use std::time::Duration;

use super::hello::{Span, Versions};
use super::liveness::Pulse;
use super::tls::{Tls, TlsError};
use crate::config::{Config, Discovery};

/// Version of the frames and of what the links themselves say.
pub const LINK: Span = Span::only(1);
/// What a payload has around a message of the largest size.
const AROUND: u64 = 1024 * 1024;

/// How the links behave.
#[derive(Clone, Debug)]
pub struct Settings {
    /// HOST:PORT under which others reach this node.
    pub advertise: String,
    /// HOST:PORT of nodes to look for. This node itself may be among them.
    pub seeds: Vec<String>,
    /// A name whose addresses are nodes, and their port.
    pub dns: Option<(String, u16)>,
    pub versions: Versions,
    pub timing: Timing,
    /// The largest payload that is taken from a peer or sent.
    pub most_payload: u32,
    /// Bytes that may wait on one connection; senders wait beyond.
    pub outbox_bytes: usize,
    /// `None` is plain text.
    pub tls: Option<Tls>,
}

/// How long things take.
#[derive(Clone, Debug)]
pub struct Timing {
    /// For a TCP connection to be made.
    pub connect: Duration,
    /// For a whole handshake.
    pub handshake: Duration,
    /// A connection that has nothing to say says so as often.
    pub beat: Duration,
    /// A connection over which nothing came for so long ends.
    pub silence: Duration,
    /// How long frames wait for company under load; zero is not at all.
    pub linger: Duration,
    /// Between two questions for a DNS name while nobody was found.
    pub discovery: Duration,
    pub pulse: Pulse,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_millis(1500),
            handshake: Duration::from_secs(3),
            beat: Duration::from_millis(500),
            silence: Duration::from_secs(5),
            linger: Duration::from_millis(1),
            discovery: Duration::from_secs(1),
            pulse: Pulse::default(),
        }
    }
}

impl Settings {
    /// As configured, for a node that listens for others at `listening`.
    ///
    /// # Errors
    /// When TLS is configured and cannot be spoken.
    pub fn of(config: &Config, listening: SocketAddr, versions: Versions) -> Result<Self, TlsError> {
        let cluster = &config.cluster;
        let host = config.node.name.rsplit_once('@').map_or("localhost", |(_, host)| host);
        let advertise = cluster.advertise.clone();
        let dns = cluster
            .dns_hostname
            .clone()
            .filter(|_| cluster.discovery == Discovery::Dns);
        let largest = config.limits.max_message_size.0.saturating_add(AROUND);
        Ok(Self {
            advertise: advertise.unwrap_or_else(|| format!("{host}:{}", listening.port())),
            seeds: cluster.seeds(),
            dns: dns.map(|name| (name, listening.port())),
            versions,
            timing: Timing {
                discovery: Duration::from_millis(cluster.discovery_retry_interval.0.max(100)),
                ..Timing::default()
            },
            most_payload: u32::try_from(largest).unwrap_or(u32::MAX),
            outbox_bytes: OUTBOX_BYTES,
            tls: Tls::of(&cluster.tls)?,
        })
    }
}

/// Bytes that may wait on one connection.
pub const OUTBOX_BYTES: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_found_by_the_host_of_its_name_unless_told_otherwise() {
        let mut config = Config::default();
        config.node.name = "rabbit@host-1".to_owned();
        let listening = SocketAddr::from(([0, 0, 0, 0], 4000));
        let versions = Versions::all(LINK);
        let of = |config: &Config| Settings::of(config, listening, versions).expect("plain text");
        assert_eq!(of(&config).advertise, "host-1:4000");
        config.cluster.advertise = Some("elsewhere:5".to_owned());
        config.cluster.discovery = Discovery::Dns;
        config.cluster.dns_hostname = Some("nodes".to_owned());
        let settings = of(&config);
        assert_eq!(settings.advertise, "elsewhere:5");
        assert_eq!(settings.dns, Some(("nodes".to_owned(), 4000)));
        assert!(u64::from(settings.most_payload) > config.limits.max_message_size.0);
    }
}
