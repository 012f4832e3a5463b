//! What clients see, and what must be true of it.

use std::collections::{BTreeMap, BTreeSet};

use super::clients::Tx;
use crate::queue::Outcome;
use crate::types::NodeId;

/// A message, by its publisher and the publisher's number.
pub type Id = (u64, u64);

/// A consumer, alone in the cluster.
pub type Key = u64;

#[derive(Default)]
pub struct Checker {
    sent: BTreeMap<u64, u64>,
    confirmed: BTreeSet<Id>,
    refused: BTreeSet<Id>,
    has_lost: bool,
    unflagged: BTreeSet<Id>,
    /// How often leaders gave it to somebody.
    given: BTreeMap<Id, u32>,
    last_fresh: BTreeMap<(u64, Key), u64>,
    /// Clients have said that they are done with it,
    ended: BTreeSet<Id>,
    /// and this is committed.
    settled: BTreeSet<Id>,
    /// Those that are not complete: at which node, and how many answers are missing.
    transactions: BTreeMap<Tx, (NodeId, usize)>,
    /// Discarded messages are not done with before a target has them.
    keeps_dead_letters: bool,
    /// The story is told as it happens.
    is_loud: bool,
    violations: Vec<String>,
    /// Everything that clients saw, in order.
    story: Vec<String>,
}

impl Checker {
    /// Of a queue that keeps dead letters until their target has them, or does not.
    pub fn new(keeps_dead_letters: bool, is_loud: bool) -> Self {
        Self {
            keeps_dead_letters,
            is_loud,
            ..Self::default()
        }
    }

    pub fn tell(&mut self, what: String) {
        if self.is_loud {
            println!("{what}");
        }
        self.story.push(what);
    }

    pub fn violated(&mut self, what: String) {
        self.tell(format!("VIOLATION {what}"));
        self.violations.push(what);
    }

    pub fn sent(&mut self, (publisher, number): Id) {
        self.tell(format!("{publisher}-{number} is sent"));
        self.sent.insert(publisher, number);
    }

    /// Records of a leader were not committed.
    pub fn records_lost(&mut self) {
        self.has_lost = true;
    }

    /// The queue says that it has not taken a message: only where records were lost may it be unable to
    /// tell, when it is said again.
    pub fn refused(&mut self, id: Id) {
        self.tell(format!("{id:?} is refused"));
        if !self.has_lost {
            self.violated(format!("{id:?} is refused, and nothing was lost"));
        }
        self.refused.insert(id);
    }

    pub fn confirmed(&mut self, id: Id) {
        self.tell(format!("{id:?} is confirmed"));
        if self.refused.contains(&id) || !self.confirmed.insert(id) {
            self.violated(format!("{id:?} is confirmed twice"));
        }
    }

    /// A leader gives a message to a consumer, or, with key 0, to whoever fetches it. It may come much
    /// later, when others have settled it: to a node that was paused. The leader says how often it has
    /// come back, and nobody has to settle it if it `is_gone`.
    pub fn given(&mut self, to: Key, id: Id, count: u32, is_gone: bool) {
        let given = self.given.entry(id).or_default();
        let before = *given;
        *given += 1;
        if count > before {
            self.violated(format!("{id:?} was given {before} times and came back {count} times"));
        }
        if self.settled.contains(&id) {
            self.violated(format!("{id:?} was settled and is given to {to}"));
        }
        if is_gone {
            self.ended.insert(id);
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
        if to == 0 {
            // Whoever fetches is many.
            return;
        }
        let last = self.last_fresh.entry((publisher, to)).or_default();
        let before = std::mem::replace(last, number);
        if number <= before {
            self.violated(format!("{id:?} comes to {to} after {before}"));
        }
    }

    /// A client says this of a message that is its own.
    pub fn said(&mut self, id: Id, outcome: Outcome) {
        self.tell(format!("{id:?}: {outcome:?}"));
        match outcome {
            Outcome::Accept => self.ended.insert(id),
            Outcome::Discard if !self.keeps_dead_letters => self.ended.insert(id),
            Outcome::Discard | Outcome::Requeue => false,
        };
    }

    /// It is recorded that a message was purged.
    pub fn purged(&mut self, id: Id) {
        self.tell(format!("{id:?} is purged"));
        self.ended.insert(id);
    }

    /// A target has the dead letter.
    pub fn dead_letter(&mut self, id: Id) {
        self.tell(format!("{id:?} is dead-lettered"));
        self.ended.insert(id);
    }

    /// It is committed that the message is gone.
    pub fn kept(&mut self, id: Id) {
        self.tell(format!("{id:?} is gone for good"));
        if !self.ended.contains(&id) {
            self.violated(format!("{id:?} is gone, and nobody was done with it"));
        }
        self.settled.insert(id);
    }

    /// One more answer completes the transaction.
    pub fn tx_waits(&mut self, tx: Tx, node: NodeId) {
        self.transactions.entry(tx).or_insert((node, 0)).1 += 1;
    }

    /// One of the answers to a transaction came.
    pub fn tx_answered(&mut self, tx: Tx) {
        let left = self.transactions.get_mut(&tx).map(|(_, left)| {
            *left -= 1;
            *left
        });
        match left {
            Some(0) => {
                self.tell(format!("transaction {tx} is complete"));
                self.transactions.remove(&tx);
            }
            Some(_) => {}
            None => self.violated(format!("transaction {tx} is answered too often")),
        }
    }

    /// Transactions that are not complete.
    pub fn open_transactions(&self) -> usize {
        self.transactions.len()
    }

    /// A node's process is gone, and its clients' connections with it.
    pub fn crashed(&mut self, node: NodeId) {
        self.tell(format!("node {node:?} crashes"));
        self.transactions.retain(|_, (of, _)| *of != node);
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
