//! A consumer as its queue and its channel see it.

use std::sync::{Arc, OnceLock, Weak};

use super::outbox::Outbox;
use super::runner::QueueHandle;
use crate::codec::content::DeliverTemplate;
use crate::queue::ConsumerId;
use crate::types::FieldTable;

/// One `basic.consume`. The queue machine keeps it as its opaque handle.
pub struct Consumer {
    pub outbox: Arc<Outbox>,
    pub channel: u16,
    /// Which use of the channel number it belongs to.
    pub incarnation: u64,
    pub tag: String,
    pub no_ack: bool,
    pub exclusive: bool,
    /// Most unsettled deliveries; `None` is no limit.
    pub prefetch: Option<u32>,
    pub priority: i32,
    pub arguments: FieldTable,
    pub user: crate::types::UserName,
    pub template: DeliverTemplate,
    /// The queue's number on the channel, see [`super::outbox::ChannelOut::queue_index`].
    pub queue_index: u32,
    pub queue: Weak<QueueHandle>,
    /// Known once the queue has taken it in.
    pub id: OnceLock<ConsumerId>,
}
