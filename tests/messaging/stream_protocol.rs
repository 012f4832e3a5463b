//! The stream protocol frame by frame: what clients of it are told, and what nobody may do to a node.

use warren::stream_protocol::codec::{Code, Command, Key, Request, StartAt};

use crate::support::stream::{Heard, Stream, publish};
use crate::support::*;

/// A broker with a listener for the protocol.
fn broker() -> Broker {
    Broker::start_with(&["--stream", "127.0.0.1:0"])
}

fn messages(numbers: std::ops::Range<u64>) -> Vec<(u64, String)> {
    numbers.map(|number| (number, format!("m{number}"))).collect()
}
#[test]
fn what_is_published_is_confirmed_delivered_and_survives() {
    let mut broker = broker();
    let mut client = Stream::open(&broker);
    client.create("s");
    client.declare("", "s");
    client.publish(&(0..100).collect::<Vec<_>>());
    broker.kill9();
    broker.restart();
    let mut client = Stream::open(&broker);
    client.subscribe("s", StartAt::First, &[]);
    assert_eq!(client.read(100), messages(0..100));
    client.declare("", "s");
    client.publish(&[100]);
    assert_eq!(client.read(1), messages(100..101));
}

/// Whoever declared it goes on at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_led_when_its_declaration_over_amqp_or_http_is_answered() {
    let broker = broker();
    let amqp = broker.client().await;
    let mut client = Stream::open(&broker);
    for number in 0..20 {
        let (declared, put) = (format!("declared-{number}"), format!("put-{number}"));
        amqp.queue(&declared, table([("x-queue-type", text("stream"))])).await;
        let body = r#"{"durable": true, "arguments": {"x-queue-type": "stream"}}"#;
        broker
            .http()
            .put(&format!("/api/queues/%2f/{put}"), body)
            .expect_status(201);
        for (id, stream) in [(1, declared), (2, put)] {
            client.expect_ok(Request::DeclarePublisher {
                publisher: id,
                reference: b"",
                stream: stream.as_bytes(),
            });
            client.expect_ok(Request::DeletePublisher { publisher: id });
        }
    }
}

#[test]
fn a_named_publisher_is_written_once_over_connections_and_restarts() {
    let mut broker = broker();
    let mut client = Stream::open(&broker);
    client.create("s");
    client.declare("me", "s");
    client.publish(&[0, 1, 2]);
    client.publish(&[1, 2, 3]);
    broker.kill9();
    broker.restart();
    let mut client = Stream::open(&broker);
    let last = client.ask(Request::QueryPublisherSequence {
        reference: b"me",
        stream: b"s",
    });
    assert_eq!(last.body[6..], 3_u64.to_be_bytes());
    client.declare("me", "s");
    client.publish(&[3, 4]);
    client.raw(&publish(&[4, 4]));
    let heard = client.hear().expect("a confirm");
    assert_eq!(
        (heard.key, &heard.body[1..]),
        (Key::PublishConfirm, &b"\0\0\0\x01\0\0\0\0\0\0\0\x04"[..])
    );
    client.subscribe("s", StartAt::First, &[]);
    assert_eq!(client.read(5), messages(0..5));
}

#[test]
fn a_stored_offset_is_there_at_once_and_after_a_restart() {
    let mut broker = broker();
    let mut client = Stream::open(&broker);
    client.create("s");
    let ask = Request::QueryOffset {
        reference: b"r",
        stream: b"s",
    };
    assert_eq!(client.ask(ask).code(), Code::NoOffset as u16);
    client.send(&Command::StoreOffset {
        reference: b"r",
        stream: b"s",
        offset: 7,
    });
    assert_eq!(client.ask(ask).body[6..], 7_u64.to_be_bytes());
    // What follows it is on disk only after it.
    client.declare("", "s");
    client.publish(&[1]);
    broker.kill9();
    broker.restart();
    assert_eq!(Stream::open(&broker).ask(ask).body[6..], 7_u64.to_be_bytes());
}

