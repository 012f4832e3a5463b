//! Where the old entries of an owner rest that takes them away from the front only, as a stream's log does:
//! segment files one behind the other, each with a sparse index, so that neither memory nor a start grows with
//! what is there.
//!
//! ```text
//! OWNER-NUMBER.segment   head of the file │ record │ record │ …
//! OWNER-NUMBER.index     one entry for each 64 KiB of records
//! OWNER.point            what the owner wants to know at a start, as of an entry that is here
//! ```
//! An entry is here once and for all: nothing is changed, and what is appended follows what is there. It is put
//! into the log first and leaves it when it is synced here ([`super::Store::archived`]). So what a crash tears off
//! the end is in the log still. An index is only a help: where it is missing, older than its segment or damaged it
//! is made anew. A record that is damaged is found when it is read.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::files::{CHUNK, Files, LogFile, Window};
use super::{Lsn, Meta, OwnerId, StoreError};
use crate::small_file;

/// All archives of a store.
pub(super) struct Archives {
    format: PathBuf,
    files: Arc<dyn Files>,
    store_id: u64,
    /// The directory's version, which the first segment raises.
    version: Arc<Mutex<u8>>,
    known: Mutex<HashMap<OwnerId, Arc<Archive>>>,
    /// Owners that are no more, once what says so is synced.
    forgotten: Mutex<Vec<(OwnerId, Lsn)>>,
}

/// The archive of one owner.
pub struct Archive {
    owner: OwnerId,
    format: PathBuf,
    files: Arc<dyn Files>,
    store_id: u64,
    version: Arc<Mutex<u8>>,
    state: Mutex<State>,
    /// Held by whoever appends or drops files.
    writing: Mutex<Writing>,
}

/// Where an entry is in the owner's own numbers: so that it is found without its body being read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// From here
    pub first: u64,
    /// to before this; both only grow from entry to entry.
    pub end: u64,
    /// The latest time in this entry or any before it, in ms.
    pub newest: u64,
}

/// An entry in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    pub seq: u64,
    /// Begins with a number that follows that of the entry before.
    pub meta: Meta,
    pub span: Span,
    pub body: Bytes,
}

/// What an archive is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    /// The entry that has this, or comes next.
    At(u64),
    /// The first entry of this time or later.
    Since(u64),
}

#[derive(Default)]
struct State {
    segments: VecDeque<Segment>,
    last: Option<Head>,
    /// Bytes of all segments.
    bytes: u64,
    /// Something that was here is missing.
    is_damaged: bool,
}

struct Segment {
    number: u32,
    first: Head,
    end: u64,
}

#[derive(Default)]
struct Writing {
    /// Of the newest segment.
    files: Option<(Arc<dyn LogFile>, Arc<dyn LogFile>)>,
    /// Entries in its index,
    indexed: u64,
    /// and bytes of records behind the last of them.
    since: u64,
    /// The number of the last file that was made.
    number: u32,
}

/// What precedes a body, without its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    seq: u64,
    meta: Meta,
    span: Span,
    len: u32,
    checksum: u32,
}

impl Head {
    fn number(&self) -> u64 {
        number(&self.meta)
    }

    fn encode(&self, seed: u32) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[4..8].copy_from_slice(&self.len.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.seq.to_le_bytes());
        bytes[16..40].copy_from_slice(&self.meta);
        bytes[40..48].copy_from_slice(&self.span.first.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.span.end.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.span.newest.to_le_bytes());
        bytes[64..68].copy_from_slice(&self.checksum.to_le_bytes());
        let checksum = crc32c::crc32c_append(seed, &bytes[4..]);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8], seed: u32) -> Option<Self> {
        let bytes = bytes.first_chunk::<HEAD>()?;
        if u32_at(bytes, 0) != crc32c::crc32c_append(seed, &bytes[4..]) {
            return None;
        }
        Some(Self {
            seq: u64_at(bytes, 8),
            meta: *bytes[16..].first_chunk()?,
            span: Span {
                first: u64_at(bytes, 40),
                end: u64_at(bytes, 48),
                newest: u64_at(bytes, 56),
            },
            len: u32_at(bytes, 4),
            checksum: u32_at(bytes, 64),
        })
    }

    fn record_len(&self) -> u64 {
        HEAD as u64 + u64::from(self.len)
    }
}

