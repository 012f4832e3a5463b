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

const ALL: [&str; 8] = ["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7"];

/// What a consumer gets when these come back.
fn again<'a>(to: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let names = names.into_iter();
    names.map(|name| format!("{to} ← {name} (redelivered)")).collect()
}

#[test]
fn when_the_client_of_the_active_one_is_gone_the_next_gets_what_it_held_before_the_rest() {
    // The client says what it knows that it has, or nobody does: it is gone with its node.
    for knows in [true, false] {
        let priority = QueueTest::new().with(|settings| {
            settings.single_active_consumer = true;
            settings.max_priority = Some(5);
        });
        for mut q in queues().into_iter().chain([priority]) {
            q = q.consumer("one", credit(4)).consumer("two", credit(6));
            q.send(ALL);
            q.delivered();
            q.leave(&["one"], knows);
            let mut expected = again("two", ALL[..4].iter().copied());
            expected.extend(["two ← s4", "two ← s5"].map(str::to_owned));
            assert_eq!(q.delivered(), expected);
        }
    }
}

#[test]
fn a_client_that_is_gone_gives_back_what_it_got_otherwise_in_the_same_step() {
    for mut q in queues() {
        q.send(ALL);
        q.get();
        q = q.consumer("gone", credit(2));
        q.cancel("gone");
        q = q
            .consumer("one", credit(1))
            .consumer("too", credit(1))
            .consumer("two", credit(5));
        q.delivered();
        q.leave(&["get", "gone", "one", "too"], true);
        let mut expected = again("two", ALL[..4].iter().copied());
        expected.push("two ← s4".to_owned());
        assert_eq!(q.delivered(), expected);
    }
}

#[test]
fn what_never_came_to_the_client_of_a_consumer_that_is_cancelled_goes_to_the_next_first() {
    for mut q in queues() {
        q = q.consumer("one", credit(4)).consumer("two", credit(3));
        q.send(ALL);
        q.delivered();
        let lost: Vec<Slot> = q.around.held.drain(2..4).map(|(_, _, slot)| slot).collect();
        let id = q.around.ids["one"];
        q.queue.cancel_without(q.now, [id], lost, &mut q.around);
        q.queue.check();
        let mut expected = again("two", ["s2", "s3"]);
        expected.push("two ← s4".to_owned());
        assert_eq!(q.delivered(), expected);
        q.settle_all("one", &["s0", "s1"], Outcome::Accept);
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
