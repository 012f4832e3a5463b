//! The queue's invariants, walked. Called after every step in tests and by debug builds.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::Queue;
use super::entry::{DISCARDED, FETCHING, PAGED, STORED};
use super::outstanding::Owner;

impl<C, P> Queue<C, P> {
    /// Panics when something that always holds does not. Walks everything: not for the hot path.
    pub fn check(&self) {
        self.ready.check();
        self.outstanding.check();
        self.consumers.check();
        self.confirms.check();
        self.uncommitted.check();
        self.discards.check(
            self.outstanding
                .iter()
                .map(|held| &held.entry)
                .filter(|entry| entry.is(DISCARDED)),
        );
        self.check_messages();
        self.check_consumers();
        assert!(
            self.consumers.next().is_none()
                || self.head().is_none()
                || self.deaths_wait()
                || self.gathering
                || self.ready.head().is_some_and(|place| !self.is_marked(place)),
            "a consumer waits although a message is there"
        );
        // Where dead letters hold it up, the next tick goes on.
        let held_up = self.deaths_wait() || self.head().is_none();
        assert!(!self.too_long() || held_up, "longer than allowed");
    }

    /// Every message is in one place, and the sums over them are right.
    fn check_messages(&self) {
        let outstanding = || self.outstanding.iter().map(|held| &held.entry);
        let others = || self.uncommitted.iter().chain(self.discards.iter());
        let all = || {
            let borrowed = outstanding().chain(others()).map(Cow::Borrowed);
            self.ready.iter().chain(borrowed)
        };
        let mut seen = BTreeSet::new();
        for entry in all() {
            assert!(entry.seq < self.next_seq);
            assert!(seen.insert(entry.seq), "message {} is in two places", entry.seq);
            assert!(
                entry.message.is_some() || entry.is(STORED | PAGED),
                "body of {} is nowhere",
                entry.seq
            );
            assert!(!(entry.is(STORED) && entry.is(PAGED)));
        }
        assert_eq!(
            self.bytes_in_memory(),
            all().map(|entry| entry.memory()).sum::<u64>(),
            "memory"
        );
        let stored = || all().filter(|entry| entry.is(STORED));
        let bytes = stored().map(|entry| u64::from(entry.len)).sum();
        assert_eq!(self.persistent, (stored().count() as u64, bytes), "persistent");
        for held in self.outstanding.iter() {
            assert!(!held.entry.is(FETCHING));
            let dying = matches!(held.owner, Owner::Dying(_)) && held.entry.message.is_none();
            assert_eq!(self.dying.contains_key(&held.entry.seq), dying);
        }
        assert!(self.uncommitted.iter().all(|entry| entry.seq > self.durable_up_to));
    }

    /// What consumers are said to hold is out.
    fn check_consumers(&self) {
        for (id, consumer) in self.consumers.iter() {
            let holds = self
                .outstanding
                .iter()
                .filter(|held| held.owner == Owner::Consumer(id))
                .count();
            assert_eq!(consumer.unacked as usize, holds);
        }
    }
}
