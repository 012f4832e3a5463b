//! Length limits: `max-length`, `max-length-bytes`, and what happens to what is too much.
//!
//! Only ready messages count, with the bytes of their bodies, and dead letters that the queue keeps.
//! A full queue either drops its head, the message that would be delivered next, whatever its
//! priority; or it refuses what comes, even when a consumer waits, as RabbitMQ does.

use crate::spec::Overflow;
use crate::types::Message;

use super::Queue;
use super::sink::{DeathReason, Dying, Sink, Slot};

impl<C, P> Queue<C, P> {
    /// Whether this message must be refused.
    pub(super) fn would_overflow(&self, message: &Message) -> bool {
        if self.settings.max_length.is_none() && self.settings.max_length_bytes.is_none() {
            return false;
        }
        if self.rules.overflow(&self.settings) == Overflow::DropHead {
            return false;
        }
        self.would_exceed(message.body().len() as u64)
    }

    /// Whether a message with a body of so many bytes would be too much.
    fn would_exceed(&self, body_bytes: u64) -> bool {
        let length = (self.ready.len() + self.uncommitted.len() + 1) as u64 + self.discards.len();
        let bytes = self.ready.bytes() + self.uncommitted.bytes() + self.discards.bytes();
        self.exceeds(length, bytes + body_bytes)
    }

    /// Whether the next message would be too much.
    pub(super) fn has_no_room(&self) -> bool {
        self.would_exceed(1)
    }

    /// Refuses a message; a publisher that does not confirm hears nothing.
    pub(super) fn refuse<S>(&mut self, message: Message, publish: Option<P>, sink: &mut S)
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        if let Some(publish) = publish {
            sink.refuse(publish);
        }
        if self.settings.overflow == Overflow::RejectPublishDlx && self.settings.dead_letter_exchange.is_some() {
            sink.died(Dying::AtMostOnce, DeathReason::MaxLen);
            sink.dead_letter(Slot::NONE, message, DeathReason::MaxLen);
        }
    }

    /// Drops from the head what the queue has too much.
    pub(super) fn drop_head<S>(&mut self, sink: &mut S)
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        while self.too_long()
            && let Some(place) = self.ready.head()
            && self.may_die(place)
            && let Some(entry) = self.ready.take(place)
        {
            self.die(entry, DeathReason::MaxLen, sink);
        }
    }

    /// Whether the head must go.
    pub(super) fn too_long(&self) -> bool {
        !self.gathering
            && self.exceeds(self.ready.len() as u64, self.ready.bytes())
            && self.rules.overflow(&self.settings) == Overflow::DropHead
    }

    fn exceeds(&self, length: u64, bytes: u64) -> bool {
        self.settings.max_length.is_some_and(|most| length > most)
            || self.settings.max_length_bytes.is_some_and(|most| bytes > most)
    }
}
