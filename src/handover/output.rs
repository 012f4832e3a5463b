//! Between the live queue and the caller's effects: clients of other nodes are served by frames, and
//! what a replicated queue decides becomes records.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::effects::Effects;
use super::handles::{ConsumerHandle, Handles};
use super::message::Delivered;
use super::remote_nodes::RemoteConsumer;
use super::serving::Serving;
use super::waiting::{Answered, AnsweredPublishes, SessionId, Waiting};
use super::{ClusteredQueue, session_of, wire};
use crate::queue::recorder::Recording;
use crate::queue::{ConsumerId, DeathReason, Delivery, Dying, Keep, Loc, META_LEN, Sink, Slot};
use crate::types::{Message, QueueId};

/// The sink of the live queue.
pub struct Output<'a, H: Handles, E> {
    queue: QueueId,
    effects: &'a mut E,
    answers: &'a mut AnsweredPublishes,
    /// Where this node leads the queue's group.
    leading: Option<(Recording<'a>, &'a mut Serving<H::Journal>)>,
}

impl<'a, H: Handles, E: Effects<H>> Output<'a, H, E> {
    /// Of a queue that is only here.
    pub(super) fn stored(queue: QueueId, effects: &'a mut E, answers: &'a mut AnsweredPublishes) -> Self {
        Self {
            queue,
            effects,
            answers,
            leading: None,
        }
    }

    /// Of a queue whose group this node leads.
    pub(super) fn recorded(
        queue: QueueId,
        effects: &'a mut E,
        answers: &'a mut AnsweredPublishes,
        recording: Recording<'a>,
        serving: &'a mut Serving<H::Journal>,
    ) -> Self {
        Self {
            queue,
            effects,
            answers,
            leading: Some((recording, serving)),
        }
    }

    fn answer(&mut self, waiting: Waiting<H::Publish>, is_accepted: bool) {
        match waiting {
            Waiting::Client(publish) if is_accepted => self.effects.confirm(publish),
            Waiting::Client(publish) => self.effects.refuse(publish),
            Waiting::Session { session, number } => self.answers.push(session, number, is_accepted),
        }
    }

    fn deliver_to_node(&mut self, consumer: &Arc<RemoteConsumer<H::Line>>, delivery: &Delivery<'_>) {
        let bytes = delivery.message.stored_len() as u64;
        consumer.in_flight_bytes.fetch_add(bytes, Ordering::Relaxed);
        let sent = Delivered {
            slot: delivery.slot,
            redelivered: delivery.redelivered,
            delivery_count: delivery.delivery_count,
        };
        let (queue, key) = (self.queue, consumer.key.0);
        self.effects.write(&consumer.line, None, |buffer| {
            wire::deliver(buffer, queue, key, sent, delivery.message);
        });
    }
}

