//! What is written reads the same, and nothing that comes can do harm.

use proptest::collection::vec;
use proptest::prelude::*;

use super::entries::EntryBody;
use super::request::{CreateSuperStream, StartAt, Subscribe, Tune};
use super::wire::{Reader, Write};
use super::*;

/// Takes the one frame that `bytes` are.
fn whole(bytes: &[u8]) -> Frame<'_> {
    let (frame, consumed) = frame::parse(bytes, u32::MAX)
        .expect("a frame of ours")
        .expect("the whole frame");
    assert_eq!(consumed, bytes.len());
    frame
}

fn encoded(command: &Command<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    command.encode(&mut out);
    out
}

fn strings_of(strings: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    out.strings(strings.iter().map(Vec::as_slice));
    out
}

fn map_of(map: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    out.map(map.iter().map(|(key, value)| (key.as_slice(), value.as_slice())));
    out
}

fn start() -> impl Strategy<Value = StartAt> {
    prop_oneof![
        Just(StartAt::First),
        Just(StartAt::Last),
        Just(StartAt::Next),
        any::<u64>().prop_map(StartAt::Offset),
        any::<i64>().prop_map(StartAt::Timestamp),
    ]
}

/// What the commands of a round trip are made of.
#[derive(Debug, Clone)]
struct Parts {
    correlation: u32,
    id: u8,
    number: u64,
    one: Vec<u8>,
    two: Vec<u8>,
    strings: Vec<u8>,
    more_strings: Vec<u8>,
    map: Vec<u8>,
    start: StartAt,
}

prop_compose! {
    fn parts()(
        correlation in any::<u32>(),
        id in any::<u8>(),
        number in any::<u64>(),
        one in vec(any::<u8>(), 0..40),
        two in vec(any::<u8>(), 0..40),
        strings in vec(vec(any::<u8>(), 0..20), 0..6),
        more_strings in vec(vec(any::<u8>(), 0..20), 0..6),
        map in vec((vec(any::<u8>(), 0..20), vec(any::<u8>(), 0..20)), 0..6),
        start in start(),
    ) -> Parts {
        let (strings, more_strings) = (strings_of(&strings), strings_of(&more_strings));
        Parts { correlation, id, number, one, two, strings, more_strings, map: map_of(&map), start }
    }
}

impl Parts {
    /// One command of every kind that is not a publish.
    fn commands(&self) -> Vec<Command<'_>> {
        let (one, two) = (self.one.as_slice(), self.two.as_slice());
        let strings = Reader::new(&self.strings).strings().expect("strings of ours");
        let more_strings = Reader::new(&self.more_strings).strings().expect("strings of ours");
        let map = Reader::new(&self.map).map().expect("a map of ours");
        let requests = [
            Request::DeclarePublisher {
                publisher: self.id,
                reference: one,
                stream: two,
            },
            Request::QueryPublisherSequence {
                reference: one,
                stream: two,
            },
            Request::DeletePublisher { publisher: self.id },
            Request::Subscribe(Subscribe {
                subscription: self.id,
                stream: one,
                start: self.start,
                credit: self.number as u16,
                properties: map,
            }),
            Request::QueryOffset {
                reference: one,
                stream: two,
            },
            Request::Unsubscribe { subscription: self.id },
            Request::Create {
                stream: one,
                arguments: map,
            },
            Request::Delete { stream: one },
            Request::Metadata { streams: strings },
            Request::PeerProperties { properties: map },
            Request::SaslHandshake,
            Request::SaslAuthenticate {
                mechanism: one,
                data: (!two.is_empty()).then_some(two),
            },
            Request::Open { vhost: one },
            Request::Close {
                code: self.number as u16,
                reason: one,
            },
            Request::Route {
                key: one,
                super_stream: two,
            },
            Request::Partitions { super_stream: one },
            Request::StreamStats { stream: one },
            Request::CreateSuperStream(CreateSuperStream {
                name: one,
                partitions: strings,
                binding_keys: more_strings,
                arguments: map,
            }),
            Request::DeleteSuperStream { name: one },
        ];
        let asked = requests.map(|request| Command::Ask {
            correlation: self.correlation,
            request,
        });
        let others = [
            Command::Credit {
                subscription: self.id,
                credit: self.number as i16,
            },
            Command::StoreOffset {
                reference: one,
                stream: two,
                offset: self.number,
            },
            Command::Tune(Tune {
                frame_max: self.correlation,
                heartbeat: self.number as u32,
            }),
            Command::Heartbeat,
            Command::ConsumerUpdated {
                correlation: self.correlation,
                code: self.number as u16,
                start: Some(self.start),
            },
            Command::Closed,
        ];
        asked.into_iter().chain(others).collect()
    }
}

