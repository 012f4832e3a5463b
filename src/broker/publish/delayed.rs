//! Messages that `x-delayed-message` exchanges hold back, on disk until they are due.
//!
//! Each exchange has a [`Delays`] machine and is an owner in the store, with an id made from its
//! names: it has no number of its own. When a message is due it is routed through the exchange
//! again, this time by the exchange's inner type. A machine that panics is made anew from the log;
//! what was on its way to its queues just then may come twice.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use sha2::{Digest, Sha256};

use super::dead_letter::{header_table, routing_keys};
use super::publisher::after_routing;
use super::route::RouteRequest;
use super::vhosts::Vhost;
use super::vhosts::Vhosts;
use crate::broker::queue::claims::{ConfirmToken, answer};
use crate::broker::queue::joint::Joint;
use crate::broker::queue::recovery::entries;
use crate::broker::timers::{Timed, Timers};
use crate::channel::ConfirmOutcome;
use crate::codec::properties::{Edit, Edits, rewrite_properties, scan};
use crate::queue::delay::{DelaySink, Delays};
use crate::queue::{self, META_LEN, Publish};
use crate::router::{Routed, delay};
use crate::store::{Keep, Loc, OwnerId, OwnerLedger, Store};
use crate::tasks;
use crate::types::{ExchangeName, Message, MessageParts, Millis, VhostName};

/// All exchanges that hold messages back.
#[derive(Default)]
pub struct Delayer {
    held: Mutex<FxHashMap<OwnerId, Arc<Held>>>,
    /// Numbers that were used under an owner that is not there: they are not used again.
    next_seqs: Mutex<FxHashMap<OwnerId, u64>>,
    pub(in crate::broker) timers: Timers<Held>,
}

/// The messages of one exchange.
pub struct Held {
    owner: OwnerId,
    vhost: VhostName,
    exchange: ExchangeName,
    delays: Mutex<Delays<ConfirmToken>>,
    /// The exchange is gone; written under the lock of `delays`.
    dropped: AtomicBool,
    /// The machine has panicked and is made anew; written under the lock of `delays`.
    is_broken: AtomicBool,
    /// How often it has.
    panics: AtomicU32,
    /// See [`Timed`].
    scheduled: AtomicU64,
}

/// How often the delays of an exchange are made anew after a panic.
const FORGIVEN: u32 = 3;
/// Marks the owners that are exchanges; queues are numbered from below.
const EXCHANGE_OWNER: u64 = 1 << 63;

/// The owner of an exchange's messages. It is on disk, so it is the same in every version, and
/// nobody can find two exchanges that share one.
pub fn owner_of(vhost: &str, exchange: &str) -> OwnerId {
    let mut hasher = Sha256::new();
    hasher.update((vhost.len() as u64).to_le_bytes());
    hasher.update(vhost);
    hasher.update(exchange);
    let mut id = [0; 8];
    id.copy_from_slice(&hasher.finalize()[..8]);
    OwnerId(u64::from_le_bytes(id) | EXCHANGE_OWNER)
}

/// Whether the owner is an exchange.
pub fn is_exchange(owner: OwnerId) -> bool {
    owner.0 & EXCHANGE_OWNER != 0
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
    /// How many messages of an exchange wait on this node.
    pub fn messages_delayed(&self, vhost: &str, exchange: &str) -> usize {
        self.delayed.count(vhost, exchange)
    }
}

impl Delayer {
    /// Messages of an exchange that survived; `None` for an owner without one.
    pub fn recover(&self, exchange: Option<(&VhostName, &ExchangeName)>, owner: OwnerId, ledger: OwnerLedger) {
        let Some((vhost, exchange)) = exchange else {
            self.next_seqs.lock().insert(owner, ledger.next_seq);
            return;
        };
        if ledger.damaged {
            tracing::error!(%exchange, %vhost, "records of delayed messages are damaged: some are lost");
        }
        let next_seq = ledger.next_seq;
        let delays = Delays::recover(entries(ledger.entries), next_seq);
        let held = Arc::new(Held::new(owner, vhost.clone(), exchange.clone(), delays));
        if let Some(deadline) = held.delays.lock().deadline() {
            self.timers.schedule(&held, deadline);
        }
        self.held.lock().insert(owner, held);
    }

    fn count(&self, vhost: &str, exchange: &str) -> usize {
        let held = self.held.lock().get(&owner_of(vhost, exchange)).cloned();
        held.map_or(0, |held| held.delays.lock().waiting())
    }

    /// The exchange is gone, and what it held.
    pub fn drop_exchange(&self, store: &Store, vhost: &str, exchange: &str) {
        let owner = owner_of(vhost, exchange);
        if let Some(held) = self.held.lock().remove(&owner) {
            self.drop_held(store, &held);
        }
    }

