//! Dead letters that the queue keeps until their targets have them: dead-lettering at least once.
//!
//! ```text
//!  die ──discarded──► fresh ──► dying, at most MOST_OUT ──confirmed──► gone
//!                                 ▲    │ refused, or no target
//!                       pause ── failed ◄
//! ```
//!
//! A message that is discarded is recorded as such, and only when that is committed does its dead letter
//! go out: then it belongs to no line any more, whoever leads next. Where dead letters fail, they are tried
//! again in rounds, with pauses that grow until one gets through; fresh ones do not wait for them.
//! Only quorum queues do this.
//!
//! Holds: every message here, and every dead letter that is out, is marked [`DISCARDED`]; `len` and
//! `bytes` count both.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::types::{Millis, QueueId, Timestamp};

use super::Queue;
use super::entry::{DISCARDED, Entry, REFUSED};
use super::outstanding::{Held, Owner};
use super::sink::{DeadLetterOutcome, DeathReason, Sink, Slot};

/// The discarded messages of a queue.
#[derive(Default)]
pub(super) struct Discards {
    /// Not tried yet.
    fresh: VecDeque<(Entry, DeathReason)>,
    /// Refused, or without a target, when they were tried last.
    failed: VecDeque<(Entry, DeathReason)>,
    /// Messages that were discarded since the queue was made; the last of them are `fresh`.
    recorded: u64,
    /// How many of these the journal has committed; `None` where dead letters do not wait for it.
    committed: Option<u64>,
    /// Letters that are out.
    out: usize,
    len: u64,
    bytes: u64,
    /// Targets that confirmed dead letters which others did not, by sequence number.
    reached: FxHashMap<u64, Vec<QueueId>>,
    pause: Millis,
    /// Before this no failed one is tried again.
    retry_at: Timestamp,
    /// The caller knows that dead letters fail.
    failure_told: bool,
}

impl Discards {
    /// A message that has just been discarded, or was before the queue was recovered.
    pub fn push(&mut self, mut entry: Entry, reason: DeathReason) {
        entry.mark(DISCARDED);
        self.len += 1;
        self.bytes += u64::from(entry.len);
        self.recorded += 1;
        self.fresh.push_back((entry, reason));
    }

    /// How many there are, those that are out too.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Bytes of their bodies.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// From now on dead letters wait for the journal; it has what is there.
    pub fn gate(&mut self) {
        self.committed = Some(self.recorded);
    }

    /// A dead letter goes out.
    pub fn sent(&mut self) {
        self.out += 1;
    }

    /// What became of a dead letter that was out is known.
    pub fn answered(&mut self) {
        self.out -= 1;
    }

    /// The last of a message.
    pub fn gone(&mut self, entry: &Entry) {
        self.len -= 1;
        self.bytes -= u64::from(entry.len);
        self.reached.remove(&entry.seq);
    }

    /// All that are not out.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.fresh.iter().chain(&self.failed).map(|(entry, _)| entry)
    }

    /// Panics when the sums are wrong; `out` are the dead letters that are out.
    pub fn check<'a>(&'a self, out: impl Iterator<Item = &'a Entry>) {
        let out: Vec<_> = out.collect();
        assert_eq!(self.out, out.len());
        let all = || self.iter().chain(out.iter().copied());
        assert!(all().all(|entry| entry.is(DISCARDED)));
        let bytes = all().map(|entry| u64::from(entry.len)).sum();
        assert_eq!((self.len, self.bytes), (all().count() as u64, bytes));
        assert!(self.reached.keys().all(|seq| all().any(|entry| entry.seq == *seq)));
    }

    /// The next one to be tried.
    fn next(&mut self, now: Timestamp) -> Option<(Entry, DeathReason)> {
        let failed = match self.retry_at <= now {
            true => self.failed.pop_front(),
            false => None,
        };
        failed.or_else(|| {
            let first = (self.recorded + 1).saturating_sub(self.fresh.len() as u64);
            match self.committed.is_none_or(|committed| first <= committed) {
                true => self.fresh.pop_front(),
                false => None,
            }
        })
    }

    /// One of them, whichever.
    fn pop(&mut self) -> Option<(Entry, DeathReason)> {
        self.fresh.pop_front().or_else(|| self.failed.pop_front())
    }

    fn failed(&mut self, now: Timestamp, mut entry: Entry, reason: DeathReason) {
        // Of those that were tried in one round the first says it.
        if self.retry_at <= now {
            self.pause = Millis(self.pause.0.saturating_mul(2).clamp(FIRST_PAUSE.0, LONGEST_PAUSE.0));
            self.retry_at = now + self.pause;
        }
        entry.mark(REFUSED);
        self.failed.push_back((entry, reason));
    }

    /// One that failed before got through: the others need not wait.
    fn succeeded(&mut self) {
        self.pause = Millis(0);
        self.retry_at = Timestamp(0);
    }
}

