//! What of a replicated queue survived: the same on every member of its group.
//!
//! The ledger applies the records that [`Records`](super::record::Records) wrote, and nothing else:
//! no clock, no consumer and no setting has a part in it. Out of it comes the live queue when its
//! node becomes leader. It holds up to 24 bytes a message, its meta where it differs from its
//! neighbour's, and the bodies of the last [`Ledger::over`] bytes of records; older ones are read
//! through a [`Source`]. Blocks are shared with the snapshots that are being made, so that making one
//! costs a pointer for every 512 messages.

mod living;
mod pieces;
mod producers;
mod reading;
mod snapshot;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use bytes::Bytes;

use crate::machine::{KeptPiece, Machine, Parts, Source, Unreadable};
use crate::types::Message;

use super::entry::check_meta;
use super::record::{Append, Record, Seqs, records};
use super::sink::{META_LEN, Recovered};

pub use living::Place;
use producers::Known;
pub use producers::{Before, Producers};
pub use snapshot::FORMATS as SNAPSHOTS;

use living::{Living, One};

/// What became of a batch.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Applied {
    /// From the first to the last message of the batch, those that were dropped too.
    pub appended: Option<Seqs>,
    /// Messages that did not become part of the ledger: it had them from the same producer before.
    /// A leader asks [`Producers`] first and never sees one; if it does, its queue is not the
    /// ledger's, and must be recovered from it.
    pub dropped: Vec<u64>,
}

/// Bytes, for whoever decides when to make a snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Figures {
    pub messages: u64,
    /// Stored forms of what is there.
    pub live: u64,
    /// What a snapshot would give back: records since the last one, and what was in that, without
    /// what is alive of it.
    pub reclaimable: u64,
    /// Records that are kept in memory for the bodies in them.
    pub in_memory: u64,
}

impl Figures {
    /// Whether a snapshot gives back more than it costs.
    pub fn worth_reclaiming(&self) -> bool {
        self.reclaimable >= self.live.max(WORTH)
    }
}

/// Bytes below which no snapshot is made.
const WORTH: u64 = 8 << 20;

/// Puts a snapshot off while the queue is being emptied: it would copy what is gone before long.
#[derive(Default)]
struct Emptying {
    /// Live bytes at the last look.
    live: AtomicU64,
    /// How many times in a row a snapshot was put off.
    waited: AtomicU32,
}

impl Emptying {
    /// Whether a snapshot that is worth it may wait until the next look. What is to be given back waits
    /// so many looks at most.
    fn may_wait(&self, now: Figures) -> bool {
        let before = self.live.swap(now.live, Ordering::Relaxed);
        let is_emptying = now.live < before - before / EMPTYING_PART;
        let waited = self.waited.load(Ordering::Relaxed);
        let may_wait = is_emptying && now.worth_reclaiming() && waited < LOOKS;
        self.waited
            .store(if may_wait { waited + 1 } else { 0 }, Ordering::Relaxed);
        may_wait
    }
}

/// A queue is being emptied while it loses more than this part of its bytes from one look to the next.
const EMPTYING_PART: u64 = 16;
/// Looks, which are about a second apart.
const LOOKS: u32 = 10;

/// See the head of this file.
#[derive(Default)]
pub struct Ledger {
    living: Living,
    producers: Producers,
    next_seq: u64,
    delivered_up_to: u64,
    /// Bytes of records since the last snapshot, and what was alive then.
    held: u64,
    source: Option<Arc<dyn Source>>,
    window: Window,
    /// What the last snapshot that was begun gives back.
    begun: AtomicU64,
    emptying: Emptying,
}

/// The records whose bodies are in memory. A body keeps its whole batch there, so batches are what
/// is counted, however much of them is still alive.
#[derive(Default)]
struct Window {
    most: u64,
    shared: Option<Arc<Memory>>,
    bytes: u64,
    /// The last message of each batch, and its bytes.
    batches: VecDeque<(u64, u64)>,
}

/// Bytes of records that the ledgers of a node keep in memory for the bodies in them.
#[derive(Default)]
pub struct Memory(AtomicU64);

/// When all ledgers together have as much as this,
const NODE_BYTES: u64 = 64 << 20;
/// each that is written to goes down to this.
const CROWDED_BYTES: u64 = 64 << 10;

/// Bytes of records that a ledger of a node keeps in memory.
pub const IN_MEMORY: u64 = 4 << 20;

