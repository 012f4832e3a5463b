//! What nodes with clients say to the one with the live queue.
//!
//! A node that has not attached itself over the link as it is now is not heard: something it said before
//! may be lost. It is asked to say everything, and what it says then takes the place of what was known:
//!
//! ```text
//! Attach: consumers, held, settles → taken on, or kept · adopted · settled again
//!         what was sent and never came comes back → Attached, with what is another's by now
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use rustc_hash::{FxHashMap, FxHashSet};

use super::effects::{Effects, Purger, Unsynced};
use super::handles::{ConsumerHandle, Handles};
use super::message::{Attach, ConsumerKey, ConsumerSpec, FrameBody, SettleBatch};
use super::remote_nodes::{LinkUse, PendingGet, RemoteConsumer, RemoteNode};
use super::waiting::{SessionId, Waiting};
use super::{ClusteredQueue, Location, consume, wire};
use crate::queue::record::ProducerId;
use crate::queue::{ConsumerId, Holder, Publish, Slot};
use crate::types::{Message, NodeId, Timestamp};

impl<H: Handles> ClusteredQueue<H> {
    /// Another node says something.
    pub fn on_frame<E: Effects<H>>(&mut self, now: Timestamp, from: LinkUse, body: FrameBody, effects: &mut E) {
        if let Some(body) = self.on_leader_frame(from.node, body, effects) {
            self.on_client_frame(now, from, body, effects);
        }
    }

    /// What a node with clients says to the one with the live queue.
    fn on_client_frame<E: Effects<H>>(&mut self, now: Timestamp, from: LinkUse, body: FrameBody, effects: &mut E) {
        let node = from.node;
        let is_quarantined = matches!(&self.location, Location::Here(here) if here.is_quarantined);
        if is_quarantined || !self.is_here() {
            return self.not_here(node, &body, is_quarantined, effects);
        }
        if body.follows_attach() && !self.is_attached(from, effects) {
            return;
        }
        match body {
            FrameBody::Who => self.tell_lead(node, false, effects),
            FrameBody::Nothing { term } => {
                // Clients that it had are gone since.
                self.node_gone(now, node, effects);
                self.gathered(now, term, node, effects);
            }
            FrameBody::Attach(attach) => {
                let (term, before) = (attach.term, self.consumer_count());
                self.on_attach(now, from, attach, effects);
                self.is_left(before, effects);
                self.gathered(now, term, node, effects);
            }
            FrameBody::Consume { call, consumer } => self.on_consume(now, node, call, &consumer, effects),
            FrameBody::Cancel { call, key, kept } => {
                let left = self.on_cancel(now, node, ConsumerKey(key), kept, effects);
                self.consumers_ended(node, call, left, effects);
            }
            FrameBody::Leave { call, keys, batch } => {
                let left = self.on_leave(now, node, &keys, batch, effects);
                self.consumers_ended(node, call, left, effects);
            }
            FrameBody::Taken { key, bytes } => self.on_taken(now, node, ConsumerKey(key), bytes, effects),
            FrameBody::Publish { first, messages } => self.on_publish(now, node, first, &messages, effects),
            FrameBody::Settle(batch) => self.on_settle(now, node, batch, false, effects),
            FrameBody::Get { call, no_ack } => {
                if let Some(served) = self.location.served_mut() {
                    served.remote.gets.push(PendingGet { node, call, no_ack });
                }
                self.serve_gets(now, effects);
            }
            FrameBody::Purge { call } => self.purge_for(now, Purger::Node { node, call }, effects),
            FrameBody::Count { call } => self.on_count(now, node, call, effects),
            // For a node with clients: looked at before.
            FrameBody::Lead { .. }
            | FrameBody::NotLeader
            | FrameBody::Attached { .. }
            | FrameBody::Answered { .. }
            | FrameBody::Settled { .. }
            | FrameBody::Deliver { .. }
            | FrameBody::Cancelled { .. }
            | FrameBody::Overdue { .. }
            | FrameBody::Ranked { .. }
            | FrameBody::Done { .. }
            | FrameBody::Counts { .. }
            | FrameBody::Empty { .. }
            | FrameBody::Got { .. }
            | FrameBody::Refused { .. }
            // For no queue's machine: `broker/cluster/remote.rs` has heard it.
            | FrameBody::Leaderless { .. }
            | FrameBody::Reply { .. } => {}
        }
    }

    fn not_here<E: Effects<H>>(&self, node: NodeId, body: &FrameBody, is_quarantined: bool, effects: &mut E) {
        // Whoever only asks hears it from the leader itself. A node that only says what it has at stake has
        // been told that the queue is not served, and says it again when it is.
        let needs_none = match body {
            FrameBody::Who | FrameBody::Nothing { .. } => true,
            FrameBody::Attach(_) => is_quarantined,
            _ => false,
        };
        if !needs_none {
            self.send(node, effects, wire::not_leader);
        }
    }

