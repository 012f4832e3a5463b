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
mod leader;
mod location;
pub mod message;
mod output;
mod panicked;
mod remote_leader;
mod remote_nodes;
mod served;
mod serving;
#[cfg(test)]
mod tests;
pub mod wire;

use bytes::Bytes;

use crate::queue::record::ProducerId;
use crate::queue::{self, ConsumeError, ConsumerStatus, Queue, Rank, Sink, Slot, Tick};
use crate::spec::{QueueSpec, QueueType};
use crate::types::{Millis, NodeId, QueueId, Reply, Timestamp};

pub use client_session::{ClientSession, RemoteDelivery};
use leader::Purged;
pub use leader::{Flight, Leads};
pub use message::{ConsumerKey, ConsumerSpec};
pub use output::{Output, SessionId, Waiting};
pub use remote_leader::Ask;
pub use remote_nodes::{LinkUse, RemoteConsumer};

use location::{Here, Location};
use output::AnsweredPublishes;
use panicked::Panics;
use remote_leader::RemoteLeader;
use served::Served;

/// What the caller calls things. The machine keeps them and hands them back.
pub trait Handles: Sized {
    /// A consumer of this node's clients.
    type Consumer: LocalConsumer;
    /// A publish of this node's clients that waits for its confirm.
    type Publish;
    /// Who waits until settled messages are committed. One that is dropped was not.
    type Settlement;
    /// Somebody here who asked something. One that is dropped asks again.
    type Call;
    /// What leads to another node, whatever link there is.
    type Line: Clone;
    /// The log of the queue's group.
    type Journal: Clone;

    /// The most bytes that the log takes at a time.
    const RECORD_BYTES: usize;
}

/// A consumer of this node's clients.
pub trait LocalConsumer: Clone {
    /// Its name among all of the node.
    fn key(&self) -> ConsumerKey;
    /// How it wants to be served. It has no rank yet.
    fn spec(&self) -> ConsumerSpec<&str>;
}

/// Whoever takes messages from the live queue.
pub enum ConsumerHandle<H: Handles> {
    /// A client of this node.
    Local(H::Consumer),
    /// One of another node.
    Remote(std::sync::Arc<RemoteConsumer<H::Line>>),
}

impl<H: Handles> Clone for ConsumerHandle<H> {
    fn clone(&self) -> Self {
        match self {
            Self::Local(consumer) => Self::Local(consumer.clone()),
            Self::Remote(consumer) => Self::Remote(consumer.clone()),
        }
    }
}

impl<H: Handles> ConsumerHandle<H> {
    /// The node of its client, which may be `us`, and its name there.
    pub fn whose(&self, us: NodeId) -> (NodeId, ConsumerKey) {
        match self {
            Self::Local(consumer) => (us, consumer.key()),
            Self::Remote(consumer) => (consumer.node, consumer.key),
        }
    }
}

/// The live queue with everybody who consumes from it and publishes to it.
pub type LiveQueue<H> = Queue<ConsumerHandle<H>, Waiting<<H as Handles>::Publish>>;

/// Takes what the machine decided. As a [`Sink`] it serves the clients of this node, and keeps the
/// records of a queue that is only here.
pub trait Effects<H: Handles>: Sink<Consumer = H::Consumer, Publish = H::Publish> {
    /// Hands a message to a consumer that had room, for which it came from another node.
    fn pass_on(&mut self, consumer: &H::Consumer, delivery: &RemoteDelivery);
    /// The consumer is taken on, and its client waits to hear that.
    fn consuming(&mut self, consumer: &H::Consumer);
    /// The client has held a message for longer than this.
    fn overdue(&mut self, consumer: &H::Consumer, timeout: Millis);
    /// What the client of a consumer has of this queue.
    fn held_by_client(&mut self, consumer: &H::Consumer) -> Vec<Slot>;
    /// What was settled is committed.
    fn committed(&mut self, settlement: H::Settlement);
    /// AnsweredPublishes who asked; false when nobody waits any more.
    fn answer(&mut self, call: H::Call, answer: CallResult) -> bool;

