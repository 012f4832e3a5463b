//! Stored forms that are not in memory, read from the log or from a snapshot.
//!
//! Many messages lie in one entry or piece, so a run of them is read together, each of those once.

use crate::queue::ledger::pieces;
use std::io;

use bytes::Bytes;

use super::living::Place;
use crate::machine::Source;
use crate::queue::record::{Record, records};

/// Reads messages from their places; the answers are in the order of the questions.
pub(super) fn read(source: Option<&dyn Source>, wanted: &[(u64, Place)]) -> Vec<io::Result<Bytes>> {
    let mut answers: Vec<_> = wanted.iter().map(|_| gone()).collect();
    let Some(source) = source else {
        return answers;
    };
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_unstable_by_key(|at| (wanted[*at].1, wanted[*at].0));
    for same in order.chunk_by(|one, next| wanted[*one].1 == wanted[*next].1) {
        let mut take = |seq: u64, stored: Bytes| {
            if let Ok(at) = same.binary_search_by_key(&seq, |at| wanted[*at].0) {
                answers[same[at]] = Ok(stored);
            }
        };
        let done = match wanted[same[0]].1.get() {
            Ok(number) => read_piece(source, number, &mut take),
            Err(index) => read_entry(source, index, &mut take),
        };
        if let Err(error) = done {
            for at in same {
                answers[*at] = Err(io::Error::new(error.kind(), error.to_string()));
            }
        }
    }
    answers
}

/// The answer for what is nowhere.
pub(super) fn gone<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::NotFound, "the message is gone"))
}

fn read_entry(source: &dyn Source, index: u64, take: &mut impl FnMut(u64, Bytes)) -> io::Result<()> {
    for batch in source.entry(index)? {
        for record in records(&batch).map_err(io::Error::other)? {
            if let Record::Append(append) = record.map_err(io::Error::other)? {
                take(append.seq, batch.slice(append.stored));
            }
        }
    }
    Ok(())
}

fn read_piece(source: &dyn Source, number: u64, take: &mut impl FnMut(u64, Bytes)) -> io::Result<()> {
    let piece = source.piece(number)?;
    let whole = pieces::each_message(&piece, |one| take(one.seq, one.stored));
    whole.ok_or_else(|| io::Error::other("a piece of a queue's snapshot is damaged"))
}
