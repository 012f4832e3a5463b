//! Stories about one queue, told to a [`QueueTest`]: it plays the broker, the journal and the
//! clients, and walks the queue's invariants after every step.

mod consuming;
mod delays;
mod discards;
mod expiry;
mod health;
mod limits;
mod measure;
mod model;
mod paging;
mod peek;
mod priorities;
mod random;
mod recovery;
mod redelivery;
mod replicated;
mod single_active;
mod taking;
mod watch;

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::types::{ByteSize, MessageParts, Traits};

/// A queue, with everybody around it.
struct QueueTest {
    queue: Queue<&'static str, String>,
    around: Around,
    kind: QueueType,
    settings: QueueSettings,
    now: Timestamp,
}

/// What the queue told the others, and what they answer it.
#[derive(Default)]
struct Around {
    deliveries: Vec<String>,
    confirmed: Vec<String>,
    refused: Vec<String>,
    cancelled: Vec<&'static str>,
    dead: Vec<Dead>,
    /// Who holds what, in order of delivery.
    held: Vec<(&'static str, String, Slot)>,
    /// Consumers whose clients take nothing now.
    stalled: BTreeSet<&'static str>,
    ids: BTreeMap<&'static str, ConsumerId>,
    journal: Journal,
    /// Requests to the store that were not answered.
    wanted: Vec<Vec<(u64, Loc)>>,
    /// How often the delivery limit was told of.
    limits_told: u32,
}

struct Dead {
    slot: Slot,
    name: String,
    reason: DeathReason,
    deliveries: u32,
}

/// What survives a restart, and what was written out to save memory.
#[derive(Clone, Default)]
struct Journal {
    durable: BTreeMap<u64, Stored>,
    paged: BTreeMap<Loc, Message>,
    mark: u64,
    last_seq: u64,
}

#[derive(Clone)]
struct Stored {
    loc: Loc,
    meta: [u8; META_LEN],
    message: Message,
    count: u32,
    discarded: Option<DeathReason>,
}

impl Sink for Around {
    type Consumer = &'static str;
    type Publish = String;

    fn room(&mut self, consumer: &&'static str) -> bool {
        !self.stalled.contains(consumer)
    }

    fn deliver(&mut self, consumer: &&'static str, id: ConsumerId, delivery: Delivery<'_>) {
        assert_eq!(delivery.no_ack, delivery.slot == Slot::NONE);
        let name = name_of(delivery.message);
        let flag = if delivery.redelivered { " (redelivered)" } else { "" };
        self.deliveries.push(format!("{consumer} ← {name}{flag}"));
        self.ids.insert(consumer, id);
        if !delivery.no_ack {
            self.held.push((consumer, name, delivery.slot));
        }
    }

    fn confirm(&mut self, publish: String) {
        self.confirmed.push(publish);
    }

    fn refuse(&mut self, publish: String) {
        self.refused.push(publish);
    }

    fn dead_letter(&mut self, slot: Slot, message: Message, reason: DeathReason) {
        self.dead.push(Dead {
            slot,
            name: name_of(&message),
            reason,
            deliveries: message.deliveries(),
        });
    }

    fn delivery_limit_reached(&mut self) {
        self.limits_told += 1;
    }

    fn cancel(&mut self, consumer: &'static str) {
        self.cancelled.push(consumer);
    }

    fn store(&mut self, seq: u64, meta: [u8; META_LEN], message: &Message, keep: Keep) -> Loc {
        self.journal.store(seq, meta, message, keep)
    }

    fn settled(&mut self, seq: u64) {
        assert!(self.journal.durable.remove(&seq).is_some(), "{seq} settled twice");
    }

    fn returned(&mut self, seq: u64, count: u32) {
        self.journal.durable.get_mut(&seq).expect("not settled yet").count = count;
    }

    fn discarded(&mut self, seq: u64, count: u32, reason: DeathReason) {
        self.journal.discarded(seq, count, reason);
    }

    fn delivered_up_to(&mut self, mark: u64) {
        self.journal.mark = mark;
    }

    fn unpaged(&mut self, _seq: u64, loc: Loc) {
        assert!(self.journal.paged.remove(&loc).is_some(), "{loc} was not paged");
    }

