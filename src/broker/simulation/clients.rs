//! The clients of a node: what they publish, consume, fetch and settle, and what they have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::checker::{Checker, Id, Key};
use super::queue::{SimCall, SimConsumer, SimPublish};
use super::{Sim, World, body, read_body};
use crate::handover::message::ConsumerKey;
use crate::handover::{Ask, CallResult, Consumed};
use crate::queue::{Get, Outcome, Publish, Slot};
use crate::types::NodeId;

/// A transaction.
pub type Tx = u64;

/// How long a client waits for an answer.
const DEADLINE: Duration = Duration::from_secs(8);
/// How often it is tried while there is nobody to ask.
const ASK_AGAIN: Duration = Duration::from_millis(200);

pub struct Clients {
    publisher: u64,
    last_number: u64,
    pub consumers: BTreeMap<Key, SimConsumer>,
    /// What they have, by delivery tag.
    held: BTreeMap<u64, Held>,
    last_tag: u64,
    calls: BTreeMap<u64, Asking>,
    last_call: u64,
    /// Calls that the machine has let go of.
    dropped: Arc<Mutex<Vec<u64>>>,
    /// They read nothing for now.
    pub is_full: bool,
    stalled: BTreeSet<Key>,
}

struct Held {
    by: Key,
    id: Id,
    slot: Slot,
}

/// What somebody waits for.
struct Asking {
    what: Ask,
    /// The machine has the call, by that number of its own.
    sent: Option<u64>,
    /// It is going to be tried again.
    is_late: bool,
}

impl Clients {
    pub fn new(publisher: u64) -> Self {
        Self {
            publisher,
            last_number: 0,
            consumers: BTreeMap::new(),
            held: BTreeMap::new(),
            last_tag: 0,
            calls: BTreeMap::new(),
            last_call: 0,
            dropped: Arc::default(),
            is_full: false,
            stalled: BTreeSet::new(),
        }
    }

    pub fn has_room(&mut self, key: Key) -> bool {
        if self.is_full {
            self.stalled.insert(key);
        }
        !self.is_full
    }

    pub fn hold(&mut self, by: Key, id: Id, slot: Slot) {
        self.last_tag += 1;
        self.held.insert(self.last_tag, Held { by, id, slot });
    }

    /// What the client of a consumer has.
    pub fn held_by(&self, key: Key) -> Vec<Slot> {
        let held = self.held.values().filter(|held| held.by == key);
        held.map(|held| held.slot).collect()
    }

    /// What all of them have.
    pub fn all_held(&self) -> impl Iterator<Item = Slot> {
        self.held.values().map(|held| held.slot)
    }

    /// Nobody waits for an answer, or has anything.
    pub fn is_idle(&self) -> bool {
        self.calls.is_empty() && self.held.is_empty()
    }

    /// Nobody waits for an answer.
    pub fn is_answered(&self) -> bool {
        self.calls.is_empty()
    }

    /// An answer came; false when nobody waits for it any more.
    pub fn answered(&mut self, call: u64, answer: CallResult, checker: &mut Checker) -> bool {
        let is_waited_for = self.calls.remove(&call).is_some();
        if is_waited_for && let CallResult::Got { delivery, .. } = answer {
            let id = read_body(&delivery.message);
            self.got(id, delivery.slot, delivery.redelivered, checker);
        }
        is_waited_for
    }

    fn got(&mut self, id: Id, slot: Slot, is_redelivered: bool, checker: &mut Checker) {
        checker.delivered(0, id, is_redelivered);
        if slot != Slot::NONE {
            self.hold(0, id, slot);
        }
    }
}

impl World {
    pub fn clients(&mut self, node: NodeId) -> Option<&mut Clients> {
        Some(&mut self.node(node).running.as_mut()?.clients)
    }

    /// Messages, in a transaction or not.
    pub fn publish(&mut self, sim: &Sim, us: NodeId, count: u64, tx: Option<Tx>) {
        let Some(clients) = self.clients(us) else { return };
        let ids: Vec<Id> = (1..=count)
            .map(|nth| (clients.publisher, clients.last_number + nth))
            .collect();
        clients.last_number += count;
        for id in &ids {
            self.checker.sent(*id);
            if let Some(tx) = tx {
                self.checker.tx_waits(tx, us);
            }
        }
        let batch = ids.into_iter().map(|id| Publish {
            message: body(id),
            publish: Some(SimPublish { id, tx }),
        });
        self.input(sim, us, |machine, now, effects| machine.publish(now, batch, effects));
    }

