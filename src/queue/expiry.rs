//! Times: message expiry, `x-expires`, and the delivery acknowledgement timeout.
//!
//! A message expires at the head of its lane only; one behind a live head is counted until it gets
//! there. The lower of the queue's and the message's own time to live holds, from the moment of
//! publishing. Nothing here runs by itself: [`Queue::deadline`] says when [`Queue::tick`] is due.

use crate::types::{Millis, Timestamp};

use super::Queue;
use super::entry::NEVER;
use super::outstanding::Owner;
use super::sink::{DeathReason, Sink, Tick};

impl<C, P> Queue<C, P> {
    /// Expires what is due and says what else is: the queue itself, or consumers that hold a
    /// message for too long. Also to be called once after `recover`.
    pub fn tick<S>(&mut self, now: Timestamp, sink: &mut S) -> Tick<C>
    where
        S: Sink<Consumer = C, Publish = P>,
        C: Clone,
    {
        self.settle_down(now, sink);
        Tick {
            expire_queue: self.unused_until().is_some_and(|until| until <= now),
            overdue: self.overdue(now),
        }
    }

    /// When [`Queue::tick`] is wanted next; a time in the past means at once.
    pub fn deadline(&self) -> Option<Timestamp> {
        if self.gathering {
            return None;
        }
        let expiry = self.ready.next_expiry().filter(|_| !self.deaths_wait());
        let too_long = (self.too_long() && !self.deaths_wait()).then_some(Timestamp(0));
        let overdue = self.next_overdue.filter(|_| self.outstanding.unacked() > 0);
        [expiry, too_long, overdue, self.unused_until(), self.next_dead_letters()]
            .into_iter()
            .flatten()
            .min()
    }

    /// The queue was used, as declaring it again does: its `x-expires` begins anew.
    pub fn touch_used(&mut self, now: Timestamp) {
        self.last_used = now;
    }

    /// Sets how long a consumer may hold a message where the queue's settings do not say;
    /// `None` is for ever.
    pub fn set_consumer_timeout(&mut self, now: Timestamp, timeout: Option<Millis>) {
        self.consumer_timeout = timeout;
        self.await_overdue(now);
    }

    /// The same where the queue's settings do not say, as it was set.
    pub fn consumer_timeout(&self) -> Option<Millis> {
        self.consumer_timeout
    }

    /// When a message published now expires.
    pub(super) fn expiry(&self, now: Timestamp, own: Option<Millis>) -> Timestamp {
        match (self.settings.message_ttl, own) {
            (None, None) => NEVER,
            (Some(ttl), None) | (None, Some(ttl)) => now + ttl,
            (Some(queue), Some(own)) => now + queue.min(own),
        }
    }

    /// Takes expired messages from the heads of the lanes.
    pub(super) fn expire<S>(&mut self, now: Timestamp, sink: &mut S)
    where
        S: Sink<Consumer = C, Publish = P>,
    {
        while !self.gathering
            && let Some(place) = self.ready.expired_head(now)
            && self.may_die(place)
            && let Some(entry) = self.ready.take(place)
        {
            self.die(entry, DeathReason::Expired, sink);
        }
    }

    /// Looks for overdue consumers again no earlier than one timeout from now.
    pub(super) fn await_overdue(&mut self, now: Timestamp) {
        self.next_overdue = self.timeout().map(|timeout| now + timeout);
        if self.outstanding.unacked() > 0 && self.next_overdue.is_some() {
            // The timeout may have become shorter than what is held already.
            self.next_overdue = Some(now);
        }
    }

    /// How long a consumer may hold a message.
    pub fn timeout(&self) -> Option<Millis> {
        self.settings.consumer_timeout.or(self.consumer_timeout)
    }

    fn unused_until(&self) -> Option<Timestamp> {
        let expires = self.settings.expires.filter(|_| self.consumers.len() == 0)?;
        Some(self.last_used + expires)
    }

    /// Walks all that is out, but only when somebody may be late: later deliveries are due later,
    /// so the oldest one found says when to look again.
    fn overdue(&mut self, now: Timestamp) -> Vec<C>
    where
        C: Clone,
    {
        let Some(timeout) = self
            .timeout()
            .filter(|_| self.next_overdue.is_some_and(|next| next <= now))
        else {
            return Vec::new();
        };
        let mut late = Vec::new();
        let mut next = now + timeout;
        for held in self.outstanding.iter() {
            let Owner::Consumer(id) = held.owner else {
                continue;
            };
            let due = held.since + timeout;
            if due > now {
                next = next.min(due);
            } else if !late.contains(&id) {
                late.push(id);
            }
        }
        if !late.is_empty() {
            next = now + OVERDUE_AGAIN;
        }
        self.next_overdue = Some(next);
        let handles = late.into_iter().filter_map(|id| self.consumers.get(id));
        handles.map(|consumer| consumer.handle.clone()).collect()
    }
}

/// A consumer that is late and still there is named again after this.
const OVERDUE_AGAIN: Millis = Millis(60_000);
