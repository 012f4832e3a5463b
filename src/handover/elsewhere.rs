//! A queue whose live queue is on another node, as the clients of this one use it.
//!
//! What is at stake is kept in the [`ClientSession`](super::ClientSession); here it is said to whoever
//! has the live queue, as soon as that is known and the link to it stands. Each use of the link begins
//! with an `Attach` that says everything, so nothing needs to be known of what became of the one before.

use crate::handover::handles::LocalConsumer;
use bytes::Bytes;

use super::client_session::send_publishes;
use super::effects::{CallResult, Effects};
use super::handles::Handles;
use super::message::{ConsumerKey, Delivered, FrameBody, RemoteDelivery};
use super::remote_leader::{Ask, OpenLine, RemoteLeader};
use super::{ClusteredQueue, Ended, Location, send, session_of, wire};
use crate::queue::{Outcome, Publish, Rank, Slot};
use crate::types::{Message, Millis, NodeId, Reply, ReplyCode};

impl<H: Handles> ClusteredQueue<H> {
    /// The line to the node that has the live queue, which has been told of this node's clients.
    pub(super) fn open_line<E: Effects<H>>(&mut self, effects: &mut E) -> Option<OpenLine<H::Line>> {
        let Location::Elsewhere(leader) = &mut self.location else {
            effects.look_up_leader();
            return None;
        };
        let line = effects.line(leader.node)?;
        let epoch = effects.epoch(&line)?;
        let open = OpenLine { line, epoch };
        if leader.attached.replace(epoch) != Some(epoch) {
            leader.is_met = false;
            session_of(&mut self.session).attach(self.id, leader.term, &open, effects);
        }
        Some(open)
    }

    /// Publishes while the live queue is elsewhere.
    pub(super) fn publish_elsewhere<E: Effects<H>>(
        &mut self,
        batch: impl IntoIterator<Item = Publish<H::Publish>>,
        effects: &mut E,
    ) {
        let open = self.open_line(effects);
        if open.is_none() && !self.is_replicated() {
            for publish in batch.into_iter().filter_map(|publish| publish.publish) {
                effects.refuse(publish);
            }
            return;
        }
        let session = session_of(&mut self.session);
        let mut messages = Vec::new();
        let first = session.next_number();
        for publish in batch {
            messages.push(publish.message.clone());
            session.publish(publish);
        }
        if let Some(open) = open {
            send_publishes(self.id, &open, first, &messages, effects);
        }
    }

    /// Settles what clients of this node hold.
    pub(super) fn settle_elsewhere<E: Effects<H>>(
        &mut self,
        mut slots: Vec<Slot>,
        outcome: Outcome,
        settlement: Option<H::Settlement>,
        effects: &mut E,
    ) {
        let open = self.open_line(effects);
        let session = session_of(&mut self.session);
        slots.retain(|slot| session.let_go(*slot));
        if slots.is_empty() {
            // They are another's by now.
            if let Some(settlement) = settlement {
                effects.committed(settlement);
            }
            return;
        }
        let batch = session.settle(outcome, slots, settlement);
        if let Some(open) = open {
            open.write(effects, |buffer| wire::settle(buffer, self.id, batch));
        }
    }

    /// Takes a consumer on whose queue is elsewhere, and which cannot be refused.
    pub(super) fn consume_elsewhere<E: Effects<H>>(&mut self, consumer: &H::Consumer, effects: &mut E) {
        let open = self.open_line(effects);
        let session = session_of(&mut self.session);
        session.add_consumer(consumer);
        if let Some(open) = open {
            session.is_known = true;
            // Nobody waits for the answer.
            open.write(effects, |buffer| wire::consume(buffer, self.id, 0, &consumer.spec()));
        }
    }

    /// Asks the node where the queue lives whether it takes a consumer. False when it is away.
    pub fn ask_to_consume<E: Effects<H>>(&mut self, consumer: &H::Consumer, call: H::Call, effects: &mut E) -> bool {
        let Some(open) = self.open_line(effects) else {
            return false;
        };
        let session = session_of(&mut self.session);
        session.add_consumer(consumer);
        let call = session.call(call);
        open.write(effects, |buffer| wire::consume(buffer, self.id, call, &consumer.spec()));
        true
    }

