//! A consumer as its queue and its channel see it.

use std::sync::{Arc, OnceLock, Weak};

use super::outbox::Outbox;
use super::runner::QueueHandle;
use crate::codec::deliver::DeliverTemplate;
use crate::queue::ConsumerId;
use crate::types::{FieldTable, UserName};

/// One `basic.consume`. The queue machine keeps it as its opaque handle.
pub struct Consumer {
    pub outbox: Arc<Outbox>,
    pub channel: u16,
    /// Which use of the channel number it belongs to.
    pub incarnation: u64,
    pub tag: String,
    pub no_ack: bool,
    pub arguments: FieldTable,
    pub user: UserName,
    pub template: DeliverTemplate,
    /// The queue's number on the channel, see [`super::outbox::ChannelOut::queue_index`].
    pub queue_index: u32,
    pub queue: Weak<QueueHandle>,
    /// The client wants to hear when the queue goes (`consumer_cancel_notify`).
    pub wants_cancel: bool,
    /// Known once the queue has taken it in.
    pub id: OnceLock<ConsumerId>,
}
