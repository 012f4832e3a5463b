//! What clients send: requests, commands without an answer, and answers to what the server asked.

use super::entries::{self, Entries};
use super::frame::{self, Frame, answer_key};
use super::key::Key;
use super::wire::{Malformed, Map, Reader, Strings, Write};

/// A command of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command<'a> {
    /// A request, which is answered with its correlation id.
    Ask {
        correlation: u32,
        request: Request<'a>,
    },
    Publish {
        publisher: u8,
        entries: Entries<'a>,
    },
    Credit {
        subscription: u8,
        credit: i16,
    },
    StoreOffset {
        reference: &'a [u8],
        stream: &'a [u8],
        offset: u64,
    },
    Tune(Tune),
    Heartbeat,
    /// The answer to a consumer update; `None` keeps where the subscription asked to begin.
    ConsumerUpdated {
        correlation: u32,
        code: u16,
        start: Option<StartAt>,
    },
    /// The answer to a close.
    Closed,
}

/// What is asked for. Strings are bytes: what they must be is checked where they are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    DeclarePublisher {
        publisher: u8,
        reference: &'a [u8],
        stream: &'a [u8],
    },
    QueryPublisherSequence {
        reference: &'a [u8],
        stream: &'a [u8],
    },
    DeletePublisher {
        publisher: u8,
    },
    Subscribe(Subscribe<'a>),
    /// A subscribe whose begin is of a kind that does not exist, so that nothing behind it can be read.
    SubscribeNowhere,
    QueryOffset {
        reference: &'a [u8],
        stream: &'a [u8],
    },
    Unsubscribe {
        subscription: u8,
    },
    Create {
        stream: &'a [u8],
        arguments: Map<'a>,
    },
    Delete {
        stream: &'a [u8],
    },
    Metadata {
        streams: Strings<'a>,
    },
    PeerProperties {
        properties: Map<'a>,
    },
    SaslHandshake,
    SaslAuthenticate {
        mechanism: &'a [u8],
        data: Option<&'a [u8]>,
    },
    Open {
        vhost: &'a [u8],
    },
    Close {
        code: u16,
        reason: &'a [u8],
    },
    Route {
        key: &'a [u8],
        super_stream: &'a [u8],
    },
    Partitions {
        super_stream: &'a [u8],
    },
    CommandVersions {
        versions: Versions<'a>,
    },
    StreamStats {
        stream: &'a [u8],
    },
    CreateSuperStream(CreateSuperStream<'a>),
    DeleteSuperStream {
        name: &'a [u8],
    },
}

/// A subscription as asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscribe<'a> {
    pub subscription: u8,
    pub stream: &'a [u8],
    pub start: StartAt,
    /// Chunks.
    pub credit: u16,
    pub properties: Map<'a>,
}

/// A super stream as asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreateSuperStream<'a> {
    pub name: &'a [u8],
    pub partitions: Strings<'a>,
    pub binding_keys: Strings<'a>,
    pub arguments: Map<'a>,
}

/// Limits that a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tune {
    /// Bytes; 0 is no limit.
    pub frame_max: u32,
    /// Seconds; 0 is none.
    pub heartbeat: u32,
}

/// Where a subscription begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StartAt {
    First,
    Last,
    Next,
    Offset(u64),
    /// Milliseconds since 1970.
    Timestamp(i64),
}

/// Keys of commands with their lowest and highest version, walked once already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions<'a>(&'a [u8]);

impl Iterator for Versions<'_> {
    /// A key as sent, the lowest version and the highest.
    type Item = (u16, u16, u16);

    fn next(&mut self) -> Option<Self::Item> {
        let mut reader = Reader::new(self.0);
        let row = (reader.u16().ok()?, reader.u16().ok()?, reader.u16().ok()?);
        self.0 = reader.rest();
        Some(row)
    }
}

impl StartAt {
    /// `None` for the kind 0; an error is no kind at all.
    fn read(reader: &mut Reader<'_>) -> Result<Option<Self>, Malformed> {
        match reader.u16()? {
            0 => Ok(None),
            1 => Ok(Some(Self::First)),
            2 => Ok(Some(Self::Last)),
            3 => Ok(Some(Self::Next)),
            4 => reader.u64().map(Self::Offset).map(Some),
            5 => reader.i64().map(Self::Timestamp).map(Some),
            _ => Err(Malformed),
        }
    }

    fn write(start: Option<Self>, out: &mut Vec<u8>) {
        match start {
            None => out.u16(0),
            Some(Self::First) => out.u16(1),
            Some(Self::Last) => out.u16(2),
            Some(Self::Next) => out.u16(3),
            Some(Self::Offset(offset)) => {
                out.u16(4);
                out.u64(offset);
            }
            Some(Self::Timestamp(timestamp)) => {
                out.u16(5);
                out.i64(timestamp);
            }
        }
    }
}