impl<H: Handles, E: Effects<H>> Sink for Output<'_, H, E> {
    type Consumer = ConsumerHandle<H>;
    type Publish = Waiting<H::Publish>;

    fn room(&mut self, consumer: &ConsumerHandle<H>) -> bool {
        if let Some((_, serving)) = &mut self.leading
            && !serving.may_deliver(self.effects)
        {
            return false;
        }
        match consumer {
            ConsumerHandle::Local(consumer) => self.effects.room(consumer),
            // What is written to a line that is closed goes nowhere.
            ConsumerHandle::Remote(consumer) => consumer.has_room() && self.effects.epoch(&consumer.line).is_some(),
        }
    }

    fn deliver(&mut self, consumer: &ConsumerHandle<H>, id: ConsumerId, delivery: Delivery<'_>) {
        match consumer {
            ConsumerHandle::Local(consumer) => self.effects.deliver(consumer, id, delivery),
            ConsumerHandle::Remote(consumer) => self.deliver_to_node(consumer, &delivery),
        }
    }

    fn confirm(&mut self, publish: Waiting<H::Publish>) {
        self.answer(publish, true);
    }

    fn refuse(&mut self, publish: Waiting<H::Publish>) {
        self.answer(publish, false);
    }

    fn dead_letter(&mut self, slot: Slot, message: Message, reason: DeathReason) {
        self.effects.dead_letter(slot, message, reason);
    }

    fn died(&mut self, dying: Dying, reason: DeathReason) {
        self.effects.died(dying, reason);
    }

    fn delivery_limit_reached(&mut self) {
        self.effects.delivery_limit_reached();
    }

    fn leaves(&mut self, seq: u64) {
        self.effects.leaves(seq);
    }

    fn cancel(&mut self, consumer: ConsumerHandle<H>) {
        match consumer {
            ConsumerHandle::Local(consumer) => self.effects.cancel(consumer),
            ConsumerHandle::Remote(consumer) => {
                let (queue, key) = (self.queue, consumer.key.0);
                self.effects
                    .write(&consumer.line, None, |buffer| wire::cancelled(buffer, queue, key));
            }
        }
    }

    fn store(&mut self, seq: u64, meta: [u8; META_LEN], message: &Message, keep: Keep) -> Loc {
        match (&mut self.leading, keep) {
            (Some((recording, _)), Keep::Durable) => recording.append(seq, &meta, message),
            // Everything in a replicated queue is durable: only a queue of this node pages.
            (Some(_), Keep::Page) => Loc::default(),
            (None, _) => self.effects.store(seq, meta, message, keep),
        }
    }

    fn settled(&mut self, seq: u64) {
        match &mut self.leading {
            Some((recording, _)) => recording.settled(seq),
            None => self.effects.settled(seq),
        }
    }

    fn returned(&mut self, seq: u64, count: u32) {
        match &mut self.leading {
            Some((recording, _)) => recording.returned(seq, count),
            None => self.effects.returned(seq, count),
        }
    }

    fn discarded(&mut self, seq: u64, count: u32, reason: DeathReason) {
        match &mut self.leading {
            Some((recording, _)) => recording.discarded(seq, count, reason),
            None => self.effects.discarded(seq, count, reason),
        }
    }

    fn delivered_up_to(&mut self, mark: u64) {
        match &mut self.leading {
            Some((recording, _)) => recording.delivered_up_to(mark),
            None => self.effects.delivered_up_to(mark),
        }
    }

    fn unpaged(&mut self, seq: u64, loc: Loc) {
        match &mut self.leading {
            Some((recording, _)) => recording.settled(seq),
            None => self.effects.unpaged(seq, loc),
        }
    }

    fn fetch(&mut self, wanted: &[(u64, Loc)]) {
        self.effects.fetch(wanted);
    }
}

impl<H: Handles> ClusteredQueue<H> {
    /// Tells the sessions, here and on other nodes.
    pub(super) fn tell<E: Effects<H>>(&mut self, answers: AnsweredPublishes, effects: &mut E) {
        for Answered {
            session: SessionId { node, producer },
            is_accepted,
            first,
            last,
        } in answers.0
        {
            if node == self.us {
                if self.session.is_some() {
                    self.answer_clients(is_accepted, first, last, effects);
                }
                continue;
            }
            let known = self.location.served().and_then(|served| served.remote.get(node));
            // Otherwise it is another run of the node by now, or will ask again when it attaches itself.
            if known.is_some_and(|known| known.producer == producer) {
                self.send(node, effects, |buffer, queue| {
                    wire::answered(buffer, queue, is_accepted, first, last);
                });
            }
        }
    }

    /// The leader answered publishes of this node's clients.
    pub(super) fn answer_clients<E: Effects<H>>(&mut self, is_accepted: bool, first: u64, last: u64, effects: &mut E) {
        let session = session_of(&mut self.session);
        let was_behind = session.is_behind();
        for number in first..=last {
            match session.answered(number) {
                Some(publish) if is_accepted => effects.confirm(publish),
                Some(publish) => effects.refuse(publish),
                None => {}
            }
        }
        if was_behind && !session.is_behind() {
            effects.changed();
        }
    }
}
