//! Mutated frames for everything that reads bytes: nothing panics, and no input makes anything take
//! more memory than the input justifies.
//!
//! Starts from valid frames and changes them from a seed; `WARREN_TEST_SEED` and
//! `WARREN_TEST_CASE` run one case again, `WARREN_FUZZ_SECONDS` makes a run longer. The same entry
//! points are targets of cargo-fuzz in `fuzz/`.

#[path = "../fuzz/entry.rs"]
mod entry;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use warren::codec::content::{PublishRef, write_publish};
use warren::codec::method::{ChannelOpen, ConnectionOpen, ConnectionStartOk, ConnectionTuneOk};
use warren::codec::{Method, Properties, frame};
use warren::stream_protocol::codec::request::{Subscribe, Tune};
use warren::stream_protocol::codec::{Command, Request, StartAt};
use warren::types::{FieldTable, FieldValue};

use entry::{ENTRIES, Entry};

/// Bytes of memory that one byte of input may cost at once. A void field takes two bytes on the
/// wire, and a name and a value in memory, in a list that is copied as it grows.
const FACTOR: usize = 96;
/// And what a connection costs without any input.
const BASE: usize = 16 * 1024;
/// What a connection reserves for a body that a content header promises.
const PROMISED: usize = 1024 * 1024;
/// Class `basic` and weight 0: how the payload of a content header begins.
const HEADER: &[u8] = &[0, 60, 0, 0];

thread_local! {
    /// Bytes this thread holds, and the most it held since [`measured`] began.
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, with a count of what the thread holds.
struct Counting;

impl Counting {
    fn count(bytes: isize) {
        // A thread that ends may free after its counters are gone; that is not measured.
        let _ = HELD.try_with(|held| {
            held.set(held.get() + bytes);
            PEAK.with(|peak| peak.set(peak.get().max(held.get())));
        });
    }
}

// SAFETY: everything is handed to the system's allocator as it came. Growing goes through `alloc`,
// so a moment in which old and new place are both held is counted as such.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size().cast_signed());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        Self::count(-layout.size().cast_signed());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs an entry point and gives the most memory it held.
fn measured(run: fn(&[u8]), input: &[u8]) -> usize {
    let before = HELD.get();
    PEAK.set(before);
    run(input);
    (PEAK.get() - before).unsigned_abs()
}

/// Runs one case; says what it was when it fails.
fn case((name, run): Entry, input: &[u8], what: &str) {
    let peak = catch_unwind(AssertUnwindSafe(|| measured(run, input)));
    let peak = peak.unwrap_or_else(|panic| {
        eprintln!("{name} failed: {what}, input {}", input.escape_ascii());
        resume_unwind(panic)
    });
    let promises = match name {
        "connection" => input.windows(HEADER.len()).filter(|&window| window == HEADER).count(),
        _ => 0,
    };
    let limit = FACTOR * input.len() + BASE + PROMISED * promises;
    assert!(
        peak <= limit,
        "{name} took {peak} bytes for {}: {what}, input {}",
        input.len(),
        input.escape_ascii()
    );
}

/// A valid payload of every method: the ids, and as many zeros as make one.
fn methods() -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    for class in [10_u16, 20, 30, 40, 50, 60, 85, 90] {
        for method in 1..=130_u16 {
            let ids = [class.to_be_bytes(), method.to_be_bytes()].concat();
            let with_zeros = |zeros: usize| [&ids[..], &vec![0; zeros]].concat();
            payloads.extend((0..40).map(with_zeros).find(|payload| Method::parse(payload).is_ok()));
        }
    }
    payloads
}

/// A table with every type, and tables in tables.
fn table() -> FieldTable {
    let values = [
        FieldValue::Boolean(true),
        FieldValue::I8(-1),
        FieldValue::U8(1),
        FieldValue::I16(-2),
        FieldValue::U16(2),
        FieldValue::I32(-3),
        FieldValue::U32(3),
        FieldValue::I64(-4),
        FieldValue::F32(0.5),
        FieldValue::F64(f64::NAN),
        FieldValue::Decimal(2, 314),
        FieldValue::text("text"),
        FieldValue::Array(vec![FieldValue::Void, FieldValue::text("in")]),
        FieldValue::Timestamp(1_700_000_000),
        FieldValue::Void,
        FieldValue::Bytes(vec![0, 255]),
    ];
    let mut table = FieldTable::new();
    for value in values {
        table.set(value.type_name(), value);
    }
    for depth in 0..5 {
        let mut outer = FieldTable::new();
        outer.set("inner", FieldValue::Table(table));
        outer.set(
            &format!("depth-{depth}"),
            FieldValue::Array(vec![FieldValue::Array(Vec::new())]),
        );
        table = outer;
    }
    table
}

