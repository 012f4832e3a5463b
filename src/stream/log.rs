//! What of a stream is replicated: which chunks there are, who wrote them, where readers are.
//!
//! ```text
//! segments   [head│chunks] [head│chunks] … [head│chunks]
//!              └ state there: the group's snapshot, once this segment is the oldest
//! chunks     put away: found by the group's log │ recent: 40 bytes here for an entry of the log
//! ```
//! The chunks themselves stay in the group's log, from the oldest head on, and are read from there. Which segments
//! there are, and how many are kept, is each member's own: what all members agree on is offsets and bytes.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};

use super::chunk::Chunk;
use super::cursors::Cursors;
use super::filter::Matcher;
use super::offset::OffsetSpec;
use super::producers::{Producers, Written, short};
use super::record::{self, Record};
use crate::machine::{Covered, KeptPiece, Machine, Parts, Seek, Source, Span, Unreadable};
use crate::types::{ByteSize, Millis, Timestamp};

/// First byte of a snapshot: none that a queue's begins with.
const SNAPSHOT: u8 = record::FORMAT;

/// Bytes of a segment where nothing is said.
pub const SEGMENT: ByteSize = ByteSize(500_000_000);

/// What is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// `None` is for ever.
    pub max_age: Option<Millis>,
    /// `None` is all.
    pub max_bytes: Option<ByteSize>,
    /// A segment that has so many is followed by a new one; `None` is [`SEGMENT`].
    pub segment: Option<ByteSize>,
}

/// Offsets, as of now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Of the oldest message; as `next` where there is none.
    pub first: u64,
    /// Of what is appended next.
    pub next: u64,
    /// Of the first message of the newest chunk, if any is here.
    pub last_chunk: Option<u64>,
    pub segments: usize,
    /// Bytes of chunks.
    pub bytes: u64,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// All below that offset is there.
    Next(u64),
    /// It does not follow what is there, and was dropped. A leader never sees it; if it does, what it knows is not
    /// the log, and it must begin anew from it.
    Refused,
}

/// A chunk with its filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub filter: Bytes,
    pub chunk: Chunk,
}

/// Reads chunks; blocks.
pub struct Reader {
    source: Arc<dyn Source>,
    wanted: Wanted,
    from: u64,
}

/// What a reader reads.
enum Wanted {
    /// These entries of the group's log.
    Entries(Vec<u64>),
    /// What is put away and has the offset, then so many bytes, or up to that offset.
    Bytes { most: usize, end: u64 },
    /// What is put away and of that time or later, and if there is none that entry.
    Since { at: Timestamp, then: Option<u64> },
}

/// See the head of this file.
pub struct Log {
    source: Arc<dyn Source>,
    retention: Retention,
    next: u64,
    producers: Producers,
    cursors: Cursors,
    /// Never empty, oldest first.
    segments: VecDeque<Segment>,
    /// Of what is not known to be put away.
    recent: VecDeque<Entry>,
    last_chunk: Option<u64>,
    /// Of the last record.
    index: Option<u64>,
    /// The first offset of the snapshot that is kept.
    snapshot_first: Option<u64>,
}

struct Segment {
    /// The last entry of the group's log before it.
    after: Option<u64>,
    /// The offset of what comes first in it.
    first: u64,
    /// The state at its head, encoded.
    state: Bytes,
    bytes: u64,
    /// The latest of its chunks.
    newest: Option<Timestamp>,
}

/// An entry of the group's log with chunks in it.
struct Entry {
    index: u64,
    first: u64,
    /// The latest of its chunks.
    newest: Timestamp,
    bytes: u32,
}

impl Segment {
    /// Whether all that is in it is older; an empty one is not.
    fn is_older(&self, now: Timestamp, age: Millis) -> bool {
        self.newest.is_some_and(|newest| now.since(newest) > age)
    }
}

impl Log {
    /// An empty one, whose records are read from there.
    pub fn over(source: Arc<dyn Source>, retention: Retention) -> Self {
        let mut log = Self {
            source,
            retention,
            next: 0,
            producers: Producers::default(),
            cursors: Cursors::default(),
            segments: VecDeque::new(),
            recent: VecDeque::new(),
            last_chunk: None,
            index: None,
            snapshot_first: None,
        };
        log.begin_segment(None);
        log
    }

