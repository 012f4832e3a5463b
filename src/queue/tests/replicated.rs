//! Queues whose deliveries wait for the mark, and what clients bring along from one leader to the
//! next.

use super::*;

impl QueueTest {
    /// A quorum queue whose marks and messages are committed by [`QueueTest::commit`].
    fn replicated() -> Self {
        let mut q = Self::quorum();
        q.queue = Queue::new(QueueType::Quorum, true, q.settings.clone(), q.now).replicated(1);
        q.queue.unstall_all(q.now, &mut q.around);
        q
    }

    fn commit(&mut self) {
        self.queue.marked(self.now, self.around.journal.mark, &mut self.around);
        self.sync();
    }

    /// Another leads, with what was committed.
    fn next_leader(&mut self, term: u32) {
        self.restart_as(|queue| queue.replicated(term));
    }

    /// Returns what is not theirs.
    fn adopt(&mut self, holder: Holder, slots: &[Slot]) -> Vec<u64> {
        let left = self.queue.adopt(self.now, holder, slots.to_vec(), &mut self.around);
        self.queue.check();
        left.into_iter().map(Slot::seq).collect()
    }

    /// What a leader says of its consumers, and the next one hears.
    fn rank(&self, name: &str) -> Rank {
        let mut consumers = self.queue.consumers();
        consumers.find(|consumer| *consumer.handle == name).expect("there").rank
    }

    fn active(&self) -> Option<&'static str> {
        self.queue.single_active_consumer().copied()
    }

    fn resume(&mut self) {
        self.queue.unstall_all(self.now, &mut self.around);
        self.answer_all();
        self.queue.check();
    }
}

#[test]
fn the_mark_travels_with_the_message_when_a_consumer_can_take_it() {
    let mut q = QueueTest::replicated().consumer("a", credit(10));
    q.send_unsynced(["m1", "m2"]);
    assert_eq!(q.around.journal.mark, 2);
    q.commit();
    assert_eq!(q.delivered(), ["a ← m1", "a ← m2"]);
}

#[test]
fn nothing_is_delivered_before_the_mark_is_committed() {
    let mut q = QueueTest::replicated();
    q.send(["m1", "m2", "m3"]);
    assert_eq!(q.around.journal.mark, 0, "nobody wants any");
    q.consume("a", credit(1)).expect("taken");
    assert_eq!(q.around.journal.mark, 3);
    assert!(q.delivered().is_empty());
    q.commit();
    assert_eq!(q.delivered(), ["a ← m1"]);
}

#[test]
fn the_mark_stays_close_to_what_consumers_may_take() {
    let mut q = QueueTest::replicated();
    q.send(["m"; 3000]);
    q.consume("a", credit(10)).expect("taken");
    assert_eq!(q.around.journal.mark, 1 + 28, "twice the prefetch and a few");
    q.commit();
    assert_eq!(q.delivered().len(), 10);
    q.consume("b", Terms::default()).expect("taken");
    while q.around.journal.mark < 3000 {
        let mark = q.around.journal.mark;
        q.commit();
        assert!(q.around.journal.mark > mark, "a drain never stops");
        assert!(q.around.journal.mark <= mark + 1 + 1024);
    }
    q.commit();
    assert_eq!(q.queue.ready(), 0);
}

#[test]
fn whoever_gets_a_message_waits_for_its_mark_alone() {
    let mut q = QueueTest::replicated();
    q.send(["m1", "m2"]);
    assert!(matches!(q.queue.get(q.now, false, &mut q.around), Get::NeedsMark));
    assert_eq!(q.around.journal.mark, 1);
    q.commit();
    assert_eq!(q.get().as_deref(), Some("m1, 1 left"));
}