/// The number that the owner gives an entry in its meta.
fn number(meta: &Meta) -> u64 {
    u64_at(meta, 0)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |word| u32::from_le_bytes(*word))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word))
}

impl Archives {
    /// Those in the directory beside the log; `format` is the file that says the directory's version.
    pub fn open(format: PathBuf, log: &dyn Files, store_id: u64, version: u8) -> Result<Self, StoreError> {
        let unreadable = |error| StoreError::io("look for segments of streams", error);
        let files = log.beside(DIRECTORY).map_err(unreadable)?;
        let mut numbers: BTreeMap<OwnerId, Vec<u32>> = BTreeMap::new();
        for (name, _) in files.list().map_err(unreadable)? {
            if let Some((owner, number)) = parse_name(&name) {
                numbers.entry(owner).or_default().push(number);
            }
        }
        let archives = Self {
            format,
            files,
            store_id,
            version: Arc::new(Mutex::new(version)),
            known: Mutex::default(),
            forgotten: Mutex::default(),
        };
        for (owner, mut numbers) in numbers {
            numbers.sort_unstable();
            let archive = archives.empty(owner);
            archive.read(&numbers);
            archives.known.lock().insert(owner, Arc::new(archive));
        }
        Ok(archives)
    }

    fn empty(&self, owner: OwnerId) -> Archive {
        Archive {
            owner,
            format: self.format.clone(),
            files: Arc::clone(&self.files),
            store_id: self.store_id,
            version: Arc::clone(&self.version),
            state: Mutex::default(),
            writing: Mutex::default(),
        }
    }

    /// That of an owner, which may have nothing in it yet.
    pub fn of(&self, owner: OwnerId) -> Arc<Archive> {
        let mut known = self.known.lock();
        Arc::clone(known.entry(owner).or_insert_with(|| Arc::new(self.empty(owner))))
    }

    /// The highest seq in each.
    pub fn last_seqs(&self) -> HashMap<OwnerId, u64> {
        let known = self.known.lock();
        let last = |(owner, archive): (&OwnerId, &Arc<Archive>)| Some((*owner, archive.last_seq()?));
        known.iter().filter_map(last).collect()
    }

    pub fn bytes(&self) -> u64 {
        self.known.lock().values().map(|archive| archive.bytes()).sum()
    }

    /// An owner is no more, once that place in the log is synced.
    pub fn forget(&self, owner: OwnerId, said_at: Lsn) {
        if self.known.lock().contains_key(&owner) {
            self.forgotten.lock().push((owner, said_at));
        }
    }

    /// The place in the log up to which owners were forgotten whose files are still there.
    pub fn forgotten(&self) -> Option<Lsn> {
        self.forgotten.lock().iter().map(|(_, said_at)| *said_at).max()
    }

    /// Removes the files of owners that were forgotten up to that place, which is synced.
    pub fn remove_forgotten(&self, up_to: Lsn) -> io::Result<()> {
        let mut forgotten = self.forgotten.lock();
        let gone: Vec<OwnerId> = forgotten
            .extract_if(.., |(_, at)| *at <= up_to)
            .map(|(owner, _)| owner)
            .collect();
        drop(forgotten);
        gone.into_iter().try_for_each(|owner| self.remove(owner))
    }

    /// Removes those of owners that nobody knows.
    pub fn keep_only(&self, is_known: impl Fn(OwnerId) -> bool) -> io::Result<()> {
        let owners: Vec<OwnerId> = self.known.lock().keys().copied().collect();
        owners
            .into_iter()
            .filter(|owner| !is_known(*owner))
            .try_for_each(|owner| self.remove(owner))
    }

    fn remove(&self, owner: OwnerId) -> io::Result<()> {
        let archive = self.known.lock().remove(&owner);
        let Some(archive) = archive else { return Ok(()) };
        archive.purge(u64::MAX)?;
        let point = point_name(owner);
        if self.files.list()?.iter().any(|(name, _)| *name == point) {
            self.files.remove(&point)?;
        }
        Ok(())
    }
}

impl Archive {
    /// Whether something that was here is missing.
    pub fn is_damaged(&self) -> bool {
        self.state.lock().is_damaged
    }

    /// Meta of the first entry and of the last.
    pub fn ends(&self) -> Option<(Meta, Meta)> {
        let state = self.state.lock();
        Some((state.segments.front()?.first.meta, state.last?.meta))
    }

