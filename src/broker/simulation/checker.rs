//! What clients see, and what must be true of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::queue::Outcome;

/// A message, by its publisher and the publisher's number.
pub type Id = (u64, u64);

/// A consumer, alone in the cluster.
pub type Key = u64;

#[derive(Default)]
pub struct Checker {
    sent: BTreeMap<u64, u64>,
    confirmed: BTreeSet<Id>,
    unflagged: BTreeSet<Id>,
    /// How often leaders gave it to somebody.
    given: BTreeMap<Id, u32>,
    last_fresh: BTreeMap<(u64, Key), u64>,
    /// Clients have said that they are done with it,
    ended: BTreeSet<Id>,
    /// and this is committed.
    settled: BTreeSet<Id>,
    violations: Vec<String>,
    /// Everything that clients saw, in order.
    story: Vec<String>,
}

impl Checker {
    pub fn tell(&mut self, what: String) {
        self.story.push(what);
    }

    pub fn violated(&mut self, what: String) {
        self.story.push(format!("VIOLATION {what}"));
        self.violations.push(what);
    }

    pub fn sent(&mut self, (publisher, number): Id) {
        self.tell(format!("{publisher}-{number} is sent"));
        self.sent.insert(publisher, number);
    }

    pub fn confirmed(&mut self, id: Id) {
        self.tell(format!("{id:?} is confirmed"));
        if !self.confirmed.insert(id) {
            self.violated(format!("{id:?} is confirmed twice"));
        }
    }

    /// A leader gives a message to a consumer. It may come much later, when others have settled it: to a
    /// node that was paused. The leader says how often it has come back.
    pub fn given(&mut self, to: Key, id: Id, count: u32) {
        let given = self.given.entry(id).or_default();
        let before = *given;
        *given += 1;
        if count > before {
            self.violated(format!("{id:?} was given {before} times and came back {count} times"));
        }
        if self.settled.contains(&id) {
            self.violated(format!("{id:?} was settled and is given to {to}"));
        }
    }

    pub fn delivered(&mut self, to: Key, id: Id, is_redelivered: bool) {
        let flag = if is_redelivered { " again" } else { "" };
        self.tell(format!("{id:?} comes to {to}{flag}"));
        let (publisher, number) = id;
        if self.sent.get(&publisher).is_none_or(|last| number > *last) {
            self.violated(format!("{id:?} is invented"));
        }
        if is_redelivered {
            return;
        }
        if !self.unflagged.insert(id) {
            self.violated(format!("{id:?} comes to {to} again, unflagged"));
        }
        let last = self.last_fresh.entry((publisher, to)).or_default();
        let before = std::mem::replace(last, number);
        if number <= before {
            self.violated(format!("{id:?} comes to {to} after {before}"));
        }
    }

    /// A client says this of a message.
    pub fn said(&mut self, id: Id, outcome: Outcome) {
        self.tell(format!("{id:?}: {outcome:?}"));
        if outcome != Outcome::Requeue {
            self.ended.insert(id);
        }
    }

    /// It is committed that the message is gone.
    pub fn kept(&mut self, id: Id) {
        self.tell(format!("{id:?} is gone for good"));
        self.settled.insert(id);
    }

    /// The queue is drained.
    pub fn drained(&mut self) {
        let lost: Vec<Id> = self.confirmed.difference(&self.ended).copied().collect();
        for id in lost {
            self.violated(format!("{id:?} was confirmed and is lost"));
        }
    }

    pub fn finish(self) -> Seen {
        Seen {
            confirmed: self.confirmed.len(),
            violations: self.violations,
            story: self.story,
        }
    }

    pub fn is_violated(&self) -> bool {
        !self.violations.is_empty()
    }
}

/// What was seen of a whole run.
#[derive(PartialEq, Eq, Debug)]
pub struct Seen {
    pub confirmed: usize,
    pub violations: Vec<String>,
    pub story: Vec<String>,
}
