//! Bytes to frames to commands of the stream protocol, and back. Pure: slices in, values out.
//!
//! [`frame`] finds the frames; [`key`] is the table of commands and answers; [`request`] reads and writes what
//! clients send, [`entries`] what they publish; [`response`] writes what the server says.
//!
//! Everything here reads input that nobody has checked: nothing is copied, what is counted is walked within the
//! frame before it is used, and nothing can panic.

pub mod entries;
pub mod frame;
pub mod key;
pub mod request;
pub mod response;
#[cfg(test)]
mod tests;
pub mod wire;

pub use entries::{Entries, Entry, EntryBody};
pub use frame::{Frame, FrameError};
pub use key::{Code, Key};
pub use request::{Command, Request, StartAt};
pub use wire::{Malformed, Map, Strings};
