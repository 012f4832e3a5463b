//! A disk that loses what was not synced, tears what was being written and fails when told to.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::store::{Files, LogFile};

type Between = Box<dyn FnMut() + Send>;

/// The disk; clones are the same disk.
#[derive(Clone, Default)]
pub struct SimDisk {
    disk: Arc<Mutex<Disk>>,
    between: Arc<Mutex<Option<Between>>>,
    /// Of the names of its files, where it is not the log's directory.
    prefix: String,
}

#[derive(Default)]
struct Disk {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// Changes of names since the last sync of them.
    unsynced_names: Vec<BTreeMap<String, usize>>,
    /// Operations until everything fails.
    fails_after: Option<u64>,
    fail_syncs: bool,
    /// Syncs are said to be done, and are not.
    lie: bool,
    /// The same of files that are not in the log's directory.
    lie_beside: bool,
    /// What lies where a block has these bytes cannot be read.
    unreadable: Option<Vec<u8>>,
    /// No block is free: files cannot be made and cannot grow.
    full: bool,
    /// Counts crashes: handles from before one are dead.
    life: u64,
}

#[derive(Clone, Default)]
struct Inode {
    durable: Vec<u8>,
    current: Vec<u8>,
    unsynced: Vec<(u64, Vec<u8>)>,
}

struct SimFile {
    disk: Arc<Mutex<Disk>>,
    inode: usize,
    is_beside: bool,
    life: u64,
}

impl SimDisk {
    /// After this many operations every one fails, until the crash.
    pub fn fail_after(&self, operations: u64) {
        self.disk.lock().fails_after = Some(operations);
    }

    /// From now on no block that has these bytes can be read, or any can again.
    pub fn cannot_read(&self, bytes: Option<&[u8]>) {
        self.disk.lock().unreadable = bytes.map(<[u8]>::to_vec);
    }

    /// From now on every sync of a file fails, until the crash.
    pub fn fail_syncs(&self) {
        self.disk.lock().fail_syncs = true;
    }

    /// From now on a sync does nothing, and nobody is told.
    pub fn lie(&self) {
        self.disk.lock().lie = true;
    }

    /// The same of files that are not in the log's directory.
    pub fn lie_beside(&self) {
        self.disk.lock().lie_beside = true;
    }

    /// Uses up all free space, or gives it back.
    pub fn fill(&self, full: bool) {
        self.disk.lock().full = full;
    }

    /// What to call between the steps of a checkpoint.
    pub fn between_steps(&self, call: Option<Between>) {
        *self.between.lock() = call;
    }

    /// The process ends and the machine goes on. What a sync has failed for can still be read, but
    /// the system takes it for clean: no later sync writes it.
    pub fn end_process(&self) {
        let mut disk = self.disk.lock();
        disk.life += 1;
        if std::mem::take(&mut disk.fail_syncs) {
            disk.inodes.iter_mut().for_each(|inode| inode.unsynced.clear());
        }
    }

    /// The machine stops: what was not synced is partly there and partly not.
    pub fn crash(&self, seed: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        let mut disk = self.disk.lock();
        disk.life += 1;
        disk.fails_after = None;
        disk.fail_syncs = false;
        for inode in &mut disk.inodes {
            let mut bytes = std::mem::take(&mut inode.durable);
            for (offset, written) in std::mem::take(&mut inode.unsynced) {
                match random.random_range(0..4) {
                    0 => {}
                    1 => overlay(&mut bytes, offset, &written),
                    // A part of it, from the front or of any sectors.
                    2 => overlay(&mut bytes, offset, &written[..random.random_range(0..=written.len())]),
                    _ => {
                        for (at, sector) in written.chunks(64).enumerate() {
                            if random.random() {
                                overlay(&mut bytes, offset + at as u64 * 64, sector);
                            }
                        }
                    }
                }
            }
            inode.current = bytes.clone();
            inode.durable = bytes;
        }
        // Changes of names happen in order; some of the last may be missing.
        let kept = random.random_range(0..=disk.unsynced_names.len());
        let kept = disk.unsynced_names.drain(..).take(kept).next_back();
        let names = kept.unwrap_or_else(|| disk.durable_names.clone());
        disk.durable_names.clone_from(&names);
        disk.names = names;
    }

    /// Changes one byte of a file, on the medium.
    pub fn flip(&self, name: &str, offset: usize) {
        let mut disk = self.disk.lock();
        let inode = disk.names[name];
        let inode = &mut disk.inodes[inode];
        inode.current[offset] ^= 0x40;
        if let Some(byte) = inode.durable.get_mut(offset) {
            *byte ^= 0x40;
        }
    }

    /// Takes a file away.
    pub fn lose(&self, name: &str) {
        let mut disk = self.disk.lock();
        disk.names.remove(name).unwrap();
        disk.durable_names = disk.names.clone();
    }

