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

mod format;
mod index;
mod opening;
mod point;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use self::format::{
    FILE_HEAD, HEAD, Head, MARK, STRIDE, file_head, index_name, mark, number, parse_name, point_name, segment_name,
};
use super::error::StoreError;
use super::files::{CHUNK, Files, LogFile, Window};
use super::{Lsn, Meta, OwnerId};
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

    /// What is missing is taken for lost, and what comes after it is removed.
    ///
    /// # Errors
    /// When the disk cannot.
    pub fn accept_damage(&self) -> io::Result<()> {
        let writing = self.writing.lock();
        let numbers: Vec<u32> = self
            .state
            .lock()
            .segments
            .iter()
            .map(|segment| segment.number)
            .collect();
        for (name, _) in self.files.list()? {
            let is_other = |(owner, number)| owner == self.owner && !numbers.contains(&number);
            if parse_name(&name.replace(".index", ".segment")).is_some_and(is_other) {
                self.files.remove(&name)?;
            }
        }
        self.files.sync_names()?;
        self.state.lock().is_damaged = false;
        drop(writing);
        Ok(())
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
        // Where the buffer goes.
        let mut written = end;
        let (mut since, mut heads) = (writing.since, Vec::new());
        for entry in entries {
            let head = Head {
                seq: entry.seq,
                meta: entry.meta,
                span: entry.span,
                len: entry.body.len() as u32,
                checksum: crc32c::crc32c(&entry.body),
            };
            let at = written + buffer.len() as u64;
            if at == FILE_HEAD as u64 || since >= STRIDE {
                marks.extend_from_slice(&mark(&head, at, seed));
                since = 0;
            }
            since += head.record_len();
            buffer.extend_from_slice(&head.encode(seed));
            // What is large is not worth a copy.
            let is_large = entry.body.len() >= COPIED_BYTES;
            if !is_large {
                buffer.extend_from_slice(&entry.body);
            }
            if is_large || buffer.len() >= BUFFER_BYTES {
                file.write_at(&buffer, written)?;
                written += buffer.len() as u64;
                buffer.clear();
            }
            if is_large {
                file.write_at(&entry.body, written)?;
                written += entry.body.len() as u64;
            }
            heads.push(head);
        }
        file.write_at(&buffer, written)?;
        written += buffer.len() as u64;
        file.sync()?;
        index.write_at(&marks, writing.indexed * MARK as u64)?;
        writing.indexed += (marks.len() / MARK) as u64;
        writing.since = since;
        let mut state = self.state.lock();
        state.bytes += written - end;
        let end = written;
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

    /// The meta of the entry of that number, if it is here; its body is not read.
    ///
    /// # Errors
    /// When the disk cannot read.
    pub fn meta(&self, number: u64) -> io::Result<Option<Meta>> {
        let Some((segment, _)) = self.segment_of(number) else {
            return Ok(None);
        };
        let file = self.files.open(&segment_name(self.owner, segment.number))?;
        let seed = self.seed(segment.number);
        let mut at = self.position(&segment, &*file, |head| head.number() <= number)?;
        let mut window = Window::over(&*file);
        while let Some(head) = window
            .bytes(at, HEAD, CHUNK)?
            .and_then(|bytes| Head::decode(bytes, seed))
        {
            if head.number() >= number {
                return Ok((head.number() == number).then_some(head.meta));
            }
            at += head.record_len();
        }
        Ok(None)
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
}

impl Segment {
    fn copy(&self) -> Self {
        Self { ..*self }
    }
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

/// Of the data directory, once there is a segment in it.
pub(super) const VERSION: u8 = 3;
/// Bytes of a body that is written by itself,
const COPIED_BYTES: usize = 64 * 1024;
/// and bytes of others that are written together.
const BUFFER_BYTES: usize = 256 * 1024;
/// Where the files are, beside the log.
const DIRECTORY: &str = "streams";
