//! Messages that are held back until they are due.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::queue::delay::{DelaySink, Delays};

/// A store that keeps everything, and what came out.
#[derive(Default)]
struct Shelf {
    stored: BTreeMap<u64, ([u8; META_LEN], Message)>,
    confirmed: Vec<u32>,
    due: Vec<(u64, String)>,
    wanted: Vec<u64>,
}

impl DelaySink for Shelf {
    type Publish = u32;
    fn store(&mut self, seq: u64, meta: [u8; META_LEN], message: &Message) -> Loc {
        self.stored.insert(seq, (meta, message.clone()));
        seq
    }
    fn settled(&mut self, seq: u64) {
        self.stored.remove(&seq).expect("settled once");
    }
    fn confirm(&mut self, publish: u32) {
        self.confirmed.push(publish);
    }
    fn fetch(&mut self, wanted: &[(u64, Loc)]) {
        assert!(self.wanted.is_empty() && !wanted.is_empty());
        self.wanted = wanted.iter().map(|(seq, _)| *seq).collect();
    }
    fn due(&mut self, seq: u64, message: Message) {
        self.due
            .push((seq, String::from_utf8_lossy(message.body()).into_owned()));
    }
}

impl Shelf {
    fn due_now(&mut self, delays: &mut Delays<u32>) -> String {
        let due = std::mem::take(&mut self.due);
        delays.left(due.iter().map(|(seq, _)| *seq), self);
        due.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(" ")
    }

    fn answer(&mut self, delays: &mut Delays<u32>, now: u64) -> u64 {
        let wanted = std::mem::take(&mut self.wanted);
        let body = |seq: &u64| (*seq, self.stored.get(seq).map(|(_, message)| message.clone()));
        let bodies = wanted.iter().map(body).collect();
        delays.fetched(Timestamp(now), bodies, self)
    }

    fn ledger(&self) -> Vec<Recovered> {
        let recovered = |(seq, (meta, message)): (&u64, &([u8; META_LEN], Message))| Recovered {
            seq: *seq,
            loc: *seq,
            meta: *meta,
            count: 0,
            discarded: None,
            len: message.body().len() as u32,
        };
        self.stored.iter().map(recovered).collect()
    }
}

fn message(text: &str) -> Message {
    named(text, Traits::default())
}

#[test]
fn messages_come_out_in_order_of_due_time_and_stay_stored_until_routed() {
    let (mut delays, mut shelf) = (Delays::new(), Shelf::default());
    for (number, (delay, text)) in [(300, "c"), (100, "a"), (200, "b"), (100, "a2")]
        .into_iter()
        .enumerate()
    {
        delays.enqueue(
            Timestamp(0),
            Millis(delay),
            message(text),
            Some(number as u32),
            &mut shelf,
        );
    }
    assert_eq!((delays.count(), delays.deadline()), (4, Some(Timestamp(100))));
    delays.durable(3, &mut shelf);
    assert_eq!(shelf.confirmed, [0, 1, 2]);
    delays.tick(Timestamp(99), &mut shelf);
    assert_eq!(shelf.due_now(&mut delays), "");
    delays.tick(Timestamp(250), &mut shelf);
    assert_eq!(shelf.stored.len(), 4);
    assert_eq!(shelf.due_now(&mut delays), "a a2 b");
    assert_eq!(shelf.stored.len(), 1);
    assert_eq!((delays.count(), delays.deadline()), (1, Some(Timestamp(300))));
}

#[test]
fn delays_survive_a_restart_and_are_read_back_when_due() {
    let (mut delays, mut shelf) = (Delays::new(), Shelf::default());
    for (delay, text) in [(300, "c"), (100, "a"), (200, "b")] {
        delays.enqueue(Timestamp(0), Millis(delay), message(text), None, &mut shelf);
    }
    let mut delays = Delays::recover(shelf.ledger(), 0);
    assert_eq!(delays.deadline(), Some(Timestamp(100)));
    delays.tick(Timestamp(200), &mut shelf);
    assert_eq!((shelf.wanted.as_slice(), delays.deadline()), (&[2, 3, 1][..], None));
    delays.enqueue(Timestamp(0), Millis(150), message("between"), None, &mut shelf);
    delays.tick(Timestamp(200), &mut shelf);
    assert_eq!(shelf.due_now(&mut delays), "", "nothing overtakes what is being read");
    assert_eq!(shelf.answer(&mut delays, 200), 0);
    assert_eq!(shelf.due_now(&mut delays), "a between b");
    assert_eq!(delays.count(), 1);
}

