//! Bodies out of memory and back.

use super::*;
use crate::queue::entry::Entry;

/// Bytes that a message with a body of 100 bytes takes.
const ONE: u64 = 167;

fn hundred(name: &'static str) -> Msg {
    msg(name).bytes(100)
}

fn in_memory(q: &QueueTest) -> u64 {
    assert_eq!(q.queue.bytes_in_memory() % ONE, 0);
    q.queue.bytes_in_memory() / ONE
}

#[test]
fn beyond_the_budget_the_tail_leaves_memory_and_comes_back_in_order() {
    for mut q in QueueTest::each(|_| {}) {
        q.limit_memory(2 * ONE);
        q.send(["m1", "m2", "m3", "m4", "m5"].map(hundred));
        assert_eq!((in_memory(&q), q.queue.counts().paged_out), (2, 3));
        q = q.consumer("a", credit(9));
        assert_eq!(q.delivered(), ["a ← m1", "a ← m2"]);
        assert_eq!(q.around.wanted.len(), 1);
        q.send([hundred("m6")]);
        assert_eq!(q.delivered(), [""; 0], "nothing overtakes what is being read");
        q.answer_all();
        assert_eq!(q.delivered(), ["a ← m3", "a ← m4", "a ← m5", "a ← m6"]);
    }
}

#[test]
fn a_durable_body_leaves_memory_when_it_is_on_disk_and_a_transient_one_when_it_is_written_out() {
    let mut q = QueueTest::new();
    q.limit_memory(ONE);
    q.send_unsynced([hundred("m1"), hundred("m2"), hundred("m3").transient(), hundred("m4")]);
    assert_eq!(in_memory(&q), 3);
    assert_eq!(q.around.journal.paged.len(), 1);
    q.sync();
    assert_eq!(in_memory(&q), 1);
    assert_eq!(q.drain(), ["m1", "m2", "m3", "m4"]);
    assert!(q.around.journal.paged.is_empty() && q.around.journal.durable.is_empty());
    assert_eq!(q.queue.bytes_in_memory(), 0);
}

#[test]
fn a_smaller_budget_holds_at_once_and_the_head_stays() {
    let mut q = QueueTest::new().publish(["m1", "m2", "m3", "m4"].map(hundred));
    q.limit_memory(2 * ONE);
    assert_eq!(in_memory(&q), 2);
    q.limit_memory(0);
    assert_eq!(in_memory(&q), 1);
    assert_eq!(q.queue.head().map(name_of).as_deref(), Some("m1"));
    assert_eq!(q.drain(), ["m1", "m2", "m3", "m4"]);
}

#[test]
fn what_clients_hold_leaves_memory_too_and_can_come_back() {
    for mut q in QueueTest::each(|settings| settings.dead_letter_exchange = Some("dlx".into())) {
        q.limit_memory(0);
        q = q.consumer("a", credit(9)).publish(["m1", "m2"].map(hundred));
        q.sync();
        assert_eq!(q.delivered(), ["a ← m1", "a ← m2"]);
        q.send([hundred("m3").transient()]);
        assert_eq!(in_memory(&q), 0);
        q.settle("a", "m1", Outcome::Requeue);
        assert_eq!(q.delivered().last().map(String::as_str), Some("a ← m3"));
        q.answer_all();
        assert_eq!(q.delivered(), ["a ← m1 (redelivered)"]);
        q.settle_all("a", &["m2", "m3"], Outcome::Discard);
        assert!(q.around.dead.is_empty(), "without its body it cannot be published");
        q.answer_all();
        assert_eq!(q.dead_letters(), ["m2: rejected", "m3: rejected"]);
        assert_eq!(q.counts(), (0, 1));
    }
}

#[test]
fn a_body_that_cannot_be_read_any_more_is_dropped_with_its_message() {
    for mut q in QueueTest::each(|_| {}) {
        q.limit_memory(ONE);
        q.send(["m1", "m2", "m3", "m4"].map(hundred));
        q = q.consumer("a", credit(9));
        assert!(q.answer_losing(&["m2", "m4"]));
        assert_eq!(q.delivered(), ["a ← m1", "a ← m3"]);
        assert_eq!(q.counts(), (0, 2));
        assert_eq!(q.around.journal.durable.len(), 2);
    }
}

