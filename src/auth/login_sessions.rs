//! Browsers that are signed in: what the cookie of each stands for.
//!
//! A cookie carries a token drawn by chance and nothing else; only its digest is kept here. A session
//! ends after its time, when its user signs out, and when the user's password or name is no more: the
//! hash that it was opened with is compared each time. There are never more than [`MOST`], and
//! [`MOST_OF_A_USER`]; the oldest go. They are known to the node that opened them, until it stops.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::PasswordHash;
use super::rights::Granted;
use crate::types::{Timestamp, UserName};

/// Sessions of a node.
const MOST: usize = 10_000;
/// Sessions of one user on a node.
const MOST_OF_A_USER: usize = 100;

/// All that are open on a node.
#[derive(Debug, Default)]
pub struct LoginSessions {
    by_digest: HashMap<[u8; 32], LoginSession>,
    opened: u64,
}

/// One browser that is signed in.
#[derive(Clone, Debug)]
pub struct LoginSession {
    /// Counts up; says nothing of the token.
    pub number: u64,
    pub user: UserName,
    /// As it was when the user signed in.
    pub password: PasswordHash,
    /// What a backend other than the catalogue said then.
    pub granted: Option<Arc<Granted>>,
    pub from: IpAddr,
    pub since: Timestamp,
    pub last_used: Timestamp,
    pub expires_at: Timestamp,
}

impl LoginSessions {
    /// Opens a session for the bearer of a token that was drawn by chance. Its number is given here.
    pub fn open(&mut self, token: &str, session: LoginSession) {
        self.by_digest.retain(|_, other| other.expires_at > session.since);
        let user = session.user.clone();
        self.keep_below(MOST_OF_A_USER, |other| other.user == user);
        self.keep_below(MOST, |_| true);
        self.opened += 1;
        let number = self.opened;
        self.by_digest.insert(digest(token), LoginSession { number, ..session });
    }

    /// The session of a token, which counts as used.
    pub fn find(&mut self, token: &str, now: Timestamp) -> Option<LoginSession> {
        let key = digest(token);
        let session = self.by_digest.get_mut(&key)?;
        if session.expires_at <= now {
            self.by_digest.remove(&key);
            return None;
        }
        session.last_used = now;
        Some(session.clone())
    }

    /// Ends the session of a token.
    pub fn close(&mut self, token: &str) {
        self.by_digest.remove(&digest(token));
    }

    /// Ends the session of a number, if that is one.
    pub fn close_numbered(&mut self, number: u64) -> bool {
        let before = self.by_digest.len();
        self.by_digest.retain(|_, session| session.number != number);
        self.by_digest.len() < before
    }

    /// All that are open, by number.
    pub fn all(&self, now: Timestamp) -> Vec<LoginSession> {
        let open = self.by_digest.values().filter(|session| session.expires_at > now);
        let mut open: Vec<_> = open.cloned().collect();
        open.sort_by_key(|session| session.number);
        open
    }

    /// Makes room for one more of a kind: the oldest of too many go.
    fn keep_below(&mut self, most: usize, is_of_kind: impl Fn(&LoginSession) -> bool) {
        let mut numbers: Vec<_> = self.by_digest.values().filter(|one| is_of_kind(one)).collect();
        if numbers.len() < most {
            return;
        }
        numbers.sort_by_key(|session| session.number);
        let last_to_go = numbers[numbers.len() - most].number;
        self.by_digest
            .retain(|_, one| !(is_of_kind(one) && one.number <= last_to_go));
    }
}

/// What is kept of a token: whoever reads memory cannot use it.
fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn session(user: &str, since: u64) -> LoginSession {
        LoginSession {
            number: 0,
            user: user.into(),
            password: PasswordHash::default(),
            granted: None,
            from: Ipv4Addr::LOCALHOST.into(),
            since: Timestamp(since),
            last_used: Timestamp(since),
            expires_at: Timestamp(since + 1000),
        }
    }

    #[test]
    fn a_token_finds_its_session_until_it_ends() {
        let mut sessions = LoginSessions::default();
        sessions.open("a", session("ann", 0));
        let found = sessions.find("a", Timestamp(999)).expect("it is open");
        assert_eq!(
            (found.user.as_str(), found.number, found.last_used),
            ("ann", 1, Timestamp(999))
        );
        assert!(sessions.find("b", Timestamp(1)).is_none());
        assert!(sessions.find("a", Timestamp(1000)).is_none());
        assert!(sessions.find("a", Timestamp(1)).is_none(), "it does not come back");
    }

    #[test]
    fn whoever_signs_out_is_out() {
        let mut sessions = LoginSessions::default();
        for token in ["a", "b", "c"] {
            sessions.open(token, session("ann", 0));
        }
        sessions.close("a");
        assert!(sessions.close_numbered(2));
        assert!(!sessions.close_numbered(2));
        let left: Vec<_> = sessions.all(Timestamp(0)).iter().map(|one| one.number).collect();
        assert_eq!(left, [3]);
    }

    #[test]
    fn the_oldest_of_too_many_go() {
        let mut sessions = LoginSessions::default();
        sessions.open("bob", session("bob", 0));
        for token in 0..=MOST_OF_A_USER {
            sessions.open(&token.to_string(), session("ann", 0));
        }
        assert!(sessions.find("0", Timestamp(1)).is_none());
        assert!(sessions.find("1", Timestamp(1)).is_some());
        assert!(sessions.find("bob", Timestamp(1)).is_some());
        for user in 0..MOST {
            sessions.open(&format!("of {user}"), session(&user.to_string(), 0));
        }
        assert_eq!(sessions.all(Timestamp(1)).len(), MOST);
        assert!(sessions.find("bob", Timestamp(1)).is_none());
    }

    #[test]
    fn sessions_that_have_ended_make_room() {
        let mut sessions = LoginSessions::default();
        sessions.open("a", session("ann", 0));
        sessions.open("b", session("ann", 5000));
        assert_eq!(sessions.by_digest.len(), 1);
    }
}
