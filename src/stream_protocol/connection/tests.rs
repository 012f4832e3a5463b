//! Conversations frame by frame, as RabbitMQ has them.

use super::*;
use crate::heartbeat::Tick;
use crate::stream_protocol::codec::Frame;

const NOW: Timestamp = Timestamp(1_000_000);

/// A connection and what it has written.
struct Talk {
    connection: Connection,
    out: Vec<u8>,
}

impl Talk {
    fn new() -> Self {
        let settings = Settings {
            server_properties: vec![("product".into(), "Warren".into())],
            mechanisms: vec!["PLAIN".into(), "AMQPLAIN".into()],
            frame_max: 1 << 20,
            initial_frame_max: 4096,
            heartbeat: 60,
            step_timeout: Millis(10_000),
        };
        Self {
            connection: Connection::new(Arc::new(settings), NOW),
            out: Vec::new(),
        }
    }

    fn at_tune() -> Self {
        let mut talk = Self::new();
        talk.says(&ask(Request::PeerProperties {
            properties: Default::default(),
        }));
        talk.says(&ask(Request::SaslHandshake));
        talk.logs_in("PLAIN");
        talk.connection.log_in(NOW, &mut talk.out);
        talk.heard();
        talk
    }

    fn open(heartbeat: u32) -> Self {
        let mut talk = Self::at_tune();
        let frame_max = 1 << 20;
        talk.says(&encoded(&Command::Tune(Tune { frame_max, heartbeat })));
        talk.says(&ask(Request::Open { vhost: b"/" }));
        talk.connection.opened("host", 5552, &mut talk.out);
        talk.heard();
        talk
    }

    /// Takes one step over that input.
    fn says<'a>(&mut self, input: &'a [u8]) -> Step<'a> {
        self.connection.step(NOW, input, &mut self.out)
    }

    fn logs_in(&mut self, mechanism: &str) {
        self.says(&ask(Request::SaslAuthenticate {
            mechanism: mechanism.as_bytes(),
            data: Some(b"\0guest\0guest"),
        }));
    }

    /// Keys of what was written, those of answers with their codes.
    fn heard(&mut self) -> Vec<(Key, u16)> {
        let bytes = std::mem::take(&mut self.out);
        let mut rest = bytes.as_slice();
        let mut heard = Vec::new();
        while let Some((
            Frame {
                key, is_answer, body, ..
            },
            consumed,
        )) = frame::parse(rest, u32::MAX).expect("frames of ours")
        {
            let code = match (is_answer, Key::of(key)) {
                (true, _) | (_, Some(Key::Close)) => u16::from_be_bytes([body[4], body[5]]),
                _ => 0,
            };
            heard.push((Key::of(key).expect("a key"), code));
            rest = &rest[consumed..];
        }
        heard
    }
}

fn encoded(command: &Command<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    command.encode(&mut out);
    out
}

fn ask(request: Request<'_>) -> Vec<u8> {
    encoded(&Command::Ask {
        correlation: 7,
        request,
    })
}

#[test]
fn a_handshake_opens_a_virtual_host() {
    let mut talk = Talk::new();
    talk.says(&ask(Request::PeerProperties {
        properties: Default::default(),
    }));
    assert_eq!(talk.heard(), [(Key::PeerProperties, 1)]);
    talk.says(&ask(Request::SaslHandshake));
    assert_eq!(talk.heard(), [(Key::SaslHandshake, 1)]);
    let login = ask(Request::SaslAuthenticate {
        mechanism: b"PLAIN",
        data: Some(b"\0a\0b"),
    });
    let Step::Login { login, .. } = talk.says(&login) else {
        panic!("no login")
    };
    assert_eq!(
        (login.mechanism.as_str(), login.response.as_slice()),
        ("PLAIN", &b"\0a\0b"[..])
    );
    assert!(
        matches!(talk.says(&ask(Request::SaslHandshake)), Step::More(1)),
        "the answer is owed"
    );
    talk.connection.log_in(NOW, &mut talk.out);
    assert_eq!(talk.heard(), [(Key::SaslAuthenticate, 1), (Key::Tune, 0)]);
    let tune = Tune {
        frame_max: 0,
        heartbeat: 5,
    };
    talk.says(&encoded(&Command::Tune(tune)));
    let open = ask(Request::Open { vhost: b"v" });
    let Step::Open { vhost, .. } = talk.says(&open) else {
        panic!("no open")
    };
    assert_eq!(vhost, "v");
    talk.connection.opened("host", 5552, &mut talk.out);
    assert_eq!(talk.heard(), [(Key::Open, 1)]);
    assert!(talk.connection.is_open());
    assert_eq!(talk.connection.tuned(), tune);
}

