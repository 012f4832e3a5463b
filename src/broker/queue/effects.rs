//! Carries out what a queue decided once its lock is free: dead letters, reading back, cancelling.
//!
//! A dead letter may make its target overflow and dead-letter in turn, so effects are worked off a
//! list rather than by calling back. Automatic cycles are cut by [`dead_letter::is_cycle`].

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::claims::ConfirmToken;
use super::handle::QueueHandle;
use super::letters::{HELD_BACK, Letter};
use crate::broker::Broker;
use crate::broker::delivery::consumer::Consumer;
use crate::broker::publish::after_routing;
use crate::broker::publish::dead_letter::{self, Death, Target};
use crate::broker::publish::route::Way;
use crate::codec::headers;
use crate::codec::properties::{Edit, Edits, rewrite_properties, scan};
use crate::journal::raft::Group;
use crate::queue::ledger::Ledger;
use crate::queue::{self, DeathReason, Outcome, Publish, Slot};
use crate::router::Routed;
use crate::spec::QueueType;
use crate::store::Loc;
use crate::tasks;
use crate::types::{FieldTable, FieldValue, Message, MessageParts, NodeId, QueueId};

/// A message on its way out of its queue into the dead-letter exchange.
pub struct DeadLetter {
    pub slot: Slot,
    pub message: Message,
    pub reason: DeathReason,
}

/// Effects that are carried out after the queue's lock was released.
#[derive(Default)]
#[must_use = "what a queue decided is to be carried out"]
pub struct Deferred {
    pub dead_letters: Vec<DeadLetter>,
    pub fetch: Vec<Vec<(u64, queue::Loc)>>,
    pub cancelled: Vec<Arc<Consumer>>,
    /// Handed to a channel that closed in the same moment.
    pub undelivered: Vec<Slot>,
    /// The last consumer is gone; of another node, which asked with this number.
    pub ended: Vec<Option<(NodeId, u64)>>,
}

impl Deferred {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.dead_letters.is_empty()
            && self.fetch.is_empty()
            && self.cancelled.is_empty()
            && self.undelivered.is_empty()
            && self.ended.is_empty()
    }
}

/// What is still to be carried out, queue by queue.
type Work = VecDeque<(Arc<QueueHandle>, Deferred)>;

impl Broker {
    /// Carries out the effects of a queue, and those that follow from them.
    pub(in crate::broker) fn carry_out(self: &Arc<Self>, queue: &Arc<QueueHandle>, deferred: Deferred) {
        let mut work = Work::from([(queue.clone(), deferred)]);
        while let Some((queue, deferred)) = work.pop_front() {
            if !deferred.undelivered.is_empty() {
                self.settle(&queue, deferred.undelivered, Outcome::Requeue, None);
            }
            for consumer in deferred.cancelled {
                let mut out = consumer.outbox.lock();
                out.cancel(&consumer);
                out.finish();
            }
            for asked in deferred.ended {
                self.last_consumer_ended(&queue, asked);
            }
            for run in deferred.fetch {
                self.read_back(&queue, run);
            }
            if !deferred.dead_letters.is_empty() {
                self.dead_letter(&queue, deferred.dead_letters, &mut work);
            }
        }
    }

    /// The last consumer, of another node, has ended: that hears of it when an auto-delete queue is gone.
    fn last_consumer_ended(self: &Arc<Self>, queue: &Arc<QueueHandle>, asked: Option<(NodeId, u64)>) {
        let deletion = self.delete_if_left(queue, 0);
        let Some((node, call)) = asked else { return };
        let tell = move |broker: &Arc<Self>, queue: &Arc<QueueHandle>| {
            queue.input(broker, |machine, _, sink| machine.tell_done(node, call, sink));
        };
        let Some(deletion) = deletion else {
            return tell(self, queue);
        };
        let (broker, queue) = (self.clone(), queue.clone());
        tasks::spawn("end of consumers", async move {
            // If it panicked it has said so.
            let _ = deletion.await;
            tell(&broker, &queue);
        });
    }

