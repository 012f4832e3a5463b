//! One AMQP channel, as far as it needs no broker: confirms, delivery tags, names.

pub mod confirms;
pub mod unacked;

pub use confirms::{Confirm, ConfirmOutcome, Confirms};
pub use unacked::{Tags, Unacked, UnknownTag};
