//! The stream protocol frame by frame: what clients of it are told, and what nobody may do to a node.

use std::io::{Read, Write};
use std::net::TcpStream;

use warren::stream_protocol::codec::request::{Subscribe, Tune};
use warren::stream_protocol::codec::{Code, Command, Key, Request, StartAt, frame};

use crate::support::*;

/// Bytes before the data of a chunk.
const CHUNK_HEADER: usize = 48;

/// A connection of the stream protocol.
struct Stream {
    socket: TcpStream,
    input: Vec<u8>,
    /// Unasked frames that came before an answer.
    unasked: Vec<Heard>,
    correlation: u32,
}

/// A frame of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Heard {
    key: Key,
    is_answer: bool,
    body: Vec<u8>,
}

impl Heard {
    /// The code of an answer, behind its correlation id.
    fn code(&self) -> u16 {
        u16::from_be_bytes([self.body[4], self.body[5]])
    }
}

/// A broker with a listener for the protocol.
fn broker() -> Broker {
    Broker::start_with(&["--stream", "127.0.0.1:0"])
}

impl Stream {
    fn connect(broker: &Broker) -> Self {
        let socket = TcpStream::connect(broker.address_of("stream")).expect("a connection");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self {
            socket,
            input: Vec::new(),
            unasked: Vec::new(),
            correlation: 0,
        }
    }

    /// An open connection.
    fn open(broker: &Broker) -> Self {
        let mut stream = Self::connect(broker);
        stream.introduce();
        assert_eq!(stream.log_in("guest"), 1);
        assert_eq!(stream.hear().map(|offer| offer.key), Some(Key::Tune));
        let tune = Tune {
            frame_max: 1 << 20,
            heartbeat: 0,
        };
        stream.send(&Command::Tune(tune));
        assert_eq!(stream.ask(Request::Open { vhost: b"/" }).code(), 1);
        stream
    }

    fn introduce(&mut self) {
        let properties = Default::default();
        assert_eq!(self.ask(Request::PeerProperties { properties }).code(), 1);
        assert_eq!(self.ask(Request::SaslHandshake).code(), 1);
    }

    fn log_in(&mut self, password: &str) -> u16 {
        let data = format!("\0guest\0{password}");
        let login = Request::SaslAuthenticate {
            mechanism: b"PLAIN",
            data: Some(data.as_bytes()),
        };
        self.ask(login).code()
    }

