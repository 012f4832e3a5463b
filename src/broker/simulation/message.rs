//! What nodes say to each other of the queue, as [`crate::broker::peers`] writes it on the wire.

use super::checker::{Id, Key};
use crate::queue::record::ProducerId;
use crate::queue::{Outcome, Slot};

#[derive(Debug)]
pub enum Message {
    Lead {
        term: u64,
    },
    NotLeader,
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
    },
    Deliver {
        key: Key,
        slot: Slot,
        id: Id,
        is_redelivered: bool,
    },
    Settle {
        batch: u64,
        outcome: Outcome,
        is_again: bool,
        slots: Vec<(Slot, Id)>,
    },
    Settled {
        up_to: u64,
    },
}

/// What clients of a node have at stake.
#[derive(Debug)]
pub struct Attach {
    pub term: u64,
    pub producer: ProducerId,
    pub consumers: Vec<(Key, u32)>,
    pub held: Vec<(Key, u64)>,
}
