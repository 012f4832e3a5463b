//! What somebody who came in may do, and who says so.
//!
//! Permissions of the catalogue, the scopes of a token, or a backend elsewhere that is asked. Nothing here waits:
//! a question that nobody has answered yet is noted ([`Granted::unanswered`]), whoever acts is told [`Verdict::Unknown`],
//! and has changed nothing. The shell asks, gives the answer ([`Granted::learn`]), and does the same again.
//!
//! ```text
//! check ─→ answer known ─→ allowed, refused
//!       └→ not known: noted ─→ shell asks ─→ learn ─→ check again
//! ```
//! An answer holds for [`FRESH`]; a refusal is used once, so that who is let in meanwhile need not wait.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::question::Question;
use super::scopes::Scopes;
use crate::types::{Millis, Timestamp, UserName, VhostName};

/// How long a backend's yes is believed.
pub const FRESH: Millis = Millis(15_000);
/// How long a no is kept for whoever asked.
const FLEETING: Millis = Millis(1_000);
/// Answers that are kept for one connection; beyond that all are asked again.
const MOST: usize = 2_000;

/// By what somebody is let do things.
#[derive(Clone, Debug, Default)]
pub enum Rights {
    /// Permissions of the catalogue.
    #[default]
    Internal,
    /// Whoever runs the node, who needs none.
    Operator,
    /// What a backend other than the catalogue says.
    Granted(Arc<Granted>),
}

/// Who was let in by a backend, and who says what it may do.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub user: UserName,
    pub tags: Vec<String>,
    /// What it came in with; some backends need it to ask.
    pub secret: Option<String>,
    /// Its name in a directory.
    pub dn: Option<String>,
    /// Where it came from.
    pub from: Option<IpAddr>,
    /// All of them have to allow a thing.
    pub sources: Vec<Source>,
}

/// The same, and what is known of its rights by now.
#[derive(Debug)]
pub struct Granted {
    grant: Grant,
    state: Mutex<State>,
    /// Counts what makes remembered decisions worthless.
    version: AtomicU64,
}

/// Who says what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// The catalogue's permissions.
    Internal,
    /// A token.
    Token(Token),
    /// A backend elsewhere, by its place in the configuration.
    Asked(usize),
}

/// The part of a token that counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    pub scopes: Scopes,
    pub expires_at: Option<Timestamp>,
}

/// What is known about a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Allowed,
    Refused,
    /// Refused because somebody could not say; the text says who, and why.
    Failed(String),
    /// Nobody has said yet; the question is noted.
    Unknown,
}

#[derive(Debug, Default)]
struct State {
    now: Timestamp,
    /// A token that was renewed, by the place of its source.
    renewed: HashMap<usize, Token>,
    answers: HashMap<(usize, Question), Answer>,
    unanswered: Vec<(usize, Question)>,
}

#[derive(Debug)]
struct Answer {
    allowed: bool,
    until: Timestamp,
}

impl Rights {
    /// What a backend granted, if one did.
    pub fn granted(&self) -> Option<&Arc<Granted>> {
        match self {
            Self::Granted(granted) => Some(granted),
            Self::Internal | Self::Operator => None,
        }
    }

    /// Whoever runs the node.
    pub fn is_operator(&self) -> bool {
        matches!(self, Self::Operator)
    }

    /// Changes when what was decided before has to be decided again, besides changes of the catalogue.
    pub fn version(&self) -> u64 {
        self.granted()
            .map_or(0, |granted| granted.version.load(Ordering::Acquire))
    }
}

/// What it came in with is not printed.
impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("user", &self.user)
            .field("tags", &self.tags)
            .field("sources", &self.sources)
            .finish_non_exhaustive()
    }
}

impl Deref for Granted {
    type Target = Grant;

    fn deref(&self) -> &Grant {
        &self.grant
    }
}

impl Granted {
    /// For somebody who was let in, as late as it is now.
    pub fn of(grant: Grant, now: Timestamp) -> Self {
        Self {
            grant,
            state: Mutex::new(State {
                now,
                ..State::default()
            }),
            version: AtomicU64::new(1),
        }
    }

