//! Who gets what, and in which order.

use super::*;

#[test]
fn a_message_goes_straight_to_a_waiting_consumer_and_back_in_front() {
    let mut q = QueueTest::new().consumer("a", credit(1)).publish(["m1", "m2"]);
    q.settle("a", "m1", Outcome::Requeue);
    assert_eq!(q.delivered(), ["a ← m1", "a ← m1 (redelivered)"]);
    q.settle("a", "m1", Outcome::Accept);
    assert_eq!(q.delivered(), ["a ← m2"]);
    assert_eq!(q.counts(), (0, 1));
}

#[test]
fn consumers_take_turns_beginning_with_the_one_that_waited_longest() {
    for mut q in QueueTest::each(|_| {}) {
        q = q.consumer("x", credit(9)).consumer("y", credit(9));
        q.send(["m1"]);
        q.send(["m2", "m3"]);
        assert_eq!(q.delivered(), ["x ← m1", "y ← m2", "x ← m3"]);
        q.settle("x", "m1", Outcome::Accept);
        q.send(["m4"]);
        assert_eq!(q.delivered(), ["y ← m4"]);
    }
}

#[test]
fn a_consumer_of_higher_priority_gets_everything_until_its_prefetch_is_full() {
    for mut q in QueueTest::each(|_| {}) {
        q = q.consumer("low", credit(1)).consumer("high", credit(1).priority(10));
        q.send(["p0", "p1", "p2"]);
        assert_eq!(q.delivered(), ["high ← p0", "low ← p1"]);
        q.settle("high", "p0", Outcome::Accept);
        q.send(["p3"]);
        assert_eq!(q.delivered(), ["high ← p2"]);
        q.settle("low", "p1", Outcome::Accept);
        assert_eq!(q.delivered(), ["low ← p3"]);
        q.cancel("high");
        assert_eq!(q.counts(), (0, 2), "what it holds stays with its channel");
        q.settle("high", "p2", Outcome::Requeue);
        assert_eq!(q.counts(), (1, 1));
        q.settle("low", "p3", Outcome::Accept);
        assert_eq!(q.delivered(), ["low ← p2 (redelivered)"]);
    }
}

#[test]
fn without_acknowledgement_a_message_is_gone_when_delivered_and_prefetch_means_nothing() {
    for mut q in QueueTest::each(|_| {}) {
        let terms = Terms {
            prefetch: Some(1),
            ..no_ack()
        };
        q.send(["m1"]);
        q = q.consumer("a", terms).publish(["m2", "m3"]);
        assert_eq!(q.delivered(), ["a ← m1", "a ← m2", "a ← m3"]);
        assert_eq!(q.counts(), (0, 0));
        assert_eq!(q.confirmed(), ["m1", "m2", "m3"]);
        assert!(q.around.journal.durable.is_empty());
    }
}

#[test]
fn a_prefetch_without_limit_takes_all_there_is() {
    let mut q = QueueTest::new().publish(["m1", "m2", "m3"]);
    q.consume("a", Terms::default()).expect("taken");
    assert_eq!(q.delivered(), ["a ← m1", "a ← m2", "a ← m3"]);
    q.settle_all("a", &["m3", "m1"], Outcome::Requeue);
    assert_eq!(q.delivered(), ["a ← m1 (redelivered)", "a ← m3 (redelivered)"]);
}

#[test]
fn a_client_that_takes_no_more_is_passed_over_until_it_does() {
    let mut q = QueueTest::new().consumer("a", credit(9)).consumer("b", credit(1));
    q.around.stalled.insert("a");
    q.send(["m1", "m2"]);
    assert_eq!(q.delivered(), ["b ← m1"]);
    q.around.stalled.clear();
    q.send(["m3"]);
    assert_eq!(q.delivered(), [""; 0], "it is not asked again before it says so");
    let id = q.around.ids["a"];
    q.queue.unstall(q.now, id, &mut q.around);
    q.queue.check();
    assert_eq!(q.delivered(), ["a ← m2", "a ← m3"]);
}

#[test]
fn an_exclusive_consumer_is_alone_on_a_classic_queue_and_nothing_special_on_a_quorum_queue() {
    let mut q = QueueTest::new().consumer("a", credit(1).exclusive());
    assert_eq!(q.consume("b", credit(1)), Err(ConsumeError::ExclusiveUse));
    q.cancel("a");
    q.consume("b", credit(1)).expect("taken");
    assert_eq!(q.consume("c", credit(1).exclusive()), Err(ConsumeError::ExclusiveUse));
    assert_eq!(q.queue.consumer_count(), 1);
    let q = QueueTest::quorum().consumer("a", credit(1).exclusive());
    assert_eq!(q.consumer("b", credit(1).exclusive()).queue.consumer_count(), 2);
}

#[test]
fn get_takes_one_message_beside_consumers_and_says_how_many_remain() {
    for mut q in QueueTest::each(|_| {}) {
        q = q.consumer("a", credit(1).exclusive()).publish(["m1", "m2", "m3"]);
        assert_eq!(q.get().as_deref(), Some("m2, 1 left"));
        assert_eq!(q.get().as_deref(), Some("m3, 0 left"));
        assert_eq!(q.get(), None);
        assert_eq!(q.counts(), (0, 3));
        q.settle("get", "m3", Outcome::Accept);
        q.settle("get", "m2", Outcome::Requeue);
        assert_eq!(q.get().as_deref(), Some("m2 (redelivered), 0 left"));
    }
}

