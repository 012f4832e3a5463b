//! Queues that have lost records and are on no other node: what can be read of them is shown to an
//! operator, who may have them served again without the rest.

use std::sync::Arc;

use thiserror::Error;

use super::Replicas;
use crate::broker::BrokerError;
use crate::broker::queue::handle::QueueHandle;
use crate::broker::queue::owners::group_owners;
use crate::broker::queue::settings::settings_of;
use crate::store::Loc;
use crate::tasks;
use crate::types::Message;

/// Messages that are read together.
const TOGETHER: usize = 64;
/// Bytes of messages after which no more are read at a time.
const ENOUGH: usize = 8 * 1024 * 1024;

/// Why a queue is not looked into or served.
#[derive(Debug, Error)]
pub enum QuarantineError {
    #[error("the queue has lost nothing")]
    Whole,
    #[error("the queue is on node {0}, which is to be asked")]
    Elsewhere(String),
    #[error("other nodes have the queue: its member here is filled from them")]
    Replicated,
    #[error("it cannot be read before it is served")]
    OnlyServed,
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

/// Some of the messages that can be read.
pub struct Readable {
    pub messages: Vec<Message>,
    /// How many could not be read between them.
    pub lost: u64,
    /// Where to go on; none when that were the last.
    pub next: Option<u64>,
}

/// From when a queue is served again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Served {
    Now,
    /// From the next start of the node.
    NextStart,
}

impl Replicas {
    /// What can be read of a damaged queue of this node, from that place in it.
    ///
    /// # Errors
    /// [`QuarantineError`].
    pub async fn readable(self: &Arc<Self>, queue: &Arc<QueueHandle>, from: u64) -> Result<Readable, QuarantineError> {
        if queue.is_replicated() {
            self.sole_member(queue)?;
            return Err(QuarantineError::OnlyServed);
        }
        self.quarantined_here(queue)?;
        let (replicas, queue) = (self.clone(), queue.clone());
        let read = tasks::blocking(move || replicas.read_from(&queue, from)).await;
        read.map_err(|_| QuarantineError::OnlyServed)
    }

    fn read_from(&self, queue: &QueueHandle, from: u64) -> Readable {
        let living = queue.read(|machine| machine.living()).unwrap_or_default();
        let begin = living.partition_point(|(seq, ..)| *seq < from);
        let mut readable = Readable {
            messages: Vec::new(),
            lost: 0,
            next: None,
        };
        let mut bytes = 0;
        for run in living[begin..].chunks(TOGETHER) {
            if bytes >= ENOUGH {
                readable.next = run.first().map(|(seq, ..)| *seq);
                break;
            }
            let run: Vec<_> = run.iter().map(|(seq, loc, _)| (*seq, Loc::from_raw(*loc))).collect();
            for (_, message) in self.queues.read_bodies(queue.owner(), &run) {
                match message {
                    Some(message) => {
                        bytes += message.body().len();
                        readable.messages.push(message);
                    }
                    None => readable.lost += 1,
                }
            }
        }
        readable
    }

    /// Serves a damaged queue of this node with what is there of it; what was lost is gone for good. An
    /// operator's choice, never the node's own.
    ///
    /// # Errors
    /// [`QuarantineError`].
    pub async fn serve_what_is_left(self: &Arc<Self>, queue: &Arc<QueueHandle>) -> Result<Served, QuarantineError> {
        let (vhost, name) = (&queue.spec.vhost, &queue.spec.name);
        if queue.is_replicated() {
            let generation = self.sole_member(queue)?;
            let (log, snapshots) = group_owners(queue.spec.id, generation);
            self.store.accept_damage(log);
            self.store.accept_damage(snapshots);
            self.queues.synced().await.map_err(BrokerError::from)?;
            tracing::warn!(queue = %name, %vhost, "the queue is served from the next start with what is before the first lost record");
            return Ok(Served::NextStart);
        }
        self.quarantined_here(queue)?;
        self.store.accept_damage(queue.owner());
        self.queues.synced().await.map_err(BrokerError::from)?;
        tracing::warn!(queue = %name, %vhost, "the damaged queue is served with what can be read of it");
        // Policies have passed it by.
        let settings = settings_of(&self.declarations.catalogue(), &queue.spec);
        queue.end_quarantine(None);
        queue.with(&self.queues, |machine, now, sink| {
            machine.set_settings(now, settings, sink);
        });
        queue.changed.notify_waiters();
        Ok(Served::Now)
    }

    fn quarantined_here(&self, queue: &QueueHandle) -> Result<(), QuarantineError> {
        if queue.spec.home != self.us() {
            let home = queue.spec.home;
            let name = self
                .declarations
                .node_names()
                .remove(&home)
                .unwrap_or_else(|| home.to_string());
            return Err(QuarantineError::Elsewhere(name));
        }
        match queue.is_quarantined() {
            true => Ok(()),
            false => Err(QuarantineError::Whole),
        }
    }

    /// The generation of the damaged member of a queue that has no other.
    fn sole_member(&self, queue: &QueueHandle) -> Result<u32, QuarantineError> {
        let id = queue.spec.id;
        match self.members.wanted(id) {
            Some(generation) if self.members.is_damaged(id) => match queue.member_nodes() == [self.us()] {
                true => Ok(generation),
                false => Err(QuarantineError::Replicated),
            },
            _ => Err(QuarantineError::Whole),
        }
    }
}
