//! Messages looked at where they are.

use super::*;
use crate::queue::peek::{Among, Seen};

fn names(seen: &[Seen]) -> Vec<String> {
    let name = |seen: &Seen| match &seen.message {
        Ok(message) => name_of(message),
        Err(_) => format!("at {}", seen.seq),
    };
    seen.iter().map(name).collect()
}

#[test]
fn ready_messages_are_seen_in_the_order_in_which_they_came() {
    for mut test in QueueTest::each(|_| {}) {
        test = test.consumer("a", credit(2)).publish(["m1", "m2", "m3", "m4"]);
        test.settle("a", "m2", Outcome::Requeue);
        let before = test.counts();
        let seen = test.queue.peek(Among::Ready, 0, 10);
        let held = test.queue.peek(Among::Unacked, 0, 10);
        let all: BTreeSet<_> = names(&seen).into_iter().chain(names(&held)).collect();
        assert_eq!(all, ["m1", "m2", "m3", "m4"].map(str::to_owned).into());
        assert!(seen.is_sorted_by_key(|seen| seen.seq) && held.is_sorted_by_key(|seen| seen.seq));
        assert!(held.iter().all(|seen| seen.held.is_some()) && seen.iter().all(|seen| seen.held.is_none()));
        assert_eq!(test.counts(), before);
        let from = seen[0].seq + 1;
        assert_eq!(names(&test.queue.peek(Among::Ready, from, 1)), names(&seen[1..2]));
        assert_eq!(test.queue.peek(Among::Unacked, 0, 1)[0].seq, held[0].seq);
    }
}

#[test]
fn a_look_changes_nothing_that_follows() {
    for kind in [QueueType::Classic, QueueType::Quorum] {
        let story = |looks: bool| {
            let mut test = QueueTest::of(kind, QueueSettings::default());
            let mut told = Vec::new();
            for round in 0..3 {
                test.send(["m1", "m2", "m3"]);
                if looks {
                    test.queue.peek(Among::Ready, 0, 100);
                    test.queue.peek(Among::Unacked, 0, 100);
                }
                if round == 1 {
                    test = test.consumer("a", credit(2));
                }
                told.extend(test.delivered());
                told.push(format!("{:?}", test.counts()));
            }
            told
        };
        assert_eq!(story(false), story(true));
    }
}
