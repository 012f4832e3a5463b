//! openraft's messages to the other members, over whatever carries bytes between nodes.
//!
//! Appends are pipelined: up to [`PIPELINE`] are on their way, answers are taken in the order of
//! the requests. Which is why a transport must hand over requests in the order in which they were
//! made; a request that is lost or overtaken costs a retry, never correctness.
//!
//! What tells a member only how far the log is committed waits for the next append, for [`HOLD`] at
//! most: by itself it would cost each entry a second round, which nobody waits for.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::StreamAppendResult;
use openraft::{EmptyNode, RPCTypes, RaftNetworkFactory, RaftNetworkV2};
use tokio::time::{Instant, Sleep, sleep_until};

use super::refusals::Refusals;
use super::snapshots::KeptSnapshot;
use super::spec::GroupId;
use super::types::{
    AppendRequest, AppendResponse, LogId, Snapshot, SnapshotResponse, TransferRequest, TransferResponse, Types, Vote,
    VoteRequest, VoteResponse,
};
use super::wire::{Request, Response, SnapshotPart};
use crate::tasks;
use crate::types::NodeId;

/// Carries requests between nodes; the other side gives them to [`super::RaftJournals::receive`].
pub trait Transport: Send + Sync + 'static {
    /// Sends a request to a group's member on another node; the future is its answer. The request
    /// is on its way when this returns, and requests to a node arrive in the order of the calls.
    /// The future ends by the deadline, and at once when the link breaks.
    fn send(
        &self,
        to: NodeId,
        group: GroupId,
        request: Bytes,
        deadline: Duration,
    ) -> BoxFuture<'static, Result<Bytes, TransportError>>;

    /// The same for a request in two parts; the second is large.
    fn send_parts(
        &self,
        to: NodeId,
        group: GroupId,
        [head, tail]: [Bytes; 2],
        deadline: Duration,
    ) -> BoxFuture<'static, Result<Bytes, TransportError>> {
        self.send(to, group, [head, tail].concat().into(), deadline)
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// Trying again soon is no use: there is no link.
    #[error("node {0} cannot be reached")]
    Unreachable(NodeId),
    /// The link broke after the request was sent.
    #[error("the link to node {0} broke")]
    Broken(NodeId),
    #[error("no answer from node {0} in time")]
    Timeout(NodeId),
}

/// Makes openraft's clients for one group.
pub struct Network {
    pub transport: Arc<dyn Transport>,
    pub node: NodeId,
    pub group: GroupId,
    /// Members are to hear at once how far the log is committed.
    pub tells_commits: bool,
    pub refusals: Arc<Refusals>,
}

/// openraft's client for one member of one group.
pub struct Member {
    transport: Arc<dyn Transport>,
    node: NodeId,
    group: GroupId,
    to: NodeId,
    tells_commits: bool,
    refusals: Arc<Refusals>,
}

/// An append on its way.
struct SentAppend {
    prev: Option<LogId>,
    last: Option<LogId>,
    answer: BoxFuture<'static, Result<Bytes, TransportError>>,
}

/// Where a pipelined stream of appends stands.
struct Pipeline<'a, S> {
    member: &'a Member,
    input: S,
    is_open: bool,
    in_flight: VecDeque<SentAppend>,
    /// Where the last request that was sent ended.
    sent: Option<Option<LogId>>,
    /// What may wait for the next one, and until when.
    held: Option<(AppendRequest, Instant)>,
    /// Looks after what is held. It is not set anew for each request: whoever sets a timer wakes the
    /// thread that waits for the next one.
    timer: Option<Pin<Box<Sleep>>>,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Member;

    async fn new_client(&mut self, target: NodeId, _: &EmptyNode) -> Member {
        self.member(target)
    }
}

impl Network {
    /// The client for one member.
    pub fn member(&self, to: NodeId) -> Member {
        Member {
            transport: Arc::clone(&self.transport),
            node: self.node,
            group: self.group,
            to,
            tells_commits: self.tells_commits,
            refusals: Arc::clone(&self.refusals),
        }
    }
}

