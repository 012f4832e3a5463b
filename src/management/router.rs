//! The table of routes as the router that finds them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::Router;
use axum::http::Method;
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::middleware::from_fn;
use axum::routing::{MethodRouter, any, on};
use tower_http::compression::predicate::SizeAbove;
use tower_http::compression::{CompressionLayer, CompressionLevel};
use tower_http::set_header::SetResponseHeaderLayer;

use super::answer::{Answer, Answered, Failure};
use super::cors::Cors;
use super::response::{self, By};
use super::route::{Route, Verb};
use super::{console, path, request, table, tool};
use crate::config::{Config, Management};

/// Bytes of a body from which on it is compressed, as by RabbitMQ, for clients that take that.
const WORTH_COMPRESSING: u16 = 300;

/// All that is served to browsers and other programs.
pub fn public(config: &Management) -> Router {
    let prefix = escaped(&config.path_prefix);
    let mut api = tool::pages(&prefix).fallback_service(api(&prefix, Cors::of(config).as_ref()));
    let mut console = console::routes(&prefix, &config.path_prefix);
    for (name, value) in response::fixed(config) {
        // Pages have stricter ones.
        api = api.layer(SetResponseHeaderLayer::if_not_present(name.clone(), value.clone()));
        // What RabbitMQ lets its pages do by default is more than the console needs.
        if name != CONTENT_SECURITY_POLICY || has_own_policy(config) {
            console = console.layer(SetResponseHeaderLayer::overriding(name, value));
        }
    }
    let with_redirects = ["/api", "/cli"].into_iter().fold(unchecked(), |router, path| {
        let to = format!("{}{path}/index.html", config.path_prefix);
        let moved = any(async move || response::moved(&to));
        router.route(&format!("{prefix}{path}"), moved)
    });
    let compression = CompressionLayer::new()
        .gzip(config.compress)
        .quality(CompressionLevel::Fastest)
        .compress_when(SizeAbove::new(WORTH_COMPRESSING));
    // A slash at the end means something to the page, whose links are relative: before the spelling.
    let rest = respelled(with_redirects.fallback_service(api));
    console.fallback_service(rest).layer(compression)
}

/// Whether somebody chose a policy of their own.
fn has_own_policy(config: &Management) -> bool {
    config.content_security_policy != Config::default().management.content_security_policy
}

/// The API below a prefix that is a pattern of the router. Requests to it carry what is
/// [`super::Running`] and the [`super::socket::Origin`] they come from.
pub fn api(prefix: &str, cors: Option<&Cors>) -> Router {
    // Most nodes have only this one, which the control socket serves too.
    static PLAIN: LazyLock<Router> = LazyLock::new(|| made("", None));
    match (prefix, cors) {
        ("", None) => PLAIN.clone(),
        (prefix, cors) => made(prefix, cors),
    }
}

fn made(prefix: &str, cors: Option<&Cors>) -> Router {
    let handled = |route: &'static Route| {
        let answer = move |node, from, names, request| request::answer(route, node, from, names, request);
        on(route.verb.filter(), answer)
    };
    routed(table(), prefix, cors, handled).fallback(async |method: Method| from_table(Err(unknown(&method))))
}

/// What is said of a path that is not in the table: as of a file that is not there.
fn unknown(method: &Method) -> Failure {
    match *method {
        Method::GET | Method::HEAD | Method::OPTIONS => Failure::NotFound,
        _ => Failure::OtherVerb(vec![Verb::Get]),
    }
}

/// A router that gives each path its one spelling first.
pub fn respelled(router: Router) -> Router {
    Router::new().fallback_service(router).layer(from_fn(path::respelled))
}

