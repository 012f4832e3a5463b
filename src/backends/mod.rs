//! Where users are looked up besides the catalogue: tokens, servers asked over HTTP, directories; one after the other,
//! as `auth_backends.*` says.
//!
//! ```text
//! Attempt ─→ link 1: who is it? what may it do? ─→ Admitted (rights: a token, or whom to ask)
//!        refused ─→ link 2 ─→ …                ─→ Refused, with what each said
//! Question ─→ the backend that the rights name ─→ yes or no
//! ```
//! A backend that does not answer within its deadline has refused. What it said goes to the log, the client hears what
//! it hears of a wrong password. Who asks: `broker`, for AMQP and the HTTP API alike.

mod attempt;
mod cache;
mod error;
mod http;
mod kind;
mod ldap;
mod oauth2;
mod web;

pub use web::Web;

use crate::auth::Rights;
use crate::auth::question::Question;
use crate::auth::rights::{Grant, Granted, Source};
use crate::config::{AuthBackend, AuthBackends};
use crate::types::{Timestamp, UserName};
pub use attempt::Attempt;
use attempt::Known;
use cache::Cache;
pub use error::BackendError;
use http::Http;
use kind::Kind;
use ldap::Ldap;
use oauth2::Oauth2;

/// All backends that are configured.
#[derive(Debug)]
pub struct Backends {
    chain: Vec<Link>,
    http: Option<Http>,
    ldap: Option<Ldap>,
    oauth2: Option<Oauth2>,
    cache: Cache,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Link {
    authn: Kind,
    authz: Kind,
    /// Answers are kept.
    is_cached: bool,
}

/// Who was let in.
#[derive(Clone, Debug)]
pub struct Admitted {
    pub user: UserName,
    pub tags: Vec<String>,
    pub rights: Rights,
}

impl Backends {
    /// As configured.
    ///
    /// # Errors
    /// When a backend lacks what it needs, or a file cannot be read.
    pub fn of(config: &AuthBackends) -> Result<Self, BackendError> {
        let mut chain = Vec::new();
        for (authn, authz) in config.in_order() {
            let is_cached = authn == AuthBackend::Cache || authz == AuthBackend::Cache;
            let (cached_authn, cached_authz) = config.cache.backend.both();
            let kind = |backend, cached| match (backend, cached) {
                (AuthBackend::Cache, AuthBackend::Cache) => Err(BackendError::CacheOfCache),
                (AuthBackend::Cache, backend) | (backend, _) => Ok(Kind::of(backend)),
            };
            chain.push(Link {
                authn: kind(authn, cached_authn)?,
                authz: kind(authz, cached_authz)?,
                is_cached,
            });
        }
        let uses = |kind| chain.iter().any(|link| link.authn == kind || link.authz == kind);
        Ok(Self {
            http: uses(Kind::Http).then(|| Http::of(&config.http)).transpose()?,
            ldap: uses(Kind::Ldap).then(|| Ldap::of(&config.ldap)).transpose()?,
            oauth2: uses(Kind::Oauth2).then(|| Oauth2::of(&config.oauth2)).transpose()?,
            cache: Cache::of(&config.cache),
            chain,
        })
    }

    /// Whether nobody but the catalogue is asked.
    pub fn is_internal(&self) -> bool {
        let internal = |link: &Link| link.authn == Kind::Internal && link.authz == Kind::Internal;
        self.chain.iter().all(internal)
    }

    /// Whether tokens are taken.
    pub fn takes_tokens(&self) -> bool {
        self.oauth2.is_some()
    }

    /// Looks for a backend that lets somebody in; `internal` gives the tags of the catalogue's user, if the password
    /// is right or none is asked for.
    ///
    /// # Errors
    /// What each backend said, for the log.
    pub async fn log_in(
        &self,
        attempt: Attempt<'_>,
        internal: impl Fn(&str, Option<&[u8]>) -> Option<Vec<String>> + Sync,
    ) -> Result<Admitted, String> {
        let mut said = Vec::new();
        for link in &self.chain {
            match self.try_link(*link, attempt, &internal).await {
                Ok(admitted) => return Ok(admitted),
                Err(why) => said.push(why),
            }
        }
        Err(said.join("; "))
    }

