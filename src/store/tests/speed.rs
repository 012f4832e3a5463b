//! How fast it is. Not a test: run with
//! `cargo test --release --lib store::tests::speed -- --ignored --nocapture`.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::owners::TestOwners;
use crate::store::rest::Rest;
use crate::store::{Keep, OwnerId, Store, StoreOptions};

const OWNER: OwnerId = OwnerId(1);
const BATCH: u64 = 256;

fn started(dir: &Path) -> (Store, Arc<TestOwners>) {
    let (store, _) = Store::open(dir, StoreOptions::default()).unwrap();
    let told = Arc::new(TestOwners::default());
    store.start(Arc::clone(&told) as _);
    (store, told)
}

fn put_batch(store: &Store, first: u64, count: u64, body: &[u8]) {
    let mut batch = store.batch(OWNER);
    for seq in first..first + count {
        batch.put(seq, [0; 24], &[&body[..40], &body[40..]], Keep::Durable);
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Puts batches with at most `depth` of them not durable, for a while; entries stay when `stay`.
fn load(name: &str, batch: u64, depth: u64, stay: bool) {
    let dir = tempfile::tempdir_in(".").unwrap();
    let (store, told) = started(dir.path());
    let body = vec![7; 1024];
    let (begun, mut next, mut times) = (Instant::now(), 0, Vec::new());
    let mut put_at = std::collections::VecDeque::new();
    while begun.elapsed() < Duration::from_secs(4) {
        put_batch(&store, next, batch, &body);
        put_at.push_back((next + batch - 1, Instant::now()));
        next += batch;
        while put_at.len() as u64 >= depth
            && let Some((last, at)) = put_at.pop_front()
        {
            told.wait_durable(OWNER, last);
            times.push(at.elapsed());
            if !stay {
                store.batch(OWNER).remove(&[(last + 1 - batch, last)]);
            }
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    let stats = store.stats();
    println!(
        "{name}: {:.0} entries/s, p50 of the commit {:?}, {} syncs, {:.2} bytes written for each of body, {} segments, {} MiB at rest",
        next as f64 / seconds,
        median(&mut times),
        stats.syncs,
        stats.log_bytes_written as f64 / (next * 1024) as f64,
        stats.segments,
        stats.rest_bytes >> 20,
    );
    store.stop();
}

/// What one write and one `fdatasync` cost here, to compare with.
fn bare_sync() {
    use std::os::unix::fs::FileExt;
    let file = tempfile::tempfile_in(".").unwrap();
    file.write_all_at(&vec![0; 8 << 20], 0).unwrap();
    file.sync_all().unwrap();
    let mut times: Vec<_> = (0..500)
        .map(|at| {
            let begun = Instant::now();
            file.write_all_at(&[1; 1112], at * 1112).unwrap();
            file.sync_data().unwrap();
            begun.elapsed()
        })
        .collect();
    println!("one write and fdatasync: p50 {:?}", median(&mut times));
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
#[ignore = "a measurement"]
fn putting() {
    bare_sync();
    load("one entry at a time", 1, 1, false);
    load("batches of 256, one at a time", BATCH, 1, false);
    load("batches of 256, 16 deep", BATCH, 16, false);
    load("batches of 256, 16 deep, nothing removed", BATCH, 16, true);
}

#[test]
#[ignore = "a measurement"]
fn opening() {
    let dir = tempfile::tempdir_in(".").unwrap();
    let before = resident_kib();
    let begun = Instant::now();
    let (store, _) = Store::open(dir.path(), StoreOptions::default()).unwrap();
    println!(
        "empty: opened in {:?}, {} KiB",
        begun.elapsed(),
        resident_kib() - before
    );
    let begun = Instant::now();
    let told = Arc::new(TestOwners::default());
    store.start(Arc::clone(&told) as _);
    put_batch(&store, 0, 1, &[0; 1024]);
    told.wait_durable(OWNER, 0);
    println!(
        "started, first entry durable in {:?}, {} KiB",
        begun.elapsed(),
        resident_kib() - before
    );
    // Past the window, so that something comes to rest.
    for first in (1..800_000).step_by(BATCH as usize) {
        while store.pressure() {
            std::thread::yield_now();
        }
        put_batch(&store, first, BATCH, &[0; 1024]);
    }
    store.stop();
    drop(store);
    let (store, told) = reopened(dir.path());
    store.batch(OWNER).remove(&[(0, u64::MAX)]);
    // So many that the window moves past everything that was removed.
    for first in (800_001..1_400_000).step_by(BATCH as usize) {
        while store.pressure() {
            std::thread::yield_now();
        }
        put_batch(&store, first, BATCH, &[0; 1024]);
        store.batch(OWNER).remove(&[(first, first + BATCH - 1)]);
    }
    put_batch(&store, 2_000_000, 1, &[0; 1024]);
    told.wait_durable(OWNER, 2_000_000);
    store.stop();
    drop(store);
    reopened(dir.path()).0.stop();
}

/// Opens what is there, tells how long that took and what it cost in memory, and starts it.
fn reopened(dir: &Path) -> (Store, Arc<TestOwners>) {
    let begun = Instant::now();
    Rest::at(&dir.join("rest"), 1).unwrap().close();
    println!("what rests: opened and closed in {:?}", begun.elapsed());
    let before = resident_kib();
    let begun = Instant::now();
    let (store, recovered) = Store::open(dir, StoreOptions::default()).unwrap();
    let took = begun.elapsed();
    println!(
        "{} entries, {} MiB at rest, {} segments: opened in {took:?}, {} KiB more",
        recovered.owners[&OWNER].entries.len(),
        store.stats().rest_bytes >> 20,
        store.stats().segments,
        resident_kib() as i64 - before as i64
    );
    let told = Arc::new(TestOwners::default());
    store.start(Arc::clone(&told) as _);
    (store, told)
}

#[test]
#[ignore = "a measurement"]
fn memory_of_the_index() {
    use crate::store::index::Index;
    let measure = |name: &str, step: u64, segments: u64| {
        let before = resident_kib();
        let mut index = Index::default();
        let living = 1_000_000;
        for at in 0..living * step {
            index.put(OWNER, at, Keep::Durable, (at * segments / (living * step)) as u32);
            if step > 1 && at % step != 0 {
                index.remove(OWNER, at, at);
            }
        }
        let kib = resident_kib().saturating_sub(before);
        println!(
            "{name}: {} bytes for each living entry",
            kib as f64 * 1024.0 / index.living(OWNER) as f64
        );
        // Freeing it is not what is measured, and the next would get its memory.
        Box::leak(Box::new(index));
    };
    measure("one run", 1, 16);
    measure("every second one lives", 2, 16);
}