    /// A consumer of this node ends. What came for it and was not passed on, or is on its way, goes back
    /// in the same step.
    pub(super) fn cancel_elsewhere<E: Effects<H>>(
        &mut self,
        key: ConsumerKey,
        call: impl FnOnce() -> H::Call,
        effects: &mut E,
    ) -> Ended {
        let open = self.open_line(effects);
        let session = session_of(&mut self.session);
        let Some(ended) = session.consumers.remove(&key) else {
            return Ended::NobodyWaits;
        };
        for delivery in &ended.waiting {
            session.let_go(delivery.slot);
        }
        let Some(open) = open else { return Ended::NobodyWaits };
        let kept: Vec<Slot> = session.held_by(key).collect();
        let call = session.call(call());
        open.write(effects, |buffer| wire::cancel(buffer, self.id, call, key.0, &kept));
        Ended::There
    }

    /// A client of this node goes: its consumers end with all that they hold, here or on its way, and
    /// what it had of the queue otherwise goes back too, in one step.
    pub(super) fn leave_elsewhere<E: Effects<H>>(
        &mut self,
        consumers: &[ConsumerKey],
        mut slots: Vec<Slot>,
        call: impl FnOnce() -> H::Call,
        effects: &mut E,
    ) -> Ended {
        let open = self.open_line(effects);
        let session = session_of(&mut self.session);
        let mut keys = Vec::new();
        for key in consumers {
            if let Some(ended) = session.consumers.remove(key) {
                keys.push(key.0);
                slots.extend(ended.waiting.iter().map(|delivery| delivery.slot));
            }
        }
        slots.retain(|slot| session.let_go(*slot));
        if slots.is_empty() && (keys.is_empty() || open.is_none()) {
            return Ended::NobodyWaits;
        }
        let batch = session.settle(Outcome::Requeue, slots, None).clone();
        let Some(open) = open else { return Ended::NobodyWaits };
        let call = session.call(call());
        open.write(effects, |buffer| wire::leave(buffer, self.id, call, &keys, &batch));
        Ended::There
    }

    /// Asks the node that has the live queue, which answers the call. Returns the call's number, or
    /// nothing when there is no line to that node.
    pub fn ask<E: Effects<H>>(&mut self, ask: Ask, call: H::Call, effects: &mut E) -> Option<u64> {
        let open = self.open_line(effects)?;
        let session = session_of(&mut self.session);
        // What is fetched may not come.
        session.is_known |= matches!(ask, Ask::Get { .. });
        let call = session.call(call);
        let id = self.id;
        open.write(effects, |buffer| match ask {
            Ask::Get { no_ack } => wire::get(buffer, id, call, no_ack),
            Ask::Purge => wire::purge(buffer, id, call),
            Ask::Count => wire::count(buffer, id, call),
        });
        Some(call)
    }

    /// Whoever asked waits no more.
    pub fn forget_call(&mut self, call: u64) {
        if let Some(session) = &mut self.session {
            session.take_call(call);
        }
    }

    /// Passes on what waits for a consumer whose client has room again.
    pub(super) fn pass_on<E: Effects<H>>(&mut self, key: ConsumerKey, effects: &mut E) {
        let Some(session) = &mut self.session else { return };
        let Some(consumer) = session.consumers.get_mut(&key) else {
            return;
        };
        let told = consumer.pass_on(effects);
        if told > 0
            && let Some(open) = self.open_line(effects)
        {
            open.write(effects, |buffer| wire::taken(buffer, self.id, key.0, told));
        }
    }

