//! In which form a client gets what is for it.
//!
//! What queues decide is the same for all clients; the bytes are its front end's. That gives a form with each
//! channel that it opens and each consumer that subscribes, and here nobody looks into it: one call for a
//! delivery, through a pointer, and nothing is made for it.

use crate::channel::Confirm;
use crate::types::{Message, Output};

/// How one consumer's client hears of its messages.
pub trait ConsumerForm: Send + Sync {
    /// The consumer is taken on. Comes before the first delivery, where the client waits for it.
    fn consuming(&self, out: &mut Output, tag: &str);

    /// A message for it.
    fn deliver(&self, out: &mut Output, delivery_tag: u64, redelivered: bool, message: &Message);

    /// Its queue is gone.
    fn cancelled(&self, out: &mut Output, tag: &str);
}

/// How the client of one channel hears of what it publishes there.
pub trait ChannelForm: Send + Sync {
    /// Publishes are answered.
    fn confirm(&self, out: &mut Output, confirm: Confirm);

    /// A message comes back: no queue gets it, and its publisher wants to know.
    fn returned(&self, out: &mut Output, message: &Message);
}
