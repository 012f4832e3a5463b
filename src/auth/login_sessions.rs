//! Browsers that are signed in: what the cookie of each stands for.
//!
//! A cookie carries a token drawn by chance and nothing else; only its digest is kept here. A session
//! ends after its time, when its user signs out, and when the user's password or name is no more: the
//! hash that it was opened with is compared each time. There are never more than [`MOST`], and
//! [`MOST_OF_A_USER`]; the oldest go. All nodes of a cluster know all of them: what has ended is remembered
//! for as long as it would have gone on, lest it comes back from a node that has not heard of its end.

use std::collections::HashMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::PasswordHash;
use super::rights::Grant;
use crate::types::sorting::sort_by_key;
use crate::types::{NodeId, Timestamp, UserName, base64};

/// Sessions that are known.
const MOST: usize = 10_000;
/// Sessions of one user.
const MOST_OF_A_USER: usize = 100;

/// What is kept of a token: whoever reads memory cannot use it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct TokenDigest(#[serde(with = "base64::in_json")] [u8; 32]);

/// All that are open, and those that have ended before their time.
#[derive(Debug, Default)]
pub struct LoginSessions {
    open: HashMap<TokenDigest, LoginSession>,
    /// Until when they would have gone on.
    ended: HashMap<TokenDigest, Timestamp>,
}

/// One browser that is signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginSession {
    pub user: UserName,
    /// As it was when the user signed in.
    pub password: PasswordHash,
    /// What a backend other than the catalogue said then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted: Option<Box<Grant>>,
    pub from: IpAddr,
    /// The node that was asked for it.
    pub node: NodeId,
    pub since: Timestamp,
    /// On the node that tells it.
    pub last_used: Timestamp,
    pub expires_at: Timestamp,
}

/// What is known of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Known {
    Open(LoginSession),
    /// It was, and has ended before its time.
    Ended,
    /// Another node may know more.
    Nothing,
}

impl TokenDigest {
    /// Of a token.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// A number by which administrators call the session; it says too little of the token to find it, and fits
    /// a number of JavaScript.
    pub fn number(&self) -> u64 {
        let [a, b, c, d, e, f, ..] = self.0;
        u64::from_be_bytes([0, 0, a, b, c, d, e, f])
    }
}

impl LoginSessions {
    /// Takes a session in that was opened here or on another node, unless it has ended.
    pub fn open(&mut self, token: TokenDigest, session: LoginSession) {
        self.forget_past(session.since);
        if self.ended.contains_key(&token) {
            return;
        }
        let user = session.user.clone();
        self.keep_below(MOST_OF_A_USER, |other| other.user == user);
        self.keep_below(MOST, |_| true);
        self.open.insert(token, session);
    }

    /// What is known of a token; a session counts as used.
    pub fn find(&mut self, token: TokenDigest, now: Timestamp) -> Known {
        match self.open.get_mut(&token) {
            Some(session) if session.expires_at <= now => {
                self.open.remove(&token);
                Known::Ended
            }
            Some(session) => {
                session.last_used = now;
                Known::Open(session.clone())
            }
            None if self.ended.contains_key(&token) => Known::Ended,
            None => Known::Nothing,
        }
    }

    /// Ends the session of a token, whether it is known here or not, until that time.
    pub fn close(&mut self, token: TokenDigest, until: Timestamp) {
        self.open.remove(&token);
        if self.ended.len() >= MOST {
            let soonest = self.ended.iter().min_by_key(|(_, until)| **until);
            if let Some(token) = soonest.map(|(token, _)| *token) {
                self.ended.remove(&token);
            }
        }
        self.ended.insert(token, until);
    }

    /// The token of the session that is called so.
    pub fn numbered(&self, number: u64) -> Option<TokenDigest> {
        self.open.keys().find(|token| token.number() == number).copied()
    }

    /// All that are open, the oldest first.
    pub fn all(&self, now: Timestamp) -> Vec<(TokenDigest, LoginSession)> {
        let open = self.open.iter().filter(|(_, session)| session.expires_at > now);
        let mut open: Vec<_> = open.map(|(token, session)| (*token, session.clone())).collect();
        sort_by_key(&mut open, |(token, session)| (session.since, token.0));
        open
    }

