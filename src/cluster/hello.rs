//! What two nodes tell each other before either trusts the other, and how it lies on the wire.
//!
//! A message of the handshake is a mark, its type, the length of its body, and the body. The
//! layout of the hello must stay as it is for ever: it is how a node finds out that the other
//! speaks a version it does not know. Later versions may add fields at its end; older ones pass
//! over them.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::identity::{ClusterId, Incarnation};
use crate::types::NodeId;

/// Begins every message of the handshake.
const MARK: [u8; 4] = *b"WRNL";
/// The largest body before the peer is known.
const MOST_BODY: usize = 2048;
/// The largest name or address.
const MOST_TEXT: usize = 512;
/// Begins what one sends who wants to speak TLS: the record type of a handshake.
const TLS: u8 = 22;
const HEADER: usize = MARK.len() + 3;

/// Random bytes that no handshake had before.
pub type Nonce = [u8; 32];

/// Which side of a connection a node is on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    Dialler,
    Listener,
}

/// What a connection is for. Between two nodes there is one of each, so that what is large never
/// holds up what is urgent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Class {
    /// Pings, and what must not wait behind data.
    Control,
    /// Raft's entries, publishes, deliveries.
    Data,
    /// Snapshots and whatever else takes long.
    Bulk,
}

impl Class {
    pub const ALL: [Self; 3] = [Self::Control, Self::Data, Self::Bulk];
}

/// The versions of one format that a node can read and write, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    pub oldest: u16,
    pub newest: u16,
}

impl Span {
    /// Of a node so old that it does not say.
    pub(super) const UNTOLD: Self = Self::only(0);

    /// One version only.
    pub const fn only(version: u16) -> Self {
        Self {
            oldest: version,
            newest: version,
        }
    }
}

/// The versions of everything that nodes exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Versions {
    /// Frames of the link.
    pub link: Span,
    /// Entries of Raft logs.
    pub entries: Span,
    /// Snapshots of queues.
    pub snapshots: Span,
    /// Commands and snapshots of the catalogue.
    pub catalogue: Span,
    /// What nodes say about queues.
    pub queues: Span,
    /// Records of queues, in entries.
    pub records: Span,
    /// Messages of Raft.
    pub raft: Span,
    /// What nodes ask each other.
    pub requests: Span,
}

impl Versions {
    /// Each format by what it is called.
    pub(super) fn named(&self) -> [(&'static str, Span); 8] {
        [
            ("the protocol between nodes", self.link),
            ("log entries", self.entries),
            ("snapshots", self.snapshots),
            ("the catalogue", self.catalogue),
            ("frames about queues", self.queues),
            ("records of queues", self.records),
            ("Raft's messages", self.raft),
            ("requests", self.requests),
        ]
    }

    /// The same for each.
    #[cfg(test)]
    pub const fn all(span: Span) -> Self {
        Self {
            link: span,
            entries: span,
            snapshots: span,
            catalogue: span,
            queues: span,
            records: span,
            raft: span,
            requests: span,
        }
    }
}

/// Who a node says it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Introduction {
    pub id: NodeId,
    pub incarnation: Incarnation,
    /// `None` until it has formed or joined one.
    pub cluster: Option<ClusterId>,
    /// `rabbit@host`.
    pub name: String,
    /// HOST:PORT under which it can be reached.
    pub address: String,
    pub versions: Versions,
}

/// The first message of each side.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Hello {
    pub role: Role,
    pub class: Class,
    pub nonce: Nonce,
    /// Counts what the dialler dialled; what a listener says here has no meaning.
    pub attempt: u64,
    pub who: Introduction,
}

/// Types of messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Type {
    Hello = 1,
    Proof = 2,
    Refusal = 3,
}

/// What cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Malformed {
    #[error("what came is not of Warren's protocol between nodes")]
    NotOurs,
    #[error("the other side speaks TLS and this node speaks plain text: set cluster.tls.* on both or on neither")]
    Tls,
    #[error("a message of the handshake is larger than it can be")]
    TooLarge,
    #[error("a message of the handshake is damaged")]
    Damaged,
}

/// Appends a message. Bodies are ours, and shorter than [`MOST_BODY`].
pub(super) fn write(kind: Type, body: &[u8], out: &mut Vec<u8>) {
    out.put_slice(&MARK);
    out.put_u8(kind as u8);
    let length = u16::try_from(body.len()).expect("bodies are cut to the limit when they are made");
    out.put_u16(length);
    out.put_slice(body);
}

/// Whether the first byte of a connection can be that of a message.
pub(super) fn may_begin_with(first: u8) -> bool {
    first == MARK[0]
}