fn all_properties() -> Properties {
    let text = || Some("text".to_owned());
    Properties {
        content_type: text(),
        content_encoding: text(),
        headers: Some(table()),
        delivery_mode: Some(2),
        priority: Some(5),
        correlation_id: text(),
        reply_to: text(),
        expiration: Some("60000".to_owned()),
        message_id: text(),
        timestamp: Some(1),
        kind: text(),
        user_id: text(),
        app_id: text(),
        cluster_id: text(),
    }
}

/// What a client says up to its first channel.
fn handshake() -> Vec<u8> {
    let mut bytes = b"AMQP\x00\x00\x09\x01".to_vec();
    let start_ok = ConnectionStartOk {
        client_properties: table(),
        mechanism: "PLAIN".into(),
        ..ConnectionStartOk::default()
    };
    let tune_ok = ConnectionTuneOk {
        channel_max: 2047,
        frame_max: 131_072,
        heartbeat: 60,
    };
    for (channel, method) in [
        (0, Method::from(start_ok)),
        (0, tune_ok.into()),
        (0, ConnectionOpen::default().into()),
        (1, ChannelOpen::default().into()),
    ] {
        method.encode_frame(channel, &mut bytes);
    }
    bytes
}

fn publish(body: &[u8], properties: &[u8]) -> Vec<u8> {
    let publish = PublishRef {
        exchange: b"exchange",
        routing_key: b"key",
        mandatory: true,
        immediate: false,
    };
    let mut frames = Vec::new();
    write_publish(&mut frames, 1, publish, properties, body, 131_072);
    frames
}

/// What a client of the stream protocol says up to an open virtual host.
fn stream_handshake() -> Vec<u8> {
    let ask = |correlation, request| Command::Ask { correlation, request };
    let tune = Tune {
        frame_max: 65_536,
        heartbeat: 60,
    };
    let login = Request::SaslAuthenticate {
        mechanism: b"PLAIN",
        data: Some(b"\0guest\0guest"),
    };
    let mut bytes = Vec::new();
    // No properties: their count is the last of the frame.
    bytes.extend_from_slice(b"\0\0\0\x0c\0\x11\0\x01\0\0\0\x01\0\0\0\0");
    for command in [
        ask(2, Request::SaslHandshake),
        ask(3, login),
        Command::Tune(tune),
        ask(4, Request::Open { vhost: b"/" }),
    ] {
        command.encode(&mut bytes);
    }
    bytes
}

/// Frames of the stream protocol with every key and version, with arrays and maps, messages and batches.
fn stream_frames() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for key in 0..34_u16 {
        for mark in [0, 0x8000] {
            for (version, zeros) in [(1_u16, 12), (1, 30), (2, 30)] {
                let mut bytes = ((zeros + 4) as u32).to_be_bytes().to_vec();
                bytes.extend_from_slice(&(key | mark).to_be_bytes());
                bytes.extend_from_slice(&version.to_be_bytes());
                bytes.extend_from_slice(&vec![0; zeros]);
                frames.push(bytes);
            }
        }
    }
    let mut subscribe = Vec::new();
    let request = Request::Subscribe(Subscribe {
        subscription: 1,
        stream: b"stream",
        start: StartAt::Offset(7),
        credit: 10,
        properties: Default::default(),
    });
    Command::Ask {
        correlation: 9,
        request,
    }
    .encode(&mut subscribe);
    frames.push(subscribe);
    // Two streams asked for; a map with one pair; a message, a message with a filter value, a batch.
    let bodies: [(u16, u16, &[u8]); 5] = [
        (15, 1, b"\0\0\0\x01\0\0\0\x02\0\x01a\0\x01b"),
        (13, 1, b"\0\0\0\x01\0\x01s\0\0\0\x01\0\x07max-age\0\x021h"),
        (2, 1, b"\x01\0\0\0\x01\0\0\0\0\0\0\0\x05\0\0\0\x02hi"),
        (2, 2, b"\x01\0\0\0\x01\0\0\0\0\0\0\0\x05\0\x01f\0\0\0\x02hi"),
        (
            2,
            1,
            b"\x01\0\0\0\x01\0\0\0\0\0\0\0\x05\x90\0\x02\0\0\0\x09\0\0\0\x03zip",
        ),
    ];
    for (key, version, body) in bodies {
        let mut bytes = ((body.len() + 4) as u32).to_be_bytes().to_vec();
        bytes.extend_from_slice(&key.to_be_bytes());
        bytes.extend_from_slice(&version.to_be_bytes());
        bytes.extend_from_slice(body);
        frames.push(bytes);
    }
    frames
}