    fn fetch(&mut self, wanted: &[(u64, Loc)]) {
        assert!(!wanted.is_empty());
        self.wanted.push(wanted.to_vec());
    }
}

impl Journal {
    fn store(&mut self, seq: u64, meta: [u8; META_LEN], message: &Message, keep: Keep) -> Loc {
        let (loc, message) = (1000 + seq, message.clone());
        match keep {
            Keep::Durable => {
                assert!(seq > self.last_seq, "records come in order");
                self.last_seq = seq;
                let stored = Stored {
                    loc,
                    meta,
                    message,
                    count: 0,
                    discarded: None,
                };
                self.durable.insert(seq, stored);
            }
            Keep::Page => assert!(self.paged.insert(loc, message).is_none()),
        }
        loc
    }

    fn discarded(&mut self, seq: u64, count: u32, reason: DeathReason) {
        let stored = self.durable.get_mut(&seq).expect("not settled yet");
        stored.count = count;
        assert_eq!(stored.discarded.replace(reason), None, "{seq} is discarded twice");
    }

    /// The body of a message at a place, as the store would read it.
    fn body_at(&self, seq: u64, loc: Loc) -> Option<Message> {
        let stored = self.durable.get(&seq).filter(|stored| stored.loc == loc);
        let stored = stored.map(|stored| &stored.message);
        stored.or_else(|| self.paged.get(&loc)).cloned()
    }
}

impl QueueTest {
    /// A durable classic queue.
    fn new() -> Self {
        Self::of(QueueType::Classic, QueueSettings::default())
    }

    fn quorum() -> Self {
        Self::of(QueueType::Quorum, QueueSettings::default())
    }

    /// Both kinds, for stories that are the same on them.
    fn each(set: impl Fn(&mut QueueSettings)) -> [Self; 2] {
        [Self::new().with(&set), Self::quorum().with(&set)]
    }

    fn of(kind: QueueType, settings: QueueSettings) -> Self {
        let now = Timestamp(1_000_000);
        Self {
            queue: Queue::new(kind, true, settings.clone(), now),
            around: Around::default(),
            kind,
            settings,
            now,
        }
    }

    /// The queue, declared with other settings.
    fn with(self, set: impl FnOnce(&mut QueueSettings)) -> Self {
        let mut settings = self.settings;
        set(&mut settings);
        Self::of(self.kind, settings)
    }

    fn with_dead_letters(self) -> Self {
        self.with(|settings| settings.dead_letter_exchange = Some("dlx".into()))
    }

    fn consumer(mut self, name: &'static str, terms: Terms) -> Self {
        self.consume(name, terms).expect("a consumer is taken");
        self
    }

    fn consume(&mut self, name: &'static str, terms: Terms) -> Result<(), ConsumeError> {
        let consumer = Consume {
            handle: name,
            prefetch: terms.prefetch,
            no_ack: terms.no_ack,
            exclusive: terms.exclusive,
            priority: terms.priority,
            rank: terms.rank,
        };
        let id = self.queue.consume(self.now, consumer, &mut self.around)?;
        self.around.ids.insert(name, id);
        self.queue.check();
        Ok(())
    }

    fn cancel(&mut self, name: &'static str) {
        let id = self.around.ids[name];
        assert_eq!(self.queue.cancel(self.now, id, &mut self.around), Some(name));
        self.queue.check();
    }

