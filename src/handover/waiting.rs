//! Who waits for a publish to be safe, and what is told of those that are.

use crate::queue::record::ProducerId;
use crate::types::NodeId;

/// Who waits for a publish to be safe.
pub enum Waiting<P> {
    /// A client of this node, at a queue that is only here.
    Client(P),
    /// The clients' session of a node, which knows for whom.
    Session { session: SessionId, number: u64 },
}

/// The session of a run of a node: the next run numbers its publishes anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionId {
    pub node: NodeId,
    pub producer: ProducerId,
}

/// Publishes of sessions that were answered in one go: runs of numbers.
#[derive(Default)]
pub(super) struct AnsweredPublishes(pub Vec<Answered>);

/// One run of them.
pub(super) struct Answered {
    pub session: SessionId,
    pub is_accepted: bool,
    pub first: u64,
    pub last: u64,
}

impl AnsweredPublishes {
    /// One more.
    pub fn push(&mut self, session: SessionId, number: u64, is_accepted: bool) {
        match self.0.last_mut() {
            Some(run) if run.session == session && run.is_accepted == is_accepted && run.last + 1 == number => {
                run.last = number;
            }
            _ => self.0.push(Answered {
                session,
                is_accepted,
                first: number,
                last: number,
            }),
        }
    }
}
