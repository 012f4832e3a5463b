//! The store of a node, which has no threads here: the simulation writes and tells by hand.

use std::time::Duration;

use crate::journal::raft::RaftJournals;
use crate::store::tests::by_hand::ByHand;
use crate::store::{OwnerId, Owners, StoreError};

/// Hands on what the store says.
pub struct Delegate<'a>(pub &'a RaftJournals);

impl Owners for Delegate<'_> {
    fn durable(&self, owner: OwnerId, up_to_seq: u64) {
        self.0.durable(owner, up_to_seq);
    }
    fn failed(&self, error: &StoreError) {
        self.0.failed(error);
    }
}

/// What comes of `opening` a group, which waits for what is written meanwhile; and the store again.
pub async fn while_written<T>(store: ByHand, journals: &RaftJournals, opening: impl Future<Output = T>) -> (ByHand, T) {
    let mut store = store;
    let writing = async {
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            store.write();
            store.tell(&Delegate(journals));
        }
    };
    let opened = tokio::select! {
        biased;
        opened = opening => opened,
        () = writing => unreachable!("it goes on for ever"),
    };
    (store, opened)
}
