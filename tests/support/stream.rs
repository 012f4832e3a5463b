//! A client of the stream protocol, frame by frame.

use std::io::{Read, Write};
use std::net::TcpStream;

use warren::stream_protocol::codec::request::{Subscribe, Tune};
use warren::stream_protocol::codec::{Code, Command, Key, Request, StartAt, frame};

use super::{Broker, PATIENCE};

/// Bytes before the data of a chunk.
const CHUNK_HEADER: usize = 48;

/// A connection of the stream protocol.
pub struct Stream {
    socket: Box<dyn Socket>,
    input: Vec<u8>,
    /// Unasked frames that came before an answer.
    unasked: Vec<Heard>,
    correlation: u32,
}

/// What bytes come and go through.
pub trait Socket: Read + Write + Send {}

impl<S: Read + Write + Send> Socket for S {}

/// A frame of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    pub key: Key,
    pub is_answer: bool,
    pub body: Vec<u8>,
}

impl Heard {
    /// The code of an answer, behind its correlation id.
    pub fn code(&self) -> u16 {
        u16::from_be_bytes([self.body[4], self.body[5]])
    }
}

impl Stream {
    pub fn connect(broker: &Broker) -> Self {
        let socket = TcpStream::connect(broker.address_of("stream")).expect("a connection");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self::over(socket)
    }

    /// Over a socket that is connected.
    pub fn over(socket: impl Socket + 'static) -> Self {
        Self {
            socket: Box::new(socket),
            input: Vec::new(),
            unasked: Vec::new(),
            correlation: 0,
        }
    }

    /// An open connection.
    pub fn open(broker: &Broker) -> Self {
        Self::open_as(broker, "guest", "guest")
    }

    /// An open connection of that user.
    pub fn open_as(broker: &Broker, user: &str, password: &str) -> Self {
        let mut stream = Self::connect(broker);
        stream.shake_hands(user, password);
        stream
    }

    /// Opens the connection.
    pub fn shake_hands(&mut self, user: &str, password: &str) {
        self.introduce();
        assert_eq!(self.log_in(user, password), 1);
        assert_eq!(self.hear().map(|offer| offer.key), Some(Key::Tune));
        let tune = Tune {
            frame_max: 1 << 20,
            heartbeat: 0,
        };
        self.send(&Command::Tune(tune));
        assert_eq!(self.ask(Request::Open { vhost: b"/" }).code(), 1);
    }

    pub fn introduce(&mut self) {
        let properties = Default::default();
        assert_eq!(self.ask(Request::PeerProperties { properties }).code(), 1);
        assert_eq!(self.ask(Request::SaslHandshake).code(), 1);
    }

    pub fn log_in(&mut self, user: &str, password: &str) -> u16 {
        let data = format!("\0{user}\0{password}");
        let login = Request::SaslAuthenticate {
            mechanism: b"PLAIN",
            data: Some(data.as_bytes()),
        };
        self.ask(login).code()
    }

    pub fn send(&mut self, command: &Command<'_>) {
        let mut bytes = Vec::new();
        command.encode(&mut bytes);
        self.raw(&bytes);
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).expect("written");
    }

    /// Asks and waits for the answer.
    pub fn ask(&mut self, request: Request<'_>) -> Heard {
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

    pub fn expect_ok(&mut self, request: Request<'_>) {
        let heard = self.ask(request);
        assert_eq!(heard.code(), Code::Ok as u16, "{request:?}");
    }

    /// The next frame that nobody asked for; `None` at the end of the connection.
    pub fn hear(&mut self) -> Option<Heard> {
        match self.unasked.is_empty() {
            true => self.frame(),
            false => Some(self.unasked.remove(0)),
        }
    }

    pub fn frame(&mut self) -> Option<Heard> {
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

    pub fn create(&mut self, stream: &str) {
        self.expect_ok(Request::Create {
            stream: stream.as_bytes(),
            arguments: Default::default(),
        });
    }

    /// Creates a super stream of these partitions with their binding keys, and gives the code that is answered.
    pub fn create_super(&mut self, name: &str, partitions: &[(&str, &str)]) -> u16 {
        let word = |word: &str| [&(word.len() as u16).to_be_bytes()[..], word.as_bytes()].concat();
        let count = (partitions.len() as u32).to_be_bytes();
        let names: Vec<u8> = partitions.iter().flat_map(|(name, _)| word(name)).collect();
        let keys: Vec<u8> = partitions.iter().flat_map(|(_, key)| word(key)).collect();
        let body = [&[0, 0, 0, 1], &word(name)[..], &count, &names, &count, &keys, &[0; 4]].concat();
        let frame = frame::Frame {
            key: Key::CreateSuperStream as u16,
            is_answer: false,
            version: 1,
            body: &body,
        };
        match Command::parse(&frame) {
            Ok(Command::Ask { request, .. }) => self.ask(request).code(),
            other => panic!("{other:?}"),
        }
    }

    pub fn delete(&mut self, stream: &str) {
        self.expect_ok(Request::Delete {
            stream: stream.as_bytes(),
        });
    }

    pub fn declare(&mut self, reference: &str, stream: &str) {
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
    pub fn publish(&mut self, numbers: &[u64]) {
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

    pub fn subscribe(&mut self, stream: &str, start: StartAt, properties: &[(&str, &str)]) {
        let asked = self.asked_to_subscribe(stream, start, properties);
        assert_eq!(asked, 1);
    }

    pub fn asked_to_subscribe(&mut self, stream: &str, start: StartAt, properties: &[(&str, &str)]) -> u16 {
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
    pub fn read(&mut self, count: usize) -> Vec<(u64, String)> {
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
pub fn publish(numbers: &[u64]) -> Vec<u8> {
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
