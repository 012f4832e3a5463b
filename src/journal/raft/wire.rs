//! Raft's messages and small states as bytes: what nodes send each other, and what marks hold.
//!
//! Everything begins with [`VERSION`]; numbers are little endian. Nothing is allocated for a length
//! that the bytes at hand do not cover. What is used at once is a slice of the message it came in; the
//! body of an entry stays for long, and is copied out of it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf, Bytes};
use openraft::raft::TransferLeaderError;
use openraft::{EmptyNode, EntryPayload};

use super::pack::Packed;
use super::types::{
    AppendRequest, AppendResponse, Entry, LogId, Membership, Payload, SnapshotMeta, StoredMembership, TransferRequest,
    TransferResponse, Vote, VoteRequest, VoteResponse, log_id,
};
use crate::types::NodeId;

/// Bytes that are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("format {0}; this program knows {VERSION}")]
    Version(u8),
    #[error("unknown kind {0}")]
    Kind(u8),
    #[error("cut short")]
    Short,
    #[error("a membership without voters")]
    Membership,
}

impl From<bytes::TryGetError> for WireError {
    fn from(_: bytes::TryGetError) -> Self {
        Self::Short
    }
}

/// A message to a member of a group.
#[derive(Debug)]
pub enum Request {
    Append(AppendRequest),
    Vote(VoteRequest),
    PreVote(VoteRequest),
    Snapshot(SnapshotPart),
    Transfer(TransferRequest),
}

/// A piece of a snapshot, or behind the last one the word to install it.
#[derive(Debug)]
pub struct SnapshotPart {
    pub vote: Vote,
    pub meta: SnapshotMeta,
    /// Counts the pieces from 0.
    pub number: u32,
    /// `None` is the end.
    pub piece: Option<Bytes>,
}

/// What a member answers.
#[derive(Debug)]
pub enum Response {
    Append(AppendResponse),
    Vote(VoteResponse),
    /// The piece is there.
    SnapshotPart,
    /// The snapshot is installed, or refused for this higher vote.
    Snapshot(Vote),
    Transfer(TransferResponse),
    /// The group is not on this node: it has yet to be opened, or is no more.
    Absent,
    /// Why it was not done.
    Refused(String),
}

/// Writes what a message is made of.
#[derive(Default)]
pub struct Writer(Vec<u8>);

/// Reads what [`Writer`] wrote.
pub struct Reader(Bytes);

impl Request {
    /// The request, or what comes before the body of its last entry where that is large, and the body.
    pub fn encode_apart(&self) -> (Bytes, Option<Bytes>) {
        match self {
            Self::Append(append) => match append.entries.split_last() {
                Some((last, others)) if body_len(&last.payload) >= APART => {
                    let (mut w, (kind, body)) = (Writer::new(), body_of(&last.payload));
                    w.append(append, others);
                    w.entry_head(&last.log_id, kind).u32(body.len() as u32);
                    (w.finish(), Some(body))
                }
                _ => (self.encode(), None),
            },
            _ => (self.encode(), None),
        }
    }

    pub fn encode(&self) -> Bytes {
        let mut w = Writer::new();
        match self {
            Self::Append(append) => w.append(append, &append.entries),
            Self::Vote(request) => w.u8(2).vote_request(request),
            Self::PreVote(request) => w.u8(3).vote_request(request),
            Self::Snapshot(part) => {
                w.u8(4).vote(&part.vote).snapshot_meta(&part.meta).u32(part.number);
                match &part.piece {
                    Some(piece) => w.bool(true).bytes(piece),
                    None => w.bool(false),
                };
            }
            Self::Transfer(request) => {
                w.u8(5).vote(request.from_leader()).u64(request.to_node_id().0);
                w.opt_log_id(request.last_log_id());
            }
        }
        w.finish()
    }

