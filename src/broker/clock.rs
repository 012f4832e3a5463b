//! What time it is.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::types::Timestamp;

/// Wall-clock time that never runs backwards while the process lives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    began: Instant,
    began_at: Timestamp,
}

impl Clock {
    /// It begins to run.
    pub(super) fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            began: Instant::now(),
            began_at: Timestamp(since_epoch.as_millis() as u64),
        }
    }

    /// The time.
    pub(super) fn now(&self) -> Timestamp {
        self.at(Instant::now())
    }

    /// What time that is.
    pub(super) fn at(&self, instant: Instant) -> Timestamp {
        Timestamp(self.began_at.0 + instant.saturating_duration_since(self.began).as_millis() as u64)
    }
}
