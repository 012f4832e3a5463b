//! The store with its own threads, on real files.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::model::{body, meta};
use super::owners::TestOwners;
use crate::store::error::StoreError;
use crate::store::wal::Writer;
use crate::store::{Keep, OwnerId, OwnerLedger, Recovered, Store, StoreOptions};

/// Small enough for checkpoints to happen all the time.
fn small() -> StoreOptions {
    StoreOptions {
        segment_bytes: 64 * 1024,
        window_bytes: 4 * 64 * 1024,
        epoch_bytes: 256 * 1024,
    }
}

fn started(dir: &Path, options: StoreOptions) -> (Store, Recovered, Arc<TestOwners>) {
    let (store, recovered) = Store::open(dir, options).unwrap();
    let told = Arc::new(TestOwners::default());
    store.start(Arc::clone(&told) as _);
    (store, recovered, told)
}

fn put(store: &Store, owner: OwnerId, seq: u64, size: usize, keep: Keep) {
    let bytes = body(owner.0, seq, size);
    store.batch(owner).put(seq, meta(owner.0, seq, size), &[&bytes], keep);
}

/// What is there of an owner: seq → body, read from wherever it lies.
fn held(store: &Store, recovered: &Recovered, owner: OwnerId) -> BTreeMap<u64, Vec<u8>> {
    let ledger = &recovered.owners[&owner];
    assert!(ledger.entries.is_sorted_by(|a, b| a.seq < b.seq));
    let wanted: Vec<_> = ledger.entries.iter().map(|entry| (entry.seq, entry.loc)).collect();
    let bodies = store.read(owner, &wanted).unwrap();
    let seqs = wanted.iter().map(|(seq, _)| *seq);
    seqs.zip(bodies)
        .map(|(seq, body)| (seq, body.unwrap().to_vec()))
        .collect()
}

/// One producer: batches of twenty of which it consumes the older half, and one in seven is only
/// paged out. Now and then it reads all that is left, wherever a checkpoint has moved it by then.
/// Returns what it left behind.
fn produce(store: &Store, told: &TestOwners, owner: OwnerId) -> BTreeMap<u64, Vec<u8>> {
    let mut left = BTreeMap::new();
    let mut last_durable = 0;
    for first in (0..2000).step_by(20) {
        let mut batch = store.batch(owner);
        for seq in first..first + 20 {
            let size = 100 + (seq as usize * 37) % 900;
            let bytes = body(owner.0, seq, size);
            let keep = if seq % 7 == 0 { Keep::Page } else { Keep::Durable };
            let loc = batch.put(seq, meta(owner.0, seq, size), &[&bytes], keep);
            left.insert(seq, (loc, bytes));
            if keep == Keep::Durable {
                last_durable = seq;
            }
        }
        if first % 40 == 0 {
            batch.remove(&[(first, first + 9)]);
            left.retain(|seq, _| *seq < first || *seq > first + 9);
        }
        drop(batch);
        if first % 100 == 0 {
            told.wait_durable(owner, last_durable);
            let wanted: Vec<_> = left.iter().map(|(seq, (loc, _))| (*seq, *loc)).collect();
            let found = store.read(owner, &wanted).unwrap();
            for (body, (_, put)) in found.into_iter().zip(left.values()) {
                assert_eq!(body.as_deref(), Some(&put[..]));
            }
        }
    }
    told.wait_durable(owner, last_durable);
    left.retain(|seq, _| seq % 7 != 0);
    left.into_iter().map(|(seq, (_, bytes))| (seq, bytes)).collect()
}

#[test]
fn what_several_producers_were_told_is_durable_is_there_after_a_stop() {
    let dir = tempfile::tempdir().unwrap();
    let owners = [1, 2, 3, 4].map(OwnerId);
    let (store, _, told) = started(dir.path(), small());
    let left = std::thread::scope(|scope| {
        let producers = owners.map(|owner| {
            let (store, told) = (&store, &told);
            scope.spawn(move || produce(store, told, owner))
        });
        producers.map(|producer| producer.join().unwrap())
    });
    store.stop();
    assert!(!store.failed());

    let (store, recovered, _) = started(dir.path(), small());
    assert!(recovered.clean && !recovered.unknown_damage);
    assert_eq!(recovered.owners.len(), owners.len());
    for (owner, left) in owners.into_iter().zip(left) {
        let ledger = &recovered.owners[&owner];
        assert!(!ledger.damaged);
        assert_eq!(ledger.next_seq, 2000);
        assert_eq!(held(&store, &recovered, owner), left);
    }
    store.stop();
}

#[test]
fn page_entries_can_be_read_and_are_dropped_by_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let owner = OwnerId(5);
    let (store, _, _) = started(dir.path(), small());
    let mut batch = store.batch(owner);
    let loc = batch.put(0, [0; 24], &[b"pa", b"ge"], Keep::Page);
    drop(batch);
    let read = store.read(owner, &[(0, loc)]).unwrap();
    assert_eq!(read[0].as_deref(), Some(&b"page"[..]));
    store.stop();
    let (store, recovered, _) = started(dir.path(), small());
    assert!(recovered.owners.is_empty());
    store.stop();
}

