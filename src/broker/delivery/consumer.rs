//! A consumer as its queue and its channel see it.

use std::sync::{Arc, Weak};

use super::form::ConsumerForm;
use crate::handover::ConsumerKey;
use crate::types::{FieldTable, UserName};

/// One `basic.consume`, with the outbox of its client. The queue machine keeps it as its opaque handle.
pub struct Consumer<Q, O> {
    pub key: ConsumerKey,
    pub outbox: Arc<O>,
    pub channel: u16,
    /// Which use of the channel number it belongs to.
    pub incarnation: u64,
    pub tag: String,
    pub no_ack: bool,
    pub exclusive: bool,
    /// Most messages it may hold unsettled; `None` is no limit.
    pub prefetch: Option<u32>,
    /// `x-priority`: higher ones are served first.
    pub priority: i32,
    pub arguments: FieldTable,
    pub user: UserName,
    /// How its client gets what is for it.
    pub form: Box<dyn ConsumerForm>,
    /// The queue's number on the channel, see [`super::channel_out::ChannelOut::queue_index`].
    pub queue_index: u32,
    pub queue: Weak<Q>,
    /// The client wants to hear when the queue goes (`consumer_cancel_notify`).
    pub wants_cancel: bool,
}
