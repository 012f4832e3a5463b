//! What a member would say that had appended, whether it has or not.

use bytes::Bytes;

use crate::journal::raft::types::AppendResponse;
use crate::journal::raft::wire::{Request, Response};

/// The answer to an append; `None` to any other request.
pub fn appended(request: &Bytes) -> Option<Bytes> {
    match Request::decode(request.clone()).expect("just written") {
        Request::Append(_) => Some(Response::Append(AppendResponse::Success).encode()),
        _ => None,
    }
}
