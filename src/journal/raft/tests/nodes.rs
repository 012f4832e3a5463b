//! Nodes in one process with real stores, for groups whose machines read again what they were given.

use std::collections::BTreeMap;
use std::sync::Arc;

use tempfile::TempDir;

use super::cluster::{Delegate, GROUP, LOG, Port, Router, SNAPSHOTS, within};
use crate::journal::raft::{Archiving, Group, GroupSpec, Ledgers, Pace, RaftJournals, Role};
use crate::machine::{Machine, Source};
use crate::store::{Store, StoreOptions};
use crate::types::NodeId;

/// Nodes with real stores and one group.
pub struct Nodes<M: Machine> {
    pub router: Arc<Router>,
    pub dirs: Vec<TempDir>,
    pub up: BTreeMap<u64, Node<M>>,
    machine: Box<dyn Fn(Arc<dyn Source>) -> M + Send + Sync>,
    /// Bytes of entries that stay out of the log's archive, and of a file of that; none has none.
    archiving: Option<(u64, u64)>,
}

pub struct Node<M: Machine> {
    pub store: Store,
    pub journals: RaftJournals,
    pub group: Group<M>,
}

impl<M: Machine> Nodes<M> {
    /// So many, led by the first.
    pub async fn new(count: u64, machine: impl Fn(Arc<dyn Source>) -> M + Send + Sync + 'static) -> Self {
        Self::archiving(count, None, machine).await
    }

    /// The same, whose logs put old entries away.
    pub async fn archiving(
        count: u64,
        archiving: Option<(u64, u64)>,
        machine: impl Fn(Arc<dyn Source>) -> M + Send + Sync + 'static,
    ) -> Self {
        let dir = |_| tempfile::tempdir().expect("a directory");
        let mut nodes = Self {
            router: Arc::default(),
            dirs: (0..count).map(dir).collect(),
            up: BTreeMap::new(),
            machine: Box::new(machine),
            archiving,
        };
        for number in 1..=count {
            nodes.start(number).await;
        }
        let founded = nodes.group(1).found((1..=count).map(NodeId)).await;
        founded.expect("founded");
        nodes.leads(1).await;
        nodes
    }

    /// From the next start on.
    pub fn puts_old_entries_away(&mut self) {
        self.archiving = Some((60_000, 100_000));
    }

    pub async fn start(&mut self, number: u64) {
        let (id, dir) = (NodeId(number), self.dirs[number as usize - 1].path());
        let options = StoreOptions {
            segment_bytes: 8 << 20,
            window_bytes: 24 << 20,
            epoch_bytes: 8 << 20,
        };
        let (store, mut recovered) = Store::open(dir, options).expect("a store");
        let ledgers = Ledgers {
            log: recovered.owners.remove(&LOG),
            snapshots: recovered.owners.remove(&SNAPSHOTS),
            archiving: self.archiving.map(|(keep_bytes, segment_bytes)| Archiving {
                archive: store.archive(LOG),
                keep_bytes,
                point_bytes: keep_bytes / 2,
                segment_bytes,
            }),
            ..Ledgers::default()
        };
        let journals = RaftJournals::new(id, store.clone(), Arc::new(Port(Arc::clone(&self.router), id)));
        let delegate = Delegate::default();
        assert!(delegate.0.set(journals.clone()).is_ok());
        store.start(Arc::new(delegate));
        let spec = GroupSpec {
            id: GROUP,
            log: LOG,
            snapshots: SNAPSHOTS,
            pace: Pace::Quiet,
            is_shut: false,
        };
        let group = journals
            .open_with(spec, ledgers, &self.machine)
            .await
            .expect("a whole group");
        self.router.join(id, journals.clone());
        self.up.insert(number, Node { store, journals, group });
    }

    pub async fn stop(&mut self, number: u64) {
        let Node { store, journals, group } = self.up.remove(&number).expect("it is up");
        group.shutdown().await;
        drop((group, journals));
        let stopped = tokio::task::spawn_blocking(move || store.stop());
        stopped.await.expect("the store stops");
    }

    pub fn group(&self, number: u64) -> &Group<M> {
        &self.up[&number].group
    }

    pub async fn leads(&self, number: u64) {
        let mut watch = self.group(number).watch();
        let leads = within("a leader", watch.until(|now| now.role == Role::Leader)).await;
        assert!(leads);
        self.group(number).barrier().await.expect("a majority");
    }
}
