//! What the front ends share, whatever they speak: taking connections, logging in, virtual hosts, writing.
//!
//! [`accepting`] takes what comes in on a listener while the node takes clients; [`login`] looks at who somebody
//! says it is, and lets it into a virtual host; [`connection`] serves one from its first byte to its last, and has its
//! outbox written (`writer`); [`panics`] keeps one that panics from harming others; [`protocol`] is the list of what is
//! spoken. [`streams`] and [`super_streams`] create and delete streams for those who do not speak AMQP.

pub mod accepting;
pub mod connection;
pub mod login;
pub mod panics;
pub mod protocol;
pub mod streams;
pub mod super_streams;
mod writer;
