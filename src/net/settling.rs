//! What a connection settles: grouped by queue, handed over in batches.

use std::sync::Arc;

use crate::broker::joint::Joint;
use crate::broker::{Broker, QueueHandle};
use crate::broker::{ChannelOut, Outbox};
use crate::broker::{Outcome, Slot};
use crate::statistics::Measure;

/// Slots gathered before the queues get them, whatever else waits.
const MOST: usize = 4096;

/// What is settled and not yet handed over.
#[derive(Default)]
pub struct Settling {
    groups: Vec<Group>,
    slots: usize,
    /// Channels whose own prefetch may have room again.
    channels: Vec<u16>,
}

struct Group {
    queue: Arc<QueueHandle>,
    outcome: Outcome,
    slots: Vec<Slot>,
}

impl Settling {
    /// Takes a slot in. What one queue hears stays in the order in which it was said.
    pub fn push(&mut self, queue: &Arc<QueueHandle>, outcome: Outcome, slot: Slot) {
        self.slots += 1;
        let same = |group: &Group| Arc::ptr_eq(&group.queue, queue);
        if let Some(last) = self.groups.iter_mut().rev().find(|group| same(group))
            && last.outcome == outcome
        {
            return last.slots.push(slot);
        }
        self.groups.push(Group {
            queue: queue.clone(),
            outcome,
            slots: vec![slot],
        });
    }

    /// The channel settled something.
    pub fn channel(&mut self, channel: u16) {
        if self.channels.last() != Some(&channel) {
            self.channels.push(channel);
        }
    }

    /// Whether the batch should be flushed now.
    pub fn is_full(&self) -> bool {
        self.slots >= MOST
    }

    /// Hands everything over. A joint answer comes when the queues have it.
    pub fn flush(&mut self, broker: &Arc<Broker>, outbox: &Outbox, joint: Option<&Joint>) {
        if self.groups.is_empty() && self.channels.is_empty() {
            return;
        }
        for group in &mut self.groups {
            if !group.slots.is_empty() {
                if group.outcome == Outcome::Accept {
                    group.queue.count(Measure::Ack, group.slots.len() as u64);
                }
                broker
                    .queues()
                    .settle(&group.queue, group.slots.drain(..), group.outcome, joint);
            }
        }
        // One group is kept with its buffer: mostly the next acks are for the same queue.
        self.groups.truncate(1);
        self.slots = 0;
        for channel in self.channels.drain(..) {
            broker.queues().serve_stalled(outbox, Some(channel));
        }
    }

    /// Lets go of what an idle connection need not keep.
    pub fn rest(&mut self) {
        self.groups = Vec::new();
        self.channels = Vec::new();
    }
}

/// Counts what a channel acknowledges.
pub(super) fn acked(held: &mut ChannelOut, queue: u32, outcome: Outcome) {
    let queue = held.queue(queue).map(|queue| queue.spec.id);
    if let Some(queue) = queue.filter(|_| outcome == Outcome::Accept) {
        held.count(queue, Measure::Ack, 1);
    }
}
