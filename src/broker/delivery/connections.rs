//! The client connections of this node: who is there, and how many may be.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use tokio::sync::SetOnce;

use super::QueueIdentity;
use super::channel_out::Uncommitted;
use super::control::Control;
use super::leaving::PATIENCE;
use super::outbox::{Outbox, Subscriber};
use super::streaming::{StreamClient, StreamReport};
use crate::broker::{Forced, LimitError};
use crate::listen::TlsSession;
use crate::metadata::{Catalogue, UserLimit, VhostLimit};
use crate::statistics::{Figures, Stats};
use crate::types::{
    ConnectionId, ExchangeName, FieldTable, NodeId, QueueId, Refusal, Reply, Timestamp, UserName, VhostName,
};

/// Between two looks whether all clients have gone.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// One connection as others see it.
pub struct ConnectionInfo<Q> {
    pub id: ConnectionId,
    pub outbox: Arc<Outbox<Q>>,
    pub peer: SocketAddr,
    pub local: SocketAddr,
    /// What was agreed on, where TLS is spoken.
    pub tls: Option<Box<TlsSession>>,
    pub connected_at: Timestamp,
    /// Channels that are open.
    pub channels: AtomicU32,
    /// An alarm keeps it from publishing and it has tried.
    pub blocked: AtomicBool,
    /// Set when it has ended and what goes with it is gone.
    pub undone: SetOnce<()>,
    /// What it has of streams, if it reads and writes them without channels.
    pub streaming: OnceLock<Box<StreamClient>>,
    details: Mutex<Details>,
}

/// What becomes known while a connection is opened.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Details {
    pub user: Option<UserName>,
    pub vhost: Option<VhostName>,
    pub client_properties: FieldTable,
    pub mechanism: String,
    /// Bytes.
    pub frame_max: u32,
    /// 0 where the protocol has no channels.
    pub channel_max: u16,
    /// Seconds.
    pub heartbeat: u16,
    /// What is spoken, as its front end names it. Other versions do not tell.
    #[serde(default)]
    pub protocol: Cow<'static, str>,
}

/// An open connection, as its node tells the others.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConnectionReport {
    pub node: NodeId,
    pub id: ConnectionId,
    pub peer: SocketAddr,
    pub local: SocketAddr,
    /// What was agreed on, where TLS is spoken. Other versions do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Box<TlsSession>>,
    pub connected_at: Timestamp,
    /// An alarm keeps it from publishing and it has tried.
    pub is_blocked: bool,
    pub details: Details,
    pub channels: Vec<ChannelReport>,
    #[serde(default)]
    pub figures: Figures,
    /// Bytes that wait to be written.
    #[serde(default)]
    pub send_pending: u64,
    /// What it has of streams, if it reads and writes them without channels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streaming: Option<Box<StreamReport>>,
}

/// A channel of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChannelReport {
    pub number: u16,
    /// The client wants confirms.
    pub confirms: bool,
    pub consumers: usize,
    /// The queues they consume from.
    pub queues: Vec<QueueId>,
    /// Deliveries that are not settled.
    pub unacked: usize,
    /// Publishes that are not confirmed.
    pub unconfirmed: usize,
    /// What `basic.qos` has asked for: of each consumer to come, and of the channel. 0 is no limit.
    #[serde(default)]
    pub prefetch: u32,
    #[serde(default)]
    pub channel_prefetch: u32,
    #[serde(default)]
    pub is_transactional: bool,
    /// What its transaction holds back.
    #[serde(default)]
    pub uncommitted: u64,
    #[serde(default)]
    pub uncommitted_acks: u64,
    /// The second in which anything moved last, where nothing has of late.
    #[serde(default)]
    pub idle_since: Option<u64>,
    #[serde(default)]
    pub figures: Figures,
    /// By the queue it consumes from, where that is counted.
    #[serde(default)]
    pub deliveries: Vec<(QueueId, Figures)>,
    /// By the exchange it publishes to, where that is counted.
    #[serde(default)]
    pub publishes: Vec<(ExchangeName, Figures)>,
}

impl ConnectionReport {
    /// `peer -> local`, as RabbitMQ names a connection.
    pub fn name(&self) -> String {
        connection_name(self.peer, self.local)
    }
}