/// The routes of a table, of which each is `handled`.
fn routed(
    table: impl Iterator<Item = &'static Route>,
    prefix: &str,
    cors: Option<&Cors>,
    handled: impl Fn(&'static Route) -> MethodRouter,
) -> Router {
    let mut paths = BTreeMap::<_, Vec<_>>::new();
    for route in table {
        paths.entry(route.path).or_default().push(route);
    }
    let mut router = unchecked();
    for (path, routes) in paths {
        let verbs = Verb::ALL.iter().map(|(verb, _)| *verb);
        let verbs: Vec<_> = verbs
            .filter(|verb| routes.iter().any(|route| route.verb == *verb))
            .collect();
        let handlers = routes.into_iter().map(&handled);
        let mut methods = handlers.fold(others(&verbs), MethodRouter::merge);
        if let Some(cors) = cors {
            methods = cors.over(methods, verbs);
        }
        for path in spellings(path) {
            router = router.route(&format!("{prefix}/api{path}"), methods.clone());
        }
    }
    router
}

/// What a path that answers these verbs says to other methods.
fn others(verbs: &[Verb]) -> MethodRouter {
    let (asked, refused) = (verbs.to_vec(), verbs.to_vec());
    MethodRouter::new()
        .options(async || from_table(Ok(Answer::Options(asked))))
        .fallback(async || from_table(Err(Failure::OtherVerb(refused))))
}

fn from_table(answered: Answered) -> axum::response::Response {
    response::of(answered, By::Table)
}

/// A path of the table, and the same with exchanges that have no name: the router's patterns take no
/// empty segment.
fn spellings(path: &str) -> Vec<String> {
    let mut all = vec![path.to_owned()];
    for exchange in ["{source}", "{exchange}"] {
        let nameless = all.iter().filter(|path| path.contains(exchange));
        let nameless: Vec<_> = nameless.map(|path| path.replace(exchange, "")).collect();
        all.extend(nameless);
    }
    all
}

/// A router that takes what meant something in patterns once, for a prefix may hold anything.
fn unchecked() -> Router {
    Router::new().without_v07_checks()
}

/// A text as a pattern of the router that takes it and nothing else.
pub fn escaped(text: &str) -> String {
    text.replace('{', "{{").replace('}', "}}")
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::extract::RawPathParams;
    use axum::http::Request;
    use tower::ServiceExt;

    use super::super::call::Call;
    use super::super::route::{Access, Run};
    use super::*;

    fn nothing(_: &Call) -> Answered {
        unreachable!("only looked up")
    }

    static TABLE: &[Route] = &[
        Route::get("/users", Access::Administrator, "", nothing),
        Route::get("/users/{user}", Access::Administrator, "", nothing),
        Route::new(
            Verb::Delete,
            "/users/{user}",
            Access::Administrator,
            "",
            Run::Now(nothing),
        ),
        Route::new(
            Verb::Post,
            "/users/bulk-delete",
            Access::Administrator,
            "",
            Run::Now(nothing),
        ),
        Route::get("/bindings/{vhost}/e/{source}/q/{queue}", Access::Vhost, "", nothing),
        Route::get("/exchanges/{vhost}", Access::Vhost, "", nothing),
        Route::get("/exchanges/{vhost}/{exchange}", Access::Vhost, "", nothing),
    ];

    /// The pattern of the route that is found and the names it takes, or which methods there are.
    async fn look(method: &str, path: &str) -> String {
        let handled = |route: &'static Route| {
            let found = async |names: RawPathParams| {
                let names: Vec<_> = names.iter().map(|(name, value)| format!("{name}={value}")).collect();
                [&[route.path.to_owned()], &names[..]].concat().join(" ")
            };
            on(route.verb.filter(), found)
        };
        let router = respelled(routed(TABLE.iter(), "/x{{y}}", None, handled));
        let request = Request::builder().method(method).uri(format!("/x{{y}}/api{path}"));
        let request = request.body(Body::empty()).expect("a good request");
        let response = router.oneshot(request).await.expect("no error is possible");
        match response.headers().get("allow") {
            Some(allow) => format!("{} {}", response.status().as_u16(), allow.to_str().expect("a text")),
            None if response.status() != 200 => response.status().as_u16().to_string(),
            None => {
                let body = to_bytes(response.into_body(), 1024).await.expect("a body");
                String::from_utf8(body.to_vec()).expect("a text")
            }
        }
    }

    #[tokio::test]
    async fn a_request_finds_its_route() {
        assert_eq!(look("GET", "/users").await, "/users");
        assert_eq!(look("GET", "/users/").await, "/users");
        assert_eq!(look("GET", "/%75sers/a%2Fb%20c").await, "/users/{user} user=a/b c");
        assert_eq!(
            look("GET", "/bindings/%2F/e//q/x").await,
            "/bindings/{vhost}/e/{source}/q/{queue} vhost=/ queue=x"
        );
        assert_eq!(look("GET", "/exchanges/%2f/").await, "/exchanges/{vhost} vhost=/");
        assert_eq!(
            look("GET", "/exchanges/%2f//").await,
            "/exchanges/{vhost}/{exchange} vhost=/"
        );
        assert_eq!(look("GET", "/nonsense").await, "404");
        assert_eq!(look("GET", "/users//").await, "404");
        assert_eq!(look("GET", "/users/%zz").await, "400");
        assert_eq!(look("GET", "/users/%ff").await, "400");
    }

    #[tokio::test]
    async fn a_literal_comes_before_a_placeholder_and_has_its_own_methods() {
        assert_eq!(look("POST", "/users/bulk-delete").await, "/users/bulk-delete");
        assert_eq!(look("DELETE", "/users/bulk-delete").await, "405 POST, OPTIONS");
        assert_eq!(look("PUT", "/users/x").await, "405 HEAD, GET, DELETE, OPTIONS");
        assert_eq!(look("PATCH", "/users/x").await, "405 HEAD, GET, DELETE, OPTIONS");
        assert_eq!(look("OPTIONS", "/users/x").await, "200 HEAD, GET, DELETE, OPTIONS");
    }

    #[tokio::test]
    async fn all_routes_stand_beside_each_other_below_any_prefix() {
        // The router would panic for two that take the same paths, and for what is no pattern.
        let _ = public(&Management {
            path_prefix: "/x{y}/:z/*".to_owned(),
            ..Config::default().management
        });
    }
}
