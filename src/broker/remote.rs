//! What other nodes say about queues: clients of theirs at machines of ours, and the other way
//! round.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use rustc_hash::{FxHashMap, FxHashSet};

use super::Broker;
use super::consumer::{ConsumerKey, Taker};
use super::desk::{Answer, Arrived};
use super::guests::{Guest, GuestNode};
use super::leading::Purger;
use super::peers::wire::SettleBatch;
use super::peers::{PeerInput, wire};
use super::reply_to::Token;
use super::runner::{Deferred, DeskId, QueueHandle, Seat, State, Waiting, answer};
use crate::channel::ConfirmOutcome;
use crate::cluster::identity::Incarnation;
use crate::cluster::rpc::Origin;
use crate::queue::record::ProducerId;
use crate::queue::{Consume, ConsumerId, Get, Holder, Outcome, Publish, Rank, Slot};
use crate::tasks;
use crate::types::{Message, Millis, NodeId, Refusal, Reply, ReplyCode};

/// A `basic.get` or the like of another node that waits for something.
#[derive(Clone, Copy)]
pub struct Pending {
    pub node: NodeId,
    call: u64,
    no_ack: bool,
}

/// Hears other nodes for the broker, as long as that is there.
pub struct Input(pub Weak<Broker>);

impl PeerInput for Input {
    fn frames(&self, from: Origin, message: Bytes) {
        let Some(broker) = self.0.upgrade() else { return };
        for frame in wire::frames(&message) {
            match frame {
                Ok(frame) => broker.on_frame(&from, frame),
                Err(error) => {
                    // What it means cannot be known; its state is said anew with the next link.
                    tracing::error!(node = %from.node, %error, "a message of another node cannot be read");
                    return;
                }
            }
        }
    }

    fn ended(&self, from: Origin) {
        let Some(broker) = self.0.upgrade() else { return };
        let is_alive = broker.nodes.is_alive(from.node);
        for queue in broker.all_queues() {
            let has_left = queue.guest_left(&from);
            if has_left && !(is_alive && queue.is_replicated()) {
                queue.guest_gone(&broker, from.node);
            }
            queue.lost_way(&broker, from.node, false);
        }
    }

    fn began(&self, node: NodeId) {
        let Some(broker) = self.0.upgrade() else { return };
        for queue in broker.all_queues() {
            queue.meet(&broker, node);
        }
    }
}

impl Broker {
    /// A node is another process than before: the clients of that are gone.
    pub(super) fn on_node_restarted(self: &Arc<Self>, node: NodeId, incarnation: Incarnation) {
        for queue in self.all_queues() {
            let is_old = |origin: Origin| origin.incarnation != incarnation;
            let mut state = queue.state.lock();
            let guest = state.guests.get_mut(&node);
            let is_gone = guest.is_some_and(|guest| guest.attached.is_none_or(is_old));
            drop(state);
            if is_gone {
                queue.guest_gone(self, node);
            }
            queue.lost_way(self, node, true);
        }
    }

    /// A node is gone, or has been silent for too long: its clients too.
    pub(super) fn on_node_gone(self: &Arc<Self>, node: NodeId) {
        for queue in self.all_queues() {
            let is_detached = |state: &State| state.guests.get(&node).is_some_and(|guest| guest.attached.is_none());
            let is_gone = is_detached(&queue.state.lock());
            if is_gone {
                queue.guest_gone(self, node);
            }
            queue.lost_way(self, node, true);
        }
    }

    fn on_frame(self: &Arc<Self>, from: &Origin, frame: wire::Frame) {
        let (id, node) = (frame.queue, from.node);
        if let wire::What::Reply { secret, message } = &frame.what {
            return self.on_reply(*secret, message);
        }
        let Some(queue) = self.queue_by_id(id) else {
            // Deleted, or not heard of yet.
            match frame.what {
                wire::What::Lead { term, .. } => self.peers.tell(node, |buffer| wire::nothing(buffer, id, term)),
                wire::What::Get { call, .. } | wire::What::Purge { call } | wire::What::Count { call } => {
                    self.peers.tell(node, |buffer| {
                        wire::refused(buffer, id, call, 404, "the queue is not there")
                    });
                }
                _ => {}
            }
            return;
        };
        let deferred = queue.on_frame(self, from, frame.what);
        if !deferred.is_empty() {
            self.carry_out(&queue, deferred);
        }
    }