/// Takes a whole message from the front of what came; `None` when it is not all there.
pub(super) fn read(input: &mut BytesMut) -> Result<Option<(Type, Bytes)>, Malformed> {
    if input.first() == Some(&TLS) {
        return Err(Malformed::Tls);
    }
    let there = input.len().min(MARK.len());
    if input[..there] != MARK[..there] {
        return Err(Malformed::NotOurs);
    }
    if input.len() < HEADER {
        return Ok(None);
    }
    let kind = match input[4] {
        1 => Type::Hello,
        2 => Type::Proof,
        3 => Type::Refusal,
        _ => return Err(Malformed::Damaged),
    };
    let length = usize::from(u16::from_be_bytes([input[5], input[6]]));
    if length > MOST_BODY {
        return Err(Malformed::TooLarge);
    }
    if input.len() < HEADER + length {
        return Ok(None);
    }
    input.advance(HEADER);
    Ok(Some((kind, input.split_to(length).freeze())))
}

impl Hello {
    pub fn encode(&self) -> Vec<u8> {
        let who = &self.who;
        let mut out = Vec::with_capacity(256);
        out.put_u8(match self.role {
            Role::Dialler => 1,
            Role::Listener => 2,
        });
        out.put_u8(match self.class {
            Class::Control => 1,
            Class::Data => 2,
            Class::Bulk => 3,
        });
        out.put_slice(&self.nonce);
        out.put_u64(self.attempt);
        out.put_u64(who.id.0);
        out.put_u64(who.incarnation.0);
        out.put_u64(who.cluster.map_or(0, |cluster| cluster.0));
        let versions = &who.versions;
        let first = [versions.link, versions.entries, versions.snapshots, versions.catalogue];
        put_spans(&mut out, first);
        for text in [&who.name, &who.address] {
            let text = cut(text, MOST_TEXT);
            out.put_u16(text.len() as u16);
            out.put_slice(text.as_bytes());
        }
        put_spans(
            &mut out,
            [versions.queues, versions.records, versions.raft, versions.requests],
        );
        out
    }

    pub fn decode(mut body: &[u8]) -> Result<Self, Malformed> {
        let body = &mut body;
        let role = match byte(body)? {
            1 => Role::Dialler,
            2 => Role::Listener,
            _ => return Err(Malformed::Damaged),
        };
        let class = match byte(body)? {
            1 => Class::Control,
            2 => Class::Data,
            3 => Class::Bulk,
            _ => return Err(Malformed::Damaged),
        };
        let mut nonce = Nonce::default();
        body.try_copy_to_slice(&mut nonce).map_err(|_| Malformed::Damaged)?;
        let attempt = number(body)?;
        let id = NodeId(number(body)?);
        let incarnation = Incarnation(number(body)?);
        let cluster = Some(number(body)?).filter(|id| *id != 0).map(ClusterId);
        let [link, entries, snapshots, catalogue] = [span(body)?, span(body)?, span(body)?, span(body)?];
        let (name, address) = (text(body)?, text(body)?);
        let who = Introduction {
            id,
            incarnation,
            cluster,
            name,
            address,
            versions: Versions {
                link,
                entries,
                snapshots,
                catalogue,
                queues: later_span(body)?,
                records: later_span(body)?,
                raft: later_span(body)?,
                requests: later_span(body)?,
            },
        };
        if id.0 == 0 {
            return Err(Malformed::Damaged);
        }
        Ok(Self {
            role,
            class,
            nonce,
            attempt,
            who,
        })
    }
}

/// At most so many bytes of a text, cut between letters.
pub(super) fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

fn byte(body: &mut &[u8]) -> Result<u8, Malformed> {
    body.try_get_u8().map_err(|_| Malformed::Damaged)
}

fn number(body: &mut &[u8]) -> Result<u64, Malformed> {
    body.try_get_u64().map_err(|_| Malformed::Damaged)
}

fn short(body: &mut &[u8]) -> Result<u16, Malformed> {
    body.try_get_u16().map_err(|_| Malformed::Damaged)
}

fn span(body: &mut &[u8]) -> Result<Span, Malformed> {
    Ok(Span {
        oldest: short(body)?,
        newest: short(body)?,
    })
}

/// One that older versions do not tell.
fn later_span(body: &mut &[u8]) -> Result<Span, Malformed> {
    match body.is_empty() {
        true => Ok(Span::UNTOLD),
        false => span(body),
    }
}

fn put_spans(out: &mut Vec<u8>, spans: [Span; 4]) {
    for span in spans {
        out.put_u16(span.oldest);
        out.put_u16(span.newest);
    }
}

/// A name or an address: printable, so that nobody forges lines of a log with it.
fn text(body: &mut &[u8]) -> Result<String, Malformed> {
    let length = usize::from(short(body)?);
    if length > MOST_TEXT || length > body.len() {
        return Err(Malformed::Damaged);
    }
    let (text, rest) = body.split_at(length);
    *body = rest;
    let text = std::str::from_utf8(text).map_err(|_| Malformed::Damaged)?;
    if text.chars().any(char::is_control) {
        return Err(Malformed::Damaged);
    }
    Ok(text.to_owned())
}