#[test]
fn bodies_beyond_the_budget_leave_memory_and_a_lost_one_is_dropped() {
    let (mut delays, mut shelf) = (Delays::new(), Shelf::default());
    delays.set_cache_limit(ByteSize(100));
    for text in ["a", "b", "c", "d"] {
        delays.enqueue(Timestamp(0), Millis(10), message(text), None, &mut shelf);
    }
    delays.durable(4, &mut shelf);
    assert!(delays.memory() <= 100);
    let body = shelf.stored.remove(&3).expect("stored");
    delays.tick(Timestamp(10), &mut shelf);
    let wanted = shelf.wanted.clone();
    assert!(wanted.contains(&3));
    let bodies = wanted
        .iter()
        .map(|seq| (*seq, shelf.stored.get(seq).map(|(_, message)| message.clone())));
    let bodies: Vec<_> = bodies.collect();
    shelf.stored.insert(3, body);
    shelf.wanted.clear();
    assert_eq!(delays.fetched(Timestamp(10), bodies, &mut shelf), 1);
    while !shelf.wanted.is_empty() {
        shelf.answer(&mut delays, 10);
    }
    assert_eq!(shelf.due_now(&mut delays), "a b d");
    assert!(shelf.stored.is_empty());
    assert_eq!(delays.memory(), 0);
}

#[test]
fn what_is_due_and_not_routed_when_the_node_dies_comes_again() {
    let (mut delays, mut shelf) = (Delays::new(), Shelf::default());
    delays.enqueue(Timestamp(0), Millis(10), message("a"), None, &mut shelf);
    delays.tick(Timestamp(10), &mut shelf);
    assert_eq!((delays.count(), shelf.due.len()), (0, 1));
    assert_eq!(delays.living(), BTreeSet::from([1]));
    let mut delays = Delays::recover(shelf.ledger(), 0);
    shelf.due.clear();
    delays.tick(Timestamp(10), &mut shelf);
    shelf.answer(&mut delays, 10);
    assert_eq!(shelf.due_now(&mut delays), "a");
    delays.enqueue(Timestamp(10), Millis(0), message("b"), Some(1), &mut shelf);
    assert_eq!(delays.deadline(), Some(Timestamp(10)), "no delay at all");
    assert!(shelf.stored.contains_key(&2));
}

#[derive(Clone, Debug)]
enum Step {
    Enqueue(u64, usize),
    Durable(u64),
    Wait(u64),
    Answer { lose: bool },
    Left(usize),
    Budget(u64),
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..60_u64, 0..200_usize).prop_map(|(delay, bytes)| Step::Enqueue(delay, bytes)),
        3 => (0..5_u64).prop_map(Step::Durable),
        4 => (1..30_u64).prop_map(Step::Wait),
        4 => prop::bool::weighted(0.1).prop_map(|lose| Step::Answer { lose }),
        3 => (0..4_usize).prop_map(Step::Left),
        1 => (0..1000_u64).prop_map(Step::Budget),
        1 => Just(Step::Crash),
    ]
}

/// Delays, and which messages they should have.
struct Plan {
    delays: Delays<u32>,
    shelf: Shelf,
    now: Timestamp,
    waiting: BTreeSet<(u64, u64)>,
    /// Due and not routed, with the time it was due.
    leaving: BTreeMap<u64, u64>,
    enqueued: u64,
    unanswered: BTreeSet<u32>,
}

