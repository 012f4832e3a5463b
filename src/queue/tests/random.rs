//! Random commands against a model that knows every message: none is lost, invented or delivered
//! twice, the order holds, credit is kept, counts are right, and what the journal has at any
//! moment makes the queue again.

use std::borrow::Cow;
use std::collections::VecDeque;

use proptest::collection::vec;
use proptest::option::of as option_of;
use proptest::prelude::*;

use super::model::{GETTER, Moment, One, Stand, World};
use super::watch::{Event, Watch, number_of};
use super::*;
use crate::spec::{DeadLetterStrategy, Overflow};

#[derive(Clone, Debug)]
enum Command {
    Publish(Vec<(u8, Option<u64>, bool, usize)>),
    Sync(usize),
    Consume {
        who: usize,
        prefetch: Option<u32>,
        no_ack: bool,
        priority: i32,
    },
    Cancel(usize),
    /// Clients go, by a bit for each.
    Leave {
        who: usize,
        with_getter: bool,
        knows: bool,
    },
    Settle {
        from: usize,
        count: usize,
        outcome: u8,
    },
    Get(bool),
    Stall(usize),
    Unstall(usize),
    Answer {
        lose: bool,
    },
    Bury(usize),
    Refuse(usize),
    Strategy(bool),
    Wait(u64),
    Purge,
    Limit {
        messages: Option<u64>,
        bytes: Option<u64>,
        ttl: Option<u64>,
    },
    Memory(u64),
    Crash(usize),
    Restart,
}

fn command() -> impl Strategy<Value = Command> {
    let message = (
        0..7_u8,
        prop_oneof![4 => Just(None), 1 => (0..50_u64).prop_map(Some)],
        any::<bool>(),
        0..300_usize,
    );
    prop_oneof![
        8 => vec(message, 1..8).prop_map(Command::Publish),
        6 => (0..4_usize).prop_map(Command::Sync),
        3 => (0..4_usize, option_of(1..4_u32), prop::bool::weighted(0.2), 0..2)
            .prop_map(|(who, prefetch, no_ack, priority)| Command::Consume { who, prefetch, no_ack, priority }),
        2 => (0..4_usize).prop_map(Command::Cancel),
        2 => (1..16_usize, any::<bool>(), any::<bool>())
            .prop_map(|(who, with_getter, knows)| Command::Leave { who, with_getter, knows }),
        8 => (0..9_usize, 1..5_usize, 0..3_u8)
            .prop_map(|(from, count, outcome)| Command::Settle { from, count, outcome }),
        4 => any::<bool>().prop_map(Command::Get),
        1 => (0..4_usize).prop_map(Command::Stall),
        2 => (0..4_usize).prop_map(Command::Unstall),
        6 => prop::bool::weighted(0.1).prop_map(|lose| Command::Answer { lose }),
        3 => (0..9_usize).prop_map(Command::Bury),
        2 => (0..9_usize).prop_map(Command::Refuse),
        1 => prop::bool::weighted(0.7).prop_map(Command::Strategy),
        3 => prop_oneof![6 => 1..40_u64, 1 => Just(20_000)].prop_map(Command::Wait),
        1 => Just(Command::Purge),
        1 => (option_of(0..6_u64), option_of(0..900_u64), option_of(0..60_u64))
            .prop_map(|(messages, bytes, ttl)| Command::Limit { messages, bytes, ttl }),
        2 => prop_oneof![Just(0), 0..2000_u64].prop_map(Command::Memory),
        1 => (0..9_usize).prop_map(Command::Crash),
        1 => Just(Command::Restart),
    ]
}

fn any_settings() -> impl Strategy<Value = (QueueType, bool, QueueSettings)> {
    (
        prop_oneof![
            Just((QueueType::Classic, true)),
            Just((QueueType::Classic, false)),
            Just((QueueType::Quorum, true))
        ],
        option_of(0..4_u8),
        prop::bool::weighted(0.2),
        option_of(0..3_u32),
        prop_oneof![
            Just(Overflow::DropHead),
            Just(Overflow::RejectPublish),
            Just(Overflow::RejectPublishDlx)
        ],
        any::<bool>(),
    )
        .prop_map(
            |((kind, durable), max_priority, single_active_consumer, delivery_limit, overflow, keeps)| {
                let settings = QueueSettings {
                    dead_letter_exchange: Some("dlx".into()),
                    max_priority,
                    single_active_consumer,
                    delivery_limit,
                    overflow,
                    dead_letter_strategy: strategy(keeps),
                    ..QueueSettings::default()
                };
                (kind, durable, settings)
            },
        )
}

