//! Listening sockets, whatever is spoken on them: accepted, their PROXY header read, TLS shaken hands on.
//!
//! ```text
//! Listener ── accept ──→ Incoming ── open ──→ Opened { stream, peer, local, tls }
//!                        a place among the handshakes     until the front end knows who it is
//! ```
//! [`listener`] accepts and opens; [`proxy`] and [`tls`] are its two steps, both with a deadline. What comes
//! out is a [`Stream`], for those who read and write as usual, or its two [`halves`], for the hot path. No
//! protocol of messages is known here: AMQP, HTTP and metrics stand on the same.

mod halves;
mod identity;
mod listener;
mod proxy;
mod read_buffer;
mod stream;
mod tls;
mod verifier;

pub use halves::{ReadHalf, WriteHalf};
pub use identity::{ClientCertificate, TlsSession};
pub use listener::{Handshake, Incoming, Listener, Opened, Setup};
pub use read_buffer::ReadBuffer;
pub use stream::Stream;
pub use tls::{Tls, TlsError};