    /// Whether the node has said over this link what its clients have at stake. If not, something
    /// before this may be lost: it is asked to say all.
    fn is_attached<E: Effects<H>>(&mut self, from: LinkUse, effects: &mut E) -> bool {
        let term = self.term();
        let Some(served) = self.location.served_mut() else {
            return false;
        };
        let known = served.remote.entry(from.node);
        if known.attached == Some(from) {
            return true;
        }
        if known.asked.replace(from) != Some(from) {
            self.send(from.node, effects, |buffer, queue| {
                wire::lead(buffer, queue, term, true);
            });
        }
        false
    }

    fn on_attach<E: Effects<H>>(&mut self, now: Timestamp, from: LinkUse, attach: Attach, effects: &mut E) {
        let node = from.node;
        if matches!(&self.location, Location::Leading(leader) if leader.term != attach.term) {
            // It will hear of this term, and attach itself anew.
            return;
        }
        let producer = ProducerId(attach.producer);
        let known = self.location.served_mut().and_then(|served| {
            served.remote.forget_gets(node);
            served.remote.get(node)
        });
        if known.is_some_and(|known| known.producer != producer) {
            // Another process, whose clients are others.
            self.dismiss(now, node, effects);
        }
        let Some(served) = self.location.served_mut() else {
            return;
        };
        let mut before = served.remote.nodes.remove(&node).unwrap_or_default();
        let known = served.remote.entry(node);
        known.producer = producer;
        known.attached = Some(from);
        known.settled = before.settled;
        known.unsynced = before.unsynced;
        let all: FxHashSet<Slot> = attach.held.iter().map(|(_, slot)| *slot).collect();
        let mut listed: FxHashMap<ConsumerKey, Vec<Slot>> = FxHashMap::default();
        for (key, slot) in attach.held {
            listed.entry(ConsumerKey(key)).or_default().push(slot);
        }
        for spec in &attach.consumers {
            let key = ConsumerKey(spec.key);
            let Some((id, consumer)) = before.consumers.remove(&key) else {
                self.take_remote(now, node, spec, false, effects);
                continue;
            };
            consumer.in_flight_bytes.store(0, Ordering::Relaxed);
            consumer.is_attached.store(false, Ordering::Relaxed);
            if let Location::Leading(leader) = &self.location {
                leader.tell_rank(self.id, id, effects);
            }
            if let Some(served) = self.location.served_mut() {
                served.remote.entry(node).consumers.insert(key, (id, consumer));
            }
        }
        let Some(served) = self.location.served() else {
            return;
        };
        let Some(known) = served.remote.get(node) else {
            return;
        };
        let ids: FxHashMap<ConsumerKey, ConsumerId> =
            known.consumers.iter().map(|(key, (id, _))| (*key, *id)).collect();
        before
            .gets
            .extend(served.held_by(before.consumers.values().map(|(id, _)| *id)));
        let mut kept: Vec<Slot> = Vec::new();
        let not_theirs = self.run(now, effects, |queue, now, output| {
            let mut not_theirs = FxHashSet::default();
            for (key, slots) in listed {
                let id = ids.get(&key);
                let holder = id.map_or(Holder::Get, |id| Holder::Consumer(*id));
                if id.is_none() {
                    kept.extend(&slots);
                }
                // What is gone was settled; what another holds was given away, and stays so.
                not_theirs.extend(queue.adopt(now, holder, slots, output));
            }
            not_theirs
        });
        let not_theirs = not_theirs.unwrap_or_default();
        for batch in attach.settles {
            self.on_settle(now, node, batch, true, effects);
        }
        self.run(now, effects, |queue, now, output| {
            // What was sent and never came goes to others.
            let gone: Vec<ConsumerId> = before.consumers.values().map(|(id, _)| *id).collect();
            let of_node: FxHashSet<ConsumerId> = gone.iter().chain(ids.values()).copied().collect();
            let held = queue
                .held()
                .filter(|(holder, _)| matches!(holder, Holder::Consumer(id) if of_node.contains(id)));
            let lost: Vec<Slot> = held
                .map(|(_, slot)| slot)
                .chain(before.gets.values().copied())
                .filter(|slot| !all.contains(slot))
                .collect();
            queue.cancel_without(now, gone, lost, output);
        });
        kept.retain(|slot| !not_theirs.contains(slot));
        if let Some(known) = self.remote_node(node) {
            known.gets.extend(kept.into_iter().map(|slot| (slot.seq(), slot)));
            known.set_attached(true);
        }
        let lost: Vec<Slot> = not_theirs.into_iter().collect();
        self.send(node, effects, |buffer, queue| {
            wire::attached(buffer, queue, attach.number, &lost);
        });
        self.run(now, effects, |queue, now, output| {
            for id in ids.values() {
                queue.unstall(now, *id, output);
            }
        });
    }

