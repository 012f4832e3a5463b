//! What is tracked in a stream, for whoever shows it: how far its readers have come, and its publishers' numbers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::live::{LiveStream, replica};
use crate::broker::queue::handle::QueueHandle;
use crate::broker::queue::queues::Queues;
use crate::stream::cursors::Cursors;
use crate::stream::producers::{Key, Producers};
use crate::types::QueueId;

/// See the head of this file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracked {
    pub queue: QueueId,
    /// Of the oldest message, and behind the newest.
    pub first: u64,
    pub end: u64,
    /// Readers by name, with the offsets that they have stored.
    pub cursors: Vec<(String, u64)>,
    /// Publishers that have a name.
    pub producers: Vec<TrackedProducer>,
}

/// A publisher that has a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackedProducer {
    pub name: String,
    /// The offset of the chunk that it wrote last.
    pub offset: u64,
    /// The highest number that it has given.
    pub sequence: u64,
}

fn cursors(all: &Cursors) -> Vec<(String, u64)> {
    all.iter()
        .map(|(name, cursor)| (name.to_owned(), cursor.offset))
        .collect()
}

fn producers(all: &Producers) -> Vec<TrackedProducer> {
    let named = all.iter().filter_map(|(key, producer)| match key {
        Key::Name(name) => Some(TrackedProducer {
            name: name.to_string(),
            offset: producer.recent().last()?.offset,
            sequence: producer.last(),
        }),
        Key::Id(_) => None,
    });
    named.collect()
}

impl LiveStream {
    /// With what is on its way where the stream is led, else as far as it is applied here; `None` where this node has
    /// no member.
    pub fn tracked(&self, queue: &QueueHandle) -> Option<Tracked> {
        let decided = {
            let leading = self.leading.lock();
            let leader = leading.as_ref().map(|leading| &leading.leader);
            leader.map(|leader| (cursors(leader.cursors()), producers(leader.producers())))
        };
        let group = replica(queue)?;
        let machine = group.machine();
        let log = machine.log()?;
        let bounds = log.bounds();
        let (cursors, producers) = decided.unwrap_or_else(|| (cursors(log.cursors()), producers(log.producers())));
        Some(Tracked {
            queue: self.id,
            first: bounds.first,
            end: bounds.next,
            cursors,
            producers,
        })
    }

    /// The term in which it is led, as this node knows.
    pub fn epoch(&self, queue: &QueueHandle) -> u64 {
        replica(queue).map_or(0, |group| group.leadership().term)
    }

    /// How many of this node's clients read it.
    pub fn readers(&self) -> usize {
        self.consumers().len() + self.subscriptions().len()
    }

    /// Keeps how far a reader has come, or forgets it, where this node leads. Whether a majority has it.
    pub async fn keep_cursor(&self, queues: &Arc<Queues>, name: &str, offset: Option<u64>) -> bool {
        let (tell, told) = oneshot::channel();
        // Whoever does not wait any more need not know.
        let tell = move |written: super::Written| {
            let _ = tell.send(written.is_ok());
        };
        match offset {
            Some(offset) => self.set_cursor(queues, name, offset, tell),
            None => self.decide(queues, |leader| leader.cursor(name, None), tell),
        }
        told.await.unwrap_or(false)
    }
}
