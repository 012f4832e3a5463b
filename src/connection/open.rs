//! Frames on an open connection: whose they are, and whether they may come now.
//!
//! Publishes, acks, nacks and rejects take short ways over slices; every other method a client may
//! send is decoded and given to the session. Refusals have RabbitMQ's codes and texts.

use super::channels::Channel;
use super::content::{Assembly, Content, ContentError};
use super::error::ProtocolError;
use super::{Connection, Ending, Ids, Step};
use crate::codec::content::{parse_ack, parse_nack, parse_publish, parse_reject, whole_publish};
use crate::codec::method::{AccessRequestOk, ChannelClose, ChannelFlowOk, ChannelOpenOk, method_ids};
use crate::codec::{Frame, FrameKind, Method, MethodError, frame};
use crate::types::{Refusal, Reply, Scope, Timestamp};

const CHANNEL_OPEN: Ids = (20, 10);
const CHANNEL_CLOSE: Ids = (20, 40);
const CHANNEL_CLOSE_OK: Ids = (20, 41);
const PUBLISH: Ids = (60, 40);
const ACK: Ids = (60, 80);
const REJECT: Ids = (60, 90);
const NACK: Ids = (60, 120);

impl Connection {
    /// The channel is open: tells the client.
    pub fn channel_opened(&mut self, channel: u16, out: &mut Vec<u8>) {
        if self.is_open() {
            Method::from(ChannelOpenOk::default()).encode_frame(channel, out);
        }
    }

    /// The client's close of a channel has been carried out: tells the client, frees the number.
    pub fn channel_closed(&mut self, channel: u16, out: &mut Vec<u8>) {
        if self.is_open() {
            self.channels.remove(channel);
            Method::ChannelCloseOk.encode_frame(channel, out);
        }
    }

    /// Writes our `channel.close`. What comes on the channel is dropped until the client's answer.
    /// Does nothing if the channel is not open, or its close was written before.
    pub fn close_channel(&mut self, channel: u16, ids: Ids, reply: &Reply, out: &mut Vec<u8>) {
        match self.channels.get_mut(channel) {
            None | Some(Channel::Closing { is_written: true }) => return,
            Some(Channel::Open(_) | Channel::Closing { is_written: false }) => {}
        }
        self.channels.set(channel, Channel::Closing { is_written: true });
        Method::from(ChannelClose {
            reply_code: reply.code.code(),
            reply_text: reply.wire_text(),
            class_id: ids.0,
            method_id: ids.1,
        })
        .encode_frame(channel, out);
    }

    /// The fresh secret is good: tells the client.
    pub fn secret_updated(&mut self, out: &mut Vec<u8>) {
        if self.is_open() {
            Method::ConnectionUpdateSecretOk.encode_frame(0, out);
        }
    }

