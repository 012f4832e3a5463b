//! The file operations the write-ahead log is made of, behind a small trait.
//!
//! The real thing is a directory; tests and simulations put a disk in its place that loses
//! unsynced bytes, tears the last record or fails a sync.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::is_of_disk;

/// The directory that holds the segment files.
pub trait Files: Send + Sync {
    /// Names and sizes in bytes of the files there.
    fn list(&self) -> io::Result<Vec<(String, u64)>>;
    /// Opens an existing file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>>;
    /// Makes a file of this many bytes, its space allocated, all zeros; what was there is gone, and
    /// where it fails there is none.
    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn LogFile>>;
    /// Renames a file; safe only after [`Files::sync_names`].
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file; safe only after [`Files::sync_names`].
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes all creations, renames and removals so far survive a crash.
    fn sync_names(&self) -> io::Result<()>;
    /// Bytes that are free on the disk.
    fn space(&self) -> io::Result<u64>;
    /// Notes beside the log that it is synced up to this position, which need not survive a crash of
    /// the machine itself. So a log that ends before it has lost what others rely on.
    fn note_synced(&self, _position: u64) {}
    /// The highest position that was noted last; 0 for none.
    fn noted(&self) -> io::Result<u64> {
        Ok(0)
    }
    /// Another directory of the same disk, which is made with its first file.
    fn beside(&self, name: &str) -> io::Result<Arc<dyn Files>>;
    /// Called between the steps of a checkpoint, where a simulated disk may stop the world.
    fn between_steps(&self) -> io::Result<()> {
        Ok(())
    }
}

/// One file of the log.
pub trait LogFile: Send + Sync {
    /// Writes all bytes at the offset, growing the file where needed.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Reads up to the buffer's length; 0 at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Makes everything written so far survive a crash.
    fn sync(&self) -> io::Result<()>;
    /// Bytes in the file.
    fn len(&self) -> io::Result<u64>;
    /// Whether it has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// A real directory; that of the log with a note beside it of how far the log is synced.
#[derive(Debug)]
pub struct Directory(PathBuf, Option<Note>);

impl Directory {
    /// The directory at this path, made if it is not there.
    pub fn at(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        Ok(Self(path.to_owned(), Some(Note::at(&path.with_extension("synced"))?)))
    }
}

/// A position in a small file, written without a sync: two places take turns, so that one is whole.
///
/// ```text
/// u32 checksum of the rest │ u32 zero │ u64 turn │ u64 position
/// ```
#[derive(Debug)]
struct Note {
    file: File,
    turn: AtomicU64,
}

impl Note {
    fn at(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let note = Self {
            file,
            turn: AtomicU64::new(0),
        };
        let (turn, _) = note.last()?;
        note.turn.store(turn, Ordering::Relaxed);
        Ok(note)
    }

    /// The last turn and its position.
    fn last(&self) -> io::Result<(u64, u64)> {
        let mut last = (0, 0);
        for place in 0..2 {
            let mut bytes = [0; NOTE];
            if FileExt::read_at(&self.file, &mut bytes, place * NOTE as u64)? < NOTE {
                break;
            }
            let word = |at: usize| bytes[at..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
            if word(0) == u64::from(crc32c::crc32c(&bytes[8..])) {
                last = last.max((word(8), word(16)));
            }
        }
        Ok(last)
    }

    fn write(&self, position: u64) {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) + 1;
        let mut bytes = [0; NOTE];
        bytes[8..16].copy_from_slice(&turn.to_le_bytes());
        bytes[16..].copy_from_slice(&position.to_le_bytes());
        let checksum = u64::from(crc32c::crc32c(&bytes[8..]));
        bytes[..8].copy_from_slice(&checksum.to_le_bytes());
        // An older note says less, and nothing wrong.
        if let Err(error) = self.file.write_all_at(&bytes, turn % 2 * NOTE as u64) {
            tracing::debug!(%error, "how far the log is synced is not noted");
        }
    }
}

/// Bytes of a note.
const NOTE: usize = 24;

impl Files for Directory {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let mut files = Vec::new();
        let entries = match std::fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.1.is_none() => return Ok(files),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if let Ok(name) = entry.file_name().into_string() {
                files.push((name, entry.metadata()?.len()));
            }
        }
        Ok(files)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        let file = OpenOptions::new().read(true).write(true).open(self.0.join(name))?;
        Ok(Arc::new(file))
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn LogFile>> {
        if self.1.is_none() && !self.0.exists() {
            std::fs::create_dir_all(&self.0)?;
            File::open(self.0.parent().unwrap_or(&self.0))?.sync_all()?;
        }
        let path = self.0.join(name);
        match allocate(&path, bytes) {
            Ok(file) => Ok(Arc::new(file)),
            Err(error) => {
                // A part of it would only take space that somebody waits for.
                let _ = std::fs::remove_file(path);
                Err(error)
            }
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.0.join(from), self.0.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.0.join(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }

    fn space(&self) -> io::Result<u64> {
        let disk = rustix::fs::statvfs(&self.0)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    fn note_synced(&self, position: u64) {
        if let Some(note) = &self.1 {
            note.write(position);
        }
    }

    fn noted(&self) -> io::Result<u64> {
        self.1.as_ref().map_or(Ok(0), |note| Ok(note.last()?.1))
    }

    fn beside(&self, name: &str) -> io::Result<Arc<dyn Files>> {
        Ok(Arc::new(Self(self.0.with_file_name(name), None)))
    }
}

fn allocate(path: &Path, bytes: u64) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)?;
    if bytes == 0 {
        return Ok(file);
    }
    let allocate = || rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes);
    match rustix::io::retry_on_intr(allocate) {
        Ok(()) => {}
        // A file system without fallocate: the file is sparse, and syncs cost more.
        Err(rustix::io::Errno::OPNOTSUPP) => file.set_len(bytes)?,
        Err(error) => return Err(error.into()),
    }
    file.sync_all()?;
    Ok(file)
}