    /// Clients are gone for good; if they know that, they say what they hold.
    fn leave(&mut self, names: &[&'static str], knows: bool) {
        let held = self.around.held.extract_if(.., |(by, ..)| names.contains(by));
        let mut slots: Vec<Slot> = held.map(|(_, _, slot)| slot).collect();
        if !knows {
            slots.clear();
        }
        let ids: Vec<_> = names
            .iter()
            .filter_map(|name| self.around.ids.get(name).copied())
            .collect();
        self.queue.give_back(self.now, ids, slots, &mut self.around);
        self.queue.check();
    }

    /// Messages that the journal has made safe; published in confirm mode.
    fn publish<const N: usize>(mut self, messages: [impl Into<Msg>; N]) -> Self {
        self.send(messages);
        self
    }

    fn send<const N: usize>(&mut self, messages: [impl Into<Msg>; N]) {
        self.send_unsynced(messages);
        self.sync();
    }

    fn send_unsynced<const N: usize>(&mut self, messages: [impl Into<Msg>; N]) {
        let publish = |message: Msg| Publish {
            publish: Some(message.name.to_owned()),
            message: message.message(),
        };
        let batch: Vec<_> = messages.into_iter().map(|message| publish(message.into())).collect();
        self.queue.publish(self.now, batch, &mut self.around);
        self.queue.check();
    }

    /// The journal has everything on disk.
    fn sync(&mut self) {
        let last = self.around.journal.last_seq;
        self.queue.durable(self.now, last, &mut self.around);
        self.queue.check();
    }

    /// What consumers got since this was asked last.
    fn delivered(&mut self) -> Vec<String> {
        std::mem::take(&mut self.around.deliveries)
    }

    fn confirmed(&mut self) -> Vec<String> {
        std::mem::take(&mut self.around.confirmed)
    }

    fn refused(&mut self) -> Vec<String> {
        std::mem::take(&mut self.around.refused)
    }

    /// Settles the delivery of that message which a client has held longest.
    fn settle(&mut self, holder: &'static str, message: &str, outcome: Outcome) {
        self.settle_all(holder, &[message], outcome);
    }

    fn settle_all(&mut self, holder: &'static str, messages: &[&str], outcome: Outcome) {
        let mut slots = Vec::new();
        for message in messages {
            let at = self
                .around
                .held
                .iter()
                .position(|(by, name, _)| *by == holder && name == message);
            slots.push(self.around.held.remove(at.expect("held")).2);
        }
        self.queue.settle(self.now, slots, outcome, &mut self.around);
        self.queue.check();
    }

    /// `basic.get`, as the client sees it; it holds the message under the name `get`.
    fn get(&mut self) -> Option<String> {
        loop {
            let got = self.queue.get(self.now, false, &mut self.around);
            self.queue.check();
            match got {
                Get::Empty => return None,
                Get::NeedsMark => panic!("nothing is replicated here"),
                Get::NeedsFetch => assert!(self.answer(), "nothing was asked for"),
                Get::Message {
                    message,
                    slot,
                    redelivered,
                    remaining,
                    ..
                } => {
                    let flag = if redelivered { " (redelivered)" } else { "" };
                    let name = name_of(&message);
                    let seen = format!("{name}{flag}, {remaining} left");
                    self.around.held.push(("get", name, slot));
                    return Some(seen);
                }
            }
        }
    }

    /// Everything that is ready, in order, taken for good.
    fn drain(&mut self) -> Vec<String> {
        let mut names = Vec::new();
        while self.get().is_some() {
            let (_, name, slot) = self.around.held.pop().expect("just got");
            self.queue.settle(self.now, [slot], Outcome::Accept, &mut self.around);
            names.push(name);
        }
        names
    }

    /// Answers the oldest request to the store; false when there is none.
    fn answer(&mut self) -> bool {
        self.answer_losing(&[])
    }

    /// The same, with the bodies of some messages lost.
    fn answer_losing(&mut self, lost: &[&str]) -> bool {
        if self.around.wanted.is_empty() {
            return false;
        }
        let wanted = self.around.wanted.remove(0);
        let body = |(seq, loc)| {
            let body = self.around.journal.body_at(seq, loc);
            (seq, body.filter(|body| !lost.contains(&name_of(body).as_str())))
        };
        let bodies = wanted.into_iter().map(body).collect();
        self.queue.fetched(self.now, bodies, &mut self.around);
        self.queue.check();
        true
    }

    fn answer_all(&mut self) {
        while self.answer() {}
    }

    /// Dead letters as `name: reason`; the broker says that it published them.
    fn dead_letters(&mut self) -> Vec<String> {
        let dead = std::mem::take(&mut self.around.dead);
        let slots = dead.iter().map(|dead| dead.slot);
        self.queue.dead_lettered(slots, &mut self.around);
        self.queue.check();
        let tell = |dead: &Dead| format!("{}: {}", dead.name, dead.reason.name());
        dead.iter().map(tell).collect()
    }

    /// Lets time pass; the queue is ticked when it wanted to be.
    fn wait(&mut self, ms: u64) -> Tick<&'static str> {
        self.now = self.now + Millis(ms);
        let mut tick = Tick {
            expire_queue: false,
            overdue: Vec::new(),
        };
        if self.queue.deadline().is_some_and(|deadline| deadline <= self.now) {
            tick = self.queue.tick(self.now, &mut self.around);
        }
        self.queue.check();
        tick
    }