    /// What somebody else needs to know, to let the same user do the same: with the tokens of now.
    pub fn grant(&self) -> Grant {
        let state = self.state.lock();
        let sources = self.sources.iter().enumerate().map(|(at, source)| match source {
            Source::Token(token) => Source::Token(state.renewed.get(&at).unwrap_or(token).clone()),
            other => other.clone(),
        });
        Grant {
            sources: sources.collect(),
            ..self.grant.clone()
        }
    }

    /// What is known about a question; `internal` is what the catalogue says of it.
    pub fn check(&self, question: &Question, internal: impl Fn() -> bool) -> Verdict {
        let mut state = self.state.lock();
        for (at, source) in self.sources.iter().enumerate() {
            let verdict = match source {
                Source::Internal if internal() => Verdict::Allowed,
                Source::Internal => Verdict::Refused,
                Source::Token(token) => {
                    let token = state.renewed.get(&at).unwrap_or(token);
                    token.check(question, state.now)
                }
                Source::Asked(backend) => state.recall(*backend, question),
            };
            if verdict != Verdict::Allowed {
                return verdict;
            }
        }
        Verdict::Allowed
    }

    /// Whether the user may come into a vhost, as far as that is known.
    pub fn enters(&self, vhost: &VhostName, internal: impl Fn() -> bool) -> Verdict {
        self.check(&Question::Vhost(vhost.clone()), internal)
    }