#[test]
fn behind_a_lost_head_an_expired_message_does_not_stop_the_line() {
    let mut q = QueueTest::new();
    q.limit_memory(ONE);
    q.send([hundred("m1"), hundred("m2"), hundred("m3").ttl(100), hundred("m4")]);
    assert!(q.get().is_some());
    q.consume("a", credit(9)).expect("taken");
    q.now = q.now + Millis(100);
    while q.answer_losing(&["m2"]) {}
    assert_eq!(q.delivered(), ["a ← m4"]);
    assert_eq!(q.counts(), (0, 2));
}

#[test]
fn a_dying_message_whose_body_is_lost_is_gone() {
    let mut q = QueueTest::new().with_dead_letters();
    q.limit_memory(ONE);
    q.send([hundred("m1").ttl(100), hundred("m2").ttl(100), hundred("m3").ttl(100)]);
    q.wait(100);
    while q.answer_losing(&["m2"]) {}
    assert_eq!(q.dead_letters(), ["m1: expired", "m3: expired"]);
    assert!(q.around.journal.durable.is_empty());
}

#[test]
fn what_is_purged_or_dies_while_it_is_being_read_does_no_harm() {
    let mut q = QueueTest::new().with_dead_letters();
    q.limit_memory(ONE);
    q.send([hundred("m1"), hundred("m2"), hundred("m3").ttl(100)]);
    assert_eq!(q.get().as_deref(), Some("m1, 2 left"));
    assert!(matches!(q.queue.get(q.now, true, &mut q.around), Get::NeedsFetch));
    q.set(|settings| settings.max_length = Some(1));
    assert_eq!(q.counts(), (1, 1));
    q.wait(100);
    assert_eq!(q.counts(), (0, 1));
    q.answer_all();
    assert_eq!(q.dead_letters(), ["m2: maxlen", "m3: expired"]);
    q.set(|settings| settings.max_length = None);
    q.send([hundred("m4"), hundred("m5")]);
    assert_eq!(q.get().as_deref(), Some("m4, 1 left"));
    assert!(matches!(q.queue.get(q.now, true, &mut q.around), Get::NeedsFetch));
    assert_eq!(q.queue.purge(&mut q.around), 1);
    q.answer_all();
    assert_eq!((q.counts(), q.around.journal.durable.len()), ((0, 2), 2));
}

#[test]
fn bodies_are_read_in_runs_of_bounded_length() {
    let mut q = QueueTest::new();
    q.limit_memory(0);
    q.send(["m"; 9000]);
    q = q.consumer("a", credit(1));
    let sizes = |q: &QueueTest| q.around.wanted.iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(q.delivered(), ["a ← m"]);
    assert_eq!(sizes(&q), [8192], "what is read ahead is bounded");
    q.answer();
    assert_eq!(sizes(&q), [0; 0]);
    q.cancel("a");
    q.consume("b", no_ack()).expect("taken");
    q.answer_all();
    assert_eq!(q.delivered().len(), 8999);
}

#[test]
fn dead_letters_are_read_a_bounded_number_at_a_time() {
    let mut q = QueueTest::new().with_dead_letters();
    q.limit_memory(0);
    q.send([msg("m").ttl(100); 3000]);
    q.wait(100);
    let mut dead = 0;
    loop {
        let waiting: usize = q.around.wanted.iter().map(Vec::len).sum();
        assert!(waiting <= 1024);
        dead += q.dead_letters().len();
        if !q.answer() {
            break;
        }
    }
    assert_eq!((dead, q.counts()), (3000, (0, 0)));
}

#[test]
fn dead_letters_that_are_not_published_hold_up_those_to_be_read() {
    let mut q = QueueTest::new().with_dead_letters();
    q.limit_memory(0);
    let mib = |name| msg(name).bytes(1 << 20).ttl(100);
    q.send([mib("m"); 20]);
    q.wait(100);
    q.answer_all();
    let begun = q.around.dead.len();
    assert_eq!((begun, q.counts()), (16, (4, 0)));
    assert_eq!(q.queue.deadline(), None, "ticks are of no use");
    q.dead_letters();
    q.wait(0);
    q.answer_all();
    assert_eq!(q.dead_letters().len(), 4);
    assert_eq!(q.counts(), (0, 0));
}

#[test]
fn an_entry_is_small() {
    assert_eq!(size_of::<Entry>(), 48);
    assert_eq!(size_of::<Held>(), 64);
}
