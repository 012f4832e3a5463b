//! What clients of AMQP get from the broker, as methods.

use crate::broker::delivery::form::{ChannelForm, ConsumerForm};
use crate::channel::{Confirm, ConfirmOutcome};
use crate::codec::Method;
use crate::codec::deliver::{DeliverTemplate, write_ack, write_nack, write_return};
use crate::codec::method::{BasicCancel, BasicConsumeOk};
use crate::types::{Message, Output, ReplyCode};

/// A consumer's.
pub(super) struct ConsumerMethods {
    template: DeliverTemplate,
    channel: u16,
    /// Largest frame in bytes, as agreed.
    frame_max: u32,
}

impl ConsumerMethods {
    /// For the consumer of that tag.
    pub fn new(channel: u16, tag: &str, frame_max: u32) -> Self {
        Self {
            template: DeliverTemplate::new(channel, tag),
            channel,
            frame_max,
        }
    }
}

impl ConsumerForm for ConsumerMethods {
    fn consuming(&self, out: &mut Output, tag: &str) {
        let consumer_tag = tag.to_owned();
        Method::from(BasicConsumeOk { consumer_tag }).encode_frame(self.channel, out.bytes());
    }

    fn deliver(&self, out: &mut Output, delivery_tag: u64, redelivered: bool, message: &Message) {
        self.template
            .write(out, delivery_tag, redelivered, message, self.frame_max);
    }

    fn cancelled(&self, out: &mut Output, tag: &str) {
        let cancel = BasicCancel {
            consumer_tag: tag.to_owned(),
            nowait: true,
        };
        Method::from(cancel).encode_frame(self.channel, out.bytes());
    }
}

/// A channel's.
pub(super) struct ChannelMethods {
    pub channel: u16,
    /// Largest frame in bytes, as agreed.
    pub frame_max: u32,
}

impl ChannelForm for ChannelMethods {
    fn confirm(&self, out: &mut Output, confirm: Confirm) {
        match confirm.outcome {
            ConfirmOutcome::Ack => write_ack(out, self.channel, confirm.seq, confirm.multiple),
            ConfirmOutcome::Nack => write_nack(out, self.channel, confirm.seq, confirm.multiple),
        }
    }

    fn returned(&self, out: &mut Output, message: &Message) {
        let (code, text) = (ReplyCode::NoRoute.code(), ReplyCode::NoRoute.name());
        write_return(out, self.channel, code, text, message, self.frame_max);
    }
}
