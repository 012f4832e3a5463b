//! The table of routes: what can be asked, by whom, and who answers.
//!
//! A [`Route`] stands beside its handler. The access check, 404, 405, `OPTIONS` and the help page
//! read the table and nothing else. A path is a pattern of segments; `{name}` takes any segment,
//! and of two patterns that take a path the one with the earlier literal counts.

use std::future::Future;
use std::pin::Pin;

use super::answer::Answered;
use super::call::Call;
use crate::broker::gather::About;

/// One thing that can be asked.
pub struct Route {
    pub verb: Verb,
    /// Below `/api`.
    pub path: &'static str,
    pub access: Access,
    /// For the help page.
    pub help: &'static str,
    pub run: Run,
}

/// HTTP methods that routes have; `HEAD` follows from `Get`, `OPTIONS` from all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    Get,
    Post,
    Put,
    Delete,
}

/// Who may ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Without a password.
    Anyone,
    /// Users with any of the management tags.
    Management,
    /// The same, with a permission in the vhost of the path.
    Vhost,
    /// The same as `Vhost`; administrators without a permission too. What `GET` routes have in its
    /// place.
    VhostRead,
    /// The same as `Vhost`; `monitoring` users and administrators without a permission too.
    VhostVisible,
    /// `policymaker` users with a permission in the vhost of the path.
    Policymaker,
    /// `monitoring` users and administrators.
    Monitoring,
    Administrator,
}

/// The handler.
#[derive(Clone, Copy)]
pub enum Run {
    /// Computes the answer; kept off the threads that serve sockets.
    Now(fn(&Call) -> Answered),
    /// The same, once the other nodes have said what they know: of queues, that is of the one of the path
    /// where it names one.
    Gathered(About, fn(&Call) -> Answered),
    /// Waits for something.
    Later(fn(Call) -> Later),
}

/// What an asynchronous handler gives.
pub type Later = Pin<Box<dyn Future<Output = Answered> + Send>>;

/// The segments of a path that its pattern names.
pub type Parameters = Vec<(&'static str, String)>;

/// What the table says of a request.
pub enum Found {
    Route(&'static Route, Parameters),
    /// The path is known, with these methods.
    OtherVerb(Vec<Verb>),
    Nothing,
}

impl Verb {
    /// The verbs as `Allow` lists them.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::Get, "GET"),
        (Self::Post, "POST"),
        (Self::Put, "PUT"),
        (Self::Delete, "DELETE"),
    ];

    /// The verb of an HTTP method; `HEAD` asks as `GET` does.
    pub fn named(method: &str) -> Option<Self> {
        let method = if method == "HEAD" { "GET" } else { method };
        Self::ALL
            .iter()
            .find(|(_, name)| *name == method)
            .map(|(verb, _)| *verb)
    }

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(verb, _)| *verb == self)
            .map_or("", |(_, name)| name)
    }
}

impl Access {
    const fn to_read(self) -> Self {
        match self {
            Self::Vhost => Self::VhostRead,
            other => other,
        }
    }
}

impl Route {
    /// A `GET`.
    pub const fn get(path: &'static str, access: Access, help: &'static str, run: fn(&Call) -> Answered) -> Self {
        Self::new(Verb::Get, path, access.to_read(), help, Run::Now(run))
    }

    /// A `GET` that shows what other nodes know of queues.
    pub const fn gathered(path: &'static str, access: Access, help: &'static str, run: fn(&Call) -> Answered) -> Self {
        Self::new(
            Verb::Get,
            path,
            access.to_read(),
            help,
            Run::Gathered(About::Queues, run),
        )
    }

    /// A `GET` that shows what other nodes know of their clients.
    pub const fn of_clients(
        path: &'static str,
        access: Access,
        help: &'static str,
        run: fn(&Call) -> Answered,
    ) -> Self {
        Self::new(
            Verb::Get,
            path,
            access.to_read(),
            help,
            Run::Gathered(About::Clients, run),
        )
    }

    /// A `PUT`.
    pub const fn put(path: &'static str, access: Access, help: &'static str, run: fn(Call) -> Later) -> Self {
        Self::new(Verb::Put, path, access, help, Run::Later(run))
    }

    /// A `POST`.
    pub const fn post(path: &'static str, access: Access, help: &'static str, run: fn(Call) -> Later) -> Self {
        Self::new(Verb::Post, path, access, help, Run::Later(run))
    }

    /// A `DELETE`.
    pub const fn delete(path: &'static str, access: Access, help: &'static str, run: fn(Call) -> Later) -> Self {
        Self::new(Verb::Delete, path, access, help, Run::Later(run))
    }

