//! Sockets of the stream protocol: listening, and the tasks of each connection.
//!
//! [`listener`] takes what comes in; [`session`] reads one connection, pulls the protocol machine and carries its
//! steps out: what clients ask for in [`requests`] ([`later`] what must be waited for), where streams are in [`places`],
//! what they publish in [`publishing`] ([`publisher`] each of those who do, [`confirms`] what they wait for), each of
//! their subscriptions in a task of its own in [`subscribing`]; of which some wait for their turn ([`single_active`]); how
//! the session waits is in [`waiting`]. [`streams`] are what they all stand on.

mod confirms;
mod later;
mod listener;
mod login;
mod notice;
mod offer;
mod places;
mod publisher;
mod publishing;
mod requests;
mod session;
mod single_active;
mod streams;
mod subscribing;
mod waiting;

pub use listener::start;
