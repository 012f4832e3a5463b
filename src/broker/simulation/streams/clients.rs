//! Publishers, which write through whoever leads until they hear that they have, and readers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::Rng;
use tokio::sync::oneshot;

use super::super::net::chance;
use super::checker::Id;
use super::{Broken, NODES, Sim};
use crate::broker::queue::stream::direct::{Entries, EntryAt};
use crate::journal::raft::Group;
use crate::stream::chunk::{self, Count, Entry};
use crate::stream::cursors::Cursor;
use crate::stream::producers::Key;
use crate::stream::{Appended, Applied, Batch, Leader, Log, OffsetSpec, Piece, Writer};
use crate::types::{NodeId, Timestamp};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// Batches that a publisher has unanswered.
const WINDOW: usize = 3;

#[derive(Clone, Copy, Debug)]
pub enum Publisher {
    /// Its entries are looked at one by one.
    Name(&'static str),
    /// Its batches are taken as a whole, the next and no other.
    Id(u64),
}

/// As long as a node leads.
pub struct Leading {
    pub leader: Leader,
    /// Something that was decided was not applied.
    pub is_lost: Arc<AtomicBool>,
}

/// Numbers of messages, from the first to the last.
type Numbers = (u64, u64);

/// The messages of a chunk.
pub fn messages(piece: &Piece) -> Vec<(u64, Id)> {
    let read = |entry: Result<(u64, Entry), _>| match entry {
        Ok((offset, Entry::Message(body))) => {
            let text = std::str::from_utf8(&body).expect("as it was made");
            let (publisher, number) = text.split_once('-').expect("as it was made");
            let number = number.trim_end_matches('.').parse().expect("a number");
            (offset, (publisher.to_owned(), number))
        }
        other => panic!("{other:?} was not published"),
    };
    piece.chunk.entries().map(read).collect()
}

impl Publisher {
    fn name(self) -> String {
        match self {
            Self::Name(name) => name.to_owned(),
            Self::Id(id) => id.to_string(),
        }
    }

    fn entries(self, (first, last): Numbers) -> Entries {
        let mut entries = Entries::default();
        for number in first..=last {
            let body = format!("{}-{number}{}", self.name(), ".".repeat((number % 7) as usize * 10));
            chunk::write_message(&mut entries.data, body.as_bytes());
            entries.entries.push(EntryAt {
                number,
                messages: 1,
                end: entries.data.len(),
            });
        }
        entries
    }

    fn decide(self, leader: &mut Leader, now: Timestamp, numbers: Numbers) -> Appended {
        let entries = self.entries(numbers);
        let id = match self {
            Self::Name(name) => {
                let key = Key::Name(name.into());
                return entries.decide(leader, now, Some((&key, 0)), 16);
            }
            Self::Id(id) => id,
        };
        let writer = Writer {
            key: Key::Id(id),
            epoch: 0,
            first: numbers.0,
            last: numbers.1,
        };
        let count = entries.entries.len();
        let count = Count {
            entries: count as u16,
            records: count as u32,
        };
        let batch = Batch {
            writer: Some(&writer),
            count,
            filter: &[],
            data: &entries.data,
        };
        leader.append(now, &batch)
    }
}

impl Sim {
    /// A publisher until the end: what is unanswered is sent again, in order.
    pub async fn publish(self, publisher: Publisher) {
        let key = match publisher {
            Publisher::Name(name) => u64::from(name.as_bytes()[0]),
            Publisher::Id(id) => id,
        };
        let name = publisher.name();
        let mut unanswered: VecDeque<Numbers> = VecDeque::new();
        let mut next = 1;
        for turn in 0.. {
            let mut random = chance(self.seed(), [key, turn, 0, 11]);
            tokio::time::sleep(Duration::from_millis(random.random_range(2..80))).await;
            let is_ending = self.world().is_ending;
            while !is_ending && unanswered.len() < WINDOW && random.random_range(0..3) > 0 {
                let last = next + random.random_range(0..5);
                unanswered.push_back((next, last));
                next = last + 1;
                let mut world = self.world();
                (unanswered.back().map_or(next, |it| it.0)..next).for_each(|number| world.checker.sent(&name, number));
            }
            if unanswered.is_empty() {
                continue;
            }
            self.world().waiting += 1;
            let node = self.whom_to_write(random.random_range(0..NODES));
            let told: Vec<_> = unanswered
                .iter()
                .map(|numbers| self.write(node, publisher, *numbers))
                .collect();
            for told in told {
                let is_written = tokio::time::timeout(PATIENCE, told).await;
                if !matches!(is_written, Ok(Ok(true))) {
                    break;
                }
                let Some((first, last)) = unanswered.pop_front() else {
                    break;
                };
                let mut world = self.world();
                (first..=last).for_each(|number| world.checker.confirmed(&name, number));
            }
            let is_done = unanswered.is_empty();
            self.world().waiting -= 1;
            if is_ending && is_done {
                return;
            }
            if is_ending {
                // It counts as waiting until the next try.
                self.world().waiting += 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
                self.world().waiting -= 1;
            }
        }
    }

