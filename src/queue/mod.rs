//! The queue machine: which messages there are, who gets which, and what must survive.
//!
//! It runs on one node, behind a mutex, and is called with batches. It asks nobody for anything:
//! the time comes in, and everything that should happen is pushed into the caller's [`Sink`].
//! Classic and quorum queues are the same machine; where they differ, a rule of [`Rules`] says so.
//!
//! ```text
//!  publish ──► uncommitted ──durable──► ready ──────► outstanding ──Accept──► gone
//!     │        (quorum only)            ▲   │             │  │
//!     │  a consumer waits, queue empty  │   │   Requeue   │  │ Discard
//!     └─────────────────────────────────┼─► │ ◄───────────┘  ▼
//!                                       │   └─ expired, ► dying ──dead_lettered──► gone
//!                                    fetched   too many  └ or discarded first, at least once
//! ```
//!
//! Holds between calls: a consumer that may take a message waits only while the line is empty, the
//! body of its head is on its way from the store, or the journal has yet to commit that it may be
//! delivered; every message is in one place of the
//! drawing; `check()` walks all of it.

mod adopting;
mod check;
mod column;
mod confirms;
mod consumers;
mod counts;
pub mod delay;
mod discards;
mod entry;
mod expiry;
pub mod health;
mod leaving;
pub mod ledger;
mod limits;
mod line;
mod mark;
mod outstanding;
mod paging;
pub mod peek;
mod pulse;
mod ready;
pub mod record;
pub mod recorder;
mod recovery;
mod redelivery;
mod rules;
mod sink;
mod taking;
#[cfg(test)]
mod tests;
mod uncommitted;

use std::collections::BTreeMap;

use crate::spec::{QueueSettings, QueueType};
use crate::types::{Message, Millis, Timestamp};

pub use counts::{ConsumerStatus, ConsumerView, Counts};
pub use entry::{UnknownMeta, check_meta};
pub use health::{Full, Health, Vitals};
pub use sink::{
    Consume, ConsumeError, ConsumerId, DeadLetterOutcome, DeathReason, Delivery, Dying, Get, Holder, Keep, Loc,
    META_LEN, Outcome, Publish, Rank, Recovered, Sink, Slot, Tick,
};

use confirms::Confirms;
use consumers::Consumers;
use discards::Discards;
use entry::{DISCARDED, Entry, LOST, PAGED, REDELIVERED, STORED};
use mark::Mark;
use outstanding::{Held, Outstanding, Owner};
use paging::Paging;
use pulse::Pulse;
use ready::{Place, Ready};
use rules::{ReadyRule, Rules};
use uncommitted::Uncommitted;

/// A queue. `C` is what the caller calls a consumer, `P` a publish that waits for its confirm.
pub struct Queue<C, P> {
    rules: Rules,
    settings: QueueSettings,
    ready: Ready,
    outstanding: Outstanding,
    uncommitted: Uncommitted,
    consumers: Consumers<C>,
    confirms: Confirms<P>,
    /// Messages being dead-lettered whose body is not in memory.
    dying: BTreeMap<u64, Slot>,
    /// Dead letters that are kept until their targets have them.
    discards: Discards,
    paging: Paging,
    pulse: Pulse,
    next_seq: u64,
    durable_up_to: u64,
    delivered: Mark,
    /// Messages the journal holds, and the bytes of their bodies.
    persistent: (u64, u64),
    last_used: Timestamp,
    /// The node's delivery acknowledgement timeout; the settings may say otherwise.
    consumer_timeout: Option<Millis>,
    /// Before this nobody can be beyond the timeout.
    next_overdue: Option<Timestamp>,
    /// The delivery limit took a message, and the caller knows.
    limit_told: bool,
    /// Nothing goes: who holds messages is still being heard, so that what is in the line may be
    /// with a client, or the queue is stopped.
    gathering: bool,
}

impl<C, P> Queue<C, P> {
    /// An empty queue. `durable` says whether persistent messages are kept on disk.
    pub fn new(kind: QueueType, durable: bool, settings: QueueSettings, now: Timestamp) -> Self {
        Self {
            rules: Rules::of(kind, durable),
            ready: Ready::new(kind, settings.max_priority),
            outstanding: Outstanding::new(),
            uncommitted: Uncommitted::new(),
            consumers: Consumers::new(kind, settings.single_active_consumer),
            confirms: Confirms::new(),
            dying: BTreeMap::new(),
            discards: Discards::default(),
            paging: Paging::new(),
            pulse: Pulse::beginning(now),
            next_seq: 1,
            durable_up_to: 0,
            delivered: Mark::at(0),
            persistent: (0, 0),
            last_used: now,
            consumer_timeout: None,
            next_overdue: None,
            limit_told: false,
            gathering: false,
            settings,
        }
    }

