//! Times to live, the life of the queue itself, and clients that hold a message too long.

use super::*;

#[test]
fn a_message_expires_when_its_time_is_over_and_the_lower_time_counts() {
    for mut q in QueueTest::each(|settings| settings.message_ttl = Some(Millis(300))) {
        q.send([msg("own").ttl(200), msg("queue's").ttl(60_000)]);
        assert_eq!(q.queue.deadline(), Some(q.now + Millis(200)));
        q.wait(200);
        assert_eq!(q.counts(), (1, 0));
        q.wait(99);
        assert_eq!(q.counts(), (1, 0));
        q.wait(1);
        assert_eq!(q.counts(), (0, 0));
        assert_eq!(q.queue.deadline(), None);
        assert!(q.around.journal.durable.is_empty());
    }
}

#[test]
fn an_expired_message_is_dead_lettered() {
    for mut q in QueueTest::each(|settings| settings.dead_letter_exchange = Some("dlx".into())) {
        q.send([msg("m1").ttl(200)]);
        q.wait(200);
        assert_eq!(q.counts(), (0, 0));
        assert_eq!(
            q.around.journal.durable.len(),
            1,
            "kept until the dead letter is published"
        );
        assert_eq!(q.dead_letters(), ["m1: expired"]);
        assert!(q.around.journal.durable.is_empty());
    }
}

#[test]
fn behind_a_live_head_a_message_is_counted_although_it_expired() {
    for mut q in QueueTest::each(|_| {}) {
        q.send([msg("long").ttl(60_000), msg("short").ttl(200)]);
        q.wait(300);
        assert_eq!(q.counts(), (2, 0));
        let left = if q.kind == QueueType::Quorum { 1 } else { 0 };
        assert_eq!(q.get(), Some(format!("long, {left} left")));
        assert_eq!(q.get(), None);
        assert_eq!(q.counts(), (0, 1));
    }
}

#[test]
fn each_priority_has_a_head_that_can_expire() {
    let mut q = QueueTest::new().with(|settings| settings.max_priority = Some(200));
    q.send([msg("high").priority(150), msg("low").priority(3).ttl(100)]);
    q.wait(100);
    assert_eq!(q.drain(), ["high"]);
}

#[test]
fn a_time_to_live_of_zero_is_for_waiting_consumers_only() {
    for mut q in QueueTest::each(|settings| settings.message_ttl = Some(Millis(0))) {
        q.send(["lost"]);
        assert_eq!((q.get(), q.confirmed()), (None, vec!["lost".into()]));
        q = q.consumer("a", credit(2)).publish(["m1"]);
        q.send([msg("m2").ttl(0)]);
        q.send([msg("full").ttl(0)]);
        assert_eq!(q.delivered(), ["a ← m1", "a ← m2"]);
        assert_eq!(q.counts(), (0, 2));
        q.settle("a", "m1", Outcome::Requeue);
        assert_eq!(q.delivered(), [""; 0], "its time is over when it comes back");
        assert_eq!(q.counts(), (0, 1));
    }
}

#[test]
fn what_a_client_holds_expires_when_it_comes_back() {
    for mut q in QueueTest::each(|settings| {
        settings.message_ttl = Some(Millis(100));
        settings.dead_letter_exchange = Some("dlx".into());
    }) {
        q.send(["m1", "m2"]);
        q.get();
        q.wait(500);
        assert_eq!(q.counts(), (0, 1));
        assert_eq!(q.dead_letters(), ["m2: expired"]);
        q.settle("get", "m1", Outcome::Requeue);
        assert_eq!(q.dead_letters(), ["m1: expired"]);
        assert_eq!(q.get(), None);
    }
}

#[test]
fn a_new_time_to_live_is_for_messages_that_come() {
    let mut q = QueueTest::new().publish(["old"]);
    q.set(|settings| settings.message_ttl = Some(Millis(100)));
    q.send(["new"]);
    q.wait(1000);
    assert_eq!(q.counts(), (2, 0));
    assert_eq!(q.drain(), ["old"]);
}

#[test]
fn an_unused_queue_expires_and_use_begins_its_time_anew() {
    let mut q = QueueTest::new().with(|settings| settings.expires = Some(Millis(1000)));
    assert!(!q.wait(999).expire_queue);
    assert_eq!(q.get(), None);
    assert!(!q.wait(999).expire_queue);
    q.queue.touch_used(q.now);
    assert!(!q.wait(999).expire_queue);
    q.consume("a", credit(1)).expect("taken");
    assert_eq!(q.queue.deadline(), None);
    assert!(!q.wait(5000).expire_queue);
    q.cancel("a");
    q.send(["publishing is no use"]);
    assert_eq!(q.queue.deadline(), Some(q.now + Millis(1000)));
    assert!(q.wait(1000).expire_queue);
}

#[test]
fn who_holds_a_message_too_long_is_named_and_named_again() {
    let mut q = QueueTest::new()
        .consumer("slow", credit(1))
        .consumer("quick", credit(1));
    q.queue.set_consumer_timeout(q.now, Some(Millis(1000)));
    q.wait(5000);
    q.send(["m1"]);
    q.wait(600);
    q.send(["m2"]);
    assert_eq!(q.wait(399).overdue, [""; 0]);
    assert_eq!(q.wait(1).overdue, ["slow"]);
    q.settle("quick", "m2", Outcome::Accept);
    assert_eq!(q.wait(1000).overdue, [""; 0], "it was told a second ago");
    assert_eq!(q.wait(60_000).overdue, ["slow"]);
    q.settle("slow", "m1", Outcome::Accept);
    assert_eq!(q.queue.deadline(), None, "nobody holds anything");
    q.set(|settings| settings.consumer_timeout = Some(Millis(100)));
    q.send(["m3"]);
    q.wait(50);
    assert_eq!(
        q.wait(50).overdue,
        ["quick"],
        "the queue's own timeout goes before the node's"
    );
}

#[test]
fn a_shorter_timeout_holds_for_what_is_out_already() {
    let mut q = QueueTest::new().consumer("a", credit(1)).publish(["m1"]);
    q.wait(1000);
    q.queue.set_consumer_timeout(q.now, Some(Millis(1500)));
    assert_eq!(q.wait(400).overdue, [""; 0]);
    assert_eq!(q.wait(100).overdue, ["a"]);
}
