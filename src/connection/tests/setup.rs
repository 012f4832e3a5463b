//! The handshake, and closing.

use super::*;
use crate::codec::method;
use crate::types::ReplyCode;

/// The ending after the header and these frames, which must be silent.
fn silent_end(frames: &[Vec<u8>]) -> Ending {
    let mut session = Session::new();
    session.feed(HEADER);
    for frame in frames {
        session.feed(frame);
    }
    let written = session.written();
    assert!(
        written
            .iter()
            .all(|(_, method)| ["connection.start", "connection.tune"].contains(&method.as_str())),
        "{written:?}"
    );
    match session.seen.pop() {
        Some(Seen::End(ending)) => ending,
        seen => panic!("the connection should have ended, but {seen:?}"),
    }
}

fn logged_in() -> Vec<u8> {
    start_ok("PLAIN", b"\0guest\0guest", true)
}

fn reply() -> Reply {
    Reply::connection(ReplyCode::ConnectionForced, "because golden")
}

#[test]
fn a_good_handshake_opens_the_connection() {
    let mut session = Session::new();
    assert_eq!(session.answer(HEADER), (0, "connection.start".into()));
    assert_eq!(session.answer(&logged_in()), (0, "connection.tune".into()));
    session.feed(&tune_ok(100, 8192, 30));
    assert_eq!(session.answer(&open("golden")), (0, "connection.open-ok".into()));
    let connection = &session.connection;
    assert!(connection.is_open());
    assert_eq!(
        (connection.channel_max(), connection.frame_max(), connection.heartbeat()),
        (100, 8192, 30)
    );
    assert!(connection.client().capabilities.authentication_failure_close);
    assert_eq!(session.seen, [Seen::Login("PLAIN".into()), Seen::Open("golden".into())]);
}

#[test]
fn start_and_tune_offer_the_settings() {
    let mut session = Session::new();
    session.feed(HEADER);
    let frame = frame::parse(&session.out, FRAME_MAX).expect("good").expect("whole").0;
    let Ok(Method::ConnectionStart(start)) = Method::parse(frame.payload) else {
        panic!("not a start")
    };
    assert_eq!((start.version_major, start.version_minor), (0, 9));
    assert_eq!(start.mechanisms, b"AMQPLAIN PLAIN ANONYMOUS");
    assert_eq!(start.locales, b"en_US");
    assert_eq!(start.server_properties, settings().server_properties);
    session.out.clear();
    session.feed(&logged_in());
    let frame = frame::parse(&session.out, FRAME_MAX).expect("good").expect("whole").0;
    let Ok(Method::ConnectionTune(tune)) = Method::parse(frame.payload) else {
        panic!("not a tune")
    };
    assert_eq!((tune.channel_max, tune.frame_max, tune.heartbeat), (2047, 131_072, 60));
}

#[test]
fn a_whole_handshake_may_come_at_once() {
    let mut session = Session::new();
    session.feed(
        &[
            HEADER.to_vec(),
            logged_in(),
            tune_ok(1, 4096, 0),
            open("/"),
            open_channel(1),
        ]
        .concat(),
    );
    let methods: Vec<_> = session.written().into_iter().map(|(_, method)| method).collect();
    assert_eq!(
        methods,
        [
            "connection.start",
            "connection.tune",
            "connection.open-ok",
            "channel.open-ok"
        ]
    );
}

#[test]
fn wrong_headers_are_answered_with_the_right_one() {
    for header in [
        b"AMQP\x00\x00\x09\x00",
        b"AMQP\x00\x01\x00\x00",
        b"AMQP\x03\x01\x00\x00",
        b"AMQP\x01\x01\x08\x00",
        b"GET / HT",
        &[0; 8],
    ] {
        let mut session = Session::new();
        session.feed(header);
        assert_eq!(session.out, HEADER);
        assert_eq!(session.seen, [Seen::End(Ending::BadHeader(*header))]);
    }
    let mut session = Session::new();
    assert_eq!(session.answer(b"AMQP\x01\x01\x00\x09"), (0, "connection.start".into()));
}

