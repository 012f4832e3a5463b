//! What a handler says. [`super::response`] sends it.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::verb::Verb;
use crate::broker::BrokerError;
use crate::metadata::json::NotATable;
use crate::pattern::BadPattern;
use crate::types::{Refusal, Reply, ReplyCode};

/// A handler's result.
pub type Answered = Result<Answer, Failure>;

/// What was asked for.
#[derive(Debug, PartialEq)]
pub enum Answer {
    /// 200 with JSON.
    Json(Value),
    /// 200 with JSON that a browser saves under a name.
    Download { name: String, value: Value },
    /// 200 with a page.
    Html(String),
    /// 200 with a text that is no JSON.
    Text(String),
    /// 200 with a file that is to be run.
    Script(&'static str),
    /// 200 with JSON, or 204 without, and a cookie.
    Cookie { cookie: String, value: Option<Value> },
    /// 201, with the place of what was made where RabbitMQ tells it.
    Created(Option<String>),
    /// 202.
    Accepted,
    /// 303: done, and a page to go on with.
    SeeOther(String),
    /// 204.
    Done,
    /// 200: what may be asked of a path.
    Options(Vec<Verb>),
    /// 503: a health check that failed, in its own words.
    Unhealthy(Value),
}

/// Why not.
#[derive(Debug, PartialEq)]
pub enum Failure {
    /// 404: nothing is at that path.
    NotFound,
    /// 404 with a reason: something the request names is missing.
    Missing(String),
    /// 400. RabbitMQ's reasons are texts or lists.
    Bad(Value),
    /// 400 with an error of its own.
    BadPage { error: &'static str, reason: String },
    /// 401 for a known user.
    NotAuthorised(&'static str),
    /// 403: a request that may not come from another site's page lacks what says so.
    Forbidden(&'static str),
    /// 401: no such user, or another password.
    WrongPassword,
    /// 401: nobody said who they are. A browser asks the user itself, unless the console asks.
    NoCredentials { by_console: bool },
    /// 405, with a reason: the node is told not to.
    Disallowed(&'static str),
    /// 405.
    OtherVerb(Vec<Verb>),
    /// A status without a body.
    Status(StatusCode),
    /// 500: the node cannot do what it should.
    Broken(String),
}

impl Failure {
    /// 400 with a text.
    pub fn bad(reason: impl Into<String>) -> Self {
        Self::Bad(Value::String(reason.into()))
    }

    /// 400 for a text that is no pattern. Erlang's texts are lists of bytes in RabbitMQ's JSON, and
    /// the pattern is one of them in some places.
    pub fn bad_pattern(shown: impl Into<Value>, error: &BadPattern) -> Self {
        Self::Bad(json!([
            "invalid_regexp",
            shown.into(),
            [error.reason.as_bytes(), error.position]
        ]))
    }

    /// 400 for body fields that are missing, as the list that RabbitMQ prints.
    pub fn keys_missing(keys: &[&str]) -> Self {
        let terms: Vec<_> = keys.iter().map(|key| format!("{{key_missing,{key}}}")).collect();
        let line = format!("[{}]", terms.join(","));
        // Erlang breaks what is longer than a line of its terminal.
        Self::bad(match line.len() > 72 {
            true => format!("[{}]", terms.join(",\n ")),
            false => line,
        })
    }

    /// What a refusal by the broker is here.
    pub fn of(refusal: impl Refusal) -> Self {
        Self::from(refusal.reply())
    }
}

impl From<NotATable> for Failure {
    fn from(error: NotATable) -> Self {
        match error {
            NotATable::Null | NotATable::TooLarge(_) => Self::bad(error.to_string()),
            NotATable::OtherShape(value) => Self::Bad(json!(["not_a_table", value])),
        }
    }
}

impl From<BrokerError> for Failure {
    fn from(error: BrokerError) -> Self {
        Self::from(error.reply())
    }
}

impl From<Reply> for Failure {
    fn from(reply: Reply) -> Self {
        match reply.code {
            ReplyCode::NotFound => Self::Missing(reply.text),
            ReplyCode::AccessRefused => Self::NotAuthorised("Access refused."),
            ReplyCode::InternalError => Self::Broken(reply.text),
            _ => Self::bad(reply.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_keys_are_printed_as_terms_a_line_each_when_long() {
        assert_eq!(
            Failure::keys_missing(&["write", "read"]),
            Failure::bad("[{key_missing,write},{key_missing,read}]")
        );
        assert_eq!(
            Failure::keys_missing(&["properties", "payload", "payload_encoding"]),
            Failure::bad("[{key_missing,properties},\n {key_missing,payload},\n {key_missing,payload_encoding}]")
        );
    }

    #[test]
    fn a_refusal_by_the_broker_keeps_its_words() {
        let failure = |code| Failure::from(Reply::channel(code, "why"));
        assert_eq!(failure(ReplyCode::NotFound), Failure::Missing("why".into()));
        assert_eq!(failure(ReplyCode::PreconditionFailed), Failure::bad("why"));
        assert_eq!(
            failure(ReplyCode::AccessRefused),
            Failure::NotAuthorised("Access refused.")
        );
    }
}
