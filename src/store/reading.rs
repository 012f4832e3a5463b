//! Reading bodies back, from the log or from rest, wherever they are by now.
//!
//! Where an entry is, the index knows; a checkpoint may move it between the question and the
//! read. The file of its segment may then already hold other records, which do not pass for this
//! one (see [`super::frame`]), or the epoch may be gone: the question is asked again.

use bytes::Bytes;

use super::error::StoreError;
use super::files::{CHUNK, LogFile};
use super::frame::{self, HEADER, Seal};
use super::index::Place;
use super::{Loc, OwnerId, Store, checkpoint};

impl Store {
    /// Reads bodies; for a blocking thread. Each seq is asked for once; entries that are no more
    /// are `None`. Entries that lie together are read in one go, and share one buffer where it holds
    /// little else.
    pub fn read(&self, owner: OwnerId, wanted: &[(u64, Loc)]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let mut bodies = vec![None; wanted.len()];
        let mut missing: Vec<usize> = (0..wanted.len()).collect();
        for _ in 0..ATTEMPTS {
            let (in_log, at_rest) = self.places(owner, wanted, &missing)?;
            if let Some(last) = in_log.iter().map(|&(loc, _)| loc).max() {
                self.0.wal.wait_written(last)?;
            }
            missing.clear();
            self.read_log(owner, wanted, in_log, &mut bodies, &mut missing)?;
            self.read_rest(owner, at_rest, &mut bodies, &mut missing)?;
            if missing.is_empty() {
                return Ok(bodies);
            }
        }
        let seq = missing.first().map_or(0, |at| wanted[*at].0);
        Err(StoreError::Unreadable { owner: owner.0, seq })
    }

    /// Where the entries are now, ordered.
    fn places(&self, owner: OwnerId, wanted: &[(u64, Loc)], which: &[usize]) -> Result<Places, StoreError> {
        let mut in_log = Vec::new();
        let mut at_rest = Vec::new();
        let log = self.0.wal.lock();
        for &at in which {
            let (seq, loc) = wanted[at];
            match log.index.place(owner, seq) {
                Some(Place::Log(_)) if loc.0 < log.pending.end().0 => in_log.push((loc, at)),
                // Not a place that `put` gave out.
                Some(Place::Log(_)) => return Err(StoreError::Unreadable { owner: owner.0, seq }),
                Some(Place::Rest(epoch)) => at_rest.push((epoch, seq, at)),
                None => {}
            }
        }
        drop(log);
        in_log.sort_unstable();
        at_rest.sort_unstable();
        Ok((in_log, at_rest))
    }

    fn read_log(
        &self,
        owner: OwnerId,
        wanted: &[(u64, Loc)],
        in_log: Vec<(Loc, usize)>,
        bodies: &mut [Option<Bytes>],
        missing: &mut Vec<usize>,
    ) -> Result<(), StoreError> {
        let segments = &self.0.wal.segments;
        let mut rest = &in_log[..];
        while let Some(&(first, at)) = rest.first() {
            let Some(file) = segments.get(first.segment()) else {
                missing.push(at);
                rest = &rest[1..];
                continue;
            };
            let seal = segments.seal(first.segment());
            let near = |loc: Loc| loc.segment() == first.segment() && loc.offset() - first.offset() < CHUNK as u64;
            let ahead = rest
                .iter()
                .take_while(|(loc, _)| near(*loc))
                .last()
                .map_or(0, |(loc, _)| loc.offset() - first.offset());
            let bytes = read_span(&*file, first.offset(), ahead as usize, seal)
                .map_err(|error| StoreError::io("read the log", error))?;
            let (mut taken, mut wanted_bytes) = (0, 0);
            for &(loc, at) in rest.iter().take_while(|(loc, _)| near(*loc)) {
                let from = (loc.offset() - first.offset()) as usize;
                // The last one may reach beyond what was read, and begins the next span then.
                let record = bytes.get(from..).unwrap_or_default();
                if taken > 0
                    && frame::Header::decode(record, seal).is_some_and(|h| record.len() < HEADER + h.len as usize)
                {
                    break;
                }
                taken += 1;
                let found = checkpoint::intact(record, seal);
                match found
                    .filter(|(header, payload)| header.owner == owner && frame::seq_of(payload) == Some(wanted[at].0))
                {
                    Some((_, payload)) => {
                        let body = bytes.slice_ref(&payload[frame::PUT_HEAD..]);
                        wanted_bytes += body.len();
                        bodies[at] = Some(body);
                    }
                    None => missing.push(at),
                }
            }
            // Whoever keeps one of them would keep all that lies between, other owners' entries.
            if wanted_bytes < bytes.len() / 2 {
                for &(_, at) in &rest[..taken] {
                    bodies[at] = bodies[at].take().map(|body| Bytes::copy_from_slice(&body));
                }
            }
            rest = &rest[taken..];
        }
        Ok(())
    }

    fn read_rest(
        &self,
        owner: OwnerId,
        at_rest: Vec<(u32, u64, usize)>,
        bodies: &mut [Option<Bytes>],
        missing: &mut Vec<usize>,
    ) -> Result<(), StoreError> {
        for same_epoch in at_rest.chunk_by(|a, b| a.0 == b.0) {
            let seqs: Vec<_> = same_epoch.iter().map(|&(_, seq, _)| seq).collect();
            let found = self.0.rest.read(same_epoch[0].0, owner, &seqs)?;
            for (&(_, _, at), body) in same_epoch.iter().zip(found) {
                match body {
                    Some(body) => bodies[at] = Some(body),
                    None => missing.push(at),
                }
            }
        }
        Ok(())
    }
}

/// Places in the log, and (epoch, seq) at rest, each with its number among those wanted.
type Places = (Vec<(Loc, usize)>, Vec<(u32, u64, usize)>);

/// Reads the record that begins here and what follows it, at least `ahead` bytes and a header
/// more if they are there.
fn read_span(file: &dyn LogFile, from: u64, ahead: usize, seal: Seal) -> std::io::Result<Bytes> {
    let mut bytes = read_up_to(file, from, ahead + TAIL)?;
    if ahead == 0
        && let Some(header) = frame::Header::decode(&bytes, seal)
        && bytes.len() < HEADER + header.len as usize
    {
        bytes = read_up_to(file, from, HEADER + header.len as usize)?;
    }
    Ok(bytes.into())
}

fn read_up_to(file: &dyn LogFile, from: u64, len: usize) -> std::io::Result<Vec<u8>> {
    let there = file.len()?.saturating_sub(from);
    let mut bytes = vec![0; len.min(there as usize)];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], from + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Bytes read behind the start of the last record of a span: most records fit.
const TAIL: usize = 4096;
/// How often a read follows an entry that moves while it is read.
const ATTEMPTS: usize = 8;
