//! What a pattern that goes back has said of subjects that took it many steps: the same names are asked about
//! again and again, by each list of queues and for each policy that changes.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::refusal::TooManySteps;

/// Subjects that are remembered of one pattern; with more of them it begins anew.
const MOST: usize = 64 * 1024;

/// Whether the pattern is found in a subject, if it can tell.
type Said = Result<bool, TooManySteps>;

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Memo {
    has_any: AtomicBool,
    said: Mutex<FxHashMap<Box<[u8]>, Said>>,
}

impl Memo {
    /// What was said of the subject, if that is remembered.
    pub fn of(&self, subject: &[u8]) -> Option<Said> {
        match self.has_any.load(Ordering::Relaxed) {
            true => self.said.lock().get(subject).copied(),
            false => None,
        }
    }

    /// Remembers what is said of a subject.
    pub fn note(&self, subject: &[u8], said: Said) {
        let mut all = self.said.lock();
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(subject.into(), said);
        self.has_any.store(true, Ordering::Relaxed);
    }
}
