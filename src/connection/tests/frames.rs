//! Frames on an open connection: refusals with RabbitMQ's words, channels, content, direct reads.

use super::*;
use crate::codec::method::{
    AccessRequest, BasicAck, BasicNack, BasicQos, BasicReject, ChannelFlow, ConnectionBlocked, ConnectionUpdateSecret,
    QueueDeclare, QueueDeclareOk,
};
use crate::types::ReplyCode;

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal"))
        .collect()
}

fn qos(channel: u16) -> Vec<u8> {
    on(channel, BasicQos::default())
}

fn closed_with(bytes: &[u8]) -> String {
    let mut session = Session::opened();
    let (channel, text) = session.answer(bytes);
    assert_eq!(channel, 0);
    assert!(!session.connection.is_open());
    text.strip_prefix("connection.close ").expect("a close").to_owned()
}

#[test]
fn refusals_of_the_connection_have_the_words_of_rabbitmq() {
    let declare_ok = QueueDeclareOk::default();
    let blocked = ConnectionBlocked::default();
    let flow = ChannelFlow { active: false };
    let method = "0100010000000a003c0028000000017800ce";
    let content = |frames: &str| hex(&format!("{method}{frames}"));
    let no_header =
        "505 60.40 UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead";
    let no_body = "505 60.40 UNEXPECTED_FRAME - expected content body, got non content body frame instead";
    let no_method = "505 0.0 UNEXPECTED_FRAME - expected method frame, got non method frame instead";
    let not_open = "CHANNEL_ERROR - expected 'channel.open'";
    let running = "CHANNEL_ERROR - unexpected method in connection state running";
    let unimplemented = "COMMAND_INVALID - unimplemented method";
    for (bytes, text) in [
        (
            open_channel(1),
            "504 20.10 CHANNEL_ERROR - second 'channel.open' seen".to_owned(),
        ),
        (close_channel(5), format!("504 20.40 {not_open}")),
        (on(5, QueueDeclare::default()), format!("504 50.10 {not_open}")),
        (publish(5, b"hello", FRAME_MAX), format!("504 60.40 {not_open}")),
        (on(1, Method::ChannelCloseOk), format!("503 20.41 {unimplemented}")),
        (on(1, declare_ok), format!("503 50.11 {unimplemented}")),
        (on(1, Method::BasicQosOk), format!("503 60.11 {unimplemented}")),
        (on(1, ConnectionClose::default()), format!("503 10.50 {unimplemented}")),
        (on(1, flow), "540 20.20 NOT_IMPLEMENTED - active=false".to_owned()),
        (on(0, blocked), format!("504 10.60 {running}")),
        (open("golden"), format!("504 10.40 {running}")),
        (tune_ok(0, 0, 0), format!("504 10.31 {running}")),
        (on(0, QueueDeclare::default()), format!("504 50.10 {running}")),
        (on(0, Method::ConnectionCloseOk), format!("504 10.51 {running}")),
        (open_channel(0), format!("504 20.10 {running}")),
        (hex("0300010000000568656c6c6fce"), no_method.to_owned()),
        (
            hex("0200010000000e003c000000000000000000050000ce"),
            no_method.to_owned(),
        ),
        (raw(3, 9, b"abc"), no_method.to_owned()),
        (
            raw(3, 0, b"abc"),
            "505 0.0 UNEXPECTED_FRAME - type 3, all octets = <<\"abc\">>".to_owned(),
        ),
        (
            raw(8, 1, b""),
            "505 0.0 UNEXPECTED_FRAME - type 8, all octets = <<>>".to_owned(),
        ),
        (
            raw(8, 0, b"xyz"),
            "501 0.0 FRAME_ERROR - type 8, all octets = <<\"xyz\">>: unknown_frame".to_owned(),
        ),
        (
            hex("01000100000000ce"),
            "501 0.0 FRAME_ERROR - type 1, all octets = <<>>: unknown_frame".to_owned(),
        ),
        (content("03000100000003616263ce"), no_header.to_owned()),
        (content("0100010000000b003c000a00000000000000ce"), no_header.to_owned()),
        (
            content("0200010000000e003c000700000000000000000000ce"),
            no_header.to_owned(),
        ),
        (
            content("0200010000000e0032000000000000000000030000ce"),
            "505 60.40 UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead"
                .to_owned(),
        ),
        (
            content("0200010000000e003c000000000000000000020000ce0100010000000b003c000a00000000000000ce"),
            no_body.to_owned(),
        ),
        (
            content("02000100000004003c0000ce"),
            "501 0.0 FRAME_ERROR - type 2, all octets = <<0,60,0,0>>: unknown_frame".to_owned(),
        ),
        (
            hex("0100010000000e0032000a000002fffe0000000000ce"),
            "501 0.0 FRAME_ERROR - Malformed UTF-8 in shortstr".to_owned(),
        ),
        (
            hex("010001000000100032000a00000178000000012c016156ce"),
            "501 50.10 FRAME_ERROR - cannot decode <<0,0,1,120,0,0,0,1,44,1,97,86>>".to_owned(),
        ),
        (
            hex("0100010000000f003c000a000000000001007a7a7a7ace"),
            "501 60.10 FRAME_ERROR - cannot decode <<0,0,0,0,0,1,0,122,122,122,122>>".to_owned(),
        ),
        (
            hex("01000100000005003c0050ffce"),
            "501 60.80 FRAME_ERROR - cannot decode <<255>>".to_owned(),
        ),
        (
            hex("0300010004000000"),
            "501 0.0 FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,262144,131064}".to_owned(),
        ),
    ] {
        assert_eq!(closed_with(&bytes), text, "{bytes:02x?}");
    }
}

