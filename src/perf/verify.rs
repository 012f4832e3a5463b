//! Whether every message arrived once and in order.
//!
//! Per queue and publisher a bitmap of the sequence numbers that arrived; order is judged per consumer, because
//! several consumers of one queue may be served at the same time. What must be there is worked out at the end from
//! how many each publisher sent and where each of its messages was routed.

use serde::Serialize;

use super::deliveries::Delivery;
use super::limits::MAX_PUBLISHERS;
use super::stamp;
use super::topology::{Lanes, Target};

/// What the check found.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Published (confirmed, where confirms are on) and never delivered.
    pub lost: u64,
    /// Delivered more than once without the redelivered flag.
    pub duplicates: u64,
    /// Delivered more than once and flagged.
    pub redelivered: u64,
    /// Delivered to a consumer after a later message of the same publisher, and not flagged.
    pub out_of_order: u64,
    /// Of another size than was sent, or without a stamp.
    pub damaged: u64,
}

impl Verdict {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.lost + self.duplicates + self.out_of_order + self.damaged == 0
    }

    fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.duplicates += other.duplicates;
        self.redelivered += other.redelivered;
        self.out_of_order += other.out_of_order;
        self.damaged += other.damaged;
    }
}

/// A growing set of sequence numbers.
#[derive(Debug, Default)]
struct Bitmap(Vec<u64>);

impl Bitmap {
    /// Adds a number; false when it was there.
    fn insert(&mut self, number: u64) -> bool {
        let (word, bit) = ((number / 64) as usize, 1u64 << (number % 64));
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }

    fn contains(&self, number: u64) -> bool {
        let word = self.0.get((number / 64) as usize);
        word.is_some_and(|word| word >> (number % 64) & 1 != 0)
    }

    /// One more than the highest number, 0 when empty.
    fn end(&self) -> u64 {
        match self.0.iter().rposition(|word| *word != 0) {
            Some(at) => at as u64 * 64 + 64 - u64::from(self.0[at].leading_zeros()),
            None => 0,
        }
    }
}

/// What arrived from one queue; its consumers share it.
#[derive(Debug, Default)]
pub struct Arrivals {
    body_bytes: u64,
    publishers: Vec<Bitmap>,
    verdict: Verdict,
}

/// The last sequence number one consumer saw of each publisher on one queue.
#[derive(Debug, Default)]
pub struct Order(Vec<Option<u64>>);

impl Arrivals {
    /// Expects bodies of `body_bytes`.
    pub fn new(body_bytes: u64) -> Self {
        Self {
            body_bytes,
            publishers: Vec::new(),
            verdict: Verdict::default(),
        }
    }

    /// Notes one delivery.
    pub fn see(&mut self, delivery: &Delivery, order: &mut Order) {
        let Some(stamp) = stamp::read(delivery.front()).filter(|stamp| {
            // A number far beyond what anyone sends is damage, and must not grow the bitmap to its size.
            delivery.body_bytes == self.body_bytes && stamp.publisher < MAX_PUBLISHERS && stamp.seq < MAX_SEQ
        }) else {
            self.verdict.damaged += 1;
            return;
        };
        let publisher = usize::from(stamp.publisher);
        if publisher >= self.publishers.len() {
            self.publishers.resize_with(publisher + 1, Bitmap::default);
        }
        if !self.publishers[publisher].insert(stamp.seq) {
            match delivery.redelivered {
                true => self.verdict.redelivered += 1,
                false => self.verdict.duplicates += 1,
            }
        }
        if publisher >= order.0.len() {
            order.0.resize(publisher + 1, None);
        }
        let last = &mut order.0[publisher];
        if !delivery.redelivered && last.is_some_and(|last| stamp.seq < last) {
            self.verdict.out_of_order += 1;
        }
        *last = (*last).max(Some(stamp.seq));
    }

    fn has(&self, publisher: usize, seq: u64) -> bool {
        self.publishers.get(publisher).is_some_and(|seen| seen.contains(seq))
    }
}

/// What one publisher sent.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Sequence numbers 0 up to here, without this one.
    pub count: u64,
    /// Numbers below `count` that need not arrive: refused, or never confirmed. Sorted.
    pub excused: Vec<u64>,
    pub lanes: Lanes,
}

/// Adds up what the queues saw and looks for what each publisher sent; of one that failed it is not known.
pub fn judge(queues: &[Arrivals], sent: &[Option<Sent>]) -> Verdict {
    let mut verdict = so_far(queues);
    for (publisher, sent) in sent.iter().enumerate() {
        let Some(sent) = sent else { continue };
        for seq in 0..sent.count {
            let arrived = match sent.lanes.target(seq) {
                Target::Queue(queue) => queues[queue].has(publisher, seq),
                Target::Every => queues.iter().all(|queue| queue.has(publisher, seq)),
                Target::Any => queues.iter().any(|queue| queue.has(publisher, seq)),
            };
            verdict.lost += u64::from(!arrived && sent.excused.binary_search(&seq).is_err());
        }
    }
    verdict
}

