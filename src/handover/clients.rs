//! What the clients of this node do, wherever the live queue is.

use super::effects::Effects;
use super::handles::{ConsumerHandle, Handles, LocalConsumer};
use super::{ClusteredQueue, Consumed, ConsumerKey, Ended, Location, Waiting, consume, session_of};
use crate::queue::{ConsumerId, Get, Outcome, Publish, Rank, Slot};
use crate::types::Timestamp;

impl<H: Handles> ClusteredQueue<H> {
    /// Takes messages of this node's clients in, wherever the queue is. Those for one that lives on a
    /// node which is away are refused. False when the queue is not served or panicked: what is left of
    /// the batch was not taken.
    pub fn publish<E: Effects<H>>(
        &mut self,
        now: Timestamp,
        batch: impl IntoIterator<Item = Publish<H::Publish>>,
        effects: &mut E,
    ) -> bool {
        match self.location {
            Location::Here(_) => {
                let batch = batch.into_iter().map(|Publish { message, publish }| Publish {
                    message,
                    publish: publish.map(Waiting::Client),
                });
                let taken = self.run(now, effects, |queue, now, output| queue.publish(now, batch, output));
                return taken.is_some();
            }
            Location::Leading(_) => self.publish_leading(now, batch, effects),
            Location::Elsewhere(_) | Location::Unknown => self.publish_elsewhere(batch, effects),
        }
        true
    }

    /// Ends the outstanding state of messages of this node's clients.
    pub fn settle<E: Effects<H>>(
        &mut self,
        now: Timestamp,
        slots: impl IntoIterator<Item = Slot>,
        outcome: Outcome,
        settlement: Option<H::Settlement>,
        effects: &mut E,
    ) {
        match self.location {
            Location::Here(_) => {
                let done = self.run(now, effects, |queue, now, output| {
                    queue.settle(now, slots, outcome, output);
                });
                if let (Some(()), Some(settlement)) = (done, settlement) {
                    effects.committed(settlement);
                }
            }
            Location::Leading(_) => {
                let slots = slots.into_iter().collect();
                let batch = session_of(&mut self.session).settle(outcome, slots, settlement).clone();
                self.settle_leading(now, self.us, batch, false, effects);
            }
            Location::Elsewhere(_) | Location::Unknown => {
                self.settle_elsewhere(slots.into_iter().collect(), outcome, settlement, effects);
            }
        }
    }

    /// A client of this node wants to consume. It hears that it does before its first delivery, if it
    /// waits for that.
    pub fn consume<E: Effects<H>>(
        &mut self,
        now: Timestamp,
        consumer: &H::Consumer,
        wants_answer: bool,
        effects: &mut E,
    ) -> Consumed {
        match self.queue().map(|queue| queue.check_consume(consumer.spec().exclusive)) {
            Some(Err(error)) => return Consumed::Refused(error),
            None if !self.is_replicated() => return Consumed::AskFirst,
            _ => {}
        }
        if wants_answer {
            effects.consuming(consumer);
        }
        if !self.is_here() {
            self.consume_elsewhere(consumer, effects);
            return Consumed::Taken;
        }
        if let Some(session) = &mut self.session {
            session.add_consumer(consumer);
        }
        let taken = self.take_local(now, consumer, Rank::default(), effects);
        if !taken && !self.is_replicated() {
            effects.cancel(consumer.clone());
        }
        Consumed::Taken
    }

    /// Takes a consumer of this node on where the live queue is. False when that panicked.
    pub(super) fn take_local<E: Effects<H>>(
        &mut self,
        now: Timestamp,
        consumer: &H::Consumer,
        rank: Rank,
        effects: &mut E,
    ) -> bool {
        let consume = consume(ConsumerHandle::Local(consumer.clone()), &consumer.spec(), rank);
        let taken = self.run(now, effects, |queue, now, output| queue.consume(now, consume, output));
        // It was asked for before whether the queue takes it.
        if let (Some(Ok(id)), Some(served)) = (taken, self.location.served_mut()) {
            served.local.insert(consumer.key(), id);
        }
        taken.is_some()
    }

    /// Ends a consumer of this node. What its client holds stays with the channel. `call` is made where
    /// another node is to say that it is done.
    pub fn cancel<E: Effects<H>>(
        &mut self,
        now: Timestamp,
        key: ConsumerKey,
        call: impl FnOnce() -> H::Call,
        effects: &mut E,
    ) -> Ended {
        let Some(served) = self.location.served_mut() else {
            return self.cancel_elsewhere(key, call, effects);
        };
        let id = served.local.remove(&key);
        if let Some(session) = &mut self.session {
            session.consumers.remove(&key);
        }
        let left = id.and_then(|id| {
            self.run(now, effects, |queue, now, output| {
                queue.cancel(now, id, output);
                queue.consumer_count()
            })
        });
        Ended::Here(left)
    }

    /// A client of this node goes: its consumers end with all that they hold, and what it had of the
    /// queue otherwise comes back too, in one step.
    pub fn leave<E: Effects<H>>(
        &mut self,
        now: Timestamp,
        keys: &[ConsumerKey],
        slots: Vec<Slot>,
        call: impl FnOnce() -> H::Call,
        effects: &mut E,
    ) -> Ended {
        let Some(served) = self.location.served_mut() else {
            return self.leave_elsewhere(keys, slots, call, effects);
        };
        let ids: Vec<ConsumerId> = keys.iter().filter_map(|key| served.local.remove(key)).collect();
        if let Some(session) = &mut self.session {
            for key in keys {
                session.consumers.remove(key);
            }
            if let Location::Leading(leader) = &mut self.location
                && !slots.is_empty()
            {
                let batch = session.settle(Outcome::Requeue, slots.clone(), None);
                leader.settling(self.us, batch.number);
            }
        }
        let left = self.run(now, effects, |queue, now, output| {
            let ended = queue.give_back(now, ids, slots, output);
            (ended > 0).then(|| queue.consumer_count())
        });
        self.tell_settled(effects);
        Ended::Here(left.flatten())
    }

    /// A consumer of this node is served again, whose client had no room.
    pub fn unstall<E: Effects<H>>(&mut self, now: Timestamp, key: ConsumerKey, effects: &mut E) {
        let Some(served) = self.location.served() else {
            return self.pass_on(key, effects);
        };
        // It may have stalled before it was taken on.
        if let Some(id) = served.local.get(&key).copied() {
            self.run(now, effects, |queue, now, output| queue.unstall(now, id, output));
        }
    }

    /// Hands out one message of the live queue, which is here. `None` when it is not served.
    pub fn get<E: Effects<H>>(&mut self, now: Timestamp, no_ack: bool, effects: &mut E) -> Option<Get> {
        if !self.may_serve(effects) {
            return Some(Get::NeedsMark);
        }
        self.run(now, effects, |queue, now, output| queue.get(now, no_ack, output))
    }
}
