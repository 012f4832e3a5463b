//! Bytes as RabbitMQ 4.0.5 writes them, and back.

use proptest::prelude::*;

use super::*;

fn hex(text: &str) -> Bytes {
    let digits: Vec<_> = text.as_bytes().chunks(2).collect();
    let octet = |pair: &&[u8]| {
        let pair = std::str::from_utf8(pair).expect("digits");
        u8::from_str_radix(pair, 16).expect("digits")
    };
    digits.iter().map(octet).collect()
}

fn message(key: &str, properties: &Properties, body: &[u8]) -> Message {
    let encoded = properties.encode();
    let parts = MessageParts {
        exchange: b"",
        routing_key: key.as_bytes(),
        properties: &encoded,
        traits: scan(&encoded).expect("good properties").traits,
    };
    Message::new(parts, body, &mut Vec::new())
}

fn written(message: &Message) -> Bytes {
    let mut bytes = Vec::new();
    write(&mut bytes, message);
    bytes.into()
}

fn back(bytes: &Bytes) -> (Message, Properties) {
    let message = read(bytes, 7, "the-stream");
    let properties = Properties::decode(message.properties()).expect("just encoded");
    (message, properties)
}

#[test]
fn a_plain_message_has_the_bytes_that_rabbitmq_writes() {
    let key = "cross.amqp-to-stream/q";
    let plain = message(key, &Properties::default(), b"plain");
    let expected = "005370c006054240404143005372c13604a30a782d65786368616e6765a100a30d782d726f7574696e672d6b6579\
                    a11663726f73732e616d71702d746f2d73747265616d2f71005375a005706c61696e";
    assert_eq!(written(&plain), hex(expected));
    let full = Properties {
        delivery_mode: Some(2),
        priority: Some(3),
        expiration: Some("60000".into()),
        kind: Some("t".into()),
        ..Properties::default()
    };
    let expected = "005370c00b05415003700000ea604143005372c14706a30c782d62617369632d74797065a10174a30a782d65786368\
                    616e6765a100a30d782d726f7574696e672d6b6579a11663726f73732e616d71702d746f2d73747265616d2f71";
    assert_eq!(
        written(&message(key, &full, b"all"))[..hex(expected).len()],
        hex(expected)
    );
}

#[test]
fn what_0_9_1_has_comes_back_but_for_the_cluster_id() {
    let text = |text: &str| Some(text.to_owned());
    let mut headers = FieldTable::new();
    for (name, value) in [
        ("a", FieldValue::I32(1)),
        ("long", FieldValue::I64(1 << 40)),
        ("bytes", FieldValue::Bytes(vec![0, 255])),
        ("void", FieldValue::Void),
        ("time", FieldValue::Timestamp(1_000_000_000)),
        ("array", FieldValue::Array(vec![])),
        (
            "x-table",
            FieldValue::Table(FieldTable::of(&[("a", FieldValue::I16(-1))])),
        ),
        ("x-death", FieldValue::Void),
        ("x-stream-offset", FieldValue::I32(77)),
        ("CC", FieldValue::Array(vec![FieldValue::text("elsewhere")])),
    ] {
        headers.set(name, value);
    }
    let sent = Properties {
        content_type: text("text/plain"),
        content_encoding: text("gzip"),
        headers: Some(headers),
        delivery_mode: Some(2),
        priority: Some(9),
        correlation_id: text("urn:uuid:550e8400-e29b-41d4-a716-446655440000"),
        reply_to: text("r"),
        expiration: text("60000"),
        message_id: text("m"),
        timestamp: Some(1_000_000_000),
        kind: text("t"),
        user_id: text("guest"),
        app_id: text("app"),
        cluster_id: text("gone"),
    };
    let (read, mut got) = back(&written(&message("key", &sent, b"body")));
    assert_eq!(
        (read.exchange(), read.routing_key(), read.body()),
        (&b""[..], &b"key"[..], &b"body"[..])
    );
    let headers = got.headers.take().unwrap_or_default();
    let expected = Properties {
        headers: None,
        cluster_id: None,
        ..sent
    };
    assert_eq!(got, expected);
    assert_eq!(headers.get("bytes"), Some(&FieldValue::LongString(vec![0, 255])));
    assert_eq!(headers.get("void"), Some(&FieldValue::Void));
    assert_eq!(headers.get("time"), Some(&FieldValue::Timestamp(1_000_000_000)));
    assert_eq!((headers.get("array"), headers.get("x-death")), (None, None));
    assert_eq!(headers.get(OFFSET), Some(&FieldValue::I64(7)));
    let table = FieldTable::of(&[("a", FieldValue::I16(-1))]);
    assert_eq!(headers.get("x-table"), Some(&FieldValue::Table(table)));
    assert_eq!(
        headers.get("CC"),
        Some(&FieldValue::Array(vec![FieldValue::text("elsewhere")]))
    );
}

