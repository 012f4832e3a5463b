//! Any sequence of writes, losses, changes of leader, retention, snapshots and restarts: offsets without holes,
//! the same bytes for every reader, nothing of a producer twice, and nothing missing that was applied.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use proptest::prelude::*;

use crate::machine::{Covered, KeptPiece, Machine, Source};
use crate::stream::chunk::{self, Entry};
use crate::stream::leader::{Appended, Batch, Leader, Writer};
use crate::stream::log::{Applied, Log, Retention};
use crate::stream::offset::OffsetSpec;
use crate::stream::producers::Key;
use crate::types::{ByteSize, Millis, Timestamp};

/// The log of a group, as far as a machine sees it.
#[derive(Default)]
pub struct Entries(Mutex<BTreeMap<u64, Vec<Bytes>>>);

impl Source for Entries {
    fn entry(&self, index: u64) -> io::Result<Vec<Bytes>> {
        let found = self.0.lock().get(&index).cloned();
        found.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn piece(&self, _number: u64) -> io::Result<Bytes> {
        Err(io::Error::from(io::ErrorKind::NotFound))
    }
}

/// A stream with all around it.
pub struct World {
    pub entries: Arc<Entries>,
    pub log: Log,
    pub leader: Leader,
    retention: Retention,
    next_index: u64,
    pub now: Timestamp,
    term: u64,
    /// The last snapshot that is kept: what it covers, and the state there.
    snapshot: Option<(u64, Bytes)>,
}

impl World {
    pub fn new(retention: Retention) -> Self {
        let entries = Arc::<Entries>::default();
        let log = Log::over(entries.clone(), retention);
        Self {
            leader: Leader::of(&log, 1),
            entries,
            log,
            retention,
            next_index: 1,
            now: Timestamp(1_000),
            term: 1,
            snapshot: None,
        }
    }

    /// Messages of a producer, from its number `first` on.
    pub fn batch(&mut self, producer: Option<u64>, first: u64, messages: &[&[u8]]) -> Appended {
        let mut data = Vec::new();
        messages
            .iter()
            .for_each(|message| chunk::write_message(&mut data, message));
        let writer = producer.map(|id| Writer {
            key: Key::Id(id),
            epoch: 0,
            first,
            last: first + messages.len() as u64 - 1,
        });
        let batch = Batch {
            writer: writer.as_ref(),
            count: chunk::count(&data).expect("just written"),
            filter: &[],
            data: &data,
        };
        self.leader.append(self.now, &batch)
    }

    /// A majority has these records, in one entry.
    pub fn commit(&mut self, records: Vec<Bytes>) -> Vec<Applied> {
        let index = self.next_index;
        self.next_index += 1;
        self.entries.0.lock().insert(index, records.clone());
        let apply = |record: Bytes| {
            Log::check(&record).expect("a record that can be read");
            self.log.apply(index, record).expect("applied")
        };
        records.into_iter().map(apply).collect()
    }

    /// The log is cut where the machine says.
    pub fn reclaim(&mut self) {
        if !self.log.worth_a_snapshot() {
            return;
        }
        let Covered::UpTo(Some(covered)) = self.log.covered() else {
            panic!("it is worth one");
        };
        let parts: Vec<_> = self.log.snapshot().collect::<Result<_, _>>().expect("in memory");
        let (first, last) = Log::covers(&parts[0]).expect("a piece of a stream");
        self.log.kept(&[KeptPiece { number: 1, first, last }]);
        self.entries.0.lock().retain(|index, _| *index > covered);
        self.snapshot = Some((covered, parts[0].clone()));
        assert!(!self.log.worth_a_snapshot());
    }

    /// A member that begins with the snapshot, and gets what is in the log.
    pub fn another(&self) -> Log {
        let mut log = Log::over(self.entries.clone(), self.retention);
        if let Some((_, state)) = &self.snapshot {
            log.restore(Box::new(std::iter::once(Ok(state.clone()))))
                .expect("of this program");
        }
        let from = self.snapshot.as_ref().map_or(0, |(covered, _)| covered + 1);
        let kept: Vec<_> = self
            .entries
            .0
            .lock()
            .range(from..)
            .map(|(index, records)| (*index, records.clone()))
            .collect();
        for (index, records) in kept {
            for record in records {
                log.apply(index, record).expect("applied before");
            }
        }
        log
    }

