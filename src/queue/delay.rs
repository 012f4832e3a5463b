//! Messages that an `x-delayed-message` exchange holds back until they are due.
//!
//! All of them are stored, whatever their delivery mode, so that delays survive a restart. They
//! come out in order of due time, and of arrival where that is equal; a message that is due stays
//! stored until the caller says that it was routed. Bodies beyond the budget leave memory once
//! they are on disk and are read back in runs when they are due, one run at a time; what is due
//! later does not overtake what is being read. Holds: `asked` names entries of `waiting` without a
//! body.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::types::{ByteSize, Message, Millis, Timestamp};

use super::entry::UnknownMeta;
use super::sink::{Loc, META_LEN, Recovered};

/// The delayed messages of one exchange. `P` is what the caller calls a publish that waits.
pub struct Delays<P> {
    waiting: BTreeMap<(Timestamp, u64), Delayed>,
    /// Due and given to the caller, who has not said yet that they are routed.
    leaving: BTreeSet<u64>,
    /// Bodies on their way from the store, with the due time of their messages.
    asked: BTreeMap<u64, Timestamp>,
    /// Publishes that wait for the journal, and due times of bodies that leave memory then.
    unsynced: VecDeque<Unsynced<P>>,
    next_seq: u64,
    memory: u64,
    limit: u64,
}

struct Delayed {
    message: Option<Message>,
    loc: Loc,
    len: u32,
}

struct Unsynced<P> {
    seq: u64,
    due: Timestamp,
    publish: Option<P>,
}

/// Takes what the delays decided.
pub trait DelaySink {
    /// What the caller calls a publish that waits for its confirm.
    type Publish;

    /// Record: keeps a message; from `durable` on its place must answer `fetch`.
    fn store(&mut self, seq: u64, meta: [u8; META_LEN], message: &Message) -> Loc;
    /// Record: the message is routed, or lost.
    fn settled(&mut self, seq: u64);
    /// Effect: the message is safe.
    fn confirm(&mut self, publish: Self::Publish);
    /// Effect: read these bodies and answer with one `fetched` that names every one of them.
    fn fetch(&mut self, wanted: &[(u64, Loc)]);
    /// Effect: route the message, then say so with `left`.
    fn due(&mut self, seq: u64, message: Message);
}

impl<P> Delays<P> {
    /// The number of the next message; lower ones are never used again.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// How many messages are not due yet.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// No messages.
    pub fn new() -> Self {
        Self {
            waiting: BTreeMap::new(),
            leaving: BTreeSet::new(),
            asked: BTreeMap::new(),
            unsynced: VecDeque::new(),
            next_seq: 1,
            memory: 0,
            limit: DEFAULT_LIMIT,
        }
    }

    /// The delays as the journal knows them. What became due meanwhile comes with the next tick.
    pub fn recover(ledger: Vec<Recovered>, next_seq: u64) -> Self {
        let mut delays = Self::new();
        delays.next_seq = next_seq.max(1);
        for Recovered {
            seq, loc, meta, len, ..
        } in ledger
        {
            let mut due = [0; 8];
            due.copy_from_slice(&meta[8..16]);
            let message = Delayed {
                message: None,
                loc,
                len,
            };
            delays
                .waiting
                .insert((Timestamp(u64::from_le_bytes(due)), seq), message);
            delays.next_seq = delays.next_seq.max(seq + 1);
        }
        delays
    }

    /// Sets how much memory bodies may take; bodies already there stay.
    pub fn set_cache_limit(&mut self, limit: ByteSize) {
        self.limit = limit.0;
    }

    /// Holds a message back. The publish is confirmed when it is on disk.
    pub fn enqueue<S>(&mut self, now: Timestamp, delay: Millis, message: Message, publish: Option<P>, sink: &mut S)
    where
        S: DelaySink<Publish = P>,
    {
        let seq = self.next_seq;
        self.next_seq += 1;
        let due = now + delay;
        let mut meta = [0; META_LEN];
        meta[0] = META_VERSION;
        meta[8..16].copy_from_slice(&due.0.to_le_bytes());
        let loc = sink.store(seq, meta, &message);
        self.memory += message.memory() as u64;
        if publish.is_some() || self.memory > self.limit {
            self.unsynced.push_back(Unsynced { seq, due, publish });
        }
        let len = message.body().len() as u32;
        let message = Some(message);
        self.waiting.insert((due, seq), Delayed { message, loc, len });
    }

    /// The journal has everything up to `seq` on disk.
    pub fn durable<S: DelaySink<Publish = P>>(&mut self, seq: u64, sink: &mut S) {
        while self.unsynced.front().is_some_and(|first| first.seq <= seq) {
            let Some(Unsynced { seq, due, publish }) = self.unsynced.pop_front() else {
                return;
            };
            if let Some(publish) = publish {
                sink.confirm(publish);
            }
            if self.memory > self.limit
                && let Some(delayed) = self.waiting.get_mut(&(due, seq))
                && let Some(message) = delayed.message.take()
            {
                self.memory -= message.memory() as u64;
            }
        }
    }

