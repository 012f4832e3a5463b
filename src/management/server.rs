//! The listener: sockets in, requests to the table of routes, answers out.
//!
//! A connection that says nothing is closed after [`IDLE`]; there are never more than
//! [`CONNECTIONS`] at once, later ones wait to be accepted; no body grows beyond the limit of the
//! configuration.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Extension, Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{Method, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tracing::{debug, error, warn};

use super::access::{self, Caller, Credentials};
use super::answer::{self, Answered, By, Failure};
use super::call::{Call, Query};
use super::endpoint::Endpoint;
use super::lifecycle::{Lifecycle, Order};
use super::route::{self, Access, Found, Parameters, Route, Run, Verb};
use super::socket::{Listener, LocalSocket, Origin};
use super::{cors, settings, table};
use crate::broker::Broker;
use crate::broker::gather::Gathered;
use crate::tasks;

/// RabbitMQ's words to whoever needs a broker that is stopped.
const STOPPED: &str =
    "this command requires the 'rabbit' app to be running on the target node. Start it with 'rabbitmqctl start_app'.";
/// Time a connection may take to send a request's head, also the first.
const IDLE: Duration = Duration::from_secs(60);
/// Bytes of the largest order.
const MOST_ORDER: usize = 16 * 1024;
/// Time a request's body may take to arrive.
const BODY: Duration = Duration::from_secs(60);
/// Connections served at once.
const CONNECTIONS: usize = 1024;
/// Time requests under way may take when the node stops.
const GRACE: Duration = Duration::from_secs(5);
/// After a failed accept, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What requests are about.
#[derive(Clone)]
pub struct Running {
    pub broker: Arc<Broker>,
    /// All listeners of the node.
    pub endpoints: Arc<[Endpoint]>,
}

/// What requests on the control socket are about.
#[derive(Clone)]
struct Local {
    /// The node's.
    name: Arc<str>,
    lifecycle: Lifecycle,
    running: watch::Receiver<Option<Running>>,
}

/// Serves the HTTP API on a socket until `shutdown` completes; requests under way are answered.
/// `endpoints` are all listeners of the node, this one among them.
pub async fn serve(
    listener: impl Into<Listener>,
    broker: Arc<Broker>,
    endpoints: impl Into<Arc<[Endpoint]>>,
    shutdown: impl Future<Output = ()>,
) {
    let endpoints = endpoints.into();
    let router = Router::new()
        .fallback(dispatch)
        .with_state(Running { broker, endpoints });
    accept(listener.into(), router, shutdown).await;
}

/// Serves the control socket of the node of that name until `shutdown` completes: the HTTP API
/// while the broker is `running`, and below `/api/local/` the node's name and orders to the process
/// at any time.
pub async fn serve_local(
    socket: LocalSocket,
    name: &str,
    lifecycle: Lifecycle,
    running: watch::Receiver<Option<Running>>,
    shutdown: impl Future<Output = ()>,
) {
    let name = name.into();
    let router = Router::new().fallback(dispatch_local).with_state(Local {
        name,
        lifecycle,
        running,
    });
    accept(socket.into(), router, shutdown).await;
}

