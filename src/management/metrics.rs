//! Where Prometheus scrapes: a listener of its own with pages of text, as RabbitMQ's plugin has one.
//!
//! `/metrics` (or `prometheus.path`) has sums, `/metrics/per-object` each queue, connection and channel,
//! `/metrics/detailed?family=…&vhost=…` what is asked for, `/metrics/memory-breakdown` the memory. HTTP is
//! served by [`super::server`] as for the API.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{Response, StatusCode};
use axum::routing::{MethodRouter, get};
use tower_http::compression::CompressionLayer;

use super::access::{self, Credentials};
use super::answer::Failure;
use super::browser::Browser;
use super::parameters::cluster_name;
use super::query::Query;
use super::response::{self, By};
use super::route::{Access, Verb};
use super::router::escaped;
use super::server::accept;
use super::socket::{Listener, Origin};
use crate::broker::Broker;
use crate::metrics::{CONTENT_TYPE as TEXT, Page};
use crate::tasks;

/// Which page a request is for.
type Choose = fn(&Broker, &Query) -> Page;

/// Serves metrics on a socket until `shutdown` completes.
pub async fn serve(listener: impl Into<Listener>, broker: Arc<Broker>, shutdown: impl Future<Output = ()>) {
    accept(listener.into(), router(broker), shutdown).await;
}

fn router(broker: Arc<Broker>) -> Router {
    let path = format!("/{}", broker.config().prometheus.path.trim_matches('/'));
    let base = escaped(&path);
    let pages: [(&str, Choose); 4] = [
        ("", |broker, _| match broker.config().prometheus.per_object {
            true => Page::Each,
            false => Page::Sums,
        }),
        ("/per-object", |_, _| Page::Each),
        ("/detailed", |_, query| Page::Detailed {
            families: query.all("family"),
            vhosts: query.all("vhost"),
        }),
        ("/memory-breakdown", |_, _| Page::Memory),
    ];
    let with_pages = pages
        .into_iter()
        .fold(Router::new().without_v07_checks(), |router, (below, page)| {
            let path = format!("{}{below}", base.trim_end_matches('/'));
            router.route(if path.is_empty() { "/" } else { &path }, scraped(page))
        });
    let registry_unknown = get(async || plain(StatusCode::NOT_FOUND, "Unknown Registry"));
    let below = format!("{}/{{registry}}", base.trim_end_matches('/'));
    with_pages
        .route(&below, registry_unknown)
        .fallback(async || response::of(Err(Failure::NotFound), By::Table))
        .layer(CompressionLayer::new().gzip(true))
        .with_state(broker)
}

/// Answers with a page to whoever may see it.
fn scraped(page: Choose) -> MethodRouter<Arc<Broker>> {
    let answer =
        async move |State(broker): State<Arc<Broker>>, Extension(from): Extension<Origin>, request: Request| {
            let (parts, _) = request.into_parts();
            if let Some(refusal) = refusal(&broker, &parts, from).await {
                return refusal;
            }
            let page = page(&broker, &Query::of(&parts.uri));
            // It reads files of the system and takes a while with many queues.
            let text = tasks::blocking(move || {
                let facts = broker.reports().scrape(&page, cluster_name(&broker));
                page.text(facts)
            });
            match text.await {
                Ok(text) => plain(StatusCode::OK, &text),
                Err(error) => response::of(Err(Failure::Broken(error.to_string())), By::Handler),
            }
        };
    get(answer).fallback(async || response::of(Err(Failure::OtherVerb(vec![Verb::Get])), By::Table))
}

/// What whoever asks is told instead, where metrics are not for everybody.
async fn refusal(broker: &Broker, parts: &Parts, from: Origin) -> Option<Response<Body>> {
    if !broker.config().prometheus.authentication {
        return None;
    }
    let credentials = access::credentials(parts, &Browser::default());
    if matches!(credentials, Credentials::None { .. }) {
        let mut response = plain(StatusCode::UNAUTHORIZED, "");
        let realm = HeaderValue::from_static("Basic realm=\"RabbitMQ Prometheus\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, realm);
        return Some(response);
    }
    let admitted = access::authenticate(broker, credentials, from.address())
        .await
        .and_then(|caller| access::check(Access::Monitoring, &caller, None, &broker.catalogue()));
    admitted.err().map(|failure| response::of(Err(failure), By::Table))
}

fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(text.to_owned()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    response
}
