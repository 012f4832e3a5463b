use super::*;
use crate::queue::ledger::Applied;
use crate::queue::record::Seqs;

#[test]
fn what_is_sent_again_counts_once() {
    let mut ledger = Ledger::new();
    let range = |first, last| Some(Seqs { first, last });
    let applied = ledger.apply(1, batch(1, 7, 1..=3)).expect("readable");
    assert_eq!((applied.appended, applied.dropped), (range(1, 3), vec![]));
    // Another leader, who does not know; and the same number from somebody else.
    let applied = ledger.apply(2, batch(4, 7, 2..=5)).expect("readable");
    assert_eq!((applied.appended, applied.dropped), (range(4, 7), vec![4, 5]));
    let applied = ledger.apply(3, batch(8, 8, 2..=2)).expect("readable");
    assert_eq!((applied.appended, applied.dropped), (range(8, 8), vec![]));
    let mut ledger = copy_of(&ledger);
    let applied = ledger.apply(4, batch(9, 7, 5..=6)).expect("readable");
    assert_eq!(applied.dropped, [9]);
    let there = ledger.recovered();
    let there = there.iter().map(|one| text(&ledger.message(one.seq).expect("there")));
    assert_eq!(there.collect::<Vec<_>>(), ["1", "2", "3", "4", "5", "2", "6"]);
    assert_eq!(ledger.next_seq(), 11);
}

#[test]
fn a_producer_that_is_gone_is_forgotten() {
    let mut ledger = Ledger::new();
    ledger.apply(1, batch(1, 7, 1..=3)).expect("readable");
    let mut forget = Records::default();
    forget.forget(ProducerId(7));
    let applied = ledger.apply(2, forget.take().expect("a record")).expect("readable");
    assert_eq!(applied, Applied::default());
    assert!(ledger.producers().is_empty());
}

#[test]
fn numbers_that_were_used_are_not_used_again() {
    let mut ledger = Ledger::new();
    ledger.apply(1, batch(5, 7, 1..=1)).expect("readable");
    let applied = ledger.apply(2, batch(4, 8, 1..=3)).expect("readable");
    assert_eq!(applied.dropped, [4, 5]);
    assert_eq!(ledger.producers().knows(origin(8, 3)).map(|known| known.seq), Some(6));
    assert_eq!(ledger.figures().messages, 2);
}
