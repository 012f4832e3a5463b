//! A queue whose leader is replaced at any moment: the next one is recovered from what was
//! committed, publishers send again, and clients bring along what they hold.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::collection::vec;
use proptest::option::of as option_of;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::*;
use crate::queue::ledger::Before;
use crate::queue::recorder::{Arrival, Deduplicator, Recorder, Recording};
use crate::queue::{
    Consume, ConsumerId, DeadLetterOutcome, DeathReason, Delivery, Get, Holder, Keep, Loc, Outcome, Publish, Queue,
    Rank, Sink, Slot,
};
use crate::spec::{DeadLetterStrategy, Overflow, QueueSettings, QueueType};
use crate::types::{Millis, Timestamp};

/// A message, by its producer and the producer's number.
type Id = (u64, u64);

/// Whoever uses `basic.get`.
const GETTER: usize = 99;

#[derive(Default)]
struct Effects {
    delivered: Vec<(usize, Id, Slot, bool, u32)>,
    confirmed: Vec<Id>,
    dead: Vec<(Slot, Id)>,
    wanted: Vec<Vec<(u64, Loc)>>,
    /// Nobody has room: not everybody is there yet, or the lease is lost.
    holds_back: bool,
}

impl Sink for Effects {
    type Consumer = usize;
    type Publish = Id;

    fn room(&mut self, _consumer: &usize) -> bool {
        !self.holds_back
    }
    fn deliver(&mut self, consumer: &usize, _id: ConsumerId, delivery: Delivery<'_>) {
        let id = id_of(delivery.message);
        let Delivery {
            slot,
            redelivered,
            delivery_count,
            ..
        } = delivery;
        self.delivered.push((*consumer, id, slot, redelivered, delivery_count));
    }
    fn confirm(&mut self, publish: Id) {
        self.confirmed.push(publish);
    }
    fn refuse(&mut self, publish: Id) {
        panic!("{publish:?} is refused without a limit")
    }
    fn dead_letter(&mut self, slot: Slot, message: Message, _reason: DeathReason) {
        self.dead.push((slot, id_of(&message)));
    }
    fn cancel(&mut self, _consumer: usize) {
        panic!("nothing is deleted")
    }
    fn store(&mut self, _seq: u64, _meta: [u8; META_LEN], _message: &Message, _keep: Keep) -> Loc {
        panic!("a quorum queue pages nothing out")
    }
    fn settled(&mut self, _seq: u64) {
        panic!("the recorder's")
    }
    fn returned(&mut self, _seq: u64, _count: u32) {
        panic!("the recorder's")
    }
    fn discarded(&mut self, _seq: u64, _count: u32, _reason: DeathReason) {
        panic!("the recorder's")
    }
    fn delivered_up_to(&mut self, _mark: u64) {
        panic!("the recorder's")
    }
    fn fetch(&mut self, wanted: &[(u64, Loc)]) {
        self.wanted.push(wanted.to_vec());
    }
}

fn id_of(message: &Message) -> Id {
    let text = text(message);
    let (producer, number) = text.split_once('-').expect("named so");
    (producer.parse().expect("a number"), number.parse().expect("a number"))
}

#[derive(Clone, Debug)]
enum Command {
    Publish {
        producer: u64,
        count: u64,
        ttl: Option<u64>,
    },
    Consume {
        who: usize,
        prefetch: Option<u32>,
        no_ack: bool,
    },
    Cancel(usize),
    /// The client is gone, with all it holds.
    Gone(usize),
    Get,
    Settle(usize, u8),
    Bury,
    Propose,
    Commit(usize),
    Fetch,
    Wait(u64),
    HoldBack(bool),
    /// The leader goes; so many of its proposals are committed, and it knows of none of them.
    Elect(usize),
    /// The same in good order: it says exactly what was delivered.
    HandOver,
    /// It goes on after it has said so.
    HandOverFails,
}

