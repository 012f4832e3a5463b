use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::queue::recorder::{Arrival, Deduplicator, Recorder, Recording};
use crate::queue::{
    ConsumerId, DeadLetterOutcome, DeathReason, Delivery, Get, Keep, Loc, Outcome, Publish, Queue, Sink, Slot,
};
use crate::spec::{DeadLetterStrategy, Overflow, QueueSettings, QueueType};
use crate::types::Timestamp;

const NOW: Timestamp = Timestamp(1000);

/// What the queue wants done.
#[derive(Default)]
struct Effects {
    wanted: Vec<(u64, Loc)>,
    dead: Vec<Slot>,
    confirmed: Vec<u64>,
}

impl Sink for Effects {
    type Consumer = ();
    type Publish = u64;

    fn room(&mut self, _consumer: &()) -> bool {
        true
    }
    fn deliver(&mut self, _consumer: &(), _id: ConsumerId, _delivery: Delivery<'_>) {}
    fn confirm(&mut self, publish: u64) {
        self.confirmed.push(publish);
    }
    fn refuse(&mut self, _publish: u64) {}
    fn dead_letter(&mut self, slot: Slot, _message: Message, _reason: DeathReason) {
        self.dead.push(slot);
    }
    fn cancel(&mut self, _consumer: ()) {}
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
        self.wanted.extend(wanted);
    }
}

#[derive(Clone, Debug)]
enum Command {
    Publish(u64, usize),
    /// The producer sends again what it sent, from this number on.
    Again(u64, u64),
    Take(usize),
    Settle(usize, u8),
    Bury,
    Purge,
    Commit,
    Copy,
    /// The leader goes, with what was not committed.
    Elect,
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        6 => (0..3_u64, 1..9_usize).prop_map(|(producer, count)| Command::Publish(producer, count)),
        2 => (0..3_u64, 1..9_u64).prop_map(|(producer, back)| Command::Again(producer, back)),
        5 => (1..9_usize).prop_map(Command::Take),
        5 => (0..9_usize, 0..3_u8).prop_map(|(at, outcome)| Command::Settle(at, outcome)),
        2 => Just(Command::Bury),
        1 => Just(Command::Purge),
        6 => Just(Command::Commit),
        1 => Just(Command::Copy),
        1 => Just(Command::Elect),
    ]
}

struct World {
    queue: Queue<(), u64>,
    settings: QueueSettings,
    deduplicator: Deduplicator,
    effects: Effects,
    batch: Records,
    held: Vec<Slot>,
    /// Seqs delivered by now, and at the last commit.
    delivered: BTreeSet<u64>,
    committed: BTreeSet<u64>,
    sent: [u64; 3],
    log: Arc<Log>,
    index: u64,
    ledgers: [Ledger; 3],
}

fn settings(keeps: bool) -> QueueSettings {
    QueueSettings {
        dead_letter_exchange: Some("dlx".into()),
        overflow: Overflow::RejectPublish,
        dead_letter_strategy: match keeps {
            true => DeadLetterStrategy::AtLeastOnce,
            false => DeadLetterStrategy::AtMostOnce,
        },
        ..QueueSettings::default()
    }
}

impl World {
    fn new(keeps: bool) -> Self {
        let log = Log::new();
        let settings = settings(keeps);
        let mut effects = Effects::default();
        let mut queue = Queue::new(QueueType::Quorum, true, settings.clone(), NOW).replicated(0);
        queue.unstall_all(NOW, &mut effects);
        Self {
            queue,
            settings,
            deduplicator: Deduplicator::default(),
            effects,
            batch: Records::default(),
            held: Vec::new(),
            delivered: BTreeSet::new(),
            committed: BTreeSet::new(),
            sent: [0; 3],
            ledgers: [Ledger::new(), Ledger::new(), Ledger::over(log.clone(), 500)],
            log,
            index: 0,
        }
    }

    fn run(&mut self, command: &Command) {
        let mut sink = Recorder {
            effects: &mut self.effects,
            recording: Recording {
                records: &mut self.batch,
                deduplicator: &self.deduplicator,
            },
        };
        match *command {
            Command::Publish(producer, count) => {
                let sent = &mut self.sent[producer as usize];
                let numbers = *sent + 1..=*sent + count as u64;
                *sent += count as u64;
                self.send(producer, numbers);
            }
            Command::Again(producer, back) => {
                let sent = self.sent[producer as usize];
                self.send(producer, sent.saturating_sub(back) + 1..=sent);
            }
            Command::Take(count) => {
                for _ in 0..count {
                    match self.queue.get(NOW, false, &mut sink) {
                        Get::Message { slot, redelivered, .. } => {
                            let known = self.ledgers[0].recovered();
                            let before = known.iter().find(|one| one.seq == slot.seq());
                            assert!(before.is_some(), "only what is committed is delivered");
                            assert!(
                                redelivered || self.delivered.insert(slot.seq()),
                                "an unflagged redelivery"
                            );
                            self.held.push(slot);
                        }
                        Get::NeedsFetch | Get::NeedsMark => break,
                        Get::Empty => return,
                    }
                }
                self.fetch();
            }
            Command::Settle(at, outcome) if at < self.held.len() => {
                let slot = self.held.swap_remove(at);
                let outcome = [Outcome::Accept, Outcome::Requeue, Outcome::Discard][usize::from(outcome)];
                self.queue.settle(NOW, [slot], outcome, &mut sink);
            }
            Command::Settle(..) => {}
            Command::Bury => {
                let dead = std::mem::take(&mut sink.effects.dead);
                if self.queue.keeps_dead_letters() {
                    // Every third is refused, and kept from then on.
                    let answer = |slot: Slot| match slot.seq() % 3 {
                        0 => (slot, DeadLetterOutcome::Refused { reached: Vec::new() }),
                        _ => (slot, DeadLetterOutcome::Confirmed),
                    };
                    self.queue
                        .dead_letters_answered(NOW, dead.into_iter().map(answer), &mut sink);
                } else {
                    self.queue.dead_lettered(dead, &mut sink);
                }
            }
            Command::Purge => {
                self.queue.purge(&mut sink);
            }
            Command::Commit => self.commit(),
            Command::Copy => self.ledgers[1] = copy_of(&self.ledgers[1]),
            Command::Elect => self.elect(),
        }
        self.queue.check();
    }

