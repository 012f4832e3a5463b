//! Dead letters of a queue, published to its dead letter exchange.
//!
//! Cycles without a client in them are cut by [`dead_letter::is_cycle`].

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::after_routing;
use super::dead_letter::{self, Death, Target};
use super::route::RouteRequest;
use super::vhosts::Vhosts;
use crate::broker::queue::at_least_once::{DeadLetterConfirms, HELD_BACK};
use crate::broker::queue::claims::ConfirmToken;
use crate::broker::queue::deferred::{DeadLetter, Work, note};
use crate::broker::queue::handle::QueueHandle;
use crate::codec::properties::scan;
use crate::queue::{Publish, Slot};
use crate::router::Routed;
use crate::types::QueueId;

impl Vhosts {
    /// Publishes dead letters to the dead letter exchange and lets the queue forget them, unless it
    /// keeps them until they are confirmed. On disk they are appended to their targets before they
    /// are removed from here.
    pub(in crate::broker) fn dead_letter(
        self: &Arc<Self>,
        queue: &Arc<QueueHandle>,
        dead_letters: Vec<DeadLetter>,
        work: &mut Work,
    ) {
        let known = queue.read(|machine| {
            let settings = machine.settings();
            let kept = machine.keeps_dead_letters();
            let kept = dead_letters.iter().map(|letter| {
                kept.then(|| {
                    let (outcomes, reached) = (&self.queues.dead_letter_outcomes, machine.reached_by(letter.slot));
                    DeadLetterConfirms::new(outcomes, queue.spec.id, letter.slot, reached)
                })
            });
            (
                settings.dead_letter_exchange.clone(),
                settings.dead_letter_routing_key.clone(),
                kept.collect::<Vec<_>>(),
            )
        });
        // Whoever leads now has them all.
        let Some((exchange, key, kept)) = known else { return };
        let published = dead_letters.iter().zip(&kept).filter(|(_, kept)| kept.is_none());
        let slots: Vec<Slot> = published.map(|(letter, _)| letter.slot).collect();
        if let (Some(exchange), Some(vhost)) = (exchange, self.get(&queue.spec.vhost)) {
            let mut routed = Routed::default();
            let mut groups: FxHashMap<QueueId, (Arc<QueueHandle>, Vec<Publish<ConfirmToken>>)> = FxHashMap::default();
            let mut order = Vec::new();
            for (letter, kept) in dead_letters.into_iter().zip(kept) {
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
                let request = RouteRequest {
                    exchange: &exchange,
                    keys: &keys,
                    properties: &properties,
                    delayed: false,
                };
                if !vhost.route(&request, &mut routed) {
                    continue;
                }
                // A claim of its own for each place that it is to get to and is not at.
                let claim = |target| match &kept {
                    Some(confirms) => confirms
                        .claim(target)
                        .map(|claim| Some(ConfirmToken::DeadLetter(claim))),
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
                    let next = target.publish_deferred(&self.queues, batch);
                    note(work, &target, next);
                }
            }
        }
        if !slots.is_empty() {
            let (_, next) = queue.with_deferred(&self.queues, |machine, _, sink| machine.dead_lettered(slots, sink));
            note(work, queue, next);
        }
    }
}