impl Member {
    fn send(&self, request: &Request, deadline: Duration) -> BoxFuture<'static, Result<Bytes, TransportError>> {
        match request.encode_apart() {
            (request, None) => self.transport.send(self.to, self.group, request, deadline),
            (head, Some(tail)) => self.transport.send_parts(self.to, self.group, [head, tail], deadline),
        }
    }

    async fn call(&self, kind: RPCTypes, request: Request, deadline: Duration) -> Result<Response, RPCError<Types>> {
        let answer = self.send(&request, deadline).await;
        self.answered(kind, answer, deadline)
    }

    /// What a member said, if it did what was asked.
    fn answered(
        &self,
        kind: RPCTypes,
        answer: Result<Bytes, TransportError>,
        deadline: Duration,
    ) -> Result<Response, RPCError<Types>> {
        match answer {
            Ok(bytes) => match Response::decode(bytes) {
                Ok(Response::Absent) => {
                    // So it is whenever a member's node starts.
                    tracing::debug!(node = %self.to, group = %self.group, "the group is not on the node");
                    Err(Unreachable::from_string("the group is not on the node").into())
                }
                Ok(Response::Refused(why)) => {
                    self.refusals.refused(self.to, self.group, &why);
                    Err(Unreachable::from_string(why).into())
                }
                Ok(response) => {
                    self.refusals.done(self.to, self.group);
                    Ok(response)
                }
                Err(error) => Err(Unreachable::new(&error).into()),
            },
            Err(error @ TransportError::Unreachable(_)) => Err(Unreachable::new(&error).into()),
            Err(error @ TransportError::Broken(_)) => Err(NetworkError::new(&error).into()),
            Err(TransportError::Timeout(_)) => Err(Timeout {
                action: kind,
                id: self.node,
                target: self.to,
                timeout: deadline,
            }
            .into()),
        }
    }

    fn append_answer(
        &self,
        answer: Result<Bytes, TransportError>,
        deadline: Duration,
    ) -> Result<AppendResponse, RPCError<Types>> {
        match self.answered(RPCTypes::AppendEntries, answer, deadline)? {
            Response::Append(response) => Ok(response),
            _ => Err(unexpected()),
        }
    }
}

impl RaftNetworkV2<Types> for Member {
    type SnapshotData = Arc<KeptSnapshot>;