    fn forget_past(&mut self, now: Timestamp) {
        self.open.retain(|_, other| other.expires_at > now);
        self.ended.retain(|_, until| *until > now);
    }

    /// Makes room for one more of a kind: the oldest of too many go.
    fn keep_below(&mut self, most: usize, is_of_kind: impl Fn(&LoginSession) -> bool) {
        if self.open.len() < most {
            return;
        }
        let kind = self.open.iter().filter(|(_, one)| is_of_kind(one));
        let mut kind: Vec<_> = kind.map(|(token, one)| (one.since, token.0)).collect();
        if kind.len() < most {
            return;
        }
        kind.sort_unstable();
        for (_, token) in &kind[..=kind.len() - most] {
            self.open.remove(&TokenDigest(*token));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn session(user: &str, since: u64) -> LoginSession {
        LoginSession {
            user: user.into(),
            password: PasswordHash::default(),
            granted: None,
            from: Ipv4Addr::LOCALHOST.into(),
            node: NodeId(1),
            since: Timestamp(since),
            last_used: Timestamp(since),
            expires_at: Timestamp(since + 1000),
        }
    }

    fn open(sessions: &mut LoginSessions, token: &str, user: &str, since: u64) {
        sessions.open(TokenDigest::of(token), session(user, since));
    }

    fn find(sessions: &mut LoginSessions, token: &str, now: u64) -> Known {
        sessions.find(TokenDigest::of(token), Timestamp(now))
    }

    fn is_open(sessions: &mut LoginSessions, token: &str, now: u64) -> bool {
        matches!(find(sessions, token, now), Known::Open(_))
    }

    #[test]
    fn a_token_finds_its_session_until_it_ends() {
        let mut sessions = LoginSessions::default();
        open(&mut sessions, "a", "ann", 0);
        let used = LoginSession {
            last_used: Timestamp(999),
            ..session("ann", 0)
        };
        assert_eq!(find(&mut sessions, "a", 999), Known::Open(used));
        assert_eq!(find(&mut sessions, "b", 1), Known::Nothing);
        assert_eq!(find(&mut sessions, "a", 1000), Known::Ended);
        assert!(!is_open(&mut sessions, "a", 1), "it does not come back");
    }

    #[test]
    fn whoever_signs_out_is_out_and_does_not_come_back_from_another_node() {
        let mut sessions = LoginSessions::default();
        for token in ["a", "b"] {
            open(&mut sessions, token, "ann", 0);
        }
        let number = TokenDigest::of("a").number();
        assert_eq!(sessions.numbered(number), Some(TokenDigest::of("a")));
        sessions.close(TokenDigest::of("a"), Timestamp(1000));
        assert_eq!(sessions.numbered(number), None);
        open(&mut sessions, "a", "ann", 0);
        assert_eq!(find(&mut sessions, "a", 1), Known::Ended);
        // One that this node has not heard of before its end.
        sessions.close(TokenDigest::of("c"), Timestamp(1000));
        assert_eq!(find(&mut sessions, "c", 1), Known::Ended);
        assert_eq!(sessions.all(Timestamp(0)).len(), 1);
        open(&mut sessions, "d", "ann", 2000);
        assert!(sessions.ended.is_empty(), "their time is over");
    }

    #[test]
    fn the_oldest_of_too_many_go() {
        let mut sessions = LoginSessions::default();
        open(&mut sessions, "bob", "bob", 0);
        for (at, token) in (0..=MOST_OF_A_USER).enumerate() {
            open(&mut sessions, &token.to_string(), "ann", at as u64);
        }
        assert!(!is_open(&mut sessions, "0", 1));
        assert!(is_open(&mut sessions, "1", 1) && is_open(&mut sessions, "bob", 1));
        for user in 0..MOST {
            open(&mut sessions, &format!("of {user}"), &user.to_string(), 200);
        }
        assert_eq!(sessions.all(Timestamp(201)).len(), MOST);
        assert!(!is_open(&mut sessions, "bob", 1));
    }

    #[test]
    fn what_has_ended_is_bounded() {
        let mut sessions = LoginSessions::default();
        for token in 0..=MOST {
            sessions.close(TokenDigest::of(&token.to_string()), Timestamp(token as u64));
        }
        assert_eq!(sessions.ended.len(), MOST);
        assert!(!sessions.ended.contains_key(&TokenDigest::of("0")));
    }
}