    pub fn bounds(&self) -> Bounds {
        Bounds {
            first: self.first(),
            next: self.next,
            last_chunk: self.last_chunk.filter(|chunk| *chunk >= self.first()),
            segments: self.segments.len(),
            bytes: self.segments.iter().map(|segment| segment.bytes).sum(),
        }
    }

    /// The offset of what is appended next.
    pub fn next(&self) -> u64 {
        self.next
    }

    pub fn producers(&self) -> &Producers {
        &self.producers
    }

    pub fn cursors(&self) -> &Cursors {
        &self.cursors
    }

    /// What is kept from now on.
    pub fn set_retention(&mut self, retention: Retention) {
        self.retention = retention;
    }

    fn first(&self) -> u64 {
        self.segments.front().map_or(self.next, |segment| segment.first)
    }

    /// Whether [`Log::retain`] would drop something.
    pub fn is_due(&self, now: Timestamp) -> bool {
        let bytes = || self.segments.iter().map(|segment| segment.bytes).sum::<u64>();
        let is_long = |most: ByteSize| self.segments.len() > 1 && bytes() > most.0;
        let is_old = |age: Millis| self.segments.front().is_some_and(|first| first.is_older(now, age));
        self.retention.max_bytes.is_some_and(is_long) || self.retention.max_age.is_some_and(is_old)
    }

    /// Drops segments that are too old or too many; whether any went. The newest goes by its age only: it ends
    /// with what is there, and an empty one begins.
    pub fn retain(&mut self, now: Timestamp) -> bool {
        let before = self.first();
        if let Some(most) = self.retention.max_bytes {
            let mut bytes: u64 = self.segments.iter().map(|segment| segment.bytes).sum();
            while bytes > most.0 && self.segments.len() > 1 {
                bytes -= self.segments.pop_front().map_or(0, |segment| segment.bytes);
            }
        }
        if let Some(age) = self.retention.max_age {
            while self.segments.front().is_some_and(|first| first.is_older(now, age)) {
                if self.segments.len() == 1 {
                    self.begin_segment(self.index);
                }
                self.segments.pop_front();
            }
        }
        let after = self.segments.front().and_then(|segment| segment.after);
        while self.recent.front().is_some_and(|entry| Some(entry.index) <= after) {
            self.recent.pop_front();
        }
        self.first() != before
    }

    fn begin_segment(&mut self, after: Option<u64>) {
        self.segments.push_back(Segment {
            after,
            first: self.next,
            state: self.encode(after),
            bytes: 0,
            newest: None,
        });
    }

    fn append(&mut self, index: u64, chunk: &Chunk) {
        let limit = self.retention.segment.unwrap_or(SEGMENT).0;
        // A segment ends between entries of the group's log, which is cut there.
        let is_new = self.index != Some(index);
        if is_new
            && self
                .segments
                .back()
                .is_some_and(|last| last.bytes > 0 && last.bytes >= limit)
        {
            self.begin_segment(index.checked_sub(1));
        }
        let Some(segment) = self.segments.back_mut() else {
            return;
        };
        let bytes = chunk.bytes().len();
        segment.bytes += bytes as u64;
        let at = chunk.place().at;
        segment.newest = segment.newest.max(Some(at));
        match self.recent.back_mut().filter(|entry| entry.index == index) {
            Some(entry) => {
                entry.newest = entry.newest.max(at);
                entry.bytes = entry.bytes.saturating_add(bytes as u32);
            }
            None => self.recent.push_back(Entry {
                index,
                first: chunk.first(),
                newest: at,
                bytes: bytes as u32,
            }),
        }
        self.last_chunk = Some(chunk.first());
        self.next = chunk.end();
        if let Some(put_away) = self.source.put_away() {
            while self.recent.front().is_some_and(|entry| entry.index <= put_away) {
                self.recent.pop_front();
            }
        }
    }

