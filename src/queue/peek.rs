//! Messages looked at where they are: nothing is taken, marked or counted.

use std::collections::BinaryHeap;

use crate::types::{Message, Timestamp};

use super::Queue;
use super::entry::{Entry, LOST, NEVER, REDELIVERED};
use super::outstanding::Owner;
use super::sink::{Holder, Loc};

/// Which messages are looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Among {
    /// Those that wait for a consumer.
    Ready,
    /// Those that clients hold.
    Unacked,
}

/// A message as it stands in the queue.
#[derive(Debug)]
pub struct Seen {
    pub seq: u64,
    /// The message, where it is in memory; else the place that the store has it at.
    pub message: Result<Message, Loc>,
    /// Bytes of the body.
    pub bytes: u32,
    pub redelivered: bool,
    /// How often it was delivered and came back.
    pub returns: u32,
    /// When it came, a second earlier or later.
    pub arrived: Option<Timestamp>,
    /// When it expires, if ever.
    pub expires: Option<Timestamp>,
    /// Who holds it, and since when.
    pub held: Option<(Holder, Timestamp)>,
}

/// The client that has it; `None` once it is on its way to be dead-lettered.
fn holder(owner: Owner) -> Option<Holder> {
    match owner {
        Owner::Consumer(id) => Some(Holder::Consumer(id)),
        Owner::Get => Some(Holder::Get),
        Owner::Dying(_) => None,
    }
}

impl<C, P> Queue<C, P> {
    /// The messages from that number on, so many at most, in the order in which they came.
    pub fn peek(&self, among: Among, from: u64, most: usize) -> Vec<Seen> {
        match among {
            Among::Ready => {
                let entries = self.ready.from(from, most);
                let entries = entries.into_iter().filter(|entry| !entry.is(LOST));
                entries.map(|entry| self.seen(&entry, None)).collect()
            }
            Among::Unacked => {
                let with_clients = || {
                    let all = self.outstanding.iter().filter(|held| held.entry.seq >= from);
                    all.filter_map(|held| Some((held, holder(held.owner)?)))
                };
                // They are in no order: the lowest are kept.
                let mut lowest = BinaryHeap::new();
                for (held, _) in with_clients() {
                    lowest.push(held.entry.seq);
                    if lowest.len() > most {
                        lowest.pop();
                    }
                }
                let last = lowest.peek().copied().unwrap_or(0);
                let mut seen: Vec<_> = with_clients()
                    .filter(|(held, _)| held.entry.seq <= last)
                    .map(|(held, holder)| self.seen(&held.entry, Some((holder, held.since))))
                    .collect();
                seen.sort_by_key(|seen| seen.seq);
                seen
            }
        }
    }

    fn seen(&self, entry: &Entry, held: Option<(Holder, Timestamp)>) -> Seen {
        Seen {
            seq: entry.seq,
            message: entry.message.clone().ok_or(entry.loc),
            bytes: entry.len,
            redelivered: entry.is(REDELIVERED),
            returns: entry.count,
            arrived: self.arrival(entry.seq),
            expires: Some(entry.expires).filter(|expires| *expires != NEVER),
            held,
        }
    }
}