#[test]
fn unknown_methods_and_bad_tables_end_silently() {
    for bytes in [
        "0100010000000400de000ace",
        "01000100000004003200dece",
        "0100000000000400de000ace",
        "010001000000100032000a00000178000000000301615ace",
    ] {
        let mut session = Session::opened();
        session.feed(&hex(bytes));
        assert!(matches!(session.seen[..], [Seen::End(Ending::Method(_))]));
        assert_eq!(session.written(), []);
    }
}

#[test]
fn after_bytes_that_are_no_frame_nothing_is_looked_at() {
    let close_ok = on(0, Method::ConnectionCloseOk);
    for (bad, is_deaf) in [
        ("0100010000000b003c000a00000000000100aa", true),
        ("0300010004000000", true),
        ("07000100000003616263ce", false),
    ] {
        let mut session = Session::opened();
        session.feed(&hex(bad));
        session.feed(&close_ok);
        let ended = session.seen.last() == Some(&Seen::End(Ending::Closed));
        assert_eq!(ended, !is_deaf, "{bad}");
        assert_eq!(session.connection.next_deadline().is_some(), is_deaf);
    }
}

#[test]
fn a_payload_of_frame_max_is_tolerated() {
    let mut session = Session::tuned(2047, 8192, 0);
    session.feed(&publish(1, &[1; 8192], 8200));
    assert!(matches!(&session.seen[..], [Seen::Publish { body, .. }] if body.len() == 8192));
    assert!(
        session
            .answer(&publish(1, &[1; 8193], 8201))
            .1
            .ends_with("{frame_too_large,8193,8184}")
    );
}

#[test]
fn the_channel_limit_counts_channels_not_numbers() {
    let mut session = Session::tuned(2, FRAME_MAX, 0);
    assert_eq!(session.answer(&open_channel(65_535)).1, "channel.open-ok");
    assert_eq!(session.connection.channel_count(), 2);
    assert_eq!(
        session.answer(&open_channel(3)),
        (
            0,
            "connection.close 530 0.0 NOT_ALLOWED - number of channels opened (2) has reached the negotiated \
             channel_max (2)"
                .into()
        )
    );
}

#[test]
fn channels_open_and_close() {
    let mut session = Session::opened();
    assert_eq!(session.answer(&open_channel(7)), (7, "channel.open-ok".into()));
    assert_eq!(session.answer(&close_channel(7)), (7, "channel.close-ok".into()));
    assert_eq!(session.connection.channel_count(), 1);
    assert_eq!(session.answer(&open_channel(7)), (7, "channel.open-ok".into()));
    assert_eq!(
        session.seen,
        [Seen::OpenChannel(7), Seen::CloseChannel(7), Seen::OpenChannel(7)]
    );
}

