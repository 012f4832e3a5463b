//! The log storage against a model, opened again after every step.

use std::collections::BTreeMap;
use std::sync::Arc;

use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use openraft::{EntryPayload, Membership};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use tempfile::TempDir;

use super::cluster::{LOG, open_store};
use crate::journal::raft::log::{Archiving, LogShared, RaftLog};
use crate::journal::raft::pack::Packed;
use crate::journal::raft::recovery::rebuild;
use crate::journal::raft::types::{Entry, LogId, Types, Vote, log_id};
use crate::machine::Machine;
use crate::queue::ledger::Ledger;
use crate::store::tests::sim::SimDisk;
use crate::store::{OwnerId, Owners, Store, StoreError};
use crate::types::NodeId;

/// The owner of one log and nothing else.
pub struct LogOwner(pub Arc<LogShared>);

impl Owners for LogOwner {
    fn durable(&self, owner: OwnerId, up_to_seq: u64) {
        if owner == LOG {
            self.0.durable(up_to_seq);
        }
    }

    fn failed(&self, error: &StoreError) {
        self.0.failed(error);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append {
        count: u64,
        bytes: usize,
        new_term: bool,
    },
    Truncate {
        keep: u64,
    },
    Purge {
        count: u64,
    },
    /// A snapshot from elsewhere, ahead of the log.
    PurgeAll {
        ahead: u64,
    },
    Vote {
        committed: bool,
    },
    Committed,
    Crash {
        seed: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..20_u64, prop_oneof![Just(0_usize), 1..2000_usize, Just(400_000)], any::<bool>())
            .prop_map(|(count, bytes, new_term)| Step::Append { count, bytes, new_term }),
        2 => (0..20_u64).prop_map(|keep| Step::Truncate { keep }),
        1 => (0..20_u64).prop_map(|count| Step::Purge { count }),
        1 => (0..5_u64).prop_map(|ahead| Step::PurgeAll { ahead }),
        1 => any::<bool>().prop_map(|committed| Step::Vote { committed }),
        1 => Just(Step::Committed),
        2 => any::<u64>().prop_map(|seed| Step::Crash { seed }),
    ]
}

#[derive(Default)]
struct Model {
    term: u64,
    entries: BTreeMap<u64, Entry>,
    purged: Option<LogId>,
    vote: Option<Vote>,
    committed: Option<LogId>,
}

impl Model {
    fn last(&self) -> Option<LogId> {
        self.entries
            .values()
            .next_back()
            .map(|entry| entry.log_id)
            .or(self.purged)
    }

    fn next(&self) -> u64 {
        self.last().map_or(0, |last| last.index + 1)
    }
}

struct World {
    dir: TempDir,
    disk: SimDisk,
    store: Store,
    log: RaftLog,
    /// Old entries are put into an archive.
    archives: bool,
    /// What the crash is made from, once the store has stopped.
    crashed: Option<u64>,
}

impl World {
    fn new(archives: bool) -> Self {
        let (dir, disk) = (tempfile::tempdir().expect("a directory"), SimDisk::default());
        let (store, log) = Self::open(&dir, &disk, archives);
        Self {
            dir,
            disk,
            store,
            log,
            archives,
            crashed: None,
        }
    }

    fn open(dir: &TempDir, disk: &SimDisk, archives: bool) -> (Store, RaftLog) {
        let (store, mut recovered) = open_store(dir.path(), disk);
        let archiving = archives.then(|| Archiving {
            archive: store.archive(LOG),
            keep_bytes: 5_000,
            point_bytes: 2500,
            segment_bytes: 20_000,
        });
        let archive = archiving.as_ref().map(|archiving| &*archiving.archive);
        let rebuilt = rebuild(recovered.owners.remove(&LOG), archive).expect("a whole log");
        let (node, tails) = (NodeId(1), Arc::default());
        let log = RaftLog::new(node, store.clone(), LOG, tails, rebuilt, archiving, Ledger::span);
        store.start(Arc::new(LogOwner(Arc::clone(log.shared()))));
        (store, log)
    }

    fn reopen(&mut self) {
        self.store.stop();
        if let Some(seed) = self.crashed.take() {
            self.disk.crash(seed);
        }
        (self.store, self.log) = Self::open(&self.dir, &self.disk, self.archives);
    }

