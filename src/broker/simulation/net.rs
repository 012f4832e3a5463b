//! The links between the nodes: each message has its delay, some are lost, and a link that breaks
//! loses all that is on its way. From one node to another messages of a kind keep their order.
//!
//! What becomes of a message depends on the seed and on how many went that way before it, not on
//! what happens elsewhere meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::journal::raft::tests::pretending;
use crate::journal::raft::{GroupId, RaftJournals, Transport, TransportError};
use crate::types::NodeId;

/// A link that loses something does not live for much longer.
const MOST_SILENT: Duration = Duration::from_secs(2);
/// How often it is looked whether a link broke.
const LOOK: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    Raft,
    RaftAnswer,
    Queues,
    Ping,
}

pub struct Net {
    seed: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Times each link broke.
    broken: BTreeMap<(NodeId, NodeId), u64>,
    /// The use of the link to another node that a node knows of: before it does, it writes to the one
    /// that broke.
    known: BTreeMap<(NodeId, NodeId), u64>,
    cut: BTreeSet<(NodeId, NodeId)>,
    /// What the first says does not come to the second.
    deaf: BTreeSet<(NodeId, NodeId)>,
    down: BTreeSet<NodeId>,
    directions: BTreeMap<(NodeId, NodeId, Kind), Direction>,
    is_calm: bool,
}

struct Direction {
    count: u64,
    /// When the last one arrives.
    last: Instant,
}

/// When a message arrives, unless the link breaks before.
#[derive(Clone, Copy)]
pub struct Passage {
    pub at: Instant,
    pub use_of_link: u64,
}

pub enum Fate {
    Arrives(Passage),
    Lost,
    /// There is no link.
    Unreachable,
}

fn link(a: NodeId, b: NodeId) -> (NodeId, NodeId) {
    (a.min(b), a.max(b))
}

/// A number that depends on these and nothing else.
pub fn chance(seed: u64, of: [u64; 4]) -> StdRng {
    let mixed = of.iter().fold(seed, |mixed, part| {
        (mixed ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    });
    StdRng::seed_from_u64(mixed)
}

impl Net {
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            state: Mutex::default(),
        }
    }

    pub fn send(&self, from: NodeId, to: NodeId, kind: Kind) -> Fate {
        let mut state = self.state.lock();
        let pair = link(from, to);
        if state.cut.contains(&pair) || state.down.contains(&to) || state.down.contains(&from) {
            return Fate::Unreachable;
        }
        if state.deaf.contains(&(from, to)) {
            return Fate::Lost;
        }
        let use_of_link = state.broken.get(&pair).copied().unwrap_or(0);
        let known = state.known.get(&(from, to)).copied().unwrap_or(0);
        if kind == Kind::Queues && from != to && known != use_of_link {
            return Fate::Lost;
        }
        let (now, is_calm) = (Instant::now(), state.is_calm);
        let direction = state
            .directions
            .entry((from, to, kind))
            .or_insert(Direction { count: 0, last: now });
        direction.count += 1;
        let mut chance = chance(self.seed, [from.0, to.0, kind as u64, direction.count]);
        let delay = match chance.random_range(0..100) {
            _ if from == to => 1,
            0 if !is_calm => chance.random_range(40..300),
            1..10 if !is_calm => chance.random_range(4..40),
            _ => chance.random_range(1..4),
        };
        if kind == Kind::Raft && !is_calm && chance.random_range(0..60) == 0 {
            return Fate::Lost;
        }
        direction.last = (now + Duration::from_millis(delay)).max(direction.last + Duration::from_millis(1));
        Fate::Arrives(Passage {
            at: direction.last,
            use_of_link,
        })
    }

    /// Waits until it arrives; false when it does not.
    pub async fn arrives(&self, from: NodeId, to: NodeId, passage: Passage) -> bool {
        tokio::time::sleep_until(passage.at).await;
        let state = self.state.lock();
        state.broken.get(&link(from, to)).copied().unwrap_or(0) == passage.use_of_link
    }

    /// Waits until the link breaks, or for that long.
    async fn breaks(&self, a: NodeId, b: NodeId, at_most: Duration) {
        let use_of_link = || self.state.lock().broken.get(&link(a, b)).copied();
        let (before, deadline) = (use_of_link(), Instant::now() + at_most);
        while use_of_link() == before && Instant::now() < deadline {
            tokio::time::sleep(LOOK.min(at_most)).await;
        }
    }

    /// What is on its way is lost. Returns which use of the link is next.
    pub fn break_link(&self, a: NodeId, b: NodeId) -> u64 {
        let mut state = self.state.lock();
        let broken = state.broken.entry(link(a, b)).or_default();
        *broken += 1;
        *broken
    }

    /// A node has heard of this use of a link.
    pub fn heard_of(&self, us: NodeId, node: NodeId, use_of_link: u64) {
        self.state.lock().known.insert((us, node), use_of_link);
    }

    /// The use of the link to another node that a node knows of.
    pub fn known_use(&self, us: NodeId, node: NodeId) -> u64 {
        self.state.lock().known.get(&(us, node)).copied().unwrap_or(0)
    }

    /// From now on nothing that one says comes to the other.
    pub fn deafen(&self, from: NodeId, to: NodeId) {
        self.state.lock().deaf.insert((from, to));
    }

    pub fn cut(&self, a: NodeId, b: NodeId) {
        self.break_link(a, b);
        self.state.lock().cut.insert(link(a, b));
    }

    pub fn heal(&self, a: NodeId, b: NodeId) {
        let mut state = self.state.lock();
        state.cut.remove(&link(a, b));
        state.deaf.remove(&(a, b));
        state.deaf.remove(&(b, a));
    }

    /// Whether something between them does not come.
    pub fn is_cut(&self, a: NodeId, b: NodeId) -> bool {
        let state = self.state.lock();
        state.cut.contains(&link(a, b)) || state.deaf.contains(&(a, b)) || state.deaf.contains(&(b, a))
    }

    pub fn set_down(&self, node: NodeId, is_down: bool) {
        let mut state = self.state.lock();
        match is_down {
            true => state.down.insert(node),
            false => state.down.remove(&node),
        };
    }

    /// Whether nothing is lost or late any more.
    pub fn is_calm(&self) -> bool {
        self.state.lock().is_calm
    }

    /// From now on nothing is lost or late.
    pub fn calm(&self) {
        self.state.lock().is_calm = true;
    }
}