impl LogFile for File {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

/// Reads a file in chunks, for those who go through it from front to back.
pub(super) struct Window<'a> {
    file: &'a dyn LogFile,
    buffer: Vec<u8>,
    start: u64,
    /// The blocks that the disk would not read, of which zeros are shown; none where that is an error.
    unreadable: Option<BTreeSet<u64>>,
}

impl<'a> Window<'a> {
    pub fn over(file: &'a dyn LogFile) -> Self {
        Self {
            file,
            buffer: Vec::new(),
            start: 0,
            unreadable: None,
        }
    }

    /// The same, but what the disk would not read is shown as zeros where that is asked for.
    pub fn past_unreadable(file: &'a dyn LogFile, goes_past: bool) -> Self {
        Self {
            unreadable: goes_past.then(BTreeSet::new),
            ..Self::over(file)
        }
    }

    /// Whether there was anything that the disk would not read.
    pub fn has_unreadable(&self) -> bool {
        self.unreadable.as_ref().is_some_and(|blocks| !blocks.is_empty())
    }

    /// Where the next bytes begin that can be read, if some of these cannot.
    pub fn end_of_unreadable(&self, at: u64, len: u64) -> Option<u64> {
        let unreadable = self.unreadable.as_ref()?;
        let mut block = *unreadable.range(at / BLOCK..(at + len).div_ceil(BLOCK)).next_back()?;
        while unreadable.contains(&(block + 1)) {
            block += 1;
        }
        Some((block + 1) * BLOCK)
    }

    /// The bytes at this place; `None` when the file ends before them. When they have to be
    /// fetched, `ahead` bytes are fetched with them if they are there.
    pub fn bytes(&mut self, at: u64, len: usize, ahead: usize) -> io::Result<Option<&[u8]>> {
        let end = self.start + self.buffer.len() as u64;
        if at < self.start || at + len as u64 > end {
            self.fill(at, len.max(ahead))?;
        }
        let from = (at - self.start) as usize;
        Ok(self.buffer.get(from..from + len))
    }

    /// How many zeros begin at this place, in steps of 8 and as far as is fetched.
    pub fn zeros(&self, at: u64) -> u64 {
        let from = at.checked_sub(self.start).and_then(|from| usize::try_from(from).ok());
        let fetched = from.and_then(|from| self.buffer.get(from..)).unwrap_or_default();
        let zeros = fetched.chunks_exact(8).take_while(|word| **word == [0; 8]);
        8 * zeros.count() as u64
    }

    fn fill(&mut self, at: u64, len: usize) -> io::Result<()> {
        // A damaged length must not make us ask for more memory than the file has bytes.
        let there = self.file.len()?.saturating_sub(at);
        let len = len.min(usize::try_from(there).unwrap_or(usize::MAX));
        self.start = at;
        self.buffer.resize(len, 0);
        let mut filled = 0;
        while filled < len {
            match self.file.read_at(&mut self.buffer[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => match &mut self.unreadable {
                    Some(unreadable) if is_of_disk(&error) => {
                        let at = at + filled as u64;
                        let in_block = (BLOCK - at % BLOCK).min((len - filled) as u64) as usize;
                        let block = &mut self.buffer[filled..filled + in_block];
                        // What was asked for may have had another block in it that is the bad one.
                        if !read_whole(self.file, block, at)? {
                            block.fill(0);
                            if unreadable.insert(at / BLOCK) {
                                tracing::error!(offset = at, %error, "the disk cannot read a part of the log");
                            }
                        }
                        filled += in_block;
                    }
                    _ => {
                        self.buffer.clear();
                        return Err(error);
                    }
                },
            }
        }
        self.buffer.truncate(filled);
        Ok(())
    }
}

/// Reads a buffer full; false when the disk cannot.
fn read_whole(file: &dyn LogFile, buffer: &mut [u8], at: u64) -> io::Result<bool> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at + filled as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if is_of_disk(&error) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// What a disk reads or cannot read as a whole.
const BLOCK: u64 = 4096;

/// Bytes fetched at once by those who read a whole segment.
pub(super) const CHUNK: usize = 256 * 1024;