#[test]
fn open_may_come_before_tune() {
    let mut talk = Talk::at_tune();
    talk.says(&ask(Request::Open { vhost: b"/" }));
    talk.connection.opened("host", 5552, &mut talk.out);
    assert_eq!(talk.heard(), [(Key::Open, 1)]);
}

#[test]
fn a_mechanism_that_is_not_offered_is_refused_and_the_connection_ends() {
    for mechanism in ["plain", "EXTERNAL"] {
        let mut talk = Talk::new();
        talk.says(&ask(Request::PeerProperties {
            properties: Default::default(),
        }));
        talk.says(&ask(Request::SaslHandshake));
        talk.heard();
        talk.logs_in(mechanism);
        assert_eq!(talk.heard(), [(Key::SaslAuthenticate, 7)]);
        assert!(talk.connection.is_ended());
    }
}

#[test]
fn refused_logins_and_virtual_hosts_hear_their_code() {
    let mut talk = Talk::new();
    talk.says(&ask(Request::PeerProperties {
        properties: Default::default(),
    }));
    talk.says(&ask(Request::SaslHandshake));
    talk.heard();
    talk.logs_in("PLAIN");
    talk.connection.refuse_login(Code::AuthenticationFailure, &mut talk.out);
    assert_eq!(talk.heard(), [(Key::SaslAuthenticate, 8)]);
    assert!(talk.connection.is_ended());
    let mut talk = Talk::at_tune();
    talk.says(&ask(Request::Open { vhost: b"" }));
    talk.connection.refuse_open(&mut talk.out);
    assert_eq!(talk.heard(), [(Key::Open, 12)]);
    assert!(talk.connection.is_ended());
}

#[test]
fn before_login_only_the_commands_of_login_are_taken() {
    let create = ask(Request::Delete { stream: b"s" });
    let authenticate = ask(Request::SaslAuthenticate {
        mechanism: b"PLAIN",
        data: None,
    });
    for (sent, answers) in [(&create, 0), (&authenticate, 0), (&ask(Request::SaslHandshake), 1)] {
        let mut talk = Talk::new();
        assert!(matches!(talk.says(sent), Step::End(Ending::OutOfOrder)));
        assert_eq!(talk.heard().len(), answers);
    }
    // Nor are large frames.
    let mut talk = Talk::new();
    assert!(matches!(talk.says(&[0, 1, 0, 0]), Step::End(Ending::Frame(_))));
    assert!(talk.out.is_empty());
}

#[test]
fn what_cannot_be_understood_is_told_and_an_answer_is_awaited() {
    let unknown: [&[u8]; 6] = [
        b"\0\0\0\x08\0\x63\0\x01\0\0\0\x07",
        b"\0\0\0\x08\0\x0d\0\x09\0\0\0\x07",
        b"\0\0\0\x05\0\x09\0\x01\x01",
        b"\0\0\0\x0a\x80\x0d\0\x01\0\0\0\x07\0\x01",
        b"\0\0\0\x0d\0\x03\0\x01\x01\0\0\0\0\0\0\0\0",
        b"\0\0\0\0",
    ];
    let mut again = vec![
        ask(Request::Open { vhost: b"/" }),
        ask(Request::SaslHandshake),
        encoded(&Command::Tune(Tune {
            frame_max: 1,
            heartbeat: 1,
        })),
    ];
    again.extend(unknown.map(<[u8]>::to_vec));
    for sent in again {
        let mut talk = Talk::open(0);
        assert!(matches!(talk.says(&sent), Step::Done { consumed } if consumed == sent.len()));
        assert_eq!(talk.heard(), [(Key::Close, 13)], "{sent:?}");
        assert!(!talk.connection.is_open() && !talk.connection.is_ended());
        assert_eq!(talk.connection.next_deadline(), Some(NOW + CLOSE_PATIENCE));
        let late = NOW + CLOSE_PATIENCE;
        assert_eq!(
            talk.connection.on_tick(late, &mut talk.out),
            Tick::End(Ending::NoAnswer)
        );
    }
}

