//! Files that are not what was written: in the log, beside it, and in fjall.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::model::{body, meta};
use super::owners::TestOwners;
use crate::store::error::StoreError;
use crate::store::{Keep, OwnerId, Recovered, Store, StoreOptions};

const SIZE: usize = 200;
const OWNERS: [OwnerId; 3] = [OwnerId(1), OwnerId(2), OwnerId(3)];

fn options() -> StoreOptions {
    StoreOptions {
        segment_bytes: 16 * 1024,
        window_bytes: 4 * 16 * 1024,
        epoch_bytes: 64 * 1024,
    }
}

fn started(dir: &Path) -> (Store, Recovered, Arc<TestOwners>) {
    let (store, recovered) = Store::open(dir, options()).expect("opens");
    let told = Arc::new(TestOwners::default());
    store.start(Arc::clone(&told) as _);
    (store, recovered, told)
}

fn put(store: &Store, owner: OwnerId, seq: u64) {
    let bytes = body(owner.0, seq, SIZE);
    store
        .batch(owner)
        .put(seq, meta(owner.0, seq, SIZE), &[&bytes], Keep::Durable);
}

/// The process is gone, with nothing said.
fn kill(store: &Store) {
    store.0.wal.fail(StoreError::Stopped);
    store.stop();
}

/// A store of a few records of each owner, whose process has ended.
fn written(dir: &Path, records: u64) {
    let (store, _, told) = started(dir);
    for seq in 0..records {
        OWNERS.into_iter().for_each(|owner| put(&store, owner, seq));
    }
    told.wait_durable(OWNERS[2], records - 1);
    kill(&store);
}

/// The segments of the log in use, and how many bytes of each are written.
fn segments(dir: &Path) -> Vec<(PathBuf, usize)> {
    let listed = std::fs::read_dir(dir.join("log")).expect("a log");
    let mut found: Vec<_> = listed
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .map(|path| {
            let bytes = std::fs::read(&path).expect("a segment");
            let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            (path, written)
        })
        .filter(|(_, written)| *written > 0)
        .collect();
    found.sort();
    found
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).expect("a file");
    change(&mut bytes);
    std::fs::write(path, bytes).expect("ours");
}

fn all_damaged(recovered: &Recovered) -> bool {
    OWNERS.iter().all(|owner| recovered.owners[owner].damaged)
}

#[test]
fn a_cut_tail_of_what_was_synced_is_damage_of_everybody_until_it_is_settled() {
    let dir = tempfile::tempdir().expect("a directory");
    written(dir.path(), 10);
    let (last, written) = segments(dir.path()).pop().expect("a segment");
    change(&last, |bytes| bytes[written - 300..].fill(0));
    for _ in 0..2 {
        let (store, recovered, _) = started(dir.path());
        assert!(recovered.unknown_damage && all_damaged(&recovered));
        kill(&store);
    }
    let (store, _, told) = started(dir.path());
    store.note_damage([OwnerId(9)]);
    store.damage_settled();
    put(&store, OwnerId(4), 0);
    told.wait_durable(OwnerId(4), 0);
    kill(&store);
    let (store, recovered, _) = started(dir.path());
    assert!(!recovered.unknown_damage && all_damaged(&recovered));
    assert!(recovered.owners[&OwnerId(9)].damaged && !recovered.owners[&OwnerId(4)].damaged);
    store.forget(OWNERS[0]);
    store.accept_damage(OWNERS[1]);
    store.stop();
    let (store, recovered, _) = started(dir.path());
    assert!(!recovered.owners.contains_key(&OWNERS[0]));
    let accepted = &recovered.owners[&OWNERS[1]];
    assert!(accepted.accepted && !accepted.damaged && !accepted.entries.is_empty());
    assert!(recovered.owners[&OWNERS[2]].damaged);
    store.stop();
}

