//! Answers of another backend, kept for a while (`auth_cache.*`).

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::attempt::{Attempt, Known};
use super::kind::Kind;
use crate::auth::question::Question;
use crate::config::AuthCache;
use crate::types::{Timestamp, UserName};

/// Logins, and as many answers; when there are more, those that are old go, and else all.
const MOST: usize = 50_000;

type Login = (Kind, [u8; 32]);
/// Values, and since when they are kept.
type Kept<K, V> = Mutex<HashMap<K, (Instant, V)>>;

/// What was answered lately.
#[derive(Debug)]
pub(super) struct Cache {
    ttl: Duration,
    keeps_refusals: bool,
    logins: Kept<Login, Result<Known, String>>,
    answers: Kept<(Kind, UserName, Question), bool>,
}

impl Cache {
    pub(super) fn of(config: &AuthCache) -> Self {
        Self {
            ttl: Duration::from_millis(config.ttl.0),
            keeps_refusals: config.refusals,
            logins: Mutex::default(),
            answers: Mutex::default(),
        }
    }

    /// What was said of somebody. A token that has expired meanwhile is asked about again.
    pub(super) fn login(&self, kind: Kind, attempt: Attempt<'_>) -> Option<Result<Known, String>> {
        let found = fresh(&self.logins, &(kind, digest(attempt)), self.ttl)?;
        let has_expired = |end: Timestamp| end <= attempt.now;
        let token = found.as_ref().ok().and_then(|known| known.token.as_ref());
        match token.and_then(|token| token.expires_at).is_some_and(has_expired) {
            true => None,
            false => Some(found),
        }
    }

    pub(super) fn keep_login(&self, kind: Kind, attempt: Attempt<'_>, found: &Result<Known, String>) {
        if found.is_ok() || self.keeps_refusals {
            keep(&self.logins, (kind, digest(attempt)), found.clone(), self.ttl);
        }
    }

    pub(super) fn answer(&self, kind: Kind, user: &UserName, question: &Question) -> Option<bool> {
        fresh(&self.answers, &(kind, user.clone(), question.clone()), self.ttl)
    }

    pub(super) fn keep_answer(&self, kind: Kind, user: &UserName, question: &Question, allowed: bool) {
        if allowed || self.keeps_refusals {
            keep(&self.answers, (kind, user.clone(), question.clone()), allowed, self.ttl);
        }
    }
}

/// What is kept of a password: whoever reads memory cannot use it.
fn digest(attempt: Attempt<'_>) -> [u8; 32] {
    let length = (attempt.user.len() as u64).to_be_bytes();
    let has_password = [u8::from(attempt.password.is_some())];
    Sha256::new()
        .chain_update(length)
        .chain_update(attempt.user)
        .chain_update(has_password)
        .chain_update(attempt.password.unwrap_or_default())
        .finalize()
        .into()
}

fn fresh<K: Eq + Hash, V: Clone>(kept: &Kept<K, V>, key: &K, ttl: Duration) -> Option<V> {
    let kept = kept.lock();
    let (since, value) = kept.get(key)?;
    (since.elapsed() < ttl).then(|| value.clone())
}

fn keep<K: Eq + Hash, V>(kept: &Kept<K, V>, key: K, value: V, ttl: Duration) {
    let mut kept = kept.lock();
    if kept.len() >= MOST {
        kept.retain(|_, (since, _)| since.elapsed() < ttl);
    }
    if kept.len() >= MOST {
        kept.clear();
    }
    kept.insert(key, (Instant::now(), value));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Millis;

    fn attempt<'a>(user: &'a str, password: &'a [u8]) -> Attempt<'a> {
        Attempt {
            user,
            password: Some(password),
            from: None,
            now: Timestamp(0),
        }
    }

    fn cache(refusals: bool) -> Cache {
        Cache::of(&AuthCache {
            ttl: Millis(60_000),
            refusals,
            ..AuthCache::default()
        })
    }

    #[test]
    fn a_login_is_kept_for_its_own_password() {
        let cache = cache(false);
        cache.keep_login(Kind::Http, attempt("a", b"b"), &Ok(Known::named("a", Vec::new())));
        assert!(cache.login(Kind::Http, attempt("a", b"b")).is_some());
        assert!(cache.login(Kind::Http, attempt("a", b"c")).is_none());
        assert!(cache.login(Kind::Http, attempt("ab", b"")).is_none());
        assert!(cache.login(Kind::Ldap, attempt("a", b"b")).is_none());
    }

    #[test]
    fn refusals_are_kept_where_that_is_wanted() {
        for wanted in [false, true] {
            let cache = cache(wanted);
            cache.keep_login(Kind::Http, attempt("a", b"b"), &Err("no".to_owned()));
            cache.keep_answer(Kind::Http, &"a".into(), &Question::Vhost("v".into()), false);
            assert_eq!(cache.login(Kind::Http, attempt("a", b"b")).is_some(), wanted);
            let answer = cache.answer(Kind::Http, &"a".into(), &Question::Vhost("v".into()));
            assert_eq!(answer, wanted.then_some(false));
        }
    }
}
