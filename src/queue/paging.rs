//! Which bodies are in memory.
//!
//! Every queue has a budget. While it is kept, bodies stay where they arrived; beyond it a new
//! message's body leaves memory as soon as the store can give it back: a durable one when it is
//! synced, a transient one after it was written out. So the head of a long line is in memory and
//! its tail is not. Before the consumers reach a part that is not, its bodies are asked for in
//! runs; at most [`MOST_RUNS`] are on their way, and what is read ahead is bounded by
//! [`RUN_MESSAGES`] and [`RUN_BYTES`] beside the budget.

use std::collections::VecDeque;

use crate::types::{ByteSize, Message, Timestamp};

use super::Queue;
use super::entry::{Entry, FETCHED, FETCHING, LOST, PAGED, STORED};
use super::outstanding::Owner;
use super::sink::{Keep, Loc, Sink};

/// What a queue knows of its bodies in memory.
pub(super) struct Paging {
    /// Bytes that bodies and their messages take.
    pub memory: u64,
    limit: u64,
    /// Requests to the store that are not answered.
    runs: usize,
    /// Messages to be dead-lettered whose body was not asked for yet.
    dying_wanted: VecDeque<u64>,
    /// The request being made; kept for its capacity.
    wanted: Vec<(u64, Loc)>,
}

impl Paging {
    pub fn new() -> Self {
        Self {
            memory: 0,
            limit: DEFAULT_LIMIT,
            runs: 0,
            dying_wanted: VecDeque::new(),
            wanted: Vec::new(),
        }
    }

    /// A body came into memory.
    pub fn arrived(&mut self, entry: &Entry) {
        self.memory += entry.memory();
    }

    /// An entry goes, with its body if it has it.
    pub fn left(&mut self, entry: &Entry) {
        self.memory -= entry.memory();
    }

    /// A message waits for its body to be dead-lettered.
    pub fn want_dying(&mut self, seq: u64) {
        self.dying_wanted.push_back(seq);
    }

    /// Everything is dropped; requests on their way are answered into nothing.
    pub fn forget_all(&mut self) {
        self.memory = 0;
        self.dying_wanted.clear();
    }

    fn over(&self, times: u64) -> bool {
        self.memory > self.limit.saturating_mul(times)
    }

    /// Takes a body out of memory if the store can give it back, or can be made to.
    fn drop_body<S: Sink>(&mut self, entry: &mut Entry, durable_up_to: u64, sink: &mut S) -> bool {
        if !entry.is(STORED | PAGED)
            && let Some(message) = &entry.message
        {
            entry.loc = sink.store(entry.seq, entry.meta(), message, Keep::Page);
            entry.mark(PAGED);
        }
        self.drop_kept_body(entry, durable_up_to)
    }

    fn drop_kept_body(&mut self, entry: &mut Entry, durable_up_to: u64) -> bool {
        let kept = entry.is(PAGED) || entry.is(STORED) && entry.seq <= durable_up_to;
        if kept {
            self.memory -= entry.memory();
            entry.message = None;
            entry.unmark(FETCHED);
        }
        kept
    }
}

