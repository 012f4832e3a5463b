//! A group's log as the store kept it: entries in the order of their seqs, and the mark.
//!
//! ```text
//! meta of an entry: u64 index │ u64 term │ u8 kind │ u8 format │ 6 zeros
//! ```
//! Raft may cut a suffix and put other entries at the same indices; the store uses each seq once.
//! So an entry with a later seq cuts what was at its index and behind it. A removal that was not
//! written any more brings entries back: those up to the purge mark are dropped again; a cut
//! suffix of which nothing after it survived is as if it had not been cut yet, and nothing that
//! came after the cut was ever reported durable.

use std::collections::VecDeque;

use super::types::{LogId, Vote, log_id};
use super::wire::{Kind, Reader, WireError, Writer};
use crate::store::{Archive, LedgerEntry, Loc, Meta, OwnerLedger};

use bytes::Bytes;

/// Where an entry of the log is.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    pub seq: u64,
    pub loc: Loc,
    pub term: u64,
    pub kind: Kind,
    pub len: u32,
}

/// What the owner's mark holds, replaced whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    pub vote: Option<Vote>,
    pub committed: Option<LogId>,
    /// The last entry that is gone because a snapshot has it.
    pub purged: Option<LogId>,
}

/// A log at its start.
#[derive(Debug, Default)]
pub struct Rebuilt {
    pub mark: Mark,
    /// Index of the first entry.
    pub begin: u64,
    /// Index of the first slot, or where the next entry goes: what is before it is in the archive.
    pub first: u64,
    /// The last entry that is in the archive.
    pub archived: Option<LogId>,
    pub slots: VecDeque<Slot>,
    pub next_seq: u64,
    /// Seqs that came back and are to be removed again.
    pub stale: Vec<u64>,
}

/// Why a log cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    #[error("records are lost")]
    Lost,
    #[error("entry {found} follows entry {last}")]
    Hole { last: u64, found: u64 },
    #[error("entry or mark unreadable: {0}")]
    Unreadable(#[from] WireError),
}

impl Mark {
    pub fn encode(&self) -> Bytes {
        let mut w = Writer::new();
        w.opt_vote(self.vote.as_ref())
            .opt_log_id(self.committed.as_ref())
            .opt_log_id(self.purged.as_ref());
        w.finish()
    }

    fn decode(bytes: Vec<u8>) -> Result<Self, WireError> {
        let mut r = Reader::new(bytes.into())?;
        Ok(Self {
            vote: r.opt_vote()?,
            committed: r.opt_log_id()?,
            purged: r.opt_log_id()?,
        })
    }
}

/// The meta of an entry.
pub fn meta(id: &LogId, kind: Kind) -> Meta {
    let mut meta = [0; 24];
    meta[..8].copy_from_slice(&id.index.to_le_bytes());
    meta[8..16].copy_from_slice(&id.leader_id.term.to_le_bytes());
    meta[16] = kind as u8;
    meta[17] = META_VERSION;
    meta
}

/// Index, term and kind of the entry with that meta.
pub fn read_meta(meta: &Meta) -> Result<(u64, u64, Kind), WireError> {
    let (index, rest) = meta.split_first_chunk().ok_or(WireError::Short)?;
    let (term, rest) = rest.split_first_chunk().ok_or(WireError::Short)?;
    match rest {
        [kind, META_VERSION, ..] => Ok((
            u64::from_le_bytes(*index),
            u64::from_le_bytes(*term),
            Kind::try_from(*kind)?,
        )),
        [_, version, ..] => Err(WireError::Version(*version)),
        _ => Err(WireError::Short),
    }
}

/// The log that the store kept, behind what is in its archive; an owner it does not know has an empty one.
pub fn rebuild(ledger: Option<OwnerLedger>, archive: Option<&Archive>) -> Result<Rebuilt, Damage> {
    let mut ledger = ledger.unwrap_or_default();
    if ledger.damaged {
        return Err(Damage::Lost);
    }
    let mut log = Rebuilt {
        mark: ledger.mark.take().map_or(Ok(Mark::default()), Mark::decode)?,
        next_seq: ledger.next_seq.max(1),
        ..Rebuilt::default()
    };
    log.begin = log.mark.purged.as_ref().map_or(0, |purged| purged.index + 1);
    log.first = log.begin;
    if let Some(archive) = archive {
        log.goes_behind(archive)?;
        if archive.is_damaged() {
            log.does_without(archive, &ledger)?;
        }
    }
    let mut is_cut = false;
    for entry in ledger.entries {
        log.next_seq = log.next_seq.max(entry.seq + 1);
        // Behind what is lost and known to be nothing counts: it may rest on that.
        is_cut = is_cut || ledger.accepted && log.is_behind_hole(&entry);
        match is_cut {
            true => log.stale.push(entry.seq),
            false => log.add(entry)?,
        }
    }
    // What is committed is never cut, but the mark may be older or newer than the entries.
    let last = log.last();
    log.mark.committed = log.mark.committed.take().min(last).max(log.archived);
    Ok(log)
}

impl Rebuilt {
    /// What is in the archive was committed, and is not cut any more.
    fn goes_behind(&mut self, archive: &Archive) -> Result<(), Damage> {
        let Some((first, last)) = archive.ends() else {
            return Ok(());
        };
        let ((first, ..), (last, term, _)) = (read_meta(&first)?, read_meta(&last)?);
        // All of it was purged, and its files were not removed any more.
        if last < self.begin {
            return Ok(());
        }
        if first > self.begin {
            return Err(Damage::Hole {
                last: self.begin.saturating_sub(1),
                found: first,
            });
        }
        self.first = last + 1;
        self.archived = Some(log_id(term, last));
        self.next_seq = self.next_seq.max(archive.last_seq().map_or(0, |seq| seq + 1));
        Ok(())
    }

