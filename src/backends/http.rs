//! A server that is asked over HTTP (`auth_http.*`), with RabbitMQ's questions and answers.

use std::time::Duration;

use super::attempt::{Attempt, Known};
use super::error::BackendError;
use super::web::{Web, form};
use crate::auth::Access;
use crate::auth::question::{Question, ResourceKind};
use crate::auth::rights::Granted;
use crate::config::AuthHttp;
use crate::tls_client;

/// The server.
#[derive(Debug)]
pub(super) struct Http {
    config: AuthHttp,
    web: Web,
}

impl Http {
    pub(super) fn of(config: &AuthHttp) -> Result<Self, BackendError> {
        Ok(Self {
            web: Web {
                tls: tls_client::client("auth_http.ssl_options", &config.tls)?,
                connecting: Duration::from_millis(config.connection_timeout.0),
                answering: Duration::from_millis(config.request_timeout.0),
            },
            config: config.clone(),
        })
    }

    /// Asks who somebody is: the answer is `allow` and tags, or `deny`.
    pub(super) async fn log_in(&self, attempt: Attempt<'_>) -> Result<Known, String> {
        let password = attempt.password.map(std::str::from_utf8).transpose();
        let password = password.map_err(|_| "the password is no UTF-8".to_owned())?;
        let mut fields = vec![("username", attempt.user)];
        fields.extend(password.map(|password| ("password", password)));
        let answer = self.ask(&self.config.user_path, &fields).await?;
        let mut words = answer.split_whitespace();
        match words.next() {
            Some(word) if word.eq_ignore_ascii_case("allow") => {
                Ok(Known::named(attempt.user, words.map(str::to_owned).collect()))
            }
            Some(word) if word.eq_ignore_ascii_case("deny") => Err("denied".to_owned()),
            _ => Err(odd(&answer)),
        }
    }

    /// Asks what somebody may do.
    pub(super) async fn allows(&self, granted: &Granted, question: &Question) -> Result<bool, String> {
        let tags = granted.tags.join(" ");
        let ip = granted.from.map(|ip| ip.to_canonical().to_string()).unwrap_or_default();
        let user = granted.user.as_str();
        let (path, fields) = match question {
            Question::Vhost(vhost) => (
                &self.config.vhost_path,
                vec![("username", user), ("vhost", vhost), ("ip", &ip), ("tags", &tags)],
            ),
            Question::Resource {
                vhost,
                kind,
                name,
                access,
            } => (
                &self.config.resource_path,
                vec![
                    ("username", user),
                    ("vhost", vhost),
                    ("resource", kind.word()),
                    ("name", name),
                    ("permission", permission(*access)),
                    ("tags", &tags),
                ],
            ),
            Question::Topic {
                vhost,
                exchange,
                key,
                access,
            } => (
                &self.config.topic_path,
                vec![
                    ("username", user),
                    ("vhost", vhost),
                    ("resource", "topic"),
                    ("name", exchange),
                    ("permission", permission(*access)),
                    ("tags", &tags),
                    ("routing_key", key),
                    ("variable_map.username", user),
                    ("variable_map.vhost", vhost),
                ],
            ),
        };
        let answer = self.ask(path, &fields).await?;
        match answer.trim() {
            word if word.eq_ignore_ascii_case("allow") => Ok(true),
            word if word.eq_ignore_ascii_case("deny") => Ok(false),
            _ => Err(odd(&answer)),
        }
    }

    async fn ask(&self, path: &str, fields: &[(&str, &str)]) -> Result<String, String> {
        let form = form(fields);
        let (status, body) = match self.config.post {
            true => self.web.post(path, form).await?,
            false => {
                let separator = if path.contains('?') { '&' } else { '?' };
                self.web.get(&format!("{path}{separator}{form}")).await?
            }
        };
        match status {
            200 | 201 => String::from_utf8(body.to_vec()).map_err(|_| "the answer is no text".to_owned()),
            status => Err(format!("{path} answered with the status {status}")),
        }
    }
}

impl ResourceKind {
    /// As questions name it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Exchange => "exchange",
        }
    }
}

/// As questions name it.
pub(super) fn permission(access: Access) -> &'static str {
    match access {
        Access::Configure => "configure",
        Access::Write => "write",
        Access::Read => "read",
    }
}

fn odd(answer: &str) -> String {
    let shown: String = answer.chars().take(80).collect();
    format!("the answer is neither allow nor deny: {shown:?}")
}
