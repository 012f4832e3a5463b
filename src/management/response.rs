//! How an answer goes out: status, headers and body as RabbitMQ sends them.

use std::hash::{DefaultHasher, Hasher};

use axum::body::Body;
use axum::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName,
    HeaderValue, LOCATION, REFERRER_POLICY, SERVER, SET_COOKIE, STRICT_TRANSPORT_SECURITY, VARY, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS, X_XSS_PROTECTION,
};
use axum::http::{Response, StatusCode};
use serde_json::{Value, json};

use super::answer::{Answer, Answered, Failure};
use super::route::{Route, Verb};
use crate::config::Management;

/// Names the nodes whose part of an answer is missing.
const SILENT: HeaderName = HeaderName::from_static("x-silent-nodes");
const MUST_REVALIDATE: &str = "public, max-age=0, must-revalidate";

/// Who gave the answer; caches are told apart by it, as RabbitMQ does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// The table of routes or the access check: no handler was asked.
    Table,
    Handler,
    /// A handler of a resource that RabbitMQ has in one kind of body only.
    PlainHandler,
}

impl By {
    /// The handler of a route.
    pub fn handler_of(route: &Route) -> Self {
        match route.is_plain {
            true => Self::PlainHandler,
            false => Self::Handler,
        }
    }
}

/// The response to what a handler said.
pub fn of(answered: Answered, by: By) -> Response<Body> {
    let mut response = match answered {
        Ok(answer) => accepted(answer),
        Err(failure) => refused(failure),
    };
    describe(&mut response, by);
    response
}

/// The response to a `GET`: an answer that the client has already is not sent again. `known` is its
/// `If-None-Match` (RFC 9110, 13.1.2).
pub fn to_get(answered: Answered, by: By, known: Option<&HeaderValue>) -> Response<Body> {
    let Ok(Answer::Json(value)) = &answered else {
        return of(answered, by);
    };
    let text = value.to_string();
    let tag = tag(&text);
    let is_known = known.is_some_and(|known| names(known, &tag));
    let mut response = match is_known {
        true => fresh(unchanged()),
        false => fresh(body(StatusCode::OK, "application/json", text.into_bytes())),
    };
    insert(&mut response, ETAG, &tag);
    describe(&mut response, by);
    response
}

/// What tells one body from another. It is weak: the same body is sent plain and compressed.
fn tag(text: &str) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    format!("W/\"{:016x}{:x}\"", hasher.finish(), text.len())
}

/// Whether a list of tags holds this one.
fn names(known: &HeaderValue, tag: &str) -> bool {
    let mut known = known.to_str().unwrap_or_default().split(',').map(str::trim);
    let bare = |tag: &str| tag.trim_start_matches("W/").to_owned();
    known.any(|known| known == "*" || bare(known) == bare(tag))
}

fn unchanged() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response
}

/// Pages run no script and are shown in no frame, whatever the configuration says of the API.
pub fn as_page(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    for (name, value) in [
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn describe(response: &mut Response<Body>, by: By) {
    let headers = response.headers_mut();
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static(MUST_REVALIDATE));
    headers.entry(VARY).or_insert(HeaderValue::from_static(match by {
        By::Table => "origin, accept-encoding",
        By::Handler => "accept, accept-encoding, origin",
        By::PlainHandler => "accept-encoding, origin",
    }));
    // Named as RabbitMQ's, which tools that fingerprint the API go by.
    headers.insert(SERVER, HeaderValue::from_static("Cowboy"));
}

/// The headers that the configuration adds to every answer.
pub fn fixed(config: &Management) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let all = [
        (CONTENT_SECURITY_POLICY, &config.content_security_policy),
        (STRICT_TRANSPORT_SECURITY, &config.strict_transport_security),
        (X_CONTENT_TYPE_OPTIONS, &config.content_type_options),
        (X_XSS_PROTECTION, &config.xss_protection),
        (X_FRAME_OPTIONS, &config.frame_options),
    ];
    all.into_iter()
        .filter_map(|(name, value)| Some((name, HeaderValue::from_str(value.as_deref()?).ok()?)))
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
        Answer::Html(page) => as_page(body(StatusCode::OK, "text/html; charset=utf-8", page.into_bytes())),
        Answer::Text(text) => body(StatusCode::OK, "text/plain", text.into_bytes()),
        Answer::Script(text) => body(StatusCode::OK, "application/octet-stream", text.as_bytes().to_vec()),
        Answer::Cookie { cookie, value } => {
            let mut response = match value {
                Some(value) => fresh(json_body(StatusCode::OK, &value)),
                None => done(),
            };
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
        Answer::Done => done(),
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
        Failure::Forbidden(reason) => told(StatusCode::FORBIDDEN, "forbidden", reason.into()),
        Failure::NoCredentials { by_console } => {
            let mut response = empty(StatusCode::UNAUTHORIZED);
            if !by_console {
                insert(&mut response, WWW_AUTHENTICATE, "Basic realm=\"RabbitMQ Management\"");
            }
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

fn done() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_method_is_told_which_there_are() {
        let response = of(Err(Failure::OtherVerb(vec![Verb::Get, Verb::Put])), By::Table);
        assert_eq!(response.status(), 405);
        assert_eq!(response.headers()[ALLOW], "HEAD, GET, PUT, OPTIONS");
    }

    #[test]
    fn what_the_client_has_is_not_sent_again() {
        let ask = |value: Value, known: Option<&str>| {
            let known = known.map(|known| HeaderValue::from_str(known).expect("a header"));
            to_get(Ok(Answer::Json(value)), By::Handler, known.as_ref())
        };
        let first = ask(json!([1]), None);
        let tag = first.headers()[ETAG].to_str().expect("a text").to_owned();
        assert_eq!(first.status(), 200);
        let strong = tag.trim_start_matches("W/").to_owned();
        for known in [&tag, &strong, &format!("\"x\", {tag}"), "*"] {
            let again = ask(json!([1]), Some(known));
            assert_eq!(again.status(), 304, "{known}");
            assert_eq!(again.headers()[ETAG], tag.as_str());
        }
        assert_eq!(ask(json!([2]), Some(&tag)).status(), 200);
    }
}
