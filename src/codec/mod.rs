//! Bytes to frames to methods and content, and back. Pure: slices in, values out.
//!
//! [`frame`] finds the frames and refuses bad ones in RabbitMQ's words; [`method`] is the table of
//! every method; [`content`] is the short way for the frames that come by the million (publish,
//! content header, ack, nack, reject); [`properties`] and [`headers`] read and rewrite what comes with
//! a message; [`deliver`] writes messages to a client into an [`Output`](crate::types::Output).
//!
//! Everything here reads input that nobody has checked: lengths are compared with what is there
//! before memory is taken, nesting is bounded, and nothing can panic.

#[cfg(test)]
mod compared;
pub mod content;
pub mod deliver;
mod erlang;
pub mod frame;
pub mod headers;
pub mod method;
pub mod properties;
pub mod sections;
mod wire;

pub use frame::{Frame, FrameError, FrameKind};
pub use method::{Method, MethodError};
pub use properties::{Properties, PropertyError, PropertyScan};
