//! What the store says to the broker: what is durable and whose, what has failed.

use std::sync::Weak;

use crate::broker::publish::delayed;
use crate::broker::queue::owners::is_queue;
use crate::broker::{Broker, Failure};
use crate::queue::{self, UnknownMeta};
use crate::store::{LedgerEntry, OwnerId, Owners, StoreError};
use crate::types::QueueId;

/// The store calls back here, as long as the broker is there.
pub struct StoreOwners(pub Weak<Broker>);

impl Owners for StoreOwners {
    fn durable(&self, owner: OwnerId, up_to_seq: u64) {
        let Some(broker) = self.0.upgrade() else {
            return;
        };
        if broker.nodes.journals().durable(owner, up_to_seq) {
            return;
        }
        if delayed::is_exchange(owner) {
            return broker.vhosts.delayed_durable(owner, up_to_seq);
        }
        if let Some(queue) = broker.queues.by_id(QueueId(owner.0)) {
            queue.with(&broker.queues, |machine, now, sink| {
                machine.durable(now, up_to_seq, sink);
            });
        }
    }

    fn told_at_once(&self, owner: OwnerId, up_to_seq: u64) -> bool {
        let broker = self.0.upgrade();
        broker.is_some_and(|broker| broker.nodes.journals().durable(owner, up_to_seq))
    }

    fn failed(&self, error: &StoreError) {
        if let Some(broker) = self.0.upgrade() {
            broker.fail(Failure::Disk(error.clone()));
        }
    }

    fn space_changed(&self) {
        if let Some(broker) = self.0.upgrade() {
            broker
                .alarms
                .look(&broker.config.node.data_dir, &broker.store, broker.now());
        }
    }
}

/// Whether this version can read what its queues and exchanges kept. Members of groups look at their own.
///
/// # Errors
/// When it cannot.
pub fn check_metas(owner: OwnerId, entries: &[LedgerEntry]) -> Result<(), UnknownMeta> {
    let check = match owner {
        _ if delayed::is_exchange(owner) => queue::delay::check_meta,
        _ if is_queue(owner) => queue::check_meta,
        _ => return Ok(()),
    };
    entries.iter().try_for_each(|entry| check(&entry.meta))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::broker::StartError;
    use crate::config::Config;
    use crate::store::Keep;
    use crate::store::{Store, StoreOptions};

    /// What the broker says to a message that an owner has kept in that form.
    async fn opened(owner: OwnerId, meta: [u8; 24]) -> Result<Arc<Broker>, StartError> {
        let directory = tempfile::tempdir().expect("a directory");
        let (store, _) = Store::open(directory.path(), StoreOptions::default()).expect("a store");
        store.start(Arc::new(StoreOwners(Weak::new())));
        store.batch(owner).put(1, meta, &[b"body"], Keep::Durable);
        store.synced(store.end()).await.expect("synced");
        store.stop();
        drop(store);
        let mut config = Config::default();
        config.node.data_dir = directory.path().to_owned();
        config.node.name = "node@here".into();
        Broker::open(Arc::new(config)).await
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn messages_of_another_version_are_refused_at_the_start() {
        for owner in [OwnerId(7), delayed::owner_of("/", "later")] {
            let refused = opened(owner, [2; 24]).await.err().expect("refused").to_string();
            assert_eq!(
                refused,
                "messages cannot be read: what is kept beside a message has format version 2, and this version \
                 reads only 1; the data directory belongs to a newer version"
            );
        }
        assert!(opened(OwnerId(7), [1; 24]).await.is_ok());
    }
}
