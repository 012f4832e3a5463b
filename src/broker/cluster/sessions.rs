//! Browsers that are signed in, known to all nodes: a balancer sends each request to another.
//!
//! Who opens or ends a session tells the other nodes, and waits for those that live. A node that is asked by a
//! browser that it does not know asks the others, for it may have come later: what one of them says to have
//! ended counts before what another has still open.

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::Membership;
use crate::auth::login_sessions::{Known, LoginSession, TokenDigest};
use crate::types::sorting::sort_by_key;
use crate::types::{NodeId, Timestamp};

/// Tokens about which other nodes are asked at a time: what nobody knows may be anybody's invention.
static ASKING: Semaphore = Semaphore::const_new(16);

/// What a node says to another about sessions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum SessionWord {
    Opened(TokenDigest, LoginSession),
    /// It has ended, and would have gone on at most until then.
    Closed(TokenDigest, Timestamp),
    /// What do you know of it?
    Find(TokenDigest),
    /// Which do you know?
    List,
}

/// What the other answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum SessionAnswer {
    Noted,
    Found(Known),
    Listed(Vec<(TokenDigest, LoginSession)>),
}

impl Membership {
    /// Opens a session for the bearer of a token that was drawn by chance.
    pub async fn open_session(&self, token: &str, session: LoginSession) {
        let token = TokenDigest::of(token);
        self.logins.sessions.lock().open(token, session.clone());
        self.ask_about_sessions(&SessionWord::Opened(token, session)).await;
    }

    /// The session of a token, which counts as used.
    pub async fn session(&self, token: &str) -> Option<LoginSession> {
        let token = TokenDigest::of(token);
        let known = self.logins.sessions.lock().find(token, self.queues.now());
        match known {
            Known::Open(session) => Some(session),
            Known::Ended => None,
            Known::Nothing => self.session_elsewhere(token).await,
        }
    }

    async fn session_elsewhere(&self, token: TokenDigest) -> Option<LoginSession> {
        let _turn = ASKING.try_acquire().ok()?;
        let answers = self.ask_about_sessions(&SessionWord::Find(token)).await;
        let mut found = None;
        for answer in answers {
            match answer {
                SessionAnswer::Found(Known::Ended) => return None,
                SessionAnswer::Found(Known::Open(session)) => found = Some(session),
                _ => {}
            }
        }
        let session = found.filter(|session| session.expires_at > self.queues.now())?;
        self.logins.sessions.lock().open(token, session.clone());
        Some(session)
    }

    /// Ends the session of a token, on all nodes that live.
    pub async fn close_session(&self, token: &str, until: Timestamp) {
        self.end_session(TokenDigest::of(token), until).await;
    }

    /// Ends the session that administrators call so; whether there is one.
    pub async fn close_session_numbered(&self, number: u64, until: Timestamp) -> bool {
        let all = self.sessions().await;
        let Some((token, _)) = all.into_iter().find(|(token, _)| token.number() == number) else {
            return false;
        };
        self.end_session(token, until).await;
        true
    }

    async fn end_session(&self, token: TokenDigest, until: Timestamp) {
        self.logins.sessions.lock().close(token, until);
        self.ask_about_sessions(&SessionWord::Closed(token, until)).await;
    }

    /// All that are open, as far as the nodes that live know, the oldest first.
    pub async fn sessions(&self) -> Vec<(TokenDigest, LoginSession)> {
        let mut all = self.logins.sessions.lock().all(self.queues.now());
        for answer in self.ask_about_sessions(&SessionWord::List).await {
            let SessionAnswer::Listed(others) = answer else {
                continue;
            };
            for (token, session) in others {
                match all.iter_mut().find(|(known, _)| *known == token) {
                    Some((_, known)) => known.last_used = known.last_used.max(session.last_used),
                    None => all.push((token, session)),
                }
            }
        }
        sort_by_key(&mut all, |(token, session)| (session.since, token.number()));
        all
    }

    /// What another node says or asks.
    pub(super) fn hear_of_sessions(&self, word: SessionWord) -> SessionAnswer {
        let mut sessions = self.logins.sessions.lock();
        match word {
            SessionWord::Opened(token, session) => sessions.open(token, session),
            SessionWord::Closed(token, until) => sessions.close(token, until),
            SessionWord::Find(token) => return SessionAnswer::Found(sessions.find(token, self.queues.now())),
            SessionWord::List => return SessionAnswer::Listed(sessions.all(self.queues.now())),
        }
        SessionAnswer::Noted
    }

    async fn ask_about_sessions(&self, word: &SessionWord) -> Vec<SessionAnswer> {
        let others: Vec<NodeId> = self.nodes.others_alive();
        let answers = others.into_iter().map(|node| self.say_of_sessions(node, word));
        join_all(answers).await.into_iter().flatten().collect()
    }
}
