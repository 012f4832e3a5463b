//! What the server sends: answers, and what it says unasked. All is of version 1 but deliveries.

use super::frame::{self, answer_key};
use super::key::{Code, Key, VERSIONS};
use super::request::Tune;
use super::wire::Write;

/// A node that clients can connect to, in the answer to a metadata request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub host: String,
    pub port: u32,
}

/// A stream in that answer, whose nodes are places in its list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamPlace {
    pub name: Vec<u8>,
    pub code: Code,
    pub leader: Option<u16>,
    /// Without the leader.
    pub replicas: Vec<u16>,
}

/// The version in which chunks are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeliverVersion {
    #[default]
    V1,
    /// With the id of the last chunk that is committed.
    V2,
}

/// The place of a node that there is none of.
const NO_NODE: u16 = u16::MAX;

/// An answer with no more than a code.
pub fn answer(out: &mut Vec<u8>, key: Key, correlation: u32, code: Code) {
    answer_with(out, key, correlation, code, |_| {});
}

fn answer_with(out: &mut Vec<u8>, key: Key, correlation: u32, code: Code, write: impl FnOnce(&mut Vec<u8>)) {
    frame::put(out, answer_key(key as u16), 1, |out| {
        out.u32(correlation);
        out.u16(code as u16);
        write(out);
    });
}

/// An answer with a number behind the code: a publisher's last sequence number, or a stored offset.
pub fn answer_number(out: &mut Vec<u8>, key: Key, correlation: u32, code: Code, number: u64) {
    answer_with(out, key, correlation, code, |out| out.u64(number));
}

/// An answer with strings: partitions, routes, mechanisms.
pub fn answer_strings<'s>(
    out: &mut Vec<u8>,
    key: Key,
    correlation: u32,
    code: Code,
    strings: impl ExactSizeIterator<Item = &'s [u8]>,
) {
    answer_with(out, key, correlation, code, |out| out.strings(strings));
}

/// An answer with properties.
pub fn answer_map<'s>(
    out: &mut Vec<u8>,
    key: Key,
    correlation: u32,
    map: impl ExactSizeIterator<Item = (&'s [u8], &'s [u8])>,
) {
    answer_with(out, key, correlation, Code::Ok, |out| out.map(map));
}

/// The answer to the question for a stream's numbers.
pub fn answer_stats(out: &mut Vec<u8>, correlation: u32, code: Code, numbers: &[(&str, i64)]) {
    answer_with(out, Key::StreamStats, correlation, code, |out| {
        out.u32(numbers.len() as u32);
        for (name, number) in numbers {
            out.string(name.as_bytes());
            out.i64(*number);
        }
    });
}

/// The versions of commands that the server takes.
pub fn answer_versions(out: &mut Vec<u8>, correlation: u32) {
    answer_with(out, Key::CommandVersions, correlation, Code::Ok, |out| {
        out.u32(VERSIONS.len() as u32);
        for (key, lowest, highest) in VERSIONS {
            out.u16(key as u16);
            out.u16(lowest);
            out.u16(highest);
        }
    });
}

/// Where streams are.
pub fn answer_metadata(out: &mut Vec<u8>, correlation: u32, nodes: &[Address], streams: &[StreamPlace]) {
    frame::put(out, answer_key(Key::Metadata as u16), 1, |out| {
        out.u32(correlation);
        out.u32(nodes.len() as u32);
        for (index, node) in nodes.iter().enumerate() {
            out.u16(index as u16);
            out.string(node.host.as_bytes());
            out.u32(node.port);
        }
        out.u32(streams.len() as u32);
        for stream in streams {
            out.string(&stream.name);
            out.u16(stream.code as u16);
            out.u16(stream.leader.unwrap_or(NO_NODE));
            out.u32(stream.replicas.len() as u32);
            stream.replicas.iter().for_each(|replica| out.u16(*replica));
        }
    });
}

/// A credit that was not taken; the only answer without a correlation id.
pub fn refuse_credit(out: &mut Vec<u8>, subscription: u8, code: Code) {
    frame::put(out, answer_key(Key::Credit as u16), 1, |out| {
        out.u16(code as u16);
        out.u8(subscription);
    });
}

/// What a publisher published is on a majority.
pub fn confirm(out: &mut Vec<u8>, publisher: u8, ids: impl Iterator<Item = u64>) {
    frame::put(out, Key::PublishConfirm as u16, 1, |out| {
        out.u8(publisher);
        let count_at = out.len();
        out.u32(0);
        let mut count = 0_u32;
        for id in ids {
            out.u64(id);
            count += 1;
        }
        out[count_at..count_at + 4].copy_from_slice(&count.to_be_bytes());
    });
}

/// What a publisher published is not taken.
pub fn publish_error(out: &mut Vec<u8>, publisher: u8, code: Code, ids: impl Iterator<Item = u64>) {
    frame::put(out, Key::PublishError as u16, 1, |out| {
        out.u8(publisher);
        let count_at = out.len();
        out.u32(0);
        let mut count = 0_u32;
        for id in ids {
            out.u64(id);
            out.u16(code as u16);
            count += 1;
        }
        out[count_at..count_at + 4].copy_from_slice(&count.to_be_bytes());
    });
}

/// What stands before a chunk of `chunk_bytes` bytes (its header and data) in a delivery.
pub fn deliver_head(out: &mut Vec<u8>, version: DeliverVersion, subscription: u8, committed: u64, chunk_bytes: u32) {
    let (number, own) = match version {
        DeliverVersion::V1 => (1, 5),
        DeliverVersion::V2 => (2, 13),
    };
    out.u32(own + chunk_bytes);
    out.u16(Key::Deliver as u16);
    out.u16(number);
    out.u8(subscription);
    if version == DeliverVersion::V2 {
        out.u64(committed);
    }
}

/// A stream is not where it was, or is no more.
pub fn metadata_update(out: &mut Vec<u8>, stream: &[u8]) {
    frame::put(out, Key::MetadataUpdate as u16, 1, |out| {
        out.u16(Code::NotAvailable as u16);
        out.string(stream);
    });
}

/// A consumer becomes active, or is active no more; the client answers.
pub fn consumer_update(out: &mut Vec<u8>, correlation: u32, subscription: u8, is_active: bool) {
    frame::put(out, Key::ConsumerUpdate as u16, 1, |out| {
        out.u32(correlation);
        out.u8(subscription);
        out.u8(is_active.into());
    });
}

/// The limits that are offered.
pub fn tune(out: &mut Vec<u8>, tune: Tune) {
    frame::put(out, Key::Tune as u16, 1, |out| {
        out.u32(tune.frame_max);
        out.u32(tune.heartbeat);
    });
}

/// The server closes; the client answers.
pub fn close(out: &mut Vec<u8>, code: Code, reason: &str) {
    frame::put(out, Key::Close as u16, 1, |out| {
        out.u32(1);
        out.u16(code as u16);
        out.string(reason.as_bytes());
    });
}

/// A sign of life.
pub fn heartbeat(out: &mut Vec<u8>) {
    frame::put(out, Key::Heartbeat as u16, 1, |_| {});
}