    /// Another leads, and knows what is applied.
    pub fn elect(&mut self) {
        self.term += 1;
        self.leader = Leader::of(&self.log, self.term);
    }
}

/// What a reader gets that begins there.
pub fn read(log: &Log, from: u64) -> Vec<(u64, Bytes)> {
    let mut messages = Vec::new();
    let mut next = from.max(log.bounds().first);
    while let Some(reader) = log.read_from(next, 1) {
        for piece in reader.read().expect("kept") {
            for entry in piece.chunk.entries() {
                let (offset, entry) = entry.expect("whole");
                let Entry::Message(message) = entry else {
                    panic!("no batches here")
                };
                if offset >= next {
                    messages.push((offset, message));
                }
            }
            next = piece.chunk.end();
        }
    }
    messages
}

/// A record on its way, its messages, and the producer and the first number of it.
type Flying = (Bytes, Vec<Bytes>, Option<(u64, u64)>);

#[derive(Clone, Debug)]
enum Step {
    /// A producer sends its next messages, or again what it sent last.
    Send {
        producer: u64,
        messages: u8,
        again: bool,
    },
    Anonymous {
        messages: u8,
    },
    /// What was appended is committed, so many records to an entry.
    Commit {
        together: u8,
    },
    /// What was appended and is not committed is lost with its leader.
    Elect,
    Wait {
        ms: u16,
    },
    Retain,
    Reclaim,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u64..3, 1u8..5, any::<bool>()).prop_map(|(producer, messages, again)| Step::Send { producer, messages, again }),
        2 => (1u8..4).prop_map(|messages| Step::Anonymous { messages }),
        4 => (1u8..4).prop_map(|together| Step::Commit { together }),
        1 => Just(Step::Elect),
        1 => (0u16..400).prop_map(|ms| Step::Wait { ms }),
        1 => Just(Step::Retain),
        1 => Just(Step::Reclaim),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #[test]
    fn a_stream_is_what_was_written_to_it(
        steps in proptest::collection::vec(step(), 1..60),
        segment in 1u64..600,
        most in proptest::option::of(200u64..2_000),
        age in proptest::option::of(100u64..2_000),
    ) {
        let retention = Retention {
            max_age: age.map(Millis),
            max_bytes: most.map(ByteSize),
            segment: Some(ByteSize(segment)),
        };
        let mut world = World::new(retention);
        let mut model: Vec<Bytes> = Vec::new();
        // What is on its way: the record, and its messages.
        let mut flying: Vec<Flying> = Vec::new();
        // The last batch of each producer: its first number, and its messages; the same of what is committed.
        let mut last: BTreeMap<u64, (u64, Vec<Bytes>)> = BTreeMap::new();
        let mut committed = last.clone();
        let mut count = 0u32;
        for step in steps {
            match step {
                Step::Send { producer, messages, again } => {
                    let known = last.get(&producer).cloned();
                    let (first, bodies) = match (&known, again) {
                        (Some(known), true) => known.clone(),
                        (known, _) => {
                            let first = known.as_ref().map_or(1, |(first, bodies)| first + bodies.len() as u64);
                            count += 1;
                            let bodies = (0..messages).map(|n| Bytes::from(format!("{count}.{n}"))).collect();
                            (first, bodies)
                        }
                    };
                    let refs: Vec<&[u8]> = bodies.iter().map(|body| &body[..]).collect();
                    let is_new = known.as_ref().is_none_or(|(known, _)| *known != first);
                    match world.batch(Some(producer), first, &refs) {
                        Appended::Record { record, .. } => {
                            flying.push((record, bodies.clone(), Some((producer, first))));
                            last.insert(producer, (first, bodies));
                        }
                        Appended::Known { .. } => prop_assert!(!is_new),
                        other => prop_assert!(false, "{other:?}: what is lost is sent again, in order"),
                    }
                }
                Step::Anonymous { messages } => {
                    count += 1;
                    let bodies: Vec<_> = (0..messages).map(|n| Bytes::from(format!("{count}.{n}"))).collect();
                    let refs: Vec<&[u8]> = bodies.iter().map(|body| &body[..]).collect();
                    let Appended::Record { record, .. } = world.batch(None, 0, &refs) else { panic!("nothing to refuse") };
                    flying.push((record, bodies, None));
                }
                Step::Commit { together } => {
                    let taken: Vec<_> = flying.drain(..flying.len().min(together.into())).collect();
                    if !taken.is_empty() {
                        let applied = world.commit(taken.iter().map(|(record, ..)| record.clone()).collect());
                        prop_assert!(applied.iter().all(|one| *one != Applied::Refused));
                        for (_, bodies, by) in taken {
                            if let Some((producer, first)) = by {
                                committed.insert(producer, (first, bodies.clone()));
                            }
                            model.extend(bodies);
                        }
                    }
                }
                Step::Elect => {
                    flying.clear();
                    last = committed.clone();
                    world.elect();
                }
                Step::Wait { ms } => world.now = Timestamp(world.now.0 + u64::from(ms)),
                Step::Retain => {
                    let now = world.now;
                    world.log.retain(now);
                }
                Step::Reclaim => world.reclaim(),
                Step::Restart => {
                    world.log = world.another();
                    flying.clear();
                    last = committed.clone();
                    world.elect();
                }
            }
            let bounds = world.log.bounds();
            prop_assert_eq!(bounds.next, model.len() as u64);
            prop_assert!(bounds.first <= bounds.next);
            let read = read(&world.log, 0);
            let expected: Vec<_> = (bounds.first..bounds.next).map(|offset| (offset, model[offset as usize].clone())).collect();
            prop_assert_eq!(read, expected);
        }
        let other = world.another();
        prop_assert_eq!(other.bounds().next, world.log.bounds().next);
        prop_assert_eq!(other.producers(), world.log.producers());
        prop_assert_eq!(other.resolve(OffsetSpec::Next), model.len() as u64);
    }

    #[test]
    fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let bytes = Bytes::from(bytes);
        // All that is asked is that nothing panics.
        let _ = Log::check(&bytes);
        let _ = chunk::count(&bytes);
        if let Ok(chunk) = chunk::Chunk::parse(bytes.clone()) {
            chunk.entries().for_each(drop);
        }
        chunk::Entries::of_batch(bytes, 0).for_each(drop);
    }
}
