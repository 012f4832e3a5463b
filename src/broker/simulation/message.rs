//! What nodes say to each other of the queue, as [`crate::broker::peers`] writes it on the wire.

use super::checker::{Id, Key};
use crate::queue::record::ProducerId;
use crate::queue::{Outcome, Slot};

#[derive(Debug)]
pub enum Message {
    Lead {
        term: u64,
        starts_anew: bool,
    },
    NotLeader,
    /// The node asks for votes.
    Leaderless {
        term: u64,
    },
    /// What was sent before is void.
    Attached {
        number: u64,
        lost: Vec<Slot>,
    },
    Who,
    Attach(Attach),
    Nothing {
        term: u64,
    },
    Publish {
        number: u64,
        id: Id,
    },
    Answered {
        number: u64,
    },
    Consume {
        key: Key,
        prefetch: u32,
    },
    Cancel {
        key: Key,
        kept: Vec<Slot>,
    },
    Leave {
        keys: Vec<Key>,
        batch: Batch,
    },
    Deliver {
        key: Key,
        slot: Slot,
        id: Id,
        is_redelivered: bool,
    },
    Settle(Batch),
    Settled {
        up_to: u64,
    },
}

/// What clients of a node have at stake.
#[derive(Debug)]
pub struct Attach {
    pub term: u64,
    pub number: u64,
    pub producer: ProducerId,
    pub consumers: Vec<(Key, u32)>,
    pub held: Vec<(Key, Slot)>,
    pub settles: Vec<Batch>,
}

/// What was settled in one go.
#[derive(Clone, Debug)]
pub struct Batch {
    pub number: u64,
    pub outcome: Outcome,
    pub slots: Vec<(Slot, Id)>,
}
