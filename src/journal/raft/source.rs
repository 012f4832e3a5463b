//! What a group's machine reads again: entries of its log, and pieces of its snapshots.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use openraft::EntryPayload;

use super::log::LogShared;
use super::snapshots::Snapshots;
use super::wire::payload_of;
use crate::machine::Source;

/// Of one group.
pub struct GroupSource {
    pub log: Arc<LogShared>,
    pub snapshots: Arc<Snapshots>,
}

impl Source for GroupSource {
    fn entry(&self, index: u64) -> io::Result<Vec<Bytes>> {
        let (kind, body) = self.log.body(index)?;
        match payload_of(kind, body).map_err(io::Error::other)? {
            EntryPayload::Normal(packed) => packed.records().collect::<Result<_, _>>().map_err(io::Error::other),
            _ => Ok(Vec::new()),
        }
    }

    fn piece(&self, number: u64) -> io::Result<Bytes> {
        self.snapshots.piece(number)
    }
}