#[test]
fn refused_logins_are_told_to_clients_that_want_it() {
    for (mechanism, response, wants_close, is_told) in [
        ("PLAIN", &b"\0guest\0wrong"[..], true, true),
        ("AMQPLAIN", b"\0", true, true),
        ("PLAIN", b"\0guest\0wrong", false, false),
        ("PLAIN", b"malformed", true, false),
    ] {
        let mut session = Session::new();
        session.feed(HEADER);
        session.out.clear();
        session.feed(&start_ok(mechanism, response, wants_close));
        let written = session.written();
        if is_told {
            let text = format!(
                "connection.close 403 0.0 ACCESS_REFUSED - Login was refused using authentication mechanism \
                 {mechanism}. For details see the broker logfile."
            );
            assert_eq!(written, [(0, text)]);
            session.feed(&on(0, Method::ConnectionCloseOk));
            assert_eq!(session.seen.last(), Some(&Seen::End(Ending::Closed)));
        } else {
            assert_eq!(written, []);
            assert_eq!(session.seen.last(), Some(&Seen::End(Ending::LoginRefused)));
        }
    }
}

#[test]
fn unknown_mechanisms_end_silently() {
    for mechanism in ["SCRAM-SHA-1", "EXTERNAL", "plain", ""] {
        let ending = silent_end(&[start_ok(mechanism, b"\0guest\0guest", true)]);
        assert_eq!(ending, Ending::NoMechanism(mechanism.into()));
    }
}

#[test]
fn tuning_outside_of_the_offer_ends_silently() {
    for (channel_max, frame_max, field) in [
        (0, 131_072, "channel_max"),
        (2048, 131_072, "channel_max"),
        (2047, 0, "frame_max"),
        (2047, 4095, "frame_max"),
        (2047, 131_073, "frame_max"),
    ] {
        match silent_end(&[logged_in(), tune_ok(channel_max, frame_max, 60), open("/")]) {
            Ending::Tuning { field: found, .. } => assert_eq!(found, field),
            ending => panic!("{ending:?}"),
        }
    }
    for (channel_max, frame_max, heartbeat) in [(1, 131_072, 60), (2047, 4096, 600), (2047, 8192, 1)] {
        Session::tuned(channel_max, frame_max, heartbeat);
    }
}

#[test]
fn what_comes_out_of_order_before_open_ends_silently() {
    let secure_ok = on(0, method::ConnectionSecureOk::default());
    assert_eq!(silent_end(&[open("/")]), Ending::OutOfOrder((10, 40)));
    assert_eq!(silent_end(&[secure_ok]), Ending::OutOfOrder((10, 21)));
    assert_eq!(silent_end(&[logged_in(), open("/")]), Ending::OutOfOrder((10, 40)));
    assert_eq!(silent_end(&[logged_in(), logged_in()]), Ending::OutOfOrder((10, 11)));
    assert!(matches!(silent_end(&[open_channel(1)]), Ending::Frame(_)));
    assert!(matches!(silent_end(&[raw(1, 0, &[0, 10, 0, 11])]), Ending::Method(_)));
    assert!(matches!(silent_end(&[raw(7, 0, b"abc")]), Ending::Frame(_)));
    assert!(matches!(silent_end(&[vec![1, 0, 0, 0, 0, 0x10, 1]]), Ending::Frame(_)));
}

#[test]
fn what_comes_instead_of_open_is_refused_aloud() {
    let refused = |bytes: &[u8]| {
        let mut session = Session::new();
        session.feed(&[HEADER.to_vec(), logged_in(), tune_ok(2047, FRAME_MAX, 0)].concat());
        session.out.clear();
        session.answer(bytes).1
    };
    assert_eq!(
        refused(&open_channel(1)),
        "connection.close 505 0.0 UNEXPECTED_FRAME - type 1, all octets = <<0,20,0,10,0>>"
    );
    assert_eq!(
        refused(&tune_ok(1, 4096, 0)),
        "connection.close 504 10.31 CHANNEL_ERROR - unexpected method in connection state opening"
    );
}

