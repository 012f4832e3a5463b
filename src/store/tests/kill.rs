//! A process that is killed at any moment, and what the next one finds.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use super::model::{body, meta};
use crate::store::error::StoreError;
use crate::store::{Keep, OwnerId, Owners, Store, StoreOptions};

const OWNER: OwnerId = OwnerId(1);
/// The directory for the process that is going to be killed.
const DIRECTORY: &str = "WARREN_TEST_STORE";

fn options() -> StoreOptions {
    StoreOptions {
        segment_bytes: 32 * 1024,
        window_bytes: 2 * 32 * 1024,
        epoch_bytes: 128 * 1024,
    }
}

/// Prints what is reported, before anything else can happen.
struct Printer;

impl Owners for Printer {
    fn durable(&self, _: OwnerId, up_to_seq: u64) {
        let mut out = std::io::stderr().lock();
        writeln!(out, "durable {up_to_seq}").unwrap();
    }

    fn failed(&self, error: &StoreError) {
        panic!("{error}");
    }
}

/// The process that is killed: puts entries for ever, and removes all but every tenth again.
#[test]
#[ignore = "started and killed by the test below"]
fn a_process_to_be_killed() {
    let Some(dir) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let (store, recovered) = Store::open(Path::new(&dir), options()).unwrap();
    store.start(Arc::new(Printer));
    let first = recovered.owners.get(&OWNER).map_or(0, |ledger| ledger.next_seq);
    for seq in first.. {
        let bytes = body(OWNER.0, seq, 500);
        let mut batch = store.batch(OWNER);
        batch.put(seq, meta(OWNER.0, seq, 500), &[&bytes], Keep::Durable);
        if let Some(old) = seq.checked_sub(50).filter(|old| old % 10 != 0) {
            batch.remove(&[(old, old)]);
        }
        drop(batch);
        while store.pressure() || store.stats().pending_bytes > 16 * 1024 {
            std::thread::yield_now();
        }
    }
}

#[test]
fn what_a_killed_process_had_reported_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut reported = 0;
    for round in 0..6_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::kill::a_process_to_be_killed"])
            .args(["--ignored", "--nocapture"])
            .env(DIRECTORY, dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Killed after a different number of reports each time, the first time before any.
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        for line in lines.by_ref().take(round as usize * 40) {
            let line = line.unwrap();
            reported = line.strip_prefix("durable ").expect(&line).parse().unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines {
            // The last line may be cut.
            if let Some(seq) = line.unwrap().strip_prefix("durable ").and_then(|seq| seq.parse().ok()) {
                reported = reported.max(seq);
            }
        }

        let (store, recovered) = Store::open(dir.path(), options()).unwrap();
        assert!(!recovered.clean && !recovered.unknown_damage);
        if round > 0 {
            let ledger = &recovered.owners[&OWNER];
            assert!(!ledger.damaged && ledger.next_seq > reported);
            let kept = ledger.entries.iter().filter(|entry| entry.seq % 10 == 0);
            let kept: Vec<_> = kept.map(|entry| (entry.seq, entry.loc)).collect();
            assert!(kept.iter().map(|(seq, _)| *seq).eq((0..ledger.next_seq).step_by(10)));
            for ((seq, _), found) in kept.iter().zip(store.read(OWNER, &kept).unwrap()) {
                assert_eq!(found.as_deref(), Some(&body(OWNER.0, *seq, 500)[..]));
            }
        }
        store.stop();
    }
    assert!(reported > 200);
}
