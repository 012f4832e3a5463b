//! What publishers and readers see, and what must be true of it.

use std::collections::{BTreeMap, BTreeSet};

use super::clients::messages;
use crate::stream::Piece;
use crate::stream::producers::{Key, Producers};

/// A message, by its publisher and the publisher's number.
pub type Id = (String, u64);

#[derive(Default)]
pub struct Checker {
    sent: BTreeSet<Id>,
    confirmed: BTreeSet<Id>,
    /// What readers have seen at each offset, and where each message was.
    seen: BTreeMap<u64, Id>,
    at: BTreeMap<Id, u64>,
    /// The bytes of chunks, by the offset of their first message.
    chunks: BTreeMap<u64, bytes::Bytes>,
    is_loud: bool,
    violations: Vec<String>,
    story: Vec<String>,
}

/// What came of a seed.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    pub violations: Vec<String>,
    pub confirmed: usize,
    /// Offsets that somebody read.
    pub read: usize,
    pub story: Vec<String>,
}

impl Checker {
    pub fn new(is_loud: bool) -> Self {
        Self {
            is_loud,
            ..Self::default()
        }
    }

    pub fn tell(&mut self, what: String) {
        if self.is_loud {
            println!("{what}");
        }
        self.story.push(what);
    }

    pub fn violated(&mut self, what: String) {
        self.tell(format!("VIOLATION {what}"));
        self.violations.push(what);
    }

    pub fn is_violated(&self) -> bool {
        !self.violations.is_empty()
    }

    pub fn finish(self) -> Seen {
        Seen {
            violations: self.violations,
            confirmed: self.confirmed.len(),
            read: self.seen.len(),
            story: self.story,
        }
    }

    pub fn sent(&mut self, publisher: &str, number: u64) {
        self.sent.insert((publisher.to_owned(), number));
    }

    pub fn confirmed(&mut self, publisher: &str, number: u64) {
        self.tell(format!("{publisher}-{number} is confirmed"));
        self.confirmed.insert((publisher.to_owned(), number));
    }

    /// Chunks came to a reader that asked for that offset of a member that begins with `first`. Returns where it
    /// goes on.
    pub fn read(&mut self, from: u64, first: u64, pieces: &[Piece]) -> u64 {
        let mut next = from.max(first);
        for (number, piece) in pieces.iter().enumerate() {
            let chunk = &piece.chunk;
            // The first may begin before what was asked for.
            let follows = match number {
                0 => (chunk.first()..chunk.end()).contains(&next),
                _ => chunk.first() == next,
            };
            if !follows {
                self.violated(format!("{}..{} is read at {next}", chunk.first(), chunk.end()));
            }
            let before = self
                .chunks
                .entry(chunk.first())
                .or_insert_with(|| chunk.bytes().clone());
            if before != chunk.bytes() {
                self.violated(format!("the chunk at {} is not always the same", chunk.first()));
            }
            for (offset, id) in messages(piece) {
                self.read_one(offset, id);
            }
            next = chunk.end();
        }
        next
    }

    fn read_one(&mut self, offset: u64, id: Id) {
        if !self.sent.contains(&id) {
            self.violated(format!("{id:?} is invented"));
        }
        let before = self.seen.insert(offset, id.clone());
        if before.as_ref().is_some_and(|before| *before != id) {
            self.violated(format!("{before:?} and then {id:?} is at {offset}"));
        }
        if let Some(elsewhere) = self.at.insert(id.clone(), offset).filter(|at| *at != offset) {
            self.violated(format!("{id:?} is at {elsewhere} and at {offset}"));
        }
    }

    /// In the end a member has this, from the offset `first` on.
    pub fn kept(&mut self, first: u64, kept: &BTreeMap<u64, Id>, producers: &Producers) {
        let gone = kept
            .iter()
            .zip(first..)
            .find(|((offset, _), expected)| **offset != *expected);
        if let Some(((offset, _), expected)) = gone {
            self.violated(format!("{offset} follows where {expected} is to be"));
        }
        let ids: BTreeSet<&Id> = kept.values().collect();
        let mut oldest: BTreeMap<&str, u64> = BTreeMap::new();
        for (publisher, number) in kept.values() {
            let number = *oldest.entry(publisher).or_insert(*number).min(&mut number.clone());
            oldest.insert(publisher, number);
        }
        let is_there = |id: &&Id| {
            let dropped_before = oldest.get(id.0.as_str()).copied();
            let dropped_before = dropped_before.or_else(|| {
                // Nothing of it is left: the last that it wrote has to be older than all that is.
                let producer = producers.get(&Key::Name(id.0.as_str().into()));
                let producer = producer.or_else(|| producers.get(&Key::Id(id.0.parse().ok()?)))?;
                let last = producer.recent().last()?;
                (last.offset < first).then_some(last.last + 1)
            });
            ids.contains(id) || dropped_before.is_some_and(|before| id.1 < before)
        };
        let lost: Vec<Id> = self.confirmed.iter().filter(|id| !is_there(id)).cloned().collect();
        if !lost.is_empty() {
            self.violated(format!("{lost:?} was confirmed and is gone"));
        }
    }
}
