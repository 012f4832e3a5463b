//! Messages moved from one queue to others, on the node that has the machine of the first.
//!
//! ```text
//! looked at → routed → taken out → published → all targets have it → settled
//!                └ nowhere, or back here: it stays
//! ```
//! A message is settled when every target has it, and not before: whatever ends in between, it is in
//! one of the queues, or for once in both. It never goes back into the queue that it is taken from.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::after_routing;
use super::dead_letter::last_death;
use super::route::RouteRequest;
use super::vhosts::Vhosts;
use super::vhosts::{QueueRef, Vhost};
use crate::broker::queue::asking::DEADLINE;
use crate::broker::queue::claims::ConfirmToken;
use crate::broker::queue::handle::QueueHandle;
use crate::broker::queue::joint::Joint;
use crate::codec::properties::scan;
use crate::queue::{Outcome, Publish, Slot};
use crate::router::Routed;
use crate::tasks;
use crate::types::{Message, MessageParts, QueueId, Timestamp};

/// Where messages are moved.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum MoveTo {
    /// The queue in which each died last, as it was there.
    Origin,
    /// An exchange; without a routing key each keeps its own.
    Exchange {
        exchange: String,
        routing_key: Option<String>,
    },
}

/// Where one message would go.
pub struct Move {
    /// As it is published.
    pub exchange: String,
    pub routing_key: String,
    message: Message,
    routed: Routed<QueueRef>,
}

/// Why a message is not moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum NotMoved {
    /// It did not die, or the queue that it died in is gone; or no queue gets it there.
    Unroutable,
    /// It would come back into the queue that it is taken from.
    Loop,
    /// A target did not take it.
    Refused,
}

impl NotMoved {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Unroutable => "no queue would get it",
            Self::Loop => "it would come back into this queue",
            Self::Refused => "a queue did not take it",
        }
    }
}

/// What became of messages.
#[derive(Default, Debug, Serialize, Deserialize)]
pub struct Moved {
    pub moved: u64,
    /// By their positions.
    pub not_moved: Vec<(u64, NotMoved)>,
}

impl Vhosts {
    /// Where a message of a queue would be moved.
    ///
    /// # Errors
    /// Why it would not.
    pub fn plan_move(&self, queue: &QueueHandle, message: &Message, to: &MoveTo) -> Result<Move, NotMoved> {
        let vhost = self.get(&queue.spec.vhost).ok_or(NotMoved::Unroutable)?;
        let planned = match to {
            MoveTo::Origin => home(&vhost, message),
            MoveTo::Exchange { exchange, routing_key } => elsewhere(&vhost, message, exchange, routing_key.as_deref()),
        }?;
        let comes_back = planned
            .routed
            .queues
            .iter()
            .any(|target| target.0.spec.id == queue.spec.id);
        match comes_back {
            true => Err(NotMoved::Loop),
            false => Ok(planned),
        }
    }

    /// Moves these messages of a queue, whose positions are in order; those that are not ready any more
    /// are passed over. `None` when its machine is not here.
    pub(super) async fn move_here(
        self: &Arc<Self>,
        queue: &Arc<QueueHandle>,
        positions: Vec<u64>,
        to: MoveTo,
    ) -> Option<Moved> {
        if !queue.is_here() {
            return None;
        }
        let (vhosts, from) = (self.clone(), queue.clone());
        // It reads the disk. One that panics has read nothing.
        let read = tasks::blocking(move || vhosts.queues.read_ready(&from, &positions))
            .await
            .ok()??;
        let mut moved = Moved::default();
        let mut planned = FxHashMap::default();
        for (position, message) in read {
            match self.plan_move(queue, &message, &to) {
                Ok(plan) => {
                    planned.insert(position, plan);
                }
                Err(why) => moved.not_moved.push((position, why)),
            }
        }
        let mut wanted: Vec<_> = planned.keys().copied().collect();
        wanted.sort_unstable();
        let slots = queue.with(&self.queues, |live, now, sink| live.take_out_at(now, &wanted, sink))?;
        let mut answers = Vec::new();
        let mut batches: FxHashMap<QueueId, (Arc<QueueHandle>, Vec<Publish<ConfirmToken>>)> = FxHashMap::default();
        for slot in slots {
            let Some(plan) = planned.remove(&slot.seq()) else {
                continue;
            };
            let (joint, answered) = Joint::new();
            self.hand_to(&queue.spec.vhost, plan, &joint, &mut batches);
            drop(joint);
            answers.push((slot, answered));
        }
        for (target, batch) in batches.into_values() {
            target.publish(&self.queues, batch);
        }
        let (mut taken, mut refused) = (Vec::new(), Vec::new());
        let deadline = Instant::now() + DEADLINE;
        for (slot, answered) in answers {
            match tokio::time::timeout_at(deadline, answered.is_accepted()).await {
                Ok(true) => taken.push(slot),
                _ => refused.push(slot),
            }
        }
        moved.moved = taken.len() as u64;
        moved
            .not_moved
            .extend(refused.iter().map(|slot| (slot.seq(), NotMoved::Refused)));
        self.queues.give_back(queue, refused);
        self.settle_moved(queue, taken).await;
        Some(moved)
    }