    pub fn decode(bytes: Bytes) -> Result<Self, WireError> {
        let mut r = Reader::new(bytes)?;
        match r.u8()? {
            1 => {
                let vote = r.vote()?;
                let prev_log_id = r.opt_log_id()?;
                let leader_commit = r.opt_log_id()?;
                let count = r.u32()?;
                let mut entries = Vec::with_capacity((count as usize).min(r.0.len() / SMALLEST_ENTRY));
                for _ in 0..count {
                    entries.push(r.entry()?);
                }
                Ok(Self::Append(AppendRequest {
                    vote,
                    prev_log_id,
                    entries,
                    leader_commit,
                }))
            }
            2 => Ok(Self::Vote(r.vote_request()?)),
            3 => Ok(Self::PreVote(r.vote_request()?)),
            4 => Ok(Self::Snapshot(SnapshotPart {
                vote: r.vote()?,
                meta: r.snapshot_meta()?,
                number: r.u32()?,
                piece: if r.bool()? { Some(r.bytes()?) } else { None },
            })),
            5 => Ok(Self::Transfer(TransferRequest::new(
                r.vote()?,
                NodeId(r.u64()?),
                r.opt_log_id()?,
            ))),
            other => Err(WireError::Kind(other)),
        }
    }
}

impl Response {
    pub fn encode(&self) -> Bytes {
        let mut w = Writer::new();
        match self {
            Self::Append(AppendResponse::Success) => w.u8(1),
            Self::Append(AppendResponse::PartialSuccess(matching)) => w.u8(2).opt_log_id(matching.as_ref()),
            Self::Append(AppendResponse::Conflict) => w.u8(3),
            Self::Append(AppendResponse::HigherVote(vote)) => w.u8(4).vote(vote),
            Self::Vote(response) => {
                w.u8(5).vote(&response.vote).bool(response.vote_granted);
                w.opt_log_id(response.last_log_id.as_ref())
            }
            Self::SnapshotPart => w.u8(6),
            Self::Snapshot(vote) => w.u8(7).vote(vote),
            Self::Transfer(Ok(())) => w.u8(8),
            Self::Transfer(Err(TransferLeaderError::VoteChanged { expected, actual })) => {
                w.u8(9).vote(expected).vote(actual)
            }
            Self::Transfer(Err(TransferLeaderError::LogNotFlushed { expected, actual })) => {
                w.u8(10).opt_log_id(expected.as_ref()).opt_log_id(actual.as_ref())
            }
            Self::Absent => w.u8(11),
            Self::Refused(why) => w.u8(255).bytes(why.as_bytes()),
        };
        w.finish()
    }

    pub fn decode(bytes: Bytes) -> Result<Self, WireError> {
        let mut r = Reader::new(bytes)?;
        Ok(match r.u8()? {
            1 => Self::Append(AppendResponse::Success),
            2 => Self::Append(AppendResponse::PartialSuccess(r.opt_log_id()?)),
            3 => Self::Append(AppendResponse::Conflict),
            4 => Self::Append(AppendResponse::HigherVote(r.vote()?)),
            5 => Self::Vote(VoteResponse {
                vote: r.vote()?,
                vote_granted: r.bool()?,
                last_log_id: r.opt_log_id()?,
            }),
            6 => Self::SnapshotPart,
            7 => Self::Snapshot(r.vote()?),
            8 => Self::Transfer(Ok(())),
            9 => Self::Transfer(Err(TransferLeaderError::VoteChanged {
                expected: r.vote()?,
                actual: r.vote()?,
            })),
            10 => Self::Transfer(Err(TransferLeaderError::LogNotFlushed {
                expected: r.opt_log_id()?,
                actual: r.opt_log_id()?,
            })),
            11 => Self::Absent,
            255 => Self::Refused(String::from_utf8_lossy(&r.bytes()?).into_owned()),
            other => return Err(WireError::Kind(other)),
        })
    }
}

/// The kind and the body of an entry, as they are kept apart in the log. Only a membership's body
/// is made for it.
pub fn body_of(payload: &Payload) -> (Kind, Bytes) {
    match payload {
        EntryPayload::Blank => (Kind::Blank, Bytes::new()),
        EntryPayload::Normal(packed) => (Kind::Normal, packed.bytes().clone()),
        EntryPayload::Membership(membership) => {
            let mut w = Writer::default();
            w.membership(membership);
            (Kind::Membership, w.finish())
        }
    }
}

