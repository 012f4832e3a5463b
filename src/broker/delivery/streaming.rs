//! What a client has that reads and writes streams without channels, as those of the stream protocol do: its publishers and
//! its subscriptions, and what they have done.
//!
//! The session keeps them by the ids of the client; whoever shows them reads them here. Counts are of entries, as
//! RabbitMQ's: a compressed batch is one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::queue::ConsumerStatus;
use crate::types::{ConnectionId, FieldTable, FieldValue, QueueId, UserName};

/// What it has.
#[derive(Debug, Default)]
pub struct StreamClient {
    publishers: Mutex<BTreeMap<u8, Arc<PublisherCounts>>>,
    subscriptions: Mutex<BTreeMap<u8, Arc<SubscriptionCounts>>>,
}

/// A publisher.
#[derive(Debug)]
pub struct PublisherCounts {
    pub queue: QueueId,
    /// The name of the stream.
    pub stream: String,
    pub reference: Option<String>,
    pub published: AtomicU64,
    pub confirmed: AtomicU64,
    pub errored: AtomicU64,
}

/// A subscription.
#[derive(Debug)]
pub struct SubscriptionCounts {
    pub queue: QueueId,
    /// The name of the stream.
    pub stream: String,
    /// Its id.
    pub id: u8,
    pub connection: ConnectionId,
    pub user: UserName,
    pub properties: Vec<(String, String)>,
    /// Chunks that the client still takes.
    pub credit: AtomicI64,
    pub consumed: AtomicU64,
    /// The next offset that it gets; [`NOWHERE`] before it is known.
    next: AtomicU64,
    status: AtomicU8,
}

/// No offset.
const NOWHERE: u64 = u64::MAX;

/// The same, as its node tells others.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct StreamReport {
    pub publishers: Vec<PublisherReport>,
    pub subscriptions: Vec<SubscriptionReport>,
}

/// A publisher.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PublisherReport {
    pub id: u8,
    pub queue: QueueId,
    pub stream: String,
    pub reference: Option<String>,
    pub published: u64,
    pub confirmed: u64,
    pub errored: u64,
}

/// A subscription.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SubscriptionReport {
    pub id: u8,
    pub queue: QueueId,
    pub stream: String,
    pub properties: Vec<(String, String)>,
    pub credits: i64,
    pub consumed: u64,
    /// The last offset that it got, or the one at which it begins.
    pub offset: u64,
    /// Messages behind that which its stream has; of one that waits for its turn 0.
    pub lag: u64,
    pub status: ConsumerStatus,
}

impl StreamClient {
    /// A publisher is declared, or none any more.
    pub fn set_publisher(&self, id: u8, publisher: Option<Arc<PublisherCounts>>) {
        match publisher {
            Some(publisher) => self.publishers.lock().insert(id, publisher),
            None => self.publishers.lock().remove(&id),
        };
    }

    /// A subscription begins, or ends.
    pub fn set_subscription(&self, id: u8, subscription: Option<Arc<SubscriptionCounts>>) {
        match subscription {
            Some(subscription) => self.subscriptions.lock().insert(id, subscription),
            None => self.subscriptions.lock().remove(&id),
        };
    }

    /// How many publishers and subscriptions there are.
    pub fn counts(&self) -> (u64, u64) {
        let (publishers, subscriptions) = (self.publishers.lock().len(), self.subscriptions.lock().len());
        (publishers as u64, subscriptions as u64)
    }

    /// What others are told. `ends` tells the offset behind the last message of a stream, where it is known.
    pub fn report(&self, ends: impl Fn(QueueId) -> Option<u64>) -> StreamReport {
        let publishers = self.publishers.lock().clone().into_iter();
        let publishers = publishers.map(|(id, one)| PublisherReport {
            id,
            queue: one.queue,
            stream: one.stream.clone(),
            reference: one.reference.clone(),
            published: one.published.load(Ordering::Relaxed),
            confirmed: one.confirmed.load(Ordering::Relaxed),
            errored: one.errored.load(Ordering::Relaxed),
        });
        let subscriptions = self.subscriptions.lock().clone().into_values();
        StreamReport {
            publishers: publishers.collect(),
            subscriptions: subscriptions.map(|one| one.report(ends(one.queue))).collect(),
        }
    }
}

