//! What routing asks for beside enqueueing: messages remembered by an exchange, or held back until they are due.
//!
//! When a held message is due it is routed through its exchange again, this time by the exchange's inner type, and
//! may be held back by the next one. A machine that panics is made anew from the log; what was on its way to its
//! queues just then may come twice.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::dead_letter::{header_table, routing_keys};
use super::delayed::{Decided, Held};
use super::route::RouteRequest;
use super::vhosts::{QueueRef, Vhost, Vhosts};
use crate::broker::queue::claims::{ConfirmToken, answer};
use crate::broker::queue::joint::Joint;
use crate::broker::queue::recovery::entries;
use crate::channel::ConfirmOutcome;
use crate::codec::properties::{Edit, Edits, rewrite_properties, scan};
use crate::exchange::delay;
use crate::queue::Publish;
use crate::queue::delay::{DelaySink, Delays};
use crate::router::Routed;
use crate::store::{Loc, OwnerId};
use crate::tasks;
use crate::types::{ExchangeName, Message, MessageParts, Millis, VhostName};

/// How often the delays of an exchange are made anew after a panic.
const FORGIVEN: u32 = 3;

/// What routing asks for beside enqueueing: holding the message back, remembering it. Where it is
/// held back `token` gets one confirm.
pub fn after_routing(
    vhosts: &Arc<Vhosts>,
    vhost: &Vhost,
    routed: &Routed<QueueRef>,
    message: &Message,
    token: Option<ConfirmToken>,
) {
    for exchange in &routed.remembered {
        vhost.router.write().remember(exchange, message);
    }
    // The answer of the last one comes when all of them are safe.
    let mut token = token;
    let mut left = routed.delayed.len();
    for (exchange, delay) in &routed.delayed {
        left -= 1;
        let token = if left == 0 { token.take() } else { None };
        hold(vhosts, vhost, exchange, *delay, message, token);
    }
}

/// Holds a message back for that many milliseconds.
pub fn hold(
    vhosts: &Arc<Vhosts>,
    vhost: &Vhost,
    exchange: &ExchangeName,
    delay: u64,
    message: &Message,
    mut token: Option<ConfirmToken>,
) {
    let held = vhosts.delayed.held_by(&vhost.name, exchange);
    held.with(vhosts, |delays, sink| {
        let token = token.take();
        if !held.dropped.load(Ordering::Acquire) {
            delays.enqueue(vhosts.now(), Millis(delay), message.clone(), token, sink);
        } else if let Some(token) = token {
            // Gone with its exchange, as it would be from a queue.
            sink.confirm(token);
        }
    });
    // The machine did not run.
    answer(token, ConfirmOutcome::Nack);
}

impl Vhosts {
    /// How many messages each exchange holds back on this node.
    pub fn messages_delayed(&self) -> Vec<(VhostName, ExchangeName, u64)> {
        self.delayed.counts()
    }

    /// The store has an exchange's messages up to `seq`.
    pub(in crate::broker) fn delayed_durable(self: &Arc<Self>, owner: OwnerId, seq: u64) {
        if let Some(held) = self.delayed.held(owner) {
            held.with(self, |delays, sink| delays.durable(seq, sink));
        }
    }

    /// Lets delayed messages go that are due, until the task is dropped.
    pub(in crate::broker) async fn run_timers(self: &Arc<Self>) {
        let fire = |held: Arc<Held>| held.tick(self);
        self.delayed.timers.run(|| self.now(), fire).await;
    }
}

impl Held {
    /// Something is due.
    pub fn tick(self: &Arc<Self>, vhosts: &Arc<Vhosts>) {
        let now = vhosts.now();
        self.with(vhosts, |delays, sink| delays.tick(now, sink));
    }

