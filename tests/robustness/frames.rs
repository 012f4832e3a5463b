//! Frames as bytes, for a test that sends many with one write.

use crate::support::*;

/// A frame.
pub fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).expect("a small payload");
    [
        &[kind][..],
        &channel.to_be_bytes(),
        &size.to_be_bytes(),
        payload,
        &[0xCE],
    ]
    .concat()
}

/// A method's frame.
pub fn method(channel: u16, (class, method): (u16, u16), arguments: &[u8]) -> Vec<u8> {
    frame(
        1,
        channel,
        &[&class.to_be_bytes()[..], &method.to_be_bytes(), arguments].concat(),
    )
}

/// `basic.publish` and its content header.
pub fn publish(exchange: &str, key: &str, properties: &[u8], size: usize) -> Vec<u8> {
    let arguments = [&[0, 0][..], &short(exchange), &short(key), &[0]].concat();
    let header = [&[0, 60, 0, 0][..], &(size as u64).to_be_bytes(), properties].concat();
    [method(1, (60, 40), &arguments), frame(2, 1, &header)].concat()
}

/// A publish with a body, cut into frames that fit.
pub fn publish_with(exchange: &str, key: &str, properties: &[u8], body: &[u8]) -> Vec<u8> {
    let mut bytes = publish(exchange, key, properties, body.len());
    for part in body.chunks(100_000) {
        bytes.extend_from_slice(&frame(3, 1, part));
    }
    bytes
}

/// No properties.
pub const PLAIN: &[u8] = &[0, 0];

/// Persistent, with an `x-delay` header.
pub fn delayed(milliseconds: u32) -> Vec<u8> {
    let field = [&short("x-delay")[..], b"I", &milliseconds.to_be_bytes()].concat();
    let length = u32::try_from(field.len()).expect("a short table");
    [&[0x30, 0][..], &length.to_be_bytes(), &field, &[2]].concat()
}

/// An open connection with channel 1 in confirm mode.
pub fn confirming(broker: &Broker) -> Raw {
    let mut raw = channel(broker);
    raw.method(1, (85, 10), &[0]);
    raw.expect(85, 11);
    raw
}

/// An open connection with channel 1.
pub fn channel(broker: &Broker) -> Raw {
    let mut raw = Raw::open(&broker.amqp, broker.vhost_name(), 0);
    raw.method(1, (20, 10), &[0]);
    raw.expect(20, 11);
    raw
}

/// An open connection, with channel 1, of a client that wants to know when it is blocked.
pub fn told_of_blocking(broker: &Broker) -> Raw {
    let mut raw = Raw::connect(&broker.amqp);
    raw.send(b"AMQP\x00\x00\x09\x01");
    raw.expect(10, 10);
    let capability = [&short("connection.blocked")[..], b"t\x01"].concat();
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("short").to_be_bytes();
    let capabilities = [&short("capabilities")[..], b"F", &length(&capability), &capability].concat();
    let start_ok = [
        &length(&capabilities)[..],
        &capabilities,
        &short("PLAIN"),
        &long("\0guest\0guest"),
        &short("en_US"),
    ];
    raw.method(0, (10, 11), &start_ok.concat());
    raw.expect(10, 30);
    let tune_ok = [&2047_u16.to_be_bytes()[..], &131_072_u32.to_be_bytes(), &[0, 0]];
    raw.method(0, (10, 31), &tune_ok.concat());
    raw.method(0, (10, 40), &[short(broker.vhost_name()), vec![0, 0]].concat());
    raw.expect(10, 41);
    raw.method(1, (20, 10), &[0]);
    raw.expect(20, 11);
    raw
}

/// Reads until all of these publishes are acked; gives the other methods that came.
pub fn all_acked(raw: &mut Raw, count: usize) -> Vec<(u16, u16)> {
    let mut open: std::collections::BTreeSet<u64> = (1..=count as u64).collect();
    let mut others = Vec::new();
    while !open.is_empty() {
        let frame = raw.read().expect("a frame, not the end");
        match frame.method() {
            Some((60, 80)) => {
                let tag = frame.payload[4..].first_chunk().expect("a tag");
                let tag = u64::from_be_bytes(*tag);
                match frame.payload[12] {
                    0 => assert!(open.remove(&tag), "{tag} was acked twice"),
                    _ => open = open.split_off(&(tag + 1)),
                }
            }
            Some(other) => others.push(other),
            None => panic!("{frame:?}"),
        }
    }
    others
}
