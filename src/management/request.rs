//! A request on its way: who asks, what is asked, the handler, the response.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{Extension, RawPathParams, Request};
use axum::http::header::{ACCEPT, CONTENT_TYPE, IF_NONE_MATCH};
use axum::http::request::Parts;
use axum::http::{Response, StatusCode};
use tokio::time::timeout;
use tracing::error;

use super::access::{self, Caller, Credentials};
use super::answer::{Answered, Failure};
use super::browser::Browser;
use super::call::{Call, named};
use super::query::Query;
use super::response::{self, By};
use super::route::{Access, Route, Run, Verb};
use super::running::Running;
use super::socket::Origin;
use crate::broker::{Broker, ROUNDS};
use crate::statistics::Windows;
use crate::tasks;

/// Time a request's body may take to arrive.
const BODY: Duration = Duration::from_secs(60);

/// Answers a request to a route.
pub async fn answer(
    route: &'static Route,
    Extension(node): Extension<Running>,
    Extension(from): Extension<Origin>,
    names: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let mut silent = Vec::new();
    let names = names.map_err(|_| Failure::Status(StatusCode::BAD_REQUEST));
    let admitted = match names {
        Ok(names) => admit(&node.broker, &parts, route, &names, from)
            .await
            .map(|caller| (caller, names)),
        Err(failure) => Err(failure),
    };
    let (answered, by) = match admitted {
        Ok((caller, names)) => {
            let call = call(&node, caller, from, names, &parts, body).await;
            let answered = run(route, call, &mut silent).await;
            let by = match answered {
                // A login's, which is no other than that of any request.
                Err(Failure::WrongPassword) => By::Table,
                _ => By::handler_of(route),
            };
            (answered, by)
        }
        Err(failure) => (Err(failure), By::Table),
    };
    if let Err(Failure::Broken(reason)) = &answered {
        error!(path = parts.uri.path(), reason, "a request to the HTTP API failed");
    }
    let mut response = match route.verb {
        Verb::Get => response::to_get(answered, by, parts.headers.get(IF_NONE_MATCH)),
        _ => response::of(answered, by),
    };
    response::without(&mut response, &silent);
    response
}

/// Who asks, if the route's rule lets them and the answer is of a kind they take.
async fn admit(
    broker: &Arc<Broker>,
    parts: &Parts,
    route: &Route,
    names: &RawPathParams,
    from: Origin,
) -> Result<Caller, Failure> {
    let caller = match route.access {
        Access::Anyone => Caller::anyone(),
        rule => {
            let browser = Browser::of(parts, from);
            let caller = match (from, access::credentials(parts, &browser)) {
                (Origin::Operator, Credentials::None { .. }) => Caller::operator(),
                (_, Credentials::Session(_)) if route.verb != Verb::Get && !browser.is_console => {
                    return Err(Failure::Forbidden(
                        "a request with a cookie that changes something needs the header X-Warren-Session",
                    ));
                }
                (_, Credentials::Session(token)) => access::bearer(broker, &token, from.address()).await?,
                (_, Credentials::Ticket(ticket)) => access::operator_by(broker, from, parts, &ticket)?,
                (_, credentials) => access::authenticate(broker, credentials, from.address()).await?,
            };
            let check = || access::check(rule, &caller, named(names, "vhost"), &broker.catalogue());
            let mut allowed = check();
            if broker.access().find_answers(&caller.rights).await {
                allowed = check();
            }
            allowed?;
            caller
        }
    };
    if takes_answer(parts) || route.path == "/index.html" {
        Ok(caller)
    } else {
        Err(Failure::Status(StatusCode::NOT_ACCEPTABLE))
    }
}

/// Whether the client takes JSON.
fn takes_answer(parts: &Parts) -> bool {
    let mut accepted = parts.headers.get_all(ACCEPT).iter().peekable();
    accepted.peek().is_none()
        || accepted.any(|value| {
            let kinds = value.to_str().unwrap_or_default().split(',');
            kinds
                .map(|kind| kind.split(';').next().unwrap_or_default().trim())
                .any(|kind| matches!(kind, "*/*" | "application/*" | "application/json" | ""))
        })
}

/// Gathers what the handler reads.
async fn call(
    node: &Running,
    caller: Caller,
    from: Origin,
    parameters: RawPathParams,
    parts: &Parts,
    body: Body,
) -> Result<Call, Failure> {
    let content_type = parts.headers.get(CONTENT_TYPE);
    if content_type.is_some_and(|kind| !kind.as_bytes().contains(&b'/')) {
        return Err(Failure::Status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    let content_type = content_type.and_then(|kind| kind.to_str().ok()).map(str::to_owned);
    let reason = parts.headers.get("x-reason").and_then(|reason| reason.to_str().ok());
    Ok(Call {
        broker: node.broker.clone(),
        caller,
        from: from.address(),
        connections: OnceLock::new(),
        gathered: Arc::default(),
        windows: Windows::default(),
        trend: None,
        endpoints: node.endpoints.clone(),
        parameters: parameters.into(),
        query: Query::of(&parts.uri),
        browser: Browser::of(parts, from),
        reason: reason.map(str::to_owned),
        content_type,
        body: read(body, node.broker.config().management.max_body_bytes).await?,
    })
}

async fn read(body: Body, limit: u64) -> Result<Bytes, Failure> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    match timeout(BODY, axum::body::to_bytes(body, limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(Failure::bad("Exceeded HTTP request body size limit")),
        Err(_) => Err(Failure::Status(StatusCode::REQUEST_TIMEOUT)),
    }
}

/// Has a request answered, and says which nodes had no part in the answer that may know more.
async fn run(route: &'static Route, call: Result<Call, Failure>, silent: &mut Vec<String>) -> Answered {
    let mut call = call?;
    if let Run::Gathered(about, _) = route.run {
        call.gather(about).await?;
        *silent = call.gathered.silent();
    }
    let (broker, rights) = (call.broker.clone(), call.caller.rights.clone());
    let again = rights.granted().map(|_| call.clone());
    for _ in 0..ROUNDS {
        let answered = run_once(route, call).await;
        let Some(next) = &again else {
            return answered;
        };
        // Lists lack what is not known yet; whatever changes something has changed nothing when it is refused.
        let is_done = answered.is_ok() && matches!(route.run, Run::Later(_));
        if is_done || !broker.access().find_answers(&rights).await {
            return answered;
        }
        call = next.clone();
    }
    Err(Failure::Broken("a backend for users has too much to say".to_owned()))
}

async fn run_once(route: &'static Route, call: Call) -> Answered {
    // A handler that panics answers 500 as any other failure of ours.
    let broken = |error: tokio::task::JoinError| Err(Failure::Broken(error.to_string()));
    match route.run {
        Run::Now(run) | Run::Gathered(_, run) => tasks::blocking(move || run(&call)).await.unwrap_or_else(broken),
        // A task of its own: what was begun is done, also when the client goes away.
        Run::Later(run) => tasks::spawn("http request", run(call)).await.unwrap_or_else(broken),
    }
}
