//! One connection to a broker: a socket that never blocks, its input, and the output that waits.
//!
//! A worker owns its link and loops over [`Link::flush`], [`Link::fill`] and [`Link::wait`], so that reading never
//! waits for writing. [`Link::call`] is for set-up, where one request waits for its reply.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::socket::Socket;
use super::uri::Uri;
use super::wire::{self, Frame, Method, MethodFrame, WireError, id, kind};
use crate::tls_client::TlsError;
use crate::types::{FieldTable, FieldValue};

/// Longest wait for a connection and for the reply to a request.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a worker stopped.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("cannot connect to {address}: {error}")]
    Connect { address: String, error: std::io::Error },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("'{0}' is no name of a server")]
    ServerName(String),
    #[error("connection lost: {0}")]
    Lost(std::io::Error),
    #[error("the broker closed the connection without a reason")]
    Eof,
    #[error("the broker closed the connection: {code} {text}")]
    ConnectionClosed { code: u16, text: String },
    #[error("the broker closed the channel: {code} {text}")]
    ChannelClosed { code: u16, text: String },
    #[error("the broker cancelled consumer {0}")]
    Cancelled(String),
    #[error("the broker's bytes make no sense: {0}")]
    Wire(#[from] WireError),
    #[error(transparent)]
    Confirm(#[from] super::confirms::StrangeConfirm),
    #[error("no answer to {0} within 30 s")]
    NoAnswer(&'static str),
}

/// What came of trying to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    Some,
    Nothing,
}

/// A connection that has been opened, with channel 1 if [`Link::open_channel`] was called.
pub struct Link {
    socket: Socket,
    input: Input,
    /// Frames that wait to be written; [`Link::flush`] sends them.
    pub output: Vec<u8>,
    written: usize,
    frame_max: usize,
}

impl Link {
    /// Connects to the first of `uris` that answers and opens a connection named `name`. `read_bytes` is how much
    /// one read takes at most.
    pub fn open(uris: &[Uri], name: &str, read_bytes: usize) -> Result<Self, LinkError> {
        let mut last = None;
        for uri in uris {
            match Self::open_one(uri, name, read_bytes) {
                Ok(link) => return Ok(link),
                Err(error @ LinkError::Connect { .. }) => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or(LinkError::Eof))
    }

    fn open_one(uri: &Uri, name: &str, read_bytes: usize) -> Result<Self, LinkError> {
        let socket = connect(uri).map_err(|error| LinkError::Connect {
            address: uri.address(),
            error,
        })?;
        let socket = Socket::of(socket, uri)?;
        let mut link = Self {
            socket,
            input: Input::new(read_bytes),
            output: Vec::new(),
            written: 0,
            frame_max: wire::MAX_FRAME,
        };
        link.output.extend_from_slice(wire::PROTOCOL_HEADER);
        link.reply("the protocol header", id::CONNECTION_START)?;
        let login = format!("\0{}\0{}", uri.user, uri.password);
        MethodFrame::begin(&mut link.output, 0, id::CONNECTION_START_OK)
            .table(&properties(name))
            .short("PLAIN")
            .long(login.as_bytes())
            .short("en_US")
            .end();
        let (channel_max, offered) = match link.reply("connection.start-ok", id::CONNECTION_TUNE)? {
            Reply::Tune { channel_max, frame_max } => (channel_max, frame_max as usize),
            _ => (0, 0),
        };
        // 0 is no limit, and below 4096 nobody may go (spec section 4.2.3).
        link.frame_max = match offered {
            0 => wire::MAX_FRAME,
            bytes => bytes.clamp(4096, wire::MAX_FRAME),
        };
        // The channel limit is echoed: RabbitMQ closes the connection if told of none where it has one.
        MethodFrame::begin(&mut link.output, 0, id::CONNECTION_TUNE_OK)
            .u16(channel_max)
            .u32(link.frame_max as u32)
            .u16(0)
            .end();
        MethodFrame::begin(&mut link.output, 0, id::CONNECTION_OPEN)
            .short(&uri.vhost)
            .short("")
            .u8(0)
            .end();
        link.reply("connection.open", id::CONNECTION_OPEN_OK)?;
        Ok(link)
    }

    /// Opens channel 1.
    pub fn open_channel(&mut self) -> Result<(), LinkError> {
        MethodFrame::begin(&mut self.output, 1, id::CHANNEL_OPEN)
            .short("")
            .end();
        self.reply("channel.open", id::CHANNEL_OPEN_OK)?;
        Ok(())
    }

    /// The agreed frame size in bytes.
    pub fn frame_max(&self) -> usize {
        self.frame_max
    }

    /// Sends what was put into `output` and waits for the method `expected`. Gives the message count of a
    /// queue.declare-ok.
    pub fn call(&mut self, what: &'static str, expected: u32) -> Result<u32, LinkError> {
        match self.reply(what, expected)? {
            Reply::Messages(count) => Ok(count),
            _ => Ok(0),
        }
    }

    fn reply(&mut self, what: &'static str, expected: u32) -> Result<Reply, LinkError> {
        let until = Instant::now() + PATIENCE;
        loop {
            let flushed = self.flush()?;
            if let Some(frame) = wire::frame(self.input.ready())? {
                let (id, reply) = check(&frame)?;
                let bytes = frame.wire_bytes();
                self.input.drop_front(bytes);
                if id == expected {
                    return Ok(reply);
                }
                continue;
            }
            if self.fill()? == Filled::Nothing {
                if Instant::now() >= until {
                    return Err(LinkError::NoAnswer(what));
                }
                self.wait(!flushed, Duration::from_millis(100))?;
            }
        }
    }

    /// Forgets the first `bytes` of the input.
    pub fn drop_front(&mut self, bytes: usize) {
        self.input.drop_front(bytes);
    }

    /// The bytes that were read and not dropped, and the output, for answering while reading.
    pub fn halves(&mut self) -> (&[u8], &mut Vec<u8>) {
        (self.input.ready(), &mut self.output)
    }

    /// Reads once.
    pub fn fill(&mut self) -> Result<Filled, LinkError> {
        match self.input.read_from(&mut self.socket) {
            Ok(0) => Err(LinkError::Eof),
            Ok(_) => Ok(Filled::Some),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Filled::Nothing),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(Filled::Nothing),
            Err(error) => Err(LinkError::Lost(error)),
        }
    }

    /// Reads whatever came and drops it; fails when the connection was closed.
    pub fn listen(&mut self) -> Result<(), LinkError> {
        while self.fill()? == Filled::Some {
            while let Some(frame) = wire::frame(self.input.ready())? {
                check(&frame)?;
                let bytes = frame.wire_bytes();
                self.input.drop_front(bytes);
            }
        }
        Ok(())
    }

    /// Writes what waits in `output`, as far as the socket takes it; true when nothing is left.
    pub fn flush(&mut self) -> Result<bool, LinkError> {
        while self.written < self.output.len() {
            match write(&mut self.socket, &self.output[self.written..]) {
                Ok(0) => return Ok(false),
                Ok(bytes) => self.written += bytes,
                Err(error) => return Err(self.why(error)),
            }
        }
        self.output.clear();
        self.written = 0;
        Ok(!self.socket.has_unsent())
    }

    /// Writes straight from the caller's buffer; `output` must be flushed. Gives the bytes the socket took.
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, LinkError> {
        debug_assert!(self.output.is_empty());
        write(&mut self.socket, bytes).map_err(|error| self.why(error))
    }

    /// Waits until there is input, or room for output if `writing`, or `at_most` has passed.
    pub fn wait(&mut self, writing: bool, at_most: Duration) -> Result<(), LinkError> {
        self.socket.push().map_err(LinkError::Lost)?;
        if self.socket.has_unread() {
            return Ok(());
        }
        let flags = match writing || self.socket.has_unsent() {
            true => PollFlags::IN | PollFlags::OUT,
            false => PollFlags::IN,
        };
        let timeout = Timespec {
            tv_sec: at_most.as_secs() as i64,
            tv_nsec: at_most.subsec_nanos().into(),
        };
        match poll(&mut [PollFd::new(self.socket.tcp(), flags)], Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(LinkError::Lost(error.into())),
        }
    }

    /// Says goodbye and waits at most `patience` for the answer. What the broker still sends is dropped; an error
    /// here no longer matters.
    pub fn close(mut self, patience: Duration) {
        MethodFrame::begin(&mut self.output, 0, id::CONNECTION_CLOSE)
            .u16(200)
            .short("goodbye")
            .u32(0)
            .end();
        let until = Instant::now() + patience;
        while Instant::now() < until {
            let Ok(flushed) = self.flush() else { return };
            while let Ok(Some(frame)) = wire::frame(self.input.ready()) {
                let bye = frame.payload.first_chunk() == Some(&id::CONNECTION_CLOSE_OK.to_be_bytes());
                if frame.kind == kind::METHOD && bye {
                    return;
                }
                let bytes = frame.wire_bytes();
                self.input.drop_front(bytes);
            }
            match self.fill() {
                Ok(Filled::Some) => {}
                Ok(Filled::Nothing) => {
                    if self.wait(!flushed, Duration::from_millis(50)).is_err() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }

    /// A failed write often means that the broker has said why and closed: that reason is the better error.
    fn why(&mut self, error: std::io::Error) -> LinkError {
        while let Ok(Filled::Some) = self.fill() {}
        let mut rest = self.input.ready();
        while let Ok(Some(frame)) = wire::frame(rest) {
            if let Err(reason @ LinkError::ConnectionClosed { .. }) = check(&frame) {
                return reason;
            }
            rest = &rest[frame.wire_bytes()..];
        }
        LinkError::Lost(error)
    }
}

/// What set-up needs of a reply; a frame that is no method has number 0.
enum Reply {
    Tune { channel_max: u16, frame_max: u32 },
    Messages(u32),
    Nothing,
}

fn check(frame: &Frame<'_>) -> Result<(u32, Reply), LinkError> {
    if frame.kind != kind::METHOD {
        return Ok((0, Reply::Nothing));
    }
    let (id, method) = Method::decode(frame.payload)?;
    if let Some(error) = closing(&method) {
        return Err(error);
    }
    Ok((
        id,
        match method {
            Method::Tune { channel_max, frame_max } => Reply::Tune { channel_max, frame_max },
            Method::QueueDeclareOk { messages } => Reply::Messages(messages),
            _ => Reply::Nothing,
        },
    ))
}

/// The error that a method means, if it ends the work.
pub fn closing(method: &Method<'_>) -> Option<LinkError> {
    let words = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    match method {
        Method::Close { code, text } => Some(LinkError::ConnectionClosed {
            code: *code,
            text: words(text),
        }),
        Method::ChannelClose { code, text } => Some(LinkError::ChannelClosed {
            code: *code,
            text: words(text),
        }),
        Method::Cancel { consumer_tag } => Some(LinkError::Cancelled(words(consumer_tag))),
        _ => None,
    }
}

/// Bytes read and not yet used, in a buffer that grows only if a frame does not fit.
struct Input {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    fn new(bytes: usize) -> Self {
        Self {
            buffer: vec![0; bytes],
            start: 0,
            end: 0,
        }
    }

    fn ready(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    fn drop_front(&mut self, bytes: usize) {
        self.start += bytes;
        debug_assert!(self.start <= self.end);
    }

    fn read_from(&mut self, socket: &mut impl Read) -> std::io::Result<usize> {
        // What is left is less than a frame: moving it costs little beside the read.
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if self.end == self.buffer.len() {
            self.buffer.resize(self.end + wire::MAX_FRAME, 0);
        }
        let bytes = socket.read(&mut self.buffer[self.end..])?;
        self.end += bytes;
        Ok(bytes)
    }
}

fn connect(uri: &Uri) -> std::io::Result<TcpStream> {
    let mut error = std::io::Error::new(ErrorKind::NotFound, "no address of that name");
    for address in (uri.host.as_str(), uri.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(socket) => {
                socket.set_nodelay(true)?;
                socket.set_nonblocking(true)?;
                return Ok(socket);
            }
            Err(refused) => error = refused,
        }
    }
    Err(error)
}

/// Writes once; 0 when the socket takes nothing now.
fn write(socket: &mut Socket, bytes: &[u8]) -> std::io::Result<usize> {
    match socket.write(bytes) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
        other => other,
    }
}

fn properties(name: &str) -> FieldTable {
    let capabilities = [
        "authentication_failure_close",
        "basic.nack",
        "connection.blocked",
        "consumer_cancel_notify",
        "publisher_confirms",
    ];
    let capabilities = capabilities.map(|name| (name.to_owned(), FieldValue::Boolean(true)));
    FieldTable(vec![
        ("product".to_owned(), FieldValue::text("warren perf")),
        ("version".to_owned(), FieldValue::text(env!("CARGO_PKG_VERSION"))),
        ("connection_name".to_owned(), FieldValue::text(name)),
        (
            "capabilities".to_owned(),
            FieldValue::Table(FieldTable(capabilities.to_vec())),
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_keeps_what_is_left_and_grows_when_a_frame_does_not_fit() {
        let mut input = Input::new(4);
        let mut source: &[u8] = b"abcdefgh";
        assert_eq!(input.read_from(&mut source).expect("reads"), 4);
        input.drop_front(3);
        assert_eq!(input.read_from(&mut source).expect("reads"), 3);
        assert_eq!(input.ready(), b"defg");
        assert_eq!(input.read_from(&mut source).expect("reads"), 1);
        assert_eq!(input.ready(), b"defgh");
    }
}
