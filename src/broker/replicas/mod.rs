//! The members of replicated queues: opened, led, changed and mended.
//!
//! ```text
//! the catalogue says who is a member → open → the group's log and ledger → elected: its queue leads here
//!                                        └ damaged → mending: a new member in its place
//! ```
//! `elections` says who leads when a leader is gone, [`members`] changes who is in a group, and `spread`
//! keeps groups complete and leaders apart. [`quarantine`] is for queues that have lost records and nobody else has.

pub(in crate::broker) mod elections;
pub mod members;
pub(in crate::broker) mod mending;
pub(in crate::broker) mod open;
pub mod quarantine;
mod spread;
