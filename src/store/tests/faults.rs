//! A disk that fails, fills up, or gives back something else than was written.

use std::path::Path;
use std::sync::Arc;

use futures_lite::future::block_on;

use super::model::{body, meta};
use super::owners::TestOwners;
use super::sim::SimDisk;
use crate::store::error::StoreError;
use crate::store::frame::{HEADER, Header, Kind, Seal};
use crate::store::segments::log_name;
use crate::store::wal::Writer;
use crate::store::{Keep, Loc, OwnerId, Recovered, Store, StoreOptions};

const SEGMENT: u64 = 4096;
const SIZE: usize = 100;

fn open(dir: &Path, disk: &SimDisk) -> (Store, Recovered) {
    let options = StoreOptions {
        segment_bytes: SEGMENT,
        window_bytes: 64 * SEGMENT,
        epoch_bytes: 16 * SEGMENT,
    };
    Store::open_on(dir, options, Arc::new(disk.clone())).unwrap()
}

fn put(store: &Store, owner: u64, seq: u64) -> Loc {
    let bytes = body(owner, seq, SIZE);
    let mut batch = store.batch(OwnerId(owner));
    batch.put(seq, meta(owner, seq, SIZE), &[&bytes], Keep::Durable)
}

/// Seqs that survived of this owner, all of them readable.
fn seqs(store: &Store, recovered: &Recovered, owner: u64) -> Vec<u64> {
    let entries = &recovered.owners[&OwnerId(owner)].entries;
    let wanted: Vec<_> = entries.iter().map(|entry| (entry.seq, entry.loc)).collect();
    let bodies = store.read(OwnerId(owner), &wanted).unwrap();
    for ((seq, _), found) in wanted.iter().zip(bodies) {
        assert_eq!(found.as_deref(), Some(&body(owner, *seq, SIZE)[..]));
    }
    wanted.into_iter().map(|(seq, _)| seq).collect()
}

/// After the fault nothing is reported any more, whoever waits is told, and after a crash
/// everything reported before is there.
fn survives(fault: impl Fn(&SimDisk), seed: u64) {
    let dir = tempfile::tempdir().unwrap();
    let (disk, told) = (SimDisk::default(), Arc::new(TestOwners::default()));
    let (store, _) = open(dir.path(), &disk);
    store.start(Arc::clone(&told) as _);
    for seq in 0..20 {
        put(&store, 1, seq);
    }
    told.wait_durable(OwnerId(1), 19);
    let safe = store.end();
    block_on(store.synced(safe)).unwrap();
    fault(&disk);
    let mut next = 20;
    while !store.failed() {
        put(&store, 1, next);
        next += 1;
        std::thread::yield_now();
    }
    told.wait_failed();
    let up_to = told.durable_up_to(OwnerId(1)).unwrap();
    // Nobody waits for ever, and what was safe stays safe.
    let unsafe_end = store.batch(OwnerId(1)).commit();
    assert!(block_on(store.synced(unsafe_end)).is_err());
    assert!(block_on(store.synced(safe)).is_ok());
    let loc = put(&store, 1, next);
    assert!(store.read(OwnerId(1), &[(next, loc)]).is_err());
    block_on(store.drained());
    store.stop();
    assert_eq!(told.durable_up_to(OwnerId(1)), Some(up_to));

    disk.crash(seed);
    let (store, recovered) = open(dir.path(), &disk);
    assert!(!recovered.clean && !recovered.unknown_damage);
    let survived = seqs(&store, &recovered, 1);
    assert!(survived.len() as u64 > up_to && survived.len() as u64 <= next);
    assert!(survived.into_iter().eq(0..recovered.owners[&OwnerId(1)].next_seq));
    store.stop();
}

#[test]
fn after_a_failed_operation_nothing_is_reported_and_nothing_reported_is_lost() {
    for operations in 0..12 {
        survives(|disk| disk.fail_after(operations), operations);
    }
}

#[test]
fn after_a_failed_sync_nothing_is_reported_and_nothing_reported_is_lost() {
    for seed in 0..6 {
        survives(SimDisk::fail_syncs, seed);
    }
}

/// Entries of more than the two segments that may be there already.
const MORE_THAN_FITS: u64 = 120;

