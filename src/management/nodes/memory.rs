//! What memory a node uses, by RabbitMQ's kinds. Known are the messages of queues; what is not known apart is
//! `other_system`, so that the parts add up to the whole.

use serde_json::{Map, json};

use super::super::answer::{Answer, Answered, Failure};
use super::super::call::Call;
use crate::broker::report::About;
use crate::spec::QueueType;
use crate::types::NodeId;

/// RabbitMQ's kinds, in its order.
const KINDS: [&str; 26] = [
    "connection_readers",
    "connection_writers",
    "connection_channels",
    "connection_other",
    CLASSIC,
    QUORUM,
    "quorum_queue_dlx_procs",
    STREAM,
    "stream_queue_replica_reader_procs",
    "stream_queue_coordinator_procs",
    "plugins",
    "metadata_store",
    "other_proc",
    "metrics",
    "mgmt_db",
    "mnesia",
    "quorum_ets",
    "metadata_store_ets",
    "other_ets",
    "binary",
    "msg_index",
    "code",
    "atom",
    REST,
    "allocated_unused",
    "reserved_unallocated",
];

const CLASSIC: &str = "queue_procs";
const QUORUM: &str = "quorum_queue_procs";
const STREAM: &str = "stream_queue_procs";
/// Where what is not known apart is counted.
const REST: &str = "other_system";

/// In bytes.
pub async fn absolute(mut call: Call) -> Answered {
    let Some((parts, used)) = parts(&mut call).await? else {
        return Ok(unknown());
    };
    let mut memory = Map::new();
    memory.extend(parts.into_iter().map(|(kind, bytes)| (kind.to_owned(), json!(bytes))));
    memory.insert("strategy".to_owned(), json!("rss"));
    memory.insert(
        "total".to_owned(),
        json!({"erlang": used, "rss": used, "allocated": used}),
    );
    Ok(Answer::Json(json!({"memory": memory})))
}

/// In hundredths, rounded up.
pub async fn relative(mut call: Call) -> Answered {
    let Some((parts, used)) = parts(&mut call).await? else {
        return Ok(unknown());
    };
    let part_of = |bytes: u64| (u128::from(bytes) * 100).div_ceil(u128::from(used.max(1))) as u64;
    let parts = parts
        .into_iter()
        .map(|(kind, bytes)| (kind.to_owned(), json!(part_of(bytes))));
    let mut memory = Map::new();
    memory.insert("total".to_owned(), json!(100));
    memory.extend(parts);
    Ok(Answer::Json(json!({"memory": memory})))
}

/// What RabbitMQ says of a node that does not answer.
fn unknown() -> Answer {
    Answer::Json(json!({"memory": "not_available"}))
}

/// The bytes of each kind, and all of them; `None` where the node does not say.
async fn parts(call: &mut Call) -> Result<Option<(Vec<(&'static str, u64)>, u64)>, Failure> {
    let node = call.node()?;
    call.gather(About::Queues).await?;
    let view = super::view_of(call, node, call.name("node")).await;
    Ok(view["mem_used"].as_u64().map(|used| (by_kind(call, node, used), used)))
}

fn by_kind(call: &Call, node: NodeId, used: u64) -> Vec<(&'static str, u64)> {
    let mut own = call.broker.all_queues();
    own.retain(|queue| queue.leader() == node);
    let of = |kind: QueueType| -> u64 {
        let queues = own.iter().filter(|queue| queue.spec.queue_type == kind);
        let counts = queues.filter_map(|queue| call.gathered.counts(queue));
        counts.map(|counts| counts.memory_bytes).sum()
    };
    let known = [
        (CLASSIC, of(QueueType::Classic)),
        (QUORUM, of(QueueType::Quorum)),
        (STREAM, of(QueueType::Stream)),
    ];
    let rest = used.saturating_sub(known.iter().map(|(_, bytes)| bytes).sum());
    let bytes_of = |kind: &str| match known.iter().find(|(known, _)| *known == kind) {
        Some((_, bytes)) => *bytes,
        None if kind == REST => rest,
        None => 0,
    };
    KINDS
        .into_iter()
        .map(|kind| (kind, bytes_of(kind)))
        .collect::<Vec<(&str, u64)>>()
}