    pub fn last_seq(&self) -> Option<u64> {
        Some(self.state.lock().last?.seq)
    }

    /// Where the last entry ends in the owner's numbers.
    pub fn last_span(&self) -> Option<Span> {
        Some(self.state.lock().last?.span)
    }

    pub fn bytes(&self) -> u64 {
        self.state.lock().bytes
    }

    pub fn segments(&self) -> usize {
        self.state.lock().segments.len()
    }

    fn seed(&self, number: u32) -> u32 {
        let id = crc32c::crc32c(&self.store_id.to_le_bytes());
        let owner = crc32c::crc32c_append(id, &self.owner.0.to_le_bytes());
        crc32c::crc32c_append(owner, &number.to_le_bytes())
    }

    /// Puts entries behind those that are here, and syncs them. Where they do not follow, what was between is gone,
    /// and what is here with it. A segment that has so many bytes is followed by a new one.
    ///
    /// # Errors
    /// When the disk cannot; what is here is then what was here before.
    pub fn append(&self, entries: &[Archived], segment_bytes: u64) -> io::Result<()> {
        let mut writing = self.writing.lock();
        // A try that failed may have put some of them here.
        let last = self.state.lock().last.map(|last| last.number());
        let is_new = |entry: &&Archived| last.is_none_or(|last| number(&entry.meta) > last);
        let entries = &entries[entries.len() - entries.iter().rev().take_while(is_new).count()..];
        let Some(first) = entries.first() else { return Ok(()) };
        let follows = |last: &Head| last.number() + 1 == number(&first.meta);
        let has_gap = self.state.lock().last.is_some_and(|last| !follows(&last));
        if has_gap {
            self.drop_files(&mut writing, u64::MAX)?;
        }
        let mut rest = entries;
        while !rest.is_empty() {
            let end = self.state.lock().segments.back().map(|segment| segment.end);
            let end = match (end, &writing.files) {
                (Some(end), Some(_)) if end < segment_bytes => end,
                _ => self.begin(&mut writing)?,
            };
            let mut room = segment_bytes.saturating_sub(end).max(1);
            let fits = |entry: &&Archived| {
                let had_room = room > 0;
                room = room.saturating_sub(HEAD as u64 + entry.body.len() as u64);
                had_room
            };
            let count = rest.iter().take_while(fits).count().max(1);
            let (now, later) = rest.split_at(count);
            self.write(&mut writing, end, now)?;
            rest = later;
        }
        Ok(())
    }

    /// Writes entries into the newest segment, whose end is there.
    fn write(&self, writing: &mut Writing, end: u64, entries: &[Archived]) -> io::Result<()> {
        let Some((file, index)) = &writing.files else {
            return Ok(());
        };
        let seed = self.seed(writing.number);
        let (mut buffer, mut marks) = (Vec::new(), Vec::new());
        let (mut since, mut heads) = (writing.since, Vec::new());
        for entry in entries {
            let head = Head {
                seq: entry.seq,
                meta: entry.meta,
                span: entry.span,
                len: entry.body.len() as u32,
                checksum: crc32c::crc32c(&entry.body),
            };
            let at = end + buffer.len() as u64;
            if at == FILE_HEAD as u64 || since >= STRIDE {
                marks.extend_from_slice(&mark(&head, at, seed));
                since = 0;
            }
            since += head.record_len();
            buffer.extend_from_slice(&head.encode(seed));
            buffer.extend_from_slice(&entry.body);
            heads.push(head);
        }
        file.write_at(&buffer, end)?;
        file.sync()?;
        index.write_at(&marks, writing.indexed * MARK as u64)?;
        writing.indexed += (marks.len() / MARK) as u64;
        writing.since = since;
        let mut state = self.state.lock();
        state.bytes += buffer.len() as u64;
        let end = end + buffer.len() as u64;
        match state
            .segments
            .back_mut()
            .filter(|segment| segment.number == writing.number)
        {
            Some(segment) => segment.end = end,
            None => state.segments.push_back(Segment {
                number: writing.number,
                first: heads[0],
                end,
            }),
        }
        state.last = heads.pop();
        Ok(())
    }

