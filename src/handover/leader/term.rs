//! From the election of this node to its end as a leader: everybody attaches, it serves, it gives the lead on or loses it.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{GATHER, Leader, Leads};
use crate::handover::client_session::HeldDelivery;
use crate::handover::effects::{Effects, Why};
use crate::handover::handles::{ConsumerHandle, Handles, LocalConsumer};
use crate::handover::message::{ConsumerKey, SettleBatch};
use crate::handover::served::Served;
use crate::handover::{ClusteredQueue, Location, session_of, wire};
use crate::queue::{ConsumerId, Holder, Slot};
use crate::types::{Message, NodeId, Timestamp};

impl<H: Handles> ClusteredQueue<H> {
    /// This node leads the group, and its ledger has all that is committed. The other nodes that live
    /// are to say what their clients hold.
    pub fn lead<E: Effects<H>>(&mut self, now: Timestamp, leads: Leads<H>, alive: &[NodeId], effects: &mut E) {
        self.take_leader();
        self.incarnations += 1;
        let term = leads.term;
        let leader = Leader::new(leads, self.incarnations);
        let gathered = leader.wake(Why::Gathered);
        self.location = Location::Leading(Box::new(leader));
        // Whoever was asked does not lead any more, and may not say so to the one that does.
        session_of(&mut self.session).drop_calls();
        self.attach_own(now, effects);
        let is_gathering = !alive.is_empty();
        if let Location::Leading(leader) = &mut self.location {
            leader
                .serving
                .gather(is_gathering.then(|| alive.iter().copied().collect()));
        }
        let id = self.id;
        effects.write_to_all(|buffer| wire::lead(buffer, id, term, true));
        effects.changed();
        match is_gathering {
            true => effects.wake(GATHER, gathered),
            false => {
                self.run(now, effects, |queue, now, output| queue.unstall_all(now, output));
            }
        }
    }

    /// Tells a node that this one leads, if it does.
    pub(in crate::handover) fn tell_lead<E: Effects<H>>(&self, node: NodeId, starts_anew: bool, effects: &mut E) {
        if let Location::Leading(leader) = &self.location {
            let term = leader.term;
            self.send(node, effects, |buffer, queue| {
                wire::lead(buffer, queue, term, starts_anew);
            });
        }
    }

    /// The session of this node meets the live queue: its consumers are taken on with what they hold,
    /// and what is not answered is said again.
    pub(super) fn attach_own<E: Effects<H>>(&mut self, now: Timestamp, effects: &mut E) {
        let session = session_of(&mut self.session);
        let mut held = std::mem::take(&mut session.held);
        let mut consumers = Vec::with_capacity(session.consumers.len());
        for one in session.consumers.values_mut() {
            one.untold = 0;
            // What had come and was not passed on is in the queue again.
            for delivery in one.waiting.drain(..) {
                held.remove(&delivery.slot.seq());
            }
            consumers.push((one.consumer.clone(), one.rank));
        }
        for (consumer, rank) in consumers {
            self.take_local(now, &consumer, rank, effects);
        }
        let by_holder = match self.location.served() {
            Some(served) => by_holder(served, held.values()),
            None => Vec::new(),
        };
        self.run(now, effects, |queue, now, output| {
            for (holder, slots) in by_holder {
                // What is gone was settled; what another holds was given away, and stays so.
                queue.adopt(now, holder, slots, output);
            }
        });
        let session = session_of(&mut self.session);
        let settles: Vec<SettleBatch> = session.settles().cloned().collect();
        let again = session.unanswered();
        let again: Vec<(u64, Message)> = again.map(|(number, message)| (number, message.clone())).collect();
        let producer = session.producer;
        for batch in settles {
            self.settle_leading(now, self.us, batch, true, effects);
        }
        self.take_in(now, self.us, producer, again, effects);
    }

    /// A node has said what its clients hold.
    pub(in crate::handover) fn gathered<E: Effects<H>>(
        &mut self,
        now: Timestamp,
        term: u64,
        node: NodeId,
        effects: &mut E,
    ) {
        if let Location::Leading(leader) = &mut self.location
            && leader.term == term
            && leader.serving.gathered(Some(node))
        {
            self.serve_again(now, effects);
        }
    }

    /// Nodes had their time to say what their clients hold.
    pub(in crate::handover) fn gathering_over<E: Effects<H>>(&mut self, now: Timestamp, effects: &mut E) {
        if let Location::Leading(leader) = &mut self.location
            && leader.serving.gathered(None)
        {
            self.serve_again(now, effects);
        }
    }