    /// Gives out what is due.
    pub fn tick<S: DelaySink<Publish = P>>(&mut self, now: Timestamp, sink: &mut S) {
        while let Some(first) = self.waiting.first_entry()
            && first.key().0 <= now
        {
            let (_, seq) = *first.key();
            if first.get().message.is_none() {
                return self.ask(sink);
            }
            let Delayed { message, .. } = first.remove();
            if let Some(message) = message {
                self.memory -= message.memory() as u64;
                self.leaving.insert(seq);
                sink.due(seq, message);
            }
        }
    }

    /// Bodies that were asked for, naming every message of the request; `None` is one that cannot
    /// be read any more, whose message is dropped. Returns how many were lost that way.
    pub fn fetched<S>(&mut self, now: Timestamp, bodies: Vec<(u64, Option<Message>)>, sink: &mut S) -> u64
    where
        S: DelaySink<Publish = P>,
    {
        let mut lost = 0;
        for (seq, body) in bodies {
            let Some(due) = self.asked.remove(&seq) else {
                continue;
            };
            match body {
                Some(body) => {
                    self.memory += body.memory() as u64;
                    if let Some(delayed) = self.waiting.get_mut(&(due, seq)) {
                        delayed.message = Some(body);
                    }
                }
                None => {
                    self.waiting.remove(&(due, seq));
                    sink.settled(seq);
                    lost += 1;
                }
            }
        }
        self.tick(now, sink);
        lost
    }

    /// The exchange is deleted: its messages are gone, and nobody waits for them any more.
    pub fn end<S: DelaySink<Publish = P>>(&mut self, sink: &mut S) {
        for unsynced in self.unsynced.drain(..) {
            if let Some(publish) = unsynced.publish {
                sink.confirm(publish);
            }
        }
        self.waiting.clear();
        self.leaving.clear();
        self.asked.clear();
        self.memory = 0;
    }

    /// Who waits for what is not on the disk yet, when the delays are made anew from what is.
    pub fn abandon(self) -> Vec<P> {
        self.unsynced
            .into_iter()
            .filter_map(|unsynced| unsynced.publish)
            .collect()
    }

    /// These messages are routed: their records end.
    pub fn left<S: DelaySink<Publish = P>>(&mut self, seqs: impl IntoIterator<Item = u64>, sink: &mut S) {
        for seq in seqs {
            if self.leaving.remove(&seq) {
                sink.settled(seq);
            }
        }
    }

    /// When [`Delays::tick`] is wanted next; not while the first body is on its way.
    pub fn deadline(&self) -> Option<Timestamp> {
        let ((due, seq), _) = self.waiting.first_key_value()?;
        (!self.asked.contains_key(seq)).then_some(*due)
    }

    /// Bytes of memory that the messages take.
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// Messages held back.
    pub fn count(&self) -> u64 {
        self.waiting.len() as u64
    }

    /// Sequence numbers of the stored messages.
    #[cfg(test)]
    pub fn living(&self) -> BTreeSet<u64> {
        let waiting = self.waiting.keys().map(|(_, seq)| *seq);
        waiting.chain(self.leaving.iter().copied()).collect()
    }

    /// Asks for the bodies that are due first, unless a request is on its way.
    fn ask<S: DelaySink<Publish = P>>(&mut self, sink: &mut S) {
        if !self.asked.is_empty() {
            return;
        }
        let mut wanted = Vec::new();
        let mut bytes = 0;
        for ((due, seq), delayed) in &self.waiting {
            if wanted.len() >= RUN_MESSAGES || bytes >= RUN_BYTES || delayed.message.is_some() {
                break;
            }
            wanted.push((*seq, delayed.loc));
            bytes += u64::from(delayed.len);
            self.asked.insert(*seq, *due);
        }
        sink.fetch(&wanted);
    }
}

impl<P> Default for Delays<P> {
    fn default() -> Self {
        Self::new()
    }
}

/// Layout of the record's head: version, seven unused bytes, due time in little-endian, eight
/// unused bytes.
const META_VERSION: u8 = 1;

/// The same as [`super::check_meta`] for messages that an exchange holds back.
///
/// # Errors
/// [`UnknownMeta`].
pub fn check_meta(meta: &[u8; META_LEN]) -> Result<(), UnknownMeta> {
    let [found, ours] = [meta[0], META_VERSION];
    (found == ours).then_some(()).ok_or(UnknownMeta { found, ours })
}

/// Memory of the bodies unless told otherwise, in bytes.
const DEFAULT_LIMIT: u64 = 32 << 20;

/// Most messages of one request to the store.
const RUN_MESSAGES: usize = 1024;

/// Bytes of bodies after which a request is full.
const RUN_BYTES: u64 = 1 << 20;