    /// It is that late now: tokens expire, answers get old.
    pub fn pass_time(&self, now: Timestamp) {
        let mut state = self.state.lock();
        let had_expired = self.has_expired(&state);
        let epoch = |at: Timestamp| at.0 / FRESH.0;
        let is_another = self.asks() && epoch(state.now) != epoch(now);
        state.now = now;
        if is_another || (!had_expired && self.has_expired(&state)) {
            self.version.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// The questions that nobody has answered, once.
    pub fn unanswered(&self) -> Vec<(usize, Question)> {
        std::mem::take(&mut self.state.lock().unanswered)
    }

    /// Whether there are such questions.
    pub fn has_questions(&self) -> bool {
        !self.state.lock().unanswered.is_empty()
    }

    /// What a backend said.
    pub fn learn(&self, backend: usize, question: Question, allowed: bool) {
        let mut state = self.state.lock();
        let until = state.now + if allowed { FRESH } else { FLEETING };
        if state.answers.len() >= MOST {
            state.answers.clear();
        }
        state.answers.insert((backend, question), Answer { allowed, until });
    }

    /// The same user with another token.
    pub fn renew(&self, token: &Token) {
        let mut state = self.state.lock();
        for (at, source) in self.sources.iter().enumerate() {
            if matches!(source, Source::Token(_)) {
                state.renewed.insert(at, token.clone());
            }
        }
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether a token says what this user may do.
    pub fn has_token(&self) -> bool {
        self.sources.iter().any(|source| matches!(source, Source::Token(_)))
    }

    /// When what the user came in with is worth nothing any more.
    pub fn expires_at(&self) -> Option<Timestamp> {
        let state = self.state.lock();
        self.ends(&state).min()
    }

    fn asks(&self) -> bool {
        self.sources.iter().any(|source| matches!(source, Source::Asked(_)))
    }

    fn has_expired(&self, state: &State) -> bool {
        self.ends(state).any(|end| end <= state.now)
    }

    fn ends(&self, state: &State) -> impl Iterator<Item = Timestamp> {
        let sources = self.sources.iter().enumerate();
        sources.filter_map(move |(at, source)| match source {
            Source::Token(token) => state.renewed.get(&at).unwrap_or(token).expires_at,
            Source::Internal | Source::Asked(_) => None,
        })
    }
}

impl State {
    fn recall(&mut self, backend: usize, question: &Question) -> Verdict {
        let key = (backend, question.clone());
        match self.answers.get(&key) {
            Some(answer) if answer.until > self.now && answer.allowed => Verdict::Allowed,
            Some(answer) if answer.until > self.now => {
                self.answers.remove(&key);
                Verdict::Refused
            }
            _ => {
                if !self.unanswered.contains(&key) && self.unanswered.len() < MOST {
                    self.unanswered.push(key);
                }
                Verdict::Unknown
            }
        }
    }
}

impl Token {
    fn check(&self, question: &Question, now: Timestamp) -> Verdict {
        if let Some(end) = self.expires_at
            && end <= now
        {
            return Verdict::Failed(format!(
                "backend rabbit_auth_backend_oauth2 returned an error: \"Provided JWT token has expired at timestamp \
                 {} (validated at {})\"",
                end.0 / 1000,
                now.0 / 1000
            ));
        }
        match self.scopes.allow(question) {
            true => Verdict::Allowed,
            false => Verdict::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Access;
    use crate::auth::question::ResourceKind;

    fn granted(sources: Vec<Source>) -> Granted {
        let grant = Grant {
            user: "me".into(),
            tags: Vec::new(),
            secret: Some("hidden".to_owned()),
            dn: None,
            from: None,
            sources,
        };
        assert!(!format!("{grant:?}").contains("hidden"));
        let text = serde_json::to_string(&grant).expect("plain data");
        assert_eq!(serde_json::from_str::<Grant>(&text).expect("just written"), grant);
        Granted::of(grant, Timestamp(1000))
    }

    fn queue(name: &str) -> Question {
        Question::Resource {
            vhost: "/".into(),
            kind: ResourceKind::Queue,
            name: name.to_owned(),
            access: Access::Read,
        }
    }

    #[test]
    fn what_nobody_has_answered_is_noted_once_and_known_when_it_is_learned() {
        let rights = granted(vec![Source::Asked(3)]);
        assert_eq!(rights.check(&queue("q"), || true), Verdict::Unknown);
        assert_eq!(rights.check(&queue("q"), || true), Verdict::Unknown);
        assert_eq!(rights.unanswered(), [(3, queue("q"))]);
        assert_eq!(rights.unanswered(), []);
        rights.learn(3, queue("q"), true);
        assert_eq!(rights.check(&queue("q"), || false), Verdict::Allowed);
        rights.pass_time(Timestamp(1000) + FRESH);
        assert_eq!(rights.check(&queue("q"), || true), Verdict::Unknown, "it is old");
    }

    #[test]
    fn a_refusal_is_used_once() {
        let rights = granted(vec![Source::Asked(0)]);
        rights.learn(0, queue("q"), false);
        assert_eq!(rights.check(&queue("q"), || true), Verdict::Refused);
        assert_eq!(rights.check(&queue("q"), || true), Verdict::Unknown);
    }

    #[test]
    fn all_sources_have_to_allow() {
        let rights = granted(vec![Source::Internal, Source::Asked(0)]);
        assert_eq!(rights.check(&queue("q"), || false), Verdict::Refused);
        assert_eq!(rights.check(&queue("q"), || true), Verdict::Unknown);
        rights.learn(0, queue("q"), true);
        assert_eq!(rights.check(&queue("q"), || true), Verdict::Allowed);
    }

    #[test]
    fn a_token_ends_and_can_be_renewed() {
        let token = |expires_at| Token {
            scopes: Scopes::of(["read:*/*"]),
            expires_at: Some(Timestamp(expires_at)),
        };
        let rights = granted(vec![Source::Token(token(5000))]);
        let version = rights.version.load(Ordering::Relaxed);
        assert_eq!(rights.check(&queue("q"), || false), Verdict::Allowed);
        rights.pass_time(Timestamp(7000));
        let Verdict::Failed(why) = rights.check(&queue("q"), || false) else {
            panic!("it has expired");
        };
        assert!(why.ends_with("expired at timestamp 5 (validated at 7)\""), "{why}");
        assert!(
            rights.version.load(Ordering::Relaxed) > version,
            "cached routes are dead"
        );
        rights.renew(&token(9000));
        assert_eq!(rights.check(&queue("q"), || false), Verdict::Allowed);
        assert_eq!(rights.expires_at(), Some(Timestamp(9000)));
    }

    #[test]
    fn answers_do_not_grow_without_bound() {
        let rights = granted(vec![Source::Asked(0)]);
        for at in 0..2 * MOST {
            rights.learn(0, queue(&at.to_string()), true);
        }
        assert!(rights.state.lock().answers.len() <= MOST);
    }
}