impl World {
    fn new(kind: QueueType, durable: bool, settings: QueueSettings) -> Self {
        let now = Timestamp(1000);
        Self {
            queue: Queue::new(kind, durable, settings.clone(), now),
            watch: Watch::default(),
            now,
            kind,
            durable,
            settings,
            consumers: BTreeMap::new(),
            living: BTreeMap::new(),
            first: VecDeque::new(),
            published: 0,
            unanswered: BTreeSet::new(),
            confirmed: BTreeSet::new(),
            delivered: BTreeSet::new(),
            lost: BTreeSet::new(),
            history: vec![Moment {
                journal: Journal::default(),
                delivered: BTreeSet::new(),
            }],
            synced: 0,
            mixed: false,
        }
    }

    fn run(&mut self, command: Command) {
        match command {
            Command::Publish(messages) => self.publish(messages),
            Command::Sync(back) => self.sync((self.history.len() - 1).saturating_sub(back)),
            Command::Consume {
                who,
                prefetch,
                no_ack,
                priority,
            } => self.consume(who, prefetch, no_ack, priority),
            Command::Cancel(who) => {
                if let Some((id, _)) = self.consumers.remove(&who) {
                    let handle = self.queue.cancel(self.now, id, &mut self.watch);
                    assert_eq!(handle, Some(who));
                }
            }
            Command::Leave {
                who,
                with_getter,
                knows,
            } => self.leave(who, with_getter, knows),
            Command::Settle { from, count, outcome } => {
                let outcome = [Outcome::Accept, Outcome::Requeue, Outcome::Discard][usize::from(outcome)];
                self.settle(from, count, outcome);
            }
            Command::Get(no_ack) => self.get(no_ack),
            Command::Stall(who) => {
                self.watch.stalled.insert(who);
            }
            Command::Unstall(who) => {
                self.watch.stalled.remove(&who);
                if let Some((id, _)) = self.consumers.get(&who) {
                    self.queue.unstall(self.now, *id, &mut self.watch);
                }
            }
            Command::Answer { lose } => self.answer(lose),
            Command::Bury(count) => self.bury(count),
            Command::Refuse(count) => self.refuse_letters(count),
            Command::Strategy(keeps) => {
                self.settings.dead_letter_strategy = strategy(keeps);
                self.queue
                    .set_settings(self.now, self.settings.clone(), &mut self.watch);
            }
            Command::Wait(ms) => {
                self.now = self.now + Millis(ms);
                self.tick_if_due();
            }
            Command::Purge => self.purge(),
            Command::Limit { messages, bytes, ttl } => {
                self.settings.max_length = messages;
                self.settings.max_length_bytes = bytes;
                self.settings.message_ttl = ttl.map(Millis);
                self.queue
                    .set_settings(self.now, self.settings.clone(), &mut self.watch);
            }
            Command::Memory(bytes) => self.queue.set_cache_limit(ByteSize(bytes), &mut self.watch),
            Command::Crash(back) => return self.crash(back),
            Command::Restart => {
                self.queue.stop(&mut self.watch);
                self.remember();
                return self.crash(0);
            }
        }
        self.look();
        self.remember();
    }

    fn remember(&mut self) {
        self.history.push(Moment {
            journal: self.watch.journal.clone(),
            delivered: self.delivered.clone(),
        });
    }