impl<'a> Command<'a> {
    /// Reads a frame of a client.
    ///
    /// # Errors
    /// When key, version or body are none that a client may send.
    #[inline]
    pub fn parse(frame: &Frame<'a>) -> Result<Self, Malformed> {
        let key = Key::of(frame.key).ok_or(Malformed)?;
        let mut reader = Reader::new(frame.body);
        if let (Key::Publish, false, 1 | 2) = (key, frame.is_answer, frame.version) {
            let publisher = reader.u8()?;
            reader.u32()?;
            let entries = Entries::read(&mut reader, frame.version == 2)?;
            return Ok(Self::Publish { publisher, entries });
        }
        if frame.version != 1 {
            return Err(Malformed);
        }
        let command = match frame.is_answer {
            true => Self::answer(key, &mut reader)?,
            false => Self::sent(key, &mut reader)?,
        };
        reader.end()?;
        Ok(command)
    }

    fn answer(key: Key, reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        match key {
            Key::Tune => Tune::read(reader).map(Self::Tune),
            Key::Close => {
                reader.u32()?;
                reader.u16()?;
                Ok(Self::Closed)
            }
            Key::ConsumerUpdate => Ok(Self::ConsumerUpdated {
                correlation: reader.u32()?,
                code: reader.u16()?,
                start: StartAt::read(reader)?,
            }),
            _ => Err(Malformed),
        }
    }

    fn sent(key: Key, reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        match key {
            Key::Credit => Ok(Self::Credit {
                subscription: reader.u8()?,
                credit: reader.i16()?,
            }),
            Key::StoreOffset => Ok(Self::StoreOffset {
                reference: reader.string()?,
                stream: reader.string()?,
                offset: reader.u64()?,
            }),
            Key::Tune => Tune::read(reader).map(Self::Tune),
            Key::Heartbeat => Ok(Self::Heartbeat),
            _ => {
                let correlation = reader.u32()?;
                let request = Request::read(key, reader)?;
                Ok(Self::Ask { correlation, request })
            }
        }
    }

    /// Writes the frame that reads as this.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Ask { correlation, request } => frame::put(out, request.key() as u16, 1, |out| {
                out.u32(correlation);
                request.write(out);
            }),
            Self::Publish { publisher, entries } => {
                let version = if entries.has_filters() { 2 } else { 1 };
                frame::put(out, Key::Publish as u16, version, |out| {
                    out.u8(publisher);
                    entries::write(entries, out);
                });
            }
            Self::Credit { subscription, credit } => frame::put(out, Key::Credit as u16, 1, |out| {
                out.u8(subscription);
                out.u16(credit as u16);
            }),
            Self::StoreOffset {
                reference,
                stream,
                offset,
            } => frame::put(out, Key::StoreOffset as u16, 1, |out| {
                out.string(reference);
                out.string(stream);
                out.u64(offset);
            }),
            Self::Tune(tune) => frame::put(out, Key::Tune as u16, 1, |out| {
                out.u32(tune.frame_max);
                out.u32(tune.heartbeat);
            }),
            Self::Heartbeat => frame::put(out, Key::Heartbeat as u16, 1, |_| {}),
            Self::ConsumerUpdated {
                correlation,
                code,
                start,
            } => frame::put(out, answer_key(Key::ConsumerUpdate as u16), 1, |out| {
                out.u32(correlation);
                out.u16(code);
                StartAt::write(start, out);
            }),
            Self::Closed => frame::put(out, answer_key(Key::Close as u16), 1, |out| {
                out.u32(1);
                out.u16(1);
            }),
        }
    }
}

impl Tune {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            frame_max: reader.u32()?,
            heartbeat: reader.u32()?,
        })
    }
}

impl<'a> Request<'a> {
    /// The command it is.
    pub fn key(&self) -> Key {
        match self {
            Self::DeclarePublisher { .. } => Key::DeclarePublisher,
            Self::QueryPublisherSequence { .. } => Key::QueryPublisherSequence,
            Self::DeletePublisher { .. } => Key::DeletePublisher,
            Self::Subscribe(_) | Self::SubscribeNowhere => Key::Subscribe,
            Self::QueryOffset { .. } => Key::QueryOffset,
            Self::Unsubscribe { .. } => Key::Unsubscribe,
            Self::Create { .. } => Key::Create,
            Self::Delete { .. } => Key::Delete,
            Self::Metadata { .. } => Key::Metadata,
            Self::PeerProperties { .. } => Key::PeerProperties,
            Self::SaslHandshake => Key::SaslHandshake,
            Self::SaslAuthenticate { .. } => Key::SaslAuthenticate,
            Self::Open { .. } => Key::Open,
            Self::Close { .. } => Key::Close,
            Self::Route { .. } => Key::Route,
            Self::Partitions { .. } => Key::Partitions,
            Self::CommandVersions { .. } => Key::CommandVersions,
            Self::StreamStats { .. } => Key::StreamStats,
            Self::CreateSuperStream(_) => Key::CreateSuperStream,
            Self::DeleteSuperStream { .. } => Key::DeleteSuperStream,
        }
    }