    /// Files are missing behind what is left of an archive. What was in them may be in the store still, or its loss
    /// was accepted.
    fn does_without(&self, archive: &Archive, ledger: &OwnerLedger) -> Result<(), Damage> {
        let is_next = |entry: &LedgerEntry| read_meta(&entry.meta).is_ok_and(|(index, ..)| index == self.first);
        if !ledger.accepted && !ledger.entries.iter().any(is_next) {
            return Err(Damage::Lost);
        }
        archive.accept_damage().map_err(|error| {
            tracing::error!(%error, "damaged segments of a stream cannot be removed");
            Damage::Lost
        })
    }

    fn add(&mut self, entry: LedgerEntry) -> Result<(), Damage> {
        let (index, term, kind) = read_meta(&entry.meta)?;
        let gone = self.mark.purged.max(self.archived);
        if gone.is_some_and(|gone| index <= gone.index) {
            self.stale.push(entry.seq);
            return Ok(());
        }
        while self.next() > index
            && let Some(cut) = self.slots.pop_back()
        {
            self.stale.push(cut.seq);
        }
        if self.next() != index {
            return Err(Damage::Hole {
                last: self.next().saturating_sub(1),
                found: index,
            });
        }
        self.slots.push_back(Slot {
            seq: entry.seq,
            loc: entry.loc,
            term,
            kind,
            len: entry.len,
        });
        Ok(())
    }

    fn is_behind_hole(&self, entry: &LedgerEntry) -> bool {
        read_meta(&entry.meta).is_ok_and(|(index, ..)| index > self.next())
    }

    fn next(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    fn last(&self) -> Option<LogId> {
        match self.slots.back() {
            Some(slot) => Some(log_id(slot.term, self.next() - 1)),
            None => self.mark.purged.max(self.archived),
        }
    }
}

/// Of an entry's meta.
const META_VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seq: u64, index: u64, term: u64) -> LedgerEntry {
        LedgerEntry {
            seq,
            loc: Loc::from_raw(seq),
            meta: meta(&log_id(term, index), Kind::Blank),
            count: 0,
            len: 0,
        }
    }

    fn ledger(mark: Mark, entries: Vec<LedgerEntry>) -> Option<OwnerLedger> {
        Some(OwnerLedger {
            next_seq: entries.last().map_or(0, |entry| entry.seq + 1),
            entries,
            mark: Some(mark.encode().to_vec()),
            ..OwnerLedger::default()
        })
    }

    fn seqs(log: &Rebuilt) -> Vec<u64> {
        log.slots.iter().map(|slot| slot.seq).collect()
    }

    #[test]
    fn a_later_seq_cuts_what_was_at_its_index_and_behind_it() {
        let entries = vec![entry(1, 0, 1), entry(2, 1, 1), entry(3, 2, 1), entry(4, 1, 2)];
        let log = rebuild(ledger(Mark::default(), entries), None).expect("whole");
        assert_eq!(seqs(&log), [1, 4]);
        assert_eq!(log.stale, [3, 2]);
        assert_eq!(log.last(), Some(log_id(2, 1)));
        assert_eq!(log.next_seq, 5);
    }

    #[test]
    fn purged_entries_that_came_back_are_dropped_again() {
        let mark = Mark {
            purged: Some(log_id(1, 1)),
            committed: Some(log_id(1, 9)),
            ..Mark::default()
        };
        let entries = vec![entry(1, 0, 1), entry(2, 1, 1), entry(3, 2, 1)];
        let log = rebuild(ledger(mark, entries), None).expect("whole");
        assert_eq!(seqs(&log), [3]);
        assert_eq!(log.stale, [1, 2]);
        assert_eq!(log.mark.committed, Some(log_id(1, 2)));
    }

    #[test]
    fn a_hole_is_damage() {
        let hole = rebuild(ledger(Mark::default(), vec![entry(1, 0, 1), entry(2, 2, 1)]), None);
        assert_eq!(hole.unwrap_err(), Damage::Hole { last: 0, found: 2 });
        let start = rebuild(ledger(Mark::default(), vec![entry(1, 3, 1)]), None);
        assert_eq!(start.unwrap_err(), Damage::Hole { last: 0, found: 3 });
    }

    #[test]
    fn behind_a_hole_that_was_accepted_nothing_counts() {
        let entries = vec![entry(1, 0, 1), entry(2, 1, 1), entry(4, 3, 1), entry(5, 4, 1)];
        let mut accepted = ledger(Mark::default(), entries);
        if let Some(ledger) = &mut accepted {
            ledger.accepted = true;
        }
        let log = rebuild(accepted, None).expect("what is before it");
        assert_eq!((seqs(&log), &log.stale[..], log.next_seq), (vec![1, 2], &[4, 5][..], 6));
    }

    #[test]
    fn an_entry_of_a_later_format_is_refused() {
        let mut later = entry(1, 0, 1);
        later.meta[17] = META_VERSION + 1;
        let refused = rebuild(ledger(Mark::default(), vec![later]), None);
        assert_eq!(
            refused.unwrap_err(),
            Damage::Unreadable(WireError::Version(META_VERSION + 1))
        );
    }
}