#[test]
fn what_is_read_keeps_in_memory_little_more_than_itself() {
    const BYTES: usize = 200;
    let dir = tempfile::tempdir().unwrap();
    let (store, _, told) = started(dir.path(), StoreOptions::default());
    let (few, much) = (OwnerId(1), OwnerId(2));
    let mut wanted = Vec::new();
    for seq in 0..50 {
        let put = |owner, bytes| store.batch(owner).put(seq, [0; 24], &[&vec![7; bytes]], Keep::Durable);
        wanted.push((seq, put(few, BYTES)));
        put(much, 4000);
    }
    told.wait_durable(few, 49);
    for together in [1, 2, 50] {
        let mut bodies = store.read(few, &wanted[..together]).unwrap();
        let first = bodies.swap_remove(0).unwrap();
        drop(bodies);
        let kept = first.try_into_mut().expect("nobody else has a part of it").capacity();
        assert!(kept <= 2 * together * BYTES, "one of {together} keeps {kept} bytes");
    }
    store.stop();
}

#[test]
fn ten_thousand_owners_share_the_syncs() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _, told) = started(dir.path(), small());
    let owners = (1..=10_000).map(OwnerId);
    for owner in owners.clone() {
        let mut batch = store.batch(owner);
        batch.mark(&owner.0.to_le_bytes());
        batch.put(0, [1; 24], &[&[7; 50]], Keep::Durable);
    }
    owners.clone().for_each(|owner| told.wait_durable(owner, 0));
    assert!(store.stats().syncs < 5_000);
    store.stop();

    let (store, recovered, _) = started(dir.path(), small());
    assert_eq!(recovered.owners.len(), 10_000);
    for owner in owners {
        let ledger = &recovered.owners[&owner];
        assert_eq!(ledger.mark.as_deref(), Some(&owner.0.to_le_bytes()[..]));
        assert_eq!((ledger.entries.len(), ledger.next_seq), (1, 1));
    }
    store.stop();
}

#[test]
fn a_forgotten_owner_does_not_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _, told) = started(dir.path(), small());
    for owner in [1, 2].map(OwnerId) {
        put(&store, owner, 0, 100, Keep::Durable);
        told.wait_durable(owner, 0);
    }
    store.forget(OwnerId(1));
    store.stop();
    let (store, recovered, _) = started(dir.path(), small());
    assert_eq!(recovered.owners.keys().collect::<Vec<_>>(), [&OwnerId(2)]);
    store.stop();
}

#[test]
fn a_directory_in_use_or_of_another_program_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), small()).unwrap();
    assert!(matches!(
        Store::open(dir.path(), small()).err(),
        Some(StoreError::InUse(_))
    ));
    store.stop();
    Store::open(dir.path(), small()).unwrap().0.stop();
    // Another program makes none, and an older version did not.
    std::fs::remove_file(dir.path().join("store.format.copy")).unwrap();
    for (text, refused) in [
        (
            "warren store 1 00",
            "has format version 1, and this program reads and writes only versions 2 and 3",
        ),
        (
            "warren store 4 what comes then",
            "has format version 4, and this program reads and writes only versions 2 and 3",
        ),
        ("warren store 2 no number", "was not written by this program"),
        ("another store 2 00", "was not written by this program"),
        ("", "was not written by this program"),
    ] {
        std::fs::write(dir.path().join("store.format"), text).unwrap();
        let error = Store::open(dir.path(), small()).err().expect("refused").to_string();
        assert_eq!(error, format!("the data directory {} {refused}", dir.path().display()));
    }
}

/// The test plays the threads, and sees that they would have nothing to do.
#[test]
fn a_lone_put_is_one_write_and_one_sync_and_then_there_is_rest() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), small()).unwrap();
    let told = TestOwners::default();
    let (inner, mut writer) = (&store.0, Writer::default());
    assert!(!inner.wal.write(&mut writer).unwrap());
    put(&store, OwnerId(1), 0, 100, Keep::Durable);
    assert!(inner.wal.write(&mut writer).unwrap());
    inner.wal.notices.tell(&told, &mut Default::default());
    assert_eq!(told.durable_up_to(OwnerId(1)), Some(0));
    let busy = store.stats();
    assert_eq!(busy.syncs, 1);
    // A removal is written without a sync.
    store.batch(OwnerId(1)).remove(&[(0, 0)]);
    assert!(inner.wal.write(&mut writer).unwrap());
    assert_eq!(store.stats().syncs, 1);
    let written = store.stats().log_bytes_written;
    for quiet in [true, false, true] {
        assert!(!inner.wal.write(&mut writer).unwrap());
        assert!(inner.plan(quiet).unwrap().is_none());
    }
    assert_eq!(store.stats().log_bytes_written, written);
    assert_eq!(store.stats().syncs, 1);
    store.stop();
}