#[test]
fn what_a_consumer_has_it_keeps_under_the_next_leader() {
    let mut q = QueueTest::replicated().consumer("a", credit(2));
    q.send_unsynced(["m1", "m2", "m3", "m4"]);
    q.commit();
    let held = std::mem::take(&mut q.around.held);
    assert_eq!(q.delivered(), ["a ← m1", "a ← m2"]);
    q.next_leader(2);
    q.consume("a", credit(2)).expect("taken");
    let id = q.around.ids["a"];
    let (m1, m2) = (held[0].2, held[1].2);
    let unknown = Slot::from_parts((0, 0, 9));
    let stale = Slot::from_parts((m1.parts().0, 1, 1));
    assert!(q.adopt(Holder::Consumer(id), &[m2, m1]).is_empty());
    assert!(q.adopt(Holder::Get, &[m1]).is_empty(), "it is out by this slot");
    assert_eq!(
        q.adopt(Holder::Get, &[stale, unknown]),
        [1, 9],
        "delivered anew, and unknown"
    );
    assert_eq!((q.counts(), q.queue.held_by(id)), ((2, 2), vec![1, 2]));
    q.resume();
    assert!(q.delivered().is_empty(), "its credit is used up");
    q.queue.settle(q.now, [stale], Outcome::Accept, &mut q.around);
    assert_eq!(q.counts(), (2, 2), "it is not known by this slot");
    q.queue.settle(q.now, [m1], Outcome::Accept, &mut q.around);
    q.answer_all();
    q.queue.check();
    assert_eq!(q.delivered(), ["a ← m3 (redelivered)"], "under the mark that was ahead");
    q.queue.settle(q.now, [m1], Outcome::Accept, &mut q.around);
    assert_eq!(q.counts(), (1, 2));
}

#[test]
fn a_slot_of_another_leader_settles_only_what_was_brought_along() {
    let mut q = QueueTest::replicated().consumer("a", credit(1));
    q.send_unsynced(["m1"]);
    q.commit();
    let old = q.around.held[0].2;
    q.next_leader(2);
    q.consume("b", credit(1)).expect("taken");
    q.resume();
    assert_eq!(q.delivered(), ["b ← m1 (redelivered)"]);
    q.queue.settle(q.now, [old], Outcome::Accept, &mut q.around);
    assert_eq!(q.counts(), (0, 1), "it is b's");
}

/// A message that `a` has given back, and by which slot it had it.
fn given_back() -> (QueueTest, Slot) {
    let mut q = QueueTest::replicated().consumer("a", credit(1));
    q.send_unsynced(["m1"]);
    q.commit();
    let slot = q.around.held[0].2;
    q.around.stalled.insert("a");
    q.settle("a", "m1", Outcome::Requeue);
    assert_eq!(q.around.journal.durable[&1].count, 1);
    (q, slot)
}

#[test]
fn what_came_back_to_the_leader_before_does_not_come_back_again() {
    for outcome in [Outcome::Requeue, Outcome::Accept, Outcome::Discard] {
        let (mut q, slot) = given_back();
        q.next_leader(2);
        assert_eq!(q.adopt(Holder::Get, &[slot]), [1], "that delivery is over");
        q.queue.settle(q.now, [slot], outcome, &mut q.around);
        q.resume();
        assert_eq!(q.counts(), (1, 0));
        assert_eq!(q.around.journal.durable[&1].count, 1);
    }
}

#[test]
fn a_return_that_the_leader_before_did_not_write_down_counts_with_the_next_one() {
    let (mut q, _) = given_back();
    q.around.stalled.clear();
    q.resume();
    let again = q.around.held[0].2;
    q.around.journal.durable.get_mut(&1).expect("stored").count = 0;
    q.next_leader(2);
    assert_eq!(q.adopt(Holder::Get, &[again]), [0; 0]);
    q.queue.settle(q.now, [again], Outcome::Requeue, &mut q.around);
    assert_eq!(q.around.journal.durable[&1].count, 2);
}

#[test]
fn consumers_have_their_turns_in_the_order_in_which_they_came_whoever_leads() {
    let mut q = QueueTest::replicated();
    for name in ["a", "b", "c"] {
        q.consume(name, credit(1)).expect("taken");
    }
    let ranks = ["a", "b", "c"].map(|name| (name, q.rank(name)));
    q.next_leader(2);
    q.consume("new", credit(1)).expect("taken");
    for (name, rank) in [ranks[1], ranks[2], ranks[0]] {
        q.consume(name, credit(1).rank(rank)).expect("taken");
    }
    q.resume();
    q.send_unsynced(["m1", "m2", "m3", "m4"]);
    q.commit();
    assert_eq!(q.delivered(), ["a ← m1", "b ← m2", "c ← m3", "new ← m4"]);
}

fn single_active() -> QueueTest {
    let mut q = QueueTest::quorum().with(|settings| settings.single_active_consumer = true);
    q.queue = Queue::new(QueueType::Quorum, true, q.settings.clone(), q.now).replicated(1);
    q
}

