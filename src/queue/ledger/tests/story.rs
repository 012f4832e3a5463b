use super::*;
use crate::queue::DeathReason;
use crate::queue::ledger::living::BLOCK;
use crate::queue::ledger::{Emptying, Figures, LOOKS, Memory, Stored, WORTH};

fn gone(seqs: impl IntoIterator<Item = u64>) -> Bytes {
    let mut batch = Records::default();
    seqs.into_iter().for_each(|seq| batch.gone(seq));
    batch.take().expect("some")
}

fn seqs(ledger: &Ledger) -> Vec<u64> {
    ledger.recovered().iter().map(|one| one.seq).collect()
}

#[test]
fn few_messages_that_stay_among_many_that_went_stay_cheap() {
    let mut ledger = Ledger::new();
    for round in 0..200 {
        let first = 1 + round * 1000;
        let index = round + 1;
        ledger
            .apply(index, batch(first, 1, first..first + 1000))
            .expect("readable");
        ledger.apply(index, gone(first + 1..first + 1000)).expect("readable");
    }
    let stayed = || (0..200).map(|round| 1 + round * 1000);
    assert!(seqs(&ledger).into_iter().eq(stayed()));
    let blocks = ledger.living.blocks().len();
    // At most half of a block is empty.
    assert!(blocks <= 2 * 200_usize.div_ceil(BLOCK), "{blocks} blocks");
    ledger.apply(900, gone(stayed())).expect("readable");
    assert_eq!((ledger.living.blocks().len(), ledger.figures().live), (0, 0));
}

#[test]
fn figures_say_what_a_snapshot_gives_back() {
    let mut ledger = Ledger::new();
    let mut log = 0;
    for batch in [batch(1, 1, 1..=100), gone(1..=90)] {
        log += batch.len() as u64;
        ledger.apply(1, batch).expect("readable");
    }
    let then = ledger.figures();
    assert_eq!((then.messages, then.live + then.reclaimable), (10, log));
    let parts = ledger.snapshot();
    let more = gone(91..=95);
    ledger.apply(2, more.clone()).expect("readable");
    let all = parts.collect::<Result<_, _>>().expect("in memory");
    ledger.kept(&Log::new().keep(all));
    let now = ledger.figures();
    assert_eq!(now.reclaimable, more.len() as u64 + then.live - now.live);
    let copy = copy_of(&ledger).figures();
    assert_eq!((copy.live, copy.reclaimable), (now.live, 0));
}

#[test]
fn a_snapshot_is_of_its_moment() {
    let mut ledger = Ledger::new();
    ledger.apply(1, batch(1, 1, 1..=3000)).expect("readable");
    let (before, parts) = (pieces(&ledger), ledger.snapshot());
    let mut returned = Records::default();
    returned.returned(700, 3);
    ledger.apply(2, returned.take().expect("one")).expect("readable");
    ledger.apply(3, gone(10..=2990)).expect("readable");
    ledger.apply(4, batch(3001, 1, 3001..=3100)).expect("readable");
    assert_eq!(parts.collect::<Result<Vec<_>, _>>().expect("in memory"), before);
    assert_ne!(pieces(&ledger), before);
}

#[test]
fn bodies_beyond_the_window_are_read_from_the_log() {
    let log = Log::new();
    let mut ledger = Ledger::over(log.clone(), 600);
    let mut all = Ledger::new();
    for index in 1..=20 {
        let batch = batch(index * 10, 1, index * 10..index * 10 + 5);
        log.write(index, batch.clone());
        all.apply(index, batch.clone()).expect("readable");
        ledger.apply(index, batch).expect("readable");
        assert!(ledger.figures().in_memory <= 600);
    }
    assert_eq!(ledger.stored(10), Some(Stored::At(Place::entry(1))));
    assert!(matches!(ledger.stored(204), Some(Stored::InMemory(_))));
    assert_eq!(ledger.stored(205), None);
    assert_eq!(pieces(&ledger), pieces(&all));
    assert_eq!(text(&ledger.message(13).expect("in the log")), "13");
    // What came after a snapshot stays in the log.
    let snapshot = pieces(&ledger);
    let later = batch(300, 1, 300..305);
    for ledger in [&mut all, &mut ledger] {
        ledger.apply(21, later.clone()).expect("readable");
    }
    ledger.kept(&log.keep(snapshot.clone()));
    log.write(21, later);
    assert_eq!(ledger.stored(13), Some(Stored::At(Place::piece(1))));
    assert_eq!(text(&ledger.message(13).expect("in a piece")), "13");
    assert_eq!(text(&ledger.message(304).expect("in the log")), "304");
    assert_eq!(pieces(&ledger), pieces(&all));
    let mut copy = Ledger::over(log.clone(), 0);
    copy.restore(Box::new(snapshot.clone().into_iter().map(Ok)))
        .expect("whole");
    copy.kept(&log.keep(snapshot.clone()));
    assert_eq!(copy.stored(204), Some(Stored::At(Place::piece(1))));
    assert_eq!(pieces(&copy), snapshot);
}

