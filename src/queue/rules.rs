//! Where classic and quorum queues differ, as values.

use crate::spec::{DeadLetterStrategy, Overflow, QueueSettings, QueueType};
use crate::types::Message;

use super::entry::Entry;
use super::ready::Ready;

/// The rules of one queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub kind: QueueType,
    pub ready: ReadyRule,
    /// Delivery counts are limited, and recorded so that they survive.
    pub counts_deliveries: bool,
    /// What `basic.get` says remains leaves out what expired behind the message.
    pub counts_live_messages_only: bool,
    keeps: Keeps,
}

/// When a published message may be delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ReadyRule {
    /// At once; only the confirm waits for the disk.
    AtOnce,
    /// When the journal has it: a message that was seen must never be lost by an election.
    WhenDurable,
}

/// Which messages the journal gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Keeps {
    Nothing,
    Persistent,
    Everything,
}

impl Rules {
    pub fn of(kind: QueueType, durable: bool) -> Self {
        let quorum = kind == QueueType::Quorum;
        Self {
            kind,
            ready: if quorum {
                ReadyRule::WhenDurable
            } else {
                ReadyRule::AtOnce
            },
            counts_deliveries: quorum,
            counts_live_messages_only: !quorum,
            keeps: match durable {
                _ if quorum => Keeps::Everything,
                true => Keeps::Persistent,
                false => Keeps::Nothing,
            },
        }
    }

    /// Whether the journal gets a message of this delivery mode.
    pub fn stores(&self, persistent: bool) -> bool {
        match self.keeps {
            Keeps::Nothing => false,
            Keeps::Persistent => persistent,
            Keeps::Everything => true,
        }
    }

    /// What a full queue does. Quorum queues cannot refuse and dead-letter at once: RabbitMQ's
    /// drop the head instead.
    pub fn overflow(&self, settings: &QueueSettings) -> Overflow {
        match settings.overflow {
            Overflow::RejectPublishDlx if self.kind == QueueType::Quorum => Overflow::DropHead,
            overflow => overflow,
        }
    }

    /// Whether dead letters are kept until their targets have them. A queue that drops its head
    /// cannot keep what it drops, so it does not keep others either, as with RabbitMQ.
    pub fn keeps_dead_letters(&self, settings: &QueueSettings) -> bool {
        self.kind == QueueType::Quorum
            && settings.dead_letter_strategy == DeadLetterStrategy::AtLeastOnce
            && settings.dead_letter_exchange.is_some()
            && self.overflow(settings) == Overflow::RejectPublish
    }

    /// The message as it is dead-lettered, if its body is there. One that comes from a quorum queue
    /// tells the next such queue how often it was delivered.
    pub fn dead_letter_of(&self, entry: &Entry) -> Option<Message> {
        let message = entry.message.as_ref()?;
        if self.counts_deliveries && entry.count != message.deliveries() {
            return Some(message.with_deliveries(entry.count));
        }
        Some(message.clone())
    }

    /// A line without messages.
    pub fn empty_line(&self, settings: &QueueSettings) -> Ready {
        Ready::new(self.kind, settings.max_priority)
    }
}
