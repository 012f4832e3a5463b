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
