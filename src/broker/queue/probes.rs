//! A few of the messages that wait in a queue, with when they came: how long they wait is a sample of how long
//! all do.

use std::collections::VecDeque;
use std::time::Instant;

/// Most that are looked at in one queue. When it has more, every second one is let go: those that wait for
/// long stand for more of the others then.
const MOST: usize = 64;

/// In the order in which they came. Empty as long as nothing waits.
#[derive(Default)]
pub struct Probes(VecDeque<(u64, Instant)>);

impl Probes {
    /// The message of that number came.
    pub fn came(&mut self, seq: u64, at: Instant) {
        if self.0.len() == MOST {
            let mut keeps = false;
            self.0.retain(|_| {
                keeps = !keeps;
                keeps
            });
        }
        self.0.push_back((seq, at));
    }

    /// It did not come after all, or is gone already.
    pub fn did_not_come(&mut self, seq: u64) {
        if self.0.back().is_some_and(|(last, _)| *last == seq) {
            self.0.pop_back();
        }
    }

    /// The message of that number is delivered. When it came, if it is one of those that are looked at.
    pub fn left(&mut self, seq: u64) -> Option<Instant> {
        let (first, came) = *self.0.front()?;
        if first == seq {
            self.0.pop_front();
            return Some(came);
        }
        let at = self.0.binary_search_by_key(&seq, |(seq, _)| *seq).ok()?;
        self.0.remove(at).map(|(_, came)| came)
    }

    /// All are gone.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_leave_in_any_order_and_there_are_never_too_many() {
        let at = Instant::now();
        let mut probes = Probes::default();
        for seq in 1..=1000 {
            probes.came(seq, at);
            assert!(probes.0.len() <= MOST);
        }
        let kept: Vec<_> = probes.0.iter().map(|(seq, _)| *seq).collect();
        assert!(kept.is_sorted() && kept[0] == 1);
        assert_eq!(probes.left(999_999), None);
        for seq in kept.iter().rev().chain([&2]) {
            assert_eq!(probes.left(*seq), kept.contains(seq).then_some(at), "{seq}");
        }
        assert_eq!(probes.left(1), None);
        probes.came(7, at);
        probes.did_not_come(8);
        probes.did_not_come(7);
        assert_eq!(probes.left(7), None);
    }
}