    /// A node that is known to have clients.
    pub(super) fn remote_node(&mut self, node: NodeId) -> Option<&mut RemoteNode<H::Line>> {
        self.location.served_mut()?.remote.nodes.get_mut(&node)
    }

    fn on_consume<E: Effects<H>>(
        &mut self,
        now: Timestamp,
        node: NodeId,
        call: u64,
        spec: &ConsumerSpec<String>,
        effects: &mut E,
    ) {
        if let Some(Err(error)) = self.queue().map(|queue| queue.check_consume(spec.exclusive)) {
            let reply = effects.refusal(error);
            return self.send(node, effects, |buffer, queue| {
                wire::refused(buffer, queue, call, reply.code.code(), &reply.text);
            });
        }
        // Heard before the first delivery: both are written under one lock.
        self.tell_done(node, call, effects);
        self.take_remote(now, node, spec, true, effects);
    }

    /// Takes a consumer of another node on; what is delivered to it counts if that is attached.
    fn take_remote<E: Effects<H>>(
        &mut self,
        now: Timestamp,
        node: NodeId,
        spec: &ConsumerSpec<String>,
        is_attached: bool,
        effects: &mut E,
    ) {
        let Some(line) = effects.line(node) else {
            return;
        };
        let key = ConsumerKey(spec.key);
        let consumer = Arc::new(RemoteConsumer {
            node,
            key,
            tag: spec.tag.clone(),
            line,
            in_flight_bytes: AtomicU64::new(0),
            is_attached: AtomicBool::new(is_attached),
        });
        let consume = consume(ConsumerHandle::Remote(consumer.clone()), spec, spec.rank);
        let id = self.run(now, effects, |queue, now, output| queue.consume(now, consume, output));
        // It was asked for before whether the queue takes it.
        let Some(Ok(id)) = id else { return };
        if let Some(served) = self.location.served_mut() {
            served.remote.entry(node).consumers.insert(key, (id, consumer));
        }
        if let Location::Leading(leader) = &self.location {
            leader.tell_rank(self.id, id, effects);
        }
    }

    /// A consumer of another node ends; what its client does not have comes back. Returns how many are
    /// left, if it was there.
    fn on_cancel<E: Effects<H>>(
        &mut self,
        now: Timestamp,
        node: NodeId,
        key: ConsumerKey,
        kept: Vec<Slot>,
        effects: &mut E,
    ) -> Option<usize> {
        let (id, _) = self.remote_node(node)?.consumers.remove(&key)?;
        let mut held = self.location.served()?.held_by([id]);
        let known = self.remote_node(node)?;
        for slot in kept {
            if held.get(&slot.seq()) == Some(&slot) {
                held.remove(&slot.seq());
                known.gets.insert(slot.seq(), slot);
            }
        }
        let lost = held.into_values();
        self.run(now, effects, |queue, now, output| {
            queue.cancel_without(now, [id], lost, output);
            queue.consumer_count()
        })
    }

    /// A client of another node goes, with all that it holds or that is on its way to it. Returns how many
    /// consumers are left, if some of them ended.
    fn on_leave<E: Effects<H>>(
        &mut self,
        now: Timestamp,
        node: NodeId,
        keys: &[u64],
        batch: SettleBatch,
        effects: &mut E,
    ) -> Option<usize> {
        let SettleBatch { number, slots, .. } = batch;
        let known = self.location.served_mut()?.remote.entry(node);
        let ended = keys.iter().filter_map(|key| known.consumers.remove(&ConsumerKey(*key)));
        let ids: Vec<ConsumerId> = ended.map(|(id, _)| id).collect();
        known.settled = known.settled.max(number);
        known.let_go(&slots);
        if let Location::Leading(leader) = &mut self.location {
            leader.settling(node, number);
        }
        let left = self.run(now, effects, |queue, now, output| {
            let ended = queue.give_back(now, ids, slots, output);
            (ended > 0).then(|| queue.consumer_count())
        });
        self.tell_settled_by(node, effects);
        left.flatten()
    }

    /// Batches of a node were settled: it hears that when it is safe. Those that nobody waits for are told
    /// at once, unless they would answer one before them.
    fn tell_settled_by<E: Effects<H>>(&mut self, node: NodeId, effects: &mut E) {
        if let Location::Leading(_) = self.location {
            return self.tell_settled(effects);
        }
        if let Some(known) = self.remote_node(node)
            && known.unsynced.is_none()
        {
            let up_to = known.settled;
            self.send(node, effects, |buffer, queue| wire::settled(buffer, queue, up_to));
        }
    }