#[test]
fn ledgers_of_one_node_share_what_they_keep_in_memory() {
    let memory = Arc::new(Memory::default());
    let mut ledgers: Vec<_> = (0..3)
        .map(|_| Ledger::over(Log::new(), u64::MAX).sharing(Arc::clone(&memory)))
        .collect();
    let big = |seq| {
        let mut batch = Records::default();
        batch.append(seq, &META, None, &message(&"m".repeat(10 << 20)));
        batch.take().expect("one")
    };
    for seq in 1..=3 {
        for ledger in &mut ledgers {
            ledger.apply(seq, big(seq)).expect("readable");
        }
    }
    let all: u64 = ledgers.iter().map(|ledger| ledger.figures().in_memory).sum();
    assert!(all <= 64 << 20, "{all} bytes");
    drop(ledgers);
    let mut last = Ledger::over(Log::new(), u64::MAX).sharing(memory);
    last.apply(1, big(1)).expect("readable");
    assert!(last.figures().in_memory > 10 << 20, "the others gave theirs back");
}

#[test]
fn a_dead_message_is_dead_in_every_copy() {
    let log = Log::new();
    let mut ledger = Ledger::over(log.clone(), 0);
    let messages = batch(1, 1, 1..=2000);
    log.write(1, messages.clone());
    ledger.apply(1, messages).expect("readable");
    let before = pieces(&ledger);
    assert!(
        before.iter().all(|piece| piece[0] == 1),
        "as the version before wrote it"
    );
    let mut records = Records::default();
    for seq in 5..=600 {
        records.discarded(seq, 7, DeathReason::Rejected);
    }
    records.discarded(601, 7, DeathReason::Expired);
    ledger.apply(2, records.take().expect("some")).expect("readable");
    let dead = |ledger: &Ledger| -> Vec<_> {
        let recovered = ledger.recovered().into_iter();
        recovered
            .filter_map(|one| Some((one.seq, one.count, one.discarded?)))
            .collect()
    };
    let expected: Vec<_> = (5..=600)
        .map(|seq| (seq, 7, DeathReason::Rejected))
        .chain([(601, 7, DeathReason::Expired)])
        .collect();
    assert_eq!(dead(&ledger), expected);
    let copy = copy_of(&ledger);
    assert_eq!(dead(&copy), expected);
    let all = pieces(&ledger);
    assert_eq!(pieces(&copy), all);
    // Their bodies are found in the pieces too.
    ledger.kept(&log.keep(all));
    assert_eq!(text(&ledger.message(600).expect("in a piece")), "600");
    ledger.apply(3, gone(5..=601)).expect("readable");
    assert_eq!((dead(&ledger).len(), ledger.figures().messages), (0, 1403));
}

#[test]
fn no_snapshot_copies_what_a_drain_takes_before_long() {
    let figures = |live| Figures {
        live,
        reclaimable: 100 * WORTH - live,
        ..Figures::default()
    };
    let emptying = Emptying::default();
    assert!(!emptying.may_wait(figures(50 * WORTH)), "nothing is known yet");
    assert!(emptying.may_wait(figures(40 * WORTH)));
    assert!(emptying.may_wait(figures(30 * WORTH)));
    assert!(!emptying.may_wait(figures(29 * WORTH)), "it hardly moves");
    assert!(!emptying.may_wait(figures(37 * WORTH)), "it grows");
    let falling = std::iter::successors(Some(34 * WORTH), |live| Some(live * 9 / 10));
    let waited = falling.take_while(|live| emptying.may_wait(figures(*live))).count();
    assert_eq!(waited as u32, LOOKS, "the disk is given back all the same");
}