#[test]
fn a_tail_that_was_never_synced_is_only_cut() {
    let dir = tempfile::tempdir().expect("a directory");
    written(dir.path(), 10);
    let (last, written) = segments(dir.path()).pop().expect("a segment");
    // The rest of a record that was being written.
    change(&last, |bytes| bytes[written.next_multiple_of(8)..][..8].fill(0x5a));
    let (store, recovered, _) = started(dir.path());
    assert!(!recovered.unknown_damage);
    assert!(OWNERS.iter().all(|owner| recovered.owners[owner].entries.len() == 10));
    store.stop();
}

#[test]
fn a_log_that_is_gone_is_noticed() {
    let dir = tempfile::tempdir().expect("a directory");
    written(dir.path(), 10);
    std::fs::remove_dir_all(dir.path().join("log")).expect("ours");
    let (store, recovered, _) = started(dir.path());
    assert!(recovered.unknown_damage);
    store.stop();
}

#[test]
fn an_older_segment_that_is_cut_between_two_records_is_noticed() {
    let dir = tempfile::tempdir().expect("a directory");
    written(dir.path(), 60);
    let (first, _) = segments(dir.path()).swap_remove(0);
    // Its first record, which is whole.
    change(&first, |bytes| bytes.truncate(32));
    let (store, recovered, _) = started(dir.path());
    assert!(recovered.unknown_damage);
    store.stop();
}

#[test]
fn damage_is_known_when_its_segment_is_gone() {
    let dir = tempfile::tempdir().expect("a directory");
    written(dir.path(), 10);
    let (first, _) = segments(dir.path()).swap_remove(0);
    let needle = body(1, 3, SIZE);
    change(&first, |bytes| {
        let at = bytes.windows(SIZE).position(|window| window == needle).expect("there");
        bytes[at] ^= 1;
    });
    let (store, recovered, told) = started(dir.path());
    assert!(recovered.owners[&OWNERS[0]].damaged && !recovered.unknown_damage);
    // So much that the segment is given back.
    for seq in 10..2000 {
        put(&store, OWNERS[1], seq);
        store.batch(OWNERS[1]).remove(&[(seq, seq)]);
    }
    told.wait_durable(OWNERS[1], 1999);
    while first.exists() {
        std::thread::yield_now();
    }
    store.stop();
    let (store, recovered, _) = started(dir.path());
    assert!(recovered.owners[&OWNERS[0]].damaged && !recovered.owners[&OWNERS[1]].damaged);
    store.stop();
}

/// Whatever single bit is wrong in the log: who lost something is told, and nobody else.
#[test]
fn a_wrong_bit_anywhere_in_the_log_costs_one_owner_at_most() {
    let dir = tempfile::tempdir().expect("a directory");
    written(dir.path(), 6);
    let (last, written) = segments(dir.path()).pop().expect("a segment");
    let good = std::fs::read(&last).expect("a segment");
    let mut random = StdRng::seed_from_u64(11);
    for round in 0..60 {
        let copy = tempfile::tempdir().expect("a directory");
        copy_all(dir.path(), copy.path());
        let path = copy.path().join("log").join(last.file_name().expect("a name"));
        let bit = random.random_range(0..written * 8);
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, bytes).expect("ours");
        let (store, recovered, _) = started(copy.path());
        assert!(!recovered.unknown_damage, "round {round}: bit {bit}");
        for owner in OWNERS {
            let ledger = &recovered.owners[&owner];
            assert_eq!(
                ledger.damaged,
                ledger.entries.len() < 6,
                "round {round}: bit {bit}, {owner:?}"
            );
        }
        let damaged = OWNERS.iter().filter(|owner| recovered.owners[owner].damaged);
        assert!(damaged.count() <= 1);
        store.stop();
    }
}