    /// A node that takes itself for the leader; one of them after another.
    fn whom_to_write(&self, from: u64) -> NodeId {
        let mut world = self.world();
        let nodes = (0..NODES).map(|at| NodeId((from + at) % NODES + 1));
        let mut leads = nodes.filter(|node| {
            let running = world.node(*node).running.as_ref();
            running.is_some_and(|running| running.leading.is_some())
        });
        leads.next().unwrap_or(NodeId(from + 1))
    }

    fn write(&self, node: NodeId, publisher: Publisher, numbers: Numbers) -> oneshot::Receiver<bool> {
        self.decide(node, |leader, now| publisher.decide(leader, now, numbers))
    }

    /// Has a node decide where it leads, and tells when that is applied there.
    fn decide(&self, node: NodeId, decide: impl FnOnce(&mut Leader, Timestamp) -> Appended) -> oneshot::Receiver<bool> {
        let (tell, told) = oneshot::channel();
        let mut world = self.world();
        let now = world.now();
        let Some(running) = &mut world.node(node).running else {
            return told;
        };
        let leading = running.leading.as_mut();
        let Some(leading) = leading.filter(|leading| !leading.is_lost.load(Ordering::Acquire)) else {
            return told;
        };
        let is_lost = leading.is_lost.clone();
        match decide(&mut leading.leader, now) {
            Appended::Record { record, .. } => {
                let look = running.look.clone();
                let term = leading.leader.term();
                running.group.submit_in(term, record, move |result| {
                    let is_applied = result.is_ok_and(|applied| matches!(applied.output, Applied::Next(_)));
                    if !is_applied {
                        is_lost.store(true, Ordering::Release);
                        look.notify_one();
                    }
                    // Whoever does not wait any more need not know.
                    let _ = tell.send(is_applied);
                });
            }
            Appended::Known { end } => {
                tokio::spawn(tell_when_there(running.group.clone(), end, is_lost, tell));
            }
            Appended::Gap { .. } | Appended::Fenced => {}
        }
        told
    }

    /// A reader says where it is; nobody waits for that.
    pub fn store_cursor(&self, node: NodeId, offset: u64) {
        let cursor = Cursor {
            offset,
            ..Cursor::default()
        };
        drop(self.decide(node, |leader, _| leader.cursor("reader", Some(&cursor))));
    }

    /// A reader until the end: at one node after another, from where it is or from somewhere else.
    pub async fn read(self, reader: u64) {
        let mut next = 0;
        for turn in 0.. {
            let mut random = chance(self.seed(), [reader, turn, 0, 12]);
            tokio::time::sleep(Duration::from_millis(random.random_range(5..60))).await;
            if self.world().checker.is_violated() {
                return;
            }
            let node = NodeId((reader + random.random_range(0..4) / 3) % NODES + 1);
            let Some(group) = self.group(node) else { continue };
            let now = self.world().now();
            let (first, asked) = {
                let log = group.machine();
                let spec = match random.random_range(0..20) {
                    0 => OffsetSpec::First,
                    1 => OffsetSpec::Last,
                    2 => OffsetSpec::Offset(random.random_range(0..=log.next())),
                    3 => OffsetSpec::Time(Timestamp(now.0.saturating_sub(random.random_range(0..1000)))),
                    // A member may not have come as far as another.
                    _ => OffsetSpec::Offset(next),
                };
                next = log.resolve(spec);
                (log.bounds().first, log.read_from(next, random.random_range(1..1_500)))
            };
            let Some(asked) = asked else { continue };
            match asked.read() {
                Ok(pieces) => next = self.world().checker.read(next, first, &pieces),
                // What it asked for was dropped meanwhile.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    let what = format!("{node} cannot read {next}: {error}");
                    self.world().checker.violated(what);
                }
            }
        }
    }

    /// A node leads, and has all that is committed.
    pub fn lead(&self, us: NodeId, term: u64) {
        let mut world = self.world();
        world.checker.tell(format!("{us} leads in term {term}"));
        if let Some(running) = &mut world.node(us).running {
            let mut leader = Leader::of(&running.group.machine(), term);
            if self.0.broken == Some(Broken::Producers) {
                leader.forget_producers();
            }
            running.leading = Some(Leading {
                leader,
                is_lost: Arc::default(),
            });
        }
    }

    /// A node does not lead, or not any more.
    pub fn step_down(&self, us: NodeId) {
        if let Some(running) = &mut self.world().node(us).running {
            running.leading = None;
        }
    }
}

/// What was appended before is committed with what is on its way, or not at all.
async fn tell_when_there(group: Group<Log>, end: u64, is_lost: Arc<AtomicBool>, tell: oneshot::Sender<bool>) {
    while !tell.is_closed() {
        let is_there = group.machine().next() >= end;
        if is_there || is_lost.load(Ordering::Acquire) {
            // Whoever does not wait any more need not know.
            let _ = tell.send(is_there && !is_lost.load(Ordering::Acquire));
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
