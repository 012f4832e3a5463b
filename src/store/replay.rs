//! Reading the log back: what rests, and over it the records of every segment in order.
//!
//! Only what is needed to know each entry is kept, not its body. Where the log ends, and what is
//! damage rather than an end:
//! - a segment ends at its end record, or at the end of its file;
//! - the newest segment also ends at the first record that is not whole, unless a later record
//!   tells that the place had been synced: then it is damage;
//! - in an older segment anything not whole is damage, because the next segment is begun only
//!   when the last one is synced;
//! - an end before the place that a note beside the log says was synced is damage too: others may
//!   rely on what was there.
//!
//! Damage costs the records it hits: the owner of a record whose header is readable is reported,
//! and reading goes on with the next good record. Where nobody knows whose they were, everybody's
//! may be lost ([`super::damage`]). One wrong bit in a header is put right. What is cut off gets an
//! end record, and the log goes on in a new segment, so that nothing cut off can ever come back.
//!
//! What was written and not synced may be here to be read and nowhere else: after a failed sync the
//! system takes its pages for clean, and no later sync writes them. So what follows the last place that
//! is known to be synced is written once more before anybody relies on it.
//!
//! A disk that says that it cannot read has lost what was there, wherever that is. Where all of it can be
//! had elsewhere it is damage like any other; else the store does not open, for the disk may be able to
//! read it again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::damage::Known;
use super::error::{StoreError, is_of_disk};
use super::files::{CHUNK, Files, LogFile, Window};
use super::frame::{self, HEADER, Header, Kind, PUT_HEAD, Seal};
use super::index::Index;
use super::rest::Rest;
use super::segments::{self, FileIs, MOST_SPARES};
use super::{Keep, LedgerEntry, Loc, Lsn, Meta, OwnerId, OwnerLedger};

/// Everything found.
#[derive(Default)]
pub(super) struct Replayed {
    pub index: Index,
    entries: HashMap<OwnerId, Vec<LedgerEntry>>,
    /// Owners of damaged records, and the last place of those.
    damaged: HashMap<OwnerId, Lsn>,
    /// The last place where records are lost of which nobody knows whose they were.
    unknown: Option<Lsn>,
    /// What is known of damage, with what was found now.
    pub known: Known,
    /// The last record says that the store was stopped in order.
    pub clean: bool,
    pub open: BTreeMap<u32, Arc<dyn LogFile>>,
    pub spares: Vec<u32>,
    /// The segment to go on with, and the one before.
    pub next: u32,
    pub newest: u32,
    /// The highest place of which the log says that it was synced.
    synced: Lsn,
    /// The last seq of each owner that is in its archive: what the log and fjall say of those before it is old.
    archived: HashMap<OwnerId, u64>,
}

/// Where a segment ends.
enum Ended {
    /// At a place where an end record is to be written.
    Here(u64),
    /// At the end record that begins there.
    Marked(u64),
}

/// Where the log is read from.
pub(super) struct Source<'a> {
    pub files: &'a dyn Files,
    pub store_id: u64,
    pub segment_bytes: u64,
    /// What rested in fjall is lost.
    pub lost_rest: bool,
    /// What the disk cannot read counts as damage; else it is an error.
    pub unreadable_is_lost: bool,
    /// The last seq of each owner that is in its archive.
    pub archived: HashMap<OwnerId, u64>,
}

impl Source<'_> {
    /// An error of fjall, which is damage where the disk cannot read it and that counts as such.
    pub fn of_rest(&self, error: StoreError) -> StoreError {
        match error {
            StoreError::Io { what, error } if self.unreadable_is_lost && is_of_disk(&error) => {
                let error = error.to_string().into();
                StoreError::RestDamaged { what, error }
            }
            error => error,
        }
    }
}

