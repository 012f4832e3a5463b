//! Words used everywhere: names, ids, units, field tables, messages, replies, and what is to be written to a socket.
//!
//! Holds no behaviour of the broker; nothing here imports anything of ours.

pub mod base64;
pub mod ids;
pub mod message;
pub mod names;
pub mod output;
pub mod reply;
pub mod sorting;
pub mod table;
pub mod units;

pub use ids::{ConnectionId, NodeId, QueueId};
pub use message::{Message, MessageParts, Traits};
pub use names::{ExchangeName, QueueName, UserName, VhostName, shown_exchange};
pub use output::Output;
pub use reply::{Refusal, Reply, ReplyCode, Scope};
pub use table::{FieldTable, FieldValue};
pub use units::{ByteSize, Millis, Timestamp};