/// The test plays the threads again: they are there, but none runs.
#[test]
fn who_appends_a_little_writes_it_itself_while_syncs_are_quick_and_nobody_writes() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), small()).unwrap();
    let wal = &store.0.wal;
    let mut seq = 0;
    let mut written_at_once = |size: usize, sync_micros| {
        wal.sync_micros.store(sync_micros, Relaxed);
        let syncs = wal.syncs.load(Relaxed);
        let mut batch = store.batch(OwnerId(1));
        batch.put(seq, meta(1, seq, size), &[&body(1, seq, size)], Keep::Durable);
        seq += 1;
        batch.commit_and_write();
        let at_once = wal.syncs.load(Relaxed) > syncs;
        assert_eq!(wal.write(&mut wal.writer.lock()).unwrap(), !at_once);
        at_once
    };
    assert!(!written_at_once(100, 0), "no thread would write the rest");
    wal.has_thread.store(true, Relaxed);
    assert!(written_at_once(100, 0));
    assert!(!written_at_once(100, 100_000), "a slow disk");
    assert!(!written_at_once(20_000, 0), "much");
    store.batch(OwnerId(1)).remove(&[(0, 0)]);
    assert!(!written_at_once(100, 0), "somebody else's waits for the thread");
    assert!(written_at_once(100, 0));
    let syncs = wal.syncs.load(Relaxed);
    let writing = wal.writer.lock();
    let mut batch = store.batch(OwnerId(1));
    batch.put(seq, meta(1, seq, 10), &[&body(1, seq, 10)], Keep::Durable);
    batch.commit_and_write();
    drop(writing);
    assert_eq!(wal.syncs.load(Relaxed), syncs);
    store.stop();
}

/// States fill segments too, and are said again when those go: that must not go on for ever.
#[test]
fn a_log_of_states_alone_comes_to_rest() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), small()).unwrap();
    let mut writer = Writer::default();
    for owner in 1..=3000 {
        store.batch(OwnerId(owner)).mark(&[7; 150]);
        put(&store, OwnerId(owner), 0, 10, Keep::Durable);
        store.batch(OwnerId(owner)).touch(&[(0, 0)], 1);
    }
    store.0.wal.write(&mut writer).unwrap();
    let written = store.stats().log_bytes_written;
    let mut rounds = 0;
    while let Some(plan) = store.0.plan(true).unwrap() {
        store.0.wal.write(&mut writer).unwrap();
        store.0.carry_out(&plan).unwrap();
        rounds += 1;
        assert!(rounds < 100);
    }
    assert!(store.stats().log_bytes_written < 3 * written);
    store.stop();
    let (store, recovered) = Store::open(dir.path(), small()).unwrap();
    assert_eq!(recovered.owners.len(), 3000);
    for ledger in recovered.owners.values() {
        assert_eq!(ledger.mark.as_deref(), Some(&[7; 150][..]));
        assert_eq!(
            (ledger.entries.len(), ledger.entries[0].count, ledger.next_seq),
            (1, 1, 1)
        );
    }
    store.stop();
}

#[test]
fn what_an_owner_has_is_read_while_the_store_runs_as_a_start_would_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let owners = [1, 2].map(OwnerId);
    let (store, _, told) = started(dir.path(), small());
    let left = owners.map(|owner| produce(&store, &told, owner));
    let owner = owners[0];
    store.batch(owner).touch(&[(1990, 1995)], 3);
    store.batch(owner).mark(b"a mark");
    let ledger = store.ledger(owner).unwrap();
    let wanted: Vec<_> = ledger.entries.iter().map(|entry| (entry.seq, entry.loc)).collect();
    let bodies = store.read(owner, &wanted).unwrap();
    let seqs = wanted.iter().map(|(seq, _)| *seq);
    let read: BTreeMap<_, _> = seqs
        .zip(bodies)
        .map(|(seq, body)| (seq, body.unwrap().to_vec()))
        .collect();
    assert_eq!(read, left[0]);
    // Its next entry takes a number that nothing has, not even what was paged out.
    put(&store, owner, ledger.next_seq, 100, Keep::Durable);
    store.batch(owner).remove(&[(ledger.next_seq, ledger.next_seq)]);
    store.stop();
    drop(store);
    let (_store, recovered) = Store::open(dir.path(), small()).unwrap();
    let after = &recovered.owners[&owner];
    let known = |ledger: &OwnerLedger| -> Vec<_> {
        let entries = ledger.entries.iter();
        entries
            .map(|entry| (entry.seq, entry.meta, entry.count, entry.len))
            .collect()
    };
    assert_eq!(known(&ledger), known(after));
    assert_eq!((&ledger.mark, ledger.next_seq + 1), (&after.mark, after.next_seq));
}

#[test]
fn an_owner_that_never_put_anything_has_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _, _) = started(dir.path(), small());
    let ledger = store.ledger(OwnerId(9)).unwrap();
    assert_eq!((ledger.entries.len(), ledger.mark), (0, None));
}