/// The payload of that kind and body.
pub fn payload_of(kind: Kind, body: Bytes) -> Result<Payload, WireError> {
    Ok(match kind {
        Kind::Blank => EntryPayload::Blank,
        Kind::Normal => EntryPayload::Normal(Packed::from_bytes(body)),
        Kind::Membership => EntryPayload::Membership(Reader(body).membership()?),
    })
}

/// What an entry of the log is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    Blank = 1,
    Normal = 2,
    Membership = 3,
}

impl TryFrom<u8> for Kind {
    type Error = WireError;

    fn try_from(kind: u8) -> Result<Self, WireError> {
        match kind {
            1 => Ok(Self::Blank),
            2 => Ok(Self::Normal),
            3 => Ok(Self::Membership),
            other => Err(WireError::Kind(other)),
        }
    }
}

fn body_len(payload: &Payload) -> usize {
    match payload {
        EntryPayload::Normal(packed) => packed.bytes().len(),
        _ => 0,
    }
}

impl Writer {
    /// Begins with the version.
    pub fn new() -> Self {
        Self(vec![VERSION])
    }

    pub fn finish(self) -> Bytes {
        self.0.into()
    }

    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.u8(u8::from(value))
    }

    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.u32(value.len() as u32);
        self.0.extend_from_slice(value);
        self
    }

    pub fn vote(&mut self, vote: &Vote) -> &mut Self {
        self.u64(vote.leader_id.term)
            .u64(vote.leader_id.voted_for.0)
            .bool(vote.committed)
    }

    pub fn opt_vote(&mut self, vote: Option<&Vote>) -> &mut Self {
        match vote {
            Some(vote) => self.bool(true).vote(vote),
            None => self.bool(false),
        }
    }

    pub fn opt_log_id(&mut self, id: Option<&LogId>) -> &mut Self {
        match id {
            Some(id) => self.bool(true).u64(id.leader_id.term).u64(id.index),
            None => self.bool(false),
        }
    }

    pub fn snapshot_meta(&mut self, meta: &SnapshotMeta) -> &mut Self {
        self.opt_log_id(meta.last_log_id.as_ref())
            .opt_log_id(meta.last_membership.log_id().as_ref());
        self.membership(meta.last_membership.membership())
    }

    fn membership(&mut self, membership: &Membership) -> &mut Self {
        let configs = membership.get_joint_config();
        self.u32(configs.len() as u32);
        for config in configs {
            self.nodes(config.iter(), config.len());
        }
        self.nodes(membership.nodes().map(|(node, _)| node), membership.nodes().count())
    }

    fn nodes<'a>(&mut self, nodes: impl Iterator<Item = &'a NodeId>, count: usize) -> &mut Self {
        self.u32(count as u32);
        for node in nodes {
            self.u64(node.0);
        }
        self
    }

    fn vote_request(&mut self, request: &VoteRequest) {
        self.vote(&request.vote)
            .opt_log_id(request.last_log_id.as_ref())
            .bool(request.leadership_transfer);
    }

    /// A request, with the first of its entries.
    fn append(&mut self, append: &AppendRequest, entries: &[Entry]) {
        self.0
            .reserve(128 + entries.iter().map(|entry| 64 + body_len(&entry.payload)).sum::<usize>());
        self.u8(1).vote(&append.vote).opt_log_id(append.prev_log_id.as_ref());
        self.opt_log_id(append.leader_commit.as_ref())
            .u32(append.entries.len() as u32);
        for entry in entries {
            let (kind, body) = body_of(&entry.payload);
            self.entry_head(&entry.log_id, kind).bytes(&body);
        }
    }

    fn entry_head(&mut self, id: &LogId, kind: Kind) -> &mut Self {
        self.u64(id.leader_id.term).u64(id.index).u8(kind as u8)
    }
}