#[test]
fn a_channel_we_closed_drops_what_comes_until_close_ok() {
    let mut session = Session::opened();
    session.feed(&open_channel(2));
    session.written();
    session.seen.clear();
    let reply = Reply::channel(ReplyCode::NotFound, "no queue 'q' in vhost 'golden'");
    for _ in 0..2 {
        session.connection.close_channel(1, (50, 10), &reply, &mut session.out);
    }
    let text = "channel.close 404 50.10 NOT_FOUND - no queue 'q' in vhost 'golden'";
    assert_eq!(session.written(), [(1, text.into())]);
    session.feed(&[qos(1), publish(1, b"late", FRAME_MAX), raw(3, 1, b"abc")].concat());
    assert_eq!((session.written(), session.seen.len()), (vec![], 0));
    session.feed(&qos(2));
    assert_eq!(session.seen, [Seen::Method(2, BasicQos::default().into())]);
    session.feed(&on(1, Method::ChannelCloseOk));
    assert_eq!(session.answer(&open_channel(1)), (1, "channel.open-ok".into()));
}

#[test]
fn a_channel_we_closed_may_be_opened_at_once_or_closed_by_both() {
    let reply = Reply::channel(ReplyCode::NotFound, "");
    let mut session = Session::opened();
    session.connection.close_channel(1, (0, 0), &reply, &mut session.out);
    session.written();
    assert_eq!(session.answer(&open_channel(1)), (1, "channel.open-ok".into()));
    session.connection.close_channel(1, (0, 0), &reply, &mut session.out);
    session.written();
    assert_eq!(session.answer(&close_channel(1)), (1, "channel.close-ok".into()));
    session.feed(&on(1, Method::ChannelCloseOk));
    assert_eq!(session.connection.channel_count(), 0);
}

#[test]
fn some_methods_are_answered_here() {
    let mut session = Session::opened();
    assert_eq!(
        session.answer(&on(1, ChannelFlow { active: true })),
        (1, "channel.flow-ok".into())
    );
    session.feed(&on(1, AccessRequest::default()));
    assert_eq!(session.out, raw(1, 1, &[0, 30, 0, 11, 0, 1]));
    session.out.clear();
    session.feed(&frame::HEARTBEAT);
    assert_eq!((session.out.len(), session.seen.len()), (0, 0));
    let update = ConnectionUpdateSecret {
        new_secret: b"s".to_vec(),
        reason: "r".into(),
    };
    assert_eq!(
        session.answer(&on(0, update)),
        (0, "connection.update-secret-ok".into())
    );
    assert_eq!(session.seen, [Seen::UpdateSecret(b"s".to_vec())]);
}

#[test]
fn settlements_and_other_methods_go_to_the_session() {
    let mut session = Session::opened();
    let ack = BasicAck {
        delivery_tag: 9,
        multiple: true,
    };
    let nack = BasicNack {
        delivery_tag: 8,
        multiple: false,
        requeue: true,
    };
    let reject = BasicReject {
        delivery_tag: 7,
        requeue: true,
    };
    session.feed(&[on(1, ack), on(1, nack), on(1, reject), on(1, Method::TxSelect)].concat());
    let ack = Ack {
        delivery_tag: 9,
        multiple: true,
    };
    let nack = Nack {
        delivery_tag: 8,
        multiple: false,
        requeue: true,
    };
    let reject = Reject {
        delivery_tag: 7,
        requeue: true,
    };
    assert_eq!(
        session.seen,
        [
            Seen::Ack(1, ack),
            Seen::Nack(1, nack),
            Seen::Reject(1, reject),
            Seen::Method(1, Method::TxSelect)
        ]
    );
}

#[test]
fn contents_of_several_channels_may_mix() {
    let mut session = Session::opened();
    session.feed(&open_channel(2));
    session.seen.clear();
    let split = |bytes: Vec<u8>| {
        let mut frames = Vec::new();
        let mut rest = &bytes[..];
        while let Some((_, taken)) = frame::parse(rest, FRAME_MAX).expect("good") {
            frames.push(rest[..taken].to_vec());
            rest = &rest[taken..];
        }
        frames
    };
    let (one, two) = (split(publish(1, &[1; 20], 18)), split(publish(2, &[2; 20], 18)));
    for (one, two) in one.iter().zip(&two) {
        session.feed(one);
        session.feed(two);
    }
    let bodies: Vec<_> = session
        .seen
        .iter()
        .map(|seen| match seen {
            Seen::Publish { channel, body, .. } => (*channel, body.clone()),
            seen => panic!("{seen:?}"),
        })
        .collect();
    assert_eq!(bodies, [(1, vec![1; 20]), (2, vec![2; 20])]);
}

