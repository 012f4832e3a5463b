//! The table of routes: what can be asked, by whom, and who answers.
//!
//! A [`Route`] stands beside its handler. The access check, 404, 405, `OPTIONS` and the help page
//! read the table and nothing else. A path is a pattern of segments: `{name}` takes any segment that
//! is not empty, `{source}` and `{exchange}` also an empty one, for the default exchange has no name.
//! Of two patterns that take a path the one with the earlier literal counts.

use std::future::Future;
use std::pin::Pin;

use axum::routing::MethodFilter;

use super::answer::Answered;
use super::call::Call;
use crate::broker::report::About;

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
    /// The same, with a permission in the vhost of the path; administrators also without one, though they
    /// need one for what a client would do (`Call::actor`).
    Vhost,
    /// The same as `Vhost`; `monitoring` users without a permission too.
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

impl Verb {
    /// The verbs as `Allow` lists them.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::Get, "GET"),
        (Self::Post, "POST"),
        (Self::Put, "PUT"),
        (Self::Delete, "DELETE"),
    ];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(verb, _)| *verb == self)
            .map_or("", |(_, name)| name)
    }

    /// The methods that it answers.
    pub fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
            Self::Put => MethodFilter::PUT,
            Self::Delete => MethodFilter::DELETE,
        }
    }
}

impl Route {
    /// A `GET`.
    pub const fn get(path: &'static str, access: Access, help: &'static str, run: fn(&Call) -> Answered) -> Self {
        Self::new(Verb::Get, path, access, help, Run::Now(run))
    }

    /// A `GET` that shows what other nodes know of queues.
    pub const fn gathered(path: &'static str, access: Access, help: &'static str, run: fn(&Call) -> Answered) -> Self {
        Self::new(Verb::Get, path, access, help, Run::Gathered(About::Queues, run))
    }

    /// A `GET` that shows what other nodes know of their clients.
    pub const fn of_clients(
        path: &'static str,
        access: Access,
        help: &'static str,
        run: fn(&Call) -> Answered,
    ) -> Self {
        Self::new(Verb::Get, path, access, help, Run::Gathered(About::Clients, run))
    }

    /// A `GET` that shows what was counted of exchanges.
    pub const fn of_exchanges(
        path: &'static str,
        access: Access,
        help: &'static str,
        run: fn(&Call) -> Answered,
    ) -> Self {
        let run = Run::Gathered(About::Exchanges, run);
        Self::new(Verb::Get, path, access, help, run)
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
