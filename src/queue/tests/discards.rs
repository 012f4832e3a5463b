//! Dead letters that are kept until their targets have them.

use super::*;
use crate::spec::{DeadLetterStrategy, Overflow};
use crate::types::QueueId;

impl QueueTest {
    /// A quorum queue that dead-letters at least once.
    fn keeping() -> Self {
        Self::quorum().with_dead_letters().with(at_least_once)
    }

    /// Letters that went out since this was asked last, as `name: reason`.
    fn kept_dead_letters(&mut self) -> (Vec<Slot>, Vec<String>) {
        let dead = std::mem::take(&mut self.around.dead);
        let tell = |dead: &Dead| format!("{}: {}", dead.name, dead.reason.name());
        (
            dead.iter().map(|dead| dead.slot).collect(),
            dead.iter().map(tell).collect(),
        )
    }

    fn answer_dead_letters(&mut self, slots: &[Slot], outcome: &DeadLetterOutcome) -> bool {
        let answers = slots.iter().map(|slot| (*slot, outcome.clone()));
        let begins = self.queue.dead_letters_answered(self.now, answers, &mut self.around);
        self.queue.check();
        begins
    }

    /// Discards these, which somebody gets first.
    fn discard<const N: usize>(&mut self, names: [&str; N]) {
        for name in names {
            self.get().expect("a message");
            self.settle("get", name, Outcome::Discard);
        }
    }
}

fn at_least_once(settings: &mut QueueSettings) {
    settings.dead_letter_strategy = DeadLetterStrategy::AtLeastOnce;
    settings.overflow = Overflow::RejectPublish;
}

fn refused() -> DeadLetterOutcome {
    DeadLetterOutcome::Refused { reached: Vec::new() }
}

#[test]
fn a_message_stays_until_its_letter_is_confirmed() {
    let mut q = QueueTest::keeping().publish(["m1"]);
    q.discard(["m1"]);
    let (slots, told) = q.kept_dead_letters();
    assert_eq!(told, ["m1: rejected"]);
    assert_eq!((q.counts(), q.queue.counts().discarded), ((0, 0), 1));
    let stored = &q.around.journal.durable[&1];
    assert_eq!((stored.discarded, stored.count), (Some(DeathReason::Rejected), 1));
    q.answer_dead_letters(&slots, &DeadLetterOutcome::Confirmed);
    assert_eq!(q.queue.counts(), Counts::default());
    assert!(q.around.journal.durable.is_empty());
    q.answer_dead_letters(&slots, &DeadLetterOutcome::Confirmed);
}

#[test]
fn every_way_to_die_is_kept() {
    let mut q = QueueTest::keeping().with(|settings| settings.delivery_limit = Some(0));
    q.send([msg("m1").ttl(50), msg("m2")]);
    q.wait(50);
    assert_eq!(q.kept_dead_letters().1, ["m1: expired"]);
    q.get();
    q.settle("get", "m2", Outcome::Requeue);
    assert_eq!(q.kept_dead_letters().1, ["m2: delivery_limit"]);
    assert_eq!(q.queue.counts().discarded, 2);
}

#[test]
fn letters_that_fail_are_tried_again_with_growing_pauses() {
    let mut q = QueueTest::keeping().publish(["m1", "m2"]);
    q.discard(["m1", "m2"]);
    let mut pauses = Vec::new();
    for round in 0..9 {
        let (slots, told) = q.kept_dead_letters();
        assert_eq!(told, ["m1: rejected", "m2: rejected"], "round {round}");
        assert_eq!(
            q.answer_dead_letters(&slots, &refused()),
            round == 0,
            "it is told of once"
        );
        let next = q.queue.deadline().expect("they are tried again");
        let pause = next.0 - q.now.0;
        q.wait(pause - 1);
        assert!(q.around.dead.is_empty(), "too early");
        q.wait(1);
        q.answer_all();
        pauses.push(pause);
    }
    assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    let (slots, _) = q.kept_dead_letters();
    q.answer_dead_letters(&slots[1..], &refused());
    q.answer_dead_letters(&slots[..1], &DeadLetterOutcome::Confirmed);
    q.answer_all();
    assert_eq!(
        q.kept_dead_letters().1,
        ["m2: rejected"],
        "one got through, so others may"
    );
    assert_eq!(q.around.journal.durable.len(), 1);
}

#[test]
fn fresh_letters_do_not_wait_for_those_that_fail() {
    let mut q = QueueTest::keeping().publish(["m1", "m2"]);
    q.discard(["m1"]);
    let (slots, _) = q.kept_dead_letters();
    q.answer_dead_letters(&slots, &refused());
    q.discard(["m2"]);
    assert_eq!(q.kept_dead_letters().1, ["m2: rejected"]);
}

#[test]
fn few_letters_are_out_at_a_time() {
    let mut q = QueueTest::keeping().publish(["m"; 40]);
    q.discard(["m"; 40]);
    let (slots, told) = q.kept_dead_letters();
    assert_eq!(told.len(), 32);
    q.answer_dead_letters(&slots[..3], &DeadLetterOutcome::Confirmed);
    assert_eq!(q.kept_dead_letters().1.len(), 3);
    q.answer_dead_letters(&slots[3..], &DeadLetterOutcome::Confirmed);
    assert_eq!(q.kept_dead_letters().1.len(), 5);
}

