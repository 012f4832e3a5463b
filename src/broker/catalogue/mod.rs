//! What is declared, and made live from it.
//!
//! ```text
//! a command → placement (on which nodes) → propose, to the group's leader → applied on every node → live
//! ```
//! The catalogue itself is [`crate::metadata::Catalogue`]; here a command is proposed to its Raft group, and what
//! it says is carried out on live virtual hosts, routers and queues while it is locked. The room's handle is
//! [`declarations::Declarations`].

mod announcements;
mod apply;
pub mod declarations;
mod deleting;
mod events;
pub mod new_vhost;
pub(in crate::broker) mod placement;
mod propose;
mod questions;
