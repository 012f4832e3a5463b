use super::*;
use crate::queue::Publish;
use crate::queue::ledger::{Applied, Before};
use crate::queue::record::Seqs;
use crate::queue::recorder::{Arrival, Deduplicator};

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
    assert_eq!(ledger.producers().knows(origin(8, 3)), Some(Before::Taken { with: 6 }));
    assert_eq!(ledger.figures().messages, 2);
}

#[test]
fn what_may_have_been_refused_is_not_confirmed_when_it_is_sent_again() {
    let mut ledger = Ledger::new();
    ledger.apply(1, batch(1, 7, 1..=2)).expect("readable");
    // 3 was refused, and the answer lost.
    ledger.apply(2, batch(3, 7, 4..=5)).expect("readable");
    let ledger = copy_of(&ledger);
    let deduplicator = Deduplicator::new(ledger.producers().clone());
    let mut again = Vec::new();
    let arrivals = (2..=6).map(|number| Arrival {
        publish: Publish {
            message: message("again"),
            publish: Some(number),
        },
        origin: Some(origin(7, number)),
    });
    let new: Vec<_> = deduplicator
        .admit(arrivals, |publish, before| again.push((publish.publish, before)))
        .map(|publish| publish.publish)
        .collect();
    assert_eq!(new, [Some(6)]);
    let taken = Before::Taken { with: 4 };
    let unknown = Before::Unknown;
    assert_eq!(
        again,
        [
            (Some(2), unknown),
            (Some(3), unknown),
            (Some(4), taken),
            (Some(5), taken)
        ]
    );
}