    /// An answer for a client of this node.
    fn on_reply(&self, secret: u128, message: &Bytes) {
        if let Ok(message) = Message::from_stored(message) {
            let token = Token {
                node: self.nodes.us(),
                secret,
            };
            self.reply_to.deliver(token, &message);
        }
    }

    /// Hands an answer to the client that waits under the token, on whatever node it is. False when
    /// it is known that nobody does.
    pub(super) fn deliver_reply(&self, token: Token, message: &Message) -> bool {
        if token.node == self.nodes.us() {
            return self.reply_to.deliver(token, message);
        }
        let way = self.peers.way(token.node);
        way.is_some_and(|way| {
            way.with(|buffer| wire::reply(buffer, token.secret, message));
            true
        })
    }

    /// Whether somebody waits for answers under that name of a queue, on whatever node.
    pub async fn is_reply_waiting(&self, name: &str) -> bool {
        match Token::of(name.as_bytes()) {
            Some(token) if token.node == self.nodes.us() => self.reply_to.is_waiting(token),
            Some(token) => self.nodes.is_alive(token.node) && self.ask_for_reply_queue(token.node, name).await,
            None => false,
        }
    }
}

impl QueueHandle {
    fn on_frame(self: &Arc<Self>, broker: &Arc<Broker>, from: &Origin, what: wire::What) -> Deferred {
        use wire::What;
        let node = from.node;
        match what {
            What::Lead { term, starts_anew } => self.led_by(broker, node, term, starts_anew),
            What::NotLeader => self.lost_way(broker, node, true),
            What::Leaderless { term } => broker.elections.on_leaderless(self, node, term),
            What::Attached { number, lost } => self.on_attached(node, number, lost),
            What::Answered {
                is_accepted,
                first,
                last,
            } => self.on_answered(is_accepted, first, last),
            What::Settled { up_to } => {
                if let Some(desk) = &mut self.state.lock().desk {
                    desk.settled(up_to);
                }
            }
            What::Deliver {
                key,
                delivered,
                message,
            } => {
                let Ok(message) = Message::from_stored(&message) else {
                    tracing::error!(queue = %self.spec.name, "a delivery of another node is damaged");
                    return Deferred::default();
                };
                let arrived = Arrived {
                    message,
                    slot: delivered.slot,
                    redelivered: delivered.redelivered,
                    delivery_count: delivered.delivery_count,
                };
                self.arrived(broker, node, ConsumerKey(key), arrived);
            }
            What::Cancelled { key } => return self.on_cancelled(ConsumerKey(key)),
            What::Overdue { key, timeout } => {
                let state = self.state.lock();
                let seated = state
                    .desk
                    .as_ref()
                    .and_then(|desk| desk.consumers.get(&ConsumerKey(key)));
                if let Some(seated) = seated {
                    seated.consumer.close_overdue(Millis(timeout));
                }
            }
            What::Ranked { key, rank } => self.on_ranked(node, ConsumerKey(key), rank),
            What::Done { call, value } => self.on_answer(call, Ok(Answer::Done(value))),
            What::Counts {
                call,
                ready,
                unacked,
                consumers,
            } => {
                let counts = Answer::Counts {
                    ready,
                    unacked,
                    consumers,
                };
                self.on_answer(call, Ok(counts));
            }
            What::Empty { call } => self.on_answer(call, Ok(Answer::Empty)),
            What::Got {
                call,
                delivered,
                remaining,
                message,
            } => self.on_got(broker, node, call, delivered, remaining, &message),
            What::Refused { call, code, text } => {
                let code = ReplyCode::from_wire(code).unwrap_or(ReplyCode::InternalError);
                self.on_answer(call, Err(Reply::channel(code, text)));
            }
            other => return self.on_guest(broker, from, other),
        }
        Deferred::default()
    }