#[test]
fn who_was_active_last_goes_on_under_the_next_leader() {
    let mut q = single_active().consumer("a", credit(9)).consumer("b", credit(9));
    assert_eq!(q.active(), None, "others may be there");
    q.resume();
    assert_eq!(q.active(), Some("a"), "it came first");
    let ranks = ["a", "b"].map(|name| q.rank(name));
    q.next_leader(2);
    q.consume("b", credit(9).rank(ranks[1])).expect("taken");
    q.resume();
    q.consume("a", credit(9).rank(ranks[0])).expect("taken");
    assert_eq!(q.active(), Some("b"), "the other was heard of too late");
    let ranks = ["a", "b"].map(|name| q.rank(name));
    q.next_leader(3);
    q.consume("c", credit(9)).expect("taken");
    q.consume("a", credit(9).rank(ranks[0])).expect("taken");
    q.consume("b", credit(9).rank(ranks[1])).expect("taken");
    q.resume();
    assert_eq!(q.active(), Some("b"), "though the other came first");
    q.cancel("b");
    assert_eq!(q.active(), Some("a"), "it came before the newcomer");
}

#[test]
fn who_makes_way_under_one_leader_does_so_under_the_next() {
    for is_held in [true, false] {
        let mut q = single_active().consumer("a", credit(9));
        q.resume();
        q.send_unsynced(["m1"]);
        q.commit();
        q.consume("better", credit(9).priority(1)).expect("taken");
        assert_eq!(q.active(), Some("a"), "it has yet to settle");
        let held = q.around.held[0].2;
        let ranks = ["a", "better"].map(|name| q.rank(name));
        if !is_held {
            q.queue.settle(q.now, [held], Outcome::Accept, &mut q.around);
        }
        q.next_leader(2);
        q.consume("better", credit(9).priority(1).rank(ranks[1]))
            .expect("taken");
        q.consume("a", credit(9).rank(ranks[0])).expect("taken");
        let id = q.around.ids["a"];
        assert_eq!(q.adopt(Holder::Consumer(id), &[held]).is_empty(), is_held);
        q.resume();
        q.send_unsynced(["m2"]);
        q.commit();
        if is_held {
            assert_eq!(q.active(), Some("a"));
            assert_eq!(q.delivered(), [""; 0]);
            q.queue.settle(q.now, [held], Outcome::Accept, &mut q.around);
        }
        assert_eq!(q.active(), Some("better"));
        assert_eq!(q.delivered(), ["better ← m2"]);
    }
}

#[test]
fn while_holders_are_heard_nothing_goes() {
    let mut q = QueueTest::replicated().with_limits();
    q.send_unsynced([msg("m1").ttl(50), msg("m2"), msg("m3")]);
    q.consume("a", credit(1)).expect("taken");
    q.commit();
    assert_eq!(q.delivered(), ["a ← m1"]);
    let held = q.around.held[0].2;
    q.now = q.now + Millis(100);
    q.next_leader(2);
    assert_eq!(q.queue.deadline(), None);
    assert!(matches!(q.queue.get(q.now, false, &mut q.around), Get::NeedsMark));
    assert!(q.adopt(Holder::Get, &[held]).is_empty());
    q.resume();
    assert_eq!(q.counts(), (2, 1), "what is held counts for neither limit");
}

#[test]
fn what_a_client_had_comes_back_in_order_and_counts_when_it_is_gone() {
    let mut q = QueueTest::replicated().consumer("a", Terms::default());
    q.send_unsynced(["m1", "m2", "m3"]);
    q.commit();
    q.settle("a", "m2", Outcome::Accept);
    let id = q.around.ids["a"];
    assert_eq!(q.queue.give_back(q.now, [id], [], &mut q.around), 1);
    assert_eq!(q.queue.give_back(q.now, [id], [], &mut q.around), 0);
    q.queue.check();
    assert_eq!(q.around.journal.durable[&1].count, 1);
    q.around.held.clear();
    assert_eq!(q.drain(), ["m1", "m3"]);
}

#[test]
fn the_first_message_over_the_delivery_limit_is_told_of_before_it_goes() {
    let mut q = QueueTest::quorum().with(|settings| settings.delivery_limit = Some(0));
    q.send(["m1", "m2"]);
    for name in ["m1", "m2"] {
        q.get();
        assert_eq!(q.around.limits_told, u32::from(name == "m2"));
        q.settle("get", name, Outcome::Requeue);
    }
    assert_eq!(q.around.limits_told, 1);
}

impl QueueTest {
    fn with_limits(mut self) -> Self {
        self.set(|settings| settings.max_length = Some(2));
        self
    }
}
