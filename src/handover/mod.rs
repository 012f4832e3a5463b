//! A queue whose clients and whose leader may be on different nodes: the machine of one queue on one
//! node.
//!
//! ```text
//! clients of this node ─ publish, settle, consume … ┐            ┌ deliver, confirm, answer → clients here
//! other nodes ─ frames, links that break and begin ─┤            ├ frames → other nodes
//! the group ─ leads, landed, lost ──────────────────┼─ location ─┼ records → the group, or the disk
//! the clock ─ tick, wake ───────────────────────────┘            └ wake, seek: what is to come back later
//! ```
//! Where the queue is decides what becomes of an input, see [`Location`]. Its live [`Queue`] is here,
//! or what this node's clients have at stake is said to the node that has it ([`ClientSession`]), and
//! said again whenever that is another node, or may have missed something. So no message is lost, and
//! none counts twice, whoever leads next.
//!
//! It runs behind a mutex and asks nobody for anything: the time comes in, and everything that should
//! happen is pushed into the caller's [`Effects`]. What the caller calls its consumers, publishes and
//! so on are [`Handles`]; they are kept and handed back.

mod client_frames;
mod client_session;
mod clients;
mod effects;
mod elsewhere;
mod handles;
mod leader;
mod location;
pub mod message;
mod output;
mod panicked;
mod remote_clients;
mod remote_leader;
mod remote_nodes;
mod served;
mod serving;
#[cfg(test)]
mod tests;
mod waiting;
pub mod wire;

use crate::queue::record::ProducerId;
use crate::queue::{self, ConsumeError, ConsumerStatus, Queue, Rank, Tick};
use crate::spec::{QueueSpec, QueueType};
use crate::types::{NodeId, QueueId, Timestamp};

pub use client_session::ClientSession;
pub use effects::{CallResult, Effects, Flight, Panicked, Unsynced, Wake};
pub use handles::{ConsumerHandle, Handles, LiveQueue, LocalConsumer};
pub use leader::Leads;
pub use message::{ConsumerKey, ConsumerSpec, RemoteDelivery};
pub use output::Output;
pub use remote_leader::Ask;
pub use remote_nodes::{LinkUse, RemoteConsumer};
pub use waiting::{SessionId, Waiting};

use effects::Why;
use location::{Here, Location};
use panicked::Panics;
use remote_leader::RemoteLeader;
use served::Served;
use waiting::AnsweredPublishes;

/// What became of a request to consume.
pub enum Consumed {
    Taken,
    Refused(ConsumeError),
    /// The node where the queue lives may refuse: it is asked, see
    /// [`ClusteredQueue::ask_to_consume`].
    AskFirst,
}

/// Where consumers have ended.
pub enum Ended {
    /// Here; so many are left, if some were there.
    Here(Option<usize>),
    /// Where the machine is: the call is answered when that is done.
    There,
    /// Nobody needs to know.
    NobodyWaits,
}

/// See the head of this file.
pub struct ClusteredQueue<H: Handles> {
    id: QueueId,
    us: NodeId,
    kind: QueueType,
    is_transient: bool,
    location: Location<H>,
    /// Of this node's clients; there from the beginning where the queue may be elsewhere.
    session: Option<Box<ClientSession<H>>>,
    /// Times that this node led.
    incarnations: u64,
    panics: Panics,
}

impl<H: Handles> ClusteredQueue<H> {
    /// A queue that lives on this node, and only here. One that is quarantined is not served.
    pub fn here(us: NodeId, spec: &QueueSpec, queue: LiveQueue<H>, is_quarantined: bool) -> Self {
        let here = Here {
            served: Served::new(queue),
            is_quarantined,
        };
        Self::new(us, spec, Location::Here(Box::new(here)), None)
    }

    /// A queue that another node has, if it is known which, or that has yet to find a leader.
    pub fn elsewhere(us: NodeId, spec: &QueueSpec, node: Option<NodeId>, producer: ProducerId) -> Self {
        let location = node.map_or(Location::Unknown, |node| {
            Location::Elsewhere(RemoteLeader::new(node, 0))
        });
        Self::new(us, spec, location, Some(Box::new(ClientSession::new(producer))))
    }

    fn new(us: NodeId, spec: &QueueSpec, location: Location<H>, session: Option<Box<ClientSession<H>>>) -> Self {
        Self {
            id: spec.id,
            us,
            kind: spec.queue_type,
            is_transient: spec.is_transient(),
            location,
            session,
            incarnations: 0,
            panics: Panics::default(),
        }
    }

    /// Whether it has a group.
    fn is_replicated(&self) -> bool {
        self.kind == QueueType::Quorum
    }

    /// The live queue, when it is here.
    pub fn queue(&self) -> Option<&LiveQueue<H>> {
        Some(&self.location.served()?.queue)
    }

    /// Whether the live queue is here.
    pub fn is_here(&self) -> bool {
        self.location.served().is_some()
    }