    /// The node with the machine knows what clients of this one have.
    fn on_attached(&self, from: NodeId, number: u64, lost: Vec<Slot>) {
        let mut state = self.state.lock();
        let State { seat, desk, .. } = &mut *state;
        if let Seat::Elsewhere(Some(away)) = seat
            && away.node == from
            && away.attached.is_some()
            && let Some(desk) = desk
            && desk.attaches == number
        {
            away.is_met = true;
            desk.lose(lost);
        }
    }

    fn on_answered(self: &Arc<Self>, is_accepted: bool, first: u64, last: u64) {
        let outcome = match is_accepted {
            true => ConfirmOutcome::Ack,
            false => ConfirmOutcome::Nack,
        };
        let mut state = self.state.lock();
        let Some(desk) = &mut state.desk else { return };
        let was_behind = desk.is_behind();
        let last = last.min(desk.next_number());
        answer((first..=last).filter_map(|number| desk.answered(number)), outcome);
        if was_behind && !desk.is_behind() {
            self.changed.notify_waiters();
        }
    }

    fn on_answer(&self, call: u64, answer: Result<Answer, Reply>) {
        let mut state = self.state.lock();
        let call = state.desk.as_mut().and_then(|desk| desk.calls.remove(&call));
        if let Some(call) = call {
            // Who does not wait any more need not know.
            let _ = call.tell(answer);
        }
    }

    fn on_got(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        from: NodeId,
        call: u64,
        delivered: wire::Delivered,
        remaining: u64,
        message: &Bytes,
    ) {
        let Ok(message) = Message::from_stored(message) else {
            return self.on_answer(call, Err(self.is_away()));
        };
        let arrived = Arrived {
            message,
            slot: delivered.slot,
            redelivered: delivered.redelivered,
            delivery_count: delivered.delivery_count,
        };
        let slot = arrived.slot;
        let mut state = self.state.lock();
        if !state.is_met(from) {
            return;
        }
        let Some(desk) = &mut state.desk else { return };
        if slot != Slot::NONE {
            desk.hold(ConsumerKey::GET, slot);
        }
        let told = match desk.calls.remove(&call) {
            Some(call) => call.tell(Ok(Answer::Got { arrived, remaining })).is_ok(),
            None => false,
        };
        if !told && slot != Slot::NONE {
            self.settle_away(broker, &mut state, Outcome::Requeue, vec![slot], None);
        }
    }

    fn on_cancelled(&self, key: ConsumerKey) -> Deferred {
        let mut state = self.state.lock();
        let seated = state.desk.as_mut().and_then(|desk| desk.consumers.remove(&key));
        Deferred {
            cancelled: seated.map(|seated| seated.consumer).into_iter().collect(),
            ..Deferred::default()
        }
    }

    /// The leader has given a consumer its place: the next one is told.
    fn on_ranked(&self, from: NodeId, key: ConsumerKey, rank: Rank) {
        let mut state = self.state.lock();
        let State { seat, desk, .. } = &mut *state;
        if let Seat::Elsewhere(Some(away)) = seat
            && away.node == from
            && let Some(seated) = desk.as_mut().and_then(|desk| desk.consumers.get_mut(&key))
        {
            seated.rank = rank;
        }
    }

