//! A connection of bare frames, for what a client library would not do.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use super::PATIENCE;

const METHOD: u8 = 1;
const HEARTBEAT: u8 = 8;
const END: u8 = 0xCE;

/// A socket that speaks AMQP frames.
pub struct Raw {
    pub socket: TcpStream,
}

/// A frame that came.
#[derive(Debug, PartialEq, Eq)]
pub struct RawFrame {
    pub kind: u8,
    pub channel: u16,
    pub payload: Vec<u8>,
}

impl RawFrame {
    /// Class and method id, of a method frame.
    pub fn method(&self) -> Option<(u16, u16)> {
        let ids = self.payload.first_chunk::<4>()?;
        let id = |high, low| u16::from_be_bytes([high, low]);
        (self.kind == METHOD).then(|| (id(ids[0], ids[1]), id(ids[2], ids[3])))
    }

    pub fn is_heartbeat(&self) -> bool {
        self.kind == HEARTBEAT
    }
}

impl Raw {
    /// A socket on which nothing was said.
    pub fn connect(address: &str) -> Self {
        let socket = TcpStream::connect(address).expect("a connection");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self { socket }
    }

    /// An open connection as guest, with this heartbeat in seconds.
    pub fn open(address: &str, vhost: &str, heartbeat: u16) -> Self {
        Self::open_with(address, vhost, heartbeat, &[])
    }

    /// The same with client properties, as the fields of a table.
    pub fn open_with(address: &str, vhost: &str, heartbeat: u16, properties: &[u8]) -> Self {
        let mut raw = Self::connect(address);
        raw.send(b"AMQP\x00\x00\x09\x01");
        raw.expect(10, 10);
        let properties = [&(properties.len() as u32).to_be_bytes(), properties].concat();
        let start_ok = [
            &properties[..],
            &short("PLAIN"),
            &long("\0guest\0guest"),
            &short("en_US"),
        ];
        raw.method(0, (10, 11), &start_ok.concat());
        raw.expect(10, 30);
        let tune_ok = [
            &2047u16.to_be_bytes()[..],
            &131_072u32.to_be_bytes(),
            &heartbeat.to_be_bytes(),
        ];
        raw.method(0, (10, 31), &tune_ok.concat());
        raw.method(0, (10, 40), &[short(vhost), vec![0, 0]].concat());
        raw.expect(10, 41);
        raw
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).expect("sent");
    }

    /// Sends a method.
    pub fn method(&mut self, channel: u16, (class, method): (u16, u16), arguments: &[u8]) {
        let payload = [&class.to_be_bytes()[..], &method.to_be_bytes(), arguments].concat();
        self.frame(METHOD, channel, &payload);
    }

    /// Sends a frame.
    pub fn frame(&mut self, kind: u8, channel: u16, payload: &[u8]) {
        let size = u32::try_from(payload.len()).expect("a small payload");
        let frame = [
            &[kind][..],
            &channel.to_be_bytes(),
            &size.to_be_bytes(),
            payload,
            &[END],
        ]
        .concat();
        self.send(&frame);
    }

    /// The next frame, or `None` at the end of the connection.
    pub fn read(&mut self) -> Option<RawFrame> {
        let mut head = [0; 7];
        match self.socket.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("nothing in {PATIENCE:?}"),
            Err(_) => return None,
        }
        let [kind, c0, c1, s0, s1, s2, s3] = head;
        let size = u32::from_be_bytes([s0, s1, s2, s3]);
        let mut rest = vec![0; size as usize + 1];
        self.socket.read_exact(&mut rest).expect("the whole frame");
        assert_eq!(rest.pop(), Some(END));
        Some(RawFrame {
            kind,
            channel: u16::from_be_bytes([c0, c1]),
            payload: rest,
        })
    }

    /// Opens a channel.
    pub fn channel(&mut self, channel: u16) {
        self.method(channel, (20, 10), &short(""));
        self.expect(20, 11);
    }

    /// Declares a queue with these flags (durable 2, exclusive 4, auto-delete 8).
    pub fn declare(&mut self, channel: u16, queue: &str, flags: u8) {
        let declare = [&[0, 0], &short(queue)[..], &[flags, 0, 0, 0, 0]].concat();
        self.method(channel, (50, 10), &declare);
        self.expect(50, 11);
    }

    /// Consumes with acks.
    pub fn consume(&mut self, channel: u16, queue: &str, tag: &str) {
        let consume = [&[0, 0], &short(queue)[..], &short(tag), &[0, 0, 0, 0, 0]].concat();
        self.method(channel, (60, 20), &consume);
        self.expect(60, 21);
    }

    /// Asks for the channel to be closed, and does not wait.
    pub fn close_channel(&mut self, channel: u16) {
        let close = [&200u16.to_be_bytes()[..], &short("done"), &[0; 4]].concat();
        self.method(channel, (20, 40), &close);
    }

    /// Asks for the connection to be closed, and does not wait.
    pub fn close(&mut self) {
        let close = [&200u16.to_be_bytes()[..], &short("done"), &[0; 4]].concat();
        self.method(0, (10, 50), &close);
    }

    /// Reads until this method comes; heartbeats in between are left out.
    pub fn expect(&mut self, class: u16, method: u16) -> RawFrame {
        loop {
            let frame = self.read().expect("a frame, not the end");
            if frame.is_heartbeat() {
                continue;
            }
            assert_eq!(frame.method(), Some((class, method)), "{frame:?}");
            return frame;
        }
    }
}

/// A short string.
pub fn short(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).expect("a short string");
    [&[length][..], text.as_bytes()].concat()
}

/// A long string.
pub fn long(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).expect("a long string");
    [&length.to_be_bytes()[..], text.as_bytes()].concat()
}
