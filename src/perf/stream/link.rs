//! One connection to a broker that speaks the stream protocol.

use std::time::{Duration, Instant};

use crate::perf::link_error::LinkError;
use crate::perf::pipe::{self, Filled, PATIENCE, Pipe};
use crate::perf::uri::{Protocol, Uri};
use crate::stream_protocol::codec::request::Tune;
use crate::stream_protocol::codec::{Code, Command, Frame, Key, Map, Request, frame};

/// Frames of any size are read: a chunk may be larger than what was agreed.
const LIMIT: u32 = u32::MAX;
/// Bytes of a correlation id.
pub const CORRELATION: usize = 4;

/// See the head of this file.
pub struct Link {
    pub pipe: Pipe,
    correlation: u32,
    /// Bytes of the largest frame that may be sent.
    frame_max: usize,
}

impl Link {
    /// Connects to the first of `uris` that answers, and logs in. `read_bytes` is how much one read takes at most.
    pub fn open(uris: &[Uri], name: &str, read_bytes: usize) -> Result<Self, LinkError> {
        pipe::first_that_answers(uris, |uri| Self::open_one(uri, name, read_bytes))
    }

    fn open_one(uri: &Uri, name: &str, read_bytes: usize) -> Result<Self, LinkError> {
        debug_assert_eq!(uri.protocol, Protocol::Stream);
        let mut link = Self {
            pipe: Pipe::open(uri, read_bytes)?,
            correlation: 0,
            frame_max: 1 << 20,
        };
        let mut bytes = Vec::new();
        let properties = Map::of(
            &mut bytes,
            [
                ("product", "warren perf"),
                ("version", env!("CARGO_PKG_VERSION")),
                ("connection_name", name),
            ],
        );
        link.ask("peer properties", Request::PeerProperties { properties })?;
        link.ask("the handshake", Request::SaslHandshake)?;
        let login = format!("\0{}\0{}", uri.user, uri.password);
        let authenticate = Request::SaslAuthenticate {
            mechanism: b"PLAIN",
            data: Some(login.as_bytes()),
        };
        link.ask("the login", authenticate)?;
        let offered = link.wait_for("the login", |frame| {
            (frame.key == Key::Tune as u16).then(|| numbers(frame.body))
        })?;
        let frame_max = offered[0];
        if frame_max > 0 {
            link.frame_max = frame_max as usize;
        }
        // Nobody needs signs of life of a connection under load.
        let tune = Tune {
            frame_max,
            heartbeat: 0,
        };
        Command::Tune(tune).encode(&mut link.pipe.output);
        let vhost = uri.vhost.as_bytes();
        link.ask("open", Request::Open { vhost })?;
        Ok(link)
    }

    /// Bytes of the largest frame that may be sent.
    pub fn frame_max(&self) -> usize {
        self.frame_max
    }

    /// Puts a request into the output; its answer has this correlation id.
    pub fn put(&mut self, request: Request<'_>) -> u32 {
        self.correlation += 1;
        let correlation = self.correlation;
        Command::Ask { correlation, request }.encode(&mut self.pipe.output);
        correlation
    }

    /// Sends a request and waits for its answer, which must be yes: gives what follows the code.
    pub fn ask(&mut self, what: &'static str, request: Request<'_>) -> Result<Vec<u8>, LinkError> {
        match self.ask_code(what, request)? {
            (code, rest) if code == Code::Ok as u16 => Ok(rest),
            (code, _) => Err(LinkError::Refused { what, code }),
        }
    }

    /// The same with any answer: gives its code and what follows it.
    pub fn ask_code(&mut self, what: &'static str, request: Request<'_>) -> Result<(u16, Vec<u8>), LinkError> {
        let key = request.key() as u16;
        let correlation = self.put(request);
        self.wait_for(what, |frame| {
            let (asked, rest) = frame.body.split_first_chunk::<CORRELATION>()?;
            let is_it = frame.is_answer && frame.key == key && u32::from_be_bytes(*asked) == correlation;
            let (code, rest) = rest.split_first_chunk::<2>()?;
            is_it.then(|| (u16::from_be_bytes(*code), rest.to_vec()))
        })
    }