impl Plan {
    fn run(&mut self, step: Step) {
        match step {
            Step::Enqueue(delay, bytes) => {
                self.enqueued += 1;
                self.unanswered.insert(self.enqueued as u32);
                let seq = self.delays.next_seq();
                let body = format!("{:.<bytes$}", seq);
                let (delay, publish) = (Millis(delay), Some(self.enqueued as u32));
                self.delays
                    .enqueue(self.now, delay, message(&body), publish, &mut self.shelf);
                self.waiting.insert((self.now.0 + delay.0, seq));
            }
            Step::Durable(back) => {
                let seq = (self.delays.next_seq() - 1).saturating_sub(back);
                self.delays.durable(seq, &mut self.shelf);
                for publish in std::mem::take(&mut self.shelf.confirmed) {
                    assert!(self.unanswered.remove(&publish));
                }
            }
            Step::Wait(ms) => {
                self.now = self.now + Millis(ms);
                if self.delays.deadline().is_some_and(|deadline| deadline <= self.now) {
                    self.delays.tick(self.now, &mut self.shelf);
                }
            }
            Step::Answer { lose } => self.answer(lose),
            Step::Left(count) => {
                let left: Vec<u64> = self.leaving.keys().copied().take(count).collect();
                for seq in &left {
                    self.leaving.remove(seq);
                }
                self.delays.left(left, &mut self.shelf);
            }
            Step::Budget(bytes) => self.delays.set_cache_limit(ByteSize(bytes)),
            Step::Crash => {
                let next_seq = self.delays.next_seq();
                self.delays = Delays::recover(self.shelf.ledger(), next_seq);
                self.shelf.wanted.clear();
                self.unanswered.clear();
                let again = std::mem::take(&mut self.leaving);
                self.waiting.extend(again.into_iter().map(|(seq, due)| (due, seq)));
            }
        }
        self.look();
    }

    fn answer(&mut self, lose: bool) {
        let wanted = std::mem::take(&mut self.shelf.wanted);
        if wanted.is_empty() {
            return;
        }
        let lost = |seq: &u64| lose && seq.is_multiple_of(2);
        let body = |seq: &u64| {
            let (_, message) = self.shelf.stored.get(seq).expect("what is asked for is stored");
            (*seq, Some(message.clone()).filter(|_| !lost(seq)))
        };
        let bodies = wanted.iter().map(body).collect();
        self.waiting.retain(|(_, seq)| !(lost(seq) && wanted.contains(seq)));
        let count = wanted.iter().filter(|seq| lost(seq)).count();
        assert_eq!(self.delays.fetched(self.now, bodies, &mut self.shelf), count as u64);
    }

    fn look(&mut self) {
        for (seq, text) in std::mem::take(&mut self.shelf.due) {
            assert_eq!(text.trim_end_matches('.'), seq.to_string());
            let first = self.waiting.pop_first().expect("it is not gone");
            assert_eq!(first.1, seq, "in order of due time and arrival");
            assert!(first.0 <= self.now.0);
            self.leaving.insert(seq, first.0);
        }
        assert_eq!(self.delays.count(), self.waiting.len() as u64);
        let waiting = self.waiting.iter().map(|(_, seq)| *seq);
        let known: BTreeSet<u64> = waiting.chain(self.leaving.keys().copied()).collect();
        assert!(known.iter().eq(self.shelf.stored.keys()));
        assert_eq!(self.delays.living(), known);
    }
}

proptest! {
    #[test]
    fn whatever_happens_every_delayed_message_comes_when_it_is_due(steps in vec(step(), 1..80)) {
        let mut plan = Plan {
            delays: Delays::new(),
            shelf: Shelf::default(),
            now: Timestamp(1000),
            waiting: BTreeSet::new(),
            leaving: BTreeMap::new(),
            enqueued: 0,
            unanswered: BTreeSet::new(),
        };
        for step in steps {
            plan.run(step);
        }
        plan.run(Step::Durable(0));
        assert!(plan.unanswered.is_empty());
        while plan.delays.count() > 0 {
            plan.run(Step::Wait(100));
            plan.run(Step::Answer { lose: false });
        }
        plan.run(Step::Left(usize::MAX));
        assert_eq!((plan.delays.memory(), plan.delays.deadline()), (0, None));
    }
}
