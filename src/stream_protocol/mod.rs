//! The stream protocol of RabbitMQ (port 5552) without a socket: bytes to commands and back, and one connection.
//!
//! [`codec`] knows every command and version; [`connection`] is the machine of one connection, from its first
//! byte to its last; [`groups`] is who of several consumers reads. Nothing here knows a stream: the session carries out what comes out of the machine.

pub mod codec;
pub mod connection;
pub mod groups;