#[test]
fn a_frame_that_is_too_large_is_refused_before_it_is_there() {
    let mut talk = Talk::open(0);
    assert!(matches!(talk.says(&[0x7f, 0, 0, 0]), Step::Done { consumed: 4 }));
    assert_eq!(talk.heard(), [(Key::Close, 14)]);
    // What follows is thrown away, whatever it is.
    assert!(matches!(talk.says(&[9; 1000]), Step::Done { consumed: 1000 }));
    assert!(talk.out.is_empty());
}

#[test]
fn a_close_of_the_server_ends_with_the_clients_answer() {
    let mut talk = Talk::open(0);
    talk.connection.close(NOW, Code::Ok, "bye", &mut talk.out);
    assert_eq!(talk.heard(), [(Key::Close, 1)]);
    let other = ask(Request::Delete { stream: b"s" });
    assert!(matches!(talk.says(&other), Step::Done { .. }));
    assert!(talk.out.is_empty(), "it is deaf to all else");
    assert!(matches!(
        talk.says(&encoded(&Command::Closed)),
        Step::End(Ending::Closed)
    ));
}

#[test]
fn a_client_closes() {
    let mut talk = Talk::open(0);
    let close = ask(Request::Close { code: 1, reason: b"OK" });
    let Step::Closing { correlation, .. } = talk.says(&close) else {
        panic!("no close")
    };
    talk.connection.closed(correlation, &mut talk.out);
    assert_eq!(talk.heard(), [(Key::Close, 1)]);
    assert!(talk.connection.is_ended());
}

#[test]
fn deliveries_are_of_version_2_once_the_client_says_so() {
    let mut talk = Talk::open(0);
    assert_eq!(talk.connection.deliver_version(), DeliverVersion::V1);
    // Deliver up to 2, and a command that nobody knows.
    let frame = b"\0\0\0\x18\0\x1b\0\x01\0\0\0\x07\0\0\0\x02\0\x63\0\x01\0\x01\0\x08\0\x01\0\x02";
    assert!(matches!(talk.says(frame), Step::Done { .. }));
    assert_eq!(talk.heard(), [(Key::CommandVersions, 1)]);
    assert_eq!(talk.connection.deliver_version(), DeliverVersion::V2);
}

#[test]
fn a_secret_is_renewed_by_the_same_mechanism_only() {
    let mut talk = Talk::open(0);
    talk.logs_in("AMQPLAIN");
    assert_eq!(talk.heard(), [(Key::SaslAuthenticate, 20)]);
    let login = ask(Request::SaslAuthenticate {
        mechanism: b"PLAIN",
        data: None,
    });
    assert!(matches!(talk.says(&login), Step::LoginAgain { correlation: 7, .. }));
}

#[test]
fn a_step_of_the_handshake_has_ten_seconds_of_its_own() {
    let mut talk = Talk::new();
    assert_eq!(talk.connection.next_deadline(), Some(NOW + Millis(10_000)));
    let later = NOW + Millis(9_000);
    let properties = ask(Request::PeerProperties {
        properties: Default::default(),
    });
    talk.connection.step(later, &properties, &mut talk.out);
    assert_eq!(
        talk.connection.on_tick(later + Millis(9_999), &mut talk.out),
        Tick::Nothing
    );
    let end = Tick::End(Ending::HandshakeTimeout);
    assert_eq!(talk.connection.on_tick(later + Millis(10_000), &mut talk.out), end);
}

#[test]
fn heartbeats_are_sent_and_missed() {
    let mut talk = Talk::open(2);
    assert_eq!(
        talk.connection.on_tick(NOW + Millis(1_000), &mut talk.out),
        Tick::Heartbeat
    );
    assert_eq!(talk.heard(), [(Key::Heartbeat, 0)]);
    let end = Tick::End(Ending::Silent);
    assert_eq!(talk.connection.on_tick(NOW + Millis(4_000), &mut talk.out), end);
    let mut talk = Talk::open(0);
    assert_eq!(talk.connection.next_deadline(), None);
    assert_eq!(
        talk.connection.on_tick(NOW + Millis(1_000_000), &mut talk.out),
        Tick::Nothing
    );
}
