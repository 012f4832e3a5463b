//! The segment files of the log: the next one ready in time, old ones used again.
//!
//! ```text
//! 0000000007.log    in use: named by its number; numbers only grow
//! 0000000003.spare  was segment 3, holds nothing that matters, will be renamed
//! ```
//! Overwriting blocks that a file already has needs no change of the file system's own records,
//! which makes a sync several times cheaper: therefore files are used again. The name of a
//! segment is durable before its first byte is written.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::Lsn;
use super::files::{Files, LogFile};
use super::frame::Seal;

/// The files of the log.
pub(super) struct Segments {
    files: Arc<dyn Files>,
    store_id: u64,
    segment_bytes: u64,
    table: Mutex<Table>,
    /// One thread at a time makes a file; readers do not wait for it.
    making: Mutex<()>,
    ready_taken: Condvar,
}

struct Table {
    open: BTreeMap<u32, Arc<dyn LogFile>>,
    ready: Option<(u32, Arc<dyn LogFile>)>,
    spares: Vec<u32>,
    /// Number of the segment to make ready.
    next: u32,
    stopped: bool,
}

impl Segments {
    /// Takes over the files that recovery found: segments in use, spare files, and the number
    /// to go on with.
    pub fn new(
        files: Arc<dyn Files>,
        store_id: u64,
        segment_bytes: u64,
        open: BTreeMap<u32, Arc<dyn LogFile>>,
        spares: Vec<u32>,
        next: u32,
    ) -> Self {
        Self {
            files,
            store_id,
            segment_bytes,
            table: Mutex::new(Table {
                open,
                ready: None,
                spares,
                next,
                stopped: false,
            }),
            making: Mutex::new(()),
            ready_taken: Condvar::new(),
        }
    }

    /// Notes beside the log how far it is synced.
    pub fn note_synced(&self, position: Lsn) {
        self.files.note_synced(position.0);
    }

    /// Where the checksums of a segment start.
    pub fn seal(&self, segment: u32) -> Seal {
        Seal::of(self.store_id, segment)
    }

    /// The file of a segment in use; `None` once it was retired.
    pub fn get(&self, segment: u32) -> Option<Arc<dyn LogFile>> {
        self.table.lock().open.get(&segment).cloned()
    }

    /// Numbers in use, and their bytes on disk.
    pub fn in_use(&self) -> (usize, u64) {
        let count = self.table.lock().open.len();
        (count, count as u64 * self.segment_bytes)
    }

    /// The file for this segment, for the writer to begin with.
    pub fn begin(&self, segment: u32) -> io::Result<Arc<dyn LogFile>> {
        loop {
            {
                let mut table = self.table.lock();
                debug_assert_eq!(table.next, segment, "segments are begun in order");
                if let Some((number, file)) = table.ready.take() {
                    debug_assert_eq!(number, segment);
                    table.open.insert(segment, Arc::clone(&file));
                    table.next = segment + 1;
                    self.ready_taken.notify_all();
                    return Ok(file);
                }
            }
            self.make_ready()?;
        }
    }

    /// Makes the file for the next segment unless it is there.
    pub fn make_ready(&self) -> io::Result<()> {
        let _making = self.making.lock();
        let (number, spare) = {
            let mut table = self.table.lock();
            if table.ready.is_some() {
                return Ok(());
            }
            (table.next, table.spares.pop())
        };
        let name = log_name(number);
        let file = match spare {
            Some(spare) => {
                if let Err(error) = self.files.rename(&spare_name(spare), &name) {
                    self.table.lock().spares.push(spare);
                    return Err(error);
                }
                self.files.open(&name)?
            }
            None => self.files.create(&name, self.segment_bytes)?,
        };
        self.files.sync_names()?;
        self.table.lock().ready = Some((number, file));
        Ok(())
    }

    /// Waits until a file has to be made ready; `false` when stopped.
    pub fn wait_until_wanted(&self) -> bool {
        let mut table = self.table.lock();
        while table.ready.is_some() && !table.stopped {
            self.ready_taken.wait(&mut table);
        }
        !table.stopped
    }

    /// Ends [`Segments::wait_until_wanted`].
    pub fn stop(&self) {
        self.table.lock().stopped = true;
        self.ready_taken.notify_all();
    }

    /// Nothing in this segment matters any more; when it fails nothing has happened. To be made
    /// durable by [`Segments::sync_names`] before the next, so that the log on disk never lacks a
    /// segment between two that are there.
    pub fn retire(&self, segment: u32) -> io::Result<()> {
        let Some(file) = self.get(segment) else {
            return Ok(());
        };
        let usable = file.len()? == self.segment_bytes;
        let mut table = self.table.lock();
        if usable && table.spares.len() < MOST_SPARES {
            self.files.rename(&log_name(segment), &spare_name(segment))?;
            table.spares.push(segment);
        } else {
            self.files.remove(&log_name(segment))?;
        }
        table.open.remove(&segment);
        Ok(())
    }

    /// Makes survive a crash which segments there are.
    pub fn sync_names(&self) -> io::Result<()> {
        self.files.sync_names()
    }
}

/// The name of a segment in use.
pub(super) fn log_name(segment: u32) -> String {
    format!("{segment:010}.log")
}

/// The name of a file that waits to become a segment.
pub(super) fn spare_name(segment: u32) -> String {
    format!("{segment:010}.spare")
}

/// What a file in the log's directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileIs {
    Log(u32),
    Spare(u32),
}

/// Reads a file's name; `None` for a stranger's.
pub(super) fn parse_name(name: &str) -> Option<FileIs> {
    let (number, kind) = name.split_once('.')?;
    let number = number.parse().ok().filter(|_| number.len() == 10)?;
    match kind {
        "log" => Some(FileIs::Log(number)),
        "spare" => Some(FileIs::Spare(number)),
        _ => None,
    }
}

/// Spare files kept; more are removed, so that a backlog's disk space comes back.
pub(super) const MOST_SPARES: usize = 4;