    async fn try_link(
        &self,
        link: Link,
        attempt: Attempt<'_>,
        internal: &(impl Fn(&str, Option<&[u8]>) -> Option<Vec<String>> + Sync),
    ) -> Result<Admitted, String> {
        let known = match link.authn {
            Kind::Internal => internal_user(attempt, internal)?,
            kind => self.ask_who(kind, link.is_cached, attempt).await?,
        };
        if link.authn == Kind::Internal && link.authz == Kind::Internal {
            let (user, tags) = (known.user, known.tags);
            let rights = Rights::Internal;
            return Ok(Admitted { user, tags, rights });
        }
        let mut dn = known.dn.clone();
        let token = |known: &Known| Source::Token(known.token.clone().unwrap_or_default());
        let source = match link.authz {
            kind if kind == link.authn => match kind {
                Kind::Oauth2 => token(&known),
                kind => kind.asked(link.is_cached),
            },
            Kind::Internal => {
                let found = internal(&known.user, None);
                found.ok_or_else(|| "internal: there is no user of that name to take permissions from".to_owned())?;
                Source::Internal
            }
            Kind::Oauth2 => token(&self.ask_who(Kind::Oauth2, link.is_cached, attempt).await?),
            kind => {
                let attempt = Attempt {
                    user: &known.user,
                    password: None,
                    ..attempt
                };
                let there = self.ask_who(kind, link.is_cached, attempt).await?;
                dn = dn.or(there.dn);
                kind.asked(link.is_cached)
            }
        };
        let secret = attempt.password.and_then(|password| std::str::from_utf8(password).ok());
        let grant = Grant {
            user: known.user.clone(),
            tags: known.tags.clone(),
            // Of all others nothing has to be known later.
            secret: secret.filter(|_| link.authz == Kind::Ldap).map(str::to_owned),
            dn,
            from: attempt.from,
            sources: vec![source],
        };
        let granted = Granted::of(grant, attempt.now);
        Ok(Admitted {
            user: known.user,
            tags: known.tags,
            rights: Rights::Granted(granted.into()),
        })
    }

    /// Has a backend say who somebody is.
    async fn ask_who(&self, kind: Kind, is_cached: bool, attempt: Attempt<'_>) -> Result<Known, String> {
        if is_cached && let Some(kept) = self.cache.login(kind, attempt) {
            return kept;
        }
        let found = match kind {
            Kind::Http => self.http.as_ref().ok_or(NOT_SET_UP)?.log_in(attempt).await,
            Kind::Ldap => self.ldap.as_ref().ok_or(NOT_SET_UP)?.log_in(attempt).await,
            Kind::Oauth2 => self.oauth2.as_ref().ok_or(NOT_SET_UP)?.log_in(attempt).await,
            Kind::Internal => Err(NOT_SET_UP.to_owned()),
        };
        let found = found.map_err(|why| format!("{}: {why}", kind.name()));
        if is_cached {
            self.cache.keep_login(kind, attempt, &found);
        }
        found
    }

    /// Has whoever they are for answer the questions that came up. Whether there were any.
    pub async fn answer_all(&self, granted: &Granted, now: Timestamp) -> bool {
        granted.pass_time(now);
        let questions = granted.unanswered();
        let any = !questions.is_empty();
        // A few at a time: a list of vhosts is one question for each.
        for some in questions.chunks(AT_ONCE) {
            let answers = some
                .iter()
                .map(|(backend, question)| self.answer(granted, *backend, question));
            let answers = futures_util::future::join_all(answers).await;
            for ((backend, question), allowed) in some.iter().zip(answers) {
                granted.learn(*backend, question.clone(), allowed);
            }
        }
        any
    }

    async fn answer(&self, granted: &Granted, backend: usize, question: &Question) -> bool {
        let Some((kind, is_cached)) = Kind::of_asked(backend) else {
            return false;
        };
        if is_cached && let Some(kept) = self.cache.answer(kind, &granted.user, question) {
            return kept;
        }
        let answered = match (kind, &self.http, &self.ldap) {
            (Kind::Http, Some(http), _) => http.allows(granted, question).await,
            (Kind::Ldap, _, Some(ldap)) => ldap.allows(granted, question).await,
            _ => Err(NOT_SET_UP.to_owned()),
        };
        match answered {
            Ok(allowed) => {
                if is_cached {
                    self.cache.keep_answer(kind, &granted.user, question, allowed);
                }
                allowed
            }
            Err(why) => {
                let backend = kind.name();
                tracing::error!(user = %granted.user, backend, ?question, "access refused, as a backend failed: {why}");
                false
            }
        }
    }

    /// A client gives a fresh token for the same user. Where no token says what it may do, any secret is as good as
    /// the first, as with RabbitMQ.
    ///
    /// # Errors
    /// Why it is not taken.
    pub async fn renew(&self, granted: &Granted, secret: &[u8], now: Timestamp) -> Result<(), String> {
        if !granted.has_token() {
            return Ok(());
        }
        let attempt = Attempt {
            user: &granted.user,
            password: Some(secret),
            from: granted.from,
            now,
        };
        let known = self.oauth2.as_ref().ok_or(NOT_SET_UP)?.log_in(attempt).await?;
        if known.user != granted.user {
            return Err(format!("the token is of another user, '{}'", known.user));
        }
        granted.pass_time(now);
        granted.renew(&known.token.unwrap_or_default());
        Ok(())
    }
}

/// Questions of one user asked at the same time.
const AT_ONCE: usize = 8;
const NOT_SET_UP: &str = "the backend is not set up";

fn internal_user(
    attempt: Attempt<'_>,
    internal: &(impl Fn(&str, Option<&[u8]>) -> Option<Vec<String>> + Sync),
) -> Result<Known, String> {
    let tags = internal(attempt.user, attempt.password);
    let tags = tags.ok_or("internal: no such user, or another password")?;
    Ok(Known::named(attempt.user, tags))
}
