//! What becomes of messages that come back, and how dead letters leave.

use super::*;

#[test]
fn a_discarded_message_is_gone_or_dead_lettered() {
    for mut q in QueueTest::each(|_| {}) {
        q = q.consumer("a", credit(1)).publish(["m1"]);
        q.settle("a", "m1", Outcome::Discard);
        assert!(q.around.dead.is_empty() && q.around.journal.durable.is_empty());
    }
    for mut q in QueueTest::each(|settings| settings.dead_letter_exchange = Some("dlx".into())) {
        q = q.consumer("a", credit(1)).publish(["m1", "m2"]);
        q.settle("a", "m1", Outcome::Discard);
        assert_eq!(q.delivered(), ["a ← m1", "a ← m2"], "credit is free at once");
        assert_eq!(q.counts(), (0, 1), "no client holds what is dying");
        assert_eq!(q.around.journal.durable.len(), 2);
        assert_eq!(q.dead_letters(), ["m1: rejected"]);
        assert_eq!(q.around.journal.durable.len(), 1);
    }
}

#[test]
fn a_dying_message_cannot_be_settled_nor_a_held_one_be_dead_lettered() {
    let mut q = QueueTest::new().with_dead_letters().consumer("a", credit(2));
    q.send(["m1", "m2"]);
    let (held, dying) = (q.around.held[0].2, q.around.held[1].2);
    q.settle("a", "m2", Outcome::Discard);
    let slot = q.around.dead[0].slot;
    assert_eq!(slot.parts().0, dying.parts().0, "the cell was free");
    q.queue.settle(q.now, [slot], Outcome::Requeue, &mut q.around);
    q.queue.dead_lettered([held, Slot::NONE], &mut q.around);
    q.queue.check();
    assert_eq!(q.counts(), (0, 1));
    assert_eq!(q.dead_letters(), ["m2: rejected"]);
    q.queue.dead_lettered([slot], &mut q.around);
    assert_eq!(q.around.journal.durable.len(), 1);
}

#[test]
fn a_dead_letter_that_was_not_published_is_there_after_a_restart() {
    let mut q = QueueTest::new().with_dead_letters().consumer("a", credit(1));
    q.send(["m1"]);
    q.settle("a", "m1", Outcome::Discard);
    q.restart();
    assert_eq!(q.get().as_deref(), Some("m1 (redelivered), 0 left"));
}

#[test]
fn beyond_the_delivery_limit_a_message_dies() {
    let mut q = QueueTest::quorum().with_dead_letters();
    q.set(|settings| settings.delivery_limit = Some(2));
    q = q.consumer("a", credit(1)).publish(["m1"]);
    for _ in 0..3 {
        q.settle("a", "m1", Outcome::Requeue);
    }
    let again = "a ← m1 (redelivered)";
    assert_eq!(q.delivered(), ["a ← m1", again, again]);
    assert_eq!(q.around.dead[0].deliveries, 3);
    assert_eq!(q.dead_letters(), ["m1: delivery_limit"]);
}

#[test]
fn the_delivery_limit_drops_without_a_dead_letter_exchange_and_means_nothing_to_classic_queues() {
    let [mut classic, mut quorum] = QueueTest::each(|settings| settings.delivery_limit = Some(20));
    for q in [&mut classic, &mut quorum] {
        q.send(["m1"]);
        for _ in 0..21 {
            assert!(q.get().is_some());
            q.settle("get", "m1", Outcome::Requeue);
        }
    }
    assert_eq!(quorum.counts(), (0, 0));
    assert!(quorum.around.journal.durable.is_empty());
    assert_eq!(classic.counts(), (1, 0));
}

#[test]
fn returns_are_counted_absolutely_and_survive() {
    let mut q = QueueTest::quorum().publish(["m1"]);
    q.set(|settings| settings.delivery_limit = Some(2));
    for _ in 0..2 {
        q.get();
        q.settle("get", "m1", Outcome::Requeue);
        q.restart();
    }
    q.get();
    q.settle("get", "m1", Outcome::Requeue);
    assert_eq!(q.counts(), (0, 0), "the third return is one too many");
}

#[test]
fn a_message_that_comes_from_another_quorum_queue_keeps_its_count() {
    let mut q = QueueTest::quorum().with_dead_letters();
    q.set(|settings| settings.delivery_limit = Some(4));
    q = q.consumer("a", credit(1));
    q.send([msg("m1").delivered_before(3)]);
    assert_eq!(q.delivered(), ["a ← m1 (redelivered)"]);
    q.restart();
    let got = q.queue.get(q.now, false, &mut q.around);
    assert!(matches!(got, Get::NeedsFetch));
    q.answer_all();
    let Get::Message {
        delivery_count, slot, ..
    } = q.queue.get(q.now, false, &mut q.around)
    else {
        panic!("no message");
    };
    assert_eq!(delivery_count, 3);
    q.queue.settle(q.now, [slot], Outcome::Discard, &mut q.around);
    assert_eq!(q.around.dead[0].deliveries, 4, "a reject counts too");

    let mut q = QueueTest::new().with_dead_letters().consumer("a", credit(1));
    q.send([msg("m1").delivered_before(3)]);
    assert_eq!(q.delivered(), ["a ← m1"], "new to a classic queue");
    q.settle("a", "m1", Outcome::Discard);
    assert_eq!(q.around.dead[0].deliveries, 3);
}