    fn read(key: Key, reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(match key {
            Key::DeclarePublisher => Self::DeclarePublisher {
                publisher: reader.u8()?,
                reference: reader.string()?,
                stream: reader.string()?,
            },
            Key::QueryPublisherSequence => Self::QueryPublisherSequence {
                reference: reader.string()?,
                stream: reader.string()?,
            },
            Key::DeletePublisher => Self::DeletePublisher {
                publisher: reader.u8()?,
            },
            Key::Subscribe => Self::read_subscribe(reader)?,
            Key::QueryOffset => Self::QueryOffset {
                reference: reader.string()?,
                stream: reader.string()?,
            },
            Key::Unsubscribe => Self::Unsubscribe {
                subscription: reader.u8()?,
            },
            Key::Create => Self::Create {
                stream: reader.string()?,
                arguments: reader.map()?,
            },
            Key::Delete => Self::Delete {
                stream: reader.string()?,
            },
            Key::Metadata => Self::Metadata {
                streams: reader.strings()?,
            },
            Key::PeerProperties => Self::PeerProperties {
                properties: reader.map()?,
            },
            Key::SaslHandshake => Self::SaslHandshake,
            Key::SaslAuthenticate => Self::SaslAuthenticate {
                mechanism: reader.string()?,
                data: reader.bytes()?,
            },
            Key::Open => Self::Open {
                vhost: reader.string()?,
            },
            Key::Close => Self::Close {
                code: reader.u16()?,
                reason: reader.string()?,
            },
            Key::Route => Self::Route {
                key: reader.string()?,
                super_stream: reader.string()?,
            },
            Key::Partitions => Self::Partitions {
                super_stream: reader.string()?,
            },
            Key::CommandVersions => {
                let count = reader.u32()?;
                let rows = reader.take(count as usize * 6)?;
                Self::CommandVersions {
                    versions: Versions(rows),
                }
            }
            Key::StreamStats => Self::StreamStats {
                stream: reader.string()?,
            },
            Key::CreateSuperStream => Self::CreateSuperStream(CreateSuperStream {
                name: reader.string()?,
                partitions: reader.strings()?,
                binding_keys: reader.strings()?,
                arguments: reader.map()?,
            }),
            Key::DeleteSuperStream => Self::DeleteSuperStream { name: reader.string()? },
            Key::Publish
            | Key::PublishConfirm
            | Key::PublishError
            | Key::Deliver
            | Key::Credit
            | Key::StoreOffset
            | Key::MetadataUpdate
            | Key::Tune
            | Key::Heartbeat
            | Key::ConsumerUpdate => return Err(Malformed),
        })
    }

    fn read_subscribe(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let subscription = reader.u8()?;
        let stream = reader.string()?;
        if !matches!(reader.clone().u16()?, 1..=5) {
            *reader = Reader::new(&[]);
            return Ok(Self::SubscribeNowhere);
        }
        Ok(Self::Subscribe(Subscribe {
            subscription,
            stream,
            start: StartAt::read(reader)?.ok_or(Malformed)?,
            credit: reader.u16()?,
            properties: match reader.is_empty() {
                true => Map::default(),
                false => reader.map()?,
            },
        }))
    }

    fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::DeclarePublisher {
                publisher,
                reference,
                stream,
            } => {
                out.u8(publisher);
                out.string(reference);
                out.string(stream);
            }
            Self::QueryPublisherSequence { reference, stream } | Self::QueryOffset { reference, stream } => {
                out.string(reference);
                out.string(stream);
            }
            Self::DeletePublisher { publisher: id } | Self::Unsubscribe { subscription: id } => out.u8(id),
            Self::Subscribe(subscribe) => {
                out.u8(subscribe.subscription);
                out.string(subscribe.stream);
                StartAt::write(Some(subscribe.start), out);
                out.u16(subscribe.credit);
                write_map(subscribe.properties, out);
            }
            Self::SubscribeNowhere => {
                out.u8(0);
                out.string(b"");
                out.u16(0);
            }
            Self::Create { stream, arguments } => {
                out.string(stream);
                write_map(arguments, out);
            }
            Self::Delete { stream: name }
            | Self::StreamStats { stream: name }
            | Self::DeleteSuperStream { name }
            | Self::Partitions { super_stream: name }
            | Self::Open { vhost: name } => out.string(name),
            Self::Metadata { streams } => write_strings(streams, out),
            Self::PeerProperties { properties } => write_map(properties, out),
            Self::SaslHandshake => {}
            Self::SaslAuthenticate { mechanism, data } => {
                out.string(mechanism);
                out.bytes(data);
            }
            Self::Close { code, reason } => {
                out.u16(code);
                out.string(reason);
            }
            Self::Route { key, super_stream } => {
                out.string(key);
                out.string(super_stream);
            }
            Self::CommandVersions { versions } => {
                out.u32(versions.count() as u32);
                out.put(versions.0);
            }
            Self::CreateSuperStream(create) => {
                out.string(create.name);
                write_strings(create.partitions, out);
                write_strings(create.binding_keys, out);
                write_map(create.arguments, out);
            }
        }
    }
}

fn write_strings(strings: Strings<'_>, out: &mut Vec<u8>) {
    out.u32(strings.count() as u32);
    strings.for_each(|string| out.string(string));
}

fn write_map(map: Map<'_>, out: &mut Vec<u8>) {
    out.u32(map.count() as u32);
    for (key, value) in map {
        out.string(key);
        out.string(value);
    }
}
