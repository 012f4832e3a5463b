//! What clients do to a queue that is led here: publishes are taken in once, settlements are numbered.

use super::AROUND;
use crate::handover::effects::Effects;
use crate::handover::handles::Handles;
use crate::handover::message::SettleBatch;
use crate::handover::waiting::{AnsweredPublishes, SessionId};
use crate::handover::{ClientSession, ClusteredQueue, Location, Waiting, session_of};
use crate::queue::ledger::Before;
use crate::queue::record::{Origin, ProducerId};
use crate::queue::recorder::Arrival;
use crate::queue::{Holder, Publish};
use crate::types::{Message, NodeId, Timestamp};

impl<H: Handles> ClusteredQueue<H> {
    /// Publishes of this node's clients, while it leads.
    pub(in crate::handover) fn publish_leading<E: Effects<H>>(
        &mut self,
        now: Timestamp,
        batch: impl IntoIterator<Item = Publish<H::Publish>>,
        effects: &mut E,
    ) {
        let session: &mut ClientSession<H> = session_of(&mut self.session);
        let producer = session.producer;
        let numbered: Vec<_> = batch
            .into_iter()
            .map(|publish| {
                let message = publish.message.clone();
                (session.publish(publish), message)
            })
            .collect();
        self.take_in(now, self.us, producer, numbered, effects);
    }

    /// Takes numbered publishes in, of this node or another; what is here already is answered.
    pub(in crate::handover) fn take_in<E: Effects<H>>(
        &mut self,
        now: Timestamp,
        node: NodeId,
        producer: ProducerId,
        numbered: Vec<(u64, Message)>,
        effects: &mut E,
    ) {
        let Location::Leading(leader) = &mut self.location else {
            return;
        };
        if numbered.is_empty() {
            return;
        }
        let session = SessionId { node, producer };
        let mut again = Vec::new();
        let mut refused = AnsweredPublishes::default();
        let arrivals = numbered.into_iter().filter_map(|(number, message)| {
            if message.memory() + AROUND > H::RECORD_BYTES {
                refused.push(session, number, false);
                return None;
            }
            let publish = Publish {
                message,
                publish: Some(Waiting::Session { session, number }),
            };
            let origin = Some(Origin { producer, number });
            Some(Arrival { publish, origin })
        });
        let mut answers = AnsweredPublishes::default();
        let mut unknown = Vec::new();
        let result = leader.run(self.id, effects, &mut answers, |queue, deduplicator, output| {
            let again = |publish: Publish<Waiting<H::Publish>>, before| {
                if let Some(Waiting::Session { number, .. }) = publish.publish {
                    match before {
                        Before::Taken { with } => again.push((with, number)),
                        Before::Unknown => unknown.push(number),
                    }
                }
            };
            queue.publish(now, deduplicator.admit(arrivals, again), output);
        });
        self.ran(now, answers, result, effects);
        let mut answers = refused;
        for number in unknown {
            answers.push(session, number, false);
        }
        if let Location::Leading(leader) = &mut self.location {
            let durable = leader.served.queue.durable_up_to();
            for (seq, number) in again {
                match seq <= durable {
                    true => answers.push(session, number, true),
                    false => leader.again.push((seq, session, number)),
                }
            }
        }
        self.tell(answers, effects);
    }

    /// Settles a numbered batch of a session, of this node or another, that may have been said to another
    /// leader if it `is_again`.
    pub(in crate::handover) fn settle_leading<E: Effects<H>>(
        &mut self,
        now: Timestamp,
        node: NodeId,
        batch: SettleBatch,
        is_again: bool,
        effects: &mut E,
    ) {
        let SettleBatch {
            number, outcome, slots, ..
        } = batch;
        if let Location::Leading(leader) = &mut self.location {
            leader.settling(node, number);
        }
        self.run(now, effects, |queue, now, output| {
            if is_again {
                // Said to a leader that may not have written it down: what is ready here, and has not come
                // back since, was not. What was delivered anew is another's.
                queue.adopt(now, Holder::Get, slots.clone(), output);
            }
            queue.settle(now, slots, outcome, output);
        });
        self.tell_settled(effects);
    }
}