    fn publish(&mut self, messages: Vec<(u8, Option<u64>, bool, usize)>) {
        let mut batch = Vec::new();
        let mut known = Vec::new();
        for (priority, ttl, persistent, bytes) in messages {
            self.published += 1;
            self.unanswered.insert(self.published);
            let traits = Traits {
                persistent,
                priority: Some(priority),
                expiration: ttl.map(Millis),
            };
            let body = format!("{:.<bytes$}", self.published);
            batch.push(Publish {
                message: named(&body, traits),
                publish: Some(self.published),
            });
            known.push(One {
                number: self.published,
                lane: match (self.kind, self.settings.max_priority) {
                    (QueueType::Quorum, _) => u8::from(priority > 4),
                    (_, most) => priority.min(most.unwrap_or(0)),
                },
                expires: [ttl, self.settings.message_ttl.map(|ttl| ttl.0)]
                    .into_iter()
                    .flatten()
                    .min()
                    .map_or(u64::MAX, |ttl| self.now.0 + ttl),
                stored: self.kind == QueueType::Quorum || self.durable && persistent,
                redelivered: false,
                returns: 0,
                place: Stand::Waiting,
            });
        }
        let mut seq = self.queue.next_seq;
        self.queue.publish(self.now, batch, &mut self.watch);
        let refused: BTreeSet<u64> = self.watch.events.iter().filter_map(Event::refused).collect();
        for one in known {
            if !refused.contains(&one.number) {
                self.living.insert(seq, one);
                seq += 1;
            }
        }
        assert_eq!(seq, self.queue.next_seq);
        self.mixed = true;
    }

    fn sync(&mut self, up_to: usize) {
        self.synced = self.synced.max(up_to);
        let seq = self.history[self.synced].journal.last_seq;
        self.queue.durable(self.now, seq, &mut self.watch);
        self.mixed = true;
    }

    fn consume(&mut self, who: usize, prefetch: Option<u32>, no_ack: bool, priority: i32) {
        if self.consumers.contains_key(&who) {
            return;
        }
        let consumer = Consume {
            handle: who,
            prefetch,
            no_ack,
            exclusive: false,
            priority,
            rank: Rank::default(),
        };
        let id = self.queue.consume(self.now, consumer, &mut self.watch).expect("taken");
        self.consumers.insert(who, (id, prefetch.filter(|_| !no_ack)));
        // What an earlier consumer of the name holds is not this one's.
        for one in self.living.values_mut() {
            if let Stand::Held(by, slot) = one.place
                && by == who
                && !self
                    .watch
                    .events
                    .iter()
                    .any(|event| event.delivered_slot() == Some(slot))
            {
                one.place = Stand::Held(GETTER, slot);
            }
        }
    }

    /// Clients go with their consumers. What they got otherwise they say; what their consumers hold they
    /// may not know.
    fn leave(&mut self, who: usize, with_getter: bool, knows: bool) {
        let gone: Vec<usize> = (0..4).filter(|one| who & 1 << one != 0).collect();
        let gone: BTreeMap<usize, ConsumerId> = gone
            .into_iter()
            .filter_map(|one| Some((one, self.consumers.remove(&one)?.0)))
            .collect();
        let mut slots = Vec::new();
        for (seq, one) in &mut self.living {
            let Stand::Held(by, slot) = one.place else { continue };
            let is_listed = (by == GETTER && with_getter) || (gone.contains_key(&by) && knows);
            if is_listed || gone.contains_key(&by) {
                one.place = Stand::Waiting;
                one.redelivered = true;
                one.returns += 1;
                self.first.push_back(*seq);
                slots.extend(is_listed.then_some(slot));
            }
        }
        let ended = self
            .queue
            .give_back(self.now, gone.values().copied(), slots, &mut self.watch);
        assert_eq!(ended, gone.len());
    }

    fn settle(&mut self, from: usize, count: usize, outcome: Outcome) {
        let held = self.living.iter().filter_map(|(seq, one)| match one.place {
            Stand::Held(_, slot) => Some((*seq, slot)),
            _ => None,
        });
        let picked: Vec<_> = held.skip(from).take(count).collect();
        for (seq, _) in &picked {
            match outcome {
                Outcome::Accept => {
                    self.living.remove(seq);
                }
                Outcome::Requeue => {
                    let one = self.living.get_mut(seq).expect("held");
                    one.place = Stand::Waiting;
                    one.redelivered = true;
                    one.returns += 1;
                    self.first.push_back(*seq);
                }
                Outcome::Discard => self.living.get_mut(seq).expect("held").place = Stand::Leaving,
            }
        }
        let slots: Vec<_> = picked.into_iter().map(|(_, slot)| slot).collect();
        self.queue.settle(self.now, slots, outcome, &mut self.watch);
    }