/// All connections.
pub struct Connections<Q> {
    all: Mutex<All<Q>>,
    /// Those in which something has moved, for the sampler.
    moving: Mutex<Vec<ConnectionId>>,
}

/// How many clients there are of a user and in a vhost.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClientCounts {
    pub connections_in_vhost: u64,
    pub connections_of_user: u64,
    pub channels_of_user: u64,
}

struct All<Q> {
    by_id: FxHashMap<ConnectionId, Arc<ConnectionInfo<Q>>>,
    of_vhost: FxHashMap<VhostName, u32>,
    of_user: FxHashMap<UserName, u32>,
    channels_of_user: FxHashMap<UserName, u32>,
}

impl<Q> Default for Connections<Q> {
    fn default() -> Self {
        Self {
            all: Mutex::new(All {
                by_id: FxHashMap::default(),
                of_vhost: FxHashMap::default(),
                of_user: FxHashMap::default(),
                channels_of_user: FxHashMap::default(),
            }),
            moving: Mutex::default(),
        }
    }
}

/// `peer -> local`, as RabbitMQ names a connection.
pub fn connection_name(peer: SocketAddr, local: SocketAddr) -> String {
    format!("{peer} -> {local}")
}

impl<Q: QueueIdentity> ConnectionInfo<Q> {
    /// A socket that was just accepted by the front end of that protocol.
    pub fn new(
        protocol: &'static str,
        id: ConnectionId,
        outbox: Arc<Outbox<Q>>,
        (peer, local): (SocketAddr, SocketAddr),
        tls: Option<Box<TlsSession>>,
        connected_at: Timestamp,
    ) -> Self {
        Self {
            id,
            outbox,
            peer,
            local,
            tls,
            connected_at,
            channels: AtomicU32::new(0),
            blocked: AtomicBool::new(false),
            undone: SetOnce::new(),
            streaming: OnceLock::new(),
            details: Mutex::new(Details {
                protocol: protocol.into(),
                ..Details::default()
            }),
        }
    }

    /// `peer -> local`, as RabbitMQ names a connection.
    pub fn name(&self) -> String {
        connection_name(self.peer, self.local)
    }

    /// Who is logged in.
    pub fn user(&self) -> Option<UserName> {
        self.details.lock().user.clone()
    }

    /// The vhost it is in, once it is open.
    pub fn vhost(&self) -> Option<VhostName> {
        self.details.lock().vhost.clone()
    }

    /// What is known of it.
    pub fn details(&self) -> Details {
        self.details.lock().clone()
    }

    /// What other nodes are told of it, once it is open.
    pub(in crate::broker) fn report(
        &self,
        node: NodeId,
        figures: impl Fn(&Stats) -> Figures,
        idle_since: impl Fn(&Stats) -> Option<u64>,
        ends: impl Fn(QueueId) -> Option<u64>,
    ) -> Option<ConnectionReport> {
        let details = self.details();
        details.vhost.as_ref()?;
        let mut out = self.outbox.lock();
        let mut numbers = out.channel_numbers();
        numbers.sort_unstable();
        let channels = numbers.into_iter().filter_map(|number| {
            let channel = out.channel(number)?;
            let confirms = channel.confirms.as_ref();
            let uncommitted = channel.uncommitted.as_deref();
            let held_back = |of: fn(&Uncommitted) -> &AtomicU64| {
                uncommitted.map_or(0, |uncommitted| of(uncommitted).load(Ordering::Relaxed))
            };
            let since = idle_since(&channel.stats);
            Some(ChannelReport {
                number,
                confirms: confirms.is_some(),
                consumers: channel.consumers.len(),
                queues: channel.consumers.values().filter_map(queue_of).collect(),
                unacked: channel.unacked(),
                unconfirmed: confirms.map_or(0, |confirms| confirms.waiting()),
                prefetch: channel.consumer_prefetch.unwrap_or(0),
                channel_prefetch: channel.prefetch.unwrap_or(0),
                is_transactional: uncommitted.is_some(),
                uncommitted: held_back(|uncommitted| &uncommitted.messages),
                uncommitted_acks: held_back(|uncommitted| &uncommitted.acks),
                // Of one that never moved, the connection's begin.
                idle_since: since.map(|second| second.max(self.connected_at.seconds())),
                figures: figures(&channel.stats),
                deliveries: channel.pairs.deliveries(&figures),
                publishes: channel.pairs.publishes(&figures),
            })
        });
        let channels = channels.collect();
        let send_pending = out.output.len() as u64;
        out.finish();
        Some(ConnectionReport {
            node,
            id: self.id,
            peer: self.peer,
            local: self.local,
            tls: self.tls.clone(),
            connected_at: self.connected_at,
            is_blocked: self.blocked.load(Ordering::Relaxed),
            details,
            channels,
            figures: figures(&self.outbox.stats),
            send_pending,
            streaming: self.streaming.get().map(|client| client.report(ends).into()),
        })
    }