    /// What a node with clients says to the one with the machine.
    fn on_guest(self: &Arc<Self>, broker: &Arc<Broker>, from: &Origin, what: wire::What) -> Deferred {
        use wire::What;
        let node = from.node;
        let mut state = self.state.lock();
        if state.machine().is_none() || self.is_quarantined() {
            drop(state);
            return self.not_here(broker, node, &what);
        }
        if what.follows_attach() && !self.is_attached(broker, &mut state, from) {
            return Deferred::default();
        }
        match what {
            What::Who => {
                self.tell_lead(broker, &state, node, false);
                Deferred::default()
            }
            What::Nothing { term } => {
                // Clients that it had are gone since.
                let before = state.consumer_count();
                let deferred = self.dismiss(broker, &mut state, node);
                self.is_left(broker, &state, before);
                drop(state);
                self.gathered(broker, term, Some(node));
                deferred
            }
            What::Attach(attach) => {
                let term = attach.term;
                let before = state.consumer_count();
                let deferred = self.on_attach(broker, &mut state, from, attach);
                self.is_left(broker, &state, before);
                drop(state);
                self.gathered(broker, term, Some(node));
                deferred
            }
            What::Consume { call, wish } => {
                let check = state.machine().map(|machine| machine.check_consume(wish.exclusive));
                if let Some(Err(error)) = check {
                    let reply = self.refuses_consumer(error).reply();
                    broker.peers.tell(node, |buffer| {
                        wire::refused(buffer, self.spec.id, call, reply.code.code(), &reply.text);
                    });
                    return Deferred::default();
                }
                // Heard before the first delivery: both are written under this lock.
                broker
                    .peers
                    .tell(node, |buffer| wire::done(buffer, self.spec.id, call, 0));
                self.take_on(broker, &mut state, node, &wish, true)
            }
            What::Cancel { call, key, kept } => {
                let (left, deferred) = self.on_cancel(broker, &mut state, node, key, kept);
                drop(state);
                self.has_ended(broker, node, call, left);
                deferred
            }
            What::Leave { call, keys, batch } => {
                let (left, deferred) = self.on_leave(broker, &mut state, node, &keys, batch);
                drop(state);
                self.has_ended(broker, node, call, left);
                deferred
            }
            What::Taken { key, bytes } => {
                let guest = state.guests.get(&node);
                let Some((id, guest)) = guest.and_then(|guest| guest.consumers.get(&ConsumerKey(key))).cloned() else {
                    return Deferred::default();
                };
                let taken = |on_the_way: u64| Some(on_the_way.saturating_sub(bytes));
                // It always gives a value.
                let _ = guest
                    .on_the_way
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken);
                let (_, deferred) = self.run(broker, &mut state, |machine, now, sink| machine.unstall(now, id, sink));
                deferred
            }
            What::Publish { first, messages } => self.on_publishes(broker, &mut state, node, first, messages),
            What::Settle(batch) => self.on_settle(broker, &mut state, node, batch, false),
            What::Get { call, no_ack } => {
                state.gets.push(Pending { node, call, no_ack });
                drop(state);
                self.serve_calls(broker);
                Deferred::default()
            }
            What::Purge { call } => self.purge_here(broker, &mut state, Purger::Node { node, call }),
            What::Count { call } => {
                // Declares ask, which are a use of the queue.
                let counts = state.machine_mut().map(|machine| {
                    machine.touch_used(broker.now());
                    machine.counts()
                });
                let counts = counts.unwrap_or_default();
                broker.peers.tell(node, |buffer| {
                    wire::counts(
                        buffer,
                        self.spec.id,
                        call,
                        counts.ready,
                        counts.unacked,
                        counts.consumers,
                    );
                });
                Deferred::default()
            }
            // The rest is for a node with clients, and was looked at before.
            _ => Deferred::default(),
        }
    }

    /// Whether the node has said over this link what its clients have at stake. If not, something
    /// before this may be lost: it is asked to say all.
    fn is_attached(&self, broker: &Broker, state: &mut State, from: &Origin) -> bool {
        let term = state.term();
        let guest = state.guests.entry(from.node).or_default();
        if guest.attached == Some(*from) {
            return true;
        }
        if guest.asked.replace(*from) != Some(*from) {
            broker
                .peers
                .tell(from.node, |buffer| wire::lead(buffer, self.spec.id, term, true));
        }
        false
    }

    /// A consumer of another node ends; what its client does not have comes back. Returns how many are
    /// left, if it was there.
    fn on_cancel(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        state: &mut State,
        node: NodeId,
        key: u64,
        kept: Vec<Slot>,
    ) -> (Option<usize>, Deferred) {
        let guest = state.guests.get_mut(&node);
        let Some((id, _)) = guest.and_then(|guest| guest.consumers.remove(&ConsumerKey(key))) else {
            return (None, Deferred::default());
        };
        let mut held = state.held_by([id]);
        let guest = state.guests.entry(node).or_default();
        for slot in kept {
            if held.get(&slot.seq()) == Some(&slot) {
                held.remove(&slot.seq());
                guest.gets.insert(slot.seq(), slot);
            }
        }
        let lost = held.into_values();
        let (left, deferred) = self.run(broker, state, |machine, now, sink| {
            machine.cancel_without(now, [id], lost, sink);
            machine.consumer_count()
        });
        (left, deferred)
    }

    /// A client of another node goes, with all that it holds or that is on its way to it. Returns how many
    /// consumers are left, if some of them ended.
    fn on_leave(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        state: &mut State,
        node: NodeId,
        keys: &[u64],
        batch: SettleBatch,
    ) -> (Option<usize>, Deferred) {
        let guest = state.guests.entry(node).or_default();
        let ended = keys.iter().filter_map(|key| guest.consumers.remove(&ConsumerKey(*key)));
        let ids: Vec<ConsumerId> = ended.map(|(id, _)| id).collect();
        let SettleBatch { number, slots, .. } = batch;
        guest.settled = guest.settled.max(number);
        guest.let_go(&slots);
        if let Seat::Leading(leading) = &mut state.seat {
            leading.settling(node, number);
        }
        let (left, deferred) = self.run(broker, state, |machine, now, sink| {
            let ended = machine.give_back(now, ids, slots, sink);
            (ended > 0).then(|| machine.consumer_count())
        });
        match state.seat {
            Seat::Leading(_) => self.tell_settled(broker, state),
            _ => broker
                .peers
                .tell(node, |buffer| wire::settled(buffer, self.spec.id, number)),
        }
        (left.flatten(), deferred)
    }

    /// Consumers of another node have ended: it hears that when an auto-delete queue without consumers
    /// is gone.
    fn has_ended(self: &Arc<Self>, broker: &Arc<Broker>, node: NodeId, call: u64, left: Option<usize>) {
        let id = self.spec.id;
        let tell = move |broker: &Broker| broker.peers.tell(node, |buffer| wire::done(buffer, id, call, 0));
        match left.and_then(|left| broker.delete_if_left(self, left)) {
            Some(deletion) => {
                let broker = broker.clone();
                tasks::spawn("end of consumers", async move {
                    // If it panicked it has said so.
                    let _ = deletion.await;
                    tell(&broker);
                });
            }
            None => tell(broker),
        }
    }

    fn on_settle(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        state: &mut State,
        node: NodeId,
        batch: SettleBatch,
        is_again: bool,
    ) -> Deferred {
        let number = batch.number;
        let guest = state.guests.entry(node).or_default();
        if number <= guest.settled {
            // It came before the link broke; the answer may have been lost with it.
            if let Seat::Leading(leading) = &mut state.seat {
                leading.settled_before(node, number);
            }
            self.tell_settled(broker, state);
            return Deferred::default();
        }
        guest.settled = number;
        guest.let_go(&batch.slots);
        if let Seat::Leading(_) = state.seat {
            return self.settle_leading(broker, state, node, batch, is_again);
        }
        let (_, deferred) = self.run(broker, state, |machine, now, sink| {
            machine.settle(now, batch.slots, batch.outcome, sink);
        });
        broker
            .peers
            .tell(node, |buffer| wire::settled(buffer, self.spec.id, number));
        deferred
    }

    fn not_here(&self, broker: &Broker, node: NodeId, what: &wire::What) -> Deferred {
        use wire::What;
        // Whoever only asks hears it from the leader itself. A node that only says what it has at stake has
        // been told that the queue is not served, and says it again when it is.
        let needs_none = match what {
            What::Who | What::Nothing { .. } => true,
            What::Attach(_) => self.is_quarantined(),
            _ => false,
        };
        if !needs_none {
            broker.peers.tell(node, |buffer| wire::not_leader(buffer, self.spec.id));
        }
        Deferred::default()
    }

    fn on_attach(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        state: &mut State,
        from: &Origin,
        attach: wire::Attach,
    ) -> Deferred {
        let node = from.node;
        if matches!(&state.seat, Seat::Leading(leading) if leading.term != attach.term) {
            // It will hear of this term, and attach itself anew.
            return Deferred::default();
        }
        state.forget_gets(node);
        let mut deferred = Deferred::default();
        let is_another = |guest: &GuestNode| guest.producer != ProducerId(attach.producer);
        if state.guests.get(&node).is_some_and(is_another) {
            // Another process, whose clients are others.
            deferred.also(self.dismiss(broker, state, node));
        }
        let mut before = state.guests.remove(&node).unwrap_or_default();
        state.guests.insert(
            node,
            GuestNode {
                producer: ProducerId(attach.producer),
                attached: Some(*from),
                settled: before.settled,
                ..GuestNode::default()
            },
        );
        let all: FxHashSet<Slot> = attach.held.iter().map(|(_, slot)| *slot).collect();
        let mut listed: FxHashMap<ConsumerKey, Vec<Slot>> = FxHashMap::default();
        for (key, slot) in attach.held {
            listed.entry(ConsumerKey(key)).or_default().push(slot);
        }
        for wish in &attach.consumers {
            let key = ConsumerKey(wish.key);
            match before.consumers.remove(&key) {
                Some((id, guest)) => {
                    guest.on_the_way.store(0, Ordering::Relaxed);
                    guest.is_attached.store(false, Ordering::Relaxed);
                    if let Seat::Leading(leading) = &state.seat {
                        leading.tell_rank(self.spec.id, id);
                    }
                    if let Some(guests) = state.guests.get_mut(&node) {
                        guests.consumers.insert(key, (id, guest));
                    }
                }
                None => deferred.also(self.take_on(broker, state, node, wish, false)),
            }
        }
        let Some(guests) = state.guests.get(&node) else {
            return deferred;
        };
        let ids: FxHashMap<ConsumerKey, ConsumerId> =
            guests.consumers.iter().map(|(key, (id, _))| (*key, *id)).collect();
        let left = state.held_by(before.consumers.values().map(|(id, _)| *id));
        before.gets.extend(left);
        let mut kept: Vec<Slot> = Vec::new();
        let (not_theirs, also) = self.run(broker, state, |machine, now, sink| {
            let mut not_theirs = FxHashSet::default();
            for (key, slots) in listed {
                let id = ids.get(&key);
                let holder = id.map_or(Holder::Get, |id| Holder::Consumer(*id));
                if id.is_none() {
                    kept.extend(&slots);
                }
                // What is gone was settled; what another holds was given away, and stays so.
                not_theirs.extend(machine.adopt(now, holder, slots, sink));
            }
            not_theirs
        });
        let not_theirs = not_theirs.unwrap_or_default();
        deferred.also(also);
        for batch in attach.settles {
            deferred.also(self.on_settle(broker, state, node, batch, true));
        }
        let (_, also) = self.run(broker, state, |machine, now, sink| {
            // What was sent and never came goes to others.
            let gone: Vec<ConsumerId> = before.consumers.values().map(|(id, _)| *id).collect();
            let of_node: FxHashSet<ConsumerId> = gone.iter().chain(ids.values()).copied().collect();
            let held = machine
                .held()
                .filter(|(holder, _)| matches!(holder, Holder::Consumer(id) if of_node.contains(id)));
            let lost: Vec<Slot> = held
                .map(|(_, slot)| slot)
                .chain(before.gets.values().copied())
                .filter(|slot| !all.contains(slot))
                .collect();
            machine.cancel_without(now, gone, lost, sink);
        });
        deferred.also(also);
        kept.retain(|slot| !not_theirs.contains(slot));
        if let Some(guests) = state.guests.get_mut(&node) {
            guests.gets.extend(kept.into_iter().map(|slot| (slot.seq(), slot)));
            for (_, guest) in guests.consumers.values() {
                guest.is_attached.store(true, Ordering::Relaxed);
            }
        }
        let lost: Vec<Slot> = not_theirs.into_iter().collect();
        broker.peers.tell(node, |buffer| {
            wire::attached(buffer, self.spec.id, attach.number, &lost);
        });
        let (_, also) = self.run(broker, state, |machine, now, sink| {
            for id in ids.values() {
                machine.unstall(now, *id, sink);
            }
        });
        deferred.also(also);
        deferred
    }

    /// Takes a consumer of another node on; what is delivered to it counts if that is attached.
    fn take_on(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        state: &mut State,
        node: NodeId,
        wish: &wire::Wish<String>,
        is_attached: bool,
    ) -> Deferred {
        let Some(out) = broker.peers.get(node) else {
            return Deferred::default();
        };
        let key = ConsumerKey(wish.key);
        let guest = Arc::new(Guest {
            key,
            tag: wish.tag.clone(),
            out,
            on_the_way: AtomicU64::new(0),
            is_attached: AtomicBool::new(is_attached),
        });
        let consume = Consume {
            handle: Taker::Guest(guest.clone()),
            prefetch: wish.prefetch,
            no_ack: wish.no_ack,
            exclusive: wish.exclusive,
            priority: wish.priority,
            rank: wish.rank,
        };
        let (id, deferred) = self.run(broker, state, |machine, now, sink| machine.consume(now, consume, sink));
        // It was asked for before whether the queue takes it.
        if let Some(Ok(id)) = id {
            let guests = state.guests.entry(node).or_default();
            guests.consumers.insert(key, (id, guest));
            if let Seat::Leading(leading) = &state.seat {
                leading.tell_rank(self.spec.id, id);
            }
        }
        deferred
    }

    /// Takes in what clients of another node publish to a queue that lives here.
    fn take_in_here(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        state: &mut State,
        node: NodeId,
        numbered: Vec<(u64, Message)>,
    ) -> Deferred {
        let producer = state.guests.get(&node).map(|guest| guest.producer).unwrap_or_default();
        let desk = DeskId { node, producer };
        let batch = numbered.into_iter().map(|(number, message)| Publish {
            message,
            publish: Some(Waiting::Desk { desk, number }),
        });
        let (_, deferred) = self.run(broker, state, |machine, now, sink| machine.publish(now, batch, sink));
        deferred
    }

    fn on_publishes(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        state: &mut State,
        node: NodeId,
        first: u64,
        messages: Vec<Bytes>,
    ) -> Deferred {
        let numbered = (first..).zip(messages);
        let read = numbered.filter_map(|(number, stored)| match Message::from_stored(&stored) {
            Ok(message) => Some((number, message)),
            Err(_) => {
                tracing::error!(queue = %self.spec.name, "a publish of another node is damaged");
                None
            }
        });
        let read: Vec<_> = read.collect();
        match &state.seat {
            Seat::Leading(_) => {
                let Some(guest) = state.guests.get(&node) else {
                    return Deferred::default();
                };
                let producer = guest.producer;
                self.take_in(broker, state, node, producer, read)
            }
            _ => self.take_in_here(broker, state, node, read),
        }
    }

    /// A node answers that may have missed that this one leads.
    pub(super) fn hail(&self, broker: &Broker, node: NodeId) {
        let state = self.state.lock();
        let is_attached = state.guests.get(&node).is_some_and(|guest| guest.attached.is_some());
        if !is_attached {
            self.tell_lead(broker, &state, node, false);
        }
    }

    /// Tells a node that this one leads, if it does.
    fn tell_lead(&self, broker: &Broker, state: &State, node: NodeId, starts_anew: bool) {
        if let Seat::Leading(leading) = &state.seat {
            let term = leading.term;
            broker
                .peers
                .tell(node, |buffer| wire::lead(buffer, self.spec.id, term, starts_anew));
        }
    }

    /// There is a new way to a node: what concerns both is said anew.
    fn meet(self: &Arc<Self>, broker: &Broker, node: NodeId) {
        let mut state = self.state.lock();
        match &state.seat {
            Seat::Leading(_) => {
                // What was sent to it may not have come: nothing more before it has said what did.
                state.detach(node);
                self.tell_lead(broker, &state, node, true);
            }
            Seat::Elsewhere(Some(away))
                if away.node == node && state.desk.as_ref().is_some_and(|desk| desk.has_interest()) =>
            {
                self.way(broker, &mut state);
            }
            Seat::Elsewhere(None) if state.desk.as_ref().is_some_and(|desk| desk.has_interest()) => {
                broker.peers.tell(node, |buffer| wire::who(buffer, self.spec.id));
            }
            _ => {}
        }
    }

    /// The link to a node with clients broke. Whether it was attached over that.
    fn guest_left(&self, from: &Origin) -> bool {
        let mut state = self.state.lock();
        let is_it = state
            .guests
            .get(&from.node)
            .is_some_and(|guest| guest.attached == Some(*from));
        if is_it {
            state.detach(from.node);
        }
        is_it
    }

    /// A node with clients is gone: what they held goes to others.
    fn guest_gone(self: &Arc<Self>, broker: &Arc<Broker>, node: NodeId) {
        let deferred = {
            let mut state = self.state.lock();
            let before = state.consumer_count();
            let deferred = self.dismiss(broker, &mut state, node);
            self.is_left(broker, &state, before);
            deferred
        };
        if !deferred.is_empty() {
            broker.carry_out(self, deferred);
        }
    }

    /// An auto-delete queue goes when the last of the consumers that it had before is gone.
    fn is_left(self: &Arc<Self>, broker: &Arc<Broker>, state: &State, before: usize) {
        if before > 0 {
            // Nobody waits for it.
            let _ = broker.delete_if_left(self, state.consumer_count());
        }
    }

    /// Ends the consumers of a node and gives back what its clients hold.
    fn dismiss(self: &Arc<Self>, broker: &Arc<Broker>, state: &mut State, node: NodeId) -> Deferred {
        state.forget_gets(node);
        let Some(gone) = state.guests.remove(&node) else {
            return Deferred::default();
        };
        if state.machine().is_none() {
            return Deferred::default();
        }
        if let Seat::Leading(leading) = &mut state.seat {
            leading.forget_settling(node);
        }
        let ids = gone.consumers.values().map(|(id, _)| *id);
        let mut slots: Vec<Slot> = gone.gets.into_values().collect();
        slots.sort_unstable_by_key(|slot| slot.seq());
        let (_, deferred) = self.run(broker, state, |machine, now, sink| {
            machine.give_back(now, ids, slots, sink)
        });
        deferred
    }

    /// Serves what other nodes asked and what had to wait.
    pub(super) fn serve_calls(self: &Arc<Self>, broker: &Arc<Broker>) {
        let mut all = Deferred::default();
        {
            let mut state = self.state.lock();
            let pending = std::mem::take(&mut state.gets);
            for one in pending {
                let Pending { node, call, no_ack } = one;
                if state.machine().is_none() {
                    broker.peers.tell(node, |buffer| wire::not_leader(buffer, self.spec.id));
                    continue;
                }
                if !self.may_serve(broker, &mut state) {
                    state.gets.push(one);
                    continue;
                }
                let (got, deferred) = self.run(broker, &mut state, |machine, now, sink| machine.get(now, no_ack, sink));
                all.also(deferred);
                let id = self.spec.id;
                let Some(got) = got else {
                    broker.peers.tell(node, |buffer| wire::not_leader(buffer, id));
                    continue;
                };
                match got {
                    Get::NeedsFetch | Get::NeedsMark => state.gets.push(one),
                    Get::Empty => broker.peers.tell(node, |buffer| wire::empty(buffer, id, call)),
                    Get::Message {
                        message,
                        slot,
                        redelivered,
                        delivery_count,
                        remaining,
                    } => {
                        if slot != Slot::NONE {
                            state.guests.entry(node).or_default().gets.insert(slot.seq(), slot);
                        }
                        let delivered = wire::Delivered {
                            slot,
                            redelivered,
                            delivery_count,
                        };
                        broker.peers.tell(node, |buffer| {
                            wire::got(buffer, id, call, delivered, remaining, &message)
                        });
                    }
                }
            }
        }
        if !all.is_empty() {
            broker.carry_out(self, all);
        }
    }
}
