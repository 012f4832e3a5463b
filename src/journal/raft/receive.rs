//! What other members ask of a group on this node.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use openraft::{EntryPayload, Raft};
use tokio::sync::Mutex;
use tokio::task::coop::unconstrained;

use super::apply::Applier;
use super::snapshots::{PIECE_BYTES, SnapshotWriter, Snapshots};
use super::types::{AppendRequest, Snapshot, SnapshotMeta, SnapshotResponse, Types, Vote};
use super::wire::{Request, Response, SnapshotPart};
use crate::machine::Machine;
use crate::tasks;

/// A group as the messages for it see it.
pub trait Receiver: Send + Sync {
    /// Takes a request; the future is the answer.
    fn receive(self: Arc<Self>, request: Bytes) -> BoxFuture<'static, Bytes>;
}

/// Outputs for one group.
pub struct Inbox<M: Machine> {
    pub raft: Raft<Types, Applier<M>>,
    snapshots: Arc<Snapshots>,
    incoming: Mutex<Option<Incoming>>,
}

/// A snapshot that is being received.
struct Incoming {
    vote: Vote,
    meta: SnapshotMeta,
    writer: SnapshotWriter,
}

impl<M: Machine> Inbox<M> {
    pub fn new(raft: Raft<Types, Applier<M>>, snapshots: Arc<Snapshots>) -> Self {
        Self {
            raft,
            snapshots,
            incoming: Mutex::default(),
        }
    }

    async fn answer(&self, request: Bytes) -> Result<Response, String> {
        match Request::decode(request).map_err(|error| error.to_string())? {
            Request::Append(append) => {
                readable::<M>(&append)?;
                let response = self.raft.append_entries(append).await;
                response.map(Response::Append).map_err(|error| error.to_string())
            }
            Request::Vote(vote) => {
                let response = self.raft.vote(vote).await;
                response.map(Response::Vote).map_err(|error| error.to_string())
            }
            Request::PreVote(vote) => {
                let response = self.raft.pre_vote(vote).await;
                response.map(Response::Vote).map_err(|error| error.to_string())
            }
            Request::Snapshot(part) => self.snapshot(part).await,
            Request::Transfer(transfer) => {
                let response = self.raft.handle_transfer_leader(transfer).await;
                response.map(Response::Transfer).map_err(|error| error.to_string())
            }
        }
    }

    async fn snapshot(&self, part: SnapshotPart) -> Result<Response, String> {
        let mut incoming = self.incoming.lock().await;
        if part.number == 0 {
            *incoming = Some(Incoming {
                vote: part.vote,
                meta: part.meta.clone(),
                writer: self.snapshots.writer(),
            });
        }
        let expected = incoming.as_ref().is_some_and(|incoming| {
            incoming.vote == part.vote && incoming.meta == part.meta && incoming.writer.count() == part.number as usize
        });
        let Some(mut receiving) = incoming.take_if(|_| expected) else {
            return Err("a piece of a snapshot that is not being received".to_owned());
        };
        let Some(piece) = part.piece else {
            let snapshot = receiving.writer.finish(receiving.meta.clone());
            tracing::info!(bytes = snapshot.bytes(), "a snapshot is received");
            let snapshot = Snapshot {
                meta: receiving.meta,
                snapshot,
            };
            let installed = self.raft.install_full_snapshot(receiving.vote, snapshot).await;
            let SnapshotResponse { vote } = installed.map_err(|error| error.to_string())?;
            return Ok(Response::Snapshot(vote));
        };
        if piece.len() > PIECE_BYTES {
            return Err(format!("a snapshot's piece of {} bytes", piece.len()));
        }
        // Adding may wait for the disk.
        let added = tasks::blocking(move || {
            receiving.writer.add(&piece);
            receiving
        });
        *incoming = Some(added.await.map_err(|error| error.to_string())?);
        Ok(Response::SnapshotPart)
    }
}

impl<M: Machine> Receiver for Inbox<M> {
    fn receive(self: Arc<Self>, request: Bytes) -> BoxFuture<'static, Bytes> {
        // A task that has done much since it was woken would have the channel to openraft wait for its next
        // turn, and what comes after this one might come before it.
        let mut answer: BoxFuture<'static, Bytes> = Box::pin(unconstrained(async move {
            let answered = self.answer(request).await;
            answered.unwrap_or_else(Response::Refused).encode()
        }));
        // Begun here and now, so that requests reach openraft in the order in which they came.
        match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(response) => Box::pin(std::future::ready(response)),
            Poll::Pending => answer,
        }
    }
}

/// What this program cannot read must not enter the log: it would be committed without anybody
/// here being able to apply it.
fn readable<M: Machine>(append: &AppendRequest) -> Result<(), String> {
    for entry in &append.entries {
        if let EntryPayload::Normal(packed) = &entry.payload {
            packed
                .check::<M>()
                .map_err(|error| format!("log entry {}: {error}", entry.log_id.index))?;
        }
    }
    Ok(())
}