    /// Messages and settlements that are answered when all of them are safe.
    pub fn transact(&mut self, sim: &Sim, us: NodeId, count: u64) {
        self.last_tx += 1;
        let tx = self.last_tx;
        self.checker.tell(format!("transaction {tx} at {us}"));
        self.settle_in(sim, us, 0, count as usize, Outcome::Accept, Some(tx));
        self.publish(sim, us, count, Some(tx));
    }

    pub fn consume(&mut self, sim: &Sim, us: NodeId, prefetch: u32, no_ack: bool) {
        self.last_key += 1;
        let consumer = SimConsumer {
            key: self.last_key,
            prefetch,
            no_ack,
        };
        let Some(clients) = self.clients(us) else { return };
        clients.consumers.insert(consumer.key, consumer);
        self.checker
            .tell(format!("{} consumes at {us} up to {prefetch}", consumer.key));
        let consumed = self.input(sim, us, |machine, now, effects| {
            machine.consume(now, &consumer, true, effects)
        });
        assert!(matches!(consumed, Some(Consumed::Taken)), "nobody is refused");
    }

    /// A consumer ends; what it has stays with its client.
    pub fn cancel(&mut self, sim: &Sim, us: NodeId, nth: usize) {
        let Some(clients) = self.clients(us) else { return };
        let Some(key) = clients.consumers.keys().nth(nth).copied() else {
            return;
        };
        clients.consumers.remove(&key);
        let call = clients.untold_call();
        self.checker.tell(format!("{key} is cancelled"));
        self.input(sim, us, |machine, now, effects| {
            machine.cancel(now, ConsumerKey(key), || call, effects)
        });
    }

    /// The client of a node goes, with its consumers and all that it has.
    pub fn leave(&mut self, sim: &Sim, us: NodeId) {
        let Some(clients) = self.clients(us) else { return };
        let keys: Vec<ConsumerKey> = clients.consumers.keys().map(|key| ConsumerKey(*key)).collect();
        clients.consumers.clear();
        let held = std::mem::take(&mut clients.held);
        let slots: Vec<Slot> = held.values().map(|held| held.slot).collect();
        let call = clients.untold_call();
        self.checker.tell(format!("{keys:?} leave"));
        self.input(sim, us, |machine, now, effects| {
            machine.leave(now, &keys, slots, || call, effects)
        });
    }

    /// A client settles some of what it has.
    pub fn settle(&mut self, sim: &Sim, us: NodeId, from: usize, count: usize, outcome: Outcome) {
        self.settle_in(sim, us, from, count, outcome, None);
    }

    fn settle_in(&mut self, sim: &Sim, us: NodeId, from: usize, count: usize, outcome: Outcome, tx: Option<Tx>) {
        let World { nodes, checker, .. } = self;
        let Some(running) = nodes.get_mut(&us).and_then(|node| node.running.as_mut()) else {
            return;
        };
        let clients = &mut running.clients;
        let tags: Vec<u64> = clients.held.keys().skip(from).take(count).copied().collect();
        let settled: Vec<Held> = tags.iter().filter_map(|tag| clients.held.remove(tag)).collect();
        if settled.is_empty() {
            return;
        }
        for held in &settled {
            // What is another's by now is not theirs to settle.
            if running.machine.is_held_here(held.slot) {
                checker.said(held.id, outcome);
            }
        }
        if let Some(tx) = tx {
            checker.tx_waits(tx, us);
        }
        let slots: Vec<Slot> = settled.iter().map(|held| held.slot).collect();
        self.input(sim, us, |machine, now, effects| {
            machine.settle(now, slots, outcome, tx, effects);
        });
    }

    /// A client asks something and waits for the answer.
    pub fn ask(&mut self, sim: &Sim, us: NodeId, what: Ask) {
        let Some(clients) = self.clients(us) else { return };
        clients.last_call += 1;
        let call = clients.last_call;
        clients.calls.insert(
            call,
            Asking {
                what,
                sent: None,
                is_late: false,
            },
        );
        self.checker.tell(format!("{us} asks {call}: {what:?}"));
        self.try_call(sim, us, call);
        sim.later(us, DEADLINE, move |sim, world| world.abandon(sim, us, call));
    }

    /// Whoever waits does so no more.
    pub fn abandon_one(&mut self, sim: &Sim, us: NodeId) {
        let first = self
            .clients(us)
            .and_then(|clients| clients.calls.keys().next().copied());
        if let Some(call) = first {
            self.abandon(sim, us, call);
        }
    }