/// Replays everything over what rests.
pub(super) fn replay(source: &Source<'_>, rest: &Rest) -> Result<Replayed, StoreError> {
    let mut replayed = Replayed {
        archived: source.archived.clone(),
        ..Replayed::default()
    };
    // The newest may be empty and stays for what comes; older ones without entries can go.
    for epoch in rest.epochs().into_iter().rev().skip(1) {
        replayed.index.epochs.entry(epoch).or_default();
    }
    rest.rows(|row| replayed.at_rest(row.owner, row.seq, row.keep, row.epoch, row.len, row.meta))
        .map_err(|error| source.of_rest(error))?;
    replayed
        .read_log(source)
        .map_err(|error| StoreError::io("read the log", error))?;
    replayed.miss_epochs(&rest.epochs());
    replayed.judge(source.lost_rest)?;
    Ok(replayed)
}

impl Replayed {
    /// The owners' ledgers; what lived in damaged epochs is not in them.
    pub fn ledgers(&mut self) -> HashMap<OwnerId, OwnerLedger> {
        let mut ledgers = HashMap::new();
        let damaged: HashSet<_> = self.known.damaged().collect();
        let owners: HashSet<_> = self.index.owners().chain(damaged.iter().copied()).collect();
        for owner in owners.into_iter().filter(|owner| *owner != OwnerId::LOG) {
            let mut entries = self.entries.remove(&owner).unwrap_or_default();
            entries.retain(|entry| self.index.place(owner, entry.seq).is_some());
            if !entries.is_sorted_by(|a, b| a.seq < b.seq) {
                // An entry is here twice when a seq that a restart had dropped was used again,
                // and moved to rest by a checkpoint that did not come to its end: the log has it.
                entries.sort_by_key(|entry| (entry.seq, entry.loc));
                entries.dedup_by_key(|entry| entry.seq);
            }
            for entry in &mut entries {
                entry.count = self.index.count(owner, entry.seq);
            }
            entries.shrink_to_fit();
            let ledger = OwnerLedger {
                entries,
                mark: self.index.mark_of(owner).map(<[u8]>::to_vec),
                damaged: damaged.contains(&owner),
                accepted: self.known.is_accepted(owner),
                next_seq: self.index.next_seq(owner),
            };
            ledgers.insert(owner, ledger);
        }
        ledgers
    }

    fn at_rest(&mut self, owner: OwnerId, seq: u64, keep: Keep, epoch: u32, len: u32, meta: Meta) {
        if keep == Keep::Page || self.is_archived(owner, seq) {
            return self.index.drop_at_rest(owner, seq, epoch);
        }
        self.index.put_at_rest(owner, seq, epoch);
        self.entries.entry(owner).or_default().push(LedgerEntry {
            seq,
            loc: Loc::REST,
            meta,
            count: 0,
            len,
        });
    }

    fn read_log(&mut self, source: &Source<'_>) -> std::io::Result<()> {
        let mut logs = BTreeMap::new();
        for (name, bytes) in source.files.list()? {
            match segments::parse_name(&name) {
                Some(FileIs::Log(number)) => {
                    logs.insert(number, bytes);
                }
                Some(FileIs::Spare(number)) if bytes == source.segment_bytes && self.spares.len() < MOST_SPARES => {
                    self.spares.push(number);
                }
                Some(FileIs::Spare(_)) => source.files.remove(&name)?,
                None => tracing::warn!(file = name, "a file in the log's directory is not of the log"),
            }
        }
        // Above the spares too: what an old file holds never passes for a newer segment's. And above
        // what is lost, so that places never come again.
        let noted = Lsn(source.files.noted()?);
        let highest = logs.keys().chain(&self.spares).copied().max();
        self.next = highest
            .max((noted > Lsn::default()).then(|| noted.segment()))
            .map_or(1, |it| it + 1);

        // The newest files may have been made ready and never written to.
        while let Some((&number, &bytes)) = logs.last_key_value() {
            let file = source.files.open(&segments::log_name(number))?;
            let mut window = Window::past_unreadable(&*file, source.unreadable_is_lost);
            let begun = next_record(&mut window, 0, Seal::of(source.store_id, number))?.is_some();
            // Nobody knows what was where nothing can be read.
            if begun || window.has_unreadable() {
                break;
            }
            logs.remove(&number);
            if bytes == source.segment_bytes && self.spares.len() < MOST_SPARES {
                source
                    .files
                    .rename(&segments::log_name(number), &segments::spare_name(number))?;
                self.spares.push(number);
            } else {
                source.files.remove(&segments::log_name(number))?;
            }
        }

        let newest = logs.keys().next_back().copied();
        self.newest = newest.unwrap_or(0);
        let mut end_of_log = Lsn::default();
        for &number in logs.keys() {
            let file = source.files.open(&segments::log_name(number))?;
            self.index.segments.entry(number).or_default();
            let seal = Seal::of(source.store_id, number);
            let from = Segment {
                number,
                file: &*file,
                seal,
                unreadable_is_lost: source.unreadable_is_lost,
                // In an older one everything was synced.
                whole_until: match newest == Some(number) {
                    true => noted,
                    false => Lsn::at(number + 1, 0),
                },
            };
            let end = self.read_segment(&from, &mut end_of_log)?;
            if newest == Some(number) {
                let synced = match self.synced.segment() == number {
                    true => self.synced.offset(),
                    false => 0,
                };
                let until = match end {
                    Ended::Here(at) => {
                        let mut end = Vec::new();
                        frame::encode(&mut end, seal, Kind::End, OwnerId::LOG, &[]);
                        file.write_at(&end, at)?;
                        at
                    }
                    Ended::Marked(at) => at + frame::record_len(0),
                };
                let mut window = Window::past_unreadable(&*file, source.unreadable_is_lost);
                write_again(&*file, &mut window, synced, until)?;
                file.sync()?;
            }
            self.open.insert(number, file);
        }
        if end_of_log < noted {
            tracing::error!("the end of the log is missing");
            self.lost(noted);
        }
        Ok(())
    }