    async fn step(&mut self, step: &Step, model: &mut Model) {
        match *step {
            Step::Append { count, bytes, new_term } => {
                model.term += u64::from(new_term || model.term == 0);
                let entries: Vec<_> = (model.next()..)
                    .take(if bytes > 100_000 { count.min(4) } else { count } as usize)
                    .map(|index| entry(model.term, index, bytes))
                    .collect();
                let (told, flushed) = Types::oneshot();
                self.log
                    .append(entries.clone(), IOFlushed::signal(told))
                    .await
                    .expect("appended");
                // At once readable, also when not yet durable.
                check(&mut self.log, model, &entries).await;
                flushed.await.expect("told").expect("durable");
                model
                    .entries
                    .extend(entries.into_iter().map(|entry| (entry.log_id.index, entry)));
            }
            Step::Truncate { keep } => {
                let first = model.entries.keys().next().copied().unwrap_or(model.next());
                let from = (first + keep).max(model.committed.map_or(0, |id| id.index + 1));
                let last = model
                    .entries
                    .range(..from)
                    .next_back()
                    .map(|(_, e)| e.log_id)
                    .or(model.purged);
                self.log.truncate_after(last).await.expect("cut");
                model.entries.split_off(&from);
            }
            Step::Purge { count } => {
                let Some(up_to) = model.entries.values().take(count as usize).last().map(|e| e.log_id) else {
                    return;
                };
                self.log.purge(up_to).await.expect("purged");
                model.entries = model.entries.split_off(&(up_to.index + 1));
                model.purged = Some(up_to);
            }
            Step::PurgeAll { ahead } => {
                let up_to = log_id(model.term.max(1), model.next() + ahead);
                self.log.purge(up_to).await.expect("purged");
                model.entries.clear();
                model.purged = Some(up_to);
            }
            Step::Vote { committed } => {
                model.term += 1;
                let vote = match committed {
                    true => Vote::new_committed(model.term, NodeId(model.term % 3)),
                    false => Vote::new(model.term, NodeId(model.term % 3)),
                };
                self.log.save_vote(&vote).await.expect("saved");
                model.vote = Some(vote);
            }
            Step::Committed => {
                model.committed = model.last();
                self.log.save_committed(model.committed).await.expect("saved");
            }
            Step::Crash { seed } => {
                // Whatever was not waited for may be lost, so nothing is left that was not.
                let vote = Vote::new(model.term + 1, NodeId(1));
                model.term += 1;
                self.log.save_vote(&vote).await.expect("saved");
                model.vote = Some(vote);
                self.disk.fail_after(0);
                self.crashed = Some(seed);
            }
        }
    }
}

fn entry(term: u64, index: u64, bytes: usize) -> Entry {
    let payload = match index % 7 {
        0 => EntryPayload::Blank,
        3 => {
            let voters = [NodeId(index), NodeId(1)].into();
            EntryPayload::Membership(Membership::new_with_defaults(vec![voters], [NodeId(5)]))
        }
        _ => {
            let record = vec![(index ^ term) as u8; bytes].into();
            EntryPayload::Normal(Packed::of([record].iter()))
        }
    };
    Entry {
        log_id: log_id(term, index),
        payload,
    }
}

async fn check(log: &mut RaftLog, model: &Model, more: &[Entry]) {
    let expected: Vec<_> = model.entries.values().chain(more).cloned().collect();
    let state = log.get_log_state().await.expect("a state");
    assert_eq!(state.last_purged_log_id, model.purged);
    assert_eq!(state.last_log_id, expected.last().map(|e| e.log_id).or(model.purged));
    assert_eq!(log.read_vote().await.expect("a vote"), model.vote);
    let entries = log.try_get_log_entries(..).await.expect("entries");
    assert!(entries == expected, "{entries:?} is not {expected:?}");
    if let (Some(first), Some(last)) = (expected.first(), expected.last()) {
        let (first, last) = (first.log_id, last.log_id);
        let some = log
            .limited_get_log_entries(first.index, last.index + 1)
            .await
            .expect("entries");
        assert!(!some.is_empty() && some == expected[..some.len()]);
        let same_term = |a: &Entry, b: &Entry| a.log_id.leader_id == b.log_id.leader_id;
        let terms = expected.chunk_by(same_term);
        let keys: Vec<_> = terms.filter_map(|term| Some(term.last()?.log_id)).collect();
        assert_eq!(log.get_key_log_ids(first..=last).await.expect("keys"), keys);
    }
}

/// Does these steps, with a start after each.
async fn take(steps: &[Step], archives: bool) -> Result<(), TestCaseError> {
    let (mut world, mut model) = (World::new(archives), Model::default());
    for step in steps {
        world.step(step, &mut model).await;
        if !matches!(step, Step::Crash { .. }) {
            check(&mut world.log, &model, &[]).await;
        }
        let log = world.log.clone();
        log.shared().close().await;
        log.shared().write_mark();
        tokio::task::block_in_place(|| world.reopen());
        check(&mut world.log, &model, &[]).await;
        let committed = world.log.read_committed().await.expect("read");
        prop_assert!(committed <= model.committed.max(model.last()));
        if !matches!(step, Step::Crash { .. }) {
            prop_assert_eq!(committed, model.committed.min(model.last()));
        } else {
            model.committed = committed;
        }
    }
    tokio::task::block_in_place(|| world.store.stop());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn the_log_is_what_was_written_after_every_reopening(steps in proptest::collection::vec(step(), 1..15)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        runtime.block_on(take(&steps, false))?;
    }

    #[test]
    fn a_log_that_puts_old_entries_away_is_what_was_written(steps in proptest::collection::vec(step(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        runtime.block_on(take(&steps, true))?;
    }
}