    fn abandon(&mut self, sim: &Sim, us: NodeId, call: u64) {
        let asking = self.clients(us).and_then(|clients| clients.calls.remove(&call));
        if let Some(sent) = asking.and_then(|asking| asking.sent) {
            self.input(sim, us, |machine, _, _| machine.forget_call(sent));
        }
    }

    /// Everybody who waits and is not heard tries again.
    pub fn try_calls(&mut self, sim: &Sim, us: NodeId) {
        let Some(clients) = self.clients(us) else { return };
        let waiting = clients.calls.iter().filter(|(_, asking)| asking.sent.is_none());
        let waiting: Vec<u64> = waiting.map(|(call, _)| *call).collect();
        for call in waiting {
            self.try_call(sim, us, call);
        }
    }

    /// What the machine has let go of without an answer is asked again.
    pub fn ask_again(&mut self, sim: &Sim, us: NodeId) {
        let Some(clients) = self.clients(us) else { return };
        let dropped = std::mem::take(&mut *clients.dropped.lock());
        for call in dropped {
            // One that it did not take at all is tried again anyway.
            if let Some(asking) = clients.calls.get_mut(&call)
                && asking.sent.take().is_some()
            {
                sim.later(us, Duration::from_millis(1), move |sim, world| {
                    world.try_call(sim, us, call);
                });
            }
        }
    }

    fn try_call(&mut self, sim: &Sim, us: NodeId, number: u64) {
        let Some(running) = &mut self.node(us).running else {
            return;
        };
        let is_here = running.machine.is_here();
        let clients = &mut running.clients;
        let dropped = clients.dropped.clone();
        let Some(asking) = clients.calls.get_mut(&number).filter(|asking| asking.sent.is_none()) else {
            return;
        };
        let what = asking.what;
        let call = || SimCall { number, dropped };
        match what {
            Ask::Get { no_ack } if is_here => {
                let got = self.input(sim, us, |machine, now, effects| machine.get(now, no_ack, effects));
                match got.flatten() {
                    // It waits for a change.
                    Some(Get::NeedsFetch | Get::NeedsMark) => return,
                    Some(Get::Message {
                        message,
                        slot,
                        redelivered,
                        delivery_count,
                        ..
                    }) => {
                        let id = read_body(&message);
                        let World { nodes, checker, .. } = self;
                        checker.given(0, id, delivery_count, slot == Slot::NONE);
                        if let Some(running) = nodes.get_mut(&us).and_then(|node| node.running.as_mut()) {
                            running.clients.got(id, slot, redelivered, checker);
                        }
                    }
                    Some(Get::Empty) | None => {}
                }
                if let Some(clients) = self.clients(us) {
                    clients.calls.remove(&number);
                }
            }
            Ask::Purge if is_here => {
                // It is answered when the purge is committed, and asked again when it is not.
                asking.sent = Some(0);
                self.purging(us, true);
                self.input(sim, us, |machine, now, effects| machine.purge(now, call(), effects));
                self.purging(us, false);
            }
            Ask::Count if is_here => {
                clients.calls.remove(&number);
            }
            _ => {
                let sent = self.input(sim, us, |machine, _, effects| machine.ask(what, call(), effects));
                let sent = sent.flatten();
                if let Some(clients) = self.clients(us)
                    && let Some(asking) = clients.calls.get_mut(&number)
                {
                    asking.sent = sent;
                    if sent.is_none() && !std::mem::replace(&mut asking.is_late, true) {
                        sim.later(us, ASK_AGAIN, move |sim, world| {
                            if let Some(asking) = world.clients(us).and_then(|clients| clients.calls.get_mut(&number)) {
                                asking.is_late = false;
                            }
                            world.try_call(sim, us, number);
                        });
                    }
                }
            }
        }
    }

    /// The clients of a node read nothing, or all that waits.
    pub fn set_full(&mut self, sim: &Sim, us: NodeId, is_full: bool) {
        let Some(clients) = self.clients(us) else { return };
        clients.is_full = is_full;
        if is_full {
            return;
        }
        for key in std::mem::take(&mut clients.stalled) {
            self.input(sim, us, |machine, now, effects| {
                machine.unstall(now, ConsumerKey(key), effects);
            });
        }
    }
}

impl Clients {
    /// A call whose answer nobody waits for.
    fn untold_call(&self) -> SimCall {
        SimCall {
            number: 0,
            dropped: self.dropped.clone(),
        }
    }
}