async fn accept(listener: Listener, router: Router, shutdown: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let (stop, stopped) = watch::channel(());
    let mut shutdown = pin!(shutdown);
    loop {
        let next = async {
            // The semaphore is never closed.
            let place = places.clone().acquire_owned().await.ok();
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            () = &mut shutdown => break,
        };
        match accepted {
            Ok((stream, from)) => {
                let connection = connection(stream, from, router.clone(), stopped.clone());
                tasks::spawn("http connection", async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "the HTTP API cannot accept connections");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    drop(stop);
    let _ = timeout(GRACE, places.acquire_many(CONNECTIONS as u32)).await;
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    from: Origin,
    router: Router,
    mut stopped: watch::Receiver<()>,
) {
    let service = TowerToHyperService::new(router.layer(Extension(from)));
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(IDLE);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let result = tokio::select! {
        result = &mut connection => result,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        debug!(%error, "an HTTP connection ended");
    }
}

async fn dispatch_local(State(local): State<Local>, from: Extension<Origin>, request: Request) -> Response<Body> {
    let Some(order) = request.uri().path().strip_prefix("/api/local/").map(str::to_owned) else {
        let running = local.running.borrow().clone();
        return match running {
            Some(running) => dispatch(State(running), from, request).await,
            None => answered(StatusCode::SERVICE_UNAVAILABLE, STOPPED),
        };
    };
    if order == "name" {
        let name = serde_json::json!({"name": &*local.name, "starting": local.lifecycle.is_starting()});
        return Response::new(Body::from(name.to_string()));
    }
    let running = local.running.borrow().clone();
    if order == "environment" {
        return match running {
            Some(running) => {
                let keys = serde_json::json!(running.broker.config().effective());
                Response::new(Body::from(keys.to_string()))
            }
            None => answered(StatusCode::SERVICE_UNAVAILABLE, STOPPED),
        };
    }
    let body = axum::body::to_bytes(request.into_body(), MOST_ORDER)
        .await
        .unwrap_or_default();
    let fields: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    if order == "setting" {
        let text = |field: &str| fields[field].as_str().unwrap_or_default();
        return match running.map(|running| settings::set(&running.broker, text("key"), text("value"))) {
            Some(Ok(())) => answered(StatusCode::NO_CONTENT, ""),
            Some(Err(reason)) => answered(StatusCode::BAD_REQUEST, &reason),
            None => answered(StatusCode::SERVICE_UNAVAILABLE, STOPPED),
        };
    }
    match Order::named(&order, fields["node"].as_str()) {
        None => answered(StatusCode::NOT_FOUND, "there is no such order"),
        Some(order) => match local.lifecycle.give(order).await {
            Ok("") => answered(StatusCode::NO_CONTENT, ""),
            Ok(said) => Response::new(Body::from(serde_json::json!({"message": said}).to_string())),
            Err(reason) => answered(StatusCode::BAD_REQUEST, &reason),
        },
    }
}

/// An answer that needs no broker.
fn answered(status: StatusCode, reason: &str) -> Response<Body> {
    let body = match reason {
        "" => String::new(),
        reason => serde_json::json!({"error": "bad_request", "reason": reason}).to_string(),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
}

async fn dispatch(State(node): State<Running>, Extension(from): Extension<Origin>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let config = &node.broker.config().management;
    // The operator's socket has no prefix: nothing else is served on it.
    let prefix = match from {
        Origin::Operator => "",
        Origin::Address(_) => config.path_prefix.as_str(),
    };
    let path = parts.uri.path().strip_prefix(prefix);
    let Some(path) = path.and_then(|path| path.strip_prefix("/api")) else {
        return match path {
            Some("/cli" | "/cli/") => answer::moved(&format!("{prefix}/cli/index.html")),
            _ => answer::response(Err(Failure::NotFound), By::Table, config),
        };
    };
    if matches!(path, "" | "/") {
        return answer::moved(&format!("{prefix}/api/index.html"));
    }
    let path = path.to_owned();
    let origin = parts.headers.get(axum::http::header::ORIGIN).cloned();
    let mut silent = Vec::new();
    let (answered, by) = match find(&parts, &path) {
        Ok((route, parameters)) => match admit(&node.broker, &parts, route, &parameters, from) {
            Ok(caller) => {
                let call = call(&node, caller, from, parameters, &parts, body).await;
                (run(route, call, &mut silent).await, By::Handler)
            }
            Err(failure) => (Err(failure), By::Table),
        },
        Err(answered) => (answered, By::Table),
    };
    if let Err(Failure::Broken(reason)) = &answered {
        error!(path, reason, "a request to the HTTP API failed");
    }
    let mut response = answer::response(answered, by, config);
    answer::without(&mut response, &silent);
    cors::allow(&mut response, origin, &parts.method, config);
    response
}

/// The route of a request, or the answer when there is none.
fn find(parts: &Parts, path: &str) -> Result<(&'static Route, Parameters), Answered> {
    let segments = route::segments(path).ok_or(Err(Failure::Status(StatusCode::BAD_REQUEST)))?;
    let verb = Verb::named(parts.method.as_str());
    match route::find(table(), verb, &segments) {
        Found::Route(route, parameters) => Ok((route, parameters)),
        Found::OtherVerb(verbs) if parts.method == Method::OPTIONS => Err(Ok(answer::Answer::Options(verbs))),
        Found::OtherVerb(verbs) => Err(Err(Failure::OtherVerb(verbs))),
        Found::Nothing => Err(Err(Failure::NotFound)),
    }
}

/// Who asks, if the route's rule lets them and the answer is of a kind they take.
fn admit(
    broker: &Broker,
    parts: &Parts,
    route: &Route,
    parameters: &[(&'static str, String)],
    from: Origin,
) -> Result<Caller, Failure> {
    let caller = match route.access {
        Access::Anyone => Caller::anyone(),
        rule => {
            let caller = match (from, access::credentials(parts)) {
                (Origin::Operator, Credentials::None) => Caller::operator(),
                (_, credentials) => access::authenticate(broker, credentials, from.address())?,
            };
            let vhost = parameters.iter().find(|(name, _)| *name == "vhost");
            access::check(rule, &caller, vhost.map(|(_, vhost)| vhost.as_str()), &broker.catalog())?;
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
    parameters: Parameters,
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
        gathered: Gathered::default(),
        endpoints: node.endpoints.clone(),
        parameters,
        query: Query::parse(parts.uri.query().unwrap_or_default()),
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
        call.gather(about).await;
        *silent = call.gathered.silent();
    }
    // A handler that panics answers 500 as any other failure of ours.
    let broken = |error: tokio::task::JoinError| Err(Failure::Broken(error.to_string()));
    match route.run {
        Run::Now(run) | Run::Gathered(_, run) => tokio::task::spawn_blocking(move || run(&call))
            .await
            .unwrap_or_else(broken),
        // A task of its own: what was begun is done, also when the client goes away.
        Run::Later(run) => tasks::spawn("http request", run(call)).await.unwrap_or_else(broken),
    }
}