    fn get(&mut self, no_ack: bool) {
        if let Get::Message {
            message,
            slot,
            redelivered,
            remaining,
            ..
        } = self.queue.get(self.now, no_ack, &mut self.watch)
        {
            assert_eq!(no_ack, slot == Slot::NONE);
            assert_eq!(remaining, self.queue.ready());
            let number = number_of(&message);
            self.watch.events.push(Event::Delivered {
                to: GETTER,
                number,
                slot,
                redelivered,
            });
        }
    }

    fn answer(&mut self, lose: bool) {
        if self.watch.wanted.is_empty() {
            return;
        }
        let wanted = self.watch.wanted.remove(0);
        let mut bodies = Vec::new();
        for (seq, loc) in wanted {
            let awaited = self.queue.dying.contains_key(&seq) || self.is_waiting(seq);
            let body = self.watch.journal.body_at(seq, loc);
            assert!(body.is_some() || !awaited, "{seq} is not at {loc}");
            if lose && awaited && seq % 2 == 0 {
                self.lost.insert(seq);
                bodies.push((seq, None));
            } else {
                bodies.push((seq, body));
            }
        }
        let lost = self.queue.fetched(self.now, bodies, &mut self.watch);
        assert!(lost as usize <= self.lost.len());
    }

    fn is_waiting(&self, seq: u64) -> bool {
        self.living.get(&seq).is_some_and(|one| one.place == Stand::Waiting)
    }

    /// Tells the queue that some dead letters are published.
    fn bury(&mut self, count: usize) {
        let dying = self.living.iter().filter_map(|(seq, one)| match one.place {
            Stand::Dying(slot) => Some((*seq, slot)),
            _ => None,
        });
        let picked: Vec<_> = dying.take(count).collect();
        for (seq, _) in &picked {
            self.living.remove(seq);
        }
        let slots: Vec<_> = picked.into_iter().map(|(_, slot)| slot).collect();
        if self.queue.keeps_dead_letters() {
            let answers = slots.into_iter().map(|slot| (slot, DeadLetterOutcome::Confirmed));
            self.queue.dead_letters_answered(self.now, answers, &mut self.watch);
        } else {
            self.queue.dead_lettered(slots, &mut self.watch);
        }
        self.tick_if_due();
    }

    /// Some letters were not taken; such an answer may also be of before a change of the settings.
    fn refuse_letters(&mut self, count: usize) {
        let dying = self.living.values_mut().filter_map(|one| match one.place {
            Stand::Dying(slot) => Some((one, slot)),
            _ => None,
        });
        let mut answers = Vec::new();
        for (one, slot) in dying.take(count) {
            one.place = Stand::Leaving;
            answers.push((slot, DeadLetterOutcome::Refused { reached: Vec::new() }));
        }
        self.queue.dead_letters_answered(self.now, answers, &mut self.watch);
    }

