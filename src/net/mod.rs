//! AMQP sockets: listening, and two tasks for each connection.
//!
//! [`listener`] takes what comes in; [`session`] reads one connection, pulls the protocol machine, and carries
//! its steps out on the broker. What a session does for one kind of step is in a file of its own: [`login`], [`methods`] and the files
//! below it, [`acking`], [`committing`]; what queues have for its client is written as [`form`] says; how it waits is in [`waiting`].

mod acking;
mod channel;
mod committing;
mod consuming;
mod declaring;
mod error;
mod form;
mod listener;
mod login;
mod methods;
mod session;
mod settling;
mod telling;
mod transaction;
mod waiting;

pub use listener::start;
