//! A socket that never blocks, its input, and the output that waits: what every protocol is spoken over.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::link_error::LinkError;
use super::socket::Socket;
use super::uri::Uri;

/// Longest wait for a connection and for the reply to a request.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Longest sleep of a worker, so that a stop is noticed.
pub const NAP: Duration = Duration::from_millis(50);
/// Bytes by which the input grows when a frame does not fit.
const GROWTH: usize = 128 * 1024;

/// What came of trying to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    Some,
    Nothing,
}

/// See the head of this file.
pub struct Pipe {
    socket: Socket,
    input: Input,
    /// Frames that wait to be written; [`Pipe::flush`] sends them.
    pub output: Vec<u8>,
    written: usize,
}

impl Pipe {
    /// Connects; `read_bytes` is how much one read takes at most.
    pub fn open(uri: &Uri, read_bytes: usize) -> Result<Self, LinkError> {
        let socket = connect(uri).map_err(|error| LinkError::Connect {
            address: uri.address(),
            error,
        })?;
        Ok(Self {
            socket: Socket::of(socket, uri)?,
            input: Input::new(read_bytes),
            output: Vec::new(),
            written: 0,
        })
    }

    /// The bytes that were read and not dropped.
    pub fn ready(&self) -> &[u8] {
        self.input.ready()
    }

    /// The same, and the output, for answering while reading.
    pub fn halves(&mut self) -> (&[u8], &mut Vec<u8>) {
        (self.input.ready(), &mut self.output)
    }

    /// Forgets the first `bytes` of the input.
    pub fn drop_front(&mut self, bytes: usize) {
        self.input.drop_front(bytes);
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

    /// Writes what waits in `output`, as far as the socket takes it; true when nothing is left.
    pub fn flush(&mut self) -> io::Result<bool> {
        while self.written < self.output.len() {
            match write(&mut self.socket, &self.output[self.written..])? {
                0 => return Ok(false),
                bytes => self.written += bytes,
            }
        }
        self.output.clear();
        self.written = 0;
        Ok(!self.socket.has_unsent())
    }

    /// Writes straight from the caller's buffer; `output` must be flushed. Gives the bytes the socket took.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        debug_assert!(self.output.is_empty());
        write(&mut self.socket, bytes)
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

    fn read_from(&mut self, socket: &mut impl Read) -> io::Result<usize> {
        // What is left is less than a frame: moving it costs little beside the read.
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(self.end + GROWTH, 0);
        }
        let bytes = socket.read(&mut self.buffer[self.end..])?;
        self.end += bytes;
        Ok(bytes)
    }
}

/// What `open` makes of the first of these addresses that answers.
pub fn first_that_answers<T>(uris: &[Uri], open: impl Fn(&Uri) -> Result<T, LinkError>) -> Result<T, LinkError> {
    let mut last = None;
    for uri in uris {
        match open(uri) {
            Ok(opened) => return Ok(opened),
            Err(error @ LinkError::Connect { .. }) => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or(LinkError::Eof))
}

fn connect(uri: &Uri) -> io::Result<TcpStream> {
    let mut error = io::Error::new(ErrorKind::NotFound, "no address of that name");
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
fn write(socket: &mut Socket, bytes: &[u8]) -> io::Result<usize> {
    match socket.write(bytes) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
        other => other,
    }
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