    fn tick_if_due(&mut self) {
        if self.queue.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.queue.tick(self.now, &mut self.watch);
        }
    }

    fn purge(&mut self) {
        let ready = self.queue.ready();
        let purged: Vec<u64> = self.queue.ready.iter().map(|entry| entry.seq).collect();
        for seq in purged {
            let one = self.living.remove(&seq);
            assert!(one.is_some_and(|one| one.place == Stand::Waiting) || self.lost.contains(&seq));
        }
        assert_eq!(self.queue.purge(&mut self.watch), ready);
    }

    /// The node dies; the journal has everything up to some moment since the last sync.
    fn crash(&mut self, back: usize) {
        if !self.durable {
            return;
        }
        let last = self.history.len() - 1;
        let moment = self.history.swap_remove(last.saturating_sub(back).max(self.synced));
        for (seq, one) in &self.living {
            if one.stored && self.confirmed.contains(&one.number) {
                assert!(moment.journal.durable.contains_key(seq), "{} was confirmed", one.number);
            }
        }
        let Moment {
            mut journal,
            mut delivered,
        } = moment;
        journal.paged.clear();
        let recovered = |(seq, stored): (&u64, &Stored)| Recovered {
            seq: *seq,
            loc: stored.loc,
            meta: stored.meta,
            count: stored.count,
            discarded: stored.discarded,
            len: stored.message.body().len() as u32,
        };
        let ledger: Vec<_> = journal.durable.iter().map(recovered).collect();
        self.queue = Queue::recover(
            self.kind,
            self.settings.clone(),
            self.now,
            ledger,
            journal.last_seq + 1,
            journal.mark,
        );
        let most = self.settings.max_priority.unwrap_or(0);
        self.living.clear();
        for (seq, stored) in &journal.durable {
            let redelivered = stored.count > 0 || *seq <= journal.mark;
            assert!(redelivered || !delivered.contains(seq), "{seq} was delivered");
            let priority = stored.message.traits().priority.unwrap_or(0);
            let expires = u64::from_le_bytes(stored.meta[8..16].try_into().expect("eight bytes"));
            let one = One {
                number: number_of(&stored.message),
                lane: match self.kind {
                    QueueType::Quorum => u8::from(priority > 4),
                    _ => priority.min(most),
                },
                expires,
                stored: true,
                redelivered,
                returns: stored.count,
                place: match stored.discarded {
                    Some(_) => Stand::Leaving,
                    None => Stand::Waiting,
                },
            };
            self.living.insert(*seq, one);
        }
        self.queue.check();
        let discards = self.queue.discards.iter().map(Cow::Borrowed);
        let entries = self.queue.ready.iter().chain(discards);
        let seqs = entries.map(|entry| entry.seq).collect::<BTreeSet<_>>();
        assert!(seqs.iter().eq(self.living.keys()));
        self.watch = Watch {
            journal: journal.clone(),
            ..Watch::default()
        };
        self.consumers.clear();
        self.first.clear();
        self.unanswered.clear();
        self.lost.clear();
        // Numbers that the journal never saw are given again.
        delivered.retain(|seq| journal.durable.contains_key(seq));
        self.delivered = delivered.clone();
        self.history = vec![Moment { journal, delivered }];
        self.synced = 0;
        self.queue.tick(self.now, &mut self.watch);
        self.look();
        self.remember();
    }

    /// Everybody goes, then what is left is taken out.
    fn drain(&mut self) {
        self.run(Command::Limit {
            messages: None,
            bytes: None,
            ttl: None,
        });
        for who in 0..4 {
            self.run(Command::Unstall(who));
            self.run(Command::Cancel(who));
        }
        self.run(Command::Sync(0));
        self.run(Command::Settle {
            from: 0,
            count: usize::MAX,
            outcome: 1,
        });
        while !self.living.is_empty() {
            self.run(Command::Get(true));
            self.run(Command::Answer { lose: false });
            self.run(Command::Bury(usize::MAX));
            if self.queue.counts().discarded > 0 {
                self.run(Command::Wait(20_000));
            }
        }
        assert!(self.watch.journal.durable.is_empty() && self.watch.journal.paged.is_empty());
        assert_eq!(self.queue.counts(), Counts::default());
        assert!(self.unanswered.is_empty(), "everything published is answered");
        assert_eq!(self.queue.deadline(), None);
    }
}

fn strategy(keeps: bool) -> DeadLetterStrategy {
    match keeps {
        true => DeadLetterStrategy::AtLeastOnce,
        false => DeadLetterStrategy::AtMostOnce,
    }
}

#[test]
fn what_is_discarded_when_it_comes_back_lets_others_go_first() {
    let settings = QueueSettings {
        dead_letter_exchange: Some("dlx".into()),
        delivery_limit: Some(0),
        overflow: Overflow::RejectPublish,
        dead_letter_strategy: DeadLetterStrategy::AtLeastOnce,
        ..QueueSettings::default()
    };
    let mut world = World::new(QueueType::Quorum, true, settings);
    world.run(Command::Publish(vec![(0, None, false, 0); 2]));
    world.run(Command::Sync(0));
    world.run(Command::Consume {
        who: 0,
        prefetch: Some(1),
        no_ack: false,
        priority: 0,
    });
    world.run(Command::Settle {
        from: 0,
        count: 1,
        outcome: 1,
    });
    world.drain();
}

proptest! {
    #[test]
    fn whatever_happens_every_message_is_accounted_for(
        (kind, durable, settings) in any_settings(),
        commands in vec(command(), 1..80),
    ) {
        let mut world = World::new(kind, durable, settings);
        for command in commands {
            world.run(command);
        }
        world.drain();
    }
}
