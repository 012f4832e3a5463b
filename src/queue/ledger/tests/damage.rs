use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::queue::DeathReason;

fn anything() -> Bytes {
    let mut batch = Records::default();
    for seq in 1..20 {
        let origin = (seq % 2 == 0).then(|| origin(seq % 5, seq));
        batch.append(seq * 3, &META, origin, &message(&"body".repeat(seq as usize)));
        batch.returned(seq, 2);
        batch.discarded(seq * 6, 1, DeathReason::Expired);
        batch.gone(seq * 7);
    }
    batch.delivered_up_to(300);
    batch.take().expect("something")
}

/// Some bytes overwritten, and the end cut off.
fn damaged(bytes: &Bytes, at: &[(Index, u8)], cut: Option<Index>) -> Bytes {
    let mut bytes = bytes.to_vec();
    for (at, value) in at {
        let at = at.index(bytes.len());
        bytes[at] = *value;
    }
    if let Some(cut) = cut {
        bytes.truncate(cut.index(bytes.len()));
    }
    bytes.into()
}

fn damage() -> impl Strategy<Value = (Vec<(Index, u8)>, Option<Index>)> {
    let byte = prop_oneof![any::<u8>(), 0..8_u8, Just(255)];
    let bytes = prop::collection::vec((any::<Index>(), byte), 1..6);
    (bytes, any::<Option<Index>>())
}

proptest! {
    #[test]
    fn damaged_records_do_no_harm((at, cut) in damage()) {
        let batch = damaged(&anything(), &at, cut);
        let mut ledger = Ledger::new();
        let applied = ledger.apply(1, batch.clone());
        prop_assert_eq!(applied.is_ok(), Ledger::check(&batch).is_ok());
        // Every message, and so every slot, is in bytes that were there.
        prop_assert!(ledger.figures().live <= batch.len() as u64);
        prop_assert!(ledger.figures().messages * 18 <= batch.len() as u64);
        ledger.apply(2, batch).ok();
        prop_assert_eq!(pieces(&copy_of(&ledger)), pieces(&ledger));
    }

    #[test]
    fn damaged_snapshots_do_no_harm((at, cut) in damage(), piece: Index, twice: bool) {
        let mut ledger = Ledger::new();
        ledger.apply(1, anything()).expect("readable");
        let mut pieces = pieces(&ledger);
        let piece = piece.index(pieces.len());
        pieces[piece] = damaged(&pieces[piece], &at, cut);
        if twice {
            pieces.insert(piece, pieces[piece].clone());
        }
        let bytes: usize = pieces.iter().map(Bytes::len).sum();
        let mut other = Ledger::new();
        match other.restore(Box::new(pieces.into_iter().map(Ok))) {
            Ok(()) => prop_assert!(other.figures().live <= bytes as u64),
            // What was there before stays.
            Err(_) => prop_assert_eq!(other.figures(), Ledger::new().figures()),
        }
    }
}

#[test]
fn a_snapshot_without_its_end_is_refused() {
    let mut ledger = Ledger::new();
    ledger.apply(1, anything()).expect("readable");
    let whole = pieces(&ledger);
    for len in 0..whole.len() {
        let parts: Vec<_> = whole.iter().take(len).cloned().map(Ok).collect();
        assert!(
            Ledger::new().restore(Box::new(parts.into_iter())).is_err(),
            "{len} pieces"
        );
    }
    let mut missing = whole.clone();
    missing.remove(1);
    assert!(Ledger::new().restore(Box::new(missing.into_iter().map(Ok))).is_err());
}

#[test]
fn a_mark_or_number_beyond_all_others_is_refused_or_harmless() {
    let mut ledger = Ledger::new();
    for mark in [u64::MAX, u64::MAX / 2 + 1] {
        let mut records = Records::default();
        records.append(1, &META, None, &message("m"));
        records.delivered_up_to(mark);
        let batch = records.take().expect("some");
        assert!(Ledger::check(&batch).is_err());
        assert!(ledger.apply(1, batch).is_err());
        assert_eq!(ledger.figures(), Ledger::new().figures(), "all of a batch or nothing");
    }
    let mut records = Records::default();
    records.append(1, &META, None, &message("m"));
    records.delivered_up_to(u64::MAX / 2);
    ledger.apply(1, records.take().expect("some")).expect("readable");
    assert_eq!((ledger.delivered_up_to(), ledger.next_seq()), (1, 2));
}

#[test]
fn a_message_of_another_version_is_refused_in_a_record_and_in_a_snapshot() {
    let mut meta = META;
    meta[0] = 2;
    let mut records = Records::default();
    records.append(1, &meta, None, &message("m"));
    let batch = records.take().expect("one");
    let why = "what is kept beside a message has format version 2, and this version reads only 1";
    assert_eq!(Ledger::check(&batch).expect_err("refused").0, why);

    let mut ledger = Ledger::new();
    records.append(1, &META, None, &message("m"));
    ledger.apply(1, records.take().expect("one")).expect("of this version");
    let pieces: Vec<_> = ledger.snapshot().map(|piece| piece.expect("whole").to_vec()).collect();
    let later = pieces.into_iter().map(|mut piece| {
        if let Some(at) = piece.windows(META.len()).position(|bytes| bytes == META) {
            piece[at] = 2;
        }
        Ok(piece.into())
    });
    let refused = Ledger::new().restore(Box::new(later.collect::<Vec<_>>().into_iter()));
    assert_eq!(refused.expect_err("refused").0, why);
}
