//! Streams over their groups: the group's log is the stream, and is cut at the head of a segment.

use std::time::Duration;

use super::cluster::within;
use super::nodes::Nodes;
use crate::journal::raft::Election;
use crate::stream::chunk::{self, Count};
use crate::stream::{Appended, Batch, Leader, Log, Piece, Retention};
use crate::types::{ByteSize, Timestamp};

/// Bytes of each message.
const BODY: usize = 10_000;
const RETENTION: Retention = Retention {
    max_age: None,
    max_bytes: Some(ByteSize(200_000)),
    segment: Some(ByteSize(50_000)),
};

async fn nodes(count: u64) -> Nodes<Log> {
    Nodes::new(count, |source| Log::over(source, RETENTION)).await
}

impl Nodes<Log> {
    /// Appends messages, each in a chunk of its own, by that node.
    async fn append(&self, at: u64, numbers: std::ops::Range<u64>) {
        let group = self.group(at);
        let mut leader = Leader::of(&group.machine(), group.leadership().term);
        for number in numbers {
            let mut data = Vec::new();
            let mut message = vec![1; BODY];
            message[..8].copy_from_slice(&number.to_be_bytes());
            chunk::write_message(&mut data, &message);
            let batch = Batch {
                writer: None,
                count: Count { entries: 1, records: 1 },
                filter: &[],
                data: &data,
            };
            let Appended::Record { record, .. } = leader.append(Timestamp(number), &batch) else {
                panic!("nothing to refuse");
            };
            group.propose(record).await.expect("applied");
        }
    }

