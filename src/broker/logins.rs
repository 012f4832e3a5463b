//! Who came in: browsers that are signed in, and how often somebody tried to log in.

use parking_lot::Mutex;

use crate::auth::attempts::{Attempts, Counts};
use crate::auth::login_sessions::LoginSessions;

/// What this node knows of logins; gone when it stops.
#[derive(Debug, Default)]
pub struct Logins {
    /// As this node knows them; see [`super::cluster::sessions`].
    pub(super) sessions: Mutex<LoginSessions>,
    attempts: Mutex<Attempts>,
}

impl Logins {
    /// Counts somebody who tried.
    pub fn note(&self, protocol: &'static str, succeeded: bool) {
        self.attempts.lock().note(protocol, succeeded);
    }

    /// What was counted, by protocol.
    pub fn attempts(&self) -> Vec<(String, Counts)> {
        let attempts = self.attempts.lock();
        attempts
            .all()
            .map(|(protocol, counts)| (protocol.to_owned(), counts))
            .collect()
    }

    /// Counts from nothing again.
    pub fn reset_attempts(&self) {
        self.attempts.lock().reset();
    }
}
