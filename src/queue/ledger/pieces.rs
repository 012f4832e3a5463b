//! How a piece of messages in a queue's snapshot is read; [`super::snapshot`] says what it looks like.

use bytes::Bytes;

use super::living::{One, Place};
use crate::queue::record::Input;
use crate::queue::sink::{DeathReason, META_LEN};

/// A piece that every version reads.
pub(super) const FORMAT: u8 = 1;

/// A piece of messages some of which are dead; the version before cannot read it.
pub(super) const FORMAT_DISCARDED: u8 = 2;

/// What the piece is.
pub(super) const MESSAGES: u8 = 2;

/// Goes through a piece of messages. `None` when it is damaged.
pub(super) fn each_message(piece: &Bytes, mut each: impl FnMut(One)) -> Option<()> {
    let mut input = Input { bytes: piece, at: 2 };
    let mut before = 0;
    while !input.is_at_end() {
        let one = read_message(&mut input, piece, before)?;
        before = one.seq;
        each(one);
    }
    Some(())
}

/// The first and the last message of a piece.
pub(super) fn covers(piece: &[u8]) -> Option<(u64, u64)> {
    if !piece.starts_with(&[FORMAT, MESSAGES]) && !piece.starts_with(&[FORMAT_DISCARDED, MESSAGES]) {
        return None;
    }
    let mut input = Input { bytes: piece, at: 2 };
    let first = input.number()?;
    let mut last = first;
    loop {
        input.number()?;
        read_discarded(&mut input, piece)?;
        input.take(META_LEN)?;
        input.message()?;
        if input.is_at_end() {
            return Some((first, last));
        }
        last = last.checked_add(input.number()?)?;
    }
}

pub(super) fn read_message(input: &mut Input<'_>, piece: &Bytes, before: u64) -> Option<One> {
    let seq = before.checked_add(input.number()?)?;
    let count = input.number()?.try_into().ok()?;
    let discarded = read_discarded(input, piece)?;
    let meta = *input.take(META_LEN)?.first_chunk()?;
    let (stored, body_len) = input.message()?;
    (seq > before).then(|| One {
        seq,
        place: Place::default(),
        meta,
        count,
        discarded,
        body_len,
        stored_len: stored.len() as u32,
        stored: piece.slice(stored),
    })
}

/// Why the message is dead, if it is; the outer `None` is nonsense.
pub(super) fn read_discarded(input: &mut Input<'_>, piece: &[u8]) -> Option<Option<DeathReason>> {
    if piece.first() != Some(&FORMAT_DISCARDED) {
        return Some(None);
    }
    match input.byte()? {
        0 => Some(None),
        code => DeathReason::from_code(code).map(Some),
    }
}