    /// Whether it lives on this node, and only here.
    pub fn is_only_here(&self) -> bool {
        matches!(self.location, Location::Here(_))
    }

    /// Whether it may be elsewhere, now or later.
    pub fn has_session(&self) -> bool {
        self.session.is_some()
    }

    /// The node that has the live queue, if that is known.
    pub fn leader(&self) -> Option<NodeId> {
        match &self.location {
            Location::Here(_) | Location::Leading(_) => Some(self.us),
            Location::Elsewhere(leader) => Some(leader.node),
            Location::Unknown => None,
        }
    }

    /// In which this node leads; 0 when it does not, or the queue is not replicated.
    pub fn term(&self) -> u64 {
        match &self.location {
            Location::Leading(leader) => leader.term,
            _ => 0,
        }
    }

    /// Whether this node leads the queue in that term.
    pub fn leads(&self, term: u64) -> bool {
        matches!(&self.location, Location::Leading(leader) if leader.term == term)
    }

    /// Consumers of the live queue; none when it is elsewhere.
    pub fn consumer_count(&self) -> usize {
        self.queue().map_or(0, Queue::consumer_count)
    }

    /// The consumers of this node's clients.
    pub fn local_consumers(&self) -> Vec<&H::Consumer> {
        match (&self.session, self.queue()) {
            (Some(session), _) => session.consumers.values().map(|one| &one.consumer).collect(),
            (None, Some(queue)) => queue.consumers().filter_map(|view| view.handle.local()).collect(),
            (None, None) => Vec::new(),
        }
    }

    /// Everybody who consumes from the live queue, by node, and whether they are served.
    pub fn statuses(&self) -> impl Iterator<Item = (NodeId, ConsumerKey, ConsumerStatus)> {
        let consumers = self.queue().into_iter().flat_map(Queue::consumers);
        consumers.map(|view| {
            let (node, key) = view.handle.whose(self.us);
            (node, key, view.status)
        })
    }

    /// Through how many nodes a replicated queue was published to; `None` where this node does not lead it.
    pub fn publishers(&self) -> Option<usize> {
        match &self.location {
            Location::Leading(leader) => Some(leader.publishers()),
            _ => None,
        }
    }

    /// When the live queue wants a tick. Nothing expires in one that is not served.
    pub fn deadline(&self) -> Option<Timestamp> {
        match &self.location {
            Location::Here(here) if here.is_quarantined => None,
            location => location.served()?.queue.deadline(),
        }
    }