/// An entry to be published: id, filter value, a batch's compression and count, bytes.
type Published = (u64, Option<Vec<u8>>, Option<(u8, u16)>, Vec<u8>);

fn published() -> impl Strategy<Value = Vec<Published>> {
    let filter = proptest::option::of(vec(any::<u8>(), 0..10));
    let batch = proptest::option::of((0..8_u8, any::<u16>()));
    vec((any::<u64>(), filter, batch, vec(any::<u8>(), 0..50)), 0..8)
}

/// A publish by hand, and what must be read of it.
fn publish_of(entries: &[Published], has_filters: bool) -> Vec<u8> {
    let mut out = Vec::new();
    frame::put(&mut out, Key::Publish as u16, if has_filters { 2 } else { 1 }, |out| {
        out.u8(7);
        out.u32(entries.len() as u32);
        for (id, filter, batch, bytes) in entries {
            out.u64(*id);
            if has_filters {
                out.nullable_string(filter.as_deref());
            }
            if let (Some((compression, messages)), false) = (batch, has_filters) {
                out.u8(0x80 | compression << 4);
                out.u16(*messages);
                out.u32(12345);
            }
            out.bytes(Some(bytes));
        }
    });
    out
}

proptest! {
    #[test]
    fn a_command_reads_as_it_was_written(parts in parts()) {
        for command in parts.commands() {
            let bytes = encoded(&command);
            prop_assert_eq!(Command::parse(&whole(&bytes)), Ok(command));
            // A byte less and a byte more are none.
            let (frame, _) = frame::parse(&bytes, u32::MAX).expect("a frame of ours").expect("the whole frame");
            if let Some((_, less)) = frame.body.split_last() {
                let torn = Frame { body: less, ..frame };
                let is_torn = Command::parse(&torn).is_err();
                prop_assert!(is_torn, "{command:?} without its last byte");
            }
            let longer = [frame.body, &[0]].concat();
            let is_longer = Command::parse(&Frame { body: &longer, ..frame }).is_err();
            prop_assert!(is_longer, "{command:?} and a byte more");
        }
    }

    #[test]
    fn a_publish_reads_as_it_was_written(entries in published(), has_filters in any::<bool>()) {
        let bytes = publish_of(&entries, has_filters);
        let Ok(Command::Publish { publisher, entries: read }) = Command::parse(&whole(&bytes)) else {
            return Err(TestCaseError::fail("no publish"));
        };
        prop_assert_eq!(publisher, 7);
        prop_assert_eq!(read.count(), entries.len());
        for (read, (id, filter, batch, data)) in read.zip(&entries) {
            prop_assert_eq!(read.id, *id);
            prop_assert_eq!(read.filter, filter.as_deref().filter(|_| has_filters));
            let data = data.as_slice();
            let body = match (batch, has_filters) {
                (Some((compression, messages)), false) => EntryBody::Batch {
                    compression: *compression,
                    messages: *messages,
                    uncompressed_bytes: 12345,
                    data,
                },
                _ => EntryBody::Message(data),
            };
            prop_assert_eq!(read.body, body);
            prop_assert!(read.stored.ends_with(data));
        }
        prop_assert_eq!(encoded(&Command::Publish { publisher, entries: read }), bytes);
    }

    #[test]
    fn nothing_that_comes_panics(input in vec(any::<u8>(), 0..400), key in 0..40_u16, is_answer in any::<bool>()) {
        let _ = frame::parse(&input, 300);
        prop_assert!(frame::needed(&input, 300) <= 300);
        for version in 0..4 {
            let frame = Frame { key, is_answer, version, body: &input };
            if let Ok(command) = Command::parse(&frame) {
                let bytes = encoded(&command);
                prop_assert_eq!(Command::parse(&whole(&bytes)), Ok(command));
            }
        }
    }
}