#[test]
fn a_body_that_is_too_long_trips_over_the_next_method() {
    let mut session = Session::opened();
    let bytes =
        "0100010000000a003c0028000000017800ce0200010000000e003c000000000000000000020000ce03000100000006616263646566ce";
    session.feed(&hex(bytes));
    assert_eq!((session.written(), session.seen.len()), (vec![], 0));
    assert!(
        session
            .answer(&qos(1))
            .1
            .ends_with("got non content body frame instead")
    );
}

#[test]
fn a_message_above_the_limit_closes_its_channel_and_its_bodies_are_swallowed() {
    for (limit, size) in [(1_000_000, 1_000_001), (10, 11)] {
        let mut settings = settings();
        settings.max_message_size = ByteSize(limit);
        let mut session = Session::with(settings);
        session.feed(HEADER);
        session.feed(&start_ok("PLAIN", b"\0guest\0guest", true));
        session.feed(&[tune_ok(2047, FRAME_MAX, 0), open("/"), open_channel(1)].concat());
        session.out.clear();
        session.feed(&publish(1, &vec![7; limit as usize], FRAME_MAX));
        assert!(matches!(session.seen.last(), Some(Seen::Publish { .. })));
        let (channel, text) = session.answer(&publish(1, &vec![7; size], FRAME_MAX));
        assert_eq!(
            (channel, text),
            (
                1,
                format!(
                    "channel.close 406 60.40 PRECONDITION_FAILED - message size {size} is larger than configured \
                     max size {limit}"
                )
            )
        );
        session.feed(&on(1, Method::ChannelCloseOk));
        assert_eq!(session.answer(&open_channel(1)), (1, "channel.open-ok".into()));
    }
}

/// A direct session that has been given a publish of two body frames but for the last `missing`
/// bytes, a few bytes at a time.
fn direct_session(missing: usize) -> (Session, Vec<u8>) {
    let mut session = Session::opened();
    session.is_direct = true;
    let bytes = publish(1, &[5; 40_000], 20_008);
    for part in bytes[..bytes.len() - missing].chunks(1_000) {
        session.feed(part);
    }
    (session, bytes[bytes.len() - missing..].to_vec())
}

#[test]
fn large_bodies_are_read_straight_into_their_buffer() {
    let (mut session, rest) = direct_session(5_000);
    assert!(session.input.is_empty());
    let direct = session.connection.direct(&[]).expect("in the midst of a body frame");
    assert_eq!((direct.left, direct.buffer.len()), (4_999, 35_001));
    assert!(direct.buffer.capacity() - direct.buffer.len() >= direct.left);
    session.feed(&rest);
    assert!(matches!(&session.seen[..], [Seen::Publish { body, .. }] if *body == [5; 40_000]));
    assert!(session.connection.direct(&[]).is_none());
}

#[test]
fn the_rest_of_a_body_may_come_the_ordinary_way() {
    let (mut session, rest) = direct_session(5_000);
    session.is_direct = false;
    session.feed(&rest);
    assert!(matches!(&session.seen[..], [Seen::Publish { body, .. }] if *body == [5; 40_000]));
}

#[test]
fn a_body_read_straight_must_end_like_a_frame() {
    let (mut session, _) = direct_session(1);
    let text = "connection.close 501 0.0 FRAME_ERROR - type 3, first 16 octets = <<5,5,5,5,5,5,5,5,5,5,5,5,5,5,5,5>>: \
                {invalid_frame_end_marker,";
    assert!(session.answer(&[0xAA]).1.starts_with(text));
}

#[test]
fn a_body_whose_channel_closes_meanwhile_is_skipped() {
    let reply = Reply::channel(ReplyCode::NotFound, "");
    let (mut session, rest) = direct_session(5_000);
    session.connection.close_channel(1, (0, 0), &reply, &mut session.out);
    session.written();
    assert!(session.connection.direct(&[]).is_none());
    session.feed(&rest);
    assert_eq!(session.answer(&open_channel(1)), (1, "channel.open-ok".into()));

    let (mut session, rest) = direct_session(5_000);
    session.connection.close(session.now, (0, 0), &reply, &mut session.out);
    session.feed(&[rest, on(0, Method::ConnectionCloseOk)].concat());
    assert_eq!(session.seen, [Seen::End(Ending::Closed)]);
}