/// Judges a backlog whose publishers are gone: every number below the highest seen of a publisher must be there, on
/// every queue if `every`, else on one of them.
pub fn judge_backlog(queues: &[Arrivals], every: bool) -> Verdict {
    let mut verdict = so_far(queues);
    let publishers = queues.iter().map(|queue| queue.publishers.len()).max().unwrap_or(0);
    for publisher in 0..publishers {
        let seen = queues.iter().filter_map(|queue| queue.publishers.get(publisher));
        let end = seen.map(Bitmap::end).max().unwrap_or(0);
        verdict.lost += (0..end)
            .filter(|seq| match every {
                true => !queues.iter().all(|queue| queue.has(publisher, *seq)),
                false => !queues.iter().any(|queue| queue.has(publisher, *seq)),
            })
            .count() as u64;
    }
    verdict
}

fn so_far(queues: &[Arrivals]) -> Verdict {
    let mut verdict = Verdict::default();
    for queue in queues {
        verdict.add(queue.verdict);
    }
    verdict
}

/// Sequence numbers from here on are taken as damage (a bitmap up to here takes 1.25 GB).
const MAX_SEQ: u64 = 10_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perf::deliveries::{Found, Scanner};
    use crate::perf::wire::{MethodFrame, content, id};

    fn delivery(publisher: u16, seq: u64, redelivered: bool) -> Delivery {
        let mut body = [0; 16];
        stamp::write(&mut body, 16, publisher, seq, 1);
        let mut bytes = Vec::new();
        MethodFrame::begin(&mut bytes, 1, id::BASIC_DELIVER)
            .short("0")
            .u64(1)
            .u8(u8::from(redelivered))
            .short("")
            .short("")
            .end();
        content(&mut bytes, &body, 4096);
        match Scanner::default().next(&bytes, &mut 0) {
            Ok(Some(Found::Delivery(delivery))) => delivery,
            other => panic!("{other:?}"),
        }
    }

    fn seen(seqs: &[u64]) -> Arrivals {
        let mut arrivals = Arrivals::new(16);
        let mut order = Order::default();
        for seq in seqs {
            arrivals.see(&delivery(0, *seq, false), &mut order);
        }
        arrivals
    }

    fn sent(count: u64, targets: &[Target]) -> Option<Sent> {
        Some(Sent {
            count,
            excused: Vec::new(),
            lanes: Lanes::new(targets.to_vec()),
        })
    }

    #[test]
    fn all_there_once_and_in_order_is_clean() {
        let verdict = judge(&[seen(&[0, 1, 2])], &[sent(3, &[Target::Queue(0)])]);
        assert_eq!(verdict, Verdict::default());
        assert!(verdict.is_clean());
    }

    #[test]
    fn a_missing_message_is_lost_unless_it_was_refused() {
        let mut sent = sent(4, &[Target::Queue(0)]);
        assert_eq!(judge(&[seen(&[0, 2])], &[sent.clone()]).lost, 2);
        sent.as_mut().expect("some").excused = vec![1];
        assert_eq!(judge(&[seen(&[0, 2])], &[sent]).lost, 1);
    }

    #[test]
    fn messages_are_looked_for_where_they_were_routed() {
        let queues = [seen(&[0, 2]), seen(&[1, 3])];
        assert_eq!(
            judge(&queues, &[sent(4, &[Target::Queue(0), Target::Queue(1)])]).lost,
            0
        );
        assert_eq!(judge(&queues, &[sent(4, &[Target::Any])]).lost, 0);
        assert_eq!(judge(&queues, &[sent(4, &[Target::Every])]).lost, 4);
        assert_eq!(
            judge(&queues, &[sent(4, &[Target::Queue(1), Target::Queue(0)])]).lost,
            4
        );
    }

    #[test]
    fn duplicates_and_wrong_order_are_counted_and_flagged_ones_are_excused() {
        let mut arrivals = Arrivals::new(16);
        let mut order = Order::default();
        for (seq, redelivered) in [(0, false), (2, false), (1, false), (1, false), (2, true), (0, true)] {
            arrivals.see(&delivery(0, seq, redelivered), &mut order);
        }
        let verdict = judge(&[arrivals], &[sent(3, &[Target::Queue(0)])]);
        assert_eq!(
            (verdict.duplicates, verdict.redelivered, verdict.out_of_order),
            (1, 2, 2)
        );
        assert!(!verdict.is_clean());
    }

    #[test]
    fn a_body_of_another_size_is_damaged() {
        let mut arrivals = Arrivals::new(17);
        arrivals.see(&delivery(0, 0, false), &mut Order::default());
        assert_eq!(judge(&[arrivals], &[]).damaged, 1);
    }

    #[test]
    fn a_hole_in_a_backlog_is_a_loss() {
        assert_eq!(judge_backlog(&[seen(&[0, 1, 3])], false).lost, 1);
        assert_eq!(judge_backlog(&[seen(&[0, 2]), seen(&[1, 3])], false).lost, 0);
        assert_eq!(judge_backlog(&[seen(&[0, 1]), seen(&[0])], true).lost, 1);
        assert_eq!(judge_backlog(&[], false).lost, 0);
    }
}
