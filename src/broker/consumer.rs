//! A consumer as its queue and its channel see it.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::BrokerError;
use super::guests::Guest;
use super::outbox::{Control, Outbox};
use super::runner::QueueHandle;
use crate::codec::deliver::DeliverTemplate;
use crate::queue::ConsumerId;
use crate::types::{FieldTable, Millis, Refusal, UserName};

/// A consumer among all of its node, never used again while the process runs. 0 stands for
/// `basic.get`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ConsumerKey(pub u64);

impl ConsumerKey {
    /// Whoever fetched with `basic.get`.
    pub const GET: Self = Self(0);
}

/// One `basic.consume`. The queue machine keeps it as its opaque handle.
pub struct Consumer {
    pub key: ConsumerKey,
    pub outbox: Arc<Outbox>,
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
    /// The queue's number on the channel, see [`super::outbox::ChannelOut::queue_index`].
    pub queue_index: u32,
    pub queue: Weak<QueueHandle>,
    /// The client wants to hear when the queue goes (`consumer_cancel_notify`).
    pub wants_cancel: bool,
    /// Known once a machine on this node has taken it in; another one with each machine. Changed
    /// under the queue's lock.
    pub id: Mutex<Option<ConsumerId>>,
}

impl Consumer {
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

/// Whoever takes messages from a machine.
#[derive(Clone)]
pub enum Taker {
    /// A client of this node.
    Client(Arc<Consumer>),
    /// One of another node.
    Guest(Arc<Guest>),
}

impl Taker {
    /// Its consumer tag.
    pub fn tag(&self) -> &str {
        match self {
            Self::Client(consumer) => &consumer.tag,
            Self::Guest(guest) => &guest.tag,
        }
    }

    /// The client of this node.
    pub fn client(&self) -> Option<&Arc<Consumer>> {
        match self {
            Self::Client(consumer) => Some(consumer),
            Self::Guest(_) => None,
        }
    }
}