    /// Reads bodies outside the async workers and gives them to their queue.
    fn read_back(self: &Arc<Self>, queue: &Arc<QueueHandle>, run: Vec<(u64, queue::Loc)>) {
        let (broker, queue) = (self.clone(), queue.clone());
        let replica = queue.state.lock().replica.clone();
        self.runtime.spawn_blocking(move || {
            let bodies = match replica {
                Some(replica) => match read_ledger(&replica, &run, broker.members_of(&queue).len() > 1) {
                    Some(bodies) => bodies,
                    // The next leader has them.
                    None => return broker.member_fails(&queue, &replica),
                },
                None => {
                    let run: Vec<_> = run.iter().map(|&(seq, loc)| (seq, Loc::from_raw(loc))).collect();
                    broker.read_bodies(queue.owner(), &run)
                }
            };
            let lost = queue.with(&broker, |machine, now, sink| machine.fetched(now, bodies, sink));
            if lost.is_some_and(|lost| lost > 0) {
                tracing::error!(queue = %queue.spec.name, vhost = %queue.spec.vhost, lost, "messages cannot be read any more");
            }
            queue.changed.notify_waiters();
            queue.input(&broker, |machine, now, sink| machine.serve_gets(now, sink));
        });
    }

    /// The bodies of these entries; `None` for what is no more or damaged.
    pub(in crate::broker) fn read_bodies(
        &self,
        owner: crate::store::OwnerId,
        run: &[(u64, Loc)],
    ) -> Vec<(u64, Option<Message>)> {
        let bodies = self.store.read(owner, run).unwrap_or_else(|error| {
            tracing::error!(owner = owner.0, %error, "reading messages failed; each is read by itself");
            // One that cannot be read must not take the others of its run along.
            let alone = |one| self.store.read(owner, std::slice::from_ref(one));
            run.iter()
                .map(|one| alone(one).ok().and_then(|mut read| read.pop().flatten()))
                .collect()
        });
        let seqs = run.iter().map(|(seq, _)| *seq);
        seqs.zip(bodies)
            .map(|(seq, body)| (seq, body.and_then(|body| Message::from_stored(&body).ok())))
            .collect()
    }

