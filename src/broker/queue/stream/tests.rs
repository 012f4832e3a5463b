//! A stream of one node by its own words.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::direct::{Entries, EntryAt};
use super::live::LiveStream;
use super::written::Lost;
use crate::broker::Broker;
use crate::broker::queue::handle::QueueHandle;
use crate::broker::replicas::mending::tests::{broker, until};
use crate::metadata::Command;
use crate::spec::{QueueSpec, QueueType};
use crate::stream::chunk::{Entry, write_message};
use crate::stream::{Matcher, OffsetSpec};
use crate::types::{FieldTable, NodeId, QueueId};

/// A stream, and all that asks about it.
struct World {
    broker: Arc<Broker>,
    queue: Arc<QueueHandle>,
    stream: Arc<LiveStream>,
}

impl World {
    async fn new(directory: &Path) -> Self {
        let broker = broker(directory).await;
        let spec = QueueSpec {
            id: QueueId(0),
            vhost: "/".into(),
            name: "log".into(),
            queue_type: QueueType::Stream,
            durable: true,
            auto_delete: false,
            exclusive_owner: None,
            home: NodeId(0),
            members: Vec::new(),
            generations: 0,
            arguments: FieldTable::new(),
            user: "guest".into(),
        };
        broker
            .declarations()
            .command(Command::DeclareQueue(spec))
            .await
            .expect("declared");
        let queue = broker
            .vhost("/")
            .and_then(|vhost| vhost.queue("log"))
            .expect("the stream");
        let stream = broker.queues.streams().of(&queue).expect("a stream");
        until("it is led", || stream.is_led_here()).await;
        Self { broker, queue, stream }
    }

    async fn publish(&self, name: Option<&str>, entries: &Entries) -> Result<(), Lost> {
        let (tell, told) = oneshot::channel();
        self.stream
            .publish_entries(&self.broker.queues, name.map(|name| (name, 1)), entries, |written| {
                tell.send(written).expect("it is waited for");
            });
        told.await.expect("told once")
    }

    /// All messages: their offsets and bodies.
    async fn read(&self, matcher: &Matcher) -> Vec<(u64, String)> {
        let next = self.stream.bounds(&self.queue).expect("a member").next;
        let (mut place, mut read) = (0, Vec::new());
        while place < next {
            for piece in self.stream.read(&self.broker.queues, &self.queue, place, 1000).await {
                place = piece.chunk.end();
                if !piece.is_for(matcher) {
                    continue;
                }
                for (offset, entry) in piece.chunk.entries().map(|entry| entry.expect("whole")) {
                    let Entry::Message(body) = entry else {
                        panic!("no batches here")
                    };
                    read.push((offset, String::from_utf8_lossy(&body).into_owned()));
                }
            }
        }
        read
    }
}

/// Messages of these numbers, and the values that filters go by.
fn entries(numbers: &[u64], values: &[&str]) -> Entries {
    let mut entries = Entries::default();
    for number in numbers {
        write_message(&mut entries.data, number.to_string().as_bytes());
        entries.entries.push(EntryAt {
            number: *number,
            messages: 1,
            end: entries.data.len(),
        });
    }
    entries.filters = values.iter().map(|value| Some(value.as_bytes().to_vec())).collect();
    entries
}

fn messages(all: &[(u64, &str)]) -> Vec<(u64, String)> {
    all.iter().map(|(offset, body)| (*offset, (*body).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_name_has_numbered_is_written_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let world = World::new(directory.path()).await;
    assert_eq!(world.stream.sequence(&world.queue, "p"), None);
    for numbers in [&[0, 1, 5][..], &[5, 1], &[5, 6]] {
        assert_eq!(world.publish(Some("p"), &entries(numbers, &[])).await, Ok(()));
    }
    assert_eq!(world.publish(None, &entries(&[6, 6], &[])).await, Ok(()));
    assert_eq!(world.stream.sequence(&world.queue, "p"), Some(6));
    let expected = messages(&[(0, "0"), (1, "1"), (2, "5"), (3, "6"), (4, "6"), (5, "6")]);
    assert_eq!(world.read(&Matcher::default()).await, expected);
    let last = world
        .stream
        .resolve(&world.broker.queues, &world.queue, OffsetSpec::Last)
        .await;
    assert_eq!(last, Ok(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_are_passed_over_by_their_filter() {
    let directory = tempfile::tempdir().expect("a directory");
    let world = World::new(directory.path()).await;
    for (numbers, values) in [(&[1, 2], &["red", "blue"]), (&[3, 4], &["blue", "blue"])] {
        assert_eq!(world.publish(None, &entries(numbers, values)).await, Ok(()));
    }
    let red = Matcher {
        values: vec![b"red".to_vec()],
        unfiltered: false,
    };
    assert_eq!(world.read(&red).await, messages(&[(0, "1"), (1, "2")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_is_kept_and_takes_no_offset() {
    let directory = tempfile::tempdir().expect("a directory");
    let world = World::new(directory.path()).await;
    assert_eq!(world.stream.cursor(&world.queue, "reader"), None);
    for offset in [7, 3] {
        world
            .stream
            .store_cursor(&world.broker.queues, &world.queue, "reader", offset);
        until("it is kept", || {
            world.stream.cursor(&world.queue, "reader") == Some(offset)
        })
        .await;
    }
    assert_eq!(world.publish(None, &entries(&[1], &[])).await, Ok(()));
    assert_eq!(world.read(&Matcher::default()).await, messages(&[(0, "1")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_lead_says_so() {
    let directory = tempfile::tempdir().expect("a directory");
    let world = World::new(directory.path()).await;
    world.stream.step_down();
    let lost = world.publish(None, &entries(&[1], &[])).await;
    assert!(matches!(lost, Err(Lost::NotLeader { .. })));
    // The group leads it on: whoever looks again makes that known.
    world.broker.replicas.look_again(world.stream.id);
    until("it is led again", || world.stream.is_led_here()).await;
    assert_eq!(world.publish(None, &entries(&[1], &[])).await, Ok(()));
}
