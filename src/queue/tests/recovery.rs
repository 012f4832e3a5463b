//! A queue out of what the journal kept.

use super::*;

#[test]
fn what_was_stored_and_not_settled_comes_back_in_order() {
    for mut q in QueueTest::each(|_| {}) {
        q.send([msg("m1"), msg("m2").transient(), msg("m3"), msg("m4")]);
        assert_eq!(q.get().as_deref(), Some("m1, 3 left"));
        q.settle("get", "m1", Outcome::Accept);
        q.restart();
        let kept = match q.kind {
            QueueType::Quorum => vec!["m2", "m3", "m4"],
            _ => vec!["m3", "m4"],
        };
        assert_eq!(q.drain(), kept);
    }
}

#[test]
fn what_may_have_been_delivered_is_flagged_and_what_came_later_is_not() {
    for mut q in QueueTest::each(|_| {}) {
        q.send(["m1", "m2"]);
        q.get();
        assert_eq!(q.around.journal.mark, 257, "deliveries are recorded ahead");
        q.restart();
        q.send(["m3"]);
        assert_eq!(q.get().as_deref(), Some("m1 (redelivered), 2 left"));
        assert_eq!(q.get().as_deref(), Some("m2 (redelivered), 1 left"));
        assert_eq!(q.get().as_deref(), Some("m3, 0 left"));
        assert_eq!(q.around.journal.last_seq, 258);
        q.restart();
        for name in ["m1", "m2", "m3"] {
            assert!(
                q.get()
                    .is_some_and(|got| got.starts_with(&format!("{name} (redelivered)")))
            );
        }
    }
}

#[test]
fn an_untouched_queue_comes_back_unflagged() {
    for mut q in QueueTest::each(|_| {}) {
        q.send(["m1"]);
        q.restart();
        assert_eq!(q.get().as_deref(), Some("m1, 0 left"));
    }
}

#[test]
fn after_an_orderly_stop_only_what_was_delivered_is_flagged() {
    for mut q in QueueTest::each(|_| {}) {
        q.send(["m1", "m2"]);
        q.get();
        q.restart_orderly();
        assert_eq!(q.get().as_deref(), Some("m1 (redelivered), 1 left"));
        q.restart_orderly();
        q.send(["m3"]);
        assert_eq!(q.drain(), ["m1", "m2", "m3"]);
        q.restart_orderly();
        assert_eq!(q.get(), None);
    }
}

#[test]
fn the_mark_is_moved_long_before_deliveries_reach_it() {
    let mut q = QueueTest::new().consumer("a", Terms::default());
    q.send(["m"; 100]);
    assert_eq!(q.around.journal.mark, 257);
    q.send(["m"; 100]);
    assert_eq!(q.around.journal.mark, 130 + 256);
    q.send([msg("m").transient(); 500]);
    assert_eq!(
        q.around.journal.mark,
        130 + 256,
        "what is not stored does not come back"
    );
}

#[test]
fn numbers_are_never_used_again_even_when_everything_is_gone() {
    let mut q = QueueTest::new();
    q.queue = Queue::recover(QueueType::Classic, QueueSettings::default(), q.now, vec![], 500, 255);
    q.send(["m1"]);
    assert_eq!(q.around.journal.last_seq, 500);
    assert_eq!(q.drain(), ["m1"]);
    let ledger = vec![];
    let mut q = QueueTest::new();
    q.queue = Queue::recover(QueueType::Classic, QueueSettings::default(), q.now, ledger, 0, 255);
    q.send(["m1"]);
    assert_eq!(q.around.journal.last_seq, 256);
}

#[test]
fn priorities_and_times_to_live_survive() {
    let mut q = QueueTest::new().with(|settings| settings.max_priority = Some(9));
    q.send([msg("low"), msg("high").priority(7), msg("short").ttl(100)]);
    q.restart();
    assert_eq!(q.queue.deadline(), None, "it stands behind a live head");
    q.get();
    q.now = q.now + Millis(100);
    assert_eq!(q.get().as_deref(), Some("low, 0 left"));
    q.settle("get", "high", Outcome::Accept);
    q.restart();
    assert_eq!(q.drain(), ["low"]);
}

#[test]
fn what_expired_or_is_too_long_goes_at_the_first_tick() {
    for mut q in QueueTest::each(|settings| settings.dead_letter_exchange = Some("dlx".into())) {
        q.send([msg("old").ttl(100), msg("m1"), msg("m2")]);
        q.now = q.now + Millis(100);
        q.settings.max_length = Some(1);
        q.restart();
        q.answer_all();
        assert_eq!(q.dead_letters(), ["old: expired", "m1: maxlen"]);
        assert_eq!(q.drain(), ["m2"]);
    }
}

#[test]
fn damaged_records_do_no_harm() {
    let recovered = |seq, meta| Recovered {
        seq,
        loc: seq,
        meta,
        count: 0,
        discarded: None,
        len: 5,
    };
    let ledger = vec![
        recovered(3, [255; META_LEN]),
        recovered(1, [0; META_LEN]),
        recovered(3, [255; META_LEN]),
    ];
    let now = Timestamp(5);
    for kind in [QueueType::Classic, QueueType::Quorum] {
        let queue: Queue<(), ()> = Queue::recover(kind, QueueSettings::default(), now, ledger.clone(), 0, 0);
        queue.check();
        assert_eq!((queue.ready(), queue.counts().paged_out), (2, 2));
    }
}