#[test]
fn a_full_disk_is_waited_for_and_is_no_fault() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, told) = (SimDisk::default(), Arc::new(TestOwners::default()));
    let (store, _) = open(dir.path(), &disk);
    store.start(Arc::clone(&told) as _);
    put(&store, 1, 0);
    told.wait_durable(OwnerId(1), 0);
    for round in 0..3 {
        let first = 1 + round * MORE_THAN_FITS;
        disk.fill(true);
        for seq in first..first + MORE_THAN_FITS {
            put(&store, 1, seq);
        }
        told.wait_space(&store, true);
        assert!(!store.failed());
        assert!(told.durable_up_to(OwnerId(1)) < Some(first + MORE_THAN_FITS - 1));
        disk.fill(false);
        told.wait_durable(OwnerId(1), first + MORE_THAN_FITS - 1);
        told.wait_space(&store, false);
    }
    store.stop();
    assert!(!store.failed());
    let (store, recovered) = open(dir.path(), &disk);
    assert!(recovered.clean);
    assert!(seqs(&store, &recovered, 1).into_iter().eq(0..=3 * MORE_THAN_FITS));
    store.stop();
}

#[test]
fn the_alarm_comes_while_a_segment_is_left_to_write_to() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, told) = (SimDisk::default(), Arc::new(TestOwners::default()));
    let (store, _) = open(dir.path(), &disk);
    store.start(Arc::clone(&told) as _);
    put(&store, 1, 0);
    told.wait_durable(OwnerId(1), 0);
    disk.wait_for_names(2);
    disk.fill(true);
    let mut next = 1;
    while store.stats().segments < 2 {
        put(&store, 1, next);
        told.wait_durable(OwnerId(1), next);
        next += 1;
    }
    // The next segment is made by a thread of its own.
    told.wait_space(&store, true);
    // Half a segment of what must be written all the same.
    for seq in next..next + SEGMENT / 2 / 200 {
        put(&store, 1, seq);
        told.wait_durable(OwnerId(1), seq);
    }
    disk.fill(false);
    told.wait_space(&store, false);
    store.stop();
}

#[test]
fn a_store_that_waits_for_space_stops_and_opens_on_a_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    let disk = SimDisk::default();
    for expected in [0, 1, 1] {
        let told = Arc::new(TestOwners::default());
        // A small window, so that checkpoints wait too.
        let options = StoreOptions {
            segment_bytes: SEGMENT,
            window_bytes: SEGMENT,
            epoch_bytes: 16 * SEGMENT,
        };
        let (store, recovered) = Store::open_on(dir.path(), options, Arc::new(disk.clone())).unwrap();
        assert_eq!(recovered.owners.len(), expected);
        if expected == 0 {
            put(&store, 1, 0);
            store.0.wal.write(&mut store.0.wal.writer.lock()).unwrap();
        }
        disk.fill(true);
        store.start(Arc::clone(&told) as _);
        let next = recovered.owners.get(&OwnerId(1)).map_or(1, |owner| owner.next_seq);
        for seq in next..next + MORE_THAN_FITS {
            put(&store, 1, seq);
        }
        told.wait_space(&store, true);
        // It cannot write that it stops in order.
        let end = store.batch(OwnerId(1)).commit();
        let (tell, told) = std::sync::mpsc::channel();
        let stopping = store.clone();
        std::thread::spawn(move || {
            stopping.stop();
            tell.send(()).unwrap();
        });
        told.recv_timeout(std::time::Duration::from_secs(60)).expect("it stops");
        assert!(!store.failed());
        assert!(matches!(block_on(store.synced(end)), Err(StoreError::Stopped)));
    }
    disk.fill(false);
    let (store, recovered) = open(dir.path(), &disk);
    assert!(!recovered.unknown_damage && !recovered.owners[&OwnerId(1)].damaged);
    store.stop();
}

