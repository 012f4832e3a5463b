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

use std::collections::{BTreeMap, VecDeque};

use rustc_hash::{FxHashMap, FxHashSet};

use super::effects::Effects;
use super::handles::{Handles, LocalConsumer};
use super::message::{ConsumerKey, ConsumerSpec, RemoteDelivery, SettleBatch, WINDOW};
use super::remote_leader::OpenLine;
use super::wire;
use crate::queue::record::ProducerId;
use crate::queue::{Outcome, Publish, Rank, Slot};
use crate::types::{Message, QueueId};

/// Bytes of unanswered publishes beyond which publishers wait.
const UNANSWERED_BYTES: usize = 16 * 1024 * 1024;
/// How many publishes may be unanswered before publishers wait.
const UNANSWERED: usize = 64 * 1024;
/// Bytes of messages in one frame.
const FRAME_BYTES: usize = 512 * 1024;

/// See the head of this file.
pub struct ClientSession<H: Handles> {
    pub(super) producer: ProducerId,
    /// Number of the first unanswered publish.
    first: u64,
    unanswered: VecDeque<Unanswered<H::Publish>>,
    bytes: usize,
    next_batch: u64,
    settles: VecDeque<Settled<H::Settlement>>,
    /// In the order in which they came.
    pub(super) consumers: BTreeMap<ConsumerKey, SessionConsumer<H::Consumer>>,
    /// Messages that clients of this node hold, where the queue's machine is elsewhere.
    pub(super) held: FxHashMap<u64, HeldDelivery>,
    /// Times that all of this was said.
    pub(super) attaches: u64,
    /// Some leader was told of consumers or of messages that clients hold, and may serve them until it
    /// is told that they are gone.
    pub(super) is_known: bool,
    next_call: u64,
    /// What was asked of the leader, by number.
    calls: FxHashMap<u64, H::Call>,
}

/// A message that a client of this node has.
#[derive(Clone, Copy)]
pub(super) struct HeldDelivery {
    pub by: ConsumerKey,
    /// By which it knows the message.
    pub slot: Slot,
}

struct Unanswered<P> {
    message: Message,
    publish: Option<P>,
    is_answered: bool,
}

/// A batch that is not known to be committed, and who waits until it is.
struct Settled<S> {
    batch: SettleBatch,
    settlement: Option<S>,
}

/// A consumer of this node.
pub(super) struct SessionConsumer<C> {
    pub consumer: C,
    /// Among the consumers of all nodes, as the leader said or this node as the leader knew.
    pub rank: Rank,
    /// Deliveries that came while its client had no room.
    pub waiting: VecDeque<RemoteDelivery>,
    /// Bytes that were passed on and not given back to the leader's window yet.
    pub untold: u64,
}

impl<H: Handles> ClientSession<H> {
    /// Nothing at stake. The producer's id is random: the next run of the node numbers its publishes
    /// anew.
    pub fn new(producer: ProducerId) -> Self {
        Self {
            producer,
            first: 1,
            unanswered: VecDeque::new(),
            bytes: 0,
            next_batch: 1,
            settles: VecDeque::new(),
            consumers: BTreeMap::new(),
            held: FxHashMap::default(),
            attaches: 0,
            is_known: false,
            next_call: 1,
            calls: FxHashMap::default(),
        }
    }

    /// A consumer of this node is to be told to whoever has the machine.
    pub fn add_consumer(&mut self, consumer: &H::Consumer) {
        let added = SessionConsumer {
            consumer: consumer.clone(),
            rank: Rank::default(),
            waiting: VecDeque::new(),
            untold: 0,
        };
        self.consumers.insert(consumer.key(), added);
    }

    /// All consumers of this node end.
    pub fn end_consumers(&mut self) -> impl Iterator<Item = H::Consumer> + use<H> {
        let all = std::mem::take(&mut self.consumers);
        all.into_values().map(|one| one.consumer)
    }

    /// Something is asked of the leader. Returns its number.
    pub fn call(&mut self, call: H::Call) -> u64 {
        let number = self.next_call;
        self.next_call += 1;
        self.calls.insert(number, call);
        number
    }

    /// Who asked this, and waits no more.
    pub fn take_call(&mut self, number: u64) -> Option<H::Call> {
        self.calls.remove(&number)
    }

    /// Whoever asked asks again.
    pub fn drop_calls(&mut self) {
        self.calls.clear();
    }