#[test]
fn a_slot_is_settled_once() {
    let mut q = QueueTest::new().consumer("a", credit(2)).publish(["m1", "m2"]);
    let slot = q.around.held[0].2;
    for outcome in [Outcome::Accept, Outcome::Requeue, Outcome::Discard] {
        q.queue.settle(q.now, [slot], outcome, &mut q.around);
        q.queue.check();
    }
    q.queue.settle(q.now, [Slot::NONE], Outcome::Requeue, &mut q.around);
    assert_eq!(q.counts(), (0, 1));
    q.send(["m3"]);
    q.queue.settle(q.now, [slot], Outcome::Accept, &mut q.around);
    assert_eq!(q.counts(), (0, 2), "the cell was used again, the slot was not");
}

#[test]
fn what_came_back_returns_to_its_place_on_classic_and_goes_first_on_quorum_queues() {
    let hold_three = |mut q: QueueTest| {
        q.send(["m0", "m1", "m2", "m3"]);
        for _ in 0..3 {
            q.get();
        }
        q.settle("get", "m1", Outcome::Requeue);
        assert_eq!(q.get().as_deref(), Some("m1 (redelivered), 1 left"));
        q.settle_all("get", &["m2", "m0", "m1"], Outcome::Requeue);
        q.drain()
    };
    assert_eq!(hold_three(QueueTest::new()), ["m0", "m1", "m2", "m3"]);
    assert_eq!(hold_three(QueueTest::quorum()), ["m2", "m0", "m1", "m3"]);
}

#[test]
fn a_classic_message_is_delivered_at_once_and_confirmed_when_safe() {
    let mut q = QueueTest::new().consumer("a", credit(9));
    q.send_unsynced([msg("m1"), msg("m2").transient()]);
    assert_eq!(q.delivered(), ["a ← m1", "a ← m2"]);
    assert_eq!(q.confirmed(), ["m2"]);
    q.sync();
    assert_eq!(q.confirmed(), ["m1"]);
    q.send_unsynced(["m3"]);
    q.settle("a", "m3", Outcome::Accept);
    assert_eq!(q.confirmed(), ["m3"], "consumed before it was on disk");
    q.sync();
    assert_eq!(q.confirmed(), [""; 0]);
}

#[test]
fn a_quorum_message_is_delivered_when_safe() {
    let mut q = QueueTest::quorum().consumer("a", credit(9));
    q.send_unsynced([msg("m1"), msg("m2").transient()]);
    assert_eq!((q.delivered(), q.confirmed()), (vec![], vec![]));
    assert_eq!(q.get(), None);
    q.queue.durable(q.now, 1, &mut q.around);
    q.queue.check();
    assert_eq!(
        (q.delivered(), q.confirmed()),
        (vec!["a ← m1".into()], vec!["m1".into()])
    );
    q.sync();
    assert_eq!(
        (q.delivered(), q.confirmed()),
        (vec!["a ← m2".into()], vec!["m2".into()])
    );
}

#[test]
fn a_transient_queue_keeps_nothing_on_disk() {
    let mut q = QueueTest::new();
    q.queue = Queue::new(QueueType::Classic, false, QueueSettings::default(), q.now);
    q.send_unsynced(["m1"]);
    assert_eq!(q.confirmed(), ["m1"]);
    assert!(q.around.journal.durable.is_empty());
    assert_eq!(q.queue.counts().persistent, 0);
}

#[test]
fn purge_drops_what_is_ready_and_delete_everything() {
    for mut q in QueueTest::each(|settings| settings.dead_letter_exchange = Some("dlx".into())) {
        q = q.consumer("a", credit(1)).publish(["m1", "m2", "m3"]);
        assert_eq!(q.queue.purge(&mut q.around), 2);
        q.queue.check();
        assert_eq!(q.counts(), (0, 1));
        q.send(["m4"]);
        q.send_unsynced(["m5"]);
        q.confirmed();
        let ready = q.queue.ready();
        assert_eq!(q.queue.delete(&mut q.around), ready);
        q.queue.check();
        assert_eq!(q.around.cancelled, ["a"]);
        assert_eq!(q.confirmed(), ["m5"]);
        assert_eq!(q.counts(), (0, 0));
        assert_eq!(q.dead_letters(), [""; 0]);
        assert_eq!(q.queue.counts(), Counts::default());
        q.settle("a", "m1", Outcome::Requeue);
        assert_eq!(q.counts(), (0, 0), "later acks are accepted");
    }
}

#[test]
fn counts_tell_of_messages_bytes_and_consumers() {
    let mut q = QueueTest::new().consumer("a", credit(1));
    q.send([
        msg("m1").bytes(10),
        msg("m2").bytes(20),
        msg("m3").bytes(30).transient(),
    ]);
    let counts = q.queue.counts();
    assert_eq!((counts.ready, counts.ready_bytes), (2, 50));
    assert_eq!((counts.unacked, counts.unacked_bytes), (1, 10));
    assert_eq!((counts.persistent, counts.persistent_bytes), (2, 30));
    assert_eq!(counts.consumers, 1);
    let view = q.queue.consumers().next().expect("one consumer");
    assert_eq!(
        (view.prefetch, view.unacked, view.status),
        (Some(1), 1, ConsumerStatus::Up)
    );
    q.cancel("a");
    assert_eq!(q.queue.consumer_count(), 0);
}
