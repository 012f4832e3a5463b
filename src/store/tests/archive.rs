//! Archives: against a model over crashes, and with files that are torn, missing, old or damaged.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;

use super::sim::SimDisk;
use crate::store::archive::{Archive, Archived, Archives, Seek, Span};
use crate::store::error::StoreError;
use crate::store::{Keep, OwnerId, Recovered, Store, StoreOptions};

const OWNER: OwnerId = OwnerId(0xa1);
/// Bytes of a segment: a few entries' worth of index each.
const SEGMENT: u64 = 300_000;

struct World {
    dir: TempDir,
    disk: SimDisk,
    archive: Arc<Archive>,
}

/// An entry of that number, which holds ten messages.
fn entry(number: u64) -> Archived {
    let mut meta = [0; 24];
    meta[..8].copy_from_slice(&number.to_le_bytes());
    meta[8] = 9;
    let len = number * 7919 % 40_000;
    Archived {
        seq: 2 * number + 1,
        meta,
        span: Span {
            first: number * 10,
            end: number * 10 + 10,
            newest: number * 1000,
        },
        body: vec![number as u8 | 1; len as usize].into(),
    }
}

fn entries(numbers: std::ops::Range<u64>) -> Vec<Archived> {
    numbers.map(entry).collect()
}

impl World {
    fn new() -> Self {
        let (dir, disk) = (tempfile::tempdir().expect("a directory"), SimDisk::default());
        let archive = Self::open(&dir, &disk);
        Self { dir, disk, archive }
    }

    fn open(dir: &TempDir, disk: &SimDisk) -> Arc<Archive> {
        let archives = Archives::open(dir.path().join("store.format"), disk, 77, 2);
        archives.expect("a directory").of(OWNER)
    }

    fn with(numbers: std::ops::Range<u64>) -> Self {
        let world = Self::new();
        for number in numbers {
            world.archive.append(&[entry(number)], SEGMENT).expect("written");
        }
        world
    }

    fn reopen(&mut self) {
        self.archive = Self::open(&self.dir, &self.disk);
    }

    fn has(&self, numbers: std::ops::Range<u64>) {
        assert!(!self.archive.is_damaged());
        let read = self
            .archive
            .entries(numbers.start, u64::MAX, usize::MAX)
            .expect("whole");
        assert!(
            read == entries(numbers.clone()),
            "{numbers:?} and not {} entries",
            read.len()
        );
        for number in numbers {
            let read = self.archive.entries(number, number + 1, 0).expect("whole");
            assert!(read == [entry(number)], "{number}");
            assert_eq!(self.archive.meta(number).expect("readable"), Some(entry(number).meta));
            self.finds(Seek::At(number * 10 + 3), number);
            self.finds(Seek::Since(number * 1000 - 1), number);
        }
    }

    /// What is looked for is found by going on from a place that is not far before it.
    fn finds(&self, seek: Seek, number: u64) {
        let from = self.archive.find(seek).expect("readable").expect("it is here");
        let skipped: u64 = entries(from..number).iter().map(|entry| entry.body.len() as u64).sum();
        assert!(
            from <= number && skipped < 150_000,
            "{seek:?} begins at {from}, {skipped} bytes before"
        );
    }

    fn file(&self, ending: &str, which: usize) -> String {
        let names = self.disk.names().into_iter();
        names.filter(|name| name.ends_with(ending)).nth(which).expect("a file")
    }
}

#[test]
fn what_was_put_is_found_by_its_number_what_it_holds_and_its_time() {
    let mut world = World::with(5..100);
    world.has(5..100);
    assert!(world.archive.segments() > 3);
    assert_eq!(world.archive.find(Seek::At(1000)).expect("readable"), None);
    assert_eq!(world.archive.find(Seek::Since(99_001)).expect("readable"), None);
    world.reopen();
    world.has(5..100);
    world.archive.append(&entries(100..140), SEGMENT).expect("written");
    world.has(5..140);
}

#[test]
fn files_go_when_all_that_is_in_them_does() {
    let mut world = World::with(1..100);
    let (bytes, files) = (world.archive.bytes(), world.disk.names().len());
    world.archive.purge(60).expect("purged");
    assert!(world.archive.bytes() < bytes / 2 && world.disk.names().len() < files);
    world.has(61..100);
    world.reopen();
    world.has(61..100);
    assert!(world.archive.entries(1, 2, 0).expect("readable").is_empty());
    // What was between is gone, and what is here with it.
    world.archive.append(&entries(200..210), SEGMENT).expect("written");
    world.has(200..210);
    world.archive.purge(209).expect("purged");
    assert_eq!((world.archive.ends(), world.disk.names().len()), (None, 0));
}

