//! Message priorities.

use super::*;

#[test]
fn a_classic_queue_delivers_the_highest_priority_first_up_to_its_own_highest() {
    let mut q = QueueTest::new().with(|settings| settings.max_priority = Some(5));
    q.send([
        msg("m0"),
        msg("m1").priority(1),
        msg("m2").priority(5),
        msg("m3").priority(3),
        msg("m4").priority(9),
        msg("m5").priority(0),
        msg("m6").priority(5),
    ]);
    assert_eq!(q.drain(), ["m2", "m4", "m6", "m3", "m1", "m0", "m5"]);
}

#[test]
fn a_requeued_message_keeps_its_priority_and_its_place_in_it() {
    let mut q = QueueTest::new().with(|settings| settings.max_priority = Some(2));
    q.send([
        msg("p0"),
        msg("p2").priority(2),
        msg("p2b").priority(2),
        msg("p1").priority(1),
    ]);
    assert_eq!(q.get().as_deref(), Some("p2, 3 left"));
    q.settle("get", "p2", Outcome::Requeue);
    assert_eq!(q.drain(), ["p2", "p2b", "p1", "p0"]);
}

#[test]
fn without_priorities_the_property_means_nothing() {
    let q = QueueTest::new().publish([msg("m1").priority(1), msg("m2").priority(9)]);
    assert_eq!({ q }.drain(), ["m1", "m2"]);
}

#[test]
fn all_two_hundred_and_fifty_six_priorities_work() {
    let mut q = QueueTest::new().with(|settings| settings.max_priority = Some(255));
    for (name, priority) in [("a", 0), ("b", 255), ("c", 64), ("d", 63), ("e", 192), ("f", 191)] {
        q.send([msg(name).priority(priority)]);
    }
    assert_eq!(q.drain(), ["b", "e", "f", "c", "d", "a"]);
}

#[test]
fn a_quorum_queue_has_two_lanes_and_gives_two_high_ones_for_each_normal_one() {
    let mut q = QueueTest::quorum();
    q.send(["n1", "n2", "n3"]);
    q.send([
        msg("h1").priority(5),
        msg("n4").priority(4),
        msg("h2").priority(255),
        msg("h3").priority(9),
    ]);
    assert_eq!(q.drain(), ["h1", "h2", "n1", "h3", "n2", "n3", "n4"]);
}

#[test]
fn what_came_back_to_a_quorum_queue_goes_before_higher_priorities() {
    let mut q = QueueTest::quorum().publish(["n1"]);
    q.get();
    q.send([msg("h1").priority(9)]);
    q.settle("get", "n1", Outcome::Requeue);
    assert_eq!(q.drain(), ["n1", "h1"]);
}
