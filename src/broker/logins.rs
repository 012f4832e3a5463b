//! Who came in: browsers that are signed in at this node, and how often somebody tried to log in.

use parking_lot::Mutex;

use crate::auth::attempts::{Attempts, Counts};
use crate::auth::login_sessions::{LoginSession, LoginSessions};
use crate::types::Timestamp;

/// What this node knows of logins; gone when it stops.
#[derive(Debug, Default)]
pub struct Logins {
    sessions: Mutex<LoginSessions>,
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

    /// Opens a session for the bearer of a token; see [`LoginSessions::open`].
    pub fn open(&self, token: &str, session: LoginSession) {
        self.sessions.lock().open(token, session);
    }

    /// The session of a token, which counts as used.
    pub fn session(&self, token: &str, now: Timestamp) -> Option<LoginSession> {
        self.sessions.lock().find(token, now)
    }

    /// Ends the session of a token.
    pub fn close(&self, token: &str) {
        self.sessions.lock().close(token);
    }

    /// Ends the session of a number; whether there was one.
    pub fn close_numbered(&self, number: u64) -> bool {
        self.sessions.lock().close_numbered(number)
    }

    /// All that are open.
    pub fn sessions(&self, now: Timestamp) -> Vec<LoginSession> {
        self.sessions.lock().all(now)
    }
}