    /// Begins a segment, and says where its first record goes.
    fn begin(&self, writing: &mut Writing) -> io::Result<u64> {
        if let Some((_, index)) = writing.files.take() {
            // Of the newest segment a start looks after it; later nobody does.
            index.sync()?;
        }
        self.raise_version()?;
        let number = writing.number + 1;
        let file = self.files.create(&segment_name(self.owner, number), 0)?;
        let index = self.files.create(&index_name(self.owner, number), 0)?;
        file.write_at(&file_head(self.owner, number, self.seed(number)), 0)?;
        file.sync()?;
        self.files.sync_names()?;
        *writing = Writing {
            files: Some((file, index)),
            indexed: 0,
            since: 0,
            number,
        };
        Ok(FILE_HEAD as u64)
    }

    /// A program that knows nothing of archives must not take the directory for one of its own.
    fn raise_version(&self) -> io::Result<()> {
        let mut version = self.version.lock();
        if *version < VERSION {
            small_file::replace(&self.format, super::format_line(VERSION, self.store_id).as_bytes())?;
            *version = VERSION;
        }
        Ok(())
    }

    /// Drops files that have nothing but entries up to this number.
    pub fn purge(&self, up_to: u64) -> io::Result<()> {
        self.drop_files(&mut self.writing.lock(), up_to)
    }

    fn drop_files(&self, writing: &mut Writing, up_to: u64) -> io::Result<()> {
        let mut gone = Vec::new();
        {
            let mut state = self.state.lock();
            let is_all = state.last.is_some_and(|last| last.number() <= up_to);
            while let Some(next) = match is_all {
                true => state.segments.front().map(|_| 0),
                false => state.segments.get(1).map(|next| next.first.number()),
            } && next <= up_to.saturating_add(1)
            {
                if let Some(segment) = state.segments.pop_front() {
                    state.bytes -= segment.end - FILE_HEAD as u64;
                    gone.push(segment.number);
                }
            }
            if is_all {
                state.last = None;
                writing.files = None;
            }
        }
        if gone.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = self.files.list()?.into_iter().map(|(name, _)| name).collect();
        // The oldest first: what is left has no hole.
        for number in gone {
            for name in [segment_name(self.owner, number), index_name(self.owner, number)] {
                if names.contains(&name) {
                    self.files.remove(&name)?;
                }
            }
        }
        self.files.sync_names()
    }

    /// Entries from that number on, at least one and then up to so many bytes; none where they are not here.
    ///
    /// # Errors
    /// When they are and cannot be read.
    pub fn entries(&self, from: u64, until: u64, most_bytes: usize) -> Result<Vec<Archived>, StoreError> {
        let mut entries = Vec::new();
        let (mut next, mut bytes) = (from, 0);
        while next < until {
            let Some((segment, last)) = self.segment_of(next) else {
                break;
            };
            let cannot = |error| StoreError::io("read a segment of a stream", error);
            let file = match self.files.open(&segment_name(self.owner, segment.number)) {
                Ok(file) => file,
                // It was dropped in this moment.
                Err(_)
                    if self
                        .segment_of(next)
                        .is_none_or(|(now, _)| now.number != segment.number) =>
                {
                    break;
                }
                Err(error) => return Err(cannot(error)),
            };
            let seed = self.seed(segment.number);
            let at = self
                .position(&segment, &*file, |head| head.number() <= next)
                .map_err(cannot)?;
            let (mut at, mut window) = (at, Window::over(&*file));
            while next < until && next <= last {
                let head = window.bytes(at, HEAD, CHUNK).map_err(cannot)?;
                let head = head.and_then(|bytes| Head::decode(bytes, seed));
                let damaged = || StoreError::Unreadable {
                    owner: self.owner.0,
                    seq: head.map_or(0, |head| head.seq),
                };
                let head = head.filter(|head| head.number() <= next).ok_or_else(damaged)?;
                if head.number() == next {
                    if !entries.is_empty() && bytes + head.len as usize > most_bytes {
                        return Ok(entries);
                    }
                    let body = window
                        .bytes(at + HEAD as u64, head.len as usize, CHUNK)
                        .map_err(cannot)?;
                    let body = body
                        .filter(|body| crc32c::crc32c(body) == head.checksum)
                        .ok_or_else(damaged)?;
                    bytes += body.len();
                    entries.push(Archived {
                        seq: head.seq,
                        meta: head.meta,
                        span: head.span,
                        body: Bytes::copy_from_slice(body),
                    });
                    next += 1;
                }
                at += head.record_len();
            }
        }
        Ok(entries)
    }

