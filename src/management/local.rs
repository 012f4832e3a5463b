//! The socket of whoever runs the node: the API while the broker runs, and at any time orders to the
//! process below `/api/local/`.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::lifecycle::{Lifecycle, Order};
use super::router;
use super::running::Running;

/// RabbitMQ's words to whoever needs a broker that is stopped.
const STOPPED: &str =
    "this command requires the 'rabbit' app to be running on the target node. Start it with 'rabbitmqctl start_app'.";
/// Bytes of the largest order.
const MOST_ORDER: usize = 16 * 1024;

/// What requests on the socket are about.
#[derive(Clone)]
pub struct Local {
    /// The node's.
    pub name: Arc<str>,
    pub lifecycle: Lifecycle,
    pub running: watch::Receiver<Option<Running>>,
}

impl Local {
    fn running(&self) -> Option<Running> {
        self.running.borrow().clone()
    }
}

/// All that is served on the socket.
pub fn router(local: Local) -> Router {
    let api = Router::new()
        .fallback_service(router::api("", None))
        .layer(from_fn_with_state(local.clone(), while_it_runs));
    let orders = Router::new()
        .route("/api/local/name", get(name))
        .route("/api/local/{order}", put(carry_out))
        .layer(DefaultBodyLimit::max(MOST_ORDER))
        .with_state(local);
    router::respelled(orders.fallback_service(api))
}

/// Lets requests to the API through while there is one.
async fn while_it_runs(State(local): State<Local>, mut request: Request, next: Next) -> Response {
    let Some(running) = local.running() else {
        return stopped();
    };
    request.extensions_mut().insert(running);
    next.run(request).await
}

async fn name(State(local): State<Local>) -> Json<Value> {
    Json(json!({
        "name": &*local.name,
        "starting": local.lifecycle.is_starting(),
        "pid": std::process::id(),
    }))
}

/// What an order needs to know.
#[derive(Deserialize)]
struct Details {
    node: Option<String>,
}

async fn carry_out(State(local): State<Local>, Path(order): Path<String>, Json(details): Json<Details>) -> Response {
    let Some(order) = Order::named(&order, details.node.as_deref()) else {
        return refused(StatusCode::NOT_FOUND, "there is no such order");
    };
    match local.lifecycle.give(order).await {
        Ok("") => StatusCode::NO_CONTENT.into_response(),
        Ok(said) => Json(json!({"message": said})).into_response(),
        Err(reason) => refused(StatusCode::BAD_REQUEST, &reason),
    }
}

fn stopped() -> Response {
    refused(StatusCode::SERVICE_UNAVAILABLE, STOPPED)
}

fn refused(status: StatusCode, reason: &str) -> Response {
    (status, Json(json!({"error": "bad_request", "reason": reason}))).into_response()
}