    /// Reads a segment, and says how far it was read.
    fn read_segment(&mut self, segment: &Segment<'_>, end: &mut Lsn) -> std::io::Result<Ended> {
        let &Segment {
            number,
            file,
            seal,
            whole_until: known_whole,
            unreadable_is_lost,
        } = segment;
        let mut window = Window::past_unreadable(file, unreadable_is_lost);
        // Found when first needed: the last synced place that a record here tells of.
        let mut synced = None;
        let mut at = 0;
        loop {
            let place = Lsn::at(number, at);
            *end = place;
            let found = window.bytes(at, HEADER, CHUNK)?;
            let Some(found) = found.and_then(|bytes| bytes.first_chunk().copied()) else {
                if place < known_whole {
                    tracing::error!(segment = number, offset = at, "the log is cut off");
                    self.lost(place);
                }
                return Ok(Ended::Here(at));
            };
            let header = match Header::decode(&found, seal) {
                None => mend(&found, seal, &mut window, file, number, at)?,
                header => header,
            };
            if let Some(header) = header {
                if header.kind == Kind::End {
                    *end = Lsn::at(number, at + header.record_len());
                    return Ok(Ended::Marked(at));
                }
                let payload = window.bytes(at + HEADER as u64, header.len as usize, CHUNK)?;
                if let Some(payload) = payload.filter(|payload| header.matches(payload, seal)) {
                    self.apply(number, at, &header, payload);
                    at += header.record_len();
                    continue;
                }
            }
            let whole_until = match synced {
                Some(known) => known,
                None => *synced.insert(last_synced(&mut window, at, seal)?.max(known_whole)),
            };
            let len = header.as_ref().map_or(HEADER as u64, Header::record_len);
            let unreadable = window.end_of_unreadable(at, len);
            if whole_until <= place && unreadable.is_none() {
                if header.is_some() {
                    tracing::warn!(segment = number, offset = at, "the log ends in the middle of a record");
                }
                return Ok(Ended::Here(at));
            }
            self.clean = false;
            match header {
                // What the log says of itself by the way, and what a restart drops.
                Some(Header {
                    kind: Kind::Synced | Kind::Begin | Kind::Clean | Kind::Page,
                    ..
                }) => tracing::warn!(segment = number, offset = at, "a record that nobody needs is damaged"),
                // Who is damaged.
                Some(header) if header.owner == OwnerId::LOG => self.lost(place),
                Some(header) => {
                    let owner = header.owner;
                    tracing::error!(
                        segment = number,
                        offset = at,
                        owner = owner.0,
                        "a record of the log is damaged"
                    );
                    self.damaged.insert(owner, place);
                }
                None => {
                    tracing::error!(segment = number, offset = at, "the log is damaged");
                    self.lost(place);
                }
            }
            let from = match header {
                Some(header) => at + header.record_len(),
                None => unreadable.unwrap_or(at + 8),
            };
            match next_record(&mut window, from, seal)? {
                Some((next, _)) => at = next,
                None => {
                    *end = Lsn::at(number, from);
                    return Ok(Ended::Here(from));
                }
            }
        }
    }

