//! What is easier told than drawn by chance.

use bytes::Bytes;

use super::model::{World, read};
use crate::machine::{Covered, Machine};
use crate::stream::chunk::{self, Chunk, Entry};
use crate::stream::cursors::Cursor;
use crate::stream::leader::{Appended, Batch, Writer};
use crate::stream::log::{Applied, Retention};
use crate::stream::offset::OffsetSpec;
use crate::stream::producers::Key;
use crate::stream::record;
use crate::types::{ByteSize, Millis, Timestamp};

fn publish(world: &mut World, messages: &[&[u8]]) -> Bytes {
    let Appended::Record { record, .. } = world.batch(None, 0, messages) else {
        panic!("nothing to refuse");
    };
    assert_ne!(world.commit(vec![record.clone()]), [Applied::Refused]);
    record
}

#[test]
fn a_chunk_is_what_port_5552_says() {
    let mut world = World::new(Retention::default());
    publish(&mut world, &[b"before"]);
    let record = publish(&mut world, &[b"ab", b""]);
    let data = b"\0\0\0\x02ab\0\0\0\0";
    let chunk = &record[record.len() - chunk::HEADER - data.len()..];
    let mut expected = vec![0x50, 0, 0, 2, 0, 0, 0, 2];
    expected.extend_from_slice(&1_000u64.to_be_bytes());
    expected.extend_from_slice(&1u64.to_be_bytes());
    expected.extend_from_slice(&1u64.to_be_bytes());
    // Of zlib's CRC-32, from another program.
    expected.extend_from_slice(&0x544f_818d_u32.to_be_bytes());
    expected.extend_from_slice(&10u32.to_be_bytes());
    expected.extend_from_slice(&[0; 8]);
    expected.extend_from_slice(data);
    assert_eq!(chunk, expected);
    let mut damaged = expected.clone();
    *damaged.last_mut().expect("not empty") = 1;
    assert_eq!(Chunk::check(damaged.into()), Err(chunk::BadChunk::Checksum));
    assert!(Chunk::check(expected.into()).is_ok());
}

#[test]
fn a_batch_takes_as_many_offsets_as_it_says_and_stays_as_it_came() {
    let mut data = Vec::new();
    chunk::write_message(&mut data, b"one");
    data.extend_from_slice(&[0b1001_0000, 0, 7, 0, 0, 0, 99, 0, 0, 0, 2, 0xca, 0xfe]);
    chunk::write_message(&mut data, b"last");
    let count = chunk::count(&data).expect("whole");
    assert_eq!((count.entries, count.records), (3, 9));
    let mut bytes = Vec::new();
    let place = chunk::Place {
        first: 100,
        at: Timestamp(1),
        epoch: 1,
    };
    chunk::write(&mut bytes, place, count, &data);
    let chunk = Chunk::check(bytes.into()).expect("just written");
    let entries: Vec<_> = chunk.entries().map(|entry| entry.expect("whole")).collect();
    let batch = Entry::Batch {
        compression: 1,
        records: 7,
        data: Bytes::from_static(&[0xca, 0xfe]),
    };
    assert_eq!(
        entries,
        [
            (100, Entry::Message(Bytes::from_static(b"one"))),
            (101, batch),
            (108, Entry::Message(Bytes::from_static(b"last"))),
        ]
    );
    assert_eq!(chunk.end(), 109);
}

#[test]
fn an_entry_that_reaches_beyond_its_chunk_is_refused() {
    let short_batch: &[u8] = &[0x80, 0, 1];
    let long_message: &[u8] = &[0, 0, 0, 9, 1];
    for data in [short_batch, long_message] {
        assert_eq!(chunk::count(data), Err(chunk::BadChunk::Entry));
    }
}

#[test]
fn readers_begin_where_they_say() {
    let retention = Retention {
        segment: Some(ByteSize(1)),
        ..Retention::default()
    };
    let mut world = World::new(retention);
    assert_eq!(world.log.resolve(OffsetSpec::Last), 0, "an empty one: what comes");
    for at in [10, 20, 30] {
        world.now = Timestamp(at);
        publish(&mut world, &[b"a", b"b"]);
    }
    let log = &world.log;
    let resolved = [
        OffsetSpec::First,
        OffsetSpec::Last,
        OffsetSpec::Next,
        OffsetSpec::Offset(3),
        OffsetSpec::Offset(99),
        OffsetSpec::Time(Timestamp(11)),
        OffsetSpec::Time(Timestamp(31)),
    ]
    .map(|spec| log.resolve(spec));
    assert_eq!(resolved, [0, 4, 6, 3, 99, 2, 6]);
    let reader = log.read_time(Timestamp(11)).expect("there is one");
    assert_eq!(reader.first_at(Timestamp(11)).expect("kept"), Some(2));
    assert_eq!(read(log, 3).len(), 3);
    assert!(log.read_from(99, 1).is_none());
}

