//! Publishing: a message to its queues, in batches.
//!
//! One [`Publisher`] per connection. A publish is checked and routed at once (through a cache of
//! exchange and routing key) and put into the batch of each of its queues; [`Publisher::flush`]
//! hands every queue its batch under one lock. The order per queue is the order of publishing.

use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::FxHashMap;

use super::counting::Run;
use super::detour::after_routing;
use super::properties::{Copies, PublishError, check_user_id, edit};
use super::reply_to;
use super::route::RouteRequest;
use super::route_cache::{Found, Route, RouteCache};
use super::vhosts::{QueueRef, Vhost, Vhosts};
use crate::auth::Rights;
use crate::broker::observers;
use crate::broker::queue::claims::{ChannelClaim, ConfirmToken};
use crate::broker::queue::clients::Outbox;
use crate::broker::queue::handle::QueueHandle;
use crate::broker::queue::joint::Joint;
use crate::broker::queue::queues::Queues;
use crate::codec::content::PublishRef;
use crate::codec::properties::scan;
use crate::config::RatesMode;
use crate::declare::{DeclareError, Who, publish_target};
use crate::metadata::CatalogueError;
use crate::queue::Publish;
use crate::router::Routed;
use crate::statistics::{Measure, SizeTally};
use crate::types::{Message, MessageParts, QueueId, UserName};

/// Messages gathered before the queues get them, whatever else waits.
const BATCH_MESSAGES: usize = 4096;
/// Bytes gathered before the queues get them.
const BATCH_BYTES: usize = 1024 * 1024;
/// Groups kept (with their buffers) from one batch to the next.
const KEPT_GROUPS: usize = 64;

/// Who publishes, the same for all messages of a connection.
pub struct Publishing {
    pub vhost: Arc<Vhost>,
    pub user: UserName,
    /// By what it is let publish.
    pub rights: Rights,
    /// May set any user id (tag `impersonator`).
    pub impersonator: bool,
}

/// The channel a message comes in on.
#[derive(Clone, Copy)]
pub struct From {
    pub channel: u16,
    pub incarnation: u64,
    /// Its number when the channel is in confirm mode.
    pub seq: Option<u64>,
    /// Whether the channel consumes from `amq.rabbitmq.reply-to`.
    pub reply_token: Option<reply_to::Token>,
}

/// The body of a publish, in the read buffer or in a buffer of its own.
pub enum Body<'a> {
    Read(&'a [u8]),
    Own(Bytes),
}

/// A message that is checked and has its queues.
pub struct Ready {
    pub message: Message,
    pub route: Route,
    pub from: From,
    pub mandatory: bool,
    /// Set when the route says that more is to be done than enqueueing.
    detour: Option<Box<Routed<QueueRef>>>,
    reply: Option<reply_to::Token>,
}

impl Ready {
    /// Whether one of its queues is a classic one that was deleted since it was routed.
    pub fn names_deleted(&self) -> bool {
        let mut queues = self.route.0.queues.iter();
        queues.any(|queue| queue.is_deleted() && !queue.is_replicated())
    }
}

/// Who waits for the queues of a publish.
#[derive(Clone, Copy)]
enum Claimant<'a> {
    Channel(Confirming),
    Joint(&'a Joint),
}

/// A channel that is in confirm mode, as a publish names it.
#[derive(Clone, Copy)]
struct Confirming {
    channel: u16,
    incarnation: u64,
    seq: u64,
}

/// The publishing side of one connection.
pub struct Publisher {
    outbox: Arc<Outbox>,
    routes: RouteCache,
    groups: Vec<Group>,
    group_of: FxHashMap<QueueId, usize>,
    /// Answers each confirm of this batch waits for, in the order of publishing.
    expected: Vec<(Confirming, u32)>,
    messages: usize,
    bytes: usize,
    run: Option<Run>,
    sizes: SizeTally,
    routed: Routed<QueueRef>,
    scratch: Vec<u8>,
}

struct Group {
    queue: Arc<QueueHandle>,
    batch: Vec<Publish<ConfirmToken>>,
}

impl Publisher {
    /// For a connection that has published nothing yet.
    pub fn new(outbox: Arc<Outbox>) -> Self {
        Self {
            outbox,
            routes: RouteCache::new(),
            groups: Vec::new(),
            group_of: FxHashMap::default(),
            expected: Vec::new(),
            messages: 0,
            bytes: 0,
            run: None,
            sizes: SizeTally::default(),
            routed: Routed::default(),
            scratch: Vec::new(),
        }
    }

