//! The listener: connections in, their requests to a router, answers out.
//!
//! A connection that says nothing is closed after [`IDLE`]; there are never more than
//! [`CONNECTIONS`] at once, later ones wait to be accepted.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Extension;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::endpoint::Endpoint;
use super::lifecycle::Lifecycle;
use super::local::{self, Local};
use super::router;
use super::running::Running;
use super::socket::{Listener, LocalSocket, Origin};
use crate::broker::Broker;
use crate::tasks;

/// Time a connection may take to send a request's head, also the first.
const IDLE: Duration = Duration::from_secs(60);
/// Connections served at once.
const CONNECTIONS: usize = 1024;
/// Time requests under way may take when the node stops.
const GRACE: Duration = Duration::from_secs(5);
/// After a failed accept, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves the HTTP API on a socket until `shutdown` completes; requests under way are answered.
/// `endpoints` are all listeners of the node, this one among them.
pub async fn serve(
    listener: impl Into<Listener>,
    broker: Arc<Broker>,
    endpoints: impl Into<Arc<[Endpoint]>>,
    shutdown: impl Future<Output = ()>,
) {
    let router = router::public(&broker.config().management);
    let endpoints = endpoints.into();
    let router = router.layer(Extension(Running { broker, endpoints }));
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
    let router = local::router(Local {
        name: name.into(),
        lifecycle,
        running,
    });
    accept(socket.into(), router, shutdown).await;
}

/// Serves a router on a socket until `shutdown` completes.
pub async fn accept(listener: Listener, router: Router, shutdown: impl Future<Output = ()>) {
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
            Ok(incoming) => {
                let (router, stopped) = (router.clone(), stopped.clone());
                tasks::spawn("http connection", async move {
                    if let Some((stream, from)) = incoming.open().await {
                        connection(stream, from, router, stopped).await;
                    }
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
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request| {
        request.extensions_mut().insert(from);
        router.call(request)
    });
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