#[test]
fn untrusted_clients_may_send_little() {
    let mut session = Session::new();
    session.feed(HEADER);
    for _ in 0..16 * 1024 / 8 {
        session.feed(&frame::HEARTBEAT);
    }
    assert_eq!(session.seen, []);
    session.feed(&frame::HEARTBEAT);
    assert_eq!(session.seen, [Seen::End(Ending::TooMuch)]);
}

#[test]
fn nothing_is_taken_while_the_session_owes_an_answer() {
    let mut connection = Connection::new(Arc::new(settings()), Timestamp(0));
    let mut out = Vec::new();
    let mut step = |connection: &mut Connection, input: &[u8]| match connection.step(Timestamp(0), input, &mut out) {
        Step::Login { .. } => "login",
        Step::Open { .. } => "open",
        Step::Done { .. } => "done",
        Step::More(1) => "more",
        step => panic!("{step:?}"),
    };
    assert_eq!(step(&mut connection, HEADER), "done");
    assert_eq!(step(&mut connection, &logged_in()), "login");
    assert_eq!(step(&mut connection, &tune_ok(1, 4096, 0)), "more");
    connection.log_in(&mut Vec::new());
    assert_eq!(step(&mut connection, &tune_ok(1, 4096, 0)), "done");
    assert_eq!(step(&mut connection, &open("/")), "open");
    assert_eq!(step(&mut connection, &open_channel(1)), "more");
    assert!(!connection.is_open());
}

#[test]
fn answers_out_of_place_write_nothing() {
    let mut session = Session::new();
    let Session { connection, out, .. } = &mut session;
    connection.log_in(out);
    connection.opened(out);
    connection.channel_opened(1, out);
    connection.channel_closed(1, out);
    connection.secret_updated(out);
    connection.close_channel(1, (0, 0), &reply(), out);
    assert_eq!(session.out, [0; 0]);
    session
        .connection
        .close(session.now, (0, 0), &reply(), &mut session.out);
    assert_eq!(
        session.out, [0; 0],
        "there is no one to tell before the protocol header"
    );
    assert!(session.connection.is_ended());
}

#[test]
fn a_client_that_closes_is_answered_and_then_ignored() {
    let mut session = Session::opened();
    assert_eq!(session.answer(&close()), (0, "connection.close-ok".into()));
    session.feed(&[publish(1, b"late", FRAME_MAX), open_channel(2)].concat());
    assert_eq!(session.written(), []);
    assert_eq!(session.seen, [Seen::Closing]);
    assert!(!session.connection.is_open());
}

#[test]
fn a_client_may_give_up_in_the_handshake() {
    let mut session = Session::new();
    session.feed(HEADER);
    session.out.clear();
    assert_eq!(session.answer(&close()), (0, "connection.close-ok".into()));
}

#[test]
fn our_close_is_written_once_and_ends_with_the_answer() {
    let mut session = Session::opened();
    for _ in 0..2 {
        session
            .connection
            .close(session.now, (0, 0), &reply(), &mut session.out);
    }
    let text = "connection.close 320 0.0 CONNECTION_FORCED - because golden";
    assert_eq!(session.written(), [(0, text.into())]);
    session.feed(&[publish(1, b"late", FRAME_MAX), open_channel(2), raw(7, 1, b"")].concat());
    assert_eq!((session.written(), session.seen.len()), (vec![], 0));
    session.feed(&on(0, Method::ConnectionCloseOk));
    assert_eq!(session.seen, [Seen::End(Ending::Closed)]);
}

#[test]
fn both_may_close_at_once() {
    let mut session = Session::opened();
    session
        .connection
        .close(session.now, (0, 0), &reply(), &mut session.out);
    session.out.clear();
    assert_eq!(session.answer(&close()), (0, "connection.close-ok".into()));
    session.feed(&on(0, Method::ConnectionCloseOk));
    assert_eq!(session.seen, [Seen::End(Ending::Closed)]);
}