fn command() -> impl Strategy<Value = Command> {
    let prefetch = prop_oneof![3 => (1..6_u32).prop_map(Some), 1 => Just(None)];
    prop_oneof![
        6 => (0..2_u64, 1..9_u64, option_of(prop_oneof![3 => 0..40_u64, 1 => Just(0)]))
            .prop_map(|(producer, count, ttl)| Command::Publish { producer, count, ttl: ttl.filter(|_| producer == 1) }),
        3 => (0..3_usize, prefetch, prop::bool::weighted(0.2))
            .prop_map(|(who, prefetch, no_ack)| Command::Consume { who, prefetch, no_ack }),
        1 => (0..3_usize).prop_map(Command::Cancel),
        1 => (0..3_usize).prop_map(Command::Gone),
        3 => Just(Command::Get),
        6 => (0..12_usize, 0..3_u8).prop_map(|(at, outcome)| Command::Settle(at, outcome)),
        2 => Just(Command::Bury),
        6 => Just(Command::Propose),
        6 => (1..4_usize).prop_map(Command::Commit),
        4 => Just(Command::Fetch),
        2 => (1..30_u64).prop_map(Command::Wait),
        1 => any::<bool>().prop_map(Command::HoldBack),
        2 => (0..5_usize).prop_map(Command::Elect),
        1 => Just(Command::HandOver),
        1 => Just(Command::HandOverFails),
    ]
}

/// A message that a client has.
#[derive(Clone, Copy, Debug)]
struct Has {
    by: usize,
    id: Id,
    slot: Slot,
    /// What it said about it, which may not be committed: it says so again to the next leader.
    said: Option<Outcome>,
    /// Proposals that must be committed for that.
    with: u64,
}

struct World {
    queue: Queue<usize, Id>,
    deduplicator: Deduplicator,
    effects: Effects,
    batch: Records,
    ledger: Ledger,
    log: Arc<Log>,
    index: u64,
    /// With how many messages the leader had discarded by then.
    proposed: VecDeque<(Bytes, u64)>,
    /// Batches proposed by all leaders that were not lost.
    proposals: u64,
    term: u32,
    now: Timestamp,
    /// Whether deliveries wait for the mark, as they must.
    waits: bool,
    settings: QueueSettings,
    consumers: BTreeMap<usize, (ConsumerId, Option<u32>, bool)>,
    has: Vec<Has>,
    sent: [u64; 2],
    /// Not confirmed: they are sent again.
    unconfirmed: BTreeMap<Id, Option<u64>>,
    confirmed: BTreeSet<Id>,
    /// To be confirmed when this is committed.
    again: Vec<(Id, u64)>,
    unflagged: BTreeSet<Id>,
    /// How often clients have given it back, or were gone with it.
    returns: BTreeMap<Id, u32>,
    last_fresh: [u64; 2],
    /// Whose letters went out of a queue that keeps them: they are nobody's any more.
    dead: BTreeSet<Id>,
    /// Letters that were answered; every third is refused.
    letters: u64,
    /// Accepted, dead-lettered, or delivered to somebody who accepts everything.
    ended: BTreeSet<Id>,
}

impl World {
    fn new(waits: bool, delivery_limit: Option<u32>, keeps: bool) -> Self {
        let log = Log::new();
        let mut world = Self {
            queue: Queue::new(QueueType::Quorum, true, QueueSettings::default(), Timestamp(0)),
            deduplicator: Deduplicator::default(),
            effects: Effects::default(),
            batch: Records::default(),
            ledger: Ledger::over(log.clone(), 300),
            log,
            index: 0,
            proposed: VecDeque::new(),
            proposals: 0,
            term: 0,
            now: Timestamp(1000),
            waits,
            settings: QueueSettings {
                dead_letter_exchange: Some("dlx".into()),
                delivery_limit,
                overflow: Overflow::RejectPublish,
                dead_letter_strategy: match keeps {
                    true => DeadLetterStrategy::AtLeastOnce,
                    false => DeadLetterStrategy::AtMostOnce,
                },
                ..QueueSettings::default()
            },
            consumers: BTreeMap::new(),
            has: Vec::new(),
            sent: [0; 2],
            unconfirmed: BTreeMap::new(),
            confirmed: BTreeSet::new(),
            again: Vec::new(),
            unflagged: BTreeSet::new(),
            returns: BTreeMap::new(),
            last_fresh: [0; 2],
            letters: 0,
            dead: BTreeSet::new(),
            ended: BTreeSet::new(),
        };
        world.lead();
        world
    }