    /// Checks a publish and finds its queues. Nothing has happened to them yet.
    ///
    /// # Errors
    /// [`PublishError`], in the order in which RabbitMQ looks for them.
    pub fn prepare(
        &mut self,
        vhosts: &Vhosts,
        by: &Publishing,
        from: From,
        publish: PublishRef<'_>,
        properties: &[u8],
        body: Body<'_>,
    ) -> Result<Ready, PublishError> {
        if publish.immediate {
            return Err(PublishError::Immediate);
        }
        let exchange = std::str::from_utf8(publish.exchange)
            .map_err(|_| no_exchange(by, &String::from_utf8_lossy(publish.exchange)))?;
        let version = (by.vhost.version(), vhosts.rights_version(), by.rights.version());
        let cached = self.routes.get(version, publish.exchange, publish.routing_key);
        if cached.is_none() {
            let who = Who {
                user: &by.user,
                vhost: &by.vhost.name,
                connection: self.outbox.id,
                rights: &by.rights,
            };
            publish_target(&vhosts.catalogue(), &who, exchange, publish.routing_key)?;
        }
        let scan = scan(properties)?;
        check_user_id(&by.user, by.impersonator, &scan)?;
        let copies = scan.headers.map(Copies::of).transpose()?.unwrap_or_default();
        let edited = edit(&scan, properties, &copies, from.reply_token)?;
        let parts = MessageParts {
            exchange: publish.exchange,
            routing_key: publish.routing_key,
            properties: edited.as_deref().unwrap_or(properties),
            traits: scan.traits,
        };
        let message = match body {
            Body::Read(body) => Message::new(parts, body, &mut self.scratch),
            Body::Own(body) => Message::with_body(parts, body),
        };
        let ready = |route| Ready {
            message,
            route,
            from,
            mandatory: publish.mandatory,
            detour: None,
            reply: None,
        };
        if copies.keys.is_empty()
            && let Some(route) = cached
        {
            return Ok(ready(route));
        }
        let mut keys = vec![publish.routing_key];
        keys.extend(copies.keys.iter().map(Vec::as_slice));
        let request = RouteRequest {
            exchange,
            keys: &keys,
            properties: &scan,
            delayed: false,
        };
        if !by.vhost.route(&request, &mut self.routed) {
            return Err(no_exchange(by, exchange).into());
        }
        let mut ready = ready(Route(Arc::new(Found {
            queues: self.routed.queues.iter().map(|queue| queue.0.clone()).collect(),
            name: exchange.into(),
            exchange: by.vhost.stats_of(exchange),
            is_detailed: vhosts.config.management.rates_mode == RatesMode::Detailed,
            scope: by.vhost.scope.clone(),
        })));
        if exchange.is_empty() {
            ready.reply = reply_to::Token::of(publish.routing_key);
        }
        if self.routed.delayed.is_empty() && self.routed.remembered.is_empty() {
            if self.routed.cacheable && copies.keys.is_empty() && ready.reply.is_none() {
                self.routes
                    .insert(version, publish.exchange, publish.routing_key, ready.route.clone());
            }
        } else {
            ready.detour = Some(Box::new(std::mem::take(&mut self.routed)));
        }
        Ok(ready)
    }

    /// Puts a prepared message into the batches of its queues, returns it when nobody gets it and
    /// its publisher wants to know, and notes what its confirm, or the joint answer, waits for. Whether
    /// anybody gets it.
    pub fn publish(&mut self, vhosts: &Arc<Vhosts>, by: &Publishing, ready: Ready, joint: Option<&Joint>) -> bool {
        let Ready {
            message,
            route,
            from,
            mandatory,
            detour,
            reply,
        } = ready;
        let confirming = from.seq.map(|seq| Confirming {
            channel: from.channel,
            incarnation: from.incarnation,
            seq,
        });
        let claimant = joint.map(Claimant::Joint).or(confirming.map(Claimant::Channel));
        let queues = route.0.queues.len() as u32;
        // One answer for all exchanges that hold it back: all of them are in one log.
        let is_held = detour.as_ref().is_some_and(|routed| !routed.delayed.is_empty());
        let mut reached = queues > 0 || is_held;
        if let Some(token) = reply {
            reached |= vhosts.deliver_reply(token, &message);
        }
        let comes_back = mandatory && !reached;
        self.sizes.note(message.body().len() as u64);
        self.count(&route, from, reached, mandatory);
        if vhosts.observers.is_tracing() {
            self.trace(vhosts, by, from, &message, &route);
        }
        if comes_back {
            // What was published before it and went nowhere is answered before it comes back.
            self.announce();
        }
        if let Some(confirming) = confirming {
            self.expected.push((confirming, queues + u32::from(is_held)));
        }
        if let Some(routed) = detour {
            // The answer may come before the next flush.
            self.announce();
            let token = claimant.filter(|_| is_held).map(|claimant| self.token(claimant));
            after_routing(vhosts, &by.vhost, &routed, &message, token);
        }
        if comes_back {
            let mut out = self.outbox.lock();
            out.give_back(from.channel, &message);
            out.finish();
            // Its own answer follows it at once.
            self.announce();
        }
        self.messages += 1;
        self.bytes += message.memory();
        let Some((last, others)) = route.0.queues.split_last() else {
            return reached;
        };
        self.messages += others.len();
        for queue in others {
            self.push(queue, message.clone(), claimant);
        }
        self.push(last, message, claimant);
        reached
    }

