//! What a group's machine reads again: entries of its log, and pieces of its snapshots.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use openraft::EntryPayload;

use super::log::LogShared;
use super::recovery::read_meta;
use super::snapshots::Snapshots;
use super::wire::{Kind, payload_of};
use crate::machine::{Seek, Source};
use crate::store;

/// Of one group.
pub struct GroupSource {
    pub log: Arc<LogShared>,
    pub snapshots: Arc<Snapshots>,
}

impl Source for GroupSource {
    fn entry(&self, index: u64) -> io::Result<Vec<Bytes>> {
        let (kind, body) = self.log.body(index)?;
        records(kind, body)
    }

    fn in_memory(&self, index: u64) -> Option<Vec<Bytes>> {
        let (kind, body) = self.log.body_in_memory(index)?;
        records(kind, body).ok()
    }

    fn put_away(&self) -> Option<u64> {
        self.log.put_away_up_to()
    }

    fn find(&self, seek: Seek) -> io::Result<Option<u64>> {
        let seek = match seek {
            Seek::At(at) => store::Seek::At(at),
            Seek::Since(time) => store::Seek::Since(time),
        };
        self.log.archive().map_or(Ok(None), |archive| archive.find(seek))
    }

    fn run(&self, from: u64, bytes: usize) -> io::Result<Vec<(u64, Vec<Bytes>)>> {
        let until = self.log.put_away_up_to().map_or(0, |last| last + 1);
        let archived = match from < until {
            true => self.log.archived_from(from, until, bytes)?,
            false => Vec::new(),
        };
        if archived.is_empty() {
            return Ok(vec![(from, self.entry(from)?)]);
        }
        let unpacked = archived.into_iter().zip(from..).map(|(entry, index)| {
            let (_, _, kind) = read_meta(&entry.meta).map_err(io::Error::other)?;
            Ok((index, records(kind, entry.body)?))
        });
        unpacked.collect()
    }

    fn piece(&self, number: u64) -> io::Result<Bytes> {
        self.snapshots.piece(number)
    }
}

fn records(kind: Kind, body: Bytes) -> io::Result<Vec<Bytes>> {
    match payload_of(kind, body).map_err(io::Error::other)? {
        EntryPayload::Normal(packed) => packed.records().collect::<Result<_, _>>().map_err(io::Error::other),
        _ => Ok(Vec::new()),
    }
}
