//! Messages come back as they were, and no bytes do harm.

use bytes::Bytes;
use openraft::raft::TransferLeaderError;
use openraft::{EntryPayload, Membership, StoredMembership, Vote};
use proptest::prelude::*;

use crate::journal::raft::pack::Packed;
use crate::journal::raft::types::{
    AppendRequest, AppendResponse, Entry, SnapshotMeta, TransferRequest, VoteRequest, VoteResponse, log_id,
};
use crate::journal::raft::wire::{Request, Response, SnapshotPart, VERSION, WireError};
use crate::types::NodeId;

fn requests() -> Vec<Request> {
    let vote = Vote::new_committed(3, NodeId(2));
    let joint = vec![[1, 2, 3].map(NodeId).into(), [2, 3, 4].map(NodeId).into()];
    let membership = Membership::new_with_defaults(joint, [NodeId(9)]);
    let payloads = [
        EntryPayload::Blank,
        EntryPayload::Normal(Packed::of([Bytes::from_static(b"record"), Bytes::new()].iter())),
        EntryPayload::Membership(membership.clone()),
    ];
    let entries = payloads.into_iter().enumerate();
    let mut transferred = VoteRequest::new(Vote::new(4, NodeId(1)), None);
    transferred.leadership_transfer = true;
    let meta = SnapshotMeta {
        last_log_id: Some(log_id(2, 8)),
        last_membership: StoredMembership::new(Some(log_id(1, 0)), membership),
    };
    let part = |number, piece| SnapshotPart {
        vote,
        meta: meta.clone(),
        number,
        piece,
    };
    vec![
        Request::Append(AppendRequest {
            vote,
            prev_log_id: Some(log_id(2, 8)),
            entries: entries
                .map(|(n, payload)| Entry {
                    log_id: log_id(3, 9 + n as u64),
                    payload,
                })
                .collect(),
            leader_commit: None,
        }),
        Request::Vote(VoteRequest::new(Vote::new(4, NodeId(1)), Some(log_id(3, 9)))),
        Request::PreVote(transferred),
        Request::Snapshot(part(3, Some(Bytes::from_static(b"piece")))),
        Request::Snapshot(part(4, None)),
        Request::Transfer(TransferRequest::new(vote, NodeId(3), Some(log_id(3, 9)))),
    ]
}

fn responses() -> Vec<Response> {
    let vote = Vote::new(3, NodeId(2));
    let changed = TransferLeaderError::VoteChanged {
        expected: vote,
        actual: Vote::new(4, NodeId(1)),
    };
    let not_flushed = TransferLeaderError::LogNotFlushed {
        expected: Some(log_id(1, 2)),
        actual: None,
    };
    vec![
        Response::Append(AppendResponse::Success),
        Response::Append(AppendResponse::PartialSuccess(Some(log_id(1, 2)))),
        Response::Append(AppendResponse::Conflict),
        Response::Append(AppendResponse::HigherVote(vote)),
        Response::Vote(VoteResponse::new(vote, Some(log_id(1, 2)), true)),
        Response::SnapshotPart,
        Response::Snapshot(vote),
        Response::Transfer(Ok(())),
        Response::Transfer(Err(changed)),
        Response::Transfer(Err(not_flushed)),
        Response::Absent,
        Response::Refused("because".to_owned()),
    ]
}

#[test]
fn messages_come_back_as_they_were() {
    for request in requests() {
        let back = Request::decode(request.encode()).expect("it is whole");
        assert_eq!(format!("{back:?}"), format!("{request:?}"));
        assert_eq!(back.encode(), request.encode());
    }
    for response in responses() {
        let back = Response::decode(response.encode()).expect("it is whole");
        assert_eq!(format!("{back:?}"), format!("{response:?}"));
    }
}

#[test]
fn a_request_that_ends_with_a_large_body_comes_in_two_parts_without_a_copy() {
    let entry = |index, bytes: usize| Entry {
        log_id: log_id(3, index),
        payload: EntryPayload::Normal(Packed::of([Bytes::from(vec![7; bytes])].iter())),
    };
    for sizes in [&[10_usize, 300_000][..], &[5_000_000], &[300_000, 10], &[]] {
        let entries: Vec<_> = (1..).zip(sizes).map(|(index, bytes)| entry(index, *bytes)).collect();
        let last = match entries.last().map(|last| &last.payload) {
            Some(EntryPayload::Normal(packed)) => packed.bytes().clone(),
            _ => Bytes::new(),
        };
        let request = Request::Append(AppendRequest {
            vote: Vote::new_committed(3, NodeId(2)),
            prev_log_id: None,
            entries,
            leader_commit: Some(log_id(2, 8)),
        });
        let (head, tail) = request.encode_apart();
        assert_eq!(tail.is_some(), last.len() > 100_000, "{sizes:?}");
        if let Some(tail) = &tail {
            assert_eq!(tail.as_ptr(), last.as_ptr());
        }
        let whole: Bytes = [head, tail.unwrap_or_default()].concat().into();
        assert_eq!(whole, request.encode(), "{sizes:?}");
        let back = Request::decode(whole).expect("it is whole");
        assert_eq!(back.encode(), request.encode());
    }
}

#[test]
fn messages_that_are_cut_or_of_another_version_are_refused() {
    for request in requests() {
        let bytes = request.encode();
        for cut in 0..bytes.len() {
            assert!(Request::decode(bytes.slice(..cut)).is_err(), "{request:?} cut at {cut}");
        }
        let mut later = bytes.to_vec();
        later[0] = VERSION + 1;
        assert_eq!(
            Request::decode(later.into()).unwrap_err(),
            WireError::Version(VERSION + 1)
        );
    }
}

proptest! {
    #[test]
    fn no_bytes_do_harm(which in 0..6_usize, at in any::<prop::sample::Index>(), byte: u8, tail in any::<Vec<u8>>()) {
        let mut bytes = requests()[which].encode().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = Request::decode(bytes.clone().into());
        bytes.truncate(at);
        bytes.extend_from_slice(&tail);
        let _ = Request::decode(bytes.clone().into());
        let _ = Response::decode(bytes.into());
    }
}