impl PublisherCounts {
    /// One that has published nothing.
    pub fn new(queue: QueueId, stream: String, reference: Option<String>) -> Self {
        Self {
            queue,
            stream,
            reference,
            published: AtomicU64::new(0),
            confirmed: AtomicU64::new(0),
            errored: AtomicU64::new(0),
        }
    }
}

impl SubscriptionCounts {
    /// One that has got nothing.
    pub fn new(
        (queue, stream): (QueueId, String),
        (connection, user, id): (ConnectionId, UserName, u8),
        properties: Vec<(String, String)>,
        credit: u16,
    ) -> Self {
        Self {
            queue,
            stream,
            id,
            connection,
            user,
            properties,
            credit: AtomicI64::new(credit.into()),
            consumed: AtomicU64::new(0),
            next: AtomicU64::new(NOWHERE),
            status: AtomicU8::new(ConsumerStatus::Up as u8),
        }
    }

    /// The next offset that it gets.
    pub fn goes_on_at(&self, next: u64) {
        self.next.store(next, Ordering::Relaxed);
    }

    /// It reads as one of many or of its group, or waits for its turn.
    pub fn set_status(&self, status: ConsumerStatus) {
        self.status.store(status as u8, Ordering::Relaxed);
    }

    /// Whether it does.
    pub fn status(&self) -> ConsumerStatus {
        let status = self.status.load(Ordering::Relaxed);
        let all = [
            ConsumerStatus::Up,
            ConsumerStatus::SingleActive,
            ConsumerStatus::Waiting,
        ];
        all.into_iter()
            .find(|one| *one as u8 == status)
            .unwrap_or(ConsumerStatus::Up)
    }

    /// Messages behind it in a stream that ends there.
    pub fn lag(&self, end: Option<u64>) -> u64 {
        match self.next.load(Ordering::Relaxed) {
            NOWHERE => 0,
            _ if self.status() == ConsumerStatus::Waiting => 0,
            next => end.unwrap_or(0).saturating_sub(next),
        }
    }

    /// Its properties, as the arguments of a consumer.
    pub fn arguments(&self) -> FieldTable {
        let mut arguments = FieldTable::new();
        for (key, value) in &self.properties {
            arguments.set(key, FieldValue::text(value));
        }
        arguments
    }

    fn report(&self, end: Option<u64>) -> SubscriptionReport {
        let consumed = self.consumed.load(Ordering::Relaxed);
        let offset = match self.next.load(Ordering::Relaxed) {
            NOWHERE => 0,
            next if consumed > 0 => next.saturating_sub(1),
            next => next,
        };
        SubscriptionReport {
            id: self.id,
            queue: self.queue,
            stream: self.stream.clone(),
            properties: self.properties.clone(),
            credits: self.credit.load(Ordering::Relaxed),
            consumed,
            offset,
            lag: self.lag(end),
            status: self.status(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription() -> SubscriptionCounts {
        let stream = (QueueId(1), "s".to_owned());
        let user = (ConnectionId(1), UserName::from("u"), 3);
        SubscriptionCounts::new(stream, user, Vec::new(), 10)
    }

    #[test]
    fn what_a_subscription_lags_behind_is_what_it_has_yet_to_get() {
        let one = subscription();
        let seen = |one: &SubscriptionCounts| {
            let report = one.report(Some(21));
            (report.offset, report.lag)
        };
        assert_eq!(seen(&one), (0, 0), "it is not known where it begins");
        one.goes_on_at(5);
        assert_eq!(seen(&one), (5, 16));
        one.goes_on_at(20);
        one.consumed.store(15, Ordering::Relaxed);
        assert_eq!(seen(&one), (19, 1));
        one.set_status(ConsumerStatus::Waiting);
        assert_eq!(seen(&one), (19, 0), "another one reads");
    }
}