    /// The offset from which a reader that says this begins. A time is read for, which blocks: see
    /// [`Log::read_time`].
    pub fn resolve(&self, spec: OffsetSpec) -> u64 {
        let Bounds {
            first,
            next,
            last_chunk,
            ..
        } = self.bounds();
        match spec {
            OffsetSpec::First => first,
            OffsetSpec::Last => last_chunk.unwrap_or(next),
            OffsetSpec::Next => next,
            OffsetSpec::Offset(offset) => offset.max(first),
            OffsetSpec::Time(at) => {
                let read = self.read_time(at).map(|reader| reader.first_at(at));
                read.and_then(|first| first.ok().flatten()).unwrap_or(next)
            }
        }
    }

    /// Reads the entry in which the first chunk of that time or later is; `None` where there is none.
    pub fn read_time(&self, at: Timestamp) -> Option<Reader> {
        let entry = self.recent.iter().find(|entry| entry.newest >= at);
        let then = entry.map(|entry| entry.index);
        let wanted = match self.source.put_away() {
            Some(_) => Wanted::Since { at, then },
            None => Wanted::Entries(vec![then?]),
        };
        let (source, from) = (self.source.clone(), self.first());
        Some(Reader { source, wanted, from })
    }

    /// Reads chunks from the one with that offset on, or the oldest, until they have so many bytes; `None` where
    /// there is nothing yet.
    pub fn read_from(&self, from: u64, most_bytes: usize) -> Option<Reader> {
        let from = from.max(self.first());
        if from >= self.next {
            return None;
        }
        let source = self.source.clone();
        // The last that begins at or before it. An entry whose messages are none begins where the next does.
        let begin = self.recent.partition_point(|entry| entry.first <= from);
        let Some(begin) = begin.checked_sub(1) else {
            let (most, end) = (most_bytes, self.next);
            let wanted = Wanted::Bytes { most, end };
            return Some(Reader { source, wanted, from });
        };
        let mut entries = Vec::new();
        let mut bytes = 0;
        for entry in self.recent.range(begin..) {
            entries.push(entry.index);
            bytes += entry.bytes as usize;
            if bytes >= most_bytes {
                break;
            }
        }
        let wanted = Wanted::Entries(entries);
        Some(Reader { source, wanted, from })
    }

    fn encode(&self, after: Option<u64>) -> Bytes {
        let mut state = vec![SNAPSHOT];
        state.put_u64(self.next);
        state.put_u8(u8::from(after.is_some()));
        state.put_u64(after.unwrap_or(0));
        self.producers.encode(&mut state);
        self.cursors.encode(&mut state);
        state.into()
    }
}

impl Reader {
    /// The chunks, in order.
    ///
    /// # Errors
    /// When an entry is gone, because it is too old, or cannot be read.
    pub fn read(&self) -> io::Result<Vec<Piece>> {
        match &self.wanted {
            Wanted::Entries(entries) => self.read_entries(entries),
            Wanted::Bytes { most, end } => self.read_run(*most, *end),
            Wanted::Since { then, .. } => self.read_entries(then.as_slice()),
        }
    }

    /// Those that are in memory, as far as nothing else comes before them; does not block.
    pub fn read_at_once(&self) -> Vec<Piece> {
        let Wanted::Entries(entries) = &self.wanted else {
            return Vec::new();
        };
        let mut pieces = Vec::new();
        for index in entries {
            let records = self.source.in_memory(*index);
            // What is wrong with one is told where it is read.
            if records.is_none_or(|records| self.take(&records, &mut pieces).is_err()) {
                break;
            }
        }
        pieces
    }

    /// What is put away lies in one place and is read in few goes.
    fn read_run(&self, most_bytes: usize, end: u64) -> io::Result<Vec<Piece>> {
        let gone = || io::Error::new(io::ErrorKind::NotFound, format!("offset {} is gone", self.from));
        let mut next = self.source.find(Seek::At(self.from))?.ok_or_else(gone)?;
        let mut pieces = Vec::<Piece>::new();
        let mut bytes = 0;
        while bytes < most_bytes && pieces.last().is_none_or(|last| last.chunk.end() < end) {
            let run = match self.source.run(next, (most_bytes - bytes).max(LEAST_RUN)) {
                Ok(run) => run,
                Err(_) if !pieces.is_empty() => break,
                Err(error) => return Err(error),
            };
            for (index, records) in run {
                next = index + 1;
                if bytes >= most_bytes {
                    break;
                }
                let before = pieces.len();
                self.take(&records, &mut pieces)?;
                bytes += pieces[before..]
                    .iter()
                    .map(|piece| piece.chunk.bytes().len())
                    .sum::<usize>();
            }
        }
        Ok(pieces)
    }