#[test]
fn the_next_leader_sends_them_again_and_delivers_them_to_nobody() {
    let mut q = QueueTest::keeping().publish(["m1", "m2"]);
    q.discard(["m1"]);
    q.restart();
    assert_eq!((q.counts(), q.queue.counts().discarded), ((1, 0), 1));
    q.answer_all();
    assert_eq!(q.around.dead[0].deliveries, 1, "as it was when it died");
    let (slots, told) = q.kept_dead_letters();
    assert_eq!(told, ["m1: rejected"]);
    q.answer_dead_letters(&slots, &DeadLetterOutcome::Confirmed);
    assert_eq!(q.drain(), ["m2"]);
    assert!(q.around.journal.durable.is_empty());
}

#[test]
fn targets_that_have_a_letter_are_remembered_while_others_refuse_it() {
    let mut q = QueueTest::keeping().publish(["m1"]);
    q.discard(["m1"]);
    let (slots, _) = q.kept_dead_letters();
    assert!(q.queue.reached_by(slots[0]).is_empty());
    let reached = vec![QueueId(7)];
    q.answer_dead_letters(&slots, &DeadLetterOutcome::Refused { reached });
    q.wait(100);
    q.answer_all();
    let (slots, _) = q.kept_dead_letters();
    assert_eq!(q.queue.reached_by(slots[0]), [QueueId(7)]);
    q.answer_dead_letters(&slots, &DeadLetterOutcome::Confirmed);
    assert!(q.queue.reached_by(slots[0]).is_empty());
}

#[test]
fn under_another_policy_they_go_as_it_says() {
    for (overflow, exchange) in [
        (Overflow::DropHead, Some("dlx")),
        (Overflow::RejectPublish, None),
        (Overflow::DropHead, None),
    ] {
        let mut q = QueueTest::keeping().publish(["m"; 40]);
        q.discard(["m"; 40]);
        let (slots, _) = q.kept_dead_letters();
        q.answer_dead_letters(&slots[..9], &refused());
        let (more, _) = q.kept_dead_letters();
        q.set(|settings| {
            settings.overflow = overflow;
            settings.dead_letter_exchange = exchange.map(Into::into);
        });
        for slots in [&slots[9..], &more] {
            q.answer_dead_letters(slots, &DeadLetterOutcome::Confirmed);
        }
        q.answer_all();
        assert_eq!(q.queue.counts().discarded == 0, exchange.is_none(), "{overflow:?}");
        while !q.around.dead.is_empty() {
            q.dead_letters();
            q.answer_all();
        }
        let left = q.queue.counts().discarded;
        assert_eq!((left, q.queue.deadline()), (0, None), "{overflow:?} {exchange:?}");
    }
}

#[test]
fn a_queue_that_drops_its_head_and_a_classic_queue_keep_none() {
    let mut dropping = QueueTest::keeping();
    dropping.set(|settings| settings.overflow = Overflow::DropHead);
    let classic = QueueTest::new().with_dead_letters().with(at_least_once);
    for mut q in [dropping, classic] {
        assert!(!q.queue.keeps_dead_letters());
        q.send(["m1"]);
        q.discard(["m1"]);
        assert_eq!((q.queue.counts().discarded, q.around.dead.len()), (0, 1));
    }
}

#[test]
fn they_count_for_the_limits_and_stay_when_the_queue_is_purged() {
    let mut q = QueueTest::keeping().with(|settings| settings.max_length = Some(2));
    q.send(["m1", "m2"]);
    q.discard(["m1"]);
    q.send(["m3"]);
    assert_eq!(q.refused(), ["m3"]);
    assert_eq!(q.queue.purge(&mut q.around), 1);
    q.queue.check();
    assert_eq!(q.queue.counts().discarded, 1);
    q.queue.delete(&mut q.around);
    q.queue.check();
    assert_eq!(q.queue.counts(), Counts::default());
}

#[test]
fn their_bodies_leave_memory_when_it_is_short() {
    let mut q = QueueTest::keeping();
    q.limit_memory(0);
    q.send([msg("m").bytes(1000); 50]);
    q.discard(["m"; 50]);
    assert!(q.queue.counts().memory_bytes <= 33 * 1500);
    let mut sent = 0;
    while sent < 50 {
        q.answer_all();
        let (slots, _) = q.kept_dead_letters();
        sent += slots.len();
        q.answer_dead_letters(&slots, &DeadLetterOutcome::Confirmed);
    }
    assert_eq!(q.queue.counts(), Counts::default());
}

#[test]
fn a_letter_goes_out_when_it_is_committed_that_the_message_is_dead() {
    let mut q = QueueTest::keeping();
    q.queue = Queue::new(QueueType::Quorum, true, q.settings.clone(), q.now).replicated(1);
    q.queue.unstall_all(q.now, &mut q.around);
    q = q.consumer("a", credit(2));
    q.send_unsynced(["m1", "m2"]);
    q.queue.marked(q.now, q.around.journal.mark, &mut q.around);
    q.sync();
    q.settle("a", "m1", Outcome::Discard);
    let first = q.queue.discards_recorded();
    q.settle("a", "m2", Outcome::Discard);
    assert!(q.around.dead.is_empty());
    q.queue.discards_committed(q.now, first, &mut q.around);
    q.queue.check();
    assert_eq!(q.kept_dead_letters().1, ["m1: rejected"]);
    // Another leader knows what is committed only, and sends that at once.
    q.restart_as(|queue| queue.replicated(2));
    q.queue.unstall_all(q.now, &mut q.around);
    q.answer_all();
    assert_eq!(q.kept_dead_letters().1, ["m1: rejected", "m2: rejected"]);
}
