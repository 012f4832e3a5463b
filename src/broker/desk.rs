//! What the clients of this node have at stake in a queue that may be led elsewhere.
//!
//! ```text
//! publish → numbered, kept ──to the leader──→ answered in any order → confirms, oldest first let go
//! settle  → numbered, kept ──to the leader──→ committed up to a number → let go
//! deliver → held: which consumer has which message, until it is settled
//! ```
//! When the leader changes, or the way to it broke, everything here is said again: the new one
//! drops what its ledger has, so a message counts once, and a consumer keeps what it holds. A queue
//! that is not replicated starts afresh instead.
//!
//! Belongs to a [`QueueHandle`](super::runner::QueueHandle), behind its lock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use tokio::sync::oneshot;

use super::consumer::{Consumer, ConsumerKey};
use super::joint::JointClaim;
use super::peers::wire::SettleBatch;
use super::runner::ConfirmToken;
use crate::channel::ConfirmOutcome;
use crate::queue::record::ProducerId;
use crate::queue::{Outcome, Publish, Rank, Slot};
use crate::types::{Message, Reply};

/// Bytes of unanswered publishes beyond which publishers wait.
const UNANSWERED_BYTES: usize = 16 * 1024 * 1024;
/// How many publishes may be unanswered before publishers wait.
const UNANSWERED: usize = 64 * 1024;

/// See the head of this file.
pub struct Desk {
    pub producer: ProducerId,
    /// Number of the first unanswered publish.
    first: u64,
    unanswered: VecDeque<Unanswered>,
    bytes: usize,
    next_batch: u64,
    settles: VecDeque<Settled>,
    /// In the order in which they came.
    pub consumers: BTreeMap<ConsumerKey, Seated>,
    /// Messages that clients of this node hold, where the queue's machine is elsewhere.
    pub held: FxHashMap<u64, Held>,
    /// Times that all of this was said.
    pub attaches: u64,
    /// Some leader was told of consumers or of messages that clients hold, and may serve them until it
    /// is told that they are gone.
    pub is_known: bool,
    pub calls: FxHashMap<u64, Call>,
}

/// A message that a client of this node has.
#[derive(Clone, Copy)]
pub struct Held {
    pub by: ConsumerKey,
    /// By which it knows the message.
    pub slot: Slot,
}

struct Unanswered {
    message: Message,
    token: Option<ConfirmToken>,
    is_answered: bool,
}

/// A batch that is not known to be committed, and who waits until it is.
struct Settled {
    batch: SettleBatch,
    claim: Option<JointClaim>,
}

/// A consumer of this node.
pub struct Seated {
    pub consumer: Arc<Consumer>,
    /// Among the consumers of all nodes, as the leader said or this node as the leader knew.
    pub rank: Rank,
    /// Deliveries that came while its client had no room.
    pub waiting: VecDeque<Arrived>,
    /// Bytes that were passed on and not given back to the leader's window yet.
    pub untold: u64,
}

/// A delivery that came from another node.
#[derive(Debug)]
pub struct Arrived {
    pub message: Message,
    pub slot: Slot,
    pub redelivered: bool,
    pub delivery_count: u32,
}

/// Something asked of the leader.
pub struct Call {
    pub answer: oneshot::Sender<Result<Answer, Reply>>,
    /// For a consumer that was asked for: it hears `consume-ok` before its first delivery.
    pub consumer: Option<Arc<Consumer>>,
}

/// What the leader says.
#[derive(Debug)]
pub enum Answer {
    Done(u64),
    Counts { ready: u64, unacked: u64, consumers: u64 },
    Empty,
    Got { arrived: Arrived, remaining: u64 },
}

impl Desk {
    /// Nothing at stake.
    pub fn new() -> Self {
        Self {
            producer: ProducerId(rand::random()),
            first: 1,
            unanswered: VecDeque::new(),
            bytes: 0,
            next_batch: 1,
            settles: VecDeque::new(),
            consumers: BTreeMap::new(),
            held: FxHashMap::default(),
            attaches: 0,
            is_known: false,
            calls: FxHashMap::default(),
        }
    }

    /// A client of this node has a message.
    pub fn hold(&mut self, by: ConsumerKey, slot: Slot) {
        self.held.insert(slot.seq(), Held { by, slot });
    }

    /// A client of this node settles a message; false when that is not, or no more, by this slot.
    pub fn let_go(&mut self, slot: Slot) -> bool {
        let is_it = self.held.get(&slot.seq()).is_some_and(|held| held.slot == slot);
        is_it && self.held.remove(&slot.seq()).is_some()
    }

    /// What came to a consumer of this node, also after that was cancelled.
    pub fn held_by(&self, key: ConsumerKey) -> impl Iterator<Item = Slot> {
        let held = self.held.values().filter(move |held| held.by == key);
        held.map(|held| held.slot)
    }

    /// Messages that clients of this node hold, or that wait for them, are another's.
    pub fn lose(&mut self, lost: Vec<Slot>) {
        if lost.is_empty() {
            return;
        }
        let lost: FxHashSet<Slot> = lost.into_iter().collect();
        for slot in &lost {
            self.let_go(*slot);
        }
        for seated in self.consumers.values_mut() {
            seated.waiting.retain(|arrived| !lost.contains(&arrived.slot));
        }
    }