    /// Notes what became known.
    pub fn describe(&self, describe: impl FnOnce(&mut Details)) {
        describe(&mut self.details.lock());
    }
}

impl<Q: QueueIdentity> Connections<Q> {
    /// Takes a socket in. False when the node has as many as it may.
    pub fn add(&self, connection: Arc<ConnectionInfo<Q>>, limit: Option<u64>) -> bool {
        let mut all = self.all.lock();
        if limit.is_some_and(|limit| all.by_id.len() as u64 >= limit) {
            return false;
        }
        all.by_id.insert(connection.id, connection);
        true
    }

    /// Opens a connection in a vhost unless the vhost or the user has as many as it may, with those that
    /// other nodes have.
    ///
    /// # Errors
    /// The refusal in RabbitMQ's words.
    pub fn open(
        &self,
        connection: &ConnectionInfo<Q>,
        catalogue: &Catalogue,
        user: &UserName,
        vhost: &VhostName,
        elsewhere: ClientCounts,
    ) -> Result<(), LimitError> {
        let mut all = self.all.lock();
        let vhost_limit = catalogue
            .vhost(vhost)
            .and_then(|vhost| vhost.limits.get(&VhostLimit::MaxConnections).copied());
        let user_limit = user_limit(catalogue, user, UserLimit::MaxConnections);
        let in_vhost = count(&all.of_vhost, vhost) + elsewhere.connections_in_vhost;
        let of_user = count(&all.of_user, user) + elsewhere.connections_of_user;
        if let Some(limit) = reached(vhost_limit, in_vhost) {
            let (vhost, user) = (vhost.clone(), user.clone());
            return Err(LimitError::ConnectionsInVhost { vhost, user, limit });
        }
        if let Some(limit) = reached(user_limit, of_user) {
            let user = user.clone();
            return Err(LimitError::ConnectionsOfUser { user, limit });
        }
        *all.of_vhost.entry(vhost.clone()).or_default() += 1;
        *all.of_user.entry(user.clone()).or_default() += 1;
        connection.describe(|details| {
            details.user = Some(user.clone());
            details.vhost = Some(vhost.clone());
        });
        Ok(())
    }

