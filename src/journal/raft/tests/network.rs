//! What tells a member only how far the log is committed waits for the next append, but not for long.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream;
use openraft::network::RPCOption;
use openraft::{EmptyNode, EntryPayload, RaftNetworkFactory, RaftNetworkV2, Vote};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::journal::raft::GroupId;
use crate::journal::raft::network::{Network, Transport, TransportError};
use crate::journal::raft::types::{AppendRequest, AppendResponse, Entry, log_id};
use crate::journal::raft::wire::{Request, Response};
use crate::types::NodeId;

/// A request on the wire: when in ms, which entries, and how far the log is committed.
type Sent = (u128, Vec<u64>, Option<u64>);

/// Writes down what is sent; everything is taken.
struct Wire {
    began: Instant,
    sent: Mutex<Vec<Sent>>,
}

impl Transport for Wire {
    fn send(
        &self,
        _: NodeId,
        _: GroupId,
        request: Bytes,
        _: Duration,
    ) -> BoxFuture<'static, Result<Bytes, TransportError>> {
        let Ok(Request::Append(request)) = Request::decode(request) else {
            panic!("only appends are sent");
        };
        let entries = request.entries.iter().map(|entry| entry.log_id.index).collect();
        let committed = request.leader_commit.map(|id| id.index);
        self.sent
            .lock()
            .push((self.began.elapsed().as_millis(), entries, committed));
        let answer = Response::Append(AppendResponse::Success).encode();
        Box::pin(std::future::ready(Ok(answer)))
    }
}

/// A stream of appends to a member.
struct Appends {
    requests: mpsc::UnboundedSender<AppendRequest>,
    wire: Arc<Wire>,
}

impl Appends {
    fn new(tells_commits: bool) -> Self {
        let wire = Arc::new(Wire {
            began: Instant::now(),
            sent: Mutex::default(),
        });
        let mut network = Network {
            transport: wire.clone(),
            node: NodeId(1),
            group: GroupId(7),
            tells_commits,
            refusals: Arc::default(),
        };
        let (requests, mut coming) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut member = network.new_client(NodeId(2), &EmptyNode {}).await;
            let input = stream::poll_fn(move |context| coming.poll_recv(context));
            let option = RPCOption::new(Duration::from_secs(1));
            let mut answers = member.stream_append(input, option).await.expect("a stream");
            while let Some(answer) = answers.next().await {
                answer.expect("an answer").expect("it is taken");
            }
        });
        Self { requests, wire }
    }

    /// Entries behind that one.
    fn append(&self, after: u64, entries: impl IntoIterator<Item = u64>, committed: u64) {
        let id = |index| (index > 0).then(|| log_id(1, index));
        let entries = entries.into_iter().map(|index| Entry {
            log_id: log_id(1, index),
            payload: EntryPayload::Blank,
        });
        let request = AppendRequest {
            vote: Vote::new_committed(1, NodeId(1)),
            prev_log_id: id(after),
            entries: entries.collect(),
            leader_commit: id(committed),
        };
        self.requests.send(request).expect("the stream goes on");
    }

    fn commit(&self, after: u64, committed: u64) {
        self.append(after, [], committed);
    }

    /// What has been sent some time later.
    async fn sent(&self, after_ms: u64) -> Vec<Sent> {
        tokio::time::sleep(Duration::from_millis(after_ms)).await;
        std::mem::take(&mut self.wire.sent.lock())
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_committed_goes_with_the_next_entries() {
    let appends = Appends::new(false);
    appends.append(0, [1], 0);
    appends.commit(1, 1);
    appends.append(1, [2, 3], 1);
    let two = [(0, vec![1], None), (0, vec![2, 3], Some(1))];
    assert_eq!(appends.sent(100).await, two);
}

#[tokio::test(start_paused = true)]
async fn without_entries_it_goes_before_long() {
    let appends = Appends::new(false);
    appends.append(0, [1, 2, 3], 0);
    appends.commit(3, 1);
    assert_eq!(appends.sent(6).await, [(0, vec![1, 2, 3], None)]);
    // It waits no longer for being joined by another, which tells more.
    appends.commit(3, 2);
    assert_eq!(appends.sent(3).await, []);
    assert_eq!(appends.sent(3).await, [(10, vec![], Some(2))]);
    appends.commit(3, 3);
    assert_eq!(appends.sent(100).await, [(22, vec![], Some(3))]);
}

#[tokio::test(start_paused = true)]
async fn it_goes_when_the_stream_ends() {
    let Appends { requests, wire } = {
        let appends = Appends::new(false);
        appends.append(0, [1], 0);
        appends.commit(1, 1);
        appends
    };
    drop(requests);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(*wire.sent.lock(), [(0, vec![1], None), (0, vec![], Some(1))]);
}

#[tokio::test(start_paused = true)]
async fn what_a_stream_begins_with_or_what_follows_on_nothing_goes_at_once() {
    let appends = Appends::new(false);
    appends.commit(5, 4);
    assert_eq!(appends.sent(1).await, [(0, vec![], Some(4))]);
    // Whether the member has that one is asked.
    appends.commit(6, 4);
    assert_eq!(appends.sent(1).await, [(1, vec![], Some(4))]);
}

#[tokio::test(start_paused = true)]
async fn members_that_are_to_hear_of_it_at_once_do() {
    let appends = Appends::new(true);
    appends.append(0, [1], 0);
    appends.commit(1, 1);
    appends.append(1, [2], 1);
    appends.commit(2, 2);
    let all = [
        (0, vec![1], None),
        (0, vec![], Some(1)),
        (0, vec![2], Some(1)),
        (0, vec![], Some(2)),
    ];
    assert_eq!(appends.sent(1).await, all);
}
