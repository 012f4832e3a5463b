//! The listener for other nodes, and what is said to them first: the formats of all that is exchanged.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::error::NodeError;
use crate::broker::{Broker, QUESTIONS};
use crate::cluster::{LINK, Settings, Span, Versions};
use crate::config::{Config, Discovery};
use crate::handover::wire;
use crate::journal::raft;
use crate::metadata;
use crate::queue::{ledger, record};

/// Where other nodes find this one.
pub(super) struct Listening {
    pub(super) address: SocketAddr,
    pub(super) advertise: String,
    /// Other nodes that are configured.
    pub(super) seeds: usize,
}

/// Listens for other nodes, and looks for them.
pub(super) async fn start_links(broker: &Arc<Broker>, config: &Config) -> Result<Option<Listening>, NodeError> {
    let Some(address) = config.cluster.listener else {
        return Ok(None);
    };
    let failed = |error| NodeError::Listen { address, error };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let settings = Settings::of(config, address, versions()).map_err(|error| NodeError::Links(error.into()))?;
    if settings.tls.is_some() {
        tracing::info!(%address, "other nodes are spoken with over TLS");
    }
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

/// The formats of what this node exchanges with others.
fn versions() -> Versions {
    let only = |format: u8| Span::only(format.into());
    // Of two the older is written where that can say it.
    let span = |formats: [u8; 2]| {
        let [oldest, newest] = formats.map(u16::from);
        Span { oldest, newest }
    };
    Versions {
        link: LINK,
        entries: only(raft::ENTRIES),
        snapshots: span(ledger::SNAPSHOTS),
        catalogue: only(metadata::FORMAT),
        queues: only(wire::FORMAT),
        records: span(record::FORMATS),
        raft: only(raft::MESSAGES),
        requests: only(QUESTIONS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Command;
    use crate::queue::DeathReason;
    use crate::queue::record::Records;
    use crate::types::NodeId;

    #[test]
    fn others_are_told_of_the_formats_that_are_written() {
        let told = versions();
        let command = Command::EndRun(NodeId(1)).encode();
        assert_eq!(told.catalogue, Span::only(command[0].into()));
        let mut records = Records::default();
        let mut first = |record: fn(&mut Records)| {
            record(&mut records);
            u16::from(records.take().expect("a batch")[0])
        };
        let oldest = first(|records| records.gone(1));
        let newest = first(|records| records.discarded(1, 1, DeathReason::Rejected));
        assert_eq!(told.records, Span { oldest, newest });
    }
}
