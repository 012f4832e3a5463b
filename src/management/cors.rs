//! Pages of other origins that may use the API (the CORS protocol of the Fetch standard).

use axum::body::Body;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ALLOW, HeaderValue,
};
use axum::http::{Method, Response};

use crate::config::Management;

/// Adds the headers that let the page of that origin read the response, if it is an allowed one.
pub fn allow(response: &mut Response<Body>, origin: Option<HeaderValue>, method: &Method, config: &Management) {
    let Some(origin) = origin else { return };
    let mut allowed = config.cors_allow_origins.values();
    if !allowed.any(|allowed| allowed == "*" || allowed.as_bytes() == origin.as_bytes()) {
        return;
    }
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    if method == Method::OPTIONS {
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(config.cors_max_age_s));
        headers.insert(
            ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("accept, authorization, content-type, x-reason, x-vhost"),
        );
        if let Some(methods) = headers.get(ALLOW).cloned() {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn allowed(origins: &[&str], origin: &'static str) -> bool {
        let mut config = Config::default().management;
        config
            .cors_allow_origins
            .replace(origins.iter().map(|origin| (*origin).to_owned()));
        let mut response = Response::new(Body::empty());
        let origin = Some(HeaderValue::from_static(origin));
        allow(&mut response, origin, &Method::GET, &config);
        response.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN)
    }

    #[test]
    fn only_named_origins_are_let_in() {
        assert!(!allowed(&[], "https://a.example"));
        assert!(!allowed(&["https://b.example"], "https://a.example"));
        assert!(allowed(
            &["https://b.example", "https://a.example"],
            "https://a.example"
        ));
        assert!(allowed(&["*"], "https://a.example"));
    }
}