    /// Any of them.
    pub const fn new(verb: Verb, path: &'static str, access: Access, help: &'static str, run: Run) -> Self {
        Self {
            verb,
            path,
            access,
            help,
            run,
        }
    }
}

/// The segments of a path below `/api`, decoded. `None` when an escape is none or gives no UTF-8.
pub fn segments(path: &str) -> Option<Vec<String>> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let mut segments = path.split('/').map(decoded).collect::<Option<Vec<_>>>()?;
    // `/users/` is `/users`; an empty segment elsewhere is a name, that of the default exchange.
    if segments.last().is_some_and(String::is_empty) {
        segments.pop();
    }
    Some(segments)
}

fn decoded(segment: &str) -> Option<String> {
    let bytes = segment.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        out.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = after;
    }
    String::from_utf8(out).ok()
}

/// Looks a request up. `verb` is `None` for a method that no route has.
pub fn find(table: impl Iterator<Item = &'static Route> + Clone, verb: Option<Verb>, segments: &[String]) -> Found {
    let best = table
        .clone()
        .filter(|route| takes(route.path, segments))
        .max_by_key(|route| literals(route.path))
        .map(|route| route.path);
    let Some(path) = best else {
        return Found::Nothing;
    };
    let same: Vec<_> = table.filter(|route| route.path == path).collect();
    match same.iter().find(|route| Some(route.verb) == verb) {
        Some(route) => Found::Route(route, parameters(path, segments)),
        None => {
            let verbs = Verb::ALL.iter().map(|(verb, _)| *verb);
            Found::OtherVerb(
                verbs
                    .filter(|verb| same.iter().any(|route| route.verb == *verb))
                    .collect(),
            )
        }
    }
}

fn pattern(path: &'static str) -> impl Iterator<Item = &'static str> {
    path.trim_start_matches('/').split('/')
}

fn placeholder(part: &'static str) -> Option<&'static str> {
    part.strip_prefix('{')?.strip_suffix('}')
}

fn takes(path: &'static str, segments: &[String]) -> bool {
    pattern(path).count() == segments.len()
        && pattern(path)
            .zip(segments)
            .all(|(part, segment)| placeholder(part).is_some() || part == segment)
}

/// Which parts are literal: the earlier one weighs more.
fn literals(path: &'static str) -> Vec<bool> {
    pattern(path).map(|part| placeholder(part).is_none()).collect()
}

fn parameters(path: &'static str, segments: &[String]) -> Parameters {
    let named = pattern(path).zip(segments);
    named
        .filter_map(|(part, segment)| Some((placeholder(part)?, segment.clone())))
        .collect()
}

#[cfg(test)]
mod tests {
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
    ];

    fn look(method: &str, path: &str) -> String {
        let segments = segments(path).expect("a good path");
        match find(TABLE.iter(), Verb::named(method), &segments) {
            Found::Route(route, parameters) => format!("{} {parameters:?}", route.path),
            Found::OtherVerb(verbs) => format!("{verbs:?}"),
            Found::Nothing => "nothing".to_owned(),
        }
    }

    #[test]
    fn a_request_finds_its_route() {
        assert_eq!(look("GET", "/users"), "/users []");
        assert_eq!(look("GET", "/users/"), "/users []");
        assert_eq!(look("HEAD", "/users/a%2Fb%20c"), r#"/users/{user} [("user", "a/b c")]"#);
        assert_eq!(
            look("GET", "/bindings/%2F/e//q/x"),
            r#"/bindings/{vhost}/e/{source}/q/{queue} [("vhost", "/"), ("source", ""), ("queue", "x")]"#
        );
        assert_eq!(look("GET", "/nonsense"), "nothing");
    }

    #[test]
    fn a_literal_comes_before_a_placeholder_and_has_its_own_methods() {
        assert_eq!(look("POST", "/users/bulk-delete"), "/users/bulk-delete []");
        assert_eq!(look("DELETE", "/users/bulk-delete"), "[Post]");
        assert_eq!(look("PUT", "/users/x"), "[Get, Delete]");
        assert_eq!(look("PATCH", "/users/x"), "[Get, Delete]");
    }

    #[test]
    fn bad_escapes_are_no_path() {
        assert_eq!(segments("/a%"), None);
        assert_eq!(segments("/a%2"), None);
        assert_eq!(segments("/a%zz"), None);
        assert_eq!(segments("/%ff"), None);
    }
}