    /// Opens a channel unless the user has as many as it may, with those that other nodes have, or the node
    /// of that name as many as its limit is.
    ///
    /// # Errors
    /// The refusal in RabbitMQ's words.
    pub fn open_channel(
        &self,
        connection: &ConnectionInfo<Q>,
        catalogue: &Catalogue,
        (limit, node): (Option<u64>, &str),
        user: &UserName,
        elsewhere: ClientCounts,
    ) -> Result<(), LimitError> {
        let mut all = self.all.lock();
        let channels: u64 = all.channels_of_user.values().copied().map(u64::from).sum();
        if let Some(limit) = limit
            && channels >= limit
        {
            let node = node.to_owned();
            return Err(LimitError::ChannelsOfNode { node, limit });
        }
        let limit = user_limit(catalogue, user, UserLimit::MaxChannels);
        let of_user = count(&all.channels_of_user, user) + elsewhere.channels_of_user;
        if let Some(limit) = reached(limit, of_user) {
            let user = user.clone();
            return Err(LimitError::ChannelsOfUser { user, limit });
        }
        *all.channels_of_user.entry(user.clone()).or_default() += 1;
        connection.channels.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// How many clients this node has of a user and in a vhost.
    pub fn count(&self, user: &UserName, vhost: &VhostName) -> ClientCounts {
        let all = self.all.lock();
        ClientCounts {
            connections_in_vhost: count(&all.of_vhost, vhost),
            connections_of_user: count(&all.of_user, user),
            channels_of_user: count(&all.channels_of_user, user),
        }
    }

    /// A channel is closed.
    pub fn close_channel(&self, connection: &ConnectionInfo<Q>, user: &UserName) {
        connection.channels.fetch_sub(1, Ordering::Relaxed);
        less(&mut self.all.lock().channels_of_user, user, 1);
    }

    /// A connection is gone, with the channels it still had.
    pub fn remove(&self, connection: &ConnectionInfo<Q>) {
        let mut all = self.all.lock();
        all.by_id.remove(&connection.id);
        let Details {
            user: Some(user),
            vhost: Some(vhost),
            ..
        } = connection.details()
        else {
            return;
        };
        less(&mut all.of_vhost, &vhost, 1);
        less(&mut all.of_user, &user, 1);
        let channels = connection.channels.swap(0, Ordering::Relaxed);
        less(&mut all.channels_of_user, &user, channels);
    }

    /// Something moves in a connection: the sampler is to look at it.
    pub fn moves(&self, connection: ConnectionId) {
        self.moving.lock().push(connection);
    }

    /// Nobody looks at them.
    pub fn rest(&self) {
        self.moving.lock().clear();
    }

    /// Looks at those in which something has moved, at the end of that second.
    pub fn sample(&self, second: u64) {
        let moving = std::mem::take(&mut *self.moving.lock());
        for id in moving {
            let Some(connection) = self.get(id) else { continue };
            let stats = &connection.outbox.stats;
            stats.rest();
            let channels = connection.outbox.lock().sample(second);
            if (stats.sample(second) | channels) && stats.touch() {
                self.moves(id);
            }
        }
    }

    /// The one of that number.
    pub fn get(&self, id: ConnectionId) -> Option<Arc<ConnectionInfo<Q>>> {
        self.all.lock().by_id.get(&id).cloned()
    }

    /// All of them, in no order.
    pub fn all(&self) -> Vec<Arc<ConnectionInfo<Q>>> {
        self.all.lock().by_id.values().cloned().collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.lock().by_id.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sends all clients of this node away.
    pub fn close_all(&self, why: &Forced) {
        for connection in self.all() {
            connection.outbox.control(Control::Close(why.reply()));
        }
    }

    /// Waits until no client is here, at most so long.
    pub async fn gone(&self, patience: Duration) {
        let gone = async {
            while !self.is_empty() {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        // Those that stay are the caller's.
        let _ = tokio::time::timeout(patience, gone).await;
    }
}

fn queue_of<Q: QueueIdentity>(consumer: &Arc<Subscriber<Q>>) -> Option<QueueId> {
    Some(consumer.queue.upgrade()?.id())
}

fn user_limit(catalogue: &Catalogue, user: &UserName, limit: UserLimit) -> Option<i64> {
    catalogue.user(user).and_then(|user| user.limits.get(&limit).copied())
}

/// The limit, when that many are as many as it allows. Negative ones allow any number.
fn reached(limit: Option<i64>, count: u64) -> Option<i64> {
    limit.filter(|limit| u64::try_from(*limit).is_ok_and(|limit| count >= limit))
}

fn count<N: std::hash::Hash + Eq>(counts: &FxHashMap<N, u32>, name: &N) -> u64 {
    counts.get(name).copied().map_or(0, u64::from)
}

fn less<N: std::hash::Hash + Eq + Clone>(counts: &mut FxHashMap<N, u32>, name: &N, by: u32) {
    if let Some(count) = counts.get_mut(name) {
        *count = count.saturating_sub(by);
        if *count == 0 {
            counts.remove(name);
        }
    }
}

/// Closes connections with this, and waits until what goes with them is gone, or has had its time.
pub async fn close<Q: QueueIdentity>(connections: &[Arc<ConnectionInfo<Q>>], reply: &Reply) {
    for connection in connections {
        connection.outbox.control(Control::Close(reply.clone()));
    }
    let closed = join_all(connections.iter().map(|connection| connection.undone.wait()));
    // Whoever asked hears that they are told to close in any case.
    let _ = tokio::time::timeout(PATIENCE, closed).await;
}
