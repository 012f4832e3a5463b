//! A message on its way to its queues.
//!
//! ```text
//! channel → publisher (checks, routes by its cache, one batch a queue) ┐
//! dead letter of a queue → dead_lettering                              ├ route → vhosts → queues
//! delayed: what an exchange held back                                  ┘
//! ```
//! [`vhosts`] are the live virtual hosts, each its router and its queues. [`reply_to`] goes past all of it:
//! an answer to a client that waits for it without a queue.

mod dead_letter;
mod dead_lettering;
pub(in crate::broker) mod delayed;
pub mod moving;
mod observed;
mod publisher;
mod questions;
pub mod reply_to;
pub mod route;
pub mod vhosts;

use publisher::after_routing;
pub use publisher::{Body, From, PublishError, Publisher, Publishing, Ready, Route, routing_keys};
pub use route::{Explained, RouteRequest};
