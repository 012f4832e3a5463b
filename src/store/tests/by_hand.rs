//! A store whose threads are played by whoever holds it: it writes and tells when it is called.

use std::path::Path;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::sim::SimDisk;
use crate::store::error::StoreError;
use crate::store::wal::Writer;
use crate::store::{OwnerId, Owners, Recovered, Store, StoreOptions, VERSION, format_line};

pub struct ByHand {
    pub store: Store,
    writer: Writer,
    told: FxHashMap<OwnerId, u64>,
}

impl ByHand {
    /// Opens a store on that disk. The directory is only there for what is not of the log, which is
    /// nothing as long as the log fits its window.
    pub fn open(dir: &Path, disk: &SimDisk, options: StoreOptions) -> Result<(Self, Recovered), StoreError> {
        let format = dir.join("store.format");
        if !format.exists() {
            // The same for all, so that the same bytes are written each time.
            std::fs::write(&format, format_line(VERSION, 77)).expect("a directory");
        }
        let (store, recovered) = Store::open_on(dir, options, Arc::new(disk.clone()))?;
        let by_hand = Self {
            store,
            writer: Writer::default(),
            told: FxHashMap::default(),
        };
        Ok((by_hand, recovered))
    }

    /// Writes and syncs what waits. Returns whether there was anything; after an error the store
    /// takes no more, as with its own threads.
    pub fn write(&mut self) -> bool {
        let wal = &self.store.0.wal;
        match wal.write(&mut self.writer) {
            Ok(wrote) => wrote,
            Err(error) => {
                wal.fail(error);
                true
            }
        }
    }

    /// Retires what nothing lives in, as a checkpoint does.
    pub fn checkpoint(&mut self) {
        let inner = Arc::clone(&self.store.0);
        if let Ok(Some(plan)) = inner.plan(false) {
            self.write();
            if let Err(error) = inner.carry_out(&plan) {
                inner.wal.fail(error);
            }
        }
    }

    /// Tells the owners what survives.
    pub fn tell(&mut self, owners: &dyn Owners) -> bool {
        self.store.0.wal.notices.tell(owners, &mut self.told)
    }

    /// The process is gone.
    pub fn kill(&mut self, owners: &dyn Owners) {
        self.store.0.wal.fail(StoreError::Stopped);
        self.tell(owners);
        self.store.0.release();
    }
}
