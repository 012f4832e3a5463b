//! The clients of a node, as [`crate::broker::desk`] keeps what they have at stake: publishes are
//! numbered and kept until they are answered, what is settled until that is committed, and all of
//! it is said again to whoever leads next.

use std::collections::{BTreeMap, VecDeque};

use super::checker::{Id, Key};
use super::message::{Attach, Batch, Message};
use super::{Sim, World};
use crate::queue::record::ProducerId;
use crate::queue::{Outcome, Slot};
use crate::types::NodeId;

#[derive(Debug)]
pub struct Desk {
    pub producer: ProducerId,
    last_number: u64,
    unanswered: BTreeMap<u64, Id>,
    last_batch: u64,
    settles: VecDeque<Batch>,
    /// With their prefetch.
    pub consumers: BTreeMap<Key, u32>,
    pub held: BTreeMap<u64, Held>,
    leader: Option<Leader>,
    attaches: u64,
}

/// Who leads, as far as this node knows.
#[derive(Clone, Copy, Debug)]
struct Leader {
    node: NodeId,
    term: u64,
    /// It has been told of this node's clients.
    is_told: bool,
    /// It has taken that in.
    is_met: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct Held {
    pub by: Key,
    id: Id,
    slot: Slot,
}

impl Desk {
    pub fn new(producer: u64) -> Self {
        Self {
            producer: ProducerId(producer),
            last_number: 0,
            unanswered: BTreeMap::new(),
            last_batch: 0,
            settles: VecDeque::new(),
            consumers: BTreeMap::new(),
            held: BTreeMap::new(),
            leader: None,
            attaches: 0,
        }
    }

    fn has_interest(&self) -> bool {
        !(self.consumers.is_empty() && self.held.is_empty() && self.unanswered.is_empty() && self.settles.is_empty())
    }

    /// Nothing is on its way, and nobody holds anything.
    pub fn is_idle(&self) -> bool {
        self.held.is_empty() && self.is_answered()
    }

    /// Nothing is on its way.
    pub fn is_answered(&self) -> bool {
        self.unanswered.is_empty() && self.settles.is_empty()
    }
}

impl World {
    /// The leader, told of this node's clients.
    fn way(&mut self, sim: &Sim, us: NodeId) -> Option<NodeId> {
        let desk = self.desk(us)?;
        let leader = desk.leader.as_mut()?;
        let to = leader.node;
        if !std::mem::replace(&mut leader.is_told, true) {
            leader.is_met = false;
            let term = leader.term;
            self.attach(sim, us, to, term);
        }
        Some(to)
    }

    /// Says everything that is at stake.
    fn attach(&mut self, sim: &Sim, us: NodeId, to: NodeId, term: u64) {
        let Some(desk) = self.desk(us) else { return };
        desk.attaches += 1;
        let held = desk.held.values().map(|held| (held.by, held.slot));
        let attach = Attach {
            term,
            number: desk.attaches,
            producer: desk.producer,
            consumers: desk.consumers.iter().map(|(key, prefetch)| (*key, *prefetch)).collect(),
            held: held.collect(),
            settles: desk.settles.iter().cloned().collect(),
        };
        sim.tell(us, to, Message::Attach(attach));
        for (number, id) in &desk.unanswered {
            sim.tell(
                us,
                to,
                Message::Publish {
                    number: *number,
                    id: *id,
                },
            );
        }
    }

    pub fn publish(&mut self, sim: &Sim, us: NodeId, count: u64) {
        for _ in 0..count {
            let Some(desk) = self.desk(us) else { return };
            desk.last_number += 1;
            let id = (desk.producer.0, desk.last_number);
            self.checker.sent(id);
            let way = self.way(sim, us);
            let Some(desk) = self.desk(us) else { return };
            desk.unanswered.insert(id.1, id);
            if let Some(to) = way {
                sim.tell(us, to, Message::Publish { number: id.1, id });
            }
        }
    }

    pub fn consume(&mut self, sim: &Sim, us: NodeId, prefetch: u32) {
        self.last_key += 1;
        let key = self.last_key;
        let way = self.way(sim, us);
        let Some(desk) = self.desk(us) else { return };
        desk.consumers.insert(key, prefetch);
        self.checker.tell(format!("{key} consumes at {us} up to {prefetch}"));
        if let Some(to) = way {
            sim.tell(us, to, Message::Consume { key, prefetch });
        }
    }

    /// A consumer ends; what it has stays with its client.
    pub fn cancel(&mut self, sim: &Sim, us: NodeId, nth: usize) {
        let way = self.way(sim, us);
        let Some(desk) = self.desk(us) else { return };
        let Some(key) = desk.consumers.keys().nth(nth).copied() else {
            return;
        };
        desk.consumers.remove(&key);
        let kept = desk.held.values().filter(|held| held.by == key).map(|held| held.slot);
        let kept: Vec<Slot> = kept.collect();
        self.checker.tell(format!("{key} is cancelled"));
        if let Some(to) = way {
            sim.tell(us, to, Message::Cancel { key, kept });
        }
    }