/// A bit in any of fjall's files, or one that is cut: the store opens, and what cannot be read is told.
#[test]
fn damage_at_rest_never_keeps_the_store_from_opening() {
    let dir = tempfile::tempdir().expect("a directory");
    let records = 400;
    written(dir.path(), records);
    let (store, ..) = started(dir.path());
    while store.stats().rest_bytes == 0 {
        std::thread::yield_now();
    }
    store.stop();
    let mut files = Vec::new();
    files_below(&dir.path().join("rest"), &mut files);
    files.sort();
    let mut random = StdRng::seed_from_u64(5);
    let mut noticed = 0;
    for file in files {
        let length = std::fs::metadata(&file).expect("a file").len() as usize;
        if length == 0 {
            continue;
        }
        for round in 0..3 {
            let copy = tempfile::tempdir().expect("a directory");
            copy_all(dir.path(), copy.path());
            let damaged = copy.path().join(file.strip_prefix(dir.path()).expect("below it"));
            let at = random.random_range(0..length);
            change(&damaged, |bytes| match round {
                0 => bytes.truncate(at),
                _ => bytes[at] ^= 1 << random.random_range(0..8),
            });
            let what = format!("{} at {at}, round {round}", file.display());
            for start in 0..2 {
                let (store, recovered, _) = started(copy.path());
                let all_there = OWNERS
                    .iter()
                    .all(|owner| is_readable(&store, &recovered, *owner, records));
                assert!(all_there || recovered.unknown_damage, "{what}, start {start}");
                assert!(
                    !recovered.unknown_damage || all_damaged(&recovered),
                    "{what}, start {start}"
                );
                noticed += u32::from(recovered.unknown_damage);
                kill(&store);
            }
        }
    }
    assert!(noticed > 0);
}

/// Whether all is there that was put, or a read says that it cannot be read.
fn is_readable(store: &Store, recovered: &Recovered, owner: OwnerId, records: u64) -> bool {
    let entries = &recovered.owners[&owner].entries;
    let wanted: Vec<_> = entries.iter().map(|entry| (entry.seq, entry.loc)).collect();
    if wanted.len() as u64 != records {
        return false;
    }
    match store.read(owner, &wanted) {
        Ok(bodies) => bodies
            .iter()
            .zip(0..)
            .all(|(found, seq)| found.as_deref() == Some(&body(owner.0, seq, SIZE)[..])),
        Err(_) => true,
    }
}

fn files_below(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => files_below(&path, found),
            false => found.push(path),
        }
    }
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let path = entry.expect("an entry").path();
        let there = to.join(path.file_name().expect("a name"));
        match path.is_dir() {
            true => copy_all(&path, &there),
            false => drop(std::fs::copy(&path, there).expect("copied")),
        }
    }
}

#[test]
fn an_old_note_of_what_was_synced_costs_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    written(dir.path(), 10);
    let note = dir.path().join("log.synced");
    let old = std::fs::read(&note).expect("a note");
    written_more(dir.path(), 10, 300);
    // As after a crash of the machine, which had not written it out.
    std::fs::write(&note, old).expect("ours");
    let (store, recovered, _) = started(dir.path());
    assert!(!recovered.unknown_damage);
    for owner in OWNERS {
        let ledger = &recovered.owners[&owner];
        assert!(!ledger.damaged);
        assert!(ledger.entries.iter().map(|entry| entry.seq).eq(0..300));
    }
    store.stop();
}

/// The same store goes on to so many records of each owner.
fn written_more(dir: &Path, from: u64, to: u64) {
    let (store, _, told) = started(dir);
    for seq in from..to {
        OWNERS.into_iter().for_each(|owner| put(&store, owner, seq));
    }
    told.wait_durable(OWNERS[2], to - 1);
    kill(&store);
}

#[test]
fn what_another_version_knows_of_damage_is_not_forgotten() {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, _, told) = started(dir.path());
    store
        .batch(OwnerId::LOG)
        .mark(&[2_u64, 7, 1].map(u64::to_le_bytes).concat());
    put(&store, OWNERS[0], 0);
    told.wait_durable(OWNERS[0], 0);
    kill(&store);
    let refused = Store::open(dir.path(), options()).err().expect("refused").to_string();
    assert!(
        refused.contains("what is known of damage has format version 2, and this program reads only version 1"),
        "{refused}"
    );
}