    /// Runs something on the queue, and looks at what it did.
    fn on_queue<R>(
        &mut self,
        run: impl FnOnce(&mut Queue<usize, Id>, Timestamp, &mut Recorder<'_, Effects>) -> R,
    ) -> R {
        let mut sink = Recorder {
            effects: &mut self.effects,
            recording: Recording {
                records: &mut self.batch,
                deduplicator: &self.deduplicator,
            },
        };
        let result = run(&mut self.queue, self.now, &mut sink);
        self.queue.check();
        self.look();
        result
    }

    fn run(&mut self, command: &Command) {
        match *command {
            Command::Publish { producer, count, ttl } => {
                let sent = self.sent[producer as usize];
                self.sent[producer as usize] += count;
                let new: Vec<_> = (sent + 1..=sent + count)
                    .map(|number| ((producer, number), ttl))
                    .collect();
                self.unconfirmed.extend(new.iter().copied());
                self.publish(new);
            }
            Command::Consume { who, prefetch, no_ack } => {
                if !self.consumers.contains_key(&who) && !self.has.iter().any(|has| has.by == who) {
                    self.consume(who, prefetch, no_ack);
                }
            }
            Command::Cancel(who) => {
                if let Some((id, ..)) = self.consumers.remove(&who) {
                    self.on_queue(|queue, now, sink| queue.cancel(now, id, sink));
                    // Its client settles what it has as if it had got it itself; of what was returned
                    // and delivered again, only that it has it counts.
                    let has = std::mem::take(&mut self.has);
                    for mut one in has {
                        if one.by == who {
                            one.by = GETTER;
                        }
                        self.has.retain(|has| (has.by, has.id) != (one.by, one.id));
                        self.has.push(one);
                    }
                }
            }
            Command::Gone(who) => {
                if let Some((id, ..)) = self.consumers.remove(&who) {
                    let has = self.has.extract_if(.., |has| has.by == who);
                    for has in has.filter(|has| has.said.is_none()) {
                        *self.returns.entry(has.id).or_default() += 1;
                    }
                    let ended = self.on_queue(|queue, now, sink| queue.give_back(now, [id], [], sink));
                    assert_eq!(ended, 1);
                    assert!(self.queue.held_by(id).is_empty());
                }
            }
            Command::Get => self.get(),
            Command::Settle(at, outcome) => {
                let outcome = [Outcome::Accept, Outcome::Requeue, Outcome::Discard][usize::from(outcome)];
                let mut open = self.has.iter_mut().filter(|has| has.said.is_none());
                if let Some(has) = open.nth(at) {
                    has.said = Some(outcome);
                    has.with = self.proposals + 1;
                    let has = *has;
                    if outcome == Outcome::Requeue {
                        *self.returns.entry(has.id).or_default() += 1;
                    }
                    self.settle(has, outcome);
                }
            }
            Command::Bury => {
                let dead = std::mem::take(&mut self.effects.dead);
                if !self.queue.keeps_dead_letters() {
                    self.ended.extend(dead.iter().map(|(_, id)| *id));
                    let slots = dead.into_iter().map(|(slot, _)| slot);
                    return self.on_queue(|queue, _, sink| queue.dead_lettered(slots, sink));
                }
                let mut answers = Vec::new();
                for (slot, id) in dead {
                    self.letters += 1;
                    let is_refused = self.letters.is_multiple_of(3);
                    answers.push(match is_refused {
                        true => (slot, DeadLetterOutcome::Refused { reached: Vec::new() }),
                        false => (slot, DeadLetterOutcome::Confirmed),
                    });
                    if !is_refused {
                        self.ended.insert(id);
                    }
                }
                self.on_queue(|queue, now, sink| queue.dead_letters_answered(now, answers, sink));
            }
            Command::Propose => self.propose(),
            Command::Commit(count) => {
                for _ in 0..count {
                    self.commit();
                }
            }
            Command::Fetch => self.fetch(),
            Command::Wait(ms) => {
                self.now = self.now + Millis(ms);
                self.on_queue(|queue, now, sink| queue.tick(now, sink));
            }
            Command::HoldBack(holds) => {
                self.effects.holds_back = holds;
                if !holds {
                    self.on_queue(|queue, now, sink| queue.unstall_all(now, sink));
                }
            }
            Command::Elect(survive) => {
                self.proposed.truncate(survive);
                self.elect();
            }
            Command::HandOver => {
                self.effects.holds_back = true;
                self.on_queue(|queue, _, sink| queue.stop(sink));
                self.propose();
                self.elect();
            }
            Command::HandOverFails => {
                self.on_queue(|queue, _, sink| queue.stop(sink));
                self.propose();
                while !self.proposed.is_empty() {
                    self.commit();
                }
                self.on_queue(|queue, now, sink| queue.unstall_all(now, sink));
            }
        }
    }

    fn publish(&mut self, messages: Vec<(Id, Option<u64>)>) {
        let now = self.now;
        let arrivals = messages.into_iter().map(|((producer, number), ttl)| Arrival {
            publish: Publish {
                message: named(&format!("{producer}-{number}"), ttl),
                publish: Some((producer, number)),
            },
            origin: Some(origin(producer, number)),
        });
        let mut again = Vec::new();
        let mut sink = Recorder {
            effects: &mut self.effects,
            recording: Recording {
                records: &mut self.batch,
                deduplicator: &self.deduplicator,
            },
        };
        let admitted = self.deduplicator.admit(arrivals, |publish, before| match before {
            Before::Taken { with } => again.push((publish, with)),
            Before::Unknown => panic!("nothing is refused without a limit"),
        });
        self.queue.publish(now, admitted, &mut sink);
        self.queue.check();
        self.again.extend(
            again
                .into_iter()
                .filter_map(|(publish, seq)| Some((publish.publish?, seq))),
        );
        self.confirm_again();
        self.look();
    }

    fn consume(&mut self, who: usize, prefetch: Option<u32>, no_ack: bool) {
        let consumer = Consume {
            handle: who,
            prefetch,
            no_ack,
            exclusive: false,
            priority: 0,
            rank: Rank::default(),
        };
        let id = self.on_queue(|queue, now, sink| queue.consume(now, consumer, sink));
        self.consumers.insert(who, (id.expect("taken"), prefetch, no_ack));
    }

    fn get(&mut self) {
        match self.on_queue(|queue, now, sink| queue.get(now, false, sink)) {
            Get::Message {
                message,
                slot,
                redelivered,
                delivery_count,
                ..
            } => {
                self.effects
                    .delivered
                    .push((GETTER, id_of(&message), slot, redelivered, delivery_count));
                self.look();
            }
            Get::NeedsFetch => assert!(!self.effects.wanted.is_empty()),
            Get::NeedsMark => assert!(self.waits),
            Get::Empty => {}
        }
    }

    fn settle(&mut self, has: Has, outcome: Outcome) {
        if outcome == Outcome::Accept {
            self.ended.insert(has.id);
        }
        self.on_queue(|queue, now, sink| queue.settle(now, [has.slot], outcome, sink));
    }

    fn propose(&mut self) {
        if let Some(batch) = self.batch.take() {
            self.proposed.push_back((batch, self.queue.discards_recorded()));
            self.proposals += 1;
        }
    }

    /// The oldest proposal is committed and applied; how many messages were discarded by then.
    fn apply(&mut self) -> Option<u64> {
        let (batch, discards) = self.proposed.pop_front()?;
        self.index += 1;
        self.log.write(self.index, batch.clone());
        Ledger::check(&batch).expect("just written");
        let applied = self.ledger.apply(self.index, batch).expect("just written");
        assert!(applied.dropped.is_empty(), "the deduplicator turns them away");
        Some(discards)
    }

    fn commit(&mut self) {
        let Some(discards) = self.apply() else { return };
        let (mark, durable) = (self.ledger.delivered_up_to(), self.ledger.next_seq() - 1);
        self.on_queue(|queue, now, sink| queue.marked(now, mark, sink));
        self.on_queue(|queue, now, sink| queue.durable(now, durable, sink));
        self.on_queue(|queue, now, sink| queue.discards_committed(now, discards, sink));
        self.confirm_again();
        // What was said with the batches that are committed need not be said again.
        let committed = self.proposals - self.proposed.len() as u64;
        self.has.retain(|has| has.said.is_none() || has.with > committed);
        self.look();
    }

    /// What was sent again is confirmed when what was sent first is committed.
    fn confirm_again(&mut self) {
        let durable = self.ledger.next_seq() - 1;
        let safe = self.again.extract_if(.., |(_, seq)| *seq <= durable);
        self.effects.confirmed.extend(safe.map(|(id, _)| id));
    }

    fn fetch(&mut self) {
        for wanted in std::mem::take(&mut self.effects.wanted) {
            let seqs: Vec<_> = wanted.iter().map(|(seq, _)| *seq).collect();
            let bodies = self.ledger.locate(&seqs).read();
            let bodies = bodies.into_iter().map(|(seq, body)| (seq, body.ok())).collect();
            let lost = self.on_queue(|queue, now, sink| queue.fetched(now, bodies, sink));
            assert_eq!(lost, 0);
        }
    }

    fn elect(&mut self) {
        while self.apply().is_some() {}
        self.proposals = self.index;
        self.lead();
    }

    /// A new leader begins with what is committed.
    fn lead(&mut self) {
        self.term += 1;
        self.batch = Records::default();
        self.effects = Effects {
            holds_back: true,
            ..Effects::default()
        };
        self.again.clear();
        let ledger = &self.ledger;
        let (next_seq, mark) = (ledger.next_seq(), ledger.delivered_up_to());
        let recovered = ledger.recovered();
        self.deduplicator = Deduplicator::new(ledger.producers().clone());
        let queue = Queue::recover(
            QueueType::Quorum,
            self.settings.clone(),
            self.now,
            recovered,
            next_seq,
            mark,
        );
        self.queue = match self.waits {
            true => queue.replicated(self.term),
            false => queue,
        };
        for (who, (_, prefetch, no_ack)) in std::mem::take(&mut self.consumers) {
            self.consume(who, prefetch, no_ack);
        }
        self.attach();
        self.effects.holds_back = false;
        self.on_queue(|queue, now, sink| queue.unstall_all(now, sink));
        let unconfirmed = self.unconfirmed.iter().map(|(id, ttl)| (*id, *ttl)).collect();
        self.publish(unconfirmed);
    }

    /// Clients bring along what they have, and say again what they said.
    fn attach(&mut self) {
        let mut holders: BTreeMap<(bool, usize), Vec<Slot>> = BTreeMap::new();
        for has in &self.has {
            let holder = (has.said.is_some(), has.by);
            holders.entry(holder).or_default().push(has.slot);
        }
        for ((said, who), slots) in holders {
            let holder = match self.consumers.get(&who) {
                Some((id, ..)) => Holder::Consumer(*id),
                None => Holder::Get,
            };
            let before = self.queue.held().count();
            let brought = slots.clone();
            let lost = self.on_queue(|queue, now, sink| queue.adopt(now, holder, brought, sink));
            assert_eq!(self.queue.held().count(), before + slots.len() - lost.len());
            assert!(said || lost.is_empty(), "{who} is not left {lost:?}");
            self.has
                .retain(|has| has.said.is_none() || has.by != who || !lost.contains(&has.slot));
            let mut kept = slots;
            kept.retain(|slot| !lost.contains(slot));
            let again = self.on_queue(|queue, now, sink| queue.adopt(now, holder, kept, sink));
            assert_eq!(again, [], "what they have is their own already");
        }
        for has in &mut self.has {
            has.with = self.proposals + 1;
        }
        for has in self.has.clone() {
            if let Some(said) = has.said {
                self.settle(has, said);
            }
        }
    }

    /// Checks what the queue told.
    fn look(&mut self) {
        if self.waits && self.queue.keeps_dead_letters() {
            self.dead.extend(self.effects.dead.iter().map(|(_, id)| *id));
        }
        for (to, id, slot, redelivered, count) in std::mem::take(&mut self.effects.delivered) {
            assert!(id.1 <= self.sent[id.0 as usize], "invented");
            let returns = self.returns.get(&id).copied().unwrap_or(0);
            assert!(count <= returns, "{id:?} came back {returns} times, not {count}");
            let held = self.has.iter().find(|has| has.id == id && has.said.is_none());
            assert!(held.is_none(), "{id:?} is delivered to {to}, and {held:?}");
            assert!(!self.dead.contains(&id), "{id:?} is dead, and delivered to {to}");
            if !redelivered {
                assert!(self.unflagged.insert(id), "{id:?} is delivered again, unflagged");
                let last = &mut self.last_fresh[id.0 as usize];
                assert!(id.1 > *last, "{id:?} after {last}");
                *last = id.1;
            }
            // Who gets back what it returned need not say again that it did.
            self.has.retain(|has| has.by != to || has.id != id);
            if slot == Slot::NONE {
                self.ended.insert(id);
            } else {
                self.has.push(Has {
                    by: to,
                    id,
                    slot,
                    said: None,
                    with: 0,
                });
            }
        }
        for (who, (_, prefetch, _)) in &self.consumers {
            let has = self
                .has
                .iter()
                .filter(|has| has.by == *who && has.said.is_none())
                .count();
            assert!(prefetch.is_none_or(|most| has <= most as usize), "credit of {who}");
        }
        for id in std::mem::take(&mut self.effects.confirmed) {
            assert!(self.unconfirmed.remove(&id).is_some(), "{id:?} confirmed twice");
            self.confirmed.insert(id);
        }
    }

    /// Everybody takes and accepts until nothing is left.
    fn finish(&mut self) {
        self.effects.holds_back = false;
        self.on_queue(|queue, now, sink| queue.unstall_all(now, sink));
        for _ in 0..10_000 {
            for has in std::mem::take(&mut self.has) {
                if has.said.is_none() {
                    self.settle(has, Outcome::Accept);
                }
            }
            self.get();
            for command in [Command::Fetch, Command::Bury, Command::Propose, Command::Commit(9)] {
                self.run(&command);
            }
            if self.queue.counts().discarded > 0 {
                self.run(&Command::Wait(20_000));
            }
            let is_empty = self.ledger.figures().messages == 0 && self.batch.is_empty();
            if is_empty && self.unconfirmed.is_empty() && self.has.is_empty() {
                break;
            }
        }
        assert_eq!(self.unconfirmed.len(), 0, "everything is confirmed");
        assert_eq!(self.ledger.figures().messages, 0, "the ledger is drained");
        assert_eq!((self.queue.ready(), self.queue.unacked()), (0, 0));
        let lost: Vec<_> = self.confirmed.difference(&self.ended).collect();
        assert!(lost.is_empty(), "{lost:?} are lost");
    }
}

fn named(body: &str, ttl: Option<u64>) -> Message {
    let parts = MessageParts {
        exchange: b"",
        routing_key: b"queue",
        properties: &[0, 0],
        traits: Traits {
            expiration: ttl.map(Millis),
            ..Traits::default()
        },
    };
    Message::new(parts, body.as_bytes(), &mut Vec::new())
}

fn play(waits: bool, delivery_limit: Option<u32>, keeps: bool, commands: &[Command]) {
    let mut world = World::new(waits, delivery_limit, keeps);
    commands.iter().for_each(|command| world.run(command));
    world.finish();
}

proptest! {
    #[test]
    fn leaders_come_and_go_and_no_message_is_lost_or_delivered_again_unflagged(
        limit in option_of(0..4_u32),
        keeps: bool,
        commands in vec(command(), 1..120),
    ) {
        play(true, limit, keeps, &commands);
    }
}

#[test]
fn a_leader_that_delivers_before_the_mark_is_committed_is_found_out() {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let config = Config {
        cases: 200,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, rng);
    let found = runner.run(&vec(command(), 1..120), |commands| {
        play(false, None, false, &commands);
        Ok(())
    });
    let found = found.expect_err("it goes unnoticed").to_string();
    assert!(found.contains("is delivered again, unflagged"), "{found}");
}
