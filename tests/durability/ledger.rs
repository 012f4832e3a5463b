//! What a test knows about the messages of one queue: sent, confirmed, delivered, settled for good.

use std::collections::BTreeSet;

/// The knowledge, by message number; a single publisher counts them up.
#[derive(Default)]
pub struct Ledger {
    pub sent: BTreeSet<u64>,
    pub confirmed: BTreeSet<u64>,
    /// Handed to a consumer at least once.
    pub delivered: BTreeSet<u64>,
    /// Acked, and the broker may or may not have that on disk.
    pub acked: BTreeSet<u64>,
    /// Acked before something that was confirmed later: this must never come again.
    pub settled: BTreeSet<u64>,
}

impl Ledger {
    /// All acks until now are known to be on disk.
    pub fn acks_are_safe(&mut self) {
        self.settled.append(&mut self.acked);
    }

    /// Holds what a queue gave after a restart, in its order, against what must be there. The
    /// queue's content is the truth from then on.
    pub fn check(&mut self, found: &[(u64, bool)]) {
        for pair in found.windows(2) {
            assert!(pair[0].0 < pair[1].0, "{} came before {}", pair[0].0, pair[1].0);
        }
        let there: BTreeSet<u64> = found.iter().map(|&(number, _)| number).collect();
        let invented: Vec<_> = there.difference(&self.sent).collect();
        assert!(invented.is_empty(), "never sent: {invented:?}");
        let risen: Vec<_> = there.intersection(&self.settled).collect();
        assert!(risen.is_empty(), "settled, and there again: {risen:?}");
        let wanted = self.confirmed.iter().filter(|number| !self.settled.contains(number));
        let lost: Vec<_> = wanted
            .filter(|number| !there.contains(number) && !self.acked.contains(number))
            .collect();
        assert!(lost.is_empty(), "confirmed and lost: {lost:?}");
        for &(number, redelivered) in found {
            let had = self.delivered.contains(&number);
            assert!(redelivered || !had, "{number} was delivered before and is not flagged");
        }
        // What is not there now was unconfirmed or acked, and cannot come back later.
        let gone: Vec<u64> = self.sent.difference(&there).copied().collect();
        self.settled.extend(gone);
        self.acked.clear();
        self.confirmed = there;
    }
}
