//! Queues that serve one consumer at a time.

use super::*;

fn queues() -> [QueueTest; 2] {
    QueueTest::each(|settings| settings.single_active_consumer = true)
}

fn active(q: &QueueTest) -> Option<&'static str> {
    q.queue.single_active_consumer().copied()
}

#[test]
fn the_first_consumer_is_served_until_it_goes() {
    for mut q in queues() {
        q = q.consumer("one", credit(9)).consumer("two", credit(9));
        q.send(["s0", "s1", "s2"]);
        assert_eq!(q.delivered(), ["one ← s0", "one ← s1", "one ← s2"]);
        q.settle("one", "s0", Outcome::Accept);
        q.cancel("one");
        assert_eq!(q.delivered(), [""; 0], "what it holds stays with its channel");
        q.send(["s3"]);
        assert_eq!(q.delivered(), ["two ← s3"]);
        q.settle_all("one", &["s1", "s2"], Outcome::Requeue);
        assert_eq!(q.delivered(), ["two ← s1 (redelivered)", "two ← s2 (redelivered)"]);
    }
}

#[test]
fn a_full_active_consumer_is_waited_for() {
    for mut q in queues() {
        q = q.consumer("one", credit(1)).consumer("two", credit(9));
        q.send(["s0", "s1"]);
        assert_eq!(q.delivered(), ["one ← s0"]);
        q.settle("one", "s0", Outcome::Accept);
        assert_eq!(q.delivered(), ["one ← s1"]);
    }
}

#[test]
fn the_next_one_is_the_highest_priority_that_came_first() {
    for mut q in queues() {
        q = q.consumer("one", credit(9).priority(7));
        q = q.consumer("low", credit(9)).consumer("high", credit(9).priority(5));
        q = q.consumer("high too", credit(9).priority(5));
        let status = |q: &QueueTest, name| {
            let mut views = q.queue.consumers();
            views.find(|view| *view.handle == name).expect("there").status
        };
        assert_eq!(status(&q, "one"), ConsumerStatus::SingleActive);
        assert_eq!(status(&q, "high"), ConsumerStatus::Waiting);
        q.cancel("low");
        q.cancel("one");
        assert_eq!(active(&q), Some("high"));
        q.cancel("high");
        q.cancel("high too");
        assert_eq!(active(&q), None);
        q.consume("late", credit(1)).expect("taken");
        assert_eq!(active(&q), Some("late"));
    }
}

#[test]
fn a_newcomer_of_higher_priority_takes_over_on_quorum_queues_only() {
    let [mut classic, mut quorum] =
        queues().map(|q| q.consumer("one", credit(9)).consumer("two", credit(9).priority(10)));
    classic.send(["s0"]);
    assert_eq!(classic.delivered(), ["one ← s0"]);
    quorum.send(["s0"]);
    assert_eq!(quorum.delivered(), ["two ← s0"]);
}

#[test]
fn it_takes_over_when_the_active_one_holds_nothing_more() {
    let [_, mut q] = queues();
    q = q.consumer("one", credit(9)).publish(["s0", "s1"]);
    q.consume("two", credit(9).priority(10)).expect("taken");
    q.send(["s2"]);
    assert_eq!(active(&q), Some("one"));
    q.settle("one", "s0", Outcome::Accept);
    assert_eq!(q.delivered(), ["one ← s0", "one ← s1"]);
    q.settle("one", "s1", Outcome::Accept);
    assert_eq!(active(&q), Some("two"));
    assert_eq!(q.delivered(), ["two ← s2"]);
}

#[test]
fn if_the_newcomer_goes_before_the_active_one_is_served_again() {
    let [_, mut q] = queues();
    q = q.consumer("one", credit(9)).publish(["s0"]);
    q.consume("two", credit(9).priority(10)).expect("taken");
    q.send(["s1"]);
    q.cancel("two");
    assert_eq!(q.delivered(), ["one ← s0", "one ← s1"]);
}

#[test]
fn to_be_exclusive_on_top_is_refused_on_classic_queues() {
    let [mut classic, mut quorum] = queues();
    assert_eq!(
        classic.consume("one", credit(1).exclusive()),
        Err(ConsumeError::ExclusiveUse)
    );
    assert_eq!(quorum.consume("one", credit(1).exclusive()), Ok(()));
}
