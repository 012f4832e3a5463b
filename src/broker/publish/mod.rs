//! A message on its way to its queues.
//!
//! ```text
//! channel → publisher (checks, routes by its cache, one batch a queue) ┐
//! dead letter of a queue → dead_lettering                              ├ route → vhosts → queues
//! detour: what an exchange held back (delayed), or remembers           ┘
//! ```
//! [`vhosts`] are the live virtual hosts, each its router and its queues. [`reply_to`] goes past all of it:
//! an answer to a client that waits for it without a queue.

mod counting;
mod dead_letter;
mod dead_lettering;
pub(in crate::broker) mod delayed;
mod detour;
pub mod moving;
mod observed;
mod properties;
mod publisher;
mod questions;
pub mod reply_to;
mod replying;
pub mod route;
mod route_cache;
pub mod vhosts;

use detour::after_routing;
pub use properties::{PublishError, routing_keys};
pub use publisher::{Body, From, Publisher, Publishing, Ready};
pub use route::{Explained, RouteRequest};
pub use route_cache::Route;