    /// Runs a command on the machine, then routes what is due and reads back what was asked for.
    fn with(self: &Arc<Self>, vhosts: &Arc<Vhosts>, f: impl FnOnce(&mut Delays<ConfirmToken>, &mut Decided<'_>)) {
        let (due, fetch, deadline) = {
            let mut delays = self.delays.lock();
            if self.is_broken.load(Ordering::Acquire) {
                // What it holds is read from the log before long, and what comes is refused.
                return;
            }
            let mut sink = Decided::new(&vhosts.store, self.owner);
            let done = catch_unwind(AssertUnwindSafe(|| f(&mut delays, &mut sink)));
            if done.is_err() {
                return self.fall(vhosts, &mut delays);
            }
            (sink.due, sink.fetch, delays.deadline())
        };
        if let Some(deadline) = deadline {
            vhosts.delayed.timers.schedule(self, deadline);
        }
        for run in fetch {
            self.read_back(vhosts, run);
        }
        if !due.is_empty() {
            self.route(vhosts, due);
        }
    }

    /// The machine has panicked: half of a change may have been made, so it is thrown away. Who waits for
    /// what it has not stored is refused.
    fn fall(self: &Arc<Self>, vhosts: &Arc<Vhosts>, delays: &mut Delays<ConfirmToken>) {
        let (exchange, vhost) = (&self.exchange, &self.vhost);
        self.is_broken.store(true, Ordering::Release);
        let next_seq = delays.next_seq();
        let broken = std::mem::replace(delays, Delays::recover(Vec::new(), next_seq));
        let waiting = catch_unwind(AssertUnwindSafe(|| broken.abandon()));
        answer(waiting.unwrap_or_default(), ConfirmOutcome::Nack);
        if self.panics.fetch_add(1, Ordering::Relaxed) >= FORGIVEN {
            tracing::error!(%exchange, %vhost, "the delayed messages of the exchange panicked again: they are held until the node starts again, and no more are taken");
            return;
        }
        tracing::error!(%exchange, %vhost, "the delayed messages of the exchange panicked; they are read again from the log");
        let (held, vhosts) = (self.clone(), vhosts.clone());
        vhosts
            .queues
            .runtime()
            .clone()
            .spawn_blocking(move || held.mend(&vhosts));
    }

    /// Makes the machine anew from the log. Blocks.
    fn mend(self: &Arc<Self>, vhosts: &Arc<Vhosts>) {
        let (exchange, vhost) = (&self.exchange, &self.vhost);
        let ledger = match vhosts.store.ledger(self.owner) {
            Ok(ledger) => ledger,
            Err(error) => {
                tracing::error!(%exchange, %vhost, %error, "the delayed messages cannot be read again; no more are taken");
                return;
            }
        };
        {
            let mut delays = self.delays.lock();
            if self.dropped.load(Ordering::Acquire) {
                return;
            }
            let next_seq = ledger.next_seq.max(delays.next_seq());
            *delays = Delays::recover(entries(ledger.entries), next_seq);
            self.is_broken.store(false, Ordering::Release);
        }
        // What was due meanwhile, and when to look again.
        self.tick(vhosts);
    }

    /// Reads bodies outside the async workers; what is due then goes on.
    fn read_back(self: &Arc<Self>, vhosts: &Arc<Vhosts>, run: Vec<(u64, Loc)>) {
        let (vhosts, held) = (vhosts.clone(), self.clone());
        vhosts.queues.runtime().clone().spawn_blocking(move || {
            let bodies = vhosts.queues.read_bodies(held.owner, &run);
            let now = vhosts.now();
            held.with(&vhosts, |delays, sink| {
                let lost = delays.fetched(now, bodies, sink);
                if lost > 0 {
                    tracing::error!(exchange = %held.exchange, lost, "delayed messages cannot be read any more");
                }
                delays.tick(now, sink);
            });
        });
    }

    /// Gives due messages to their queues, and lets the store forget them when all have answered.
    fn route(self: &Arc<Self>, vhosts: &Arc<Vhosts>, due: Vec<(u64, Message)>) {
        let mut seqs = Vec::with_capacity(due.len());
        let mut routed = Routed::default();
        let (joint, mut answered) = Joint::new();
        let vhost = vhosts.get(&self.vhost);
        for (seq, message) in due {
            seqs.push(seq);
            let message = with_delay_over(message);
            let (Some(vhost), Ok(properties)) = (&vhost, scan(message.properties())) else {
                continue;
            };
            let keys = routing_keys(&message);
            let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
            let request = RouteRequest {
                exchange: &self.exchange,
                keys: &keys,
                properties: &properties,
                delayed: true,
            };
            if !vhost.route(&request, &mut routed) {
                continue;
            }
            let held_again = (!routed.delayed.is_empty()).then(|| ConfirmToken::Joint(joint.claim()));
            after_routing(vhosts, vhost, &routed, &message, held_again);
            for queue in &routed.queues {
                let message = message.clone();
                let publish = Publish {
                    message,
                    publish: Some(ConfirmToken::Joint(joint.claim())),
                };
                queue.0.publish(&vhosts.queues, [publish]);
            }
        }
        drop(joint);
        // What a queue refuses is gone, as when a client publishes it.
        if answered.now().is_some() {
            return self.with(vhosts, |delays, sink| delays.left(seqs, sink));
        }
        let (held, vhosts) = (self.clone(), vhosts.clone());
        tasks::spawn("delayed messages", async move {
            answered.outcome().await;
            held.with(&vhosts, |delays, sink| delays.left(seqs, sink));
        });
    }
}

/// The message with its delay negated.
fn with_delay_over(message: Message) -> Message {
    let mut headers = header_table(&message);
    delay::negate(&mut headers);
    let edits = Edits {
        headers: Edit::Set(&headers),
        ..Edits::default()
    };
    let Ok(properties) = rewrite_properties(message.properties(), &edits) else {
        return message;
    };
    message.rewritten(MessageParts {
        exchange: message.exchange(),
        routing_key: message.routing_key(),
        properties: &properties,
        traits: message.traits(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::replicas::mending::tests::{broker, message, until};
    use crate::exchange::{ExchangeKind, ExchangeSpec};
    use crate::metadata::Command;
    use crate::types::{FieldTable, FieldValue, NodeId};

    #[tokio::test(flavor = "multi_thread")]
    async fn delayed_messages_whose_machine_panics_are_read_again_and_who_waits_is_answered() {
        let directory = tempfile::tempdir().expect("a directory");
        let broker = broker(directory.path()).await;
        let spec = ExchangeSpec {
            vhost: "/".into(),
            name: "later".into(),
            kind: ExchangeKind::DelayedMessage,
            durable: true,
            auto_delete: false,
            internal: false,
            home: NodeId(0),
            arguments: FieldTable(vec![("x-delayed-type".into(), FieldValue::LongString("fanout".into()))]),
            user: "guest".into(),
        };
        broker
            .declarations()
            .command(Command::DeclareExchange(spec))
            .await
            .expect("declared");
        let vhost = broker.vhost("/").expect("the vhost");
        let exchange = ExchangeName::from("later");
        let hold_one = |delay| {
            let (joint, answered) = Joint::new();
            let token = ConfirmToken::Joint(joint.claim());
            hold(&broker.vhosts, &vhost, &exchange, delay, &message("m"), Some(token));
            answered
        };
        for _ in 0..3 {
            assert!(hold_one(3_600_000).is_accepted().await);
        }
        let waiting = || broker.vhosts.messages_delayed()[0].2;
        let held = broker.vhosts.delayed.held_by(&vhost.name, &exchange);
        for _ in 0..FORGIVEN {
            held.with(&broker.vhosts, |delays, _| {
                *delays = Delays::new();
                panic!("as asked, in the middle of a change")
            });
            until("it is made anew", || !held.is_broken.load(Ordering::Acquire)).await;
            assert_eq!(waiting(), 3);
        }
        assert!(hold_one(3_600_000).is_accepted().await);
        // What is due goes on its way.
        assert!(hold_one(1).is_accepted().await);
        until("it is routed", || waiting() == 4).await;
        // Once more is too often: nobody waits in vain.
        held.with(&broker.vhosts, |_, _| panic!("as asked"));
        assert!(!hold_one(3_600_000).is_accepted().await);
    }
}
