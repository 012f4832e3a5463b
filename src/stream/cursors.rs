//! Named cursors: how far readers say that they have come, kept with the stream.
//!
//! Any offset replaces the one before, also a lower one. A cursor has room for what other protocols keep with
//! it: some bytes, an epoch, a time at which it may be forgotten.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes};

use super::producers::{name, put_name, short};
use crate::machine::Unreadable;
use crate::types::Timestamp;

/// Cursors of a stream; beyond that the one goes that is furthest behind.
pub const MOST: usize = 4096;

/// Where a reader is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    pub offset: u64,
    pub epoch: u64,
    /// When it may be forgotten; `None` is never.
    pub expires: Option<Timestamp>,
    pub metadata: Bytes,
}

/// By name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursors(BTreeMap<Box<str>, Cursor>);

impl Cursors {
    pub fn get(&self, name: &str) -> Option<&Cursor> {
        self.0.get(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Cursor)> {
        self.0.iter().map(|(name, cursor)| (&**name, cursor))
    }

    /// A reader says where it is.
    pub fn set(&mut self, name: Box<str>, cursor: Cursor) {
        if self.0.len() >= MOST && !self.0.contains_key(&name) {
            let behind = self.0.iter().min_by_key(|(_, one)| one.offset);
            if let Some(behind) = behind.map(|(name, _)| name.clone()) {
                self.0.remove(&behind);
            }
        }
        self.0.insert(name, cursor);
    }

    pub fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    pub(super) fn encode(&self, into: &mut Vec<u8>) {
        into.put_u32(self.0.len() as u32);
        for (name, cursor) in &self.0 {
            put_name(into, name);
            cursor.encode(into);
        }
    }

    pub(super) fn decode(from: &mut &[u8]) -> Result<Self, Unreadable> {
        let mut cursors = BTreeMap::new();
        for _ in 0..from.try_get_u32().map_err(short)? {
            let name = name(from)?;
            cursors.insert(name, Cursor::decode(from)?);
        }
        Ok(Self(cursors))
    }
}

impl Cursor {
    pub(super) fn encode(&self, into: &mut Vec<u8>) {
        into.put_u64(self.offset);
        into.put_u64(self.epoch);
        into.put_u64(self.expires.map_or(0, |at| at.0));
        into.put_u32(self.metadata.len() as u32);
        into.put_slice(&self.metadata);
    }

    pub(super) fn decode(from: &mut &[u8]) -> Result<Self, Unreadable> {
        let offset = from.try_get_u64().map_err(short)?;
        let epoch = from.try_get_u64().map_err(short)?;
        let expires = from.try_get_u64().map_err(short)?;
        let len = from.try_get_u32().map_err(short)? as usize;
        let (metadata, rest) = from.split_at_checked(len).ok_or_else(|| short(()))?;
        *from = rest;
        Ok(Self {
            offset,
            epoch,
            expires: (expires > 0).then_some(Timestamp(expires)),
            metadata: Bytes::copy_from_slice(metadata),
        })
    }
}
