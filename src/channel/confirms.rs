//! Publisher confirms of one channel: publish seq → ack or nack, joined into `multiple`.
//!
//! Publish seqs count up by one from 1 (RabbitMQ, "Publisher Confirms"), so the open ones are a
//! deque indexed by `seq - first`. An answer is noted when it is known and sent at the next flush.

use std::collections::VecDeque;

/// A confirm to be sent: `basic.ack` or `basic.nack`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Confirm {
    pub seq: u64,
    pub multiple: bool,
    pub outcome: ConfirmOutcome,
}

/// What the publisher hears.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConfirmOutcome {
    Ack,
    Nack,
}

/// The publishes of a channel in confirm mode whose answer was not sent, or overtook an older one.
#[derive(Debug, Default)]
pub struct Confirms {
    /// Seq of the front of `slots`.
    first: u64,
    slots: VecDeque<Slot>,
    /// Up to here every seq is answered, so the next flush's walk from the front finds it.
    run_end: u64,
    /// Seqs beyond `run_end` that were answered since the last flush.
    scattered: Vec<u64>,
    /// Slots in state `Waiting`.
    waiting: usize,
}

#[derive(Debug, Clone, Copy)]
enum Slot {
    /// Queues that still have to answer, and whether one refused.
    Waiting {
        left: u32,
        refused: bool,
    },
    /// Answered, not sent.
    Known(ConfirmOutcome),
    Sent,
}

impl Confirms {
    /// No publish yet; the first will be seq 1.
    pub fn new() -> Self {
        Self {
            first: 1,
            ..Self::default()
        }
    }

    /// The next publish waits for that many queues; with none it is acked at the next flush.
    /// Returns its seq.
    pub fn publish(&mut self, queues: u32) -> u64 {
        let seq = self.first + self.slots.len() as u64;
        if queues == 0 {
            self.slots.push_back(Slot::Known(ConfirmOutcome::Ack));
            self.note(seq);
        } else {
            self.waiting += 1;
            self.slots.push_back(Slot::Waiting {
                left: queues,
                refused: false,
            });
        }
        seq
    }

    /// One queue of that publish answered. Unknown seqs are ignored.
    pub fn settle(&mut self, seq: u64, outcome: ConfirmOutcome) {
        let Some(slot) = seq
            .checked_sub(self.first)
            .and_then(|at| self.slots.get_mut(at as usize))
        else {
            return;
        };
        let Slot::Waiting { left, refused } = slot else { return };
        *refused |= outcome == ConfirmOutcome::Nack;
        *left -= 1;
        if *left == 0 {
            *slot = Slot::Known(if *refused {
                ConfirmOutcome::Nack
            } else {
                ConfirmOutcome::Ack
            });
            self.waiting -= 1;
            self.note(seq);
        }
    }

    /// The number of the oldest publish whose answer was not sent.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Publishes that no answer is known for.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Hands over what is to be sent now: one `multiple` ack for a complete run at the front,
    /// single ones for nacks and for what overtook an older publish. Returns how many publishes are acked.
    pub fn flush(&mut self, mut send: impl FnMut(Confirm)) -> u64 {
        let mut acked = 0;
        let mut run: Option<(u64, u32)> = None;
        let end_run = |run: Option<(u64, u32)>, send: &mut dyn FnMut(Confirm)| {
            if let Some((seq, length)) = run {
                send(Confirm {
                    seq,
                    multiple: length > 1,
                    outcome: ConfirmOutcome::Ack,
                });
            }
        };
        while let Some(slot) = self.slots.front() {
            match slot {
                Slot::Waiting { .. } => break,
                Slot::Known(ConfirmOutcome::Ack) => {
                    acked += 1;
                    run = Some((self.first, run.map_or(1, |(_, n)| n + 1)));
                }
                Slot::Known(ConfirmOutcome::Nack) => {
                    end_run(run.take(), &mut send);
                    send(Confirm {
                        seq: self.first,
                        multiple: false,
                        outcome: ConfirmOutcome::Nack,
                    });
                }
                Slot::Sent => {}
            }
            self.slots.pop_front();
            self.first += 1;
        }
        end_run(run, &mut send);
        self.run_end = self.first - 1;
        for seq in self.scattered.drain(..) {
            let Some(slot) = seq
                .checked_sub(self.first)
                .and_then(|at| self.slots.get_mut(at as usize))
            else {
                continue;
            };
            if let Slot::Known(outcome) = *slot {
                *slot = Slot::Sent;
                acked += u64::from(outcome == ConfirmOutcome::Ack);
                send(Confirm {
                    seq,
                    multiple: false,
                    outcome,
                });
            }
        }
        if self.slots.is_empty() && self.slots.capacity() > IDLE_CAPACITY {
            self.slots = VecDeque::new();
        }
        acked
    }