    fn set(&mut self, set: impl FnOnce(&mut QueueSettings)) {
        set(&mut self.settings);
        self.queue
            .set_settings(self.now, self.settings.clone(), &mut self.around);
        self.queue.check();
    }

    fn limit_memory(&mut self, bytes: u64) {
        self.queue.set_cache_limit(ByteSize(bytes), &mut self.around);
        self.queue.check();
    }

    /// The node stops and starts again; clients are gone and what was not stored is lost.
    fn restart(&mut self) {
        self.restart_as(|queue| queue);
    }

    fn restart_as(&mut self, change: impl FnOnce(Queue<&'static str, String>) -> Queue<&'static str, String>) {
        let journal = std::mem::take(&mut self.around.journal);
        let recovered = |(seq, stored): (&u64, &Stored)| Recovered {
            seq: *seq,
            loc: stored.loc,
            meta: stored.meta,
            count: stored.count,
            discarded: stored.discarded,
            len: stored.message.body().len() as u32,
        };
        let ledger = journal.durable.iter().map(recovered).collect();
        let (kind, settings) = (self.kind, self.settings.clone());
        let queue = Queue::recover(kind, settings, self.now, ledger, journal.last_seq + 1, journal.mark);
        self.queue = change(queue);
        self.around = Around {
            journal,
            ..Around::default()
        };
        self.around.journal.paged.clear();
        self.queue.tick(self.now, &mut self.around);
        self.queue.check();
    }

    /// The same, in good order.
    fn restart_orderly(&mut self) {
        self.queue.stop(&mut self.around);
        self.restart();
    }

    fn counts(&self) -> (u64, u64) {
        (self.queue.ready(), self.queue.unacked())
    }
}

/// On which terms somebody consumes.
#[derive(Clone, Copy, Default)]
struct Terms {
    prefetch: Option<u32>,
    no_ack: bool,
    exclusive: bool,
    priority: i32,
    rank: Rank,
}

fn credit(prefetch: u32) -> Terms {
    Terms {
        prefetch: Some(prefetch),
        ..Terms::default()
    }
}

fn no_ack() -> Terms {
    Terms {
        no_ack: true,
        ..Terms::default()
    }
}

impl Terms {
    fn priority(self, priority: i32) -> Self {
        Self { priority, ..self }
    }

    fn rank(self, rank: Rank) -> Self {
        Self { rank, ..self }
    }

    fn exclusive(self) -> Self {
        Self {
            exclusive: true,
            ..self
        }
    }
}

/// A message to be published: persistent unless said otherwise, its body its name.
#[derive(Clone, Copy)]
struct Msg {
    name: &'static str,
    traits: Traits,
    bytes: usize,
    deliveries: u32,
}

impl From<&'static str> for Msg {
    fn from(name: &'static str) -> Self {
        msg(name)
    }
}

fn msg(name: &'static str) -> Msg {
    let traits = Traits {
        persistent: true,
        ..Traits::default()
    };
    Msg {
        name,
        traits,
        bytes: 0,
        deliveries: 0,
    }
}

impl Msg {
    fn transient(mut self) -> Self {
        self.traits.persistent = false;
        self
    }

    fn priority(mut self, priority: u8) -> Self {
        self.traits.priority = Some(priority);
        self
    }

    fn ttl(mut self, ms: u64) -> Self {
        self.traits.expiration = Some(Millis(ms));
        self
    }

    /// Fills the body up to so many bytes.
    fn bytes(self, bytes: usize) -> Self {
        Self { bytes, ..self }
    }

    /// As it comes from another quorum queue where it died.
    fn delivered_before(self, deliveries: u32) -> Self {
        Self { deliveries, ..self }
    }

    fn message(self) -> Message {
        let padding = self.bytes.saturating_sub(self.name.len());
        let body = self.name.to_owned() + &".".repeat(padding);
        named(&body, self.traits).with_deliveries(self.deliveries)
    }
}

fn named(body: &str, traits: Traits) -> Message {
    let parts = MessageParts {
        exchange: b"",
        routing_key: b"q",
        properties: &[0, 0],
        traits,
    };
    Message::new(parts, body.as_bytes(), &mut Vec::new())
}

fn name_of(message: &Message) -> String {
    let body = String::from_utf8_lossy(message.body());
    body.trim_end_matches('.').to_owned()
}
