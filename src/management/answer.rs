//! What a handler says, and how it goes out: status, headers and body as RabbitMQ sends them.

use axum::body::Body;
use axum::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName,
    HeaderValue, LOCATION, SERVER, SET_COOKIE, STRICT_TRANSPORT_SECURITY, VARY, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS, X_XSS_PROTECTION,
};
use axum::http::{Response, StatusCode};
use serde_json::{Value, json};

use super::route::Verb;
use crate::broker::BrokerError;
use crate::config::Management;
use crate::metadata::json::NotATable;
use crate::pattern::BadPattern;
use crate::types::{Refusal, Reply, ReplyCode};

/// Names the nodes whose part of an answer is missing.
const SILENT: HeaderName = HeaderName::from_static("x-silent-nodes");

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
    /// 200 with a cookie that keeps the credentials.
    LoggedIn { cookie: String },
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
    /// 401: no such user, or another password.
    WrongPassword,
    /// 401: nobody said who they are.
    NoCredentials,
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
}

impl Failure {
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

/// Who gave the answer; caches are told apart by it, as RabbitMQ does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// The table of routes or the access check: no handler was asked.
    Table,
    Handler,
}

/// The response to what a handler said.
pub fn response(answered: Answered, by: By, config: &Management) -> Response<Body> {
    let mut response = match answered {
        Ok(answer) => accepted(answer),
        Err(failure) => refused(failure),
    };
    let headers = response.headers_mut();
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static(MUST_REVALIDATE));
    headers.entry(VARY).or_insert(HeaderValue::from_static(match by {
        By::Table => "origin, accept-encoding",
        By::Handler => "accept, accept-encoding, origin",
    }));
    // Named as RabbitMQ's, which tools that fingerprint the API go by.
    headers.insert(SERVER, HeaderValue::from_static("Cowboy"));
    let fixed = [
        (CONTENT_SECURITY_POLICY, &config.content_security_policy),
        (STRICT_TRANSPORT_SECURITY, &config.strict_transport_security),
        (X_CONTENT_TYPE_OPTIONS, &config.content_type_options),
        (X_XSS_PROTECTION, &config.xss_protection),
        (X_FRAME_OPTIONS, &config.frame_options),
    ];
    for (name, value) in fixed {
        if let Some(value) = value.as_deref().and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.insert(name, value);
        }
    }
    response
}

/// Says in a header which nodes did not answer, so that it is known whose part is missing.
pub fn without(response: &mut Response<Body>, silent: &[String]) {
    if !silent.is_empty() {
        insert(response, SILENT, &silent.join(", "));
    }
}

/// A redirection, which RabbitMQ sends without the headers of an answer.
pub fn moved(to: &str) -> Response<Body> {
    let mut response = empty(StatusCode::MOVED_PERMANENTLY);
    insert(&mut response, LOCATION, to);
    let headers = response.headers_mut();
    headers.insert(SERVER, HeaderValue::from_static("Cowboy"));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    response
}

fn accepted(answer: Answer) -> Response<Body> {
    match answer {
        Answer::Json(value) => fresh(json_body(StatusCode::OK, &value)),
        Answer::Download { name, value } => {
            let mut response = fresh(json_body(StatusCode::OK, &value));
            insert(
                &mut response,
                CONTENT_DISPOSITION,
                &format!("attachment; filename={name}"),
            );
            response
        }
        Answer::Unhealthy(value) => fresh(json_body(StatusCode::SERVICE_UNAVAILABLE, &value)),
        Answer::Html(page) => body(StatusCode::OK, "text/html", page.into_bytes()),
        Answer::LoggedIn { cookie } => {
            let mut response = fresh(json_body(StatusCode::OK, &json!("ok")));
            insert(&mut response, SET_COOKIE, &cookie);
            response
        }
        Answer::Created(location) => {
            let mut response = empty(StatusCode::CREATED);
            if let Some(location) = location {
                insert(&mut response, LOCATION, &location);
            }
            response
        }
        Answer::Accepted => empty(StatusCode::ACCEPTED),
        Answer::SeeOther(page) => {
            let mut response = empty(StatusCode::SEE_OTHER);
            insert(&mut response, LOCATION, &page);
            response
        }
        Answer::Done => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        }
        Answer::Options(verbs) => {
            let mut response = empty(StatusCode::OK);
            response.headers_mut().insert(ALLOW, allow(&verbs));
            response
        }
    }
}

fn refused(failure: Failure) -> Response<Body> {
    let told = |status, error: &str, reason: Value| json_body(status, &json!({"error": error, "reason": reason}));
    match failure {
        Failure::NotFound => told(StatusCode::NOT_FOUND, "Object Not Found", json!("Not Found")),
        Failure::Missing(reason) => told(StatusCode::NOT_FOUND, "not_found", reason.into()),
        Failure::Bad(reason) => told(StatusCode::BAD_REQUEST, "bad_request", reason),
        Failure::BadPage { error, reason } => told(StatusCode::BAD_REQUEST, error, reason.into()),
        Failure::NotAuthorised(reason) => told(StatusCode::UNAUTHORIZED, "not_authorised", reason.into()),
        Failure::WrongPassword => told(StatusCode::UNAUTHORIZED, "not_authorized", "Not_Authorized".into()),
        Failure::Broken(reason) => told(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", reason.into()),
        Failure::NoCredentials => {
            let mut response = empty(StatusCode::UNAUTHORIZED);
            insert(&mut response, WWW_AUTHENTICATE, "Basic realm=\"RabbitMQ Management\"");
            response
        }
        Failure::Disallowed(reason) => told(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", reason.into()),
        Failure::OtherVerb(verbs) => {
            let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
            response.headers_mut().insert(ALLOW, allow(&verbs));
            response
        }
        Failure::Status(status) => empty(status),
    }
}

fn allow(verbs: &[Verb]) -> HeaderValue {
    let head = verbs.contains(&Verb::Get).then_some("HEAD");
    let names = verbs.iter().map(|verb| verb.name());
    let all: Vec<_> = head.into_iter().chain(names).chain(["OPTIONS"]).collect();
    HeaderValue::from_str(&all.join(", ")).unwrap_or(HeaderValue::from_static("OPTIONS"))
}

fn json_body(status: StatusCode, value: &Value) -> Response<Body> {
    body(status, "application/json", value.to_string().into_bytes())
}

fn body(status: StatusCode, content_type: &'static str, bytes: Vec<u8>) -> Response<Body> {
    let length = bytes.len();
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    response
}

/// What changes from one moment to the next is not to be kept.
fn fresh(mut response: Response<Body>) -> Response<Body> {
    let no_cache = HeaderValue::from_static("no-cache");
    response.headers_mut().insert(CACHE_CONTROL, no_cache);
    response
}

/// Names in locations may hold anything; what no header can carry is left out.
fn insert(response: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

const MUST_REVALIDATE: &str = "public, max-age=0, must-revalidate";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

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
    fn an_unknown_method_is_told_which_there_are() {
        let response = response(
            Err(Failure::OtherVerb(vec![Verb::Get, Verb::Put])),
            By::Table,
            &Config::default().management,
        );
        assert_eq!(response.status(), 405);
        assert_eq!(response.headers()[ALLOW], "HEAD, GET, PUT, OPTIONS");
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