    async fn has(&self, at: u64, next: u64) {
        within("a node to catch up", async {
            while self.group(at).machine().bounds().next < next {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// Drops what is too much, and waits until the group's log is short.
    async fn reclaim(&self, at: u64) {
        let group = self.group(at);
        assert_eq!(group.tend(|log| log.retain(Timestamp(0))), Some(true));
        group.reclaim_if_worth().await.expect("asked");
        within("the log to shrink", async {
            while group.log_bytes() > 500_000 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// All chunks that a node has.
    async fn read(&self, at: u64) -> Vec<Piece> {
        let mut pieces = Vec::<Piece>::new();
        let mut next = self.group(at).machine().bounds().first;
        while let Some(reader) = { self.group(at).machine().read_from(next, 100_000) } {
            let read = tokio::task::spawn_blocking(move || reader.read())
                .await
                .expect("no panic");
            pieces.extend(read.expect("all that is kept"));
            next = pieces.last().expect("something").chunk.end();
        }
        pieces
    }

    async fn has_messages(&self, at: u64, numbers: std::ops::Range<u64>) {
        let pieces = self.read(at).await;
        let firsts: Vec<_> = pieces.iter().map(|piece| piece.chunk.first()).collect();
        assert_eq!(firsts, numbers.collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_was_away_gets_what_is_kept_and_every_byte_of_it() {
    let mut nodes = nodes(3).await;
    nodes.append(1, 0..3).await;
    nodes.stop(3).await;
    nodes.append(1, 3..100).await;
    nodes.has(2, 100).await;
    for node in [1, 2] {
        nodes.reclaim(node).await;
    }
    let first = nodes.group(1).machine().bounds().first;
    assert!((75..90).contains(&first), "{first}");
    nodes.has_messages(1, first..100).await;

    nodes.start(3).await;
    nodes.group(1).heartbeat().await.expect("sent");
    nodes.append(1, 100..105).await;
    for node in [2, 3] {
        nodes.has(node, 105).await;
    }
    assert_eq!(nodes.group(3).machine().bounds().first, first);
    let read = nodes.read(1).await;
    assert!(read == nodes.read(3).await && read == nodes.read(2).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_start_a_stream_is_as_it_was_cut() {
    let mut nodes = nodes(1).await;
    nodes.append(1, 0..60).await;
    nodes.reclaim(1).await;
    let first = nodes.group(1).machine().bounds().first;
    nodes.append(1, 60..70).await;
    nodes.stop(1).await;
    nodes.start(1).await;
    nodes.group(1).elect(Election::LeaderSilent).await.expect("asked");
    nodes.leads(1).await;
    nodes.has(1, 70).await;
    nodes.has_messages(1, first..70).await;
    nodes.append(1, 70..80).await;
    nodes.reclaim(1).await;
    let later = nodes.group(1).machine().bounds().first;
    assert!(later > first);
    nodes.has_messages(1, later..80).await;
}

/// Nodes whose old chunks are in files of 100 kB.
async fn archiving(count: u64, retention: Retention) -> Nodes<Log> {
    let machine = move |source| Log::over(source, retention);
    Nodes::archiving(count, Some((60_000, 100_000)), machine).await
}

/// All is kept, in one segment.
const ALL: Retention = Retention {
    max_age: None,
    max_bytes: None,
    segment: None,
};

impl Nodes<Log> {
    fn archive(&self, at: u64) -> std::sync::Arc<crate::store::Archive> {
        self.up[&at].store.archive(super::cluster::LOG)
    }

    /// Waits until most of it is put away.
    async fn puts_away(&self, at: u64, bytes: u64) {
        within("old entries to be put away", async {
            while self.archive(at).bytes() < bytes {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    async fn restart_alone(&mut self) {
        self.stop(1).await;
        self.start(1).await;
        self.group(1).elect(Election::LeaderSilent).await.expect("asked");
        self.leads(1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn old_chunks_are_read_from_their_files_before_and_after_a_start() {
    let mut nodes = archiving(1, ALL).await;
    nodes.append(1, 0..100).await;
    nodes.puts_away(1, 800_000).await;
    nodes.has_messages(1, 0..100).await;
    assert!(nodes.archive(1).segments() >= 8, "{}", nodes.archive(1).segments());
    let at = |number| {
        nodes
            .group(1)
            .machine()
            .resolve(crate::stream::OffsetSpec::Time(Timestamp(number)))
    };
    assert_eq!([0, 1, 37, 88, 99, 100].map(at), [0, 1, 37, 88, 99, 100]);

    nodes.restart_alone().await;
    nodes.has(1, 100).await;
    nodes.has_messages(1, 0..100).await;
    nodes.append(1, 100..150).await;
    nodes.puts_away(1, 1_300_000).await;
    nodes.has_messages(1, 0..150).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_segments_drops_the_files_of_what_was_in_them() {
    let mut nodes = archiving(1, RETENTION).await;
    nodes.append(1, 0..100).await;
    nodes.puts_away(1, 800_000).await;
    nodes.reclaim(1).await;
    let first = nodes.group(1).machine().bounds().first;
    within("files to go", async {
        // Some entries before the head are kept.
        while nodes.archive(1).segments() > 5 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    nodes.has_messages(1, first..100).await;
    nodes.restart_alone().await;
    nodes.has(1, 100).await;
    nodes.has_messages(1, first..100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_member_is_filled_from_files_and_writes_its_own() {
    let mut nodes = archiving(3, ALL).await;
    nodes.append(1, 0..3).await;
    nodes.stop(3).await;
    nodes.append(1, 3..120).await;
    nodes.puts_away(1, 1_000_000).await;
    nodes.start(3).await;
    nodes.group(1).heartbeat().await.expect("sent");
    nodes.append(1, 120..121).await;
    nodes.has(3, 121).await;
    nodes.puts_away(3, 1_000_000).await;
    assert!(nodes.read(1).await == nodes.read(3).await);
    nodes.has_messages(3, 0..121).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_without_files_of_streams_gets_them_and_loses_nothing() {
    let mut nodes = Nodes::archiving(1, None, |source| Log::over(source, ALL)).await;
    // More than the log's window, so that some of it rests in fjall.
    nodes.append(1, 0..3_200).await;
    within("old entries to rest", async {
        while nodes.up[&1].store.stats().rest_bytes == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    nodes.stop(1).await;
    nodes.puts_old_entries_away();
    nodes.start(1).await;
    nodes.group(1).elect(Election::LeaderSilent).await.expect("asked");
    nodes.leads(1).await;
    nodes.append(1, 3_200..3_201).await;
    nodes.puts_away(1, 31_900_000).await;
    nodes.has_messages(1, 0..3_201).await;
    nodes.restart_alone().await;
    nodes.has(1, 3_201).await;
    nodes.has_messages(1, 0..3_201).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_goes_on_from_a_point_and_does_without() {
    let mut nodes = archiving(1, ALL).await;
    nodes.append(1, 0..100).await;
    nodes.puts_away(1, 900_000).await;
    nodes.stop(1).await;
    let directory = nodes.dirs[0].path().join("streams");
    let file = |ending: &str| {
        let listed = std::fs::read_dir(&directory).expect("files");
        let paths = listed.map(|file| file.expect("a file").path());
        let named = paths.filter(|path| path.extension().is_some_and(|extension| extension == ending));
        named.min().expect("a file")
    };
    // What is before the point is not read: nobody sees that it is damaged before somebody asks for it.
    let segment = file("segment");
    let whole = std::fs::read(&segment).expect("a segment");
    let mut damaged = whole.clone();
    damaged[5_000] ^= 1;
    std::fs::write(&segment, damaged).expect("ours");
    nodes.start(1).await;
    nodes.has(1, 100).await;
    let reader = nodes.group(1).machine().read_from(0, 1).expect("something");
    let read = tokio::task::spawn_blocking(move || reader.read())
        .await
        .expect("no panic");
    assert!(read.is_err() && nodes.group(1).has_lost());
    nodes.stop(1).await;

    std::fs::write(&segment, whole).expect("ours");
    std::fs::remove_file(file("point")).expect("ours");
    nodes.start(1).await;
    nodes.has(1, 100).await;
    nodes.has_messages(1, 0..100).await;
}

fn resident_mib() -> f64 {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: f64 = pages
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .expect("pages");
    pages * 4096.0 / 1048576.0
}

/// Chunks of 100 messages of so many bytes; returns how long it took.
async fn load(group: &crate::journal::raft::Group<Log>, leader: &mut Leader, chunks: u64, bytes: usize) -> Duration {
    const ROOM: u32 = 2_000;
    let begun = std::time::Instant::now();
    let room = std::sync::Arc::new(tokio::sync::Semaphore::new(ROOM as usize));
    let mut data = Vec::new();
    (0..100).for_each(|_| chunk::write_message(&mut data, &vec![7; bytes]));
    for number in 0..chunks {
        let batch = Batch {
            writer: None,
            count: Count {
                entries: 100,
                records: 100,
            },
            filter: &[],
            data: &data,
        };
        let Appended::Record { record, .. } = leader.append(Timestamp(number), &batch) else {
            panic!("nothing to refuse");
        };
        let permit = room.clone().acquire_owned().await.expect("open");
        group.submit_in(leader.term(), record, move |applied| {
            assert!(applied.is_ok());
            drop(permit);
        });
    }
    drop(room.acquire_many(ROOM).await.expect("all are applied"));
    begun.elapsed()
}

/// Reads all there is from an offset on, and says in how many goes.
async fn read_on(group: &crate::journal::raft::Group<Log>, mut at: u64) -> (u64, usize) {
    let mut reads = 0;
    while let Some(reader) = { group.machine().read_from(at, 1 << 20) } {
        let pieces = tokio::task::spawn_blocking(move || reader.read())
            .await
            .expect("no panic");
        at = pieces.expect("whole").last().expect("some").chunk.end();
        reads += 1;
    }
    (at, reads)
}

/// So many millions of messages of 8 bytes in chunks of 100: what they take, how long a start, and what a reader far
/// behind costs who writes.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn a_long_stream_takes_little_memory_and_opens_quickly() {
    let millions: Option<u64> = std::env::var("MILLIONS")
        .ok()
        .and_then(|millions| millions.parse().ok());
    let chunks = millions.unwrap_or(10) * 10_000;
    let machine = |source| Log::over(source, ALL);
    let mut nodes = Nodes::archiving(1, Some((8 << 20, 64 << 20)), machine).await;
    let leader = |nodes: &Nodes<Log>| {
        let group = nodes.group(1);
        Leader::of(&group.machine(), group.leadership().term)
    };
    let before = resident_mib();
    let took = load(nodes.group(1), &mut leader(&nodes), chunks, 8).await;
    nodes.puts_away(1, (chunks * 1_250).saturating_sub(17 << 20)).await;
    println!(
        "{} messages in {:.1} s; {:.1} MiB more in memory; {} files, {:.1} MiB",
        chunks * 100,
        took.as_secs_f64(),
        resident_mib() - before,
        nodes.archive(1).segments(),
        nodes.archive(1).bytes() as f64 / 1048576.0,
    );
    nodes.stop(1).await;
    let stopped = resident_mib();
    let begun = std::time::Instant::now();
    nodes.start(1).await;
    let opened = begun.elapsed();
    nodes.group(1).elect(Election::LeaderSilent).await.expect("asked");
    nodes.has(1, chunks * 100).await;
    println!(
        "opened in {opened:.2?}, all of it known in {:.2?}; {:.1} MiB more than stopped",
        begun.elapsed(),
        resident_mib() - stopped
    );
    let begun = std::time::Instant::now();
    let (end, reads) = read_on(nodes.group(1), 0).await;
    println!(
        "read in {:.1} s, {reads} times; {:.1} MiB",
        begun.elapsed().as_secs_f64(),
        resident_mib()
    );
    assert_eq!(end, chunks * 100);
    nodes.leads(1).await;
    let mut leader = leader(&nodes);
    for _ in 0..3 {
        let alone = load(nodes.group(1), &mut leader, 3_000, 1000).await;
        let group = nodes.group(1).clone();
        let reading = tokio::spawn(async move {
            // Until it is ended.
            while read_on(&group, 0).await.0 > 0 {}
        });
        let beside = load(nodes.group(1), &mut leader, 3_000, 1000).await;
        reading.abort();
        println!("300 MB written in {alone:.2?} alone, in {beside:.2?} beside a reader far behind");
    }
}