    fn send(&mut self, command: &Command<'_>) {
        let mut bytes = Vec::new();
        command.encode(&mut bytes);
        self.raw(&bytes);
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).expect("written");
    }

    /// Asks and waits for the answer.
    fn ask(&mut self, request: Request<'_>) -> Heard {
        self.correlation += 1;
        let correlation = self.correlation;
        self.send(&Command::Ask { correlation, request });
        loop {
            let heard = self.frame().expect("an answer");
            if heard.is_answer && heard.body[..4] == correlation.to_be_bytes() {
                return heard;
            }
            self.unasked.push(heard);
        }
    }

    fn expect_ok(&mut self, request: Request<'_>) {
        let heard = self.ask(request);
        assert_eq!(heard.code(), Code::Ok as u16, "{request:?}");
    }

    /// The next frame that nobody asked for; `None` at the end of the connection.
    fn hear(&mut self) -> Option<Heard> {
        match self.unasked.is_empty() {
            true => self.frame(),
            false => Some(self.unasked.remove(0)),
        }
    }

    fn frame(&mut self) -> Option<Heard> {
        loop {
            if let Some((found, consumed)) = frame::parse(&self.input, u32::MAX).expect("a frame of the server") {
                let heard = Heard {
                    key: Key::of(found.key).expect("a key"),
                    is_answer: found.is_answer,
                    body: found.body.to_vec(),
                };
                self.input.drain(..consumed);
                return Some(heard);
            }
            let mut bytes = [0; 4096];
            match self.socket.read(&mut bytes) {
                Ok(0) => return None,
                Ok(count) => self.input.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn create(&mut self, stream: &str) {
        self.expect_ok(Request::Create {
            stream: stream.as_bytes(),
            arguments: Default::default(),
        });
    }

    fn delete(&mut self, stream: &str) {
        self.expect_ok(Request::Delete {
            stream: stream.as_bytes(),
        });
    }

    fn declare(&mut self, reference: &str, stream: &str) {
        let declare = Request::DeclarePublisher {
            publisher: 1,
            reference: reference.as_bytes(),
            stream: stream.as_bytes(),
        };
        // After a start a stream is led a moment later.
        let not_available = Code::NotAvailable as u16;
        let answered = std::iter::repeat_with(|| self.ask(declare).code()).find(|code| *code != not_available);
        assert_eq!(answered, Some(1));
    }

    /// Publishes messages with these numbers as one frame, and waits until they are confirmed.
    fn publish(&mut self, numbers: &[u64]) {
        self.raw(&publish(numbers));
        let mut confirmed = Vec::new();
        while confirmed.len() < numbers.len() {
            let heard = self.hear().expect("confirms");
            assert_eq!(heard.key, Key::PublishConfirm);
            let ids = heard.body[5..].chunks_exact(8);
            confirmed.extend(ids.map(|id| u64::from_be_bytes(id.try_into().expect("eight bytes"))));
        }
        confirmed.sort_unstable();
        let mut expected = numbers.to_vec();
        expected.sort_unstable();
        assert_eq!(confirmed, expected);
    }

    fn subscribe(&mut self, stream: &str, start: StartAt, properties: &[(&str, &str)]) {
        let asked = self.asked_to_subscribe(stream, start, properties);
        assert_eq!(asked, 1);
    }

    fn asked_to_subscribe(&mut self, stream: &str, start: StartAt, properties: &[(&str, &str)]) -> u16 {
        // A map is what a client's frame has, so the frame is read to get one.
        let mut body = (properties.len() as u32).to_be_bytes().to_vec();
        for word in properties.iter().flat_map(|(key, value)| [key, value]) {
            body.extend_from_slice(&(word.len() as u16).to_be_bytes());
            body.extend_from_slice(word.as_bytes());
        }
        let body = [&[0, 0, 0, 1], &body[..]].concat();
        let frame = frame::Frame {
            key: Key::PeerProperties as u16,
            is_answer: false,
            version: 1,
            body: &body,
        };
        let Ok(Command::Ask {
            request: Request::PeerProperties { properties },
            ..
        }) = Command::parse(&frame)
        else {
            panic!("a map")
        };
        self.ask(Request::Subscribe(Subscribe {
            subscription: 1,
            stream: stream.as_bytes(),
            start,
            credit: 100,
            properties,
        }))
        .code()
    }

    /// Messages that are delivered, with their offsets.
    fn read(&mut self, count: usize) -> Vec<(u64, String)> {
        let mut messages = Vec::new();
        while messages.len() < count {
            let heard = self.hear().expect("deliveries");
            assert_eq!(heard.key, Key::Deliver);
            let chunk = &heard.body[1..];
            let mut offset = u64::from_be_bytes(chunk[24..32].try_into().expect("eight bytes"));
            let mut data = &chunk[CHUNK_HEADER..];
            while let Some((length, rest)) = data.split_first_chunk::<4>() {
                let (message, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
                messages.push((offset, String::from_utf8_lossy(message).into_owned()));
                offset += 1;
                data = rest;
            }
        }
        messages
    }
}

/// A publish of publisher 1 with a message for each number.
fn publish(numbers: &[u64]) -> Vec<u8> {
    let mut body = vec![0, 2, 0, 1, 1];
    body.extend_from_slice(&(numbers.len() as u32).to_be_bytes());
    for number in numbers {
        let message = format!("m{number}");
        body.extend_from_slice(&number.to_be_bytes());
        body.extend_from_slice(&(message.len() as u32).to_be_bytes());
        body.extend_from_slice(message.as_bytes());
    }
    [&(body.len() as u32).to_be_bytes()[..], &body].concat()
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
    client.publish(&[3, 4, 4]);
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
    assert_eq!(client.log_in("wrong"), Code::AuthenticationFailure as u16);
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