    /// The vhost is gone, and what its exchanges held.
    pub(super) fn drop_vhost(&self, store: &Store, vhost: &VhostName) {
        let gone: Vec<_> = self.held.lock().extract_if(|_, held| held.vhost == *vhost).collect();
        for (_, held) in gone {
            self.drop_held(store, &held);
        }
    }

    /// The store has an exchange's messages up to `seq`.
    pub fn durable(&self, vhosts: &Arc<Vhosts>, owner: OwnerId, seq: u64) {
        let held = self.held.lock().get(&owner).cloned();
        if let Some(held) = held {
            held.with(vhosts, |delays, sink| delays.durable(seq, sink));
        }
    }

    fn drop_held(&self, store: &Store, held: &Held) {
        let next_seq = {
            let mut delays = held.delays.lock();
            held.dropped.store(true, Ordering::Release);
            delays.end(&mut Decided::new(store, held.owner));
            delays.next_seq()
        };
        self.next_seqs.lock().insert(held.owner, next_seq);
        store.batch(held.owner).remove(&[(0, u64::MAX)]);
    }

    fn held_by(&self, vhost: &VhostName, exchange: &ExchangeName) -> Arc<Held> {
        let owner = owner_of(vhost, exchange);
        let mut held = self.held.lock();
        let held = held.entry(owner).or_insert_with(|| {
            let next_seq = self.next_seqs.lock().remove(&owner).unwrap_or(1);
            let delays = Delays::recover(Vec::new(), next_seq);
            Arc::new(Held::new(owner, vhost.clone(), exchange.clone(), delays))
        });
        held.clone()
    }
}

impl Timed for Held {
    fn scheduled(&self) -> &AtomicU64 {
        &self.scheduled
    }

    fn is_gone(&self) -> bool {
        self.dropped.load(Ordering::Acquire)
    }
}

impl Held {
    fn new(owner: OwnerId, vhost: VhostName, exchange: ExchangeName, delays: Delays<ConfirmToken>) -> Self {
        Self {
            owner,
            vhost,
            exchange,
            delays: Mutex::new(delays),
            dropped: AtomicBool::new(false),
            is_broken: AtomicBool::new(false),
            panics: AtomicU32::new(0),
            scheduled: AtomicU64::new(u64::MAX),
        }
    }

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

/// Takes what the machine decided.
struct Decided<'a> {
    store: &'a Store,
    owner: OwnerId,
    due: Vec<(u64, Message)>,
    fetch: Vec<Vec<(u64, Loc)>>,
}

impl<'a> Decided<'a> {
    fn new(store: &'a Store, owner: OwnerId) -> Self {
        Self {
            store,
            owner,
            due: Vec::new(),
            fetch: Vec::new(),
        }
    }
}

impl DelaySink for Decided<'_> {
    type Publish = ConfirmToken;

    fn store(&mut self, seq: u64, meta: [u8; META_LEN], message: &Message) -> queue::Loc {
        let (head, [names, large]) = message.stored();
        let mut batch = self.store.batch(self.owner);
        batch.put(seq, meta, &[&head, names, large], Keep::Durable).to_raw()
    }

    fn settled(&mut self, seq: u64) {
        self.store.batch(self.owner).remove(&[(seq, seq)]);
    }

    fn confirm(&mut self, publish: ConfirmToken) {
        answer([publish], ConfirmOutcome::Ack);
    }

    fn fetch(&mut self, wanted: &[(u64, queue::Loc)]) {
        let run = wanted.iter().map(|&(seq, loc)| (seq, Loc::from_raw(loc)));
        self.fetch.push(run.collect());
    }

    fn due(&mut self, seq: u64, message: Message) {
        self.due.push((seq, message));
    }
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
        let held = broker.vhosts.delayed.held_by(&vhost.name, &exchange);
        for _ in 0..FORGIVEN {
            held.with(&broker.vhosts, |delays, _| {
                *delays = Delays::new();
                panic!("as asked, in the middle of a change")
            });
            until("it is made anew", || !held.is_broken.load(Ordering::Acquire)).await;
            assert_eq!(broker.vhosts.messages_delayed("/", "later"), 3);
        }
        assert!(hold_one(3_600_000).is_accepted().await);
        // What is due goes on its way.
        assert!(hold_one(1).is_accepted().await);
        until("it is routed", || broker.vhosts.messages_delayed("/", "later") == 4).await;
        // Once more is too often: nobody waits in vain.
        held.with(&broker.vhosts, |_, _| panic!("as asked"));
        assert!(!hold_one(3_600_000).is_accepted().await);
    }

    #[test]
    fn owners_are_the_same_in_every_version() {
        assert_eq!(owner_of("/", "later"), OwnerId(0xd7f8_2e46_05da_c24c));
        assert_ne!(owner_of("a", "bc"), owner_of("ab", "c"));
    }
}
