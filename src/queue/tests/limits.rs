//! Length limits.

use super::*;
use crate::spec::Overflow;

fn limited(overflow: Overflow) -> impl Fn(&mut QueueSettings) {
    move |settings| {
        settings.max_length = Some(2);
        settings.overflow = overflow;
        settings.dead_letter_exchange = Some("dlx".into());
    }
}

#[test]
fn a_full_queue_drops_its_head() {
    for mut q in QueueTest::each(limited(Overflow::DropHead)) {
        q.send(["m0", "m1", "m2", "m3"]);
        assert_eq!(q.confirmed(), ["m0", "m1", "m2", "m3"]);
        assert_eq!(q.dead_letters(), ["m0: maxlen", "m1: maxlen"]);
        assert_eq!(q.drain(), ["m2", "m3"]);
    }
}

#[test]
fn a_full_queue_refuses_where_it_is_told_to() {
    for mut q in QueueTest::each(limited(Overflow::RejectPublish)) {
        q.send_unsynced(["m0", "m1", "m2"]);
        q.sync();
        assert_eq!(
            (q.confirmed(), q.refused()),
            (vec!["m0".into(), "m1".into()], vec!["m2".into()])
        );
        q.get();
        q.send(["m3", "m4"]);
        assert_eq!(q.refused(), ["m4"], "what a client holds does not count");
        assert_eq!(q.dead_letters(), [""; 0]);
        assert_eq!(q.drain(), ["m1", "m3"]);
    }
}

#[test]
fn refused_and_dead_lettered_is_for_classic_queues() {
    let mut q = QueueTest::new().with(limited(Overflow::RejectPublishDlx));
    q.send(["m0", "m1", "m2"]);
    assert_eq!(q.refused(), ["m2"]);
    assert_eq!(q.dead_letters(), ["m2: maxlen"]);
    assert_eq!(q.drain(), ["m0", "m1"]);
    let mut q = QueueTest::quorum().with(limited(Overflow::RejectPublishDlx));
    q.send(["m0", "m1", "m2"]);
    assert_eq!(q.refused(), [""; 0]);
    assert_eq!(q.dead_letters(), ["m0: maxlen"]);
}

#[test]
fn bytes_are_those_of_ready_bodies() {
    for mut q in QueueTest::each(|settings| settings.max_length_bytes = Some(25)) {
        let ten = |name| msg(name).bytes(10);
        q.send([ten("m0"), ten("m1"), ten("m2"), ten("m3")]);
        assert_eq!(q.counts(), (2, 0));
        q.get();
        q.send([ten("m4")]);
        assert_eq!(q.counts(), (2, 1));
        q.settle("get", "m2", Outcome::Requeue);
        assert_eq!(q.drain(), ["m3", "m4"], "what came back is the head and goes");
        q.send([msg("large").bytes(26)]);
        assert_eq!(q.counts(), (0, 0));
    }
}

#[test]
fn a_length_of_zero_keeps_nothing_unless_a_consumer_waits() {
    for mut q in QueueTest::each(|settings| settings.max_length = Some(0)) {
        q.send(["lost"]);
        assert_eq!((q.get(), q.confirmed()), (None, vec!["lost".into()]));
        q = q.consumer("a", credit(1)).publish(["m1", "m2"]);
        assert_eq!(q.delivered(), ["a ← m1"]);
        assert_eq!(q.counts(), (0, 1));
    }
    let mut q = QueueTest::new().with(|settings| {
        settings.max_length = Some(0);
        settings.overflow = Overflow::RejectPublish;
    });
    q = q.consumer("a", credit(1)).publish(["m1"]);
    assert_eq!(q.refused(), ["m1"], "refused even when a consumer waits");
}

#[test]
fn a_new_limit_holds_at_once() {
    for mut q in QueueTest::each(|_| {}) {
        q.send(["m0", "m1", "m2"]);
        q.set(|settings| settings.max_length = Some(1));
        assert_eq!(q.drain(), ["m2"]);
    }
}

#[test]
fn dropping_takes_the_highest_priority_first_as_delivery_does() {
    let mut q = QueueTest::new().with(|settings| {
        settings.max_priority = Some(5);
        settings.max_length = Some(2);
    });
    q.send([msg("low"), msg("high").priority(5), msg("low2")]);
    assert_eq!(q.drain(), ["low", "low2"]);
}
