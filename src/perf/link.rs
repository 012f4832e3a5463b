//! One connection to a broker that speaks AMQP 0-9-1.
//!
//! A worker owns its link and loops over [`Link::flush`], [`Pipe::fill`] and [`Pipe::wait`], so that reading never
//! waits for writing. [`Link::call`] is for set-up, where one request waits for its reply.

use std::time::{Duration, Instant};

use super::link_error::LinkError;
use super::pipe::{self, Filled, PATIENCE, Pipe};
use super::uri::{Protocol, Uri};
use super::wire::{self, Frame, Method, MethodFrame, id, kind};
use crate::types::{FieldTable, FieldValue};

/// A connection that has been opened, with channel 1 if [`Link::open_channel`] was called.
pub struct Link {
    pub pipe: Pipe,
    frame_max: usize,
}

impl Link {
    /// Connects to the first of `uris` that answers and opens a connection named `name`. `read_bytes` is how much
    /// one read takes at most.
    pub fn open(uris: &[Uri], name: &str, read_bytes: usize) -> Result<Self, LinkError> {
        pipe::first_that_answers(uris, |uri| Self::open_one(uri, name, read_bytes))
    }

    fn open_one(uri: &Uri, name: &str, read_bytes: usize) -> Result<Self, LinkError> {
        if uri.protocol != Protocol::Amqp {
            return Err(LinkError::NotAmqp);
        }
        let mut link = Self {
            pipe: Pipe::open(uri, read_bytes)?,
            frame_max: wire::MAX_FRAME,
        };
        link.pipe.output.extend_from_slice(wire::PROTOCOL_HEADER);
        link.reply("the protocol header", id::CONNECTION_START)?;
        let login = format!("\0{}\0{}", uri.user, uri.password);
        MethodFrame::begin(&mut link.pipe.output, 0, id::CONNECTION_START_OK)
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
        MethodFrame::begin(&mut link.pipe.output, 0, id::CONNECTION_TUNE_OK)
            .u16(channel_max)
            .u32(link.frame_max as u32)
            .u16(0)
            .end();
        MethodFrame::begin(&mut link.pipe.output, 0, id::CONNECTION_OPEN)
            .short(&uri.vhost)
            .short("")
            .u8(0)
            .end();
        link.reply("connection.open", id::CONNECTION_OPEN_OK)?;
        Ok(link)
    }

    /// Opens channel 1.
    pub fn open_channel(&mut self) -> Result<(), LinkError> {
        MethodFrame::begin(&mut self.pipe.output, 1, id::CHANNEL_OPEN)
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
            if let Some(frame) = wire::frame(self.pipe.ready())? {
                let (id, reply) = check(&frame)?;
                let bytes = frame.wire_bytes();
                self.pipe.drop_front(bytes);
                if id == expected {
                    return Ok(reply);
                }
                continue;
            }
            if self.pipe.fill()? == Filled::Nothing {
                if Instant::now() >= until {
                    return Err(LinkError::NoAnswer(what));
                }
                self.pipe.wait(!flushed, Duration::from_millis(100))?;
            }
        }
    }

    /// Reads whatever came and drops it; fails when the connection was closed.
    pub fn listen(&mut self) -> Result<(), LinkError> {
        while self.pipe.fill()? == Filled::Some {
            while let Some(frame) = wire::frame(self.pipe.ready())? {
                check(&frame)?;
                let bytes = frame.wire_bytes();
                self.pipe.drop_front(bytes);
            }
        }
        Ok(())
    }

    /// Writes what waits in `output`, as far as the socket takes it; true when nothing is left.
    pub fn flush(&mut self) -> Result<bool, LinkError> {
        self.pipe.flush().map_err(|error| self.why(error))
    }

    /// Writes straight from the caller's buffer; `output` must be flushed. Gives the bytes the socket took.
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, LinkError> {
        self.pipe.write(bytes).map_err(|error| self.why(error))
    }

    /// Says goodbye and waits at most `patience` for the answer. What the broker still sends is dropped; an error
    /// here no longer matters.
    pub fn close(mut self, patience: Duration) {
        MethodFrame::begin(&mut self.pipe.output, 0, id::CONNECTION_CLOSE)
            .u16(200)
            .short("goodbye")
            .u32(0)
            .end();
        let until = Instant::now() + patience;
        while Instant::now() < until {
            let Ok(flushed) = self.flush() else { return };
            while let Ok(Some(frame)) = wire::frame(self.pipe.ready()) {
                let bye = frame.payload.first_chunk() == Some(&id::CONNECTION_CLOSE_OK.to_be_bytes());
                if frame.kind == kind::METHOD && bye {
                    return;
                }
                let bytes = frame.wire_bytes();
                self.pipe.drop_front(bytes);
            }
            match self.pipe.fill() {
                Ok(Filled::Some) => {}
                Ok(Filled::Nothing) => {
                    if self.pipe.wait(!flushed, Duration::from_millis(50)).is_err() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }

    /// A failed write often means that the broker has said why and closed: that reason is the better error.
    fn why(&mut self, error: std::io::Error) -> LinkError {
        while let Ok(Filled::Some) = self.pipe.fill() {}
        let mut rest = self.pipe.ready();
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