#[test]
fn messages_of_the_stream_protocol_are_read_as_rabbitmq_reads_them() {
    let (read, got) = back(&hex(
        "005373c0530da1026d31a0056775657374a102746fa1047375626aa1057265706c79a1026331a30a746578742f706c61696ea3057574662d3883000001d1a94a200083000000e8d4a5107ba1036772705205a10472677270005375a00178",
    ));
    assert_eq!((read.routing_key(), read.body()), (&b"the-stream"[..], &b"x"[..]));
    assert_eq!(got.message_id.as_deref(), Some("m1"));
    assert_eq!(
        (got.app_id.as_deref(), got.timestamp, got.delivery_mode),
        (Some("grp"), Some(1_000_000_000), Some(2))
    );
    let (_, got) = back(&hex("005373c00a01800000000000003039005375a00178"));
    assert_eq!(got.message_id.as_deref(), Some("12345"));
    let (_, got) = back(&hex("005373c00501a00200ff005375a00178"));
    let headers = got.headers.unwrap_or_default();
    assert_eq!(
        (got.message_id, headers.get("x-message-id")),
        (None, Some(&FieldValue::Bytes(vec![0, 255])))
    );
    let (read, _) = back(&hex("005375a0036f6e65005375a00374776f"));
    assert_eq!(read.body(), b"onetwo");
    let value = hex("005377c006025401a10161");
    let (read, got) = back(&value);
    assert_eq!((read.body(), got.kind.as_deref()), (&value[..], Some("amqp-1.0")));
}

#[test]
fn what_is_no_message_is_delivered_as_it_is() {
    for bytes in [&b"no sections"[..], &[0, 0x53, 0x75, 0xa0, 9, 1], &[0x00]] {
        let (read, got) = back(&Bytes::copy_from_slice(bytes));
        assert_eq!((read.body(), got.kind), (bytes, None));
    }
    assert_eq!(back(&Bytes::new()).0.body(), b"");
    // Annotations of other names, a footer, no body.
    assert_eq!(back(&hex("005372c10902a3036f776ea10177005378c10100")).0.body(), b"");
}

#[test]
fn a_list_that_is_long_says_its_length_in_four_bytes() {
    let mut headers = FieldTable::new();
    headers.set("x-list", FieldValue::Array(vec![FieldValue::text("0123456789"); 100]));
    let sent = Properties {
        headers: Some(headers.clone()),
        ..Properties::default()
    };
    let (_, got) = back(&written(&message("k", &sent, &[1; 300])));
    assert_eq!(got.headers.unwrap_or_default().get("x-list"), headers.get("x-list"));
}

proptest! {
    #[test]
    fn no_bytes_fail(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = back(&bytes.into());
    }

    #[test]
    fn no_sections_fail(sections in proptest::collection::vec((0x6fu8..0x7a, proptest::collection::vec(any::<u8>(), 0..40)), 0..5)) {
        let mut bytes = Vec::new();
        for (section, rest) in sections {
            begin(&mut bytes, section);
            bytes.extend(rest);
        }
        let _ = back(&bytes.into());
    }
}