    /// Records of nobody knows whom are lost at this place.
    fn lost(&mut self, place: Lsn) {
        self.unknown = self.unknown.max(Some(place));
    }

    /// Joins what was found with what was known before.
    fn judge(&mut self, lost_rest: bool) -> Result<(), StoreError> {
        let known = self.index.mark_of(OwnerId::LOG).map(Known::decode).transpose()?;
        let mut known = known.unwrap_or_default();
        for (&owner, &place) in &self.damaged {
            if known.is_news(owner, place) {
                known.add(owner);
            }
        }
        let is_news = self.unknown.is_some_and(|place| place >= known.until);
        if is_news || lost_rest && !known.unsettled {
            for owner in self.index.owners().filter(|owner| *owner != OwnerId::LOG) {
                known.add(owner);
            }
            known.until = Lsn::at(self.next, 0);
            known.unsettled = true;
        }
        self.known = known;
        Ok(())
    }

    fn apply(&mut self, segment: u32, at: u64, header: &Header, payload: &[u8]) {
        let owner = header.owner;
        self.clean = false;
        match header.kind {
            Kind::Put => {
                let Some((head, body)) = payload.split_first_chunk::<PUT_HEAD>() else {
                    return;
                };
                let (Some(seq), Some(meta)) = (frame::seq_of(head), head[8..].first_chunk()) else {
                    return;
                };
                if self.is_archived(owner, seq) {
                    return;
                }
                if self.index.place(owner, seq).is_none() {
                    self.index.put(owner, seq, Keep::Durable, segment);
                    self.add_entry(owner, seq, Loc::at(segment, at), *meta, body.len());
                } else {
                    // A checkpoint that did not come to its end moved it to rest already.
                    self.index.begins_here(owner, seq);
                }
            }
            Kind::Remove => frame::ranges(payload).for_each(|(first, last)| {
                self.index.remove(owner, first, last);
            }),
            Kind::Touch => {
                if let Some((count, ranges)) = payload.split_first_chunk() {
                    let count = u64::from_le_bytes(*count) as u32;
                    for (first, last) in frame::ranges(ranges) {
                        self.index.touch(owner, first, last, count, segment);
                    }
                }
            }
            Kind::Mark => self.index.mark(owner, payload, segment),
            Kind::State => {
                if let Some((next_seq, rest)) = payload.split_first_chunk()
                    && let Some((has_mark, mark)) = rest.split_first_chunk()
                {
                    let mark = (u64::from_le_bytes(*has_mark) != 0).then_some(mark);
                    self.index.state(owner, u64::from_le_bytes(*next_seq), mark, segment);
                }
            }
            Kind::Forget => {
                self.index.forget(owner);
                self.entries.remove(&owner);
                self.damaged.remove(&owner);
            }
            Kind::Clean => self.clean = true,
            Kind::Begin => {
                let before = self.open.last_key_value().map(|(number, _)| u64::from(*number));
                if before.is_some() && before != frame::seq_of(payload) {
                    tracing::error!(segment, "the segment of the log before this one is missing");
                    self.lost(Lsn::at(segment, at));
                }
            }
            Kind::Synced => {
                if let Some(synced) = frame::seq_of(payload) {
                    self.synced = self.synced.max(Lsn(synced));
                }
            }
            Kind::Page | Kind::End => {}
        }
    }

    fn is_archived(&self, owner: OwnerId, seq: u64) -> bool {
        self.archived.get(&owner).is_some_and(|last| seq <= *last)
    }