impl Window {
    fn push(&mut self, last: u64, bytes: u64) {
        self.bytes += bytes;
        self.batches.push_back((last, bytes));
        if let Some(shared) = &self.shared {
            shared.0.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    fn pop(&mut self) -> Option<u64> {
        let (last, bytes) = self.batches.pop_front()?;
        self.bytes -= bytes;
        if let Some(shared) = &self.shared {
            shared.0.fetch_sub(bytes, Ordering::Relaxed);
        }
        Some(last)
    }

    fn is_over(&self) -> bool {
        let shared = self
            .shared
            .as_ref()
            .map_or(0, |shared| shared.0.load(Ordering::Relaxed));
        let most = if shared > NODE_BYTES {
            self.most.min(CROWDED_BYTES)
        } else {
            self.most
        };
        self.bytes > most
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            shared.0.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

impl Ledger {
    /// Empty, all its bodies in memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Empty; no more than the last `in_memory` bytes of records stay in memory for their bodies.
    pub fn over(source: Arc<dyn Source>, in_memory: u64) -> Self {
        let mut ledger = Self::new();
        ledger.source = Some(source);
        ledger.window.most = in_memory;
        ledger
    }

    /// One of many on the node, whose bodies in memory are bounded together.
    pub fn sharing(mut self, memory: Arc<Memory>) -> Self {
        self.window.shared = Some(memory);
        self
    }

    /// What [`Queue::recover`](super::Queue::recover) wants, by sequence number. The place of each
    /// is its number, as [`Recorder`](super::recorder::Recorder) gives it too; [`Ledger::stored`]
    /// answers for it.
    pub fn recovered(&self) -> Vec<Recovered> {
        let recovered = |one: One| Recovered {
            seq: one.seq,
            loc: one.seq,
            meta: one.meta,
            count: one.count,
            discarded: one.discarded,
            len: one.body_len,
        };
        self.living.iter().map(recovered).collect()
    }

    /// The number for the next message.
    pub fn next_seq(&self) -> u64 {
        self.next_seq.max(1)
    }

    /// Up to where messages may have been delivered.
    pub fn delivered_up_to(&self) -> u64 {
        self.delivered_up_to
    }

    /// The producers' last numbers.
    pub fn producers(&self) -> &Producers {
        &self.producers
    }

    /// The message with this number, or where it is. `None` when it is gone.
    pub fn stored(&self, seq: u64) -> Option<Stored> {
        let one = self.living.get(seq)?;
        Some(match one.stored.is_empty() {
            true => Stored::At(one.place),
            false => Stored::InMemory(one.stored),
        })
    }

    /// The message with this number, read from where it is.
    ///
    /// # Errors
    /// When it is gone, cannot be read, or is damaged there.
    pub fn message(&self, seq: u64) -> io::Result<Message> {
        let gone = || Err(io::Error::from(io::ErrorKind::NotFound));
        self.locate(&[seq])
            .read()
            .pop()
            .map_or_else(gone, |(_, message)| message)
    }

    /// Where these messages are, to be read without the ledger.
    pub fn locate(&self, seqs: &[u64]) -> Located {
        Located {
            messages: seqs.iter().map(|seq| (*seq, self.stored(*seq))).collect(),
            source: self.source.clone(),
        }
    }

    /// How much there is.
    pub fn figures(&self) -> Figures {
        let live = self.living.bytes();
        Figures {
            messages: self.living.len(),
            live,
            reclaimable: self.held.saturating_sub(live),
            in_memory: self.window.bytes,
        }
    }

    fn append(&mut self, index: u64, append: Append, batch: &Bytes, applied: &mut Applied) {
        let seq = append.seq;
        match &mut applied.appended {
            Some(seqs) => seqs.last = seq,
            None => applied.appended = Some(Seqs { first: seq, last: seq }),
        }
        let is_new = seq >= self.next_seq()
            && match append.origin {
                Some(origin) => self.producers.note(origin, seq),
                None => true,
            };
        if !is_new {
            applied.dropped.push(seq);
        } else {
            self.living.push(One {
                seq,
                place: Place::entry(index),
                meta: append.meta,
                count: 0,
                discarded: None,
                body_len: append.body_len,
                stored_len: append.stored.len() as u32,
                stored: batch.slice(append.stored),
            });
        }
        // Also what was dropped has used its number up.
        self.next_seq = self.next_seq().max(seq.saturating_add(1));
    }

    /// Batches beyond the window leave memory.
    fn shrink_window(&mut self, seq: u64, bytes: u64) {
        if self.source.is_none() {
            return;
        }
        self.window.push(seq, bytes);
        let mut released = None;
        while self.window.is_over()
            && let Some(last) = self.window.pop()
        {
            released = Some(last);
        }
        if let Some(last) = released {
            self.living.release(last);
        }
    }
}

/// A message of the ledger, in memory or not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stored {
    InMemory(Bytes),
    At(Place),
}

/// Messages of a ledger where they were when [`Ledger::locate`] was asked.
pub struct Located {
    messages: Vec<(u64, Option<Stored>)>,
    source: Option<Arc<dyn Source>>,
}

impl Located {
    /// Reads the messages, in the order they were asked for; may wait for the disk. An error is of
    /// one that is gone, cannot be read, or is damaged there. What has moved since is to be located
    /// again.
    pub fn read(self) -> Vec<(u64, io::Result<Message>)> {
        let at = self.messages.iter().filter_map(|(seq, stored)| match stored {
            Some(Stored::At(place)) => Some((*seq, *place)),
            _ => None,
        });
        let at: Vec<_> = at.collect();
        let mut read = reading::read(self.source.as_deref(), &at).into_iter();
        let message = |(seq, stored)| {
            let stored = match stored {
                Some(Stored::InMemory(stored)) => Ok(stored),
                Some(Stored::At(_)) => read.next().unwrap_or_else(reading::gone),
                None => reading::gone(),
            };
            (
                seq,
                stored.and_then(|stored| Message::from_stored(&stored).map_err(io::Error::other)),
            )
        };
        self.messages.into_iter().map(message).collect()
    }
}

/// Nobody may count on a message that this version would read as another.
fn known_meta(meta: &[u8; META_LEN]) -> Result<(), Unreadable> {
    check_meta(meta).map_err(|error| Unreadable(error.to_string()))
}

impl Machine for Ledger {
    type Output = Applied;

    fn check(record: &[u8]) -> Result<(), Unreadable> {
        records(record)?.try_for_each(|record| match record? {
            Record::Append(append) => known_meta(&append.meta),
            _ => Ok(()),
        })
    }

    fn apply(&mut self, index: u64, batch: Bytes) -> Result<Applied, Unreadable> {
        // All of it or nothing.
        Self::check(&batch)?;
        let mut applied = Applied::default();
        for record in records(&batch)? {
            match record? {
                Record::Append(append) => self.append(index, append, &batch, &mut applied),
                Record::Gone(seqs) => self.living.remove(seqs),
                Record::Returned(seqs, count) => self.living.set_count(seqs, count),
                Record::Discarded(seqs, count, reason) => self.living.discard(seqs, count, reason),
                // Nothing beyond the last message was delivered, whatever a record says.
                Record::DeliveredUpTo(mark) => self.delivered_up_to = mark.min(self.next_seq() - 1),
                Record::Forget(producer) => self.producers.forget(producer),
            }
        }
        self.held += batch.len() as u64;
        if let Some(seqs) = applied.appended {
            self.shrink_window(seqs.last, batch.len() as u64);
        }
        Ok(applied)
    }

    fn snapshot(&self) -> Parts {
        self.begun.store(self.figures().reclaimable, Ordering::Relaxed);
        Box::new(snapshot::Pieces::of(self))
    }

    fn restore(&mut self, parts: Parts) -> Result<(), Unreadable> {
        let empty = Self {
            source: self.source.clone(),
            window: Window {
                most: self.window.most,
                shared: self.window.shared.clone(),
                bytes: 0,
                batches: VecDeque::new(),
            },
            ..Self::default()
        };
        *self = snapshot::read(empty, parts)?;
        Ok(())
    }

    fn covers(piece: &[u8]) -> Option<(u64, u64)> {
        pieces::covers(piece)
    }

    /// Messages that came after it are beyond the last of its pieces.
    fn kept(&mut self, pieces: &[KeptPiece]) {
        for KeptPiece { number, first, last } in pieces.iter().copied() {
            self.living.set_place(Seqs { first, last }, Place::piece(number));
        }
        self.held = self.held.saturating_sub(std::mem::take(self.begun.get_mut()));
    }

    fn worth_a_snapshot(&self) -> bool {
        let figures = self.figures();
        !self.emptying.may_wait(figures) && figures.worth_reclaiming()
    }
}

#[cfg(test)]
mod tests;