    /// Publishes dead letters to the dead letter exchange and lets the queue forget them, unless it
    /// keeps them until they are confirmed. On disk they are appended to their targets before they
    /// are removed from here.
    fn dead_letter(self: &Arc<Self>, queue: &Arc<QueueHandle>, letters: Vec<DeadLetter>, work: &mut Work) {
        let known = queue.read(|machine| {
            let settings = machine.settings();
            let kept = machine.keeps_dead_letters();
            let kept = letters
                .iter()
                .map(|letter| kept.then(|| Letter::new(&self.letters, queue, machine, letter.slot)));
            (
                settings.dead_letter_exchange.clone(),
                settings.dead_letter_routing_key.clone(),
                kept.collect::<Vec<_>>(),
            )
        });
        // Whoever leads now has them all.
        let Some((exchange, key, kept)) = known else { return };
        let published = letters.iter().zip(&kept).filter(|(_, kept)| kept.is_none());
        let slots: Vec<Slot> = published.map(|(letter, _)| letter.slot).collect();
        if let (Some(exchange), Some(vhost)) = (exchange, self.vhost(&queue.spec.vhost)) {
            let mut routed = Routed::default();
            let mut groups: FxHashMap<QueueId, (Arc<QueueHandle>, Vec<Publish<ConfirmToken>>)> = FxHashMap::default();
            let mut order = Vec::new();
            for (letter, kept) in letters.into_iter().zip(kept) {
                let death = Death {
                    queue: &queue.spec.name,
                    reason: letter.reason,
                    at: self.now(),
                };
                let target = Target {
                    exchange: &exchange,
                    routing_key: key.as_deref(),
                };
                let message = dead_letter::dead_letter(&letter.message, death, target);
                let keys = match key {
                    Some(_) => vec![message.routing_key().to_vec()],
                    None => dead_letter::routing_keys(&message),
                };
                let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
                let Ok(properties) = scan(message.properties()) else {
                    continue;
                };
                let way = Way {
                    exchange: &exchange,
                    keys: &keys,
                    properties: &properties,
                    delayed: false,
                };
                if !vhost.route(&way, &mut routed) {
                    continue;
                }
                // A claim of its own for each place that it is to get to and is not at.
                let claim = |target| match &kept {
                    Some(letter) => letter.claim(target).map(Some),
                    None => Some(None),
                };
                let held_back = match routed.delayed.is_empty() {
                    true => Some(None),
                    false => claim(HELD_BACK),
                };
                if let Some(publish) = held_back {
                    after_routing(self, &vhost, &routed, &message, publish);
                }
                for target in routed.queues.iter().map(|target| &target.0) {
                    if dead_letter::is_cycle(&message, &target.spec.name) {
                        continue;
                    }
                    let Some(publish) = claim(target.spec.id) else {
                        continue;
                    };
                    let group = groups.entry(target.spec.id).or_insert_with(|| {
                        order.push(target.spec.id);
                        (target.clone(), Vec::new())
                    });
                    group.1.push(Publish {
                        message: message.clone(),
                        publish,
                    });
                }
            }
            for id in order {
                if let Some((target, batch)) = groups.remove(&id) {
                    let next = target.publish(self, batch);
                    note(work, &target, next);
                }
            }
        }
        if !slots.is_empty() {
            let (_, next) = queue.with_deferred(self, |machine, _, sink| machine.dead_lettered(slots, sink));
            note(work, queue, next);
        }
    }
}

/// The bodies of these messages of a replicated queue; `None` where one is damaged here and others have it.
fn read_ledger(
    replica: &Group<Ledger>,
    run: &[(u64, queue::Loc)],
    has_others: bool,
) -> Option<Vec<(u64, Option<Message>)>> {
    let seqs: Vec<u64> = run.iter().map(|(seq, _)| *seq).collect();
    let reader = replica.machine().locate(&seqs);
    let read = reader.read().into_iter().map(|(seq, message)| match message {
        Ok(message) => Some((seq, Some(message))),
        Err(error) => {
            tracing::error!(seq, %error, "a message cannot be read");
            let is_damaged = replica.has_lost() && error.kind() != io::ErrorKind::NotFound;
            (!is_damaged || !has_others).then_some((seq, None))
        }
    });
    read.collect()
}

fn note(work: &mut Work, queue: &Arc<QueueHandle>, deferred: Deferred) {
    if !deferred.is_empty() {
        work.push_back((queue.clone(), deferred));
    }
}

/// The message with the header that tells how often it was delivered before, on queues that tell
/// (quorum queues); `None` when it goes out as it is.
pub fn with_delivery_count(queue: &QueueHandle, message: &Message, count: u32) -> Option<Message> {
    let tells = queue.spec.queue_type == QueueType::Quorum && count > 0;
    tells.then(|| counted(message, count))
}

fn counted(message: &Message, count: u32) -> Message {
    let table = scan(message.properties()).ok().and_then(|scan| scan.headers);
    let mut table = table
        .filter(|table| headers::check(table).is_ok())
        .and_then(|table| FieldTable::decode(table).ok())
        .map(|(table, _)| table)
        .unwrap_or_default();
    table.set("x-delivery-count", FieldValue::I64(count.into()));
    let edits = Edits {
        headers: Edit::Set(&table),
        ..Edits::default()
    };
    let Ok(properties) = rewrite_properties(message.properties(), &edits) else {
        return message.clone();
    };
    message.rewritten(MessageParts {
        exchange: message.exchange(),
        routing_key: message.routing_key(),
        properties: &properties,
        traits: message.traits(),
    })
}