    /// Remembers an answer that the walk from the front may not reach.
    fn note(&mut self, seq: u64) {
        if seq == self.run_end + 1 {
            self.run_end = seq;
        } else {
            self.scattered.push(seq);
        }
    }
}

/// Slots kept allocated while nothing waits.
const IDLE_CAPACITY: usize = 4096;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flushed(confirms: &mut Confirms) -> Vec<(u64, bool, ConfirmOutcome)> {
        let mut sent = Vec::new();
        confirms.flush(|confirm| sent.push((confirm.seq, confirm.multiple, confirm.outcome)));
        sent
    }

    #[test]
    fn a_complete_run_is_one_multiple_ack() {
        let mut confirms = Confirms::new();
        for _ in 0..3 {
            confirms.publish(1);
        }
        (1..=3).for_each(|seq| confirms.settle(seq, ConfirmOutcome::Ack));
        assert_eq!(flushed(&mut confirms), [(3, true, ConfirmOutcome::Ack)]);
    }

    #[test]
    fn a_nack_in_a_run_is_never_covered_by_a_multiple_ack() {
        let mut confirms = Confirms::new();
        for _ in 0..4 {
            confirms.publish(1);
        }
        confirms.settle(3, ConfirmOutcome::Nack);
        for seq in [1, 2, 4] {
            confirms.settle(seq, ConfirmOutcome::Ack);
        }
        let sent = flushed(&mut confirms);
        assert_eq!(
            sent,
            [
                (2, true, ConfirmOutcome::Ack),
                (3, false, ConfirmOutcome::Nack),
                (4, false, ConfirmOutcome::Ack)
            ]
        );
    }

    proptest! {
        #[test]
        fn every_publish_is_answered_once_with_its_own_outcome(
            steps in proptest::collection::vec((0u8..3, 0usize..20, any::<bool>()), 1..200)
        ) {
            let mut confirms = Confirms::new();
            let mut open: Vec<(u64, u32, bool)> = Vec::new();
            let mut expected = std::collections::BTreeMap::new();
            let mut answered = std::collections::BTreeMap::new();
            let mut acked = 0;
            let mut take = |confirms: &mut Confirms, answered: &mut std::collections::BTreeMap<u64, ConfirmOutcome>, last: u64| {
                acked += confirms.flush(|confirm| {
                    let from = if confirm.multiple { 1 } else { confirm.seq };
                    for seq in from..=confirm.seq.min(last) {
                        if seq == confirm.seq { assert!(!answered.contains_key(&seq)); }
                        answered.entry(seq).or_insert(confirm.outcome);
                    }
                });
            };
            let mut last = 0;
            for (kind, pick, refuse) in steps {
                match kind {
                    0 => {
                        let queues = (pick % 3) as u32;
                        last = confirms.publish(queues);
                        if queues == 0 { expected.insert(last, ConfirmOutcome::Ack); } else { open.push((last, queues, false)); }
                    }
                    1 if !open.is_empty() => {
                        let at = pick % open.len();
                        let outcome = if refuse { ConfirmOutcome::Nack } else { ConfirmOutcome::Ack };
                        confirms.settle(open[at].0, outcome);
                        open[at].1 -= 1;
                        open[at].2 |= refuse;
                        if open[at].1 == 0 {
                            let (seq, _, refused) = open.remove(at);
                            expected.insert(seq, if refused { ConfirmOutcome::Nack } else { ConfirmOutcome::Ack });
                        }
                    }
                    _ => take(&mut confirms, &mut answered, last),
                }
            }
            take(&mut confirms, &mut answered, last);
            let acks = expected.values().filter(|outcome| **outcome == ConfirmOutcome::Ack).count();
            prop_assert_eq!(acked, acks as u64);
            prop_assert_eq!(answered, expected);
            prop_assert_eq!(confirms.waiting(), open.len());
        }
    }
}