    /// The segment that has the entry of that number, and the last number in it.
    fn segment_of(&self, number: u64) -> Option<(Segment, u64)> {
        let state = self.state.lock();
        let last = state.last.filter(|last| number <= last.number())?;
        let after = state
            .segments
            .partition_point(|segment| segment.first.number() <= number);
        let segment = state.segments.get(after.checked_sub(1)?)?;
        let last = state
            .segments
            .get(after)
            .map_or(last.number(), |next| next.first.number() - 1);
        Some((segment.copy(), last))
    }

    /// The number of an entry from which on what is asked for is found, or none before it; `None` where it is not here.
    ///
    /// # Errors
    /// When the disk cannot read.
    pub fn find(&self, seek: Seek) -> io::Result<Option<u64>> {
        let is_before = |head: &Head| match seek {
            Seek::At(at) => head.span.first <= at,
            Seek::Since(time) => head.span.newest < time,
        };
        let segment = {
            let state = self.state.lock();
            let Some(last) = state.last else { return Ok(None) };
            let is_there = match seek {
                Seek::At(at) => at < last.span.end,
                Seek::Since(time) => last.span.newest >= time,
            };
            if !is_there {
                return Ok(None);
            }
            let after = state.segments.partition_point(|segment| is_before(&segment.first));
            match state.segments.get(after.saturating_sub(1)) {
                Some(segment) => segment.copy(),
                None => return Ok(None),
            }
        };
        let file = self.files.open(&segment_name(self.owner, segment.number))?;
        let at = self.position(&segment, &*file, is_before)?;
        let mut window = Window::over(&*file);
        let head = window.bytes(at, HEAD, HEAD)?;
        let head = head.and_then(|bytes| Head::decode(bytes, self.seed(segment.number)));
        Ok(Some(head.unwrap_or(segment.first).number()))
    }

    /// Where the last record begins that the index knows and that is before what is looked for, or the first.
    fn position(&self, segment: &Segment, file: &dyn LogFile, is_before: impl Fn(&Head) -> bool) -> io::Result<u64> {
        match self.look_up(segment, &is_before) {
            Some(at) => Ok(at),
            None => {
                tracing::warn!(owner = self.owner.0, segment = segment.number, "an index is made anew");
                self.make_index(segment, file)?;
                Ok(self.look_up(segment, &is_before).unwrap_or(FILE_HEAD as u64))
            }
        }
    }

    /// The same, as the index has it; `None` where that is missing or damaged.
    fn look_up(&self, segment: &Segment, is_before: impl Fn(&Head) -> bool) -> Option<u64> {
        let index = self.files.open(&index_name(self.owner, segment.number)).ok()?;
        let (mut low, mut high) = (0, index.len().ok()? / MARK as u64);
        if high == 0 {
            return None;
        }
        let mut found = FILE_HEAD as u64;
        while low < high {
            let middle = low.midpoint(high);
            let (head, at) = self.mark_at(&*index, segment.number, middle)?;
            // It may be ahead of what is known to be written.
            match at < segment.end && is_before(&head) {
                true => {
                    found = at;
                    low = middle + 1;
                }
                false => high = middle,
            }
        }
        Some(found)
    }

    fn mark_at(&self, index: &dyn LogFile, number: u32, which: u64) -> Option<(Head, u64)> {
        let mut bytes = [0; MARK];
        read_whole(index, &mut bytes, which * MARK as u64).ok()?;
        let seed = self.seed(number);
        let (head, at) = bytes.split_at(HEAD);
        let head = Head::decode(head, seed)?;
        let at = u64_at(at, 0);
        let is_right = u32_at(&bytes, HEAD + 8) == crc32c::crc32c_append(seed, &bytes[..HEAD + 8]);
        (is_right && at >= FILE_HEAD as u64).then_some((head, at))
    }