    fn add_entry(&mut self, owner: OwnerId, seq: u64, loc: Loc, meta: Meta, len: usize) {
        let entries = self.entries.entry(owner).or_default();
        entries.push(LedgerEntry {
            seq,
            loc,
            meta,
            count: 0,
            len: len as u32,
        });
        // What has died is thrown out now and then, so that memory is bounded by what lives.
        if entries.len() as u64 > 2 * self.index.living(owner) + 1024 {
            entries.retain(|entry| self.index.place(owner, entry.seq).is_some());
        }
    }

    /// Entries whose bodies rest in an epoch that is not there are lost.
    fn miss_epochs(&mut self, there: &[u32]) {
        let missing: Vec<_> = self
            .index
            .epochs
            .iter()
            .filter(|(number, epoch)| epoch.live > 0 && !there.contains(number))
            .map(|(number, _)| *number)
            .collect();
        for epoch in missing {
            tracing::error!(epoch, "an epoch of bodies is missing");
            for run in self.index.living_at_rest(epoch) {
                self.damaged.insert(run.owner, Lsn::default());
                self.index.remove(run.owner, run.first, run.last);
            }
        }
    }
}

/// Writes what lies between two places where it lies already.
fn write_again(file: &dyn LogFile, window: &mut Window<'_>, from: u64, until: u64) -> std::io::Result<()> {
    let mut at = from;
    while at < until {
        let mut len = CHUNK.min((until - at) as usize);
        if window.bytes(at, len, len)?.is_none() {
            return Ok(());
        }
        if window.end_of_unreadable(at, len as u64).is_some() {
            // What the disk cannot read is left as it is: it may be able to again.
            len = LITTLE.min(len);
            if let Some(end) = window.end_of_unreadable(at, len as u64) {
                at = end;
                continue;
            }
        }
        if let Some(bytes) = window.bytes(at, len, len)? {
            file.write_at(bytes, at)?;
        }
        at += len as u64;
    }
    Ok(())
}

/// Bytes that are written again at a time where some cannot be read.
const LITTLE: usize = 512;

/// A segment that is read.
struct Segment<'a> {
    number: u32,
    file: &'a dyn LogFile,
    seal: Seal,
    /// What was written before this place is known to have been synced.
    whole_until: Lsn,
    unreadable_is_lost: bool,
}

/// Mends a header of which one bit is wrong, where the payload says that the record is whole.
fn mend(
    found: &[u8; HEADER],
    seal: Seal,
    window: &mut Window<'_>,
    file: &dyn LogFile,
    segment: u32,
    at: u64,
) -> std::io::Result<Option<Header>> {
    let Some((right, header)) = Header::mended(found, seal) else {
        return Ok(None);
    };
    let payload = window.bytes(at + HEADER as u64, header.len as usize, CHUNK)?;
    if !payload.is_some_and(|payload| header.matches(payload, seal)) {
        return Ok(None);
    }
    tracing::warn!(segment, offset = at, "a wrong bit in the log is mended");
    file.write_at(&right, at)?;
    file.sync()?;
    Ok(Some(header))
}

/// The first place from here on where a header of this segment lies.
pub(super) fn next_record(window: &mut Window<'_>, from: u64, seal: Seal) -> std::io::Result<Option<(u64, Header)>> {
    let mut at = from;
    while let Some(bytes) = window.bytes(at, HEADER, CHUNK)? {
        if let Some(header) = Header::decode(bytes, seal) {
            return Ok(Some((at, header)));
        }
        // No header begins with zeros, and most of a new segment is.
        at += window.zeros(at).max(8);
    }
    Ok(None)
}

/// The highest synced place that an intact record from here on tells of.
fn last_synced(window: &mut Window<'_>, from: u64, seal: Seal) -> std::io::Result<Lsn> {
    let mut highest = Lsn::default();
    let mut at = from;
    while let Some((found, header)) = next_record(window, at, seal)? {
        at = found + 8;
        if let Some(payload) = window.bytes(found + HEADER as u64, header.len as usize, CHUNK)?
            && header.matches(payload, seal)
        {
            at = found + header.record_len();
            if header.kind == Kind::Synced
                && let Some(synced) = frame::seq_of(payload)
            {
                highest = highest.max(Lsn(synced));
            }
        }
    }
    Ok(highest)
}