    /// Waits for a frame in which `found` finds what is wanted; others are dropped.
    pub fn wait_for<T>(
        &mut self,
        what: &'static str,
        mut found: impl FnMut(&Frame<'_>) -> Option<T>,
    ) -> Result<T, LinkError> {
        let until = Instant::now() + PATIENCE;
        loop {
            let flushed = self.flush()?;
            if let Some((frame, bytes)) = next(self.pipe.ready())? {
                let result = found(&frame).map_or_else(|| closing(&frame).map(|()| None), |found| Ok(Some(found)));
                self.pipe.drop_front(bytes);
                match result? {
                    Some(found) => return Ok(found),
                    None => continue,
                }
            }
            if self.pipe.fill()? == Filled::Nothing {
                if Instant::now() >= until {
                    return Err(LinkError::NoAnswer(what));
                }
                self.pipe.wait(!flushed, Duration::from_millis(100))?;
            }
        }
    }

    /// Writes what waits, as far as the socket takes it; true when nothing is left.
    pub fn flush(&mut self) -> Result<bool, LinkError> {
        self.pipe.flush().map_err(|error| self.why(error))
    }

    /// Writes straight from the caller's buffer; the output must be flushed. Gives the bytes the socket took.
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, LinkError> {
        self.pipe.write(bytes).map_err(|error| self.why(error))
    }

    /// A failed write often means that the broker has said why and closed: that reason is the better error.
    fn why(&mut self, error: std::io::Error) -> LinkError {
        while let Ok(Filled::Some) = self.pipe.fill() {}
        let mut rest = self.pipe.ready();
        while let Ok(Some((frame, bytes))) = next(rest) {
            if let Err(reason) = closing(&frame) {
                return reason;
            }
            rest = &rest[bytes..];
        }
        LinkError::Lost(error)
    }

    /// Says goodbye and waits at most `patience` for the answer. An error here no longer matters.
    pub fn close(mut self, patience: Duration) {
        self.put(Request::Close { code: 1, reason: b"OK" });
        let until = Instant::now() + patience;
        while Instant::now() < until {
            let Ok(flushed) = self.flush() else { return };
            while let Ok(Some((frame, bytes))) = next(self.pipe.ready()) {
                if frame.is_answer && frame.key == Key::Close as u16 {
                    return;
                }
                self.pipe.drop_front(bytes);
            }
            match self.pipe.fill() {
                Ok(Filled::Some) => {}
                Ok(Filled::Nothing) if self.pipe.wait(!flushed, Duration::from_millis(50)).is_ok() => {}
                _ => return,
            }
        }
    }
}

/// The frame at the front of `input` and its bytes, or `None` when not all of it is there.
#[inline]
pub fn next(input: &[u8]) -> Result<Option<(Frame<'_>, usize)>, LinkError> {
    Ok(frame::parse(input, LIMIT)?)
}

/// The code that stands there in a frame; 0 where it ends before.
pub fn code_at(frame: &Frame<'_>, at: usize) -> u16 {
    let bytes = frame.body.get(at..).and_then(|bytes| bytes.first_chunk::<2>());
    bytes.map_or(0, |bytes| u16::from_be_bytes(*bytes))
}

/// The error that a frame means, if it ends the work.
pub fn closing(frame: &Frame<'_>) -> Result<(), LinkError> {
    let text = |at: usize| {
        let text = frame.body.get(at + 2..).unwrap_or_default();
        String::from_utf8_lossy(text).into_owned()
    };
    match Key::of(frame.key) {
        Some(Key::Close) if !frame.is_answer => Err(LinkError::ConnectionClosed {
            code: code_at(frame, CORRELATION),
            text: text(6),
        }),
        Some(Key::MetadataUpdate) => Err(LinkError::StreamMoved(text(2))),
        Some(Key::Credit) if frame.is_answer => Err(LinkError::Refused {
            what: "a credit",
            code: code_at(frame, 0),
        }),
        _ => Ok(()),
    }
}

/// The two numbers that a body begins with; 0 for what is missing.
fn numbers(body: &[u8]) -> [u32; 2] {
    let number = |at: usize| body.get(at..at + 4).and_then(|bytes| bytes.first_chunk::<4>());
    [0, 4].map(|at| number(at).map_or(0, |bytes| u32::from_be_bytes(*bytes)))
}