/// Nodes that are played, with links between them; clones are the same.
pub trait Links: Clone + Send + Sync + 'static {
    fn net(&self) -> &Net;
    /// Whether a leader hears of every append that all have it, whatever comes of it.
    fn pretends(&self) -> bool;
    /// Does something at a node, with its groups, unless it is down; later while it is paused.
    fn at(&self, node: NodeId, call: impl FnOnce(&RaftJournals) + Send + 'static);
}

/// A node's side of the links, for its Raft groups.
pub struct Port<L> {
    pub links: L,
    pub node: NodeId,
}

impl<L: Links> Transport for Port<L> {
    fn send(
        &self,
        to: NodeId,
        group: GroupId,
        request: Bytes,
        deadline: Duration,
    ) -> BoxFuture<'static, Result<Bytes, TransportError>> {
        let pretended = match self.links.pretends() {
            true => pretending::appended(&request),
            false => None,
        };
        let (links, from) = (self.links.clone(), self.node);
        let (answer, answered) = oneshot::channel();
        match links.net().send(from, to, Kind::Raft) {
            Fate::Arrives(passage) => {
                tokio::spawn(carry(links, from, to, group, request, passage, answer));
            }
            Fate::Unreachable if pretended.is_none() => {
                return Box::pin(std::future::ready(Err(TransportError::Unreachable(to))));
            }
            // Nobody says so before the deadline, or before the link breaks.
            Fate::Unreachable | Fate::Lost => {
                tokio::spawn(async move {
                    links.net().breaks(from, to, deadline.min(MOST_SILENT)).await;
                    drop(answer);
                });
            }
        }
        Box::pin(async move {
            if let Some(pretended) = pretended {
                return Ok(pretended);
            }
            match tokio::time::timeout(deadline, answered).await {
                Ok(Ok(bytes)) => Ok(bytes),
                Ok(Err(_)) => Err(TransportError::Broken(to)),
                Err(_) => Err(TransportError::Timeout(to)),
            }
        })
    }
}

/// Takes a request over, and its answer back.
async fn carry<L: Links>(
    links: L,
    from: NodeId,
    to: NodeId,
    group: GroupId,
    request: Bytes,
    passage: Passage,
    answer: oneshot::Sender<Bytes>,
) {
    if !links.net().arrives(from, to, passage).await {
        return;
    }
    let back = links.clone();
    links.at(to, move |journals| {
        let response = journals.receive(group, request);
        tokio::spawn(async move {
            let response = response.await;
            let Fate::Arrives(passage) = back.net().send(to, from, Kind::RaftAnswer) else {
                return;
            };
            if back.net().arrives(to, from, passage).await {
                back.at(from, move |_| {
                    // Who does not wait any more does not hear it.
                    let _ = answer.send(response);
                });
            }
        });
    });
}
