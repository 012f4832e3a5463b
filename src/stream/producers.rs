//! Who has written to a stream: how far each has come, so that what is sent twice is written once.
//!
//! A producer is a number (the broker's own writers) or a name (a publisher's reference). It has an epoch,
//! which a newer connection of the same name raises, and numbers its writes. The last five of them are
//! remembered with their offsets, the highest number for good, within [`MOST`] producers: beyond that the one goes
//! that has not written for longest. All of it follows from the records alone, so it is the same on every member.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Buf, BufMut};

use crate::machine::Unreadable;

/// Producers that are remembered.
pub const MOST: usize = 4096;
/// Writes of each that are remembered.
const WINDOW: usize = 5;
/// Bytes of a name.
pub const NAME_BYTES: usize = 255;

/// Who writes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    Id(u64),
    Name(Box<str>),
}

/// One write: numbers from `first` to `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    pub first: u64,
    pub last: u64,
    /// Of the first message of the chunk.
    pub offset: u64,
}

/// How far a producer has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Producer {
    pub epoch: u64,
    /// Never empty, the newest behind.
    recent: VecDeque<Written>,
}

impl Producer {
    /// The highest number that was written.
    pub fn last(&self) -> u64 {
        self.recent.back().map_or(0, |written| written.last)
    }

    /// The last writes, oldest first.
    pub fn recent(&self) -> impl Iterator<Item = &Written> {
        self.recent.iter()
    }

    fn wrote_at(&self) -> u64 {
        self.recent.back().map_or(0, |written| written.offset)
    }
}

/// See the head of this file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Producers(BTreeMap<Key, Producer>);

impl Producers {
    pub fn get(&self, key: &Key) -> Option<&Producer> {
        self.0.get(key)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Producer)> {
        self.0.iter()
    }

    /// A producer has written.
    pub fn wrote(&mut self, key: &Key, epoch: u64, written: Written) {
        if let Some(known) = self.0.get_mut(key) {
            known.epoch = known.epoch.max(epoch);
            known.recent.push_back(written);
            if known.recent.len() > WINDOW {
                known.recent.pop_front();
            }
            return;
        }
        if self.0.len() >= MOST {
            let quiet = self.0.iter().min_by_key(|(_, one)| one.wrote_at());
            if let Some(quiet) = quiet.map(|(key, _)| key.clone()) {
                self.0.remove(&quiet);
            }
        }
        let recent = VecDeque::from([written]);
        self.0.insert(key.clone(), Producer { epoch, recent });
    }

    pub(super) fn encode(&self, into: &mut Vec<u8>) {
        into.put_u32(self.0.len() as u32);
        for (key, producer) in &self.0 {
            key.encode(into);
            into.put_u64(producer.epoch);
            into.put_u8(producer.recent.len() as u8);
            for written in &producer.recent {
                into.put_u64(written.first);
                into.put_u64(written.last);
                into.put_u64(written.offset);
            }
        }
    }

    pub(super) fn decode(from: &mut &[u8]) -> Result<Self, Unreadable> {
        let mut producers = BTreeMap::new();
        for _ in 0..from.try_get_u32().map_err(short)? {
            let key = Key::decode(from)?;
            let epoch = from.try_get_u64().map_err(short)?;
            let mut recent = VecDeque::new();
            for _ in 0..from.try_get_u8().map_err(short)? {
                recent.push_back(Written {
                    first: from.try_get_u64().map_err(short)?,
                    last: from.try_get_u64().map_err(short)?,
                    offset: from.try_get_u64().map_err(short)?,
                });
            }
            producers.insert(key, Producer { epoch, recent });
        }
        Ok(Self(producers))
    }
}

impl Key {
    /// A kind, and the id or the name.
    pub(super) fn encode(&self, into: &mut Vec<u8>) {
        match self {
            Self::Id(id) => {
                into.put_u8(0);
                into.put_u64(*id);
            }
            Self::Name(name) => {
                into.put_u8(1);
                put_name(into, name);
            }
        }
    }

    pub(super) fn decode(from: &mut &[u8]) -> Result<Self, Unreadable> {
        Ok(match from.try_get_u8().map_err(short)? {
            0 => Self::Id(from.try_get_u64().map_err(short)?),
            1 => Self::Name(name(from)?),
            other => return Err(Unreadable::new(format!("a producer of kind {other}"))),
        })
    }
}

/// A name of at most [`NAME_BYTES`]; what is longer was refused where it came in.
pub(super) fn put_name(into: &mut Vec<u8>, name: &str) {
    debug_assert!(name.len() <= NAME_BYTES);
    into.put_u8(name.len() as u8);
    into.put_slice(name.as_bytes());
}

pub(super) fn name(from: &mut &[u8]) -> Result<Box<str>, Unreadable> {
    let len = from.try_get_u8().map_err(short)?;
    let (name, rest) = from.split_at_checked(len.into()).ok_or_else(|| short(()))?;
    *from = rest;
    let name = std::str::from_utf8(name).map_err(|_| Unreadable::new("a name in a stream is no text"))?;
    Ok(name.into())
}

pub(super) fn short<E>(_: E) -> Unreadable {
    Unreadable::new("a record of a stream ends early")
}
