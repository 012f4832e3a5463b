//! What is fuzzed: functions that take any bytes and must neither panic nor hang.
//!
//! Each also holds what must be true of bytes that were accepted. Compiled into the cargo-fuzz
//! targets and into `tests/fuzzing.rs`, which feeds the same functions with mutated frames.

use std::sync::Arc;

use warren::codec::content::{self, WholeContent};
use warren::codec::properties::{Edit, Edits, rewrite_properties, scan};
use warren::codec::{FrameKind, Method, Properties, frame, headers};
use warren::connection::{Connection, Settings, Step};
use warren::stream_protocol::codec::{self as stream_codec, Code, Command};
use warren::stream_protocol::connection as stream_connection;
use warren::types::{ByteSize, FieldTable, Millis, Timestamp};

/// Class and method id of `basic.publish`.
const PUBLISH: [u8; 4] = [0, 60, 0, 40];

/// An entry point and its name.
pub type Entry = (&'static str, fn(&[u8]));

/// All of them.
pub const ENTRIES: [Entry; 7] = [
    ("frames", frames),
    ("publishes", publishes),
    ("properties", properties),
    ("tables", tables),
    ("connection", connection),
    ("stream_frames", stream_frames),
    ("stream_connection", stream_connection),
];

/// Frames one after the other, and what is in them.
pub fn frames(input: &[u8]) {
    for limit in [131_072, 4096] {
        let mut rest = input;
        while let Ok(Some((frame, consumed))) = frame::parse(rest, limit) {
            assert!(consumed > 0 && consumed <= rest.len());
            match frame.kind {
                FrameKind::Method => method(frame.payload),
                FrameKind::Header => {
                    if let Ok(header) = content::parse_header(frame.payload) {
                        properties(header.properties);
                    }
                }
                FrameKind::Body | FrameKind::Heartbeat => {}
            }
            rest = &rest[consumed..];
        }
        let needed = frame::needed(rest, limit);
        assert!(needed <= 131_072 + frame::OVERHEAD, "{needed} bytes asked for");
    }
}

/// The payload of a method frame. What was read is written so that it reads the same.
pub fn method(payload: &[u8]) {
    // The short ways only may not panic.
    let _ = content::parse_publish(payload);
    let _ = content::parse_deliver(payload);
    let _ = content::parse_ack(payload);
    let _ = content::parse_nack(payload);
    let _ = content::parse_reject(payload);
    let Ok(method) = Method::parse(payload) else { return };
    let once = encoded(&method);
    let (frame, _) = frame::parse(&once, u32::MAX)
        .expect("a frame of ours")
        .expect("the whole frame");
    let again = Method::parse(frame.payload).expect("a method of ours");
    // By bytes: a field may hold a number that is not equal to itself.
    assert_eq!(once, encoded(&again));
}

fn encoded(method: &Method) -> Vec<u8> {
    let mut out = Vec::new();
    method.encode_frame(1, &mut out);
    out
}

/// Publishes that lie whole in the input.
pub fn publishes(input: &[u8]) {
    let _ = content::whole_deliver(input, 131_072);
    let mut rest = input;
    while let Some(WholeContent {
        properties,
        body,
        consumed,
        ..
    }) = content::whole_content(rest, PUBLISH, 131_072)
    {
        assert!(consumed <= rest.len() && properties.len() + body.len() < consumed);
        if let Some(publish) = content::whole_publish(rest, 131_072) {
            assert_eq!((publish.consumed, publish.body), (consumed, body));
        }
        self::properties(properties);
        rest = &rest[consumed..];
    }
}

/// The properties of a content header.
pub fn properties(input: &[u8]) {
    let scanned = scan(input);
    let decoded = Properties::decode(input);
    assert!(scanned.is_err() || decoded.is_ok(), "scanned and not decoded");
    if let Ok(properties) = decoded {
        let once = properties.encode();
        let again = Properties::decode(&once).expect("properties of ours");
        assert_eq!(once, again.encode());
    }
    let table = FieldTable::new();
    let edits = Edits {
        headers: Edit::Set(&table),
        reply_to: Edit::Remove,
        expiration: Edit::Set(b"1000"),
        delivery_mode: Edit::Set(2),
        ..Edits::default()
    };
    if let Ok(rewritten) = rewrite_properties(input, &edits) {
        let properties = Properties::decode(&rewritten).expect("properties of ours");
        assert_eq!(properties.delivery_mode, Some(2));
    }
    if scanned.is_ok() {
        assert!(
            rewrite_properties(input, &Edits::default()).is_ok(),
            "scanned and not rewritten"
        );
    }
}

/// A field table with its length.
pub fn tables(input: &[u8]) {
    let checked = headers::check(input);
    let decoded = FieldTable::decode(input);
    assert_eq!(checked.err(), decoded.as_ref().err().copied());
    let Ok((table, rest)) = decoded else { return };
    assert!(rest.len() + 4 <= input.len());
    if let Some((name, _)) = table.iter().next() {
        // A name with octets that are not UTF-8 reads differently from what it is.
        let _ = headers::find(input, name);
    }
    let mut once = Vec::new();
    table.encode(&mut once);
    let (again, rest) = FieldTable::decode(&once).expect("a table of ours");
    assert!(rest.is_empty());
    let mut twice = Vec::new();
    again.encode(&mut twice);
    assert_eq!(once, twice);
}

/// A connection: the input arrives in pieces whose sizes the first byte decides, and every question
/// of the machine is answered as a session would.
pub fn connection(input: &[u8]) {
    let Some((&piece, input)) = input.split_first() else {
        return;
    };
    let piece = usize::from(piece) * 8 + 1;
    let now = Timestamp(0);
    let mut connection = Connection::new(Arc::new(settings()), now);
    let (mut buffer, mut out, mut arrived) = (Vec::new(), Vec::new(), 0);
    loop {
        let (consumed, is_waiting) = take(&mut connection, now, &buffer, &mut out);
        assert!(consumed <= buffer.len());
        buffer.drain(..consumed);
        // Written to the socket at once.
        out.clear();
        if connection.is_ended() {
            return;
        }
        if is_waiting {
            if arrived == input.len() {
                return;
            }
            let end = input.len().min(arrived + piece);
            buffer.extend_from_slice(&input[arrived..end]);
            arrived = end;
        }
    }
}

/// One step: the bytes it took, and whether it waits for more.
fn take(connection: &mut Connection, now: Timestamp, buffer: &[u8], out: &mut Vec<u8>) -> (usize, bool) {
    let consumed = match connection.step(now, buffer, out) {
        Step::More(count) => {
            assert!(count > 0, "waits for nothing");
            return (0, true);
        }
        Step::End(_) => return (0, true),
        Step::Done { consumed }
        | Step::Ack { consumed, .. }
        | Step::Nack { consumed, .. }
        | Step::Reject { consumed, .. }
        | Step::Content { consumed, .. }
        | Step::Method { consumed, .. } => consumed,
        Step::Publish(whole) => {
            properties(whole.properties);
            whole.consumed
        }
        Step::Login { consumed, login } => {
            match login.mechanism.as_str() {
                "PLAIN" => connection.log_in(out),
                _ => drop(connection.refuse_login(now, out)),
            }
            consumed
        }
        Step::Open { consumed, .. } => {
            connection.opened(out);
            consumed
        }
        Step::OpenChannel { consumed, channel } => {
            connection.channel_opened(channel, out);
            consumed
        }
        Step::CloseChannel { consumed, channel } => {
            connection.channel_closed(channel, out);
            consumed
        }
        Step::UpdateSecret { consumed, .. } => {
            connection.secret_updated(out);
            consumed
        }
        Step::Closing { consumed } => {
            connection.close_ok(now, out);
            consumed
        }
        Step::Refused {
            consumed,
            channel,
            ids,
            reply,
        } => {
            match channel {
                Some(channel) => connection.close_channel(channel, ids, &reply, out),
                None => connection.close(now, ids, &reply, out),
            }
            return (consumed, false);
        }
    };
    assert!(consumed > 0, "a step that took nothing");
    (consumed, false)
}

fn settings() -> Settings {
    Settings {
        server_properties: FieldTable::new(),
        mechanisms: vec!["PLAIN".into(), "AMQPLAIN".into()],
        channel_max: 2047,
        frame_max: 131_072,
        initial_frame_max: 4096,
        heartbeat: 60,
        max_message_size: ByteSize(1 << 24),
        handshake_timeout: Millis(10_000),
    }
}

/// Frames of the stream protocol, one after the other. What was read is written so that it reads the same.
pub fn stream_frames(input: &[u8]) {
    let mut rest = input;
    while let Ok(Some((frame, consumed))) = stream_codec::frame::parse(rest, 65_536) {
        assert!(consumed > 0 && consumed <= rest.len());
        if let Ok(command) = Command::parse(&frame) {
            let mut once = Vec::new();
            command.encode(&mut once);
            let (again, _) = stream_codec::frame::parse(&once, u32::MAX)
                .expect("a frame of ours")
                .expect("the whole frame");
            assert_eq!(Command::parse(&again), Ok(command));
        }
        rest = &rest[consumed..];
    }
    assert!(stream_codec::frame::needed(rest, 65_536) <= 65_536);
}

/// A connection of the stream protocol, driven as [`connection`] is.
pub fn stream_connection(input: &[u8]) {
    use stream_connection::{Connection, Step};
    let Some((&piece, input)) = input.split_first() else {
        return;
    };
    let piece = usize::from(piece) * 8 + 1;
    let now = Timestamp(0);
    let mut connection = Connection::new(Arc::new(stream_settings()), now);
    let (mut buffer, mut out, mut arrived) = (Vec::new(), Vec::new(), 0);
    loop {
        let mut is_waiting = false;
        let consumed = match connection.step(now, &buffer, &mut out) {
            Step::More(count) => {
                assert!(count > 0, "waits for nothing");
                is_waiting = true;
                0
            }
            Step::End(_) => return,
            Step::Done { consumed } | Step::Command { consumed, .. } | Step::LoginAgain { consumed, .. } => consumed,
            Step::Login { consumed, login } => {
                match login.mechanism.as_str() {
                    "PLAIN" => connection.log_in(now, &mut out),
                    _ => connection.refuse_login(Code::AuthenticationFailure, &mut out),
                }
                consumed
            }
            Step::Open { consumed, .. } => {
                connection.opened("host", 5552, &mut out);
                consumed
            }
            Step::Closing { consumed, correlation } => {
                connection.closed(correlation, &mut out);
                consumed
            }
        };
        assert!(consumed <= buffer.len() && (is_waiting || consumed > 0));
        buffer.drain(..consumed);
        // Written to the socket at once.
        out.clear();
        if is_waiting {
            if arrived == input.len() {
                return;
            }
            let end = input.len().min(arrived + piece);
            buffer.extend_from_slice(&input[arrived..end]);
            arrived = end;
        }
    }
}

fn stream_settings() -> stream_connection::Settings {
    stream_connection::Settings {
        server_properties: Vec::new(),
        mechanisms: vec!["PLAIN".into(), "AMQPLAIN".into()],
        frame_max: 65_536,
        initial_frame_max: 4096,
        heartbeat: 60,
        step_timeout: Millis(10_000),
    }
}