    fn make_index(&self, segment: &Segment, file: &dyn LogFile) -> io::Result<()> {
        let seed = self.seed(segment.number);
        let mut window = Window::over(file);
        let (mut at, mut since, mut marks) = (FILE_HEAD as u64, STRIDE, Vec::new());
        while at < segment.end
            && let Some(head) = window
                .bytes(at, HEAD, CHUNK)?
                .and_then(|bytes| Head::decode(bytes, seed))
        {
            if since >= STRIDE {
                marks.extend_from_slice(&mark(&head, at, seed));
                since = 0;
            }
            since += head.record_len();
            at += head.record_len();
        }
        let mut writing = self.writing.lock();
        let name = index_name(self.owner, segment.number);
        let index = self.files.create(&name, 0)?;
        index.write_at(&marks, 0)?;
        if writing.number == segment.number
            && let Some((file, _)) = writing.files.take()
        {
            writing.indexed = (marks.len() / MARK) as u64;
            writing.since = since;
            writing.files = Some((file, index));
        }
        Ok(())
    }

    /// Finds out what these files hold, at a start.
    fn read(&self, numbers: &[u32]) {
        let mut writing = self.writing.lock();
        let mut state = self.state.lock();
        writing.number = numbers.last().copied().unwrap_or(0);
        for &number in numbers {
            let newest = number == writing.number;
            let first = self.first_head(number);
            let follows = state.segments.back().is_none_or(|before| before.number + 1 == number);
            match first {
                Ok(Some((first, len))) if follows => {
                    state.bytes += len - FILE_HEAD as u64;
                    state.segments.push_back(Segment {
                        number,
                        first,
                        end: len,
                    });
                }
                // It was begun and nothing is in it.
                Ok(None) if newest => {}
                Ok(_) => {
                    tracing::error!(
                        owner = self.owner.0,
                        number,
                        "a segment of a stream is damaged or missing before it"
                    );
                    state.is_damaged = true;
                }
                Err(error) => {
                    tracing::error!(owner = self.owner.0, number, %error, "a segment of a stream cannot be read");
                    state.is_damaged = true;
                }
            }
        }
        let Some(newest) = state.segments.back().map(Segment::copy) else {
            return;
        };
        match self.read_end(&newest, &mut writing) {
            Ok((last, end)) => {
                state.bytes -= newest.end - end;
                if let Some(segment) = state.segments.back_mut() {
                    segment.end = end;
                }
                state.last = Some(last);
            }
            Err(error) => {
                tracing::error!(owner = self.owner.0, %error, "the newest segment of a stream cannot be read");
                state.is_damaged = true;
            }
        }
    }

    /// The first record of a segment, if there is one, and the bytes of the file.
    fn first_head(&self, number: u32) -> io::Result<Option<(Head, u64)>> {
        let file = self.files.open(&segment_name(self.owner, number))?;
        let seed = self.seed(number);
        let mut window = Window::over(&*file);
        let head = window.bytes(0, FILE_HEAD + HEAD, FILE_HEAD + HEAD)?;
        let head = head.filter(|bytes| bytes[..FILE_HEAD] == file_head(self.owner, number, seed));
        let head = head.and_then(|bytes| Head::decode(&bytes[FILE_HEAD..], seed));
        Ok(head.zip(Some(file.len()?)))
    }

    /// The last record of the newest segment, and where it ends: what is torn off behind it is in the log.
    fn read_end(&self, segment: &Segment, writing: &mut Writing) -> io::Result<(Head, u64)> {
        let seed = self.seed(segment.number);
        let file = self.files.open(&segment_name(self.owner, segment.number))?;
        let name = index_name(self.owner, segment.number);
        let index = match self.files.open(&name) {
            Ok(index) => index,
            Err(_) => self.files.create(&name, 0)?,
        };
        let mut window = Window::over(&*file);
        // The last place of the index that is true.
        let mut indexed = index.len()? / MARK as u64;
        let mut at = FILE_HEAD as u64;
        while indexed > 0 {
            if let Some((head, place)) = self.mark_at(&*index, segment.number, indexed - 1)
                && window
                    .bytes(place, HEAD, HEAD)?
                    .and_then(|bytes| Head::decode(bytes, seed))
                    == Some(head)
            {
                at = place;
                indexed -= 1;
                break;
            }
            indexed -= 1;
        }
        let (mut last, mut since, mut marks) = (segment.first, STRIDE, Vec::new());
        let begin = at;
        while let Some(head) = window
            .bytes(at, HEAD, CHUNK)?
            .and_then(|bytes| Head::decode(bytes, seed))
        {
            let body = window.bytes(at + HEAD as u64, head.len as usize, CHUNK)?;
            let is_whole = body.is_some_and(|body| crc32c::crc32c(body) == head.checksum);
            if !is_whole || at > begin && head.number() != last.number() + 1 {
                break;
            }
            if since >= STRIDE {
                marks.extend_from_slice(&mark(&head, at, seed));
                since = 0;
            }
            since += head.record_len();
            last = head;
            at += head.record_len();
        }
        index.write_at(&marks, indexed * MARK as u64)?;
        // What a process wrote that was ended before it synced.
        file.sync()?;
        writing.indexed = indexed + (marks.len() / MARK) as u64;
        writing.since = since;
        writing.files = Some((file, index));
        Ok((last, at))
    }