    /// Whether too much of what was published to it here is unanswered.
    pub fn is_behind(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.is_behind())
    }

    /// Whether clients of this node wait, and it is not known for whom.
    pub fn is_lost(&self) -> bool {
        let has_interest = self.session.as_ref().is_some_and(|session| session.has_interest());
        has_interest && matches!(self.location, Location::Unknown)
    }

    /// The queue was used, as declaring it again does: its `x-expires` begins anew.
    pub fn touch(&mut self, now: Timestamp) {
        if let Some(served) = self.location.served_mut() {
            served.queue.touch_used(now);
        }
    }

    /// The queue is served no more for now.
    pub fn quarantine(&mut self) {
        if let Location::Here(here) = &mut self.location {
            here.is_quarantined = true;
        }
    }

    /// The queue is served again.
    pub fn end_quarantine(&mut self) {
        if let Location::Here(here) = &mut self.location {
            here.is_quarantined = false;
        }
    }

    /// Serves a queue that lives here with another machine.
    pub fn replace(&mut self, queue: LiveQueue<H>) {
        self.location = Location::Here(Box::new(Here {
            served: Served::new(queue),
            is_quarantined: false,
        }));
    }

    /// Something is due in the live queue. Says whether the queue was not used for its time to live and
    /// is to be deleted.
    pub fn tick<E: Effects<H>>(&mut self, now: Timestamp, effects: &mut E) -> bool {
        let ticked = self.run(now, effects, |queue, now, output| queue.tick(now, output));
        let Some(Tick { expire_queue, overdue }) = ticked else {
            return false;
        };
        let timeout = self.queue().and_then(Queue::timeout).unwrap_or_default();
        for handle in overdue {
            match handle {
                ConsumerHandle::Local(consumer) => effects.overdue(&consumer, timeout),
                ConsumerHandle::Remote(consumer) => {
                    let (id, key) = (self.id, consumer.key.0);
                    effects.write(&consumer.line, None, |buffer| wire::overdue(buffer, id, key, timeout.0));
                }
            }
        }
        expire_queue
    }

    /// What was done is on this node's disk.
    pub fn synced<E: Effects<H>>(&mut self, unsynced: Unsynced<H>, effects: &mut E) {
        match unsynced {
            Unsynced::Purged(purged) => self.tell_purged(purged, effects),
            Unsynced::Settled { session, number } => self.settled_on_disk(session, number, effects),
        }
    }

    /// Something that was to be looked at later is.
    pub fn wake<E: Effects<H>>(&mut self, now: Timestamp, wake: Wake, effects: &mut E) {
        let Location::Leading(leader) = &mut self.location else {
            return;
        };
        if leader.incarnation != wake.incarnation {
            return;
        }
        match wake.why {
            Why::Gathered => self.gathering_over(now, effects),
            Why::Lingered => leader.lingered(now, effects),
        }
    }

    /// Runs a command on the live queue. `None` when that is not here, is not served, or panicked.
    pub fn run<E: Effects<H>, R>(
        &mut self,
        now: Timestamp,
        effects: &mut E,
        f: impl FnOnce(&mut LiveQueue<H>, Timestamp, &mut Output<'_, H, E>) -> R,
    ) -> Option<R> {
        let mut answers = AnsweredPublishes::default();
        let result = match &mut self.location {
            Location::Here(here) if here.is_quarantined => return None,
            Location::Here(here) => {
                let mut output = Output::stored(self.id, effects, &mut answers);
                served::caught(|| f(&mut here.served.queue, now, &mut output))
            }
            Location::Leading(leader) => {
                leader.run(self.id, effects, &mut answers, |queue, _, output| f(queue, now, output))
            }
            Location::Elsewhere(_) | Location::Unknown => return None,
        };
        self.ran(now, answers, result, effects)
    }

    /// What follows from a command: answers, records, and another queue if this one panicked.
    fn ran<E: Effects<H>, R>(
        &mut self,
        now: Timestamp,
        answers: AnsweredPublishes,
        result: Option<R>,
        effects: &mut E,
    ) -> Option<R> {
        self.tell(answers, effects);
        if result.is_none() {
            self.on_panic(now, effects);
        } else if let Location::Leading(leader) = &mut self.location {
            leader.submit(now, effects);
            leader.tell_active(self.id, effects);
        }
        result
    }

    /// Whether a message may be handed out now.
    fn may_serve<E: Effects<H>>(&mut self, effects: &mut E) -> bool {
        match &mut self.location {
            Location::Here(_) => true,
            Location::Leading(leader) => leader.may_serve(effects),
            Location::Elsewhere(_) | Location::Unknown => false,
        }
    }

    /// Says something about the queue to another node.
    fn send<E: Effects<H>>(&self, node: NodeId, effects: &mut E, frame: impl FnOnce(&mut Vec<u8>, QueueId)) {
        send(self.id, node, effects, frame);
    }

    /// The queue is deleted: who waits is told so, as if it had taken everything.
    pub fn delete<E: Effects<H>>(&mut self, now: Timestamp, effects: &mut E) {
        self.run(now, effects, |queue, _, output| queue.delete(output));
        if !matches!(self.location, Location::Here(_)) {
            self.location = Location::Unknown;
        }
        let Some(session) = &mut self.session else { return };
        for publish in session.give_up() {
            effects.confirm(publish);
        }
        session.drop_calls();
        session.held.clear();
        // What was settled is as gone as it can be.
        session.settled(u64::MAX, |settlement| effects.committed(settlement));
        for consumer in session.end_consumers() {
            effects.cancel(consumer);
        }
    }
}

/// What a simulation looks at.
#[cfg(test)]
impl<H: Handles> ClusteredQueue<H> {
    /// Nothing that this node's clients did is without an answer.
    pub fn is_answered(&self) -> bool {
        self.session.as_ref().is_none_or(|session| session.is_answered())
    }

    /// What clients of this node have of a queue that is elsewhere.
    pub fn held_elsewhere(&self) -> Vec<queue::Slot> {
        match (&self.session, self.is_here()) {
            (Some(session), false) => session.held.values().map(|held| held.slot).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether a client of this node has a message by that slot, as far as this node knows.
    pub fn is_held_here(&self, slot: queue::Slot) -> bool {
        match self.queue() {
            Some(queue) => queue.held().any(|(_, held)| held == slot),
            None => self.held_elsewhere().contains(&slot),
        }
    }
}

/// What this node's clients have at stake.
fn session_of<H: Handles>(session: &mut Option<Box<ClientSession<H>>>) -> &mut ClientSession<H> {
    session
        .as_mut()
        .expect("a queue that is not only here has one from the beginning")
}

/// Says something about a queue to another node.
fn send<H: Handles, E: Effects<H>>(
    queue: QueueId,
    node: NodeId,
    effects: &mut E,
    frame: impl FnOnce(&mut Vec<u8>, QueueId),
) {
    if let Some(line) = effects.line(node) {
        effects.write(&line, None, |buffer| frame(buffer, queue));
    }
}

/// How the live queue is asked to take a consumer on.
fn consume<H: Handles, T>(
    handle: ConsumerHandle<H>,
    spec: &ConsumerSpec<T>,
    rank: Rank,
) -> queue::Consume<ConsumerHandle<H>> {
    queue::Consume {
        handle,
        prefetch: spec.prefetch,
        no_ack: spec.no_ack,
        exclusive: spec.exclusive,
        priority: spec.priority,
        rank,
    }
}
