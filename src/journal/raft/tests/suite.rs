//! openraft's own tests of log storage and state machine, on ours.

use std::sync::Arc;

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;
use tokio::sync::Semaphore;

use super::cluster::{LOG, SNAPSHOTS, open_store};
use super::ledger::Ledger;
use super::log::LogOwner;
use crate::journal::raft::apply::Applier;
use crate::journal::raft::guarded::Guarded;
use crate::journal::raft::log::RaftLog;
use crate::journal::raft::recovery::Rebuilt;
use crate::journal::raft::snapshots::Snapshots;
use crate::journal::raft::types::Types;
use crate::machine::Machine;
use crate::store::Store;
use crate::store::tests::sim::SimDisk;
use crate::types::NodeId;

struct Fresh;

/// Stops the store with the test.
struct Guard(Store, #[expect(dead_code, reason = "kept until the test ends")] TempDir);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl StoreBuilder<Types, RaftLog, Applier<Ledger>, Guard> for Fresh {
    async fn build(&self) -> Result<(Guard, RaftLog, Applier<Ledger>), StorageError<Types>> {
        let dir = tempfile::tempdir().expect("a directory");
        let (store, _) = open_store(dir.path(), &SimDisk::default());
        let rebuilt = Rebuilt {
            next_seq: 1,
            ..Rebuilt::default()
        };
        let log = RaftLog::new(
            NodeId(1),
            store.clone(),
            LOG,
            Arc::default(),
            rebuilt,
            None,
            Ledger::span,
        );
        store.start(Arc::new(LogOwner(Arc::clone(log.shared()))));
        let snapshots = Snapshots::open(store.clone(), SNAPSHOTS, None).expect("none");
        let applier = Applier::new(
            Arc::new(Guarded::new(Ledger::default())),
            Arc::new(snapshots),
            Arc::new(Semaphore::new(1)),
            Arc::clone(log.shared()),
        );
        Ok((Guard(store, dir), log, applier))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openraft_finds_nothing_to_complain_about() {
    Suite::test_all(Fresh).await.expect("all of it");
}