    /// The line to a node that was heard of.
    fn line(&mut self, node: NodeId) -> Option<H::Line>;
    /// Which use of the link to it this is, if there is one.
    fn epoch(&mut self, line: &H::Line) -> Option<u64>;
    /// Writes frames to a node: if there is a link, and it is that use of it.
    fn write(&mut self, line: &H::Line, only_in: Option<u64>, frames: impl FnOnce(&mut Vec<u8>));
    /// Writes frames to every node there is a link to.
    fn write_to_all(&mut self, frames: impl Fn(&mut Vec<u8>));
    /// Something of another node cannot be read.
    fn unreadable(&mut self);
    /// What a client hears whose consumer is not taken.
    fn refusal(&mut self, error: ConsumeError) -> Reply;

    /// Whether a majority of the group was heard just now.
    fn holds_lease(&mut self, journal: &H::Journal) -> bool;
    /// Makes a majority be heard, and then calls [`ClusteredQueue::leased`].
    fn regain_lease(&mut self, journal: &H::Journal, incarnation: u64);
    /// Gives records to the group, in that term only. [`ClusteredQueue::landed`] or
    /// [`ClusteredQueue::lost`] answers, in the order of the calls.
    fn submit(&mut self, journal: &H::Journal, term: u64, records: Bytes, flight: Flight);
    /// Calls [`ClusteredQueue::synced`] when all that was stored by now is on disk.
    fn when_synced(&mut self, unsynced: Unsynced<H>);

    /// Calls [`ClusteredQueue::wake`] after that time.
    fn wake(&mut self, after: Millis, wake: Wake);
    /// Clients wait, and it is not known who leads: the members are to be asked again and again, with
    /// [`ClusteredQueue::ask_who_leads`].
    fn look_up_leader(&mut self);
    /// Whoever waits for something of this queue looks again.
    fn changed(&mut self);
    /// The last consumer is gone. If that is the end of the queue the node that asked hears of it when
    /// the queue is gone, else at once.
    fn last_consumer_ended(&mut self, asked: Option<(NodeId, u64)>);
    /// The live queue panicked, for this many times lately: what it wanted done with messages is not to
    /// be done.
    fn panicked(&mut self, what: Panicked, times: u32);
}

/// Who is to hear that what was done is on this node's disk.
pub enum Unsynced<H: Handles> {
    /// Whoever purged the queue.
    Purged(Purged<H>),
    /// A node of which a batch was settled that somebody there waits for.
    Settled { session: SessionId, number: u64 },
}

/// What a call hears.
#[derive(Debug)]
pub enum CallResult {
    Done(u64),
    Counts {
        ready: u64,
        unacked: u64,
        consumers: u64,
    },
    Empty,
    Got {
        delivery: RemoteDelivery,
        remaining: u64,
    },
    Refused(Reply),
    /// It came and could not be read.
    Unreadable,
}

/// A live queue that panicked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Panicked {
    /// This node is to lead again, with another one.
    Leader,
    /// It is quarantined, to be read again from the disk.
    Durable,
    /// It is empty now.
    Transient,
}

/// What is to be looked at again. It is of one leader: the next one does not want to know.
#[derive(Clone, Copy, Debug)]
pub struct Wake {
    incarnation: u64,
    why: Why,
}

#[derive(Clone, Copy, Debug)]
enum Why {
    /// Nodes had their time to say what their clients hold.
    Gathered,
    /// Records may have waited for long enough.
    Lingered,
}

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
    Untold,
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
    pub fn held_elsewhere(&self) -> Vec<Slot> {
        match (&self.session, self.is_here()) {
            (Some(session), false) => session.held.values().map(|held| held.slot).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether a client of this node has a message by that slot, as far as this node knows.
    pub fn is_held_here(&self, slot: Slot) -> bool {
        match self.queue() {
            Some(queue) => queue.held().any(|(_, held)| held == slot),
            None => self.held_elsewhere().contains(&slot),
        }
    }
}

impl<H: Handles> ConsumerHandle<H> {
    /// The client of this node.
    pub fn local(&self) -> Option<&H::Consumer> {
        match self {
            Self::Local(consumer) => Some(consumer),
            Self::Remote(_) => None,
        }
    }

    /// Its consumer tag.
    pub fn tag(&self) -> &str {
        match self {
            Self::Local(consumer) => consumer.spec().tag,
            Self::Remote(consumer) => &consumer.tag,
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