    /// Whether the leader should know of this node.
    pub fn has_interest(&self) -> bool {
        self.is_known
            || !(self.consumers.is_empty()
                && self.held.is_empty()
                && self.unanswered.is_empty()
                && self.settles.is_empty()
                && self.calls.is_empty())
    }

    /// Whether publishers should wait.
    pub fn is_behind(&self) -> bool {
        self.bytes > UNANSWERED_BYTES || self.unanswered.len() > UNANSWERED
    }

    /// Takes a publish in and gives it its number.
    pub fn publish(&mut self, publish: Publish<ConfirmToken>) -> u64 {
        self.bytes += publish.message.memory();
        self.unanswered.push_back(Unanswered {
            message: publish.message,
            token: publish.publish,
            is_answered: false,
        });
        self.first + self.unanswered.len() as u64 - 1
    }

    /// The number of the next publish.
    pub fn next_number(&self) -> u64 {
        self.first + self.unanswered.len() as u64
    }

    /// The leader answered a publish: whom to tell.
    pub fn answered(&mut self, number: u64) -> Option<ConfirmToken> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let one = self.unanswered.get_mut(at)?;
        if std::mem::replace(&mut one.is_answered, true) {
            return None;
        }
        self.bytes -= one.message.memory();
        let token = one.token.take();
        while self.unanswered.front().is_some_and(|one| one.is_answered) {
            self.unanswered.pop_front();
            self.first += 1;
        }
        token
    }

    /// The publishes that are not answered, in order.
    pub fn unanswered(&self) -> impl Iterator<Item = (u64, &Message)> {
        let numbered = (self.first..).zip(&self.unanswered);
        numbered
            .filter(|(_, one)| !one.is_answered)
            .map(|(number, one)| (number, &one.message))
    }

    /// Nobody will answer any more: whom to tell, with what.
    pub fn give_up(&mut self) -> Vec<ConfirmToken> {
        self.first += self.unanswered.len() as u64;
        self.bytes = 0;
        self.unanswered.drain(..).filter_map(|one| one.token).collect()
    }

    /// Numbers a batch of settled slots and keeps it until it is committed.
    pub fn settle(&mut self, outcome: Outcome, slots: Vec<Slot>, claim: Option<JointClaim>) -> &SettleBatch {
        let number = self.next_batch;
        self.next_batch += 1;
        let batch = SettleBatch { number, outcome, slots };
        self.settles.push_back(Settled { batch, claim });
        &self.settles[self.settles.len() - 1].batch
    }

    /// What was settled up to this number is committed.
    pub fn settled(&mut self, up_to: u64) {
        while self
            .settles
            .front()
            .is_some_and(|settled| settled.batch.number <= up_to)
        {
            if let Some(Settled { claim: Some(claim), .. }) = self.settles.pop_front() {
                claim.answer(ConfirmOutcome::Ack);
            }
        }
    }

    /// What was settled and is not known to be committed, in order.
    pub fn settles(&self) -> impl ExactSizeIterator<Item = &SettleBatch> {
        self.settles.iter().map(|settled| &settled.batch)
    }

    /// Forgets what was settled: the messages are back in their queue, as far as is known.
    pub fn forget_settles(&mut self) {
        self.settles.clear();
    }
}

/// What a publish that is given up hears: nothing was kept of it.
pub const GIVEN_UP: ConfirmOutcome = ConfirmOutcome::Nack;

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use super::*;
    use crate::broker::outbox::Outbox;
    use crate::codec::deliver::DeliverTemplate;
    use crate::types::{ConnectionId, FieldTable, MessageParts, Traits};

    const KEY: ConsumerKey = ConsumerKey(1);

    /// Seats a consumer, for which these deliveries wait.
    fn seat(desk: &mut Desk, slots: &[Slot]) {
        let consumer = Arc::new(Consumer {
            key: KEY,
            outbox: Arc::new(Outbox::new(ConnectionId(1))),
            channel: 1,
            incarnation: 1,
            tag: "tag".to_owned(),
            no_ack: false,
            exclusive: false,
            prefetch: None,
            priority: 0,
            arguments: FieldTable::new(),
            user: "user".into(),
            template: DeliverTemplate::new(1, "tag"),
            queue_index: 0,
            queue: Weak::new(),
            wants_cancel: false,
            id: Default::default(),
        });
        desk.seat(&consumer);
        let parts = MessageParts {
            exchange: b"",
            routing_key: b"queue",
            properties: &[0, 0],
            traits: Traits::default(),
        };
        let message = Message::new(parts, b"", &mut Vec::new());
        let seated = desk.consumers.get_mut(&KEY).expect("just seated");
        seated.waiting.extend(slots.iter().map(|slot| Arrived {
            message: message.clone(),
            slot: *slot,
            redelivered: false,
            delivery_count: 0,
        }));
        for slot in slots {
            desk.hold(KEY, *slot);
        }
    }

    #[test]
    fn what_waits_for_a_client_and_is_another_s_is_not_passed_on() {
        let mut desk = Desk::new();
        let [first, second] = [1, 2].map(|seq| Slot::from_parts((0, 0, seq)));
        seat(&mut desk, &[first, second]);
        desk.lose(vec![first]);
        let waiting: Vec<Slot> = desk.consumers[&KEY]
            .waiting
            .iter()
            .map(|arrived| arrived.slot)
            .collect();
        assert_eq!(waiting, [second]);
        assert!(!desk.let_go(first), "nobody here has it");
        assert!(desk.let_go(second));
    }
}