    fn send(&mut self, producer: u64, numbers: impl Iterator<Item = u64>) {
        let arrivals = numbers.map(|number| Arrival {
            publish: Publish {
                message: message(&format!("{producer}-{number}")),
                publish: Some(number),
            },
            origin: Some(origin(producer, number)),
        });
        let mut sink = Recorder {
            effects: &mut self.effects,
            recording: Recording {
                records: &mut self.batch,
                deduplicator: &self.deduplicator,
            },
        };
        self.queue
            .publish(NOW, self.deduplicator.admit(arrivals, |_, _| ()), &mut sink);
    }

    fn fetch(&mut self) {
        let wanted = std::mem::take(&mut self.effects.wanted);
        if wanted.is_empty() {
            return;
        }
        let bodies = wanted.iter().map(|(seq, _)| (*seq, self.ledgers[2].message(*seq).ok()));
        let bodies = bodies.collect();
        let mut sink = Recorder {
            effects: &mut self.effects,
            recording: Recording {
                records: &mut self.batch,
                deduplicator: &self.deduplicator,
            },
        };
        self.queue.fetched(NOW, bodies, &mut sink);
    }

    fn commit(&mut self) {
        let discards = self.queue.discards_recorded();
        if let Some(batch) = self.batch.take() {
            self.index += 1;
            self.log.write(self.index, batch.clone());
            Ledger::check(&batch).expect("just written");
            for ledger in &mut self.ledgers {
                let applied = ledger.apply(self.index, batch.clone()).expect("just written");
                assert!(applied.dropped.is_empty(), "the deduplicator turns them away");
            }
        }
        let ledger = &self.ledgers[0];
        let [one, two, three] = &self.ledgers;
        assert_eq!(pieces(one), pieces(two));
        assert_eq!(pieces(one), pieces(three));
        let there = ledger.recovered();
        let living = self.queue.living();
        assert!(there.iter().map(|one| one.seq).eq(living.iter().map(|one| one.0)));
        let bodies: BTreeSet<_> = there
            .iter()
            .map(|one| text(&three.message(one.seq).expect("there")))
            .collect();
        assert_eq!(bodies.len(), there.len(), "what was sent again counts once");
        self.committed.clone_from(&self.delivered);
        let (mark, durable) = (ledger.delivered_up_to(), ledger.next_seq() - 1);
        let mut sink = Recorder {
            effects: &mut self.effects,
            recording: Recording {
                records: &mut self.batch,
                deduplicator: &self.deduplicator,
            },
        };
        self.queue.marked(NOW, mark, &mut sink);
        self.queue.durable(NOW, durable, &mut sink);
        self.queue.discards_committed(NOW, discards, &mut sink);
    }

    fn elect(&mut self) {
        self.batch = Records::default();
        self.effects = Effects::default();
        self.held.clear();
        self.delivered.clone_from(&self.committed);
        let ledger = &self.ledgers[2];
        let mark = ledger.delivered_up_to();
        let there = ledger.recovered();
        for one in &there {
            assert!(
                one.seq <= mark || !self.committed.contains(&one.seq),
                "delivered, and not flagged"
            );
        }
        self.queue = Queue::recover(
            QueueType::Quorum,
            self.settings.clone(),
            NOW,
            there.clone(),
            ledger.next_seq(),
            mark,
        )
        .replicated(1);
        self.queue.unstall_all(NOW, &mut self.effects);
        self.deduplicator = Deduplicator::new(ledger.producers().clone());
        let there: Vec<_> = there.iter().map(|one| (one.seq, one.loc, one.count)).collect();
        assert_eq!(self.queue.living(), there);
    }
}

proptest! {
    #[test]
    fn every_member_has_what_the_queue_has(keeps: bool, commands in vec(command(), 1..80)) {
        let mut world = World::new(keeps);
        commands.iter().for_each(|command| world.run(command));
        world.run(&Command::Commit);
        world.run(&Command::Elect);
    }
}