    /// Copies a message for whoever traces the vhost.
    #[cold]
    fn trace(&self, vhosts: &Vhosts, by: &Publishing, from: From, message: &Message, route: &Route) {
        vhosts.observers.message(&by.vhost.name, message, || {
            let routed = route.0.queues.iter().map(|queue| queue.spec.name.clone());
            let direction = observers::Direction::In {
                routed: routed.collect(),
            };
            let client = observers::Client {
                connection: self.outbox.id,
                channel: from.channel,
                user: by.user.clone(),
            };
            (direction, client)
        });
    }

    /// Whether the batch should be flushed now.
    pub fn is_full(&self) -> bool {
        self.messages >= BATCH_MESSAGES || self.bytes >= BATCH_BYTES
    }

    /// Whether there is nothing to flush.
    pub fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// Hands the queues their messages. Confirms that wait for nothing are sent.
    pub fn flush(&mut self, queues: &Arc<Queues>) {
        if self.messages == 0 {
            return;
        }
        self.announce();
        if let Some(run) = self.run.take() {
            run.route.0.scope.statistics().sizes().take(&mut self.sizes);
            run.count(&self.outbox);
        }
        for group in &mut self.groups {
            if group.batch.is_empty() {
                continue;
            }
            group.queue.stats.add(Measure::Publish, group.batch.len() as u64);
            group.queue.publish(queues, group.batch.drain(..));
        }
        if self.groups.len() > KEPT_GROUPS {
            self.groups.clear();
            self.group_of.clear();
        }
        self.messages = 0;
        self.bytes = 0;
    }

    /// Notes a publish to be counted, with those before it that went the same way.
    fn count(&mut self, route: &Route, from: From, reached: bool, mandatory: bool) {
        let channel = (from.channel, from.incarnation);
        let run = match &mut self.run {
            Some(run) if run.has(route, channel) => run,
            run => {
                if let Some(before) = run.take() {
                    before.count(&self.outbox);
                }
                run.insert(Run::of(route, channel))
            }
        };
        run.publishes += 1;
        run.out += route.0.queues.len() as u64;
        run.returned += u64::from(!reached && mandatory);
        run.dropped += u64::from(!reached && !mandatory);
    }

    /// Tells the channels what their confirms wait for, before anybody can answer.
    fn announce(&mut self) {
        if self.expected.is_empty() {
            return;
        }
        let mut out = self.outbox.lock();
        for (confirming, answers) in self.expected.drain(..) {
            let Some(channel) = out.channel_as(confirming.channel, confirming.incarnation) else {
                continue;
            };
            if let Some(confirms) = &mut channel.confirms {
                let seq = confirms.publish(answers);
                debug_assert_eq!(seq, confirming.seq);
                if answers > 0 {
                    channel.time_publish(seq);
                }
                out.confirms_changed(confirming.channel);
            }
        }
        out.finish();
    }

    /// A queue that has not answered too much of what was published here lately.
    pub fn behind(&self) -> Option<&Arc<QueueHandle>> {
        let queues = self.groups.iter().map(|group| &group.queue);
        queues.into_iter().find(|queue| queue.is_behind())
    }

    /// Lets go of what an idle connection need not keep.
    pub fn rest(&mut self) {
        self.groups.clear();
        self.group_of.clear();
        self.routes.clear();
        self.scratch = Vec::new();
        self.expected = Vec::new();
    }

    fn token(&self, claimant: Claimant<'_>) -> ConfirmToken {
        match claimant {
            Claimant::Channel(confirming) => ConfirmToken::Channel(ChannelClaim {
                outbox: self.outbox.clone(),
                channel: confirming.channel,
                incarnation: confirming.incarnation,
                seq: confirming.seq,
            }),
            Claimant::Joint(joint) => ConfirmToken::Joint(joint.claim()),
        }
    }

    fn push(&mut self, queue: &Arc<QueueHandle>, message: Message, claimant: Option<Claimant<'_>>) {
        let publish = claimant.map(|claimant| self.token(claimant));
        let at = match self.groups.last() {
            Some(group) if Arc::ptr_eq(&group.queue, queue) => self.groups.len() - 1,
            _ => *self.group_of.entry(queue.spec.id).or_insert_with(|| {
                self.groups.push(Group {
                    queue: queue.clone(),
                    batch: Vec::new(),
                });
                self.groups.len() - 1
            }),
        };
        self.groups[at].batch.push(Publish { message, publish });
    }
}

fn no_exchange(by: &Publishing, name: &str) -> DeclareError {
    CatalogueError::NoExchange(by.vhost.name.clone(), name.into()).into()
}