    /// Keeps what the owner wants to have at a start; a crash leaves this one or the one before.
    ///
    /// # Errors
    /// When the disk cannot.
    pub fn set_point(&self, point: &[u8]) -> io::Result<()> {
        let _writing = self.writing.lock();
        let name = point_name(self.owner);
        let new = format!("{name}.new");
        let file = self.files.create(&new, 0)?;
        let mut bytes = crc32c::crc32c_append(self.seed(0), point).to_le_bytes().to_vec();
        bytes.extend_from_slice(point);
        file.write_at(&bytes, 0)?;
        file.sync()?;
        self.files.rename(&new, &name)?;
        self.files.sync_names()
    }

    /// What was kept last; `None` where there is nothing, or it is damaged: the owner does without it.
    pub fn point(&self) -> Option<Bytes> {
        let file = self.files.open(&point_name(self.owner)).ok()?;
        let mut bytes = vec![0; usize::try_from(file.len().ok()?).ok()?];
        read_whole(&*file, &mut bytes, 0).ok()?;
        let point = Bytes::from(bytes);
        let is_whole = point.len() >= 4 && u32_at(&point, 0) == crc32c::crc32c_append(self.seed(0), &point[4..]);
        is_whole.then(|| point.slice(4..))
    }
}

impl Segment {
    fn copy(&self) -> Self {
        Self { ..*self }
    }
}

/// An entry of an index: the head of a record, and where it is.
fn mark(head: &Head, at: u64, seed: u32) -> [u8; MARK] {
    let mut bytes = [0; MARK];
    bytes[..HEAD].copy_from_slice(&head.encode(seed));
    bytes[HEAD..HEAD + 8].copy_from_slice(&at.to_le_bytes());
    let checksum = crc32c::crc32c_append(seed, &bytes[..HEAD + 8]);
    bytes[HEAD + 8..HEAD + 12].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn file_head(owner: OwnerId, number: u32, seed: u32) -> [u8; FILE_HEAD] {
    let mut bytes = [0; FILE_HEAD];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..16].copy_from_slice(&owner.0.to_le_bytes());
    bytes[16..20].copy_from_slice(&number.to_le_bytes());
    let checksum = crc32c::crc32c_append(seed, &bytes[..20]);
    bytes[20..24].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn read_whole(file: &dyn LogFile, buffer: &mut [u8], at: u64) -> io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at + filled as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => filled += read,
        }
    }
    Ok(())
}

fn segment_name(owner: OwnerId, number: u32) -> String {
    format!("{:016x}-{number:010}.segment", owner.0)
}

fn index_name(owner: OwnerId, number: u32) -> String {
    format!("{:016x}-{number:010}.index", owner.0)
}

fn point_name(owner: OwnerId) -> String {
    format!("{:016x}.point", owner.0)
}

/// Of a segment.
fn parse_name(name: &str) -> Option<(OwnerId, u32)> {
    let (owner, number) = name.strip_suffix(".segment")?.split_once('-')?;
    Some((OwnerId(u64::from_str_radix(owner, 16).ok()?), number.parse().ok()?))
}

/// Of the data directory, once there is a segment in it.
pub(super) const VERSION: u8 = 3;
/// Where the files are, beside the log.
const DIRECTORY: &str = "streams";
const MAGIC: &[u8; 8] = b"warren\0\x01";
/// Bytes before the first record of a segment,
const FILE_HEAD: usize = 24;
/// before the body of each,
const HEAD: usize = 72;
/// and of an entry of an index.
const MARK: usize = HEAD + 16;
/// Bytes of records between two entries of an index.
const STRIDE: u64 = 64 * 1024;