/// Valid inputs of all kinds; for the connection the first byte says how they come in pieces.
fn corpus() -> Vec<Vec<u8>> {
    let properties = all_properties().encode();
    let mut encoded_table = Vec::new();
    table().encode(&mut encoded_table);
    let mut corpus = vec![
        encoded_table,
        properties.clone(),
        vec![0, 0],
        publish(b"", &[0, 0]),
        publish(b"hello", &properties),
        publish(&[7; 9000], &[0x10, 0, 2]),
    ];
    let mut everything = handshake();
    for payload in methods() {
        let mut bytes = vec![1, 0, 1];
        bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&payload);
        bytes.push(frame::END);
        // Method by method after a handshake, and all one after the other.
        corpus.push([&[9][..], &handshake(), &bytes].concat());
        everything.extend_from_slice(&bytes);
        corpus.push(bytes);
    }
    for piece in [0, 3, 255] {
        let session = [
            &[piece][..],
            &handshake(),
            &publish(b"hello", &properties),
            &publish(&[7; 9000], &[0, 0]),
        ];
        corpus.push(session.concat());
        corpus.push([&[piece][..], &everything].concat());
        corpus.push([&[piece][..], &stream_handshake(), &stream_frames().concat()].concat());
    }
    for frame in stream_frames() {
        corpus.push([&[9][..], &stream_handshake(), &frame].concat());
        corpus.push(frame);
    }
    corpus
}

/// Changes some bytes of an input, with a part of another at times.
fn mutate(random: &mut StdRng, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    for _ in 0..random.random_range(1..6) {
        let at = random.random_range(0..=input.len());
        let some = random.random_range(0..=16.min(input.len() - at));
        match random.random_range(0..8) {
            0 if at < input.len() => input[at] ^= 1 << random.random_range(0..8),
            1 if at < input.len() => input[at] = random.random(),
            2 => drop(input.drain(at..at + some)),
            3 => input.insert(at, random.random()),
            // A length that is wrong: nothing, everything, or nearly right.
            4 if at + 4 <= input.len() => {
                let left = (input.len() - at - 4) as u32;
                let lengths = [
                    0,
                    1,
                    0xff,
                    0xffff,
                    0x7fff_ffff,
                    u32::MAX,
                    left,
                    left + 1,
                    left.saturating_sub(1),
                ];
                let length = lengths[random.random_range(0..lengths.len())];
                input[at..at + 4].copy_from_slice(&length.to_be_bytes());
            }
            5 => {
                let part = input[at..at + some].to_vec();
                let again = random.random_range(0..20);
                input.splice(at..at, part.repeat(again));
            }
            6 => {
                let other = &corpus[random.random_range(0..corpus.len())];
                let from = random.random_range(0..=other.len());
                let to = random.random_range(from..=other.len());
                input.splice(at..at, other[from..to].iter().copied());
            }
            _ => input.truncate(at.max(1)),
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

#[test]
fn valid_input_is_taken_without_much_memory() {
    for input in corpus() {
        for entry in ENTRIES {
            case(entry, &input, "unchanged");
        }
    }
}

#[test]
fn tables_of_nothing_but_names_take_what_they_must() {
    // The most values and the deepest nesting that few bytes can ask for.
    let voids = b"\x00V".repeat(2000);
    let mut flat = (voids.len() as u32).to_be_bytes().to_vec();
    flat.extend_from_slice(&voids);
    let mut array = b"\x01aA".to_vec();
    array.extend_from_slice(&2000_u32.to_be_bytes());
    array.extend_from_slice(&b"V".repeat(2000));
    let mut voids = (array.len() as u32).to_be_bytes().to_vec();
    voids.extend_from_slice(&array);
    let mut deep = Vec::new();
    for _ in 0..500 {
        let mut outer = ((deep.len() + 6) as u32).to_be_bytes().to_vec();
        outer.extend_from_slice(b"\x00F");
        outer.extend_from_slice(match deep.is_empty() {
            true => &[0; 4],
            false => &deep,
        });
        deep = outer;
    }
    for input in [flat, voids, deep] {
        for entry in ENTRIES {
            case(entry, &input, "crafted");
        }
    }
}

#[test]
fn mutated_input_neither_panics_nor_takes_memory() {
    let corpus = corpus();
    let seed = number("WARREN_TEST_SEED").unwrap_or_else(rand::random);
    println!("WARREN_TEST_SEED={seed}");
    let run = |case_number: u64| {
        let mut random = StdRng::seed_from_u64(seed.wrapping_add(case_number));
        let mut input = corpus[random.random_range(0..corpus.len())].clone();
        mutate(&mut random, &mut input, &corpus);
        for entry in ENTRIES {
            case(
                entry,
                &input,
                &format!("WARREN_TEST_SEED={seed} WARREN_TEST_CASE={case_number}"),
            );
        }
    };
    if let Some(case_number) = number("WARREN_TEST_CASE") {
        run(case_number);
        return;
    }
    let end = Instant::now() + Duration::from_secs(number("WARREN_FUZZ_SECONDS").unwrap_or(8));
    let mut cases = 0;
    while Instant::now() < end {
        run(cases);
        cases += 1;
    }
    println!("{cases} cases");
    assert!(cases > 1000, "only {cases} cases: too slow to find anything");
}
