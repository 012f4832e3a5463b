//! What a group of this node replicates: the messages of a quorum queue, or a stream.
//!
//! Groups are opened, elected, changed and mended in the same way, whatever they hold. Records of the
//! one never pass for records of the other: they begin with different bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::machine::{Covered, KeptPiece, Machine, Parts, Span, Unreadable};
use crate::queue::ledger::{self, Ledger};
use crate::stream::record::FORMAT;
use crate::stream::{self, Log};

/// See the head of this file.
pub enum Contents {
    Queue(Ledger),
    Stream(StreamLog),
}

/// What was said to a record.
pub enum Applied {
    Queue(ledger::Applied),
    Stream(stream::Applied),
}

/// A stream's log, and who waits for it to grow.
pub struct StreamLog {
    log: Log,
    tail: Arc<Tail>,
}

/// Where a member of a stream ends, as far as it is committed and applied here.
#[derive(Default)]
pub struct Tail {
    next: AtomicU64,
    /// How often another member, or none, has taken the place of the one that is here.
    turns: AtomicU64,
    grown: Notify,
}

impl Tail {
    /// The offset of what comes next.
    pub fn next(&self) -> u64 {
        self.next.load(Ordering::Acquire)
    }

    fn reach(&self, next: u64) {
        self.next.store(next, Ordering::Release);
        self.grown.notify_waiters();
    }

    /// The member that is here is another, or there is none any more.
    pub fn turn(&self) {
        self.turns.fetch_add(1, Ordering::AcqRel);
        self.grown.notify_waiters();
    }

    /// How often that was.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Acquire)
    }

    /// Waits until there is a message of that offset, or there were more turns than these.
    pub async fn beyond(&self, offset: u64, turns: u64) {
        loop {
            let grown = self.grown.notified();
            tokio::pin!(grown);
            grown.as_mut().enable();
            if self.next() > offset || self.turns() != turns {
                return;
            }
            grown.await;
        }
    }
}

impl Contents {
    /// Of a stream, whose growth `tail` tells.
    pub fn stream(log: Log, tail: Arc<Tail>) -> Self {
        tail.reach(log.next());
        Self::Stream(StreamLog { log, tail })
    }

    /// The messages of a quorum queue.
    pub fn ledger(&self) -> Option<&Ledger> {
        match self {
            Self::Queue(ledger) => Some(ledger),
            Self::Stream(_) => None,
        }
    }

    /// A stream.
    pub fn log(&self) -> Option<&Log> {
        match self {
            Self::Queue(_) => None,
            Self::Stream(stream) => Some(&stream.log),
        }
    }

    /// A stream, of which only what is this member's own may be changed.
    pub fn log_mut(&mut self) -> Option<&mut Log> {
        match self {
            Self::Queue(_) => None,
            Self::Stream(stream) => Some(&mut stream.log),
        }
    }
}

impl Machine for Contents {
    type Output = Applied;

    fn check(record: &[u8]) -> Result<(), Unreadable> {
        match record.first() {
            Some(&FORMAT) => Log::check(record),
            _ => Ledger::check(record),
        }
    }

    fn apply(&mut self, index: u64, record: Bytes) -> Result<Applied, Unreadable> {
        match self {
            Self::Queue(ledger) => ledger.apply(index, record).map(Applied::Queue),
            Self::Stream(StreamLog { log, tail }) => {
                let applied = log.apply(index, record)?;
                tail.reach(log.next());
                Ok(Applied::Stream(applied))
            }
        }
    }

    fn snapshot(&self) -> Parts {
        match self {
            Self::Queue(ledger) => ledger.snapshot(),
            Self::Stream(stream) => stream.log.snapshot(),
        }
    }

    fn covered(&self) -> Covered {
        match self {
            Self::Queue(ledger) => ledger.covered(),
            Self::Stream(stream) => stream.log.covered(),
        }
    }

    fn restore(&mut self, parts: Parts) -> Result<(), Unreadable> {
        match self {
            Self::Queue(ledger) => ledger.restore(parts),
            Self::Stream(StreamLog { log, tail }) => {
                log.restore(parts)?;
                tail.reach(log.next());
                Ok(())
            }
        }
    }

    fn covers(piece: &[u8]) -> Option<(u64, u64)> {
        match piece.first() {
            Some(&FORMAT) => Log::covers(piece),
            _ => Ledger::covers(piece),
        }
    }

    fn kept(&mut self, pieces: &[KeptPiece]) {
        match self {
            Self::Queue(ledger) => ledger.kept(pieces),
            Self::Stream(stream) => stream.log.kept(pieces),
        }
    }

    fn span(record: &[u8]) -> Option<Span> {
        match record.first() {
            Some(&FORMAT) => Log::span(record),
            _ => None,
        }
    }

    fn point(&self) -> Option<Bytes> {
        match self {
            Self::Queue(_) => None,
            Self::Stream(stream) => stream.log.point(),
        }
    }

    fn resume(&mut self, point: &[u8]) -> Result<(), Unreadable> {
        match self {
            Self::Queue(ledger) => ledger.resume(point),
            Self::Stream(StreamLog { log, tail }) => {
                log.resume(point)?;
                tail.reach(log.next());
                Ok(())
            }
        }
    }

    fn worth_a_snapshot(&self) -> bool {
        match self {
            Self::Queue(ledger) => ledger.worth_a_snapshot(),
            Self::Stream(stream) => stream.log.worth_a_snapshot(),
        }
    }
}
