//! A consumer as its queue and its channel see it.

use std::sync::{Arc, Weak};

use super::QueueIdentity;
use super::control::Control;
use super::outbox::Outbox;
use crate::broker::BrokerError;
use crate::codec::deliver::DeliverTemplate;
use crate::handover::ConsumerKey;
use crate::types::{FieldTable, Millis, Refusal, UserName};

/// One `basic.consume`. The queue machine keeps it as its opaque handle.
pub struct Consumer<Q> {
    pub key: ConsumerKey,
    pub outbox: Arc<Outbox<Q>>,
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
    pub template: DeliverTemplate,
    /// The queue's number on the channel, see [`super::channel_out::ChannelOut::queue_index`].
    pub queue_index: u32,
    pub queue: Weak<Q>,
    /// The client wants to hear when the queue goes (`consumer_cancel_notify`).
    pub wants_cancel: bool,
}

impl<Q: QueueIdentity> Consumer<Q> {
    /// Its client has held a message for too long: the channel is closed.
    pub fn close_overdue(&self, timeout: Millis) {
        let channel = self.channel;
        self.outbox.control(Control::CloseChannel {
            channel,
            incarnation: self.incarnation,
            ids: (0, 0),
            reply: BrokerError::Overdue { channel, timeout }.reply(),
        });
    }
}
