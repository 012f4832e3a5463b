//! The table of routes: what can be asked, by whom, and who answers.
//!
//! A [`Route`] stands beside its handler. The access check, 404, 405, `OPTIONS` and the help page
//! read the table and nothing else. A path is a pattern of segments: `{name}` takes any segment that
//! is not empty, `{source}` and `{exchange}` also an empty one, for the default exchange has no name.
//! Of two patterns that take a path the one with the earlier literal counts.

use std::future::Future;
use std::pin::Pin;

pub use super::access::Access;
use super::answer::Answered;
use super::call::Call;
pub use super::verb::Verb;
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
    /// RabbitMQ has it in one kind of body only.
    pub is_plain: bool,
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

    /// A `GET` that waits for something.
    pub const fn later(path: &'static str, access: Access, help: &'static str, run: fn(Call) -> Later) -> Self {
        Self::new(Verb::Get, path, access, help, Run::Later(run))
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
            is_plain: false,
        }
    }

    /// The same, in one kind of body only.
    pub const fn plain(self) -> Self {
        Self { is_plain: true, ..self }
    }
}