    /// The lease of this leader is held again.
    pub fn leased<E: Effects<H>>(&mut self, now: Timestamp, incarnation: u64, effects: &mut E) {
        if let Location::Leading(leader) = &mut self.location
            && leader.incarnation == incarnation
        {
            leader.serving.regained();
            if leader.may_serve(effects) {
                self.serve_again(now, effects);
            }
        }
    }

    /// Serves everybody who waited for the live queue, which is here, to deliver (again).
    pub(super) fn serve_again<E: Effects<H>>(&mut self, now: Timestamp, effects: &mut E) {
        self.run(now, effects, |queue, now, output| queue.unstall_all(now, output));
        effects.changed();
        self.serve_gets(now, effects);
    }

    /// Another is to lead: nothing more goes out, and what was delivered is written down exactly, so
    /// that nothing else is flagged.
    pub fn prepare_transfer<E: Effects<H>>(&mut self, now: Timestamp, effects: &mut E) {
        if let Location::Leading(leader) = &mut self.location {
            leader.serving.set_over(true);
            let takes_back = self.run(now, effects, |queue, _, output| queue.stop(output)) == Some(true);
            if let Location::Leading(leader) = &mut self.location {
                if takes_back {
                    leader.marks_from = leader.submitted + 1;
                }
                leader.flush(effects);
            }
        }
    }

    /// This node goes on leading after all.
    pub fn cancel_transfer<E: Effects<H>>(&mut self, now: Timestamp, effects: &mut E) {
        if let Location::Leading(leader) = &mut self.location
            && leader.serving.set_over(false)
        {
            self.serve_again(now, effects);
        }
    }

    /// This node does not lead (any more).
    pub fn step_down<E: Effects<H>>(&mut self, effects: &mut E) {
        if matches!(self.location, Location::Leading(_)) {
            self.take_leader();
            effects.look_up_leader();
            effects.changed();
        }
    }

    /// Records of that leader did not become part of the log: it is ahead of it, and to be made anew.
    pub fn lost<E: Effects<H>>(&mut self, incarnation: u64, effects: &mut E) {
        if matches!(&self.location, Location::Leading(leader) if leader.incarnation == incarnation) {
            self.step_down(effects);
        }
    }

    /// Throws the leader away; what this node's clients hold is theirs still.
    pub(in crate::handover) fn take_leader(&mut self) {
        if !matches!(self.location, Location::Leading(_)) {
            return;
        }
        // Whoever waits there asks the next leader.
        let Location::Leading(leader) = std::mem::replace(&mut self.location, Location::Unknown) else {
            return;
        };
        let session = session_of(&mut self.session);
        let Served { queue, remote, .. } = &leader.served;
        let mut keys: FxHashMap<ConsumerId, ConsumerKey> = FxHashMap::default();
        let mut others: FxHashSet<ConsumerId> = FxHashSet::default();
        for view in queue.consumers() {
            match view.handle {
                ConsumerHandle::Local(consumer) => {
                    let key = consumer.key();
                    keys.insert(view.id, key);
                    if let Some(one) = session.consumers.get_mut(&key) {
                        one.rank = view.rank;
                    }
                }
                ConsumerHandle::Remote(_) => {
                    others.insert(view.id);
                }
            }
        }
        for (holder, slot) in queue.held() {
            let key = match holder {
                Holder::Consumer(id) if others.contains(&id) => None,
                _ if remote.holds(slot) => None,
                Holder::Get => Some(ConsumerKey::GET),
                // One that was cancelled leaves what it holds to its channel.
                Holder::Consumer(id) => Some(keys.get(&id).copied().unwrap_or(ConsumerKey::GET)),
            };
            if let Some(key) = key {
                session.hold(key, slot);
            }
        }
    }
}

fn by_holder<'a, H: Handles>(
    served: &Served<H>,
    held: impl Iterator<Item = &'a HeldDelivery>,
) -> Vec<(Holder, Vec<Slot>)> {
    let mut by_key: FxHashMap<ConsumerKey, Vec<Slot>> = FxHashMap::default();
    for held in held {
        by_key.entry(held.by).or_default().push(held.slot);
    }
    by_key
        .into_iter()
        .map(|(key, slots)| {
            // A consumer that was cancelled leaves what it holds to its channel.
            let id = served.local.get(&key);
            (id.map_or(Holder::Get, |id| Holder::Consumer(*id)), slots)
        })
        .collect()
}