    /// What the node with the live queue says to those with clients. Gives back what is for the other side.
    pub(super) fn on_leader_frame<E: Effects<H>>(
        &mut self,
        node: NodeId,
        body: FrameBody,
        effects: &mut E,
    ) -> Option<FrameBody> {
        match body {
            FrameBody::Lead { term, starts_anew } => self.led_by(node, term, starts_anew, effects),
            FrameBody::NotLeader => self.lost_leader(node, true, effects),
            FrameBody::Attached { number, lost } => self.on_attached(node, number, lost),
            FrameBody::Answered {
                is_accepted,
                first,
                last,
            } => {
                if let Some(session) = &self.session {
                    let last = last.min(session.next_number());
                    self.answer_clients(is_accepted, first, last, effects);
                }
            }
            FrameBody::Settled { up_to } => {
                if let Some(session) = &mut self.session {
                    session.settled(up_to, |settlement| effects.committed(settlement));
                }
            }
            FrameBody::Deliver {
                key,
                delivered,
                message,
            } => self.on_deliver(node, ConsumerKey(key), delivered, &message, effects),
            FrameBody::Cancelled { key } => {
                let session = self.session.as_mut();
                if let Some(ended) = session.and_then(|session| session.consumers.remove(&ConsumerKey(key))) {
                    effects.cancel(ended.consumer);
                }
            }
            FrameBody::Overdue { key, timeout } => {
                let session = self.session.as_ref();
                if let Some(one) = session.and_then(|session| session.consumers.get(&ConsumerKey(key))) {
                    effects.overdue(&one.consumer, Millis(timeout));
                }
            }
            FrameBody::Ranked { key, rank } => self.on_ranked(node, ConsumerKey(key), rank),
            FrameBody::Done { call, value } => self.on_answer(call, CallResult::Done(value), effects),
            FrameBody::Counts {
                call,
                ready,
                unacked,
                consumers,
            } => {
                let counts = CallResult::Counts {
                    ready,
                    unacked,
                    consumers,
                };
                self.on_answer(call, counts, effects);
            }
            FrameBody::Empty { call } => self.on_answer(call, CallResult::Empty, effects),
            FrameBody::Got {
                call,
                delivered,
                remaining,
                message,
            } => self.on_got(node, call, delivered, remaining, &message, effects),
            FrameBody::Refused { call, code, text } => {
                let code = ReplyCode::from_wire(code).unwrap_or(ReplyCode::InternalError);
                self.on_answer(call, CallResult::Refused(Reply::channel(code, text)), effects);
            }
            other => return Some(other),
        }
        None
    }

    /// Whether that node has the live queue, as far as is known, and knows what clients here have. What
    /// others sent, or it before that, is void: whoever has the queue gives it again.
    fn is_met(&self, node: NodeId) -> bool {
        matches!(&self.location, Location::Elsewhere(leader) if leader.node == node && leader.is_met)
    }

    /// The node with the live queue knows what clients of this one have.
    fn on_attached(&mut self, from: NodeId, number: u64, lost: Vec<Slot>) {
        if let Location::Elsewhere(leader) = &mut self.location
            && leader.node == from
            && leader.attached.is_some()
            && let Some(session) = &mut self.session
            && session.attaches == number
        {
            leader.is_met = true;
            session.lose(lost);
        }
    }

    fn on_deliver<E: Effects<H>>(
        &mut self,
        from: NodeId,
        key: ConsumerKey,
        delivered: Delivered,
        message: &Bytes,
        effects: &mut E,
    ) {
        let Some(delivery) = remote_delivery(delivered, message) else {
            return effects.unreadable();
        };
        if !self.is_met(from) {
            return;
        }
        let session = session_of(&mut self.session);
        let slot = delivery.slot;
        if slot != Slot::NONE {
            session.hold(key, slot);
        }
        let Some(consumer) = session.consumers.get_mut(&key) else {
            return self.settle_elsewhere(vec![slot], Outcome::Requeue, None, effects);
        };
        let is_stalled = !consumer.waiting.is_empty();
        consumer.waiting.push_back(delivery);
        // One that is stalled is asked again when its client has room: it need not stand there twice.
        if !is_stalled {
            self.pass_on(key, effects);
        }
    }

    fn on_answer<E: Effects<H>>(&mut self, call: u64, answer: CallResult, effects: &mut E) {
        let session = self.session.as_mut();
        if let Some(call) = session.and_then(|session| session.take_call(call)) {
            // Who does not wait any more need not know.
            effects.answer(call, answer);
        }
    }