    /// The client of a node goes, with its consumers and all that it has.
    pub fn leave(&mut self, sim: &Sim, us: NodeId) {
        let way = self.way(sim, us);
        let Some(desk) = self.desk(us) else { return };
        let keys: Vec<Key> = std::mem::take(&mut desk.consumers).into_keys().collect();
        let held = std::mem::take(&mut desk.held).into_values();
        let slots: Vec<_> = held.map(|held| (held.slot, held.id)).collect();
        if slots.is_empty() && keys.is_empty() {
            return;
        }
        desk.last_batch += 1;
        let batch = Batch {
            number: desk.last_batch,
            outcome: Outcome::Requeue,
            slots,
        };
        desk.settles.push_back(batch.clone());
        self.checker.tell(format!("{keys:?} leave"));
        for (_, id) in &batch.slots {
            self.checker.said(*id, Outcome::Requeue);
        }
        if let Some(to) = way {
            sim.tell(us, to, Message::Leave { keys, batch });
        }
    }

    /// A client settles some of what it has.
    pub fn settle(&mut self, sim: &Sim, us: NodeId, from: usize, count: usize, outcome: Outcome) {
        let way = self.way(sim, us);
        let Some(desk) = self.desk(us) else { return };
        let seqs: Vec<u64> = desk.held.keys().skip(from).take(count).copied().collect();
        let slots: Vec<_> = seqs
            .iter()
            .filter_map(|seq| desk.held.remove(seq))
            .map(|held| (held.slot, held.id))
            .collect();
        self.settle_slots(sim, us, way, outcome, slots);
    }

    fn settle_slots(&mut self, sim: &Sim, us: NodeId, way: Option<NodeId>, outcome: Outcome, slots: Vec<(Slot, Id)>) {
        if slots.is_empty() {
            return;
        }
        for (_, id) in &slots {
            self.checker.said(*id, outcome);
        }
        let Some(desk) = self.desk(us) else { return };
        desk.last_batch += 1;
        let batch = Batch {
            number: desk.last_batch,
            outcome,
            slots,
        };
        desk.settles.push_back(batch.clone());
        if let Some(to) = way {
            sim.tell(us, to, Message::Settle(batch));
        }
    }

    /// Another node leads.
    pub fn on_lead(&mut self, sim: &Sim, us: NodeId, node: NodeId, term: u64, starts_anew: bool) {
        if node != us
            && let Some(ours) = self.term_led(us)
        {
            if ours >= term {
                return;
            }
            self.step_down(us, None);
        }
        let Some(desk) = self.desk(us) else { return };
        if desk.leader.is_some_and(|leader| leader.term > term) {
            return;
        }
        let is_told = |leader: Leader| (leader.node, leader.term) == (node, term) && leader.is_told;
        if !starts_anew && desk.leader.is_some_and(is_told) {
            return;
        }
        desk.leader = Some(Leader {
            node,
            term,
            is_told: false,
            is_met: false,
        });
        match desk.has_interest() {
            true => {
                self.way(sim, us);
            }
            false => sim.tell(us, node, Message::Nothing { term }),
        }
    }

    /// A node does not lead any more, or cannot be reached.
    pub fn lost_way(&mut self, sim: &Sim, us: NodeId, node: NodeId, is_gone: bool) {
        let Some(desk) = self.desk(us) else { return };
        let Some(leader) = &mut desk.leader else { return };
        if leader.node != node {
            return;
        }
        leader.is_told = false;
        leader.is_met = false;
        if is_gone {
            desk.leader = None;
            for node in sim.nodes() {
                sim.tell(us, node, Message::Who);
            }
        }
    }

    /// There is a new way to a node: what concerns both is said anew.
    pub fn meet(&mut self, sim: &Sim, us: NodeId, node: NodeId) {
        if let Some(term) = self.term_led(us) {
            let starts_anew = true;
            return sim.tell(us, node, Message::Lead { term, starts_anew });
        }
        let Some(desk) = self.desk(us) else { return };
        if !desk.has_interest() {
            return;
        }
        match desk.leader {
            Some(leader) if leader.node == node => {
                self.way(sim, us);
            }
            None => sim.tell(us, node, Message::Who),
            Some(_) => {}
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of a message")]
    pub fn on_delivered(&mut self, sim: &Sim, us: NodeId, from: NodeId, to: Key, id: Id, slot: Slot, again: bool) {
        let Some(desk) = self.desk(us) else { return };
        if desk.leader.is_none_or(|leader| leader.node != from || !leader.is_met) {
            // Whoever leads gives it again.
            return;
        }
        let is_there = desk.consumers.contains_key(&to);
        if !is_there {
            let way = self.way(sim, us);
            return self.settle_slots(sim, us, way, Outcome::Requeue, vec![(slot, id)]);
        }
        desk.held.insert(slot.seq(), Held { by: to, id, slot });
        self.checker.delivered(to, id, again);
    }

    /// The leader knows what clients of this node have.
    pub fn on_attached(&mut self, us: NodeId, from: NodeId, number: u64, lost: Vec<Slot>) {
        let Some(desk) = self.desk(us) else { return };
        if let Some(leader) = &mut desk.leader
            && leader.node == from
            && leader.is_told
            && desk.attaches == number
        {
            leader.is_met = true;
            for slot in lost {
                if desk.held.get(&slot.seq()).is_some_and(|held| held.slot == slot) {
                    desk.held.remove(&slot.seq());
                }
            }
        }
    }

    pub fn on_answered(&mut self, us: NodeId, number: u64) {
        let Some(desk) = self.desk(us) else { return };
        if let Some(id) = desk.unanswered.remove(&number) {
            self.checker.confirmed(id);
        }
    }

    pub fn on_settled(&mut self, us: NodeId, up_to: u64) {
        let Some(desk) = self.desk(us) else { return };
        while desk.settles.pop_front_if(|batch| batch.number <= up_to).is_some() {}
    }
}