    /// The chunks among the records of an entry that are wanted.
    fn take(&self, records: &[Bytes], pieces: &mut Vec<Piece>) -> io::Result<()> {
        for record in records {
            let record = Record::decode(record).map_err(io::Error::other)?;
            if let Record::Chunk { filter, chunk, .. } = record
                && chunk.end() > self.from
            {
                let chunk = Chunk::check(chunk.bytes().clone()).map_err(io::Error::other)?;
                pieces.push(Piece { filter, chunk });
            }
        }
        Ok(())
    }

    fn read_entries(&self, entries: &[u64]) -> io::Result<Vec<Piece>> {
        let mut pieces = Vec::new();
        for index in entries {
            let records = match self.source.entry(*index) {
                Ok(records) => records,
                // What was read before it is good.
                Err(_) if !pieces.is_empty() => break,
                Err(error) => return Err(error),
            };
            self.take(&records, &mut pieces)?;
        }
        Ok(pieces)
    }

    /// The offset of the first chunk of that time or later.
    ///
    /// # Errors
    /// As of [`Reader::read`].
    pub fn first_at(&self, at: Timestamp) -> io::Result<Option<u64>> {
        let first = |pieces: &[Piece]| {
            let found = pieces.iter().find(|piece| piece.chunk.place().at >= at);
            found.map(|piece| piece.chunk.first())
        };
        if let Wanted::Since { at, .. } = self.wanted
            && let Some(mut next) = self.source.find(Seek::Since(at.0))?
        {
            while Some(next) <= self.source.put_away() {
                for (index, records) in self.source.run(next, LEAST_RUN)? {
                    next = index + 1;
                    let mut pieces = Vec::new();
                    self.take(&records, &mut pieces)?;
                    if let Some(first) = first(&pieces) {
                        return Ok(Some(first));
                    }
                }
            }
        }
        Ok(first(&self.read()?))
    }
}

impl Piece {
    /// Whether a reader wants it.
    pub fn is_for(&self, matcher: &Matcher) -> bool {
        matcher.takes(&self.filter)
    }
}

impl Machine for Log {
    type Output = Applied;

    fn check(record: &[u8]) -> Result<(), Unreadable> {
        record::check(record)
    }

    fn apply(&mut self, index: u64, record: Bytes) -> Result<Applied, Unreadable> {
        let applied = match Record::decode(&record)? {
            Record::Chunk { chunk, .. } if chunk.first() != self.next => Applied::Refused,
            Record::Chunk { by, chunk, .. } => {
                self.append(index, &chunk);
                if let Some(by) = by {
                    let written = Written {
                        first: by.first,
                        last: by.last,
                        offset: chunk.first(),
                    };
                    self.producers.wrote(&by.key, by.epoch, written);
                }
                Applied::Next(self.next)
            }
            Record::Cursor { name, cursor } => {
                match cursor {
                    Some(cursor) => self.cursors.set(name, cursor),
                    None => self.cursors.remove(&name),
                }
                Applied::Next(self.next)
            }
        };
        self.index = Some(index);
        Ok(applied)
    }

    fn snapshot(&self) -> Parts {
        let state = self.segments.front().map(|segment| segment.state.clone());
        Box::new(state.into_iter().map(Ok))
    }

    fn covers(piece: &[u8]) -> Option<(u64, u64)> {
        let first = piece.get(1..9).map(|mut first| first.get_u64())?;
        Some((first, first))
    }

    fn covered(&self) -> Covered {
        Covered::UpTo(self.segments.front().and_then(|segment| segment.after))
    }