#[test]
fn what_is_too_old_goes_by_segments_and_the_newest_too() {
    let retention = Retention {
        max_age: Some(Millis(50)),
        segment: Some(ByteSize(1)),
        ..Retention::default()
    };
    let mut world = World::new(retention);
    for at in [10, 20, 100] {
        world.now = Timestamp(at);
        publish(&mut world, &[b"a"]);
    }
    assert!(!world.log.retain(Timestamp(60)));
    assert!(world.log.retain(Timestamp(71)));
    assert_eq!((world.log.bounds().first, world.log.bounds().segments), (2, 1));
    assert!(world.log.retain(Timestamp(151)));
    let bounds = world.log.bounds();
    assert_eq!((bounds.first, bounds.next, bounds.last_chunk), (3, 3, None));
    world.reclaim();
    publish(&mut world, &[b"b"]);
    assert_eq!(world.log.bounds().last_chunk, Some(3));
    assert_eq!(read(&world.another(), 0), [(3, Bytes::from_static(b"b"))]);
}

#[test]
fn by_length_whole_segments_go_and_the_newest_stays() {
    let retention = Retention {
        max_bytes: Some(ByteSize(0)),
        segment: Some(ByteSize(1)),
        ..Retention::default()
    };
    let mut world = World::new(retention);
    publish(&mut world, &[b"a"]);
    assert!(!world.log.retain(Timestamp(9_999)));
    publish(&mut world, &[b"b"]);
    assert!(world.log.retain(Timestamp(9_999)));
    assert_eq!(world.log.bounds().first, 1);
    assert!(world.log.worth_a_snapshot());
    assert_eq!(world.log.covered(), Covered::UpTo(Some(1)));
}

#[test]
fn the_snapshot_of_a_segments_head_knows_what_was_known_there() {
    let retention = Retention {
        max_bytes: Some(ByteSize(0)),
        segment: Some(ByteSize(1)),
        ..Retention::default()
    };
    let mut world = World::new(retention);
    let cursor = Cursor {
        offset: 7,
        ..Cursor::default()
    };
    world.commit(vec![record::cursor("reader", Some(&cursor))]);
    for number in 1..4 {
        let Appended::Record { record, .. } = world.batch(Some(9), number, &[b"m"]) else {
            panic!("the next one");
        };
        world.commit(vec![record]);
    }
    world.log.retain(Timestamp(0));
    world.reclaim();
    let other = world.another();
    assert_eq!(other.cursors().get("reader"), Some(&cursor));
    assert_eq!(other.producers(), world.log.producers());
    assert_eq!(
        other
            .producers()
            .get(&Key::Id(9))
            .map(|one| (one.last(), one.recent().count())),
        Some((3, 3))
    );
    world.commit(vec![record::cursor("reader", None)]);
    assert_eq!(world.another().cursors().get("reader"), None);
}

#[test]
fn a_name_may_leave_numbers_out_and_a_newer_connection_fences_the_one_before() {
    let mut world = World::new(Retention::default());
    let mut append = |epoch, first, last| {
        let writer = Writer {
            key: Key::Name("p".into()),
            epoch,
            first,
            last,
        };
        let batch = Batch {
            writer: Some(&writer),
            count: chunk::Count { entries: 1, records: 1 },
            filter: &[],
            data: b"\0\0\0\0",
        };
        world.leader.append(Timestamp(1), &batch)
    };
    assert!(matches!(append(1, 0, 0), Appended::Record { .. }), "0 is a number");
    assert!(matches!(append(1, 5, 5), Appended::Record { .. }));
    assert_eq!(append(1, 5, 5), Appended::Known { end: 2 });
    assert!(matches!(append(2, 6, 6), Appended::Record { .. }));
    assert_eq!(append(1, 7, 7), Appended::Fenced);
}

#[test]
fn of_a_publishers_numbers_those_are_new_that_are_above_all_before() {
    let mut world = World::new(Retention::default());
    let key = Key::Id(1);
    assert_eq!(
        world.leader.new_ones(&key, [0, 0, 5, 3, 6]),
        [true, false, true, false, true]
    );
    assert!(matches!(
        world.batch(Some(1), 4, &[b"a", b"b"]),
        Appended::Record { .. }
    ));
    assert_eq!(world.leader.last_of(&key), Some(5));
    assert_eq!(world.leader.new_ones(&key, [5, 6, 6, 9]), [false, true, false, true]);
}

#[test]
fn a_number_must_follow_the_one_before() {
    let mut world = World::new(Retention::default());
    assert!(
        matches!(world.batch(Some(1), 7, &[b"a"]), Appended::Record { .. }),
        "it is new"
    );
    assert_eq!(world.batch(Some(1), 9, &[b"c"]), Appended::Gap { expected: 8 });
    assert_eq!(world.batch(Some(1), 7, &[b"a"]), Appended::Known { end: 1 });
    assert!(matches!(world.batch(Some(1), 8, &[b"b"]), Appended::Record { .. }));
}

#[test]
fn a_chunk_that_does_not_follow_is_dropped_by_all() {
    let mut world = World::new(Retention::default());
    let record = publish(&mut world, &[b"a"]);
    assert_eq!(world.commit(vec![record]), [Applied::Refused]);
    assert_eq!(world.log.bounds().next, 1);
}

#[test]
fn records_of_queues_and_streams_never_pass_for_each_other() {
    use crate::queue::ledger::Ledger;
    let mut world = World::new(Retention::default());
    let record = publish(&mut world, &[b"a"]);
    assert!(Ledger::check(&record).is_err());
    assert!(crate::stream::Log::check(&[1, 1]).is_err());
}