    /// Batches of a node are on this node's disk up to this one.
    pub(super) fn settled_on_disk<E: Effects<H>>(&mut self, session: SessionId, number: u64, effects: &mut E) {
        let SessionId { node, producer } = session;
        // Another run of the node numbers its batches anew.
        let Some(known) = self.remote_node(node).filter(|known| known.producer == producer) else {
            return;
        };
        if known.unsynced == Some(number) {
            known.unsynced = None;
            return self.tell_settled_by(node, effects);
        }
        self.send(node, effects, |buffer, queue| wire::settled(buffer, queue, number));
    }

    /// Consumers of another node have ended: it hears that when an auto-delete queue without consumers
    /// is gone.
    fn consumers_ended<E: Effects<H>>(&self, node: NodeId, call: u64, left: Option<usize>, effects: &mut E) {
        match left {
            Some(0) => effects.last_consumer_ended(Some((node, call))),
            _ => self.tell_done(node, call, effects),
        }
    }

    /// What another node asked is done.
    pub fn tell_done<E: Effects<H>>(&self, node: NodeId, call: u64, effects: &mut E) {
        self.send(node, effects, |buffer, queue| wire::done(buffer, queue, call, 0));
    }

    fn on_taken<E: Effects<H>>(&mut self, now: Timestamp, node: NodeId, key: ConsumerKey, bytes: u64, effects: &mut E) {
        let known = self.remote_node(node);
        let Some((id, consumer)) = known.and_then(|known| known.consumers.get(&key)) else {
            return;
        };
        let id = *id;
        let rest = consumer.in_flight_bytes.load(Ordering::Relaxed).saturating_sub(bytes);
        consumer.in_flight_bytes.store(rest, Ordering::Relaxed);
        self.run(now, effects, |queue, now, output| queue.unstall(now, id, output));
    }

    fn on_settle<E: Effects<H>>(
        &mut self,
        now: Timestamp,
        node: NodeId,
        batch: SettleBatch,
        is_again: bool,
        effects: &mut E,
    ) {
        let number = batch.number;
        let Some(served) = self.location.served_mut() else {
            return;
        };
        let known = served.remote.entry(node);
        if number <= known.settled {
            // It came before the link broke; the answer may have been lost with it.
            if let Location::Leading(leader) = &mut self.location {
                leader.settled_before(node, number);
            }
            return self.tell_settled_by(node, effects);
        }
        known.settled = number;
        known.let_go(&batch.slots);
        let producer = known.producer;
        if let Location::Leading(_) = self.location {
            return self.settle_leading(now, node, batch, is_again, effects);
        }
        if batch.is_awaited
            && !self.is_transient
            && let Some(known) = self.remote_node(node)
        {
            known.unsynced = Some(number);
            let session = SessionId { node, producer };
            effects.when_synced(Unsynced::Settled { session, number });
        }
        self.run(now, effects, |queue, now, output| {
            queue.settle(now, batch.slots, batch.outcome, output);
        });
        self.tell_settled_by(node, effects);
    }

    fn on_publish<E: Effects<H>>(
        &mut self,
        now: Timestamp,
        node: NodeId,
        first: u64,
        messages: &[Bytes],
        effects: &mut E,
    ) {
        let mut numbered = Vec::with_capacity(messages.len());
        for (number, stored) in (first..).zip(messages) {
            match Message::from_stored(stored) {
                Ok(message) => numbered.push((number, message)),
                Err(_) => effects.unreadable(),
            }
        }
        let known = self.location.served().and_then(|served| served.remote.get(node));
        let Some(producer) = known.map(|known| known.producer) else {
            return;
        };
        if let Location::Leading(_) = self.location {
            return self.take_in(now, node, producer, numbered, effects);
        }
        let session = SessionId { node, producer };
        let batch = numbered.into_iter().map(|(number, message)| Publish {
            message,
            publish: Some(Waiting::Session { session, number }),
        });
        self.run(now, effects, |queue, now, output| queue.publish(now, batch, output));
    }

    fn on_count<E: Effects<H>>(&mut self, now: Timestamp, node: NodeId, call: u64, effects: &mut E) {
        // Declares ask, which are a use of the queue.
        self.touch(now);
        let counts = self.queue().map(|queue| queue.counts()).unwrap_or_default();
        self.send(node, effects, |buffer, queue| {
            wire::counts(buffer, queue, call, counts.ready, counts.unacked, counts.consumers);
        });
    }
}