#[test]
fn an_index_that_is_missing_old_or_damaged_is_made_anew() {
    let mut world = World::with(1..100);
    world.disk.lose(&world.file(".index", 0));
    world.has(1..100);
    for at in [0, 20, 80, 120] {
        let name = world.file(".index", 1);
        world.disk.flip(&name, at);
        world.reopen();
        world.has(1..100);
    }
    // Of the newest segment.
    let last = world.archive.segments() - 1;
    let name = world.file(".index", last);
    world.disk.flip(&name, world.disk.bytes(&name).len() - 1);
    world.reopen();
    world.has(1..100);
    world.disk.lose(&world.file(".index", last));
    world.reopen();
    world.archive.append(&entries(100..130), SEGMENT).expect("written");
    world.has(1..130);
}

#[test]
fn a_damaged_record_is_told_and_the_others_are_read() {
    let mut world = World::with(1..60);
    let name = world.file(".segment", 1);
    let second = world.disk.bytes(&name);
    let number = u64::from_le_bytes(second[40..48].try_into().expect("8 bytes"));
    // In the body of the first record that is there.
    world.disk.flip(&name, 24 + 72 + 5);
    world.reopen();
    let read = world.archive.entries(number, number + 1, 0);
    assert!(matches!(read, Err(StoreError::Unreadable { .. })), "{read:?}");
    let before = world.archive.entries(1, number, usize::MAX).expect("whole");
    assert!(before == entries(1..number));
    let after = world.archive.entries(number + 1, 60, usize::MAX).expect("whole");
    assert!(after == entries(number + 1..60));
}

#[test]
fn a_segment_that_is_missing_or_has_no_beginning_is_damage() {
    for is_lost in [true, false] {
        let mut world = World::with(1..60);
        let name = world.file(".segment", 1);
        match is_lost {
            true => world.disk.lose(&name),
            false => world.disk.flip(&name, 3),
        }
        world.reopen();
        assert!(world.archive.is_damaged());
    }
}

#[test]
fn a_point_is_whole_or_the_one_before_or_none() {
    let mut world = World::new();
    assert_eq!(world.archive.point(), None);
    world.archive.set_point(b"first").expect("kept");
    for (operations, seed) in (0..6).flat_map(|operations| (0..5).map(move |seed| (operations, seed))) {
        world.disk.fail_after(operations);
        let is_kept = world.archive.set_point(b"second").is_ok();
        world.disk.crash(seed);
        world.reopen();
        let point = world.archive.point().expect("one of them");
        assert!(point == "second" || point == "first" && !is_kept, "{point:?}");
        world.archive.set_point(b"first").expect("kept");
    }
    world.disk.flip(&world.file(".point", 0), 5);
    assert_eq!(world.archive.point(), None);
}

#[test]
fn what_a_crash_tears_off_is_put_there_again() {
    for seed in 0..60 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut world = World::new();
        // What is certainly there, and what was tried.
        let (mut first, mut safe, mut tried) = (1, 1, 1);
        for _ in 0..12 {
            // As the log does: what is not known to be here is put again.
            let until = (safe + random.random_range(1..20)).max(tried);
            if random.random_range(0..3) == 0 {
                world.disk.fail_after(random.random_range(0..6));
            }
            tried = until;
            if world.archive.append(&entries(safe..until), SEGMENT).is_ok() {
                safe = until;
            }
            if random.random_range(0..4) == 0 && world.archive.purge(first + 3).is_ok() {
                first = (first + 4).min(safe);
            }
            world.disk.crash(random.random());
            world.reopen();
            assert!(!world.archive.is_damaged(), "seed {seed}");
            let next = world
                .archive
                .ends()
                .map(|(_, last)| u64::from_le_bytes(last[..8].try_into().expect("8")) + 1);
            let next = next.unwrap_or(first);
            assert!(
                (safe..=tried).contains(&next) || first == safe,
                "seed {seed}: {next}, not {safe}..={tried}"
            );
            safe = safe.max(next);
            if first < safe {
                world.has(first..safe);
            }
        }
    }
}

fn open(dir: &TempDir, disk: &SimDisk) -> (Store, Recovered) {
    let options = StoreOptions {
        segment_bytes: 64 * 1024,
        window_bytes: 1024 * 1024,
        epoch_bytes: 64 * 1024,
    };
    Store::open_on(dir.path(), options, Arc::new(disk.clone())).expect("a store")
}

/// Seqs that the log and fjall have.
fn in_log(recovered: &Recovered) -> Vec<u64> {
    let ledger = recovered.owners.get(&OWNER);
    ledger
        .into_iter()
        .flat_map(|ledger| ledger.entries.iter().map(|entry| entry.seq))
        .collect()
}

