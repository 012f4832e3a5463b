//! What is declared had again from the other nodes, where this node's member of the catalogue's group is damaged.
//!
//! ```text
//! damaged ──a majority of the others has put it out of the group──→ another member, empty ──→ filled, and taken in
//! ```
//! As with members of queues: who has voted, or has said that it has an entry, and does not know it any more must
//! never speak for itself again.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::Membership;
use crate::cluster::identity::CatalogueMember;
use crate::journal::raft::GroupId;
use crate::logging::Said;

/// The rest before the others are asked again.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// The rest before it is tried again to write who the member is.
const WRITE_AGAIN: Duration = Duration::from_secs(2);
/// After how long it is said again that the node waits.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether the catalogue's group has a member on a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Catalogued {
    With,
    Without,
}

impl Membership {
    /// Which member of the catalogue's group this node has.
    pub(in crate::broker) fn catalogue_member(&self) -> CatalogueMember {
        self.identity.lock().catalogue()
    }

    /// The catalogue is to be had from the others, as that member.
    pub(in crate::broker) fn renew_as(&self, member: CatalogueMember) {
        *self.renewed.lock() = Some(member);
    }

    /// Has this node's member of the catalogue's group replaced, if it is damaged, and taken into the
    /// group, if it is not in it.
    pub(in crate::broker) async fn mend_catalogue(&self) {
        let lost = *self.renewed.lock();
        if let Some(member) = lost {
            tracing::error!("what is declared is had again from the other nodes: this node's own is damaged");
            self.ask_until_done(Catalogued::Without).await;
            self.write_catalogue_member(member).await;
            self.nodes.journals().let_in(GroupId(0));
        }
        let member = self.identity.lock().catalogue();
        if member.is_out {
            self.ask_until_done(Catalogued::With).await;
            self.declarations.group().takes_part();
            let member = CatalogueMember {
                is_out: false,
                ..member
            };
            self.write_catalogue_member(member).await;
            tracing::info!("what is declared was had again from the other nodes");
        }
    }

    async fn ask_until_done(&self, change: Catalogued) {
        let mut since = Instant::now();
        loop {
            for peer in self.nodes.linked() {
                if self.ask_for_catalogue(peer.id, change).await {
                    return;
                }
            }
            if since.elapsed() > PATIENCE {
                tracing::warn!(
                    "waiting for a majority of the other nodes, to have from them what is declared; nothing is thrown away until then"
                );
                since = Instant::now();
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    async fn write_catalogue_member(&self, member: CatalogueMember) {
        let mut said = Said::default();
        loop {
            let written = self.identity.lock().set_catalogue(member);
            match written {
                Ok(()) => return,
                Err(error) if said.is_news((), &error) => {
                    tracing::error!(%error, "the node cannot go on before this is written");
                }
                Err(_) => {}
            }
            tokio::time::sleep(WRITE_AGAIN).await;
        }
    }
}
