//! A machine that may panic: then half of a change may have been made, so nobody changes it again.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{RwLock, RwLockReadGuard};

/// See the head of this file.
pub struct Guarded<M> {
    machine: RwLock<M>,
    has_panicked: AtomicBool,
}

impl<M> Guarded<M> {
    pub fn new(machine: M) -> Self {
        Self {
            machine: RwLock::new(machine),
            has_panicked: AtomicBool::new(false),
        }
    }

    pub fn read(&self) -> RwLockReadGuard<'_, M> {
        self.machine.read()
    }

    /// Whether it has panicked.
    pub fn has_panicked(&self) -> bool {
        self.has_panicked.load(Ordering::Acquire)
    }

    /// Changes the machine.
    ///
    /// # Errors
    /// When it panics, or has before. The group stops with it.
    pub fn change<R>(&self, change: impl FnOnce(&mut M) -> R) -> io::Result<R> {
        let mut machine = self.machine.write();
        self.caught(|| change(&mut machine))
    }

    /// Looks at the machine, which has to work for it.
    ///
    /// # Errors
    /// As of [`Guarded::change`].
    pub fn ask<R>(&self, ask: impl FnOnce(&M) -> R) -> io::Result<R> {
        let machine = self.machine.read();
        self.caught(|| ask(&machine))
    }

    fn caught<R>(&self, run: impl FnOnce() -> R) -> io::Result<R> {
        let done = match self.has_panicked() {
            false => catch_unwind(AssertUnwindSafe(run)).ok(),
            true => None,
        };
        done.ok_or_else(|| {
            self.has_panicked.store(true, Ordering::Release);
            io::Error::other("the group's machine has panicked")
        })
    }
}