#[test]
fn whoever_uses_a_stream_hears_that_it_is_deleted() {
    let broker = broker();
    let (mut writer, mut reader, mut other) = (Stream::open(&broker), Stream::open(&broker), Stream::open(&broker));
    writer.create("s");
    writer.declare("", "s");
    reader.subscribe("s", StartAt::Next, &[]);
    other.delete("s");
    for client in [&mut writer, &mut reader] {
        let heard = client.hear().expect("an update");
        assert_eq!(
            (heard.key, &heard.body[..]),
            (Key::MetadataUpdate, &b"\0\x06\0\x01s"[..])
        );
    }
    writer.raw(&publish(&[9]));
    let refused = writer.hear().expect("an error");
    assert_eq!(refused.key, Key::PublishError);
    assert_eq!(refused.body[13..], (Code::NoPublisher as u16).to_be_bytes());
}

#[test]
fn of_a_group_one_reads_and_the_next_begins_when_it_goes() {
    let broker = broker();
    let (mut first, mut second) = (Stream::open(&broker), Stream::open(&broker));
    first.create("s");
    first.declare("", "s");
    first.publish(&[0, 1]);
    let group = [("single-active-consumer", "true"), ("name", "app")];
    let is_turn = |heard: &Heard| (heard.key, heard.body[4..].to_vec()) == (Key::ConsumerUpdate, vec![1, 1]);
    let answer = |heard: &Heard, start| Command::ConsumerUpdated {
        correlation: u32::from_be_bytes(heard.body[..4].try_into().expect("four bytes")),
        code: 1,
        start,
    };
    first.subscribe("s", StartAt::First, &group);
    second.subscribe("s", StartAt::First, &group);
    let turn = first.hear().expect("an update");
    assert!(is_turn(&turn), "{turn:?}");
    first.send(&answer(&turn, None));
    assert_eq!(first.read(2), messages(0..2));
    drop(first);
    let turn = second.hear().expect("an update");
    assert!(is_turn(&turn), "{turn:?}");
    second.send(&answer(&turn, Some(StartAt::Offset(1))));
    assert_eq!(second.read(1)[0].1, "m0", "a chunk comes whole");
}

#[test]
fn a_wrong_password_and_a_loopback_user_hear_their_code_and_the_end() {
    let broker = broker();
    let mut client = Stream::connect(&broker);
    client.introduce();
    assert_eq!(client.log_in("guest", "wrong"), Code::AuthenticationFailure as u16);
    assert_eq!(client.hear(), None);
}

#[test]
fn frames_that_are_none_close_the_connection_and_nothing_else() {
    let broker = broker();
    let mut witness = Stream::open(&broker);
    witness.create("s");
    let torn = {
        let mut frame = publish(&[1, 2]);
        // The last message says that it is longer than the frame.
        let at = frame.len() - 6;
        frame[at..at + 4].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff]);
        frame
    };
    let hostile: [&[u8]; 5] = [
        &[0, 0, 0, 0],
        &[0x7f, 0xff, 0xff, 0xff],
        b"\0\0\0\x08\0\x63\0\x01\0\0\0\x07",
        b"\0\0\0\x0c\0\x0f\0\x01\0\0\0\x07\x7f\xff\xff\xff",
        &torn,
    ];
    for bytes in hostile {
        let mut client = Stream::open(&broker);
        client.declare("", "s");
        client.raw(bytes);
        let heard = client.hear().expect("a close");
        assert_eq!(heard.key, Key::Close, "{bytes:?}");
    }
    // A large frame of somebody unknown is not even answered.
    let mut stranger = Stream::connect(&broker);
    stranger.raw(&[0, 0x10, 0, 0]);
    assert_eq!(stranger.hear(), None);
    witness.declare("", "s");
    witness.publish(&[1]);
}

#[test]
fn the_listener_is_in_the_overview_and_the_connection_in_the_list() {
    let broker = broker();
    let client = Stream::open(&broker);
    let overview = broker.http().get("/api/overview").json();
    let listeners = overview["listeners"].as_array().expect("listeners");
    let protocols: Vec<_> = listeners.iter().map(|listener| &listener["protocol"]).collect();
    assert!(protocols.iter().any(|protocol| *protocol == "stream"), "{protocols:?}");
    let connections = broker.http().get("/api/connections").json();
    assert_eq!(connections[0]["protocol"], "stream");
    drop(client);
}
