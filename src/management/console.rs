//! The web console: the files built from `management-ui`, out of the program itself.
//!
//! They are kept compressed. Files whose name has their hash never change and may be kept for a
//! year; the page that names them is asked for each time. Called by [`super::router`].

use std::io::Read;

use axum::Router;
use axum::body::Body;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue,
    REFERRER_POLICY, SERVER, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, Response};
use axum::routing::get;
use flate2::read::GzDecoder;

use super::response;

/// The built files, each by its path and compressed; none where Node was missing.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/console.rs"));
const PAGE: &str = "index.html";
/// Of files that have their hash in their name.
const FOR_A_YEAR: &str = "public, max-age=31536000, immutable";
/// Nothing from elsewhere, no script or style in the page, in no frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// What is shown where the console was not built.
const NOT_BUILT: &str = "<!doctype html><html lang=en><meta charset=utf-8><title>Warren</title>\
    <h1>The console is not in this program</h1>\
    <p>It was built without Node.js. With Node.js 20 or newer: <code>cd management-ui &amp;&amp; npm ci &amp;&amp; \
    npm run build</code>, then <code>cargo build</code>; <code>make run</code> does all of it.\
    <p>The HTTP API is there all the same: <a href=api/index.html>api/index.html</a>.";

/// The console below a prefix that is a pattern of the router; `prefix` is what is written there.
pub fn routes(pattern: &str, prefix: &str) -> Router {
    let mut router = Router::new().without_v07_checks();
    for path in ["/", "/index.html"] {
        router = router.route(&format!("{pattern}{path}"), get(page));
    }
    if !prefix.is_empty() {
        // What the page names is relative to its folder; and `/` leads below the prefix, as RabbitMQ's.
        for path in [pattern, "/"] {
            let to = format!("{prefix}/");
            router = router.route(path, get(async move || response::moved(&to)));
        }
    }
    for (name, bytes) in FILES.iter().filter(|(name, _)| *name != PAGE) {
        let serve = get(async |headers: HeaderMap| file(name, bytes, FOR_A_YEAR, &headers));
        router = router.route(&format!("{pattern}/{name}"), serve);
    }
    router
}

async fn page(headers: HeaderMap) -> Response<Body> {
    match FILES.iter().find(|(name, _)| *name == PAGE) {
        Some((name, bytes)) => file(name, bytes, "no-store", &headers),
        None => with_headers(Body::from(NOT_BUILT), PAGE, "no-store"),
    }
}

fn file(name: &str, compressed: &'static [u8], cache: &'static str, headers: &HeaderMap) -> Response<Body> {
    if takes_gzip(headers) {
        let mut response = with_headers(Body::from(compressed), name, cache);
        let gzip = HeaderValue::from_static("gzip");
        response.headers_mut().insert(CONTENT_ENCODING, gzip);
        return response;
    }
    let mut plain = Vec::new();
    GzDecoder::new(compressed)
        .read_to_end(&mut plain)
        .expect("this program compressed it");
    with_headers(Body::from(plain), name, cache)
}

/// Whether the client takes gzip, and does not say that it would rather not (`gzip;q=0`).
fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter();
    values
        .flat_map(|value| value.to_str().unwrap_or_default().split(','))
        .any(|coding| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
            let refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0));
            matches!(name.trim(), "gzip" | "*") && !refused
        })
}

fn with_headers(body: Body, name: &str, cache: &'static str) -> Response<Body> {
    let mut response = Response::new(body);
    let all: [(HeaderName, &'static str); 7] = [
        (CONTENT_TYPE, content_type(name)),
        (CACHE_CONTROL, cache),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (VARY, "accept-encoding"),
        (SERVER, "Cowboy"),
    ];
    for (header, value) in all {
        response.headers_mut().insert(header, HeaderValue::from_static(value));
    }
    response
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "json" => "application/json",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(value: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, value.parse().expect("a header"));
        takes_gzip(&headers)
    }

    #[test]
    fn files_go_out_compressed_only_to_those_who_take_it() {
        assert!(takes("gzip, deflate, br"));
        assert!(takes("br;q=1.0, gzip;q=0.5"));
        assert!(takes("*"));
        assert!(!takes("br, gzip;q=0"));
        assert!(!takes("identity"));
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
