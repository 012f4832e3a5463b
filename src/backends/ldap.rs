//! A directory (`auth_ldap.*`): who binds there is let in, and queries say what they may do.
//!
//! Who is asked as: a user itself while it logs in; for everything else `other_bind`, whose connections are kept for the
//! next question. A directory that does not answer has refused.

mod asking;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ldap3::{LdapConnAsync, LdapConnSettings, LdapError, Scope, SearchEntry, dn_escape, ldap_escape};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_rustls::rustls::ClientConfig;

use self::asking::Asker;
use super::attempt::{Attempt, Known};
use super::error::BackendError;
use super::http::permission;
use crate::auth::question::Question;
use crate::auth::rights::Granted;
use crate::config::{AuthLdap, LdapBind};
use crate::{tasks, tls_client};

/// For a login or a question, however much is asked for it.
const LONGEST: Duration = Duration::from_secs(30);

/// The directory.
pub(super) struct Ldap {
    config: AuthLdap,
    tls: Arc<ClientConfig>,
    turns: Semaphore,
    idle: Mutex<Vec<(ldap3::Ldap, Instant)>>,
}

/// What patterns are filled with.
#[derive(Clone, Debug, Default)]
struct Variables(Vec<(&'static str, String)>);

/// How a value is written where it is put in.
#[derive(Clone, Copy)]
enum Within {
    Text,
    Dn,
    Regex,
}

impl fmt::Debug for Ldap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ldap")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Ldap {
    pub(super) fn of(config: &AuthLdap) -> Result<Self, BackendError> {
        if config.servers.is_empty() {
            return Err(BackendError::Incomplete("ldap", "auth_ldap.servers.1"));
        }
        Ok(Self {
            tls: tls_client::client("auth_ldap.ssl_options", &config.tls)?,
            turns: Semaphore::new(config.pool_size),
            idle: Mutex::default(),
            config: config.clone(),
        })
    }

    /// Has the directory check a password. Without one, the user is only looked for.
    pub(super) async fn log_in(&self, attempt: Attempt<'_>) -> Result<Known, String> {
        let known = tokio::time::timeout(LONGEST, self.find(attempt)).await;
        known.map_err(|_| format!("no answer within {LONGEST:?}"))?
    }

    async fn find(&self, attempt: Attempt<'_>) -> Result<Known, String> {
        let _turn = self.turns.acquire().await.map_err(|error| error.to_string())?;
        let Some(password) = attempt.password else {
            let mut other = self.other(None).await?;
            let dn = self.look_up(&mut other, attempt.user).await?;
            let tags = self.tags(&mut other, attempt.user, &dn).await?;
            self.give_back(other);
            return Ok(known(attempt, dn, tags));
        };
        let password = std::str::from_utf8(password).map_err(|_| "the password is no UTF-8".to_owned())?;
        if password.is_empty() {
            // A directory takes that as nobody's bind, and lets it in.
            return Err("the password is empty".to_owned());
        }
        let lookup = &self.config.dn_lookup_bind;
        let looks_up = self.config.dn_lookup_attribute.is_some();
        let before = looks_up && !is_as_user(lookup);
        let mut dn = match before {
            true => {
                let mut connection = self.bound_as(lookup, None).await?;
                self.look_up(&mut connection, attempt.user).await?
            }
            false => self.pattern(attempt.user),
        };
        let bind = match &self.config.user_bind_pattern {
            Some(pattern) if !before => Variables::of_user(attempt.user).fill(pattern, Within::Text),
            _ => dn.clone(),
        };
        let mut own = self.connect().await?;
        let bound = own
            .simple_bind(&bind, password)
            .await
            .and_then(ldap3::LdapResult::success);
        bound.map_err(|error| format!("{bind} may not bind: {}", shown(&error)))?;
        if looks_up && !before {
            dn = self.look_up(&mut own, attempt.user).await?;
        }
        let tags = match is_as_user(&self.config.other_bind) {
            true => self.tags(&mut own, attempt.user, &dn).await?,
            false => {
                let mut other = self.other(None).await?;
                let tags = self.tags(&mut other, attempt.user, &dn).await?;
                self.give_back(other);
                tags
            }
        };
        Ok(known(attempt, dn, tags))
    }

    /// Asks what somebody may do.
    pub(super) async fn allows(&self, granted: &Granted, question: &Question) -> Result<bool, String> {
        let allowed = tokio::time::timeout(LONGEST, self.decide(granted, question)).await;
        allowed.map_err(|_| format!("no answer within {LONGEST:?}"))?
    }

    async fn decide(&self, granted: &Granted, question: &Question) -> Result<bool, String> {
        let dn = granted.dn.as_deref().unwrap_or_default();
        let mut variables = Variables::of_user(&granted.user);
        variables.set("user_dn", dn);
        let query = match question {
            Question::Vhost(vhost) => {
                variables.set("vhost", vhost);
                &self.config.vhost_access
            }
            Question::Resource {
                vhost,
                kind,
                name,
                access,
            } => {
                variables.set("vhost", vhost);
                variables.set("resource", kind.word());
                variables.set("name", name);
                variables.set("permission", permission(*access));
                &self.config.resource_access
            }
            Question::Topic {
                vhost,
                exchange,
                key,
                access,
            } => {
                variables.set("vhost", vhost);
                variables.set("resource", "topic");
                variables.set("name", exchange);
                variables.set("permission", permission(*access));
                variables.set("routing_key", key);
                &self.config.topic_access
            }
        };
        if let Some(answer) = asking::constant(query) {
            return Ok(answer);
        }
        let _turn = self.turns.acquire().await.map_err(|error| error.to_string())?;
        let mut connection = self.other(Some(granted)).await?;
        let allowed = self.asker(&mut connection, &variables, dn).ask(query).await?;
        self.give_back(connection);
        tracing::debug!(user = %granted.user, ?question, allowed, "asked a directory");
        Ok(allowed)
    }

    async fn tags(&self, connection: &mut ldap3::Ldap, user: &str, dn: &str) -> Result<Vec<String>, String> {
        let mut variables = Variables::of_user(user);
        variables.set("user_dn", dn);
        let mut tags = Vec::new();
        for tag in &self.config.tags {
            if self.asker(connection, &variables, dn).ask(&tag.query).await? {
                tags.push(tag.tag.clone());
            }
        }
        Ok(tags)
    }

    fn asker<'a>(&'a self, connection: &'a mut ldap3::Ldap, variables: &'a Variables, dn: &'a str) -> Asker<'a> {
        Asker {
            connection,
            variables,
            user_dn: dn,
            groups: self
                .config
                .group_lookup_base
                .as_ref()
                .or(self.config.dn_lookup_base.as_ref()),
            timeout: self.timeout(),
        }
    }

    /// The distinguished name of a user, as the pattern has it.
    fn pattern(&self, user: &str) -> String {
        let pattern = &self.config.user_dn_pattern;
        // Alone it is no part of a name: users say the whole of it, or a name that the directory knows.
        let within = if pattern == "${username}" {
            Within::Text
        } else {
            Within::Dn
        };
        Variables::of_user(user).fill(pattern, within)
    }

    /// The distinguished name of a user, looked up if that is configured. RabbitMQ: where not just one is found, it is
    /// what the pattern says.
    async fn look_up(&self, connection: &mut ldap3::Ldap, user: &str) -> Result<String, String> {
        let filled = self.pattern(user);
        let (Some(attribute), Some(base)) = (&self.config.dn_lookup_attribute, &self.config.dn_lookup_base) else {
            return Ok(filled);
        };
        let filter = format!("({attribute}={})", ldap_escape(&*filled));
        let found = connection
            .with_timeout(self.timeout())
            .search(base, Scope::Subtree, &filter, vec!["1.1"]);
        let (mut found, _) = found
            .await
            .and_then(ldap3::SearchResult::success)
            .map_err(|error| format!("{user} cannot be looked up below {base}: {}", shown(&error)))?;
        match found.len() {
            1 => Ok(found.pop().map(SearchEntry::construct).map_or(filled, |entry| entry.dn)),
            many => {
                tracing::warn!(
                    user,
                    base,
                    "{many} entries are found for a user in the directory, where one should be"
                );
                Ok(filled)
            }
        }
    }

    /// A connection for everything but logins: one that is kept, or a new one.
    async fn other(&self, user: Option<&Granted>) -> Result<ldap3::Ldap, String> {
        let bind = &self.config.other_bind;
        if !is_as_user(bind) {
            let longest = self.config.idle_timeout.map(|ms| Duration::from_millis(ms.0));
            let mut idle = self.idle.lock();
            while let Some((mut connection, since)) = idle.pop() {
                if longest.is_none_or(|longest| since.elapsed() < longest) && !connection.is_closed() {
                    return Ok(connection);
                }
            }
        }
        self.bound_as(bind, user).await
    }

    /// Keeps a connection for the next question.
    fn give_back(&self, connection: ldap3::Ldap) {
        if !is_as_user(&self.config.other_bind) {
            let mut idle = self.idle.lock();
            if idle.len() < self.config.pool_size {
                idle.push((connection, Instant::now()));
            }
        }
    }

    async fn bound_as(&self, bind: &LdapBind, user: Option<&Granted>) -> Result<ldap3::Ldap, String> {
        let own = user.and_then(|user| user.dn.as_deref().zip(user.secret.as_ref()));
        let (dn, password) = match (&bind.user_dn, &bind.password) {
            (Some(dn), Some(password)) => (dn.as_str(), password.reveal()),
            (Some(dn), None) => return Err(format!("there is no password to bind with as {dn}")),
            (None, _) if bind.anonymous => ("", ""),
            (None, _) => match own {
                Some((dn, password)) if !password.is_empty() => (dn, password.as_str()),
                _ => return Err("a user that gave no password cannot be asked about as itself".to_owned()),
            },
        };
        let mut connection = self.connect().await?;
        if !dn.is_empty() {
            let bound = connection
                .simple_bind(dn, password)
                .await
                .and_then(ldap3::LdapResult::success);
            bound.map_err(|error| format!("{dn} may not bind: {}", shown(&error)))?;
        }
        Ok(connection)
    }

    /// A connection to the first server that takes one; nobody is bound yet.
    async fn connect(&self) -> Result<ldap3::Ldap, String> {
        let scheme = if self.config.use_ssl { "ldaps" } else { "ldap" };
        let mut failures = Vec::new();
        for host in self.config.servers.values() {
            let host = if host.contains(':') {
                format!("[{host}]")
            } else {
                host.clone()
            };
            let settings = LdapConnSettings::new()
                .set_conn_timeout(self.timeout())
                .set_config(self.tls.clone())
                .set_starttls(self.config.use_starttls);
            let place = format!("{scheme}://{host}:{}", self.config.port);
            match LdapConnAsync::with_settings(settings, &place).await {
                Ok((driver, mut connection)) => {
                    // Ends with the connection, when the last that uses it goes.
                    tasks::spawn("directory connection", async move {
                        if let Err(error) = driver.drive().await {
                            tracing::debug!("a connection to a directory ended: {error}");
                        }
                    });
                    connection.with_timeout(self.timeout());
                    return Ok(connection);
                }
                Err(error) => failures.push(format!("{place}: {error}")),
            }
        }
        Err(format!("no directory takes a connection: {}", failures.join(", ")))
    }

    fn timeout(&self) -> Duration {
        let set = self.config.timeout.map(|ms| Duration::from_millis(ms.0));
        set.unwrap_or(LONGEST).min(LONGEST)
    }
}

impl Variables {
    fn of_user(user: &str) -> Self {
        let mut all = Self::default();
        all.set("username", user);
        if let Some((domain, name)) = user.split_once('\\') {
            all.set("ad_domain", domain);
            all.set("ad_user", name);
        }
        all
    }

    fn set(&mut self, name: &'static str, value: &str) {
        self.0.push((name, value.to_owned()));
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A pattern with the values in their places. What has no value stays as it is.
    fn fill(&self, pattern: &str, within: Within) -> String {
        let mut out = String::new();
        let mut rest = pattern;
        while let Some(at) = rest.find("${") {
            out.push_str(&rest[..at]);
            let name = rest[at + 2..].split_once('}').map(|(name, _)| name);
            match name.and_then(|name| Some((name, self.get(name)?))) {
                Some((name, value)) => {
                    match within {
                        // That is a distinguished name already.
                        Within::Dn if name == "user_dn" => out.push_str(value),
                        Within::Dn => out.push_str(&dn_escape(value)),
                        Within::Regex => out.push_str(&crate::pattern::escaped(value)),
                        Within::Text => out.push_str(value),
                    }
                    rest = &rest[at + name.len() + 3..];
                }
                None => {
                    out.push_str("${");
                    rest = &rest[at + 2..];
                }
            }
        }
        out.push_str(rest);
        out
    }
}

fn known(attempt: Attempt<'_>, dn: String, tags: Vec<String>) -> Known {
    Known {
        dn: Some(dn),
        ..Known::named(attempt.user, tags)
    }
}

fn is_as_user(bind: &LdapBind) -> bool {
    bind.user_dn.is_none() && !bind.anonymous
}

/// What went wrong, without the password that may be in it.
fn shown(error: &LdapError) -> String {
    match error {
        LdapError::LdapResult { result } => format!("result code {} {}", result.rc, result.text),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_filled_and_what_is_put_in_is_no_pattern() {
        let mut variables = Variables::of_user("EX\\a,b");
        variables.set("user_dn", "cn=a,dc=b");
        variables.set("name", "${vhost}");
        let fill = |pattern, within| variables.fill(pattern, within);
        assert_eq!(fill("cn=${username},dc=x", Within::Dn), "cn=EX\\5ca\\2cb,dc=x");
        assert_eq!(fill("${ad_user}@${ad_domain}", Within::Text), "a,b@EX");
        assert_eq!(fill("${user_dn}", Within::Dn), "cn=a,dc=b");
        assert_eq!(fill("${nothing} ${", Within::Text), "${nothing} ${");
        assert_eq!(
            fill("${name}", Within::Text),
            "${vhost}",
            "what is put in is not looked at again"
        );
        assert_eq!(
            Variables::of_user("a.b").fill("^${username}$", Within::Regex),
            "^a\\.b$"
        );
    }
}
