//! Records that are committed, and what follows: marks, messages that are durable, answers.

use crate::handover::effects::{Effects, Flight};
use crate::handover::handles::Handles;
use crate::handover::waiting::AnsweredPublishes;
use crate::handover::{ClientSession, ClusteredQueue, Location, send, session_of, wire};
use crate::queue::ledger::Applied;
use crate::types::Timestamp;

impl<H: Handles> ClusteredQueue<H> {
    /// Tells sessions what they settled and is committed.
    pub(in crate::handover) fn tell_settled<E: Effects<H>>(&mut self, effects: &mut E) {
        let Location::Leading(leader) = &mut self.location else {
            return;
        };
        for (node, batch) in leader.settled() {
            match node == self.us {
                true => {
                    let session: &mut ClientSession<H> = session_of(&mut self.session);
                    session.settled(batch, |settlement| effects.committed(settlement));
                }
                false => send(self.id, node, effects, |buffer, queue| {
                    wire::settled(buffer, queue, batch);
                }),
            }
        }
    }

    /// Records came back from the group, which has them all.
    pub fn landed<E: Effects<H>>(&mut self, now: Timestamp, flight: Flight, applied: &Applied, effects: &mut E) {
        let Location::Leading(leader) = &mut self.location else {
            return;
        };
        if leader.incarnation != flight.incarnation {
            return;
        }
        leader.landed = flight.number;
        let mark = flight.mark.filter(|_| flight.number >= leader.marks_from);
        self.run(now, effects, |queue, now, output| {
            if let Some(mark) = mark {
                queue.marked(now, mark, output);
            }
            if let Some(appended) = applied.appended {
                queue.durable(now, appended.last, output);
            }
            queue.discards_committed(now, flight.discards, output);
        });
        self.tell_settled(effects);
        self.tell_all_purged(effects);
        self.tell_again(effects);
        if flight.mark.is_some() {
            effects.changed();
            self.serve_gets(now, effects);
        }
    }

    pub(super) fn tell_again<E: Effects<H>>(&mut self, effects: &mut E) {
        let Location::Leading(leader) = &mut self.location else {
            return;
        };
        if leader.again.is_empty() {
            return;
        }
        let durable = leader.served.queue.durable_up_to();
        let mut answers = AnsweredPublishes::default();
        leader.again.retain(|(seq, session, number)| {
            let is_safe = *seq <= durable;
            if is_safe {
                answers.push(*session, *number, true);
            }
            !is_safe
        });
        self.tell(answers, effects);
    }
}
