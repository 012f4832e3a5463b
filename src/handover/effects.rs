//! What the machine wants done, and what comes back of it later.

use bytes::Bytes;

use super::handles::Handles;
use super::message::RemoteDelivery;
use super::waiting::SessionId;
use crate::queue::{ConsumeError, Sink, Slot};
use crate::types::{Millis, NodeId, Reply};

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
    /// Answers whoever asked; false when nobody waits any more.
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
    /// Makes a majority be heard, and then calls [`ClusteredQueue::leased`](super::ClusteredQueue::leased).
    fn regain_lease(&mut self, journal: &H::Journal, incarnation: u64);
    /// Gives records to the group, in that term only. [`ClusteredQueue::landed`](super::ClusteredQueue::landed) or
    /// [`ClusteredQueue::lost`](super::ClusteredQueue::lost) answers, in the order of the calls.
    fn submit(&mut self, journal: &H::Journal, term: u64, records: Bytes, flight: Flight);
    /// Calls [`ClusteredQueue::synced`](super::ClusteredQueue::synced) when all that was stored by now is on disk.
    fn when_synced(&mut self, unsynced: Unsynced<H>);

    /// Calls [`ClusteredQueue::wake`](super::ClusteredQueue::wake) after that time.
    fn wake(&mut self, after: Millis, wake: Wake);
    /// Clients wait, and it is not known who leads: the members are to be asked again and again, with
    /// [`ClusteredQueue::ask_who_leads`](super::ClusteredQueue::ask_who_leads).
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
    pub(super) incarnation: u64,
    pub(super) why: Why,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Why {
    /// Nodes had their time to say what their clients hold.
    Gathered,
    /// Records may have waited for long enough.
    Lingered,
}

/// Records on their way.
#[derive(Clone, Copy, Debug)]
pub struct Flight {
    pub(super) incarnation: u64,
    /// Of those of its leader, which.
    pub(super) number: u64,
    pub(super) mark: Option<u64>,
    /// Messages that the queue had discarded.
    pub(super) discards: u64,
}

impl Flight {
    /// The leader that they are of.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }
}

/// A queue was purged, and who is to hear how many messages that were.
pub struct Purged<H: Handles> {
    pub(super) by: Purger<H::Call>,
    pub(super) count: u64,
}

/// Who purges a queue.
pub(super) enum Purger<C> {
    /// A client of this node.
    Client(C),
    /// Another node, which asked with this number.
    Node { node: NodeId, call: u64 },
}