    #[inline]
    pub(super) fn step_open<'a>(&mut self, now: Timestamp, input: &'a [u8], out: &mut Vec<u8>) -> Step<'a> {
        if let Some(whole) = whole_publish(input, self.frame_max)
            && whole.body.len() as u64 <= self.settings.max_message_size.0
            && self.channels.takes_methods(whole.channel)
        {
            return Step::Publish(whole);
        }
        self.step_frame(now, input, out)
    }

    fn step_frame<'a>(&mut self, now: Timestamp, input: &'a [u8], out: &mut Vec<u8>) -> Step<'a> {
        let (frame, consumed) = match frame::parse(input, self.frame_max) {
            Ok(Some(parsed)) => parsed,
            Ok(None) => return Step::More(frame::needed(input, self.frame_max)),
            Err(error) => return self.refuse_frame(now, input, &error),
        };
        if frame.channel == 0 {
            return self.on_channel_0(now, &frame, consumed);
        }
        if frame.kind == FrameKind::Heartbeat {
            return self.refuse(now, consumed, (0, 0), frame.unexpected());
        }
        match self.channels.get_mut(frame.channel) {
            Some(Channel::Open(None)) => self.on_method(now, &frame, consumed, out),
            Some(Channel::Open(Some(_))) => self.on_content(now, &frame, consumed),
            Some(Channel::Closing { .. }) => self.on_closing_channel(now, &frame, consumed, out),
            None => self.on_unused(now, &frame, consumed),
        }
    }

    /// Methods of the connection itself.
    #[cold]
    fn on_channel_0<'a>(&mut self, now: Timestamp, frame: &Frame<'_>, consumed: usize) -> Step<'a> {
        match frame.kind {
            FrameKind::Heartbeat => return Step::Done { consumed },
            FrameKind::Header | FrameKind::Body => {
                return self.refuse(now, consumed, (0, 0), frame.unexpected());
            }
            FrameKind::Method => {}
        }
        match Method::parse(frame.payload) {
            Ok(Method::ConnectionClose(_)) => self.on_close(now, consumed),
            Ok(Method::ConnectionUpdateSecret(update)) => Step::UpdateSecret {
                consumed,
                secret: update.new_secret,
            },
            Ok(method) => {
                let error = ProtocolError::UnexpectedMethod("running");
                self.refuse(now, consumed, method.ids(), error)
            }
            Err(error) => self.refuse_method(now, consumed, error),
        }
    }

    /// A frame on a channel that is open and between methods.
    fn on_method<'a>(&mut self, now: Timestamp, frame: &Frame<'_>, consumed: usize, out: &mut Vec<u8>) -> Step<'a> {
        if frame.kind != FrameKind::Method {
            return self.refuse(now, consumed, (0, 0), ProtocolError::NoMethod);
        }
        let channel = frame.channel;
        let step = match method_ids(frame.payload) {
            Some(ACK) => parse_ack(frame.payload).map(|ack| Step::Ack { consumed, channel, ack }),
            Some(NACK) => parse_nack(frame.payload).map(|nack| Step::Nack {
                consumed,
                channel,
                nack,
            }),
            Some(REJECT) => parse_reject(frame.payload).map(|reject| Step::Reject {
                consumed,
                channel,
                reject,
            }),
            Some(PUBLISH) => parse_publish(frame.payload).map(|publish| {
                let assembly = Box::new(Assembly::new(publish));
                self.channels.set(channel, Channel::Open(Some(assembly)));
                Step::Done { consumed }
            }),
            _ => Method::parse(frame.payload).map(|method| self.on_other_method(now, channel, method, consumed, out)),
        };
        step.unwrap_or_else(|error| self.refuse_method(now, consumed, error))
    }

    /// A method without a short way.
    fn on_other_method<'a>(
        &mut self,
        now: Timestamp,
        channel: u16,
        method: Method,
        consumed: usize,
        out: &mut Vec<u8>,
    ) -> Step<'a> {
        let ids = method.ids();
        match method {
            Method::ChannelClose(_) => {
                self.channels.set(channel, Channel::Closing { is_written: false });
                Step::CloseChannel { consumed, channel }
            }
            Method::ChannelFlow(flow) if flow.active => {
                Method::from(ChannelFlowOk { active: true }).encode_frame(channel, out);
                Step::Done { consumed }
            }
            Method::AccessRequest(_) => {
                Method::from(AccessRequestOk { ticket: 1 }).encode_frame(channel, out);
                Step::Done { consumed }
            }
            Method::ChannelFlow(_) => self.refuse(now, consumed, ids, ProtocolError::Flow),
            Method::ChannelOpen(_) => self.refuse(now, consumed, ids, ProtocolError::ChannelIsOpen),
            method if is_request(&method) => Step::Method {
                consumed,
                channel,
                method,
            },
            _ => self.refuse(now, consumed, ids, ProtocolError::Unimplemented),
        }
    }

    /// A frame of a channel whose content is under way.
    fn on_content<'a>(&mut self, now: Timestamp, frame: &Frame<'_>, consumed: usize) -> Step<'a> {
        let channel = frame.channel;
        let limit = self.settings.max_message_size;
        let result = match self.assembly(channel) {
            Some(assembly) => assembly.on_frame(frame, limit),
            None => Ok(false),
        };
        match result.map(|_| self.finish_content(channel)) {
            Ok(Some(content)) => Step::Content {
                consumed,
                channel,
                content,
            },
            Ok(None) => Step::Done { consumed },
            Err(error) => self.refuse_content(now, channel, consumed, error),
        }
    }

    /// Takes a channel's content if it is whole.
    pub(super) fn finish_content(&mut self, channel: u16) -> Option<Content> {
        let place = self.channels.get_mut(channel)?;
        match std::mem::replace(place, Channel::Open(None)) {
            Channel::Open(Some(assembly)) if assembly.is_whole() => Some(assembly.finish()),
            other => {
                *place = other;
                None
            }
        }
    }

    /// A frame of a channel that one side has closed.
    #[cold]
    fn on_closing_channel<'a>(
        &mut self,
        now: Timestamp,
        frame: &Frame<'_>,
        consumed: usize,
        out: &mut Vec<u8>,
    ) -> Step<'a> {
        if frame.kind == FrameKind::Method {
            match method_ids(frame.payload) {
                Some(CHANNEL_OPEN) => return self.open_channel(now, frame, consumed),
                Some(CHANNEL_CLOSE) => Method::ChannelCloseOk.encode_frame(frame.channel, out),
                Some(CHANNEL_CLOSE_OK) => self.channels.remove(frame.channel),
                _ => {}
            }
        }
        Step::Done { consumed }
    }

    /// A frame of a number that is not in use.
    #[cold]
    fn on_unused<'a>(&mut self, now: Timestamp, frame: &Frame<'_>, consumed: usize) -> Step<'a> {
        let (count, limit) = (self.channels.len(), self.channel_max);
        if count >= usize::from(limit) {
            return self.refuse(now, consumed, (0, 0), ProtocolError::ChannelMax { count, limit });
        }
        if frame.kind != FrameKind::Method {
            return self.refuse(now, consumed, (0, 0), ProtocolError::NoMethod);
        }
        self.open_channel(now, frame, consumed)
    }

    /// Opens a channel, which is all that can be done with one that is not open.
    fn open_channel<'a>(&mut self, now: Timestamp, frame: &Frame<'_>, consumed: usize) -> Step<'a> {
        match Method::parse(frame.payload) {
            Ok(Method::ChannelOpen(_)) => {
                self.channels.set(frame.channel, Channel::Open(None));
                Step::OpenChannel {
                    consumed,
                    channel: frame.channel,
                }
            }
            Ok(method) => self.refuse(now, consumed, method.ids(), ProtocolError::ChannelIsNotOpen),
            Err(error) => self.refuse_method(now, consumed, error),
        }
    }

    /// A content that cannot go on. The channel takes no more of it.
    #[cold]
    fn refuse_content<'a>(&mut self, now: Timestamp, channel: u16, consumed: usize, error: ContentError) -> Step<'a> {
        let reply = error.reply();
        if reply.scope == Scope::Connection {
            return self.refuse(now, consumed, PUBLISH, reply);
        }
        self.channels.set(channel, Channel::Closing { is_written: false });
        Step::Refused {
            consumed,
            channel: Some(channel),
            ids: PUBLISH,
            reply,
        }
    }

    /// A payload that is no method; for some of them RabbitMQ has no words.
    #[cold]
    pub(super) fn refuse_method<'a>(&mut self, now: Timestamp, consumed: usize, error: MethodError) -> Step<'a> {
        if error.is_silent() {
            return Step::End(self.end(Ending::Method(error)));
        }
        self.refuse(now, consumed, error.ids(), error)
    }
}

/// Whether a client may send it on an open channel for the session to carry out.
fn is_request(method: &Method) -> bool {
    matches!(
        method,
        Method::ExchangeDeclare(_)
            | Method::ExchangeDelete(_)
            | Method::ExchangeBind(_)
            | Method::ExchangeUnbind(_)
            | Method::QueueDeclare(_)
            | Method::QueueBind(_)
            | Method::QueuePurge(_)
            | Method::QueueDelete(_)
            | Method::QueueUnbind(_)
            | Method::BasicQos(_)
            | Method::BasicConsume(_)
            | Method::BasicCancel(_)
            | Method::BasicGet(_)
            | Method::BasicRecoverAsync(_)
            | Method::BasicRecover(_)
            | Method::ConfirmSelect(_)
            | Method::TxSelect
            | Method::TxCommit
            | Method::TxRollback
    )
}