impl Reader {
    /// Reads the version, and what is behind it if it is known.
    pub fn new(mut bytes: Bytes) -> Result<Self, WireError> {
        match bytes.try_get_u8()? {
            VERSION => Ok(Self(bytes)),
            other => Err(WireError::Version(other)),
        }
    }

    pub fn u8(&mut self) -> Result<u8, WireError> {
        Ok(self.0.try_get_u8()?)
    }

    pub fn bool(&mut self) -> Result<bool, WireError> {
        Ok(self.u8()? != 0)
    }

    pub fn u32(&mut self) -> Result<u32, WireError> {
        Ok(self.0.try_get_u32_le()?)
    }

    pub fn u64(&mut self) -> Result<u64, WireError> {
        Ok(self.0.try_get_u64_le()?)
    }

    pub fn bytes(&mut self) -> Result<Bytes, WireError> {
        let len = self.u32()? as usize;
        if len > self.0.len() {
            return Err(WireError::Short);
        }
        Ok(self.0.split_to(len))
    }

    pub fn vote(&mut self) -> Result<Vote, WireError> {
        let (term, node) = (self.u64()?, NodeId(self.u64()?));
        Ok(match self.bool()? {
            true => Vote::new_committed(term, node),
            false => Vote::new(term, node),
        })
    }

    pub fn opt_vote(&mut self) -> Result<Option<Vote>, WireError> {
        Ok(if self.bool()? { Some(self.vote()?) } else { None })
    }

    pub fn opt_log_id(&mut self) -> Result<Option<LogId>, WireError> {
        Ok(if self.bool()? {
            Some(log_id(self.u64()?, self.u64()?))
        } else {
            None
        })
    }

    pub fn snapshot_meta(&mut self) -> Result<SnapshotMeta, WireError> {
        Ok(SnapshotMeta {
            last_log_id: self.opt_log_id()?,
            last_membership: StoredMembership::new(self.opt_log_id()?, self.membership()?),
        })
    }

    fn membership(&mut self) -> Result<Membership, WireError> {
        let count = self.u32()?;
        let mut configs = Vec::new();
        for _ in 0..count {
            configs.push(BTreeSet::from_iter(self.nodes()?));
        }
        let nodes: BTreeMap<_, _> = self.nodes()?.into_iter().map(|node| (node, EmptyNode {})).collect();
        // The state before the first membership.
        if configs.is_empty() && nodes.is_empty() {
            return Ok(Membership::default());
        }
        Membership::new(configs, nodes).map_err(|_| WireError::Membership)
    }

    fn nodes(&mut self) -> Result<Vec<NodeId>, WireError> {
        let count = self.u32()? as usize;
        if count > self.0.len() / 8 {
            return Err(WireError::Short);
        }
        (0..count).map(|_| Ok(NodeId(self.u64()?))).collect()
    }

    fn vote_request(&mut self) -> Result<VoteRequest, WireError> {
        let mut request = VoteRequest::new(self.vote()?, self.opt_log_id()?);
        request.leadership_transfer = self.bool()?;
        Ok(request)
    }

    fn entry(&mut self) -> Result<Entry, WireError> {
        let log_id = log_id(self.u64()?, self.u64()?);
        let kind = Kind::try_from(self.u8()?)?;
        let mut body = self.bytes()?;
        if body.len() < ALONE {
            // The log keeps it for long: a slice would keep all that was read together, of whatever group.
            body = Bytes::copy_from_slice(&body);
        }
        let payload = payload_of(kind, body)?;
        Ok(Entry { log_id, payload })
    }
}

/// Of messages, and of the marks in the store.
pub const VERSION: u8 = 1;
/// Bytes of the body of an entry that is sent without a copy,
const APART: usize = 64 * 1024;
/// and of one that is kept as it was read: what was read with it is little beside it.
const ALONE: usize = 4 * 1024 * 1024;
/// Bytes of an entry without a body.
const SMALLEST_ENTRY: usize = 8 + 8 + 1 + 4;