    /// Puts a message into the batches of its targets.
    fn hand_to(
        self: &Arc<Self>,
        vhost: &str,
        plan: Move,
        joint: &Joint,
        batches: &mut FxHashMap<QueueId, (Arc<QueueHandle>, Vec<Publish<ConfirmToken>>)>,
    ) {
        let token = || ConfirmToken::Joint(joint.claim());
        if let Some(vhost) = self.get(vhost) {
            let held = (!plan.routed.delayed.is_empty()).then(token);
            after_routing(self, &vhost, &plan.routed, &plan.message, held);
        }
        for target in &plan.routed.queues {
            let batch = batches
                .entry(target.0.spec.id)
                .or_insert_with(|| (target.0.clone(), Vec::new()));
            batch.1.push(Publish {
                message: plan.message.clone(),
                publish: Some(token()),
            });
        }
    }

    /// Their targets have them: they go.
    async fn settle_moved(self: &Arc<Self>, queue: &Arc<QueueHandle>, slots: Vec<Slot>) {
        if slots.is_empty() {
            return;
        }
        let (joint, settled) = Joint::new();
        self.queues.settle(queue, slots, Outcome::Accept, Some(&joint));
        drop(joint);
        // When it is not in time they may come once more: their targets have them already.
        let _ = tokio::time::timeout(DEADLINE, settled.is_accepted()).await;
    }
}

/// When a message died in the queue in which it died last, to a second; `None` if it did not die.
pub fn died_at(message: &Message) -> Option<Timestamp> {
    last_death(message).map(|death| death.at)
}

/// Into the queue in which it died last.
fn home(vhost: &Vhost, message: &Message) -> Result<Move, NotMoved> {
    let death = last_death(message).ok_or(NotMoved::Unroutable)?;
    let queue = vhost.queue(&death.queue).ok_or(NotMoved::Unroutable)?;
    let mut routed = Routed::default();
    routed.queues.push(QueueRef(queue));
    Ok(Move {
        message: anew(message, death.exchange.as_bytes(), &death.routing_key),
        exchange: String::new(),
        routing_key: death.queue,
        routed,
    })
}

fn elsewhere(vhost: &Vhost, message: &Message, exchange: &str, key: Option<&str>) -> Result<Move, NotMoved> {
    let key = key.map_or(message.routing_key(), str::as_bytes);
    let message = anew(message, exchange.as_bytes(), key);
    let properties = scan(message.properties()).map_err(|_| NotMoved::Unroutable)?;
    let request = RouteRequest {
        exchange,
        // Copies were made when it was published; whoever moves it names one place.
        keys: &[key],
        properties: &properties,
        delayed: false,
    };
    let mut routed = Routed::default();
    let is_routed = vhost.route(&request, &mut routed) && !(routed.queues.is_empty() && routed.delayed.is_empty());
    if !is_routed {
        return Err(NotMoved::Unroutable);
    }
    let routing_key = String::from_utf8_lossy(key).into_owned();
    let exchange = exchange.to_owned();
    Ok(Move {
        message,
        exchange,
        routing_key,
        routed,
    })
}

/// The message as it is published again: what counted against it counts from nothing.
fn anew(message: &Message, exchange: &[u8], routing_key: &[u8]) -> Message {
    let parts = MessageParts {
        exchange,
        routing_key,
        properties: message.properties(),
        traits: message.traits(),
    };
    message.rewritten(parts).with_deliveries(0)
}
