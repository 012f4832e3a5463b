//! Whether the disk has space for what comes next.
//!
//! Space is asked for before anything depends on it: the next segment of the log is allocated while
//! the one before it is written, and a checkpoint looks before it begins. So a full disk is an alarm
//! and no fault: whoever lacks space waits and tries again, and the owners are told.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::error::StoreError;

/// What space is needed for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Need {
    /// The next segment of the log.
    Segment,
    /// What moves to rest.
    Rest,
    /// What an owner puts into its archive.
    Archive,
}

/// Who lacks space.
#[derive(Default)]
pub(super) struct Space {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Clone, Copy, Default)]
struct State {
    segment: bool,
    rest: bool,
    archive: bool,
    stopped: bool,
}

impl State {
    fn is_lacking(self) -> bool {
        self.segment || self.rest || self.archive
    }
}

impl Space {
    /// Whether anybody lacks space.
    pub fn is_lacking(&self) -> bool {
        self.state.lock().is_lacking()
    }

    /// Notes that space is lacking, with the error that says so, or is not. Returns whether that is
    /// news to whoever asks [`Space::is_lacking`].
    pub fn note(&self, need: Need, lacking: Option<&StoreError>) -> bool {
        let mut state = self.state.lock();
        let before = *state;
        match need {
            Need::Segment => state.segment = lacking.is_some(),
            Need::Rest => state.rest = lacking.is_some(),
            Need::Archive => state.archive = lacking.is_some(),
        }
        let (was, is) = (before.is_lacking(), state.is_lacking());
        if was == is {
            return false;
        }
        match lacking {
            Some(error) => tracing::warn!(%error, "the disk is full: the store waits for space"),
            None => tracing::info!("the disk has space again"),
        }
        true
    }

    /// Whether nobody tries again.
    pub fn is_stopped(&self) -> bool {
        self.state.lock().stopped
    }

    /// Waits before the next attempt.
    pub fn pause(&self) {
        let mut state = self.state.lock();
        if !state.stopped {
            self.wake.wait_for(&mut state, RETRY_PAUSE);
        }
    }

    /// Ends the pauses: nobody tries again.
    pub fn stop(&self) {
        self.state.lock().stopped = true;
        self.wake.notify_all();
    }
}

/// Between two attempts.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
