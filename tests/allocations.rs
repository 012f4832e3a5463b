//! What the hot way must not do: ask the allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use warren::codec::content::{PublishRef, write_publish};
use warren::codec::method::{BasicAck, ChannelOpen, ConnectionOpen, ConnectionStartOk, ConnectionTuneOk, Method};
use warren::connection::{Connection, Settings, Step};
use warren::types::{ByteSize, FieldTable, Millis, Timestamp};

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, with a count of what the thread asked for.
struct Counting;

// SAFETY: everything is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn publishes_and_acks_are_taken_without_an_allocation() {
    let mut input = b"AMQP\x00\x00\x09\x01".to_vec();
    let tune_ok = ConnectionTuneOk {
        channel_max: 1,
        frame_max: 4096,
        heartbeat: 1,
    };
    let start_ok = ConnectionStartOk {
        mechanism: "PLAIN".into(),
        ..ConnectionStartOk::default()
    };
    for (channel, method) in [
        (0, Method::from(start_ok)),
        (0, tune_ok.into()),
        (0, ConnectionOpen::default().into()),
        (1, ChannelOpen::default().into()),
    ] {
        method.encode_frame(channel, &mut input);
    }
    let publish = PublishRef {
        exchange: b"ex",
        routing_key: b"key",
        mandatory: false,
        immediate: false,
    };
    for _ in 0..100 {
        write_publish(&mut input, 1, publish, &[0, 0], b"hello", 4096);
        Method::from(BasicAck::default()).encode_frame(1, &mut input);
    }

    let now = Timestamp(0);
    let mut connection = Connection::new(Arc::new(settings()), now);
    let (mut at, mut out) = (0, Vec::new());
    let (mut publishes, mut acks, mut before) = (0, 0, 0);
    while at < input.len() {
        at += match connection.step(now, &input[at..], &mut out) {
            Step::Done { consumed } => consumed,
            Step::Login { consumed, .. } => {
                connection.log_in(&mut out);
                consumed
            }
            Step::Open { consumed, .. } => {
                connection.opened(&mut out);
                consumed
            }
            Step::OpenChannel { consumed, channel } => {
                connection.channel_opened(channel, &mut out);
                before = COUNT.with(Cell::get);
                consumed
            }
            Step::Publish(whole) => {
                publishes += 1;
                whole.consumed
            }
            Step::Ack { consumed, .. } => {
                acks += 1;
                consumed
            }
            step => panic!("{step:?}"),
        };
    }
    let after = COUNT.with(Cell::get);
    assert_eq!((publishes, acks), (100, 100));
    assert!(before > 0, "the handshake is counted");
    assert_eq!(after, before);
}

fn settings() -> Settings {
    Settings {
        server_properties: FieldTable::new(),
        mechanisms: vec!["PLAIN".into()],
        channel_max: 2047,
        frame_max: 131_072,
        initial_frame_max: 4096,
        heartbeat: 60,
        max_message_size: ByteSize(1 << 24),
        handshake_timeout: Millis(10_000),
    }
}
