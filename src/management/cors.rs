//! Pages of other origins that may use the API (the CORS protocol of the Fetch standard).

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderValue;
use axum::http::header::{ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_MAX_AGE, ALLOW};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::MethodRouter;
use tower_http::cors::{AllowCredentials, AllowHeaders, AllowOrigin, CorsLayer};

use super::answer::Answer;
use super::response::{self, By};
use super::route::Verb;
use crate::config::Management;

/// What other origins may do.
#[derive(Clone)]
pub struct Cors(CorsLayer);

impl Cors {
    /// `None` where no other origin may do anything.
    pub fn of(config: &Management) -> Option<Self> {
        let origins: Arc<[String]> = config.cors_allow_origins.values().cloned().collect();
        if origins.is_empty() {
            return None;
        }
        let is_allowed = move |origin: &HeaderValue| {
            let mut origins = origins.iter();
            origins.any(|allowed| allowed == "*" || allowed.as_bytes() == origin.as_bytes())
        };
        let may_sign_in = is_allowed.clone();
        let layer = CorsLayer::new()
            .allow_origin(AllowOrigin::predicate(move |origin, _| is_allowed(origin)))
            .allow_credentials(AllowCredentials::predicate(move |origin, _| may_sign_in(origin)))
            .allow_headers(AllowHeaders::mirror_request())
            .max_age(Duration::from_secs(config.cors_max_age_s.into()))
            // The answers say it themselves.
            .vary([]);
        Some(Self(layer))
    }

    /// A path that answers these verbs, for other origins too.
    pub fn over(&self, path: MethodRouter, verbs: Vec<Verb>) -> MethodRouter {
        path.layer(self.0.clone())
            .layer(map_response(move |response| with_methods(response, verbs.clone())))
    }
}

/// The layer answers `OPTIONS` before any handler: what the path says of itself is added here.
async fn with_methods(response: Response, verbs: Vec<Verb>) -> Response {
    if !response.headers().contains_key(ACCESS_CONTROL_MAX_AGE) {
        return response;
    }
    let mut whole = response::of(Ok(Answer::Options(verbs)), By::Table);
    let headers = whole.headers_mut();
    headers.extend(response.headers().clone());
    if let Some(methods) = headers.get(ALLOW).cloned() {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    }
    whole
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::http::header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN, SERVER, VARY,
    };
    use axum::http::{HeaderMap, Request};
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;
    use crate::config::Config;

    /// The headers of an answer to a page of an origin.
    async fn answered(allowed: &[&str], method: &str, origin: &str) -> HeaderMap {
        let mut config = Config::default().management;
        let allowed = allowed.iter().map(|origin| (*origin).to_owned());
        config.cors_allow_origins.replace(allowed);
        let path = get(async || "");
        let path = match Cors::of(&config) {
            Some(cors) => cors.over(path, vec![Verb::Get]),
            None => path,
        };
        let request = Request::builder().method(method).uri("/");
        let request = request
            .header("Origin", origin)
            .header("Access-Control-Request-Headers", "x-mine");
        let request = request.body(Body::empty()).expect("a good request");
        let answer = Router::new().route("/", path).oneshot(request).await;
        answer.expect("no error is possible").headers().clone()
    }

    #[tokio::test]
    async fn only_named_origins_are_let_in() {
        const A: &str = "https://a.example";
        for (allowed, is_let_in) in [
            (&[][..], false),
            (&["https://b.example"], false),
            (&["https://b.example", A], true),
            (&["*"], true),
        ] {
            for method in ["GET", "OPTIONS"] {
                let headers = answered(allowed, method, A).await;
                let origin = headers.get(ACCESS_CONTROL_ALLOW_ORIGIN);
                assert_eq!(origin.is_some_and(|origin| origin == A), is_let_in, "{allowed:?}");
                assert_eq!(headers.contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS), is_let_in);
            }
        }
    }

    #[tokio::test]
    async fn a_preflight_is_told_of_the_path_as_by_options() {
        let headers = answered(&["*"], "OPTIONS", "https://a.example").await;
        assert_eq!(headers[ALLOW], "HEAD, GET, OPTIONS");
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_METHODS], "HEAD, GET, OPTIONS");
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_HEADERS], "x-mine");
        assert_eq!(headers[ACCESS_CONTROL_MAX_AGE], "1800");
        assert_eq!(headers[SERVER], "Cowboy");
        assert_eq!(headers[VARY], "origin, accept-encoding");
    }
}