    fn kept(&mut self, pieces: &[KeptPiece]) {
        self.snapshot_first = pieces.first().map(|piece| piece.first);
        // A point may be older than the snapshot was.
        while let (Some(kept), Some(next)) = (self.snapshot_first, self.segments.get(1))
            && next.first <= kept
        {
            self.segments.pop_front();
        }
    }

    fn span(record: &[u8]) -> Option<Span> {
        record::span(record)
    }

    fn point(&self) -> Option<Bytes> {
        let mut point = self.encode(self.index).to_vec();
        point.put_u8(u8::from(self.last_chunk.is_some()));
        point.put_u64(self.last_chunk.unwrap_or(0));
        point.put_u32(self.segments.len() as u32);
        for segment in &self.segments {
            point.put_u8(u8::from(segment.after.is_some()));
            point.put_u64(segment.after.unwrap_or(0));
            point.put_u64(segment.first);
            point.put_u64(segment.bytes);
            point.put_u8(u8::from(segment.newest.is_some()));
            point.put_u64(segment.newest.map_or(0, |newest| newest.0));
            point.put_u32(segment.state.len() as u32);
            point.put_slice(&segment.state);
        }
        Some(point.into())
    }

    fn resume(&mut self, mut point: &[u8]) -> Result<(), Unreadable> {
        let from = &mut point;
        let State {
            next,
            index,
            producers,
            cursors,
        } = State::decode(from)?;
        let last_chunk = optional(from)?;
        let mut segments = VecDeque::new();
        for _ in 0..from.try_get_u32().map_err(short)? {
            let after = optional(from)?;
            let first = from.try_get_u64().map_err(short)?;
            let bytes = from.try_get_u64().map_err(short)?;
            let newest = optional(from)?.map(Timestamp);
            let len = from.try_get_u32().map_err(short)? as usize;
            let (state, rest) = from.split_at_checked(len).ok_or_else(|| short(()))?;
            *from = rest;
            segments.push_back(Segment {
                after,
                first,
                state: Bytes::copy_from_slice(state),
                bytes,
                newest,
            });
        }
        if segments.is_empty() {
            return Err(short(()));
        }
        *self = Self {
            source: self.source.clone(),
            retention: self.retention,
            next,
            producers,
            cursors,
            segments,
            recent: VecDeque::new(),
            last_chunk,
            index,
            snapshot_first: None,
        };
        Ok(())
    }

    fn worth_a_snapshot(&self) -> bool {
        let front = self.segments.front().filter(|segment| segment.after.is_some());
        front.is_some_and(|segment| self.snapshot_first.is_none_or(|kept| kept < segment.first))
    }

    fn restore(&mut self, mut parts: Parts) -> Result<(), Unreadable> {
        let part = parts.next().ok_or_else(|| short(()))??;
        let state = State::decode(&mut &part[..])?;
        self.producers = state.producers;
        self.cursors = state.cursors;
        self.next = state.next;
        self.last_chunk = None;
        self.index = state.index;
        self.recent.clear();
        self.segments.clear();
        self.begin_segment(self.index);
        Ok(())
    }
}

/// What [`Log::encode`] has written.
struct State {
    next: u64,
    index: Option<u64>,
    producers: Producers,
    cursors: Cursors,
}

impl State {
    fn decode(from: &mut &[u8]) -> Result<Self, Unreadable> {
        match from.try_get_u8().map_err(short)? {
            SNAPSHOT => {}
            other => return Err(Unreadable::new(format!("a stream's snapshot of format {other}"))),
        }
        Ok(Self {
            next: from.try_get_u64().map_err(short)?,
            index: optional(from)?,
            producers: Producers::decode(from)?,
            cursors: Cursors::decode(from)?,
        })
    }
}

/// Whether there is a number, and the number.
fn optional(from: &mut &[u8]) -> Result<Option<u64>, Unreadable> {
    let is_there = from.try_get_u8().map_err(short)? == 1;
    let number = from.try_get_u64().map_err(short)?;
    Ok(is_there.then_some(number))
}

/// Bytes that are read at least where chunks are put away: what is before the wanted one may be read with it.
const LEAST_RUN: usize = 64 * 1024;