    async fn append_entries(&mut self, rpc: AppendRequest, _: RPCOption) -> Result<AppendResponse, RPCError<Types>> {
        let answer = self.send(&Request::Append(rpc), APPEND_DEADLINE).await;
        self.append_answer(answer, APPEND_DEADLINE)
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Result<StreamAppendResult<Types>, RPCError<Types>>>, RPCError<Types>>>
    where
        S: Stream<Item = AppendRequest> + Send + Unpin + 'static,
    {
        let pipeline = Pipeline {
            member: self,
            input,
            is_open: true,
            in_flight: VecDeque::new(),
            sent: None,
            held: None,
            timer: None,
        };
        let answers = stream::unfold(Some(pipeline), |pipeline| async {
            let mut pipeline = pipeline?;
            let answer = pipeline.next().await?;
            // Behind an error nothing is worth knowing.
            let goes_on = matches!(answer, Ok(Ok(_)));
            Some((answer, goes_on.then_some(pipeline)))
        });
        Box::pin(async move { Ok(answers.boxed()) })
    }

    async fn vote(&mut self, rpc: VoteRequest, _: RPCOption) -> Result<VoteResponse, RPCError<Types>> {
        match self.call(RPCTypes::Vote, Request::Vote(rpc), VOTE_DEADLINE).await? {
            Response::Vote(response) => Ok(response),
            _ => Err(unexpected()),
        }
    }

    async fn pre_vote(&mut self, rpc: VoteRequest, _: RPCOption) -> Result<VoteResponse, RPCError<Types>> {
        match self.call(RPCTypes::Vote, Request::PreVote(rpc), VOTE_DEADLINE).await? {
            Response::Vote(response) => Ok(response),
            _ => Err(unexpected()),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot<Arc<KeptSnapshot>>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse, StreamingError<Types>> {
        tokio::select! {
            biased;
            closed = cancel => Err(closed.into()),
            sent = self.send_snapshot(vote, snapshot) => sent,
        }
    }

    async fn transfer_leader(
        &mut self,
        req: TransferRequest,
        _: RPCOption,
    ) -> Result<TransferResponse, RPCError<Types>> {
        match self
            .call(RPCTypes::TransferLeader, Request::Transfer(req), VOTE_DEADLINE)
            .await?
        {
            Response::Transfer(response) => Ok(response),
            _ => Err(unexpected()),
        }
    }
}

impl Member {
    async fn send_snapshot(
        &self,
        vote: Vote,
        snapshot: Snapshot<Arc<KeptSnapshot>>,
    ) -> Result<SnapshotResponse, StreamingError<Types>> {
        let (count, total) = (snapshot.snapshot.count(), snapshot.snapshot.bytes());
        tracing::info!(node = %self.to, group = %self.group, bytes = total, "sends a snapshot");
        let mut sent = 0;
        let mut told = 0;
        for number in 0..=count {
            let piece = match number < count {
                true => Some(
                    read_piece(&snapshot.snapshot, number)
                        .await
                        .map_err(|error| NetworkError::new(&error))?,
                ),
                false => None,
            };
            sent += piece.as_ref().map_or(0, Bytes::len) as u64;
            let part = SnapshotPart {
                vote,
                meta: snapshot.meta.clone(),
                number: number as u32,
                piece,
            };
            match self
                .call(RPCTypes::InstallSnapshot, Request::Snapshot(part), SNAPSHOT_DEADLINE)
                .await?
            {
                Response::SnapshotPart => {}
                Response::Snapshot(answer) => {
                    tracing::info!(node = %self.to, group = %self.group, bytes = sent, "a snapshot is sent");
                    return Ok(SnapshotResponse::new(answer));
                }
                _ => return Err(unexpected().into()),
            }
            if sent - told >= PROGRESS_BYTES {
                told = sent;
                tracing::info!(node = %self.to, group = %self.group, bytes = sent, of = total, "sends a snapshot");
            }
        }
        Err(unexpected().into())
    }
}

async fn read_piece(snapshot: &Arc<KeptSnapshot>, number: usize) -> io::Result<Bytes> {
    let snapshot = Arc::clone(snapshot);
    let read = tasks::blocking(move || snapshot.piece(number)).await;
    read.map_err(io::Error::other)?
}

impl<S: Stream<Item = AppendRequest> + Unpin> Pipeline<'_, S> {
    /// The answer to the next request, and requests sent meanwhile.
    async fn next(&mut self) -> Option<Result<StreamAppendResult<Types>, RPCError<Types>>> {
        loop {
            let may_send = self.is_open && self.in_flight.len() < PIPELINE;
            let is_waiting = !self.in_flight.is_empty();
            let first = self.in_flight.front_mut();
            let answered = async {
                match first {
                    Some(first) => (&mut first.answer).await,
                    None => std::future::pending().await,
                }
            };
            let held_until = self.held.as_ref().map(|(_, until)| *until);
            let timer = async {
                match &mut self.timer {
                    Some(timer) => timer.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                answer = answered, if is_waiting => {
                    let request = self.in_flight.pop_front()?;
                    let response = self.member.append_answer(answer, APPEND_DEADLINE);
                    return Some(response.and_then(|response| match (&response, request.prev) {
                        // Only a member that is mistaken says so.
                        (AppendResponse::Conflict, None) => Err(unexpected()),
                        (_, prev) => Ok(response.into_stream_result(prev, request.last)),
                    }));
                }
                request = self.input.next(), if may_send => match request {
                    Some(request) if self.may_hold(&request) => {
                        let until = held_until.unwrap_or_else(|| Instant::now() + HOLD);
                        self.held = Some((request, until));
                        self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
                    }
                    // It tells what the one that is held would tell.
                    Some(request) => self.send(request),
                    None => {
                        self.is_open = false;
                        self.send_held();
                    }
                },
                () = timer, if held_until.is_some() => match held_until {
                    Some(until) if until > Instant::now() => self.timer = Some(Box::pin(sleep_until(until))),
                    _ => {
                        self.timer = None;
                        self.send_held();
                    }
                },
                else => return None,
            }
        }
    }

    /// Whether a request tells nothing that the next one will not tell too.
    fn may_hold(&self, request: &AppendRequest) -> bool {
        !self.member.tells_commits && request.entries.is_empty() && self.sent == Some(request.prev_log_id)
    }

    fn send_held(&mut self) {
        if let Some((request, _)) = self.held.take() {
            self.send(request);
        }
    }

    fn send(&mut self, request: AppendRequest) {
        self.held = None;
        let prev = request.prev_log_id;
        let last = request.entries.last().map(|entry| entry.log_id).or(prev);
        self.sent = Some(last);
        let answer = self.member.send(&Request::Append(request), APPEND_DEADLINE);
        self.in_flight.push_back(SentAppend { prev, last, answer });
    }
}

fn unexpected() -> RPCError<Types> {
    Unreachable::from_string("an answer to another question").into()
}

/// Appends to a member that it has not answered.
const PIPELINE: usize = 8;
/// How long a member may not hear how far the log is committed.
const HOLD: Duration = Duration::from_millis(10);
/// How long an append may take, the member's sync included.
const APPEND_DEADLINE: Duration = Duration::from_secs(2);
const VOTE_DEADLINE: Duration = Duration::from_secs(1);
/// How long storing a piece of a snapshot, or installing the whole, may take.
const SNAPSHOT_DEADLINE: Duration = Duration::from_secs(60);
/// Bytes of a snapshot between two lines in the log.
const PROGRESS_BYTES: u64 = 64 * 1024 * 1024;