#[test]
fn what_a_count_promises_takes_no_memory() {
    // A thousand million streams, and none.
    let mut body = Vec::new();
    body.u32(1);
    body.u32(1_000_000_000);
    for key in [Key::Metadata, Key::PeerProperties, Key::CommandVersions] {
        let frame = Frame {
            key: key as u16,
            is_answer: false,
            version: 1,
            body: &body,
        };
        assert_eq!(Command::parse(&frame), Err(Malformed));
    }
}

#[test]
fn a_frame_is_refused_by_its_size_alone() {
    assert_eq!(
        frame::parse(&[0xff; 4], 1024),
        Err(FrameError::TooLarge {
            size: u32::MAX,
            limit: 1024
        })
    );
    for size in 0..4 {
        assert_eq!(
            frame::parse(&[0, 0, 0, size], 1024),
            Err(FrameError::NoHead(size.into()))
        );
    }
    assert_eq!(frame::parse(&[0, 0, 0, 4, 0, 23, 0], 1024), Ok(None));
    assert_eq!(frame::needed(&[0, 0, 0, 4, 0, 23, 0], 1024), 1);
}

#[test]
fn the_count_of_a_publish_is_not_looked_at() {
    let mut bytes = publish_of(&[(1, None, None, b"a".to_vec()), (2, None, None, b"b".to_vec())], false);
    bytes[9..13].copy_from_slice(&7_u32.to_be_bytes());
    let Ok(Command::Publish { entries, .. }) = Command::parse(&whole(&bytes)) else {
        panic!("no publish")
    };
    assert_eq!(entries.map(|entry| entry.id).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn a_batch_has_no_filter_value() {
    let mut body = vec![7, 0, 0, 0, 1];
    body.u64(1);
    body.nullable_string(Some(b"f"));
    body.u8(0x80);
    body.u16(1);
    body.u32(5);
    body.bytes(Some(&[0, 0, 0, 1, b'a']));
    let frame = Frame {
        key: 2,
        is_answer: false,
        version: 2,
        body: &body,
    };
    assert_eq!(Command::parse(&frame), Err(Malformed));
}

#[test]
fn a_subscribe_may_begin_at_what_does_not_exist() {
    let mut body = Vec::new();
    body.u32(9);
    body.u8(1);
    body.string(b"s");
    body.u16(6);
    let frame = Frame {
        key: 7,
        is_answer: false,
        version: 1,
        body: &body,
    };
    let nowhere = Command::Ask {
        correlation: 9,
        request: Request::SubscribeNowhere,
    };
    assert_eq!(Command::parse(&frame), Ok(nowhere));
}

#[test]
fn answers_are_as_clients_read_them() {
    let mut out = Vec::new();
    response::answer(&mut out, Key::Create, 5, Code::StreamExists);
    assert_eq!(out, [0, 0, 0, 10, 0x80, 13, 0, 1, 0, 0, 0, 5, 0, 5]);
    out.clear();
    response::refuse_credit(&mut out, 3, Code::NoSubscription);
    assert_eq!(out, [0, 0, 0, 7, 0x80, 9, 0, 1, 0, 4, 3]);
    out.clear();
    response::confirm(&mut out, 2, [7_u64].into_iter());
    assert_eq!(out, [0, 0, 0, 17, 0, 3, 0, 1, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7]);
    out.clear();
    response::deliver_head(&mut out, response::DeliverVersion::V2, 1, 4, 60);
    assert_eq!(out, [0, 0, 0, 73, 0, 8, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 4]);
}