    fn on_got<E: Effects<H>>(
        &mut self,
        from: NodeId,
        call: u64,
        delivered: Delivered,
        remaining: u64,
        message: &Bytes,
        effects: &mut E,
    ) {
        let Some(delivery) = remote_delivery(delivered, message) else {
            return self.on_answer(call, CallResult::Unreadable, effects);
        };
        if !self.is_met(from) {
            return;
        }
        let session = session_of(&mut self.session);
        let slot = delivery.slot;
        if slot != Slot::NONE {
            session.hold(ConsumerKey::GET, slot);
        }
        let is_told = match session.take_call(call) {
            Some(call) => effects.answer(call, CallResult::Got { delivery, remaining }),
            None => false,
        };
        if !is_told && slot != Slot::NONE {
            self.settle_elsewhere(vec![slot], Outcome::Requeue, None, effects);
        }
    }

    /// The leader has given a consumer its place: the next one is told.
    fn on_ranked(&mut self, from: NodeId, key: ConsumerKey, rank: Rank) {
        if let Location::Elsewhere(leader) = &self.location
            && leader.node == from
            && let Some(session) = &mut self.session
            && let Some(consumer) = session.consumers.get_mut(&key)
        {
            consumer.rank = rank;
        }
    }

    /// Another node has the live queue; whether it wants to hear all that is at stake, though it may have
    /// heard it before.
    fn led_by<E: Effects<H>>(&mut self, node: NodeId, term: u64, starts_anew: bool, effects: &mut E) {
        match &self.location {
            Location::Here(_) => return,
            Location::Leading(leader) if leader.term >= term => return,
            Location::Leading(_) => self.step_down(effects),
            Location::Elsewhere(leader) if leader.term > term => return,
            // What it is told once more would void what it has delivered since.
            Location::Elsewhere(leader) if !starts_anew && (leader.node, leader.term) == (node, term) => {
                let epoch = effects.line(node).and_then(|line| effects.epoch(&line));
                if epoch.is_some() && leader.attached == epoch {
                    return;
                }
            }
            Location::Elsewhere(_) | Location::Unknown => {}
        }
        self.location = Location::Elsewhere(RemoteLeader::new(node, term));
        let session = session_of(&mut self.session);
        session.drop_calls();
        match session.has_interest() {
            true => drop(self.open_line(effects)),
            false => self.send(node, effects, |buffer, queue| wire::nothing(buffer, queue, term)),
        }
        effects.changed();
    }

    /// That node is not to be reached, `is_gone`, or does not have the live queue any more. Clients of a
    /// queue that is not replicated lose what they have at stake.
    pub fn lost_leader<E: Effects<H>>(&mut self, node: NodeId, is_gone: bool, effects: &mut E) {
        let Location::Elsewhere(leader) = &mut self.location else {
            return;
        };
        if leader.node != node {
            return;
        }
        let was_told = leader.attached.take().is_some();
        leader.is_met = false;
        let is_replicated = self.is_replicated();
        let session = session_of(&mut self.session);
        session.drop_calls();
        if is_replicated {
            if is_gone {
                self.location = Location::Unknown;
            }
        } else {
            // Nothing was kept of it.
            for publish in session.give_up() {
                effects.refuse(publish);
            }
            session.held.clear();
            session.forget_settles();
            for consumer in session.end_consumers() {
                effects.cancel(consumer);
            }
        }
        // The end of a link may be heard of after the beginning of the next, and a node may be given up
        // whose link stands: it would go on serving whom nobody here serves.
        if was_told {
            self.open_line(effects);
        }
        effects.changed();
        if is_gone && is_replicated {
            effects.look_up_leader();
        }
    }

    /// Asks the members which of them leads.
    pub fn ask_who_leads<E: Effects<H>>(&self, members: &[NodeId], effects: &mut E) {
        for node in members.iter().filter(|node| **node != self.us) {
            send(self.id, *node, effects, wire::who);
        }
    }
}

pub(super) fn remote_delivery(delivered: Delivered, message: &Bytes) -> Option<RemoteDelivery> {
    Some(RemoteDelivery {
        message: Message::from_stored(message).ok()?,
        slot: delivered.slot,
        redelivered: delivered.redelivered,
        delivery_count: delivered.delivery_count,
    })
}