/// After a failed sync what was to be synced can still be read, from memory: what a store that is
/// opened again says is there must be on the disk.
#[test]
fn what_is_found_after_a_failed_sync_is_on_the_disk_from_then_on() {
    for seed in 0..6 {
        let dir = tempfile::tempdir().unwrap();
        let (disk, told) = (SimDisk::default(), Arc::new(TestOwners::default()));
        let (store, _) = open(dir.path(), &disk);
        store.start(Arc::clone(&told) as _);
        for seq in 0..10 + seed * 7 {
            put(&store, 1, seq);
            told.wait_durable(OwnerId(1), seq);
        }
        disk.fail_syncs();
        for seq in 10 + seed * 7..20 + seed * 7 {
            put(&store, 1, seq);
        }
        told.wait_failed();
        store.stop();
        disk.end_process();
        let (store, recovered) = open(dir.path(), &disk);
        let found = seqs(&store, &recovered, 1);
        assert!(
            found.len() as u64 > 10 + seed * 7,
            "something was written before the sync"
        );
        store.stop();
        disk.crash(seed);
        let (store, recovered) = open(dir.path(), &disk);
        assert_eq!(seqs(&store, &recovered, 1), found);
        store.stop();
    }
}

/// Memory that stands in for a small disk, where that may be mounted.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn at(path: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(path).unwrap();
        let mut mount = std::process::Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(path);
        match mount.output() {
            Ok(output) if output.status.success() => Some(Self(path.to_owned())),
            failed => {
                println!("skipped: no small disk (to be root or CAP_SYS_ADMIN is needed): {failed:?}");
                None
            }
        }
    }

    fn grow(&self, size: &str) {
        let mut mount = std::process::Command::new("mount");
        mount.args(["-o", &format!("remount,size={size}")]).arg(&self.0);
        assert!(mount.status().unwrap().success());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// The log has space (it is on another disk), and fjall has none.
#[test]
fn a_checkpoint_without_space_is_tried_again_until_there_is_some() {
    let dir = tempfile::tempdir().unwrap();
    let Some(small) = Mounted::at(&dir.path().join("small"), "2m") else {
        return;
    };
    let (disk, told) = (SimDisk::default(), Arc::new(TestOwners::default()));
    let options = StoreOptions {
        segment_bytes: 64 * 1024,
        window_bytes: 2 * 64 * 1024,
        epoch_bytes: 512 * 1024,
    };
    let opened = || Store::open_on(&small.0, options.clone(), Arc::new(disk.clone())).unwrap();
    let (store, _) = opened();
    store.start(Arc::clone(&told) as _);
    let first = put(&store, 1, 0);
    let mut next = 1;
    let mut put_more = |count| {
        for _ in 0..count {
            put(&store, 1, next);
            told.wait_durable(OwnerId(1), next);
            next += 1;
        }
    };
    while !store.lacks_space() {
        put_more(100);
    }
    assert!(!store.failed());
    // What is at rest can be read meanwhile.
    let read = store.read(OwnerId(1), &[(0, first)]).unwrap();
    assert_eq!(read[0].as_deref(), Some(&body(1, 0, SIZE)[..]));
    small.grow("64m");
    told.wait_space(&store, false);
    put_more(5_000);
    store.stop();
    assert!(!store.failed());
    drop(store);
    let (store, recovered) = opened();
    assert!(recovered.clean && !recovered.unknown_damage);
    assert!(seqs(&store, &recovered, 1).into_iter().eq(0..next));
    store.stop();
    drop(store);
}

/// A log on a simulated disk, written by the test, one write for each entry: entries of owner 1
/// and 2 in turn.
struct Written {
    dir: tempfile::TempDir,
    disk: SimDisk,
    locs: Vec<Loc>,
    store_id: u64,
}

impl Written {
    fn new(entries: u64) -> Self {
        let (dir, disk) = (tempfile::tempdir().unwrap(), SimDisk::default());
        let (store, _) = open(dir.path(), &disk);
        let mut writer = Writer::default();
        let locs = (0..entries).map(|at| {
            let loc = put(&store, 1 + at % 2, at / 2);
            store.0.wal.write(&mut writer).unwrap();
            loc
        });
        let locs = locs.collect();
        store.stop();
        let text = std::fs::read_to_string(dir.path().join("store.format")).unwrap();
        let store_id = u64::from_str_radix(text.trim().rsplit(' ').next().unwrap(), 16).unwrap();
        Self {
            dir,
            disk,
            locs,
            store_id,
        }
    }

    /// Damages a byte of the record of this entry.
    fn flip(&self, entry: usize, byte: usize) {
        let loc = self.locs[entry];
        self.disk.flip(&log_name(loc.segment()), loc.offset() as usize + byte);
    }

    fn reopened(&self) -> (Store, Recovered) {
        open(self.dir.path(), &self.disk)
    }
}

#[test]
fn a_damaged_body_is_reported_for_its_owner_and_all_else_is_there() {
    // In the newest segment, and in one before it.
    for entries in [20, 200] {
        let log = Written::new(entries);
        log.flip(6, HEADER + 50);
        for _ in 0..2 {
            let (store, recovered) = log.reopened();
            assert!(!recovered.unknown_damage && !recovered.clean);
            assert!(recovered.owners[&OwnerId(1)].damaged);
            assert!(!recovered.owners[&OwnerId(2)].damaged);
            let expected: Vec<_> = (0..entries / 2).filter(|seq| *seq != 3).collect();
            assert_eq!(seqs(&store, &recovered, 1), expected);
            assert!(seqs(&store, &recovered, 2).into_iter().eq(0..entries / 2));
            store.stop();
        }
    }
}

#[test]
fn a_wrong_bit_in_a_header_is_put_right_for_good() {
    for entries in [20, 200] {
        let log = Written::new(entries);
        let loc = log.locs[6];
        let before = log.disk.bytes(&log_name(loc.segment()));
        log.flip(6, 17);
        let (store, recovered) = log.reopened();
        assert!(!recovered.unknown_damage && !recovered.owners[&OwnerId(1)].damaged);
        assert!(seqs(&store, &recovered, 1).into_iter().eq(0..entries / 2));
        let header = loc.offset() as usize..loc.offset() as usize + HEADER;
        assert_eq!(log.disk.bytes(&log_name(loc.segment()))[header.clone()], before[header]);
        store.stop();
    }
}

#[test]
fn a_damaged_header_is_unknown_damage_and_all_else_is_there() {
    for entries in [20, 200] {
        let log = Written::new(entries);
        log.flip(6, 17);
        log.flip(6, 9);
        let (store, recovered) = log.reopened();
        assert!(recovered.unknown_damage);
        let expected: Vec<_> = (0..entries / 2).filter(|seq| *seq != 3).collect();
        assert_eq!(seqs(&store, &recovered, 1), expected);
        assert!(seqs(&store, &recovered, 2).into_iter().eq(0..entries / 2));
        store.stop();
    }
}

#[test]
fn what_lies_behind_damage_moves_to_rest_with_its_segment() {
    for byte in [17, HEADER + 50] {
        let log = Written::new(200);
        log.flip(6, byte);
        log.flip(6, byte - 8);
        let options = StoreOptions {
            segment_bytes: SEGMENT,
            window_bytes: SEGMENT,
            epoch_bytes: 16 * SEGMENT,
        };
        let (store, _) = Store::open_on(log.dir.path(), options, Arc::new(log.disk.clone())).unwrap();
        let mut writer = Writer::default();
        put(&store, 3, 0);
        store.0.wal.write(&mut writer).unwrap();
        while let Some(plan) = store.0.plan(false).unwrap() {
            store.0.wal.write(&mut writer).unwrap();
            store.0.carry_out(&plan).unwrap();
        }
        assert!(!log.disk.names().contains(&log_name(1)));
        store.stop();
        let (store, recovered) = log.reopened();
        let expected: Vec<_> = (0..100).filter(|seq| *seq != 3).collect();
        assert_eq!(seqs(&store, &recovered, 1), expected);
        assert!(seqs(&store, &recovered, 2).into_iter().eq(0..100));
        store.stop();
    }
}

#[test]
fn a_torn_tail_is_cut_and_stays_cut() {
    let log = Written::new(20);
    // The last record is of owner 2.
    log.flip(19, HEADER + 50);
    for _ in 0..2 {
        let (store, recovered) = log.reopened();
        assert!(!recovered.unknown_damage);
        assert!(recovered.owners.values().all(|ledger| !ledger.damaged));
        assert!(seqs(&store, &recovered, 1).into_iter().eq(0..10));
        assert!(seqs(&store, &recovered, 2).into_iter().eq(0..9));
        store.stop();
    }
    // Whole again, it must not come back: the log ends before it for good.
    log.flip(19, HEADER + 50);
    let (store, recovered) = log.reopened();
    assert!(seqs(&store, &recovered, 2).into_iter().eq(0..9));
    let last = log.locs[19];
    let bytes = log.disk.bytes(&log_name(last.segment()));
    let header = Header::decode(&bytes[last.offset() as usize..], Seal::of(log.store_id, last.segment()));
    assert_ne!(header.map(|header| header.kind), Some(Kind::Put));
    store.stop();
}

#[test]
fn a_missing_segment_is_noticed() {
    let log = Written::new(200);
    log.disk.lose(&log_name(log.locs[100].segment()));
    let (store, recovered) = log.reopened();
    assert!(recovered.unknown_damage);
    let survived = seqs(&store, &recovered, 1);
    assert!(survived.len() < 100 && survived.first() == Some(&0) && survived.last() == Some(&99));
    store.stop();
}

/// A store of owners of which one has an entry in a place that the disk cannot read any more.
fn with_a_bad_place(segments: u64, which: u64) -> (tempfile::TempDir, SimDisk, u64) {
    let dir = tempfile::tempdir().unwrap();
    let (disk, told) = (SimDisk::default(), Arc::new(TestOwners::default()));
    let (store, _) = open(dir.path(), &disk);
    store.start(Arc::clone(&told) as _);
    let entries = segments * SEGMENT / (2 * SIZE as u64);
    for seq in 0..entries {
        for owner in 1..=2 {
            put(&store, owner, seq);
        }
        if seq == which {
            let text = *BAD;
            store
                .batch(OwnerId(3))
                .put(seq, meta(3, seq, BAD.len()), &[&text], Keep::Durable);
        }
    }
    told.wait_durable(OwnerId(2), entries - 1);
    store.0.wal.fail(StoreError::Stopped);
    store.stop();
    disk.end_process();
    disk.cannot_read(Some(BAD));
    (dir, disk, entries)
}

/// A body that lies where the disk cannot read.
const BAD: &[u8; 20] = b"in the place that is";

fn open_with_others(dir: &Path, disk: &SimDisk) -> (Store, Recovered) {
    let options = StoreOptions {
        segment_bytes: SEGMENT,
        window_bytes: 2 * SEGMENT,
        epoch_bytes: 16 * SEGMENT,
    };
    Store::open_as(dir, options, Arc::new(disk.clone()), true).unwrap()
}

#[test]
fn a_store_that_nobody_else_has_does_not_open_where_the_disk_cannot_read_it() {
    let (dir, disk, entries) = with_a_bad_place(4, 7);
    let options = StoreOptions {
        segment_bytes: SEGMENT,
        ..StoreOptions::default()
    };
    let opened = Store::open_on(dir.path(), options, Arc::new(disk.clone()));
    let error = opened.map(|_| ()).expect_err("it may be readable again");
    assert!(error.is_of_disk(), "{error}");
    // Nothing was thrown away.
    disk.cannot_read(None);
    let (store, recovered) = open(dir.path(), &disk);
    assert!(seqs(&store, &recovered, 1).into_iter().eq(0..entries));
    assert!(recovered.owners.values().all(|owner| !owner.damaged));
    store.stop();
}

#[test]
fn what_the_disk_cannot_read_is_damage_where_others_have_it() {
    // In an old segment, and in the newest.
    for (segments, which) in [(4, 7), (1, 3), (4, 78)] {
        let (dir, disk, entries) = with_a_bad_place(segments, which);
        let (store, recovered) = open_with_others(dir.path(), &disk);
        let is_known = |owner| recovered.unknown_damage || recovered.owners[&OwnerId(owner)].damaged;
        assert!(is_known(3), "{segments} {which}");
        // What can be read is there.
        let read = &recovered.owners[&OwnerId(1)].entries;
        assert!(read.len() as u64 > entries / 4, "{segments} {which}: {}", read.len());
        // It goes on, over checkpoints of the segment too.
        let told = Arc::new(TestOwners::default());
        store.start(Arc::clone(&told) as _);
        let next = recovered.owners[&OwnerId(1)].next_seq.max(entries);
        for seq in next..next + 200 {
            put(&store, 1, seq);
            told.wait_durable(OwnerId(1), seq);
        }
        assert!(!store.failed(), "{segments} {which}");
        store.stop();
        disk.end_process();
        let (store, recovered) = open_with_others(dir.path(), &disk);
        assert!(
            recovered.unknown_damage || recovered.owners[&OwnerId(3)].damaged,
            "it stays known"
        );
        store.stop();
    }
}