    /// Takes messages in, in order. Each publish is confirmed or refused through the sink, now or
    /// when the journal has it.
    pub fn publish<S>(&mut self, now: Timestamp, batch: impl IntoIterator<Item = Publish<P>>, sink: &mut S)
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        for Publish { message, publish } in batch {
            if self.would_overflow(&message) {
                self.refuse(message, publish, sink);
                continue;
            }
            let seq = self.next_seq;
            self.next_seq = self.next_seq.saturating_add(1);
            match self.rules.ready {
                ReadyRule::AtOnce => self.arrive(now, seq, message, publish, sink),
                ReadyRule::WhenDurable => {
                    let entry = self.admit(now, seq, message, publish, sink);
                    self.uncommitted.push(entry);
                }
            }
        }
        self.settle_down(now, sink);
    }

    /// The journal has everything up to `seq` on disk: confirms, and bodies may leave memory.
    pub fn durable<S>(&mut self, now: Timestamp, seq: u64, sink: &mut S)
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        self.durable_up_to = self.durable_up_to.max(seq);
        self.confirms.durable(seq, |publish| sink.confirm(publish));
        while let Some(entry) = self.uncommitted.pop_up_to(seq) {
            let consumer = self.next_consumer(sink);
            self.place(now, entry, consumer, sink);
        }
        self.drop_durable_bodies();
        if self.rules.ready == ReadyRule::WhenDurable {
            self.settle_down(now, sink);
        }
    }

    /// Takes a consumer on; deliveries may follow at once.
    pub fn consume<S>(&mut self, now: Timestamp, consumer: Consume<C>, sink: &mut S) -> Result<ConsumerId, ConsumeError>
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        let id = self.consumers.add(consumer)?;
        self.last_used = now;
        self.settle_down(now, sink);
        Ok(id)
    }

    /// Ends a consumer and gives its handle back. What it holds stays outstanding until it is
    /// settled. `None` when it was gone.
    pub fn cancel<S>(&mut self, now: Timestamp, id: ConsumerId, sink: &mut S) -> Option<C>
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        let handle = self.consumers.remove(id)?;
        self.last_used = now;
        self.settle_down(now, sink);
        Some(handle)
    }

    /// The consumer's client takes messages again after [`Sink::room`] said no.
    pub fn unstall<S>(&mut self, now: Timestamp, id: ConsumerId, sink: &mut S)
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        self.consumers.unstall(id);
        self.pump(now, sink);
    }

    /// Hands out one message to whoever asks, consumers or not.
    pub fn get<S>(&mut self, now: Timestamp, no_ack: bool, sink: &mut S) -> Get
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        self.last_used = now;
        if self.gathering {
            return Get::NeedsMark;
        }
        let head = self.live_head(now, sink);
        self.dead_letter_more(now, sink);
        let Some(place) = head else {
            return Get::Empty;
        };
        let Some(message) = self.ready.entry(place).and_then(|entry| entry.message.clone()) else {
            self.mark_head(place, sink);
            self.read_ahead(sink);
            return Get::NeedsFetch;
        };
        if !self.is_marked(place) {
            self.mark_head(place, sink);
            return Get::NeedsMark;
        }
        let Some(entry) = self.ready.take(place) else {
            return Get::Empty;
        };
        let (redelivered, delivery_count) = (entry.is(REDELIVERED), entry.count);
        sink.leaves(entry.seq);
        let slot = if no_ack {
            self.gone(entry, sink);
            Slot::NONE
        } else {
            let slot = self.outstanding.next_slot(&entry);
            self.delivered.note(&entry, sink);
            self.hold(now, entry, Owner::Get, sink);
            slot
        };
        if self.rules.counts_live_messages_only {
            self.expire(now, sink);
            self.dead_letter_more(now, sink);
        }
        Get::Message {
            message,
            slot,
            redelivered,
            delivery_count,
            remaining: self.ready.len() as u64,
        }
    }

    /// The dead letters of these slots are published: the queue lets go of them.
    pub fn dead_lettered<S>(&mut self, slots: impl IntoIterator<Item = Slot>, sink: &mut S)
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        for slot in slots {
            if let Some((held, _)) = self.take_dying(slot) {
                self.gone(held.entry, sink);
            }
        }
    }

    /// Drops every ready message, without dead-lettering, and says how many there were.
    pub fn purge<S>(&mut self, sink: &mut S) -> u64
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        let ready = std::mem::replace(&mut self.ready, self.rules.empty_line(&self.settings));
        let count = ready.len() as u64;
        for entry in ready.into_entries() {
            self.gone(entry, sink);
        }
        self.pulse.forget();
        count
    }

    /// Ends the queue: consumers are cancelled, waiting publishes confirmed, messages dropped.
    /// That the queue's messages are gone is not recorded one by one. Returns how many were ready.
    pub fn delete<S>(&mut self, sink: &mut S) -> u64
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        for consumer in self.consumers.drain() {
            sink.cancel(consumer);
        }
        for publish in self.confirms.drain() {
            sink.confirm(publish);
        }
        let count = self.ready.len() as u64;
        self.ready = self.rules.empty_line(&self.settings);
        self.outstanding.clear();
        self.uncommitted = Uncommitted::new();
        self.dying.clear();
        self.discards = Discards::default();
        self.paging.forget_all();
        self.persistent = (0, 0);
        count
    }

    /// Takes who consumes and which publishes wait out of a machine that is not used any more, even of
    /// one that has panicked.
    pub fn abandon(&mut self) -> (Vec<C>, Vec<P>) {
        (self.consumers.drain(), self.confirms.drain().collect())
    }

    /// The policy changed. Length limits apply at once, times to live to messages that come.
    /// Priorities and the single active consumer are arguments and stay as declared.
    pub fn set_settings<S>(&mut self, now: Timestamp, settings: QueueSettings, sink: &mut S)
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        self.settings = QueueSettings {
            max_priority: self.settings.max_priority,
            single_active_consumer: self.settings.single_active_consumer,
            ..settings
        };
        self.await_overdue(now);
        self.settle_down(now, sink);
    }

    /// A message that the queue took: straight to a consumer when nothing is before it, else into
    /// the line.
    fn arrive<S>(&mut self, now: Timestamp, seq: u64, message: Message, publish: Option<P>, sink: &mut S)
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        let consumer = self.next_consumer(sink);
        if let Some(index) = consumer
            && let Some((id, consumer)) = self.consumers.at(index)
            && consumer.no_ack
        {
            // Gone as soon as it is delivered: it needs neither the journal nor an entry.
            let delivery = Delivery {
                message: &message,
                slot: Slot::NONE,
                redelivered: false,
                delivery_count: 0,
                no_ack: true,
            };
            sink.deliver(&consumer.handle, id, delivery);
            sink.leaves(seq);
            self.consumers.took(index);
            if let Some(publish) = publish {
                sink.confirm(publish);
            }
            return;
        }
        let entry = self.admit(now, seq, message, publish, sink);
        self.place(now, entry, consumer, sink);
    }

    /// A message that is now the queue's to give away: to its consumer, or into the line.
    fn place<S>(&mut self, now: Timestamp, entry: Entry, consumer: Option<u32>, sink: &mut S)
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        self.paging.arrived(&entry);
        match consumer {
            Some(index) if self.delivered.lets(&entry) => self.hand_over(now, index, entry, sink),
            _ => self.line_up(now, entry, sink),
        }
    }

    /// The consumer that gets a message which nothing is before.
    fn next_consumer<S>(&mut self, sink: &mut S) -> Option<u32>
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        while self.ready.is_empty() && !self.gathering {
            let index = self.consumers.next()?;
            if sink.room(&self.consumers.at(index)?.1.handle) {
                return Some(index);
            }
            self.consumers.stall(index);
        }
        None
    }

    /// Makes an entry, and has it stored or its publish confirmed.
    fn admit<S>(&mut self, now: Timestamp, seq: u64, message: Message, publish: Option<P>, sink: &mut S) -> Entry
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        let traits = message.traits();
        let lane = self.ready.lane_of(traits.priority);
        let deliveries = message.deliveries();
        let mut entry = Entry::new(seq, message, lane, self.expiry(now, traits.expiration));
        if self.rules.counts_deliveries && deliveries > 0 {
            entry.count = deliveries;
            entry.mark(REDELIVERED);
        }
        if self.rules.stores(traits.persistent)
            && let Some(message) = &entry.message
        {
            entry.loc = sink.store(seq, entry.meta(), message, Keep::Durable);
            entry.mark(STORED);
            self.persistent.0 += 1;
            self.persistent.1 += u64::from(entry.len);
            if let Some(publish) = publish {
                self.confirms.wait(seq, publish);
            }
        } else if let Some(publish) = publish {
            sink.confirm(publish);
        }
        entry
    }

    /// Puts a new message at the end of the line.
    fn line_up<S>(&mut self, now: Timestamp, mut entry: Entry, sink: &mut S)
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        if self.ready.is_empty() {
            // With a time to live of zero it need not stand in line to expire.
            if entry.expired(now) && self.consumers.next().is_none() && !self.gathering {
                return self.die(entry, DeathReason::Expired, sink);
            }
        } else {
            self.save_memory(&mut entry, sink);
        }
        self.ready.push(entry);
        self.drop_head(sink);
    }

    /// Drops what must go and delivers what can.
    fn settle_down<S>(&mut self, now: Timestamp, sink: &mut S)
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        self.expire(now, sink);
        self.drop_head(sink);
        self.pump(now, sink);
        self.beat(now);
    }

    /// Delivers from the line until no consumer may take more.
    fn pump<S>(&mut self, now: Timestamp, sink: &mut S)
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        if self.gathering {
            return;
        }
        while let Some(index) = self.consumers.next()
            && let Some(place) = self.live_head(now, sink)
            && self.ready.entry(place).is_some_and(|entry| entry.message.is_some())
            && self.is_marked(place)
            && let Some((_, consumer)) = self.consumers.at(index)
        {
            if !sink.room(&consumer.handle) {
                self.consumers.stall(index);
            } else if let Some(entry) = self.ready.take(place) {
                self.hand_over(now, index, entry, sink);
            }
        }
        self.mark_ahead(sink);
        self.dead_letter_more(now, sink);
        if self.consumers.len() > 0 {
            self.read_ahead(sink);
        }
    }

    /// The head of the line, after everything before it that cannot be delivered any more is
    /// gone.
    fn live_head<S>(&mut self, now: Timestamp, sink: &mut S) -> Option<Place>
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        loop {
            self.expire(now, sink);
            let place = self.ready.head()?;
            let entry = self.ready.entry(place)?;
            if entry.expired(now) {
                // It waits for its turn to be dead-lettered.
                return None;
            }
            if !entry.is(LOST) {
                return Some(place);
            }
            let lost = self.ready.take(place)?;
            self.gone(lost, sink);
        }
    }

    /// Gives a message to the consumer whose turn it is and who has room.
    fn hand_over<S>(&mut self, now: Timestamp, index: u32, entry: Entry, sink: &mut S)
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        let (Some((id, consumer)), Some(message)) = (self.consumers.at(index), &entry.message) else {
            return self.ready.put_back(entry);
        };
        let no_ack = consumer.no_ack;
        let slot = match no_ack {
            true => Slot::NONE,
            false => self.outstanding.next_slot(&entry),
        };
        if !no_ack {
            self.delivered.note(&entry, sink);
        }
        let delivery = Delivery {
            message,
            slot,
            redelivered: entry.is(REDELIVERED),
            delivery_count: entry.count,
            no_ack,
        };
        sink.deliver(&consumer.handle, id, delivery);
        sink.leaves(entry.seq);
        self.consumers.took(index);
        match no_ack {
            true => self.gone(entry, sink),
            false => self.hold(now, entry, Owner::Consumer(id), sink),
        }
    }

    /// Makes a message outstanding with a client, in the slot that is next.
    fn hold<S>(&mut self, now: Timestamp, entry: Entry, owner: Owner, sink: &mut S)
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        let held = self.about_to_hold(now, entry, owner, sink);
        self.outstanding.insert(held);
    }

    fn about_to_hold<S>(&mut self, now: Timestamp, mut entry: Entry, owner: Owner, sink: &mut S) -> Held
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        self.save_outstanding_memory(&mut entry, sink);
        if self.next_overdue.is_none() {
            self.await_overdue(now);
        }
        let since = now;
        Held { entry, owner, since }
    }

    /// The last of a message: the journal and whoever waits for it hear of it.
    fn gone<S>(&mut self, entry: Entry, sink: &mut S)
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        self.paging.left(&entry);
        if entry.is(DISCARDED) {
            self.discards.gone(&entry);
        }
        if entry.is(STORED) {
            sink.settled(entry.seq);
            self.persistent.0 -= 1;
            self.persistent.1 -= u64::from(entry.len);
            if entry.seq > self.durable_up_to {
                self.confirms.early(entry.seq, sink);
            }
        } else if entry.is(PAGED) {
            sink.unpaged(entry.seq, entry.loc);
        }
    }
}