impl<C, P> Queue<C, P> {
    /// Sets how much memory bodies may take; what is beyond it leaves memory, from the tail.
    pub fn set_cache_limit<S>(&mut self, limit: ByteSize, sink: &mut S)
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        self.paging.limit = limit.0;
        let (paging, durable_up_to) = (&mut self.paging, self.durable_up_to);
        for lane in 0..self.ready.lanes.len() {
            // The first one stays: it is next.
            for position in (1..self.ready.lanes[lane].fresh.len()).rev() {
                if !paging.over(1) {
                    return;
                }
                let mut waits = None;
                self.ready.update_from(lane, position, |entry| {
                    if entry.message.is_some() && !paging.drop_body(entry, durable_up_to, sink) {
                        waits = Some(entry.seq);
                    }
                    false
                });
                let drop_from = &mut self.ready.lanes[lane].drop_from;
                *drop_from = waits.map_or(*drop_from, |seq| seq.min(*drop_from));
            }
        }
    }

    /// Bodies that were asked for with [`Sink::fetch`], one call for each request, naming every
    /// message of it; `None` is a body that cannot be read any more, whose message is dropped.
    /// Returns how many were lost that way.
    pub fn fetched<S>(&mut self, now: Timestamp, bodies: Vec<(u64, Option<Message>)>, sink: &mut S) -> u64
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        self.paging.runs = self.paging.runs.saturating_sub(1);
        let mut lost = 0;
        for (seq, body) in bodies {
            if self.dying.contains_key(&seq) {
                lost += u64::from(body.is_none());
                self.fetched_dying(seq, body, sink);
                continue;
            }
            let paging = &mut self.paging;
            self.ready.update(seq, |entry| {
                if !entry.is(FETCHING) {
                    return;
                }
                entry.unmark(FETCHING);
                lost += u64::from(body.is_none());
                entry.mark(if body.is_some() { FETCHED } else { LOST });
                entry.message = body;
                paging.arrived(entry);
            });
        }
        self.settle_down(now, sink);
        lost
    }

    /// Lets a new message's body go when the budget is used up.
    pub(super) fn save_memory<S>(&mut self, entry: &mut Entry, sink: &mut S)
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        if self.paging.over(1) && !self.paging.drop_body(entry, self.durable_up_to, sink) {
            let drop_from = &mut self.ready.lanes[usize::from(entry.lane)].drop_from;
            *drop_from = entry.seq.min(*drop_from);
        }
    }

    /// Lets the body of a message go that a client has and may never give back. One that would
    /// have to be written out for that stays longer: mostly it is settled soon.
    pub(super) fn save_outstanding_memory<S>(&mut self, entry: &mut Entry, sink: &mut S)
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        if self.paging.over(TRANSIENT_FACTOR) {
            self.paging.drop_body(entry, self.durable_up_to, sink);
        } else if self.paging.over(1) {
            self.paging.drop_kept_body(entry, self.durable_up_to);
        }
    }

    /// Lets the body of a message go that the journal has.
    pub(super) fn drop_kept_body(&mut self, entry: &mut Entry) {
        self.paging.drop_kept_body(entry, self.durable_up_to);
    }

    /// Lets bodies go that waited for the journal to have them.
    pub(super) fn drop_durable_bodies(&mut self) {
        if !self.paging.over(1) {
            return;
        }
        let (paging, durable_up_to) = (&mut self.paging, self.durable_up_to);
        for lane in 0..self.ready.lanes.len() {
            let drop_from = self.ready.lanes[lane].drop_from;
            if drop_from > durable_up_to {
                continue;
            }
            let start = self.ready.lanes[lane].fresh.lower_bound(drop_from);
            let mut next = u64::MAX;
            self.ready.update_from(lane, start, |entry| {
                if entry.seq > durable_up_to {
                    next = entry.seq;
                    return false;
                }
                if entry.message.is_some() {
                    paging.drop_kept_body(entry, durable_up_to);
                }
                paging.over(1)
            });
            self.ready.lanes[lane].drop_from = next;
        }
        self.outstanding.go_round(ROUND, |held| {
            if held.entry.message.is_some() && !matches!(held.owner, Owner::Dying(_)) {
                paging.drop_kept_body(&mut held.entry, durable_up_to);
            }
            paging.over(1)
        });
    }

    /// Asks for bodies that are wanted soon.
    pub(super) fn read_ahead<S>(&mut self, sink: &mut S)
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        while self.paging.runs < MOST_RUNS && self.ready.paged() > 0 {
            let (messages, bytes) = self.ready.ahead();
            let head = self.ready.head().and_then(|place| self.ready.entry(place));
            // Bodies of another priority may fill what may be read ahead: the head is always asked.
            let urgent = head.is_some_and(|head| head.message.is_none() && !head.is(FETCHING | LOST));
            if !urgent && (messages >= RUN_MESSAGES || bytes >= RUN_BYTES) {
                return;
            }
            self.paging.wanted.clear();
            self.ready.ask_ahead(&mut self.paging.wanted, RUN_MESSAGES, RUN_BYTES);
            if self.paging.wanted.is_empty() {
                return;
            }
            self.paging.runs += 1;
            sink.fetch(&self.paging.wanted);
        }
    }

    /// Asks for bodies of messages that are to be dead-lettered.
    pub(super) fn read_ahead_dying<S>(&mut self, sink: &mut S)
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        while self.paging.runs < MOST_RUNS && !self.paging.dying_wanted.is_empty() {
            self.paging.wanted.clear();
            let mut bytes = 0;
            while self.paging.wanted.len() < RUN_MESSAGES
                && bytes < RUN_BYTES
                && let Some(seq) = self.paging.dying_wanted.pop_front()
            {
                let slot = self.dying.get(&seq).copied();
                if let Some(held) = slot.and_then(|slot| self.outstanding.get_mut(slot)) {
                    self.paging.wanted.push((seq, held.entry.loc));
                    bytes += u64::from(held.entry.len);
                }
            }
            if !self.paging.wanted.is_empty() {
                self.paging.runs += 1;
                sink.fetch(&self.paging.wanted);
            }
        }
    }

    fn fetched_dying<S>(&mut self, seq: u64, body: Option<Message>, sink: &mut S)
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        let Some(slot) = self.dying.remove(&seq) else {
            return;
        };
        if body.is_none() {
            if let Some((held, _)) = self.take_dying(slot) {
                self.gone(held.entry, sink);
            }
            return;
        }
        if let Some(held) = self.outstanding.get_mut(slot)
            && let Owner::Dying(reason) = held.owner
        {
            held.entry.message = body;
            self.paging.arrived(&held.entry);
            if let Some(message) = self.rules.dead_letter_of(&held.entry) {
                sink.dead_letter(slot, message, reason);
            }
        }
    }
}

/// The budget of a queue unless it is told otherwise, in bytes.
const DEFAULT_LIMIT: u64 = 16 << 20;

/// Transient messages that clients hold are written out beyond this many budgets.
const TRANSIENT_FACTOR: u64 = 4;

/// Requests to the store on their way at a time.
const MOST_RUNS: usize = 2;

/// Most messages of one request, and read ahead.
const RUN_MESSAGES: usize = 8192;

/// Bytes of bodies after which a request is full, and nothing more is read ahead.
const RUN_BYTES: u64 = 2 << 20;

/// Outstanding messages looked at when the journal comes along and memory is short.
const ROUND: usize = 1024;