impl<C, P> Queue<C, P> {
    /// Whether dead letters are kept until their targets have confirmed them. What answers them
    /// then is [`Queue::dead_letters_answered`].
    pub fn keeps_dead_letters(&self) -> bool {
        self.rules.keeps_dead_letters(&self.settings)
    }

    /// How many messages were discarded since the queue was made. When what was recorded by now is
    /// committed, [`Queue::discards_committed`] is to be told this.
    pub fn discards_recorded(&self) -> u64 {
        self.discards.recorded
    }

    /// So many of the messages that were discarded are recorded for good: their dead letters may go out.
    pub fn discards_committed<S>(&mut self, now: Timestamp, recorded: u64, sink: &mut S)
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        if self.discards.committed.is_some_and(|committed| recorded > committed) {
            self.discards.committed = Some(recorded);
            self.settle_down(now, sink);
        }
    }

    /// The targets that have a dead letter already, which goes out once more for the others.
    pub fn reached_by(&self, slot: Slot) -> &[QueueId] {
        self.discards.reached.get(&slot.seq).map_or(&[], Vec::as_slice)
    }

    /// What became of dead letters that were kept. Whether they begin to fail: this says so once.
    pub fn dead_letters_answered<S>(
        &mut self,
        now: Timestamp,
        answers: impl IntoIterator<Item = (Slot, DeadLetterOutcome)>,
        sink: &mut S,
    ) -> bool
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        let mut begins = false;
        for (slot, outcome) in answers {
            let Some((Held { mut entry, .. }, reason)) = self.take_dying(slot) else {
                continue;
            };
            match outcome {
                DeadLetterOutcome::Confirmed => {
                    if entry.is(REFUSED) {
                        self.discards.succeeded();
                    }
                    self.gone(entry, sink);
                }
                // The policy was another when it died.
                DeadLetterOutcome::Refused { .. } if !entry.is(DISCARDED) => self.die(entry, reason, sink),
                DeadLetterOutcome::Refused { reached } => {
                    if !reached.is_empty() {
                        self.discards.reached.insert(entry.seq, reached);
                    }
                    // It may be a while.
                    self.drop_kept_body(&mut entry);
                    self.discards.failed(now, entry, reason);
                    begins |= !std::mem::replace(&mut self.discards.failure_told, true);
                }
            }
        }
        self.settle_down(now, sink);
        begins
    }

    /// Takes a message out that was being dead-lettered, and why it was; `None` for a stale slot.
    pub(super) fn take_dying(&mut self, slot: Slot) -> Option<(Held, DeathReason)> {
        let held = self.outstanding.take_dying(slot)?;
        let Owner::Dying(reason) = held.owner else {
            return None;
        };
        self.dying.remove(&slot.seq);
        if held.entry.is(DISCARDED) {
            self.discards.answered();
        }
        Some((held, reason))
    }

    /// Keeps a message that died until its dead letter is confirmed.
    pub(super) fn discard<S>(&mut self, mut entry: Entry, reason: DeathReason, sink: &mut S)
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        sink.discarded(entry.seq, entry.count, reason);
        self.save_outstanding_memory(&mut entry, sink);
        self.discards.push(entry, reason);
    }

    /// Sends dead letters that are kept, as many as may be out, and asks for bodies of those that die.
    pub(super) fn dead_letter_more<S>(&mut self, now: Timestamp, sink: &mut S)
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        if self.keeps_dead_letters() {
            while self.may_send_dead_letters()
                && let Some((entry, reason)) = self.discards.next(now)
            {
                self.send_dead_letter(entry, reason, sink);
            }
        } else {
            // The policy is another by now: they go as it says.
            while let Some((entry, reason)) = self.discards.pop() {
                self.die(entry, reason, sink);
            }
        }
        self.read_ahead_dying(sink);
    }

    /// When dead letters that failed are tried again.
    pub(super) fn next_dead_letters(&self) -> Option<Timestamp> {
        let waits = !self.discards.failed.is_empty() && self.may_send_dead_letters();
        waits.then_some(self.discards.retry_at)
    }

    fn may_send_dead_letters(&self) -> bool {
        self.discards.out < MOST_OUT && self.outstanding.dying_bytes() < MOST_OUT_BYTES
    }
}

/// Dead letters that are out at a time, as RabbitMQ has it.
const MOST_OUT: usize = 32;

/// Bytes of their bodies beyond which no more go out.
const MOST_OUT_BYTES: u64 = 16 << 20;

/// How long dead letters that failed wait at first,
const FIRST_PAUSE: Millis = Millis(100);
/// and at most, when each round failed.
const LONGEST_PAUSE: Millis = Millis(10_000);