    /// A file's bytes.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        let disk = self.disk.lock();
        disk.inodes[disk.names[name]].current.clone()
    }

    /// Waits until there are so many files.
    pub fn wait_for_names(&self, count: usize) {
        while self.disk.lock().names.len() < count {
            std::thread::yield_now();
        }
    }

    pub fn names(&self) -> Vec<String> {
        self.disk.lock().names.keys().cloned().collect()
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn file(&self, inode: usize, life: u64) -> Arc<dyn LogFile> {
        Arc::new(SimFile {
            disk: Arc::clone(&self.disk),
            inode,
            is_beside: !self.prefix.is_empty(),
            life,
        })
    }
}

impl Disk {
    fn step(&mut self) -> io::Result<()> {
        match &mut self.fails_after {
            Some(0) => Err(io::Error::other("simulated failure")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn names_changed(&mut self) {
        let names = self.names.clone();
        self.unsynced_names.push(names);
    }
}

impl Files for SimDisk {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let disk = self.disk.lock();
        let mut sizes = Vec::new();
        for (name, inode) in &disk.names {
            if let Some(name) = name.strip_prefix(&self.prefix).filter(|name| !name.contains('/')) {
                sizes.push((name.to_owned(), disk.inodes[*inode].current.len() as u64));
            }
        }
        Ok(sizes)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        let mut disk = self.disk.lock();
        disk.step()?;
        let inode = *disk.names.get(&self.full(name)).ok_or(io::ErrorKind::NotFound)?;
        let life = disk.life;
        drop(disk);
        Ok(self.file(inode, life))
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn LogFile>> {
        let mut disk = self.disk.lock();
        disk.step()?;
        if disk.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let zeros = vec![0; bytes as usize];
        disk.inodes.push(Inode {
            durable: zeros.clone(),
            current: zeros,
            unsynced: Vec::new(),
        });
        let inode = disk.inodes.len() - 1;
        disk.names.insert(self.full(name), inode);
        disk.names_changed();
        let life = disk.life;
        drop(disk);
        Ok(self.file(inode, life))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.step()?;
        let inode = disk.names.remove(&self.full(from)).ok_or(io::ErrorKind::NotFound)?;
        disk.names.insert(self.full(to), inode);
        disk.names_changed();
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.step()?;
        disk.names.remove(&self.full(name)).ok_or(io::ErrorKind::NotFound)?;
        disk.names_changed();
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.step()?;
        disk.durable_names = disk.names.clone();
        disk.unsynced_names.clear();
        Ok(())
    }

    fn space(&self) -> io::Result<u64> {
        Ok(if self.disk.lock().full { 0 } else { u64::MAX })
    }

    fn beside(&self, name: &str) -> io::Result<Arc<dyn Files>> {
        Ok(Arc::new(Self {
            prefix: format!("{name}/"),
            ..self.clone()
        }))
    }

    fn between_steps(&self) -> io::Result<()> {
        if let Some(call) = &mut *self.between.lock() {
            call();
        }
        self.disk.lock().step()
    }
}

impl LogFile for SimFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut disk = self.disk.lock();
        assert_eq!(disk.life, self.life, "a write after the crash");
        let stepped = disk.step();
        let full = disk.full;
        let inode = &mut disk.inodes[self.inode];
        if full && offset as usize + bytes.len() > inode.current.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        // A write that fails may have happened all the same.
        overlay(&mut inode.current, offset, bytes);
        inode.unsynced.push((offset, bytes.to_vec()));
        stepped
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let disk = self.disk.lock();
        let bytes = &disk.inodes[self.inode].current;
        let from = (offset as usize).min(bytes.len());
        let len = buffer.len().min(bytes.len() - from);
        if let Some(bad) = &disk.unreadable {
            let blocks = (from / BLOCK * BLOCK)..(from + len).next_multiple_of(BLOCK).min(bytes.len());
            let found = bytes[blocks].windows(bad.len()).any(|bytes| bytes == &bad[..]);
            if found {
                return Err(rustix::io::Errno::IO.into());
            }
        }
        buffer[..len].copy_from_slice(&bytes[from..from + len]);
        Ok(len)
    }

    fn sync(&self) -> io::Result<()> {
        let mut disk = self.disk.lock();
        assert_eq!(disk.life, self.life, "a sync after the crash");
        disk.step()?;
        if disk.fail_syncs {
            return Err(io::Error::other("simulated failure of a sync"));
        }
        if disk.lie || disk.lie_beside && self.is_beside {
            return Ok(());
        }
        let inode = &mut disk.inodes[self.inode];
        for (offset, written) in std::mem::take(&mut inode.unsynced) {
            overlay(&mut inode.durable, offset, &written);
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock().inodes[self.inode].current.len() as u64)
    }
}

/// What is read or cannot be read as a whole.
const BLOCK: usize = 4096;

fn overlay(bytes: &mut Vec<u8>, offset: u64, written: &[u8]) {
    let from = offset as usize;
    if bytes.len() < from + written.len() {
        bytes.resize(from + written.len(), 0);
    }
    bytes[from..from + written.len()].copy_from_slice(written);
}