/// Entries go into the log.
fn put(store: &Store, numbers: std::ops::Range<u64>) {
    let mut batch = store.batch(OWNER);
    for entry in entries(numbers) {
        batch.put(entry.seq, entry.meta, &[&entry.body], Keep::Durable);
    }
    let end = batch.commit();
    store.0.wal.wait_synced(end).expect("synced");
}

fn start(store: &Store) {
    struct Nobody;
    impl crate::store::Owners for Nobody {
        fn durable(&self, _: OwnerId, _: u64) {}
        fn failed(&self, _: &StoreError) {}
    }
    store.start(Arc::new(Nobody));
}

#[test]
fn what_is_in_the_log_and_in_a_file_is_there_once() {
    let (dir, disk) = (tempfile::tempdir().expect("a directory"), SimDisk::default());
    let (store, _) = open(&dir, &disk);
    start(&store);
    put(&store, 1..9);
    let archive = store.archive(OWNER);
    store
        .put_away(&archive, &entries(1..5), SEGMENT, || true)
        .expect("written");
    // The process ends before the log hears of it.
    store.stop();
    let (store, recovered) = open(&dir, &disk);
    assert_eq!(in_log(&recovered), [11, 13, 15, 17]);
    start(&store);
    let archive = store.archive(OWNER);
    assert!(archive.entries(1, 100, usize::MAX).expect("whole") == entries(1..5));
    store
        .put_away(&archive, &entries(5..7), SEGMENT, || true)
        .expect("written");
    store.archived(OWNER, 13);
    store.stop();
    let (store, recovered) = open(&dir, &disk);
    assert_eq!(in_log(&recovered), [15, 17]);
    assert!(store.archive(OWNER).entries(1, 100, usize::MAX).expect("whole") == entries(1..7));
    let format = std::fs::read_to_string(dir.path().join("store.format")).expect("a format");
    assert!(format.starts_with("warren store 3 "), "{format}");
    store.stop();
}

#[test]
fn the_files_of_an_owner_that_is_forgotten_go_and_no_others() {
    let (dir, disk) = (tempfile::tempdir().expect("a directory"), SimDisk::default());
    let (store, _) = open(&dir, &disk);
    start(&store);
    let other = OwnerId(0xb2);
    for owner in [OWNER, other] {
        store.batch(owner).mark(b"known");
        store
            .put_away(&store.archive(owner), &entries(1..5), SEGMENT, || true)
            .expect("written");
        store.archive(owner).set_point(b"here").expect("kept");
    }
    store.forget(OWNER);
    store.stop();
    let (store, _) = open(&dir, &disk);
    let left: Vec<_> = disk
        .names()
        .into_iter()
        .filter(|name| name.starts_with("streams/"))
        .collect();
    assert!(
        left.iter().all(|name| name.contains("00b2")) && left.len() == 3,
        "{left:?}"
    );
    assert!(store.archive(other).entries(1, 100, usize::MAX).expect("whole") == entries(1..5));
    store.stop();
}

#[test]
fn a_full_disk_is_waited_for_and_a_broken_one_ends_the_store() {
    let (dir, disk) = (tempfile::tempdir().expect("a directory"), SimDisk::default());
    let (store, _) = open(&dir, &disk);
    start(&store);
    let archive = store.archive(OWNER);
    store
        .put_away(&archive, &entries(1..3), SEGMENT, || true)
        .expect("written");
    disk.fill(true);
    let waiting = std::thread::spawn({
        let (store, archive) = (store.clone(), Arc::clone(&archive));
        move || store.put_away(&archive, &entries(3..20), SEGMENT, || true)
    });
    while !store.lacks_space() {
        std::thread::yield_now();
    }
    disk.fill(false);
    waiting.join().expect("no panic").expect("written at last");
    // Others of the store may have met the full disk as well, and look again a moment later.
    while store.lacks_space() {
        std::thread::yield_now();
    }
    assert!(!store.failed());
    assert!(archive.entries(1, 100, usize::MAX).expect("whole") == entries(1..20));

    disk.fill(true);
    let gives_up = store.put_away(&archive, &entries(20..40), SEGMENT, || false);
    assert!(matches!(gives_up, Err(StoreError::Stopped)) && !store.failed());
    disk.fill(false);
    disk.fail_after(0);
    let broken = store.put_away(&archive, &entries(20..40), SEGMENT, || true);
    assert!(matches!(broken, Err(StoreError::Io { .. })) && store.failed());
    store.stop();
}
