//! Channel numbers and what stands behind them.
//!
//! ```text
//! (none) ── channel.open ──► Open ── either side's close ──► Closing
//!   ▲                          ▲                              │  │
//!   │                          └── channel.open again ────────┘  │
//!   └── client's close answered, or close-ok for ours ───────────┘
//! ```
//! A client may open a number again without saying close-ok to our close, as it may in RabbitMQ.
//!
//! Numbers may be anything up to 65535; the agreed channel-max limits how many are in use at once,
//! which is how RabbitMQ reads it.

use rustc_hash::FxHashMap;

use super::content::Assembly;

/// One channel number in use.
#[derive(Debug)]
pub enum Channel {
    /// Open, and the content that is under way on it.
    Open(Option<Box<Assembly>>),
    /// Closed by one side: everything but the other's answer is dropped.
    Closing {
        /// Whether our close is written. False while the session owes it, or the answer to the
        /// client's.
        is_written: bool,
    },
}

/// The channel numbers in use.
#[derive(Debug, Default)]
pub struct Channels {
    by_number: FxHashMap<u16, Channel>,
}

impl Channels {
    /// How many are in use.
    pub fn len(&self) -> usize {
        self.by_number.len()
    }

    /// What stands behind a number.
    #[inline]
    pub fn get_mut(&mut self, number: u16) -> Option<&mut Channel> {
        self.by_number.get_mut(&number)
    }

    /// Whether the channel is open and between methods, so that the next frame begins one.
    #[inline]
    pub fn takes_methods(&self, number: u16) -> bool {
        matches!(self.by_number.get(&number), Some(Channel::Open(None)))
    }

    /// Whether a content is under way on one of them.
    pub fn has_content(&self) -> bool {
        let under_way = |channel: &Channel| matches!(channel, Channel::Open(Some(_)));
        self.by_number.values().any(under_way)
    }

    /// Bytes of buffer that contents under way hold.
    #[cfg(test)]
    pub fn capacity(&self) -> usize {
        let held = |channel: &Channel| match channel {
            Channel::Open(Some(assembly)) => assembly.capacity(),
            Channel::Open(None) | Channel::Closing { .. } => 0,
        };
        self.by_number.values().map(held).sum()
    }

    /// Sets what stands behind a number.
    pub fn set(&mut self, number: u16, channel: Channel) {
        self.by_number.insert(number, channel);
    }

    /// Frees a number.
    pub fn remove(&mut self, number: u16) {
        self.by_number.remove(&number);
    }

    /// Frees all numbers and the memory that kept them.
    pub fn clear(&mut self) {
        self.by_number = FxHashMap::default();
    }
}
