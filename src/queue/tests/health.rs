//! What a queue says of itself when it does not get on.

use super::*;
use crate::queue::health::LOOPS_FROM;
use crate::spec::Overflow;

fn word(test: &QueueTest) -> Health {
    test.queue.health(test.now)
}

#[test]
fn consumers_that_settle_nothing_are_stuck_after_a_minute_and_not_before() {
    for mut test in QueueTest::each(|_| {}) {
        test = test.consumer("a", credit(1)).publish(["m1", "m2"]);
        assert_eq!(word(&test), Health::Ok, "it is busy");
        test.wait(59_000);
        assert_eq!(word(&test), Health::Ok);
        test.wait(1_000);
        assert_eq!(word(&test), Health::Stuck);
        let (vitals, oldest) = test.queue.vitals(test.now);
        assert_eq!((vitals.at_prefetch, vitals.stalled, vitals.standby), (1, 0, 0));
        assert_eq!(vitals.oldest_unacked, Some(Millis(60_000)));
        assert_eq!(vitals.oldest_ready, Some(Millis(60_000)));
        assert_eq!(oldest.into_values().collect::<Vec<_>>(), [Millis(60_000)]);
        test.settle("a", "m1", Outcome::Accept);
        assert_eq!(word(&test), Health::Ok, "nothing waits");
    }
}

#[test]
fn messages_without_consumers_are_told() {
    for test in QueueTest::each(|_| {}) {
        assert_eq!(word(&test), Health::Ok);
        assert_eq!(word(&test.publish(["m1"])), Health::NoConsumers);
    }
}

#[test]
fn a_full_queue_that_refuses_is_worse_than_one_that_drops() {
    for (overflow, health, full) in [
        (Overflow::RejectPublish, Health::Full, Full::Refuses),
        (Overflow::DropHead, Health::NoConsumers, Full::Drops),
    ] {
        for test in QueueTest::each(|settings| {
            settings.max_length = Some(2);
            settings.overflow = overflow;
        }) {
            let test = test.publish(["m1"]);
            assert_eq!(test.queue.vitals(test.now).0.full, None);
            let test = test.publish(["m2"]);
            assert_eq!(test.queue.vitals(test.now).0.full, Some(full));
            assert_eq!(word(&test), health);
        }
    }
}

#[test]
fn a_message_that_comes_back_again_and_again_goes_round() {
    for mut test in QueueTest::each(|_| {}) {
        test = test.consumer("a", credit(1)).publish(["m1"]);
        for _ in 0..LOOPS_FROM {
            assert_eq!(word(&test), Health::Ok);
            test.settle("a", "m1", Outcome::Requeue);
        }
        assert_eq!(word(&test), Health::Ok, "it is with the consumer");
        test.cancel("a");
        test.settle("a", "m1", Outcome::Requeue);
        assert_eq!(word(&test), Health::NoConsumers, "which is worse");
        assert_eq!(test.queue.vitals(test.now).0.returns, LOOPS_FROM + 1);
    }
}

#[test]
fn a_queue_that_gets_more_than_its_consumers_take_grows() {
    for mut test in QueueTest::each(|_| {}) {
        test = test.consumer("a", credit(1));
        test.send(["m1"]);
        for _ in 0..10 {
            test.send(["x", "y", "z"]);
            test.wait(1_000);
        }
        assert_eq!(word(&test), Health::Growing);
        let rates = test.queue.vitals(test.now).0.rates.expect("known by now");
        assert!(rates.0 > 2.0 && rates.1 < 0.5, "{rates:?}");
        test.wait(30_000);
        assert_eq!(word(&test), Health::Ok, "nothing comes any more");
    }
}

#[test]
fn single_active_consumers_leave_the_others_waiting() {
    for mut test in QueueTest::each(|settings| settings.single_active_consumer = true) {
        test = test
            .consumer("a", credit(1))
            .consumer("b", credit(1))
            .publish(["m1", "m2"]);
        test.wait(60_000);
        assert_eq!(word(&test), Health::Stuck);
        let (vitals, _) = test.queue.vitals(test.now);
        assert_eq!((vitals.at_prefetch, vitals.standby), (1, 1));
    }
}