    /// A client of this node has a message.
    pub fn hold(&mut self, by: ConsumerKey, slot: Slot) {
        self.held.insert(slot.seq(), HeldDelivery { by, slot });
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
        for consumer in self.consumers.values_mut() {
            consumer.waiting.retain(|delivery| !lost.contains(&delivery.slot));
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
    pub fn publish(&mut self, publish: Publish<H::Publish>) -> u64 {
        self.bytes += publish.message.memory();
        self.unanswered.push_back(Unanswered {
            message: publish.message,
            publish: publish.publish,
            is_answered: false,
        });
        self.first + self.unanswered.len() as u64 - 1
    }

    /// The number of the next publish.
    pub fn next_number(&self) -> u64 {
        self.first + self.unanswered.len() as u64
    }

    /// The leader answered a publish: whom to tell.
    pub fn answered(&mut self, number: u64) -> Option<H::Publish> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let one = self.unanswered.get_mut(at)?;
        if std::mem::replace(&mut one.is_answered, true) {
            return None;
        }
        self.bytes -= one.message.memory();
        let publish = one.publish.take();
        while self.unanswered.front().is_some_and(|one| one.is_answered) {
            self.unanswered.pop_front();
            self.first += 1;
        }
        publish
    }

    /// The publishes that are not answered, in order.
    pub fn unanswered(&self) -> impl Iterator<Item = (u64, &Message)> {
        let numbered = (self.first..).zip(&self.unanswered);
        numbered
            .filter(|(_, one)| !one.is_answered)
            .map(|(number, one)| (number, &one.message))
    }

    /// Nobody will answer any more: whom to tell.
    pub fn give_up(&mut self) -> impl Iterator<Item = H::Publish> {
        self.first += self.unanswered.len() as u64;
        self.bytes = 0;
        self.unanswered.drain(..).filter_map(|one| one.publish)
    }

    /// Numbers a batch of settled slots and keeps it until it is committed.
    pub fn settle(&mut self, outcome: Outcome, slots: Vec<Slot>, settlement: Option<H::Settlement>) -> &SettleBatch {
        let number = self.next_batch;
        self.next_batch += 1;
        let batch = SettleBatch {
            number,
            outcome,
            is_awaited: settlement.is_some(),
            slots,
        };
        self.settles.push_back(Settled { batch, settlement });
        &self.settles[self.settles.len() - 1].batch
    }

    /// What was settled up to this number is committed: whom to tell.
    pub fn settled(&mut self, up_to: u64, mut tell: impl FnMut(H::Settlement)) {
        while self
            .settles
            .front()
            .is_some_and(|settled| settled.batch.number <= up_to)
        {
            let settled = self.settles.pop_front();
            if let Some(settlement) = settled.and_then(|settled| settled.settlement) {
                tell(settlement);
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

    /// Says everything that is at stake.
    pub(super) fn attach<E: Effects<H>>(
        &mut self,
        queue: QueueId,
        term: u64,
        open: &OpenLine<H::Line>,
        effects: &mut E,
    ) {
        self.attaches += 1;
        self.is_known = !(self.consumers.is_empty() && self.held.is_empty());
        let session = &*self;
        open.write(effects, |buffer| {
            let consumers = session.consumers.values().map(SessionConsumer::spec);
            let held = session.held.values().map(|held| (held.by.0, held.slot));
            let attaching = wire::Attaching {
                term,
                number: session.attaches,
                producer: session.producer.0,
            };
            wire::attach(buffer, queue, &attaching, consumers, held, session.settles());
        });
        let mut first = None;
        let mut run: Vec<Message> = Vec::new();
        for (number, message) in self.unanswered() {
            let next = first.map(|first: u64| first + run.len() as u64);
            if next.is_some_and(|next| next != number)
                && let Some(first) = first.replace(number)
            {
                send_publishes(queue, open, first, &std::mem::take(&mut run), effects);
            }
            first.get_or_insert(number);
            run.push(message.clone());
        }
        if let Some(first) = first {
            send_publishes(queue, open, first, &run, effects);
        }
    }

    /// Nothing is on its way to the leader or from it.
    #[cfg(test)]
    pub fn is_answered(&self) -> bool {
        self.unanswered.is_empty() && self.settles.is_empty() && self.calls.is_empty()
    }
}

impl<C: LocalConsumer> SessionConsumer<C> {
    /// As other nodes are told of it.
    fn spec(&self) -> ConsumerSpec<&str> {
        ConsumerSpec {
            rank: self.rank,
            ..self.consumer.spec()
        }
    }

    /// Hands on what its client has room for. Returns the bytes that the leader may send anew, once
    /// they are worth a message.
    pub fn pass_on<H, E>(&mut self, effects: &mut E) -> u64
    where
        H: Handles<Consumer = C>,
        E: Effects<H>,
    {
        while !self.waiting.is_empty()
            && effects.room(&self.consumer)
            && let Some(delivery) = self.waiting.pop_front()
        {
            effects.pass_on(&self.consumer, &delivery);
            self.untold += delivery.message.stored_len() as u64;
        }
        match self.untold >= WINDOW / 4 {
            true => std::mem::take(&mut self.untold),
            false => 0,
        }
    }
}

/// Sends numbered publishes, in frames that the other side can take in at once.
pub(super) fn send_publishes<H: Handles, E: Effects<H>>(
    queue: QueueId,
    open: &OpenLine<H::Line>,
    mut first: u64,
    messages: &[Message],
    effects: &mut E,
) {
    let mut rest = messages;
    while !rest.is_empty() {
        let mut bytes = 0;
        let count = rest.iter().take_while(|message| {
            let fits = bytes == 0 || bytes + message.memory() <= FRAME_BYTES;
            bytes += message.memory();
            fits
        });
        let (now, later) = rest.split_at(count.count());
        open.write(effects, |buffer| wire::publish(buffer, queue, first, now));
        first += now.len() as u64;
        rest = later;
    }
}
