//! How a queue is shown: in lists, in detail, and by itself.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};

use super::super::call::Call;
use super::super::{consumers, erlang, figures, series, views};
use super::listed::Listed;
use crate::broker::QueueHandle;
use crate::broker::connections::connection_name;
use crate::broker::report::ConsumerReport;
use crate::metadata::{Vhost, json};
use crate::queue::{ConsumerStatus, Counts};
use crate::spec::policy::{self, Policy, Subject};
use crate::spec::{QueueSpec, QueueType};
use crate::types::NodeId;
use crate::types::sorting::sort;

/// How one queue is shown.
pub type View = fn(&Listed<'_>) -> Value;

/// How a queue is shown in lists.
pub fn list_view(call: &Call) -> View {
    let config = &call.broker.config().management;
    if !call.has_no_stats() {
        return numbers_view;
    }
    match call.query.is_true("enable_queue_totals") || config.enable_queue_totals {
        true => |row| {
            let mut view = declared_view(row);
            // As RabbitMQ, which keeps a queue that is spread over nodes for nobody, and does not say where another is.
            match row.spec.queue_type {
                QueueType::Classic => view["online"] = Value::Null,
                QueueType::Quorum | QueueType::Stream => view["exclusive"] = Value::Null,
            }
            let counts = row.counts().unwrap_or_default();
            view["messages"] = json!(counts.ready + counts.unacked);
            view["messages_ready"] = json!(counts.ready);
            view["messages_unacknowledged"] = json!(counts.unacked);
            view
        },
        false => declared_view,
    }
}

/// A queue as it is declared, without numbers; its policy only where it has one.
fn declared_view(row: &Listed<'_>) -> Value {
    let (call, spec) = (row.call, row.spec);
    let node = row.node();
    let mut view = json!({
        "arguments": json::from_table(&spec.arguments),
        "auto_delete": spec.auto_delete,
        "durable": spec.durable,
        "exclusive": spec.exclusive_owner.is_some(),
        "name": spec.name,
        "node": node,
        "state": row.state(),
        "type": views::queue_type(spec.queue_type),
        "vhost": spec.vhost,
    });
    let (policy, _) = row.policies();
    if policy.is_some() {
        view["policy"] = json!(policy);
    }
    if let (QueueType::Quorum | QueueType::Stream, Some(standing)) = (spec.queue_type, row.standing()) {
        view["leader"] = json!(node);
        view["members"] = names(call, &standing.members);
        view["online"] = names(call, &standing.online);
        if !standing.incomplete.is_empty() {
            view["members_being_filled"] = names(call, &standing.incomplete);
        }
    }
    view
}

/// The names of nodes, in their order.
fn names(call: &Call, nodes: &[NodeId]) -> Value {
    let mut names: Vec<_> = nodes.iter().map(|node| call.gathered.name(*node)).collect();
    sort(&mut names);
    json!(names)
}

/// A queue of a list, with its numbers.
fn numbers_view(row: &Listed<'_>) -> Value {
    let (call, spec) = (row.call, row.spec);
    let mut view = declared_view(row);
    let subject = Subject::Queue(spec.queue_type);
    view["effective_policy_definition"] = row.vhost.definition_for(subject, &spec.name).into();
    let (_, operators) = row.policies();
    if operators.is_some() {
        view["operator_policy"] = json!(operators);
    }
    if spec.queue_type == QueueType::Classic {
        view["storage_version"] = json!(2);
    }
    let Some(report) = row.report() else {
        return view;
    };
    if spec.queue_type == QueueType::Quorum {
        view["delivery_limit"] = report.delivery_limit.map_or(json!("unlimited"), |limit| json!(limit));
    }
    write_counts(&mut view, spec.queue_type, report.counts);
    if spec.queue_type == QueueType::Stream {
        view["segments"] = json!(report.counts.segments);
    }
    if spec.queue_type == QueueType::Quorum {
        let online = row.standing().map(|standing| &standing.online[..]).unwrap_or_default();
        // All queues of a node share its log, so that none has files of its own.
        let files = online.iter().map(|node| (call.gathered.name(*node), json!(0)));
        view["open_files"] = Value::Object(files.collect());
        view["publishers"] = json!(report.publishers.unwrap_or(0));
        if report.active_tag.is_some() {
            view["single_active_consumer_tag"] = json!(report.active_tag);
        }
    }
    if spec.queue_type == QueueType::Stream {
        write_readers(&mut view, row);
    }
    erlang::write_work(&mut view, call.windows.data);
    if spec.queue_type != QueueType::Stream {
        // RabbitMQ shows a whole zero where nobody consumes.
        let capacity = report.capacity.map_or(json!(0), |part| json!(part));
        view["consumer_capacity"] = capacity.clone();
        view["consumer_utilisation"] = capacity;
    }
    let counted = call.gathered.figures_of_queue(report.queue);
    views::write_lengths(call, &mut view, &counted);
    series::write_trend(call, &mut view, &counted);
    figures::write_message_stats(call, &mut view, &counted, &[figures::INCOMING, figures::DELIVERIES]);
    if call.query.get("facets").is_some() || call.query.get("where").is_some() {
        view["health"] = json!(row.health());
        if spec.queue_type == QueueType::Stream {
            let offsets = stream_numbers(report.counts);
            offsets.for_each(|(key, number)| view[key] = json!(number));
        }
    }
    view
}

/// The names of the policy and the operator policy that apply.
pub fn policies<'a>(vhost: &'a Vhost, spec: &QueueSpec) -> (Option<&'a str>, Option<&'a str>) {
    let subject = Subject::Queue(spec.queue_type);
    let own = policy::applying(vhost.policies.values(), subject, &spec.name);
    let operators = policy::applying(vhost.operator_policies.values(), subject, &spec.name);
    let name = |policy: &'a Policy| policy.spec.name.as_str();
    (own.map(name), operators.map(name))
}

/// Who reads a stream, on each of its members.
fn write_readers(view: &mut Value, row: &Listed<'_>) {
    let Some(queue) = row.live() else { return };
    let gathered = &row.call.gathered;
    let consumers = gathered.consumers(row.call.broker.queues(), queue, row.call.connections());
    let members = row.standing().map(|standing| &standing.members[..]).unwrap_or_default();
    let readers = members.iter().map(|node| {
        let reads = |(consumer, status): &&(_, ConsumerStatus)| is_of(consumer, *node) && status.is_active();
        let count = consumers.iter().filter(reads).count();
        (gathered.name(*node), json!(count))
    });
    view["readers"] = Value::Object(readers.collect());
    view["consumers"] = json!(consumers.len());
}

fn is_of(consumer: &ConsumerReport, node: NodeId) -> bool {
    consumer.node == node
}

fn write_counts(view: &mut Value, kind: QueueType, counts: Counts) {
    for (key, number) in numbers(kind, counts) {
        view[key] = json!(number);
    }
}

/// What is counted in a queue, by RabbitMQ's names.
pub fn numbers(kind: QueueType, counts: Counts) -> impl Iterator<Item = (&'static str, u64)> {
    let total = counts.ready + counts.unacked + counts.discarded;
    let bytes = counts.ready_bytes + counts.unacked_bytes + counts.discarded_bytes;
    // The queue counts bodies that are on disk only, not their bytes.
    let paged_bytes = match counts.ready {
        0 => 0,
        ready => (u128::from(counts.ready_bytes) * u128::from(counts.paged_out) / u128::from(ready)) as u64,
    };
    let ready_in_memory = counts.ready.saturating_sub(counts.paged_out);
    let numbers = [
        ("consumers", counts.consumers),
        ("memory", counts.memory_bytes),
        ("message_bytes", bytes),
        ("message_bytes_persistent", counts.persistent_bytes),
        ("message_bytes_ram", bytes.saturating_sub(paged_bytes)),
        ("message_bytes_ready", counts.ready_bytes),
        ("message_bytes_unacknowledged", counts.unacked_bytes),
        ("messages", total),
        ("messages_persistent", counts.persistent),
        ("messages_ram", ready_in_memory + counts.unacked),
        ("messages_ready", counts.ready),
        ("messages_unacknowledged", counts.unacked),
    ];
    let of_classic = [
        ("message_bytes_paged_out", paged_bytes),
        ("messages_paged_out", counts.paged_out),
        ("messages_ready_ram", ready_in_memory),
        ("messages_unacknowledged_ram", counts.unacked),
    ];
    let of_quorum = [
        ("message_bytes_dlx", counts.discarded_bytes),
        ("messages_dlx", counts.discarded),
        ("messages_ready_high", counts.ready_high),
        ("messages_ready_normal", counts.ready_normal()),
        ("messages_ready_returned", counts.ready_returned),
    ];
    // What a stream holds is not kept by bytes, or in memory.
    let of_stream = [
        "consumers",
        "memory",
        "messages",
        "messages_ready",
        "messages_unacknowledged",
    ];
    let numbers = numbers.into_iter();
    let numbers = numbers.filter(move |(name, _)| kind != QueueType::Stream || of_stream.contains(name));
    let of_classic = of_classic.into_iter().filter(move |_| kind == QueueType::Classic);
    let of_quorum = of_quorum.into_iter().filter(move |_| kind == QueueType::Quorum);
    numbers.chain(of_classic).chain(of_quorum)
}

/// What a stream has besides, which RabbitMQ does not tell: the offset of its oldest message, the one that comes next,
/// and the bytes that its leader keeps.
pub fn stream_numbers(counts: Counts) -> impl Iterator<Item = (&'static str, u64)> {
    let numbers = [
        ("first_offset", counts.first_offset),
        ("next_offset", counts.first_offset + counts.ready),
        ("bytes", counts.ready_bytes),
    ];
    numbers.into_iter()
}

/// A queue with its numbers, and what it has not.
pub fn detailed_view(row: &Listed<'_>) -> Value {
    let (call, spec) = (row.call, row.spec);
    let mut view = numbers_view(row);
    let (policy, operators) = row.policies();
    view["policy"] = json!(policy);
    view["operator_policy"] = json!(operators);
    if spec.queue_type == QueueType::Classic {
        view["head_message_timestamp"] = Value::Null;
        view["exclusive_consumer_tag"] = Value::Null;
    }
    if let Some(report) = row.report() {
        if report.exclusive_tag.is_some() {
            view["exclusive_consumer_tag"] = json!(report.exclusive_tag);
        }
        if spec.queue_type != QueueType::Stream {
            view["single_active_consumer_tag"] = json!(report.active_tag);
        }
        erlang::write_process(&mut view, call.windows.data);
        let since = call.gathered.idle_since(report.queue);
        if let Some(since) = since.filter(|_| spec.queue_type == QueueType::Classic) {
            view["idle_since"] = json!(views::time(since));
        }
    }
    view
}

/// A queue by itself: with its owner and its consumers too.
pub fn one_view(row: &Listed<'_>) -> Value {
    let (call, spec) = (row.call, row.spec);
    let mut view = detailed_view(row);
    let owner = spec.exclusive_owner.and_then(|owner| call.connections().get(&owner));
    let owner = owner.map(|owner| (owner.peer, owner.local));
    if let Some((peer, local)) = row.report().and_then(|report| report.owner).or(owner) {
        view["owner_pid_details"] = owner_view(peer, local);
    }
    let incoming = call.gathered.incoming().iter();
    view["incoming"] = incoming
        .filter_map(|(_, exchange, figures)| {
            let stats = figures::message_stats(call, figures, &[figures::INCOMING])?;
            Some(json!({"stats": stats, "exchange": {"name": exchange, "vhost": spec.vhost}}))
        })
        .collect();
    let deliveries = call.gathered.deliveries().iter();
    view["deliveries"] = deliveries
        .filter_map(|(channel, figures)| {
            let stats = figures::message_stats(call, figures, &[figures::DELIVERIES])?;
            Some(json!({"stats": stats, "channel_details": consumers::place_view(call, channel)}))
        })
        .collect();
    if let Some(queue) = row.live() {
        view["consumer_details"] = consumers::of_queue(call, queue).into();
    }
    view
}

fn owner_view(peer: SocketAddr, local: SocketAddr) -> Value {
    json!({
        "name": connection_name(peer, local),
        "peer_host": peer.ip().to_string(),
        "peer_port": peer.port(),
    })
}

pub fn live(call: &Call, vhost: &Vhost, spec: &QueueSpec) -> Option<Arc<QueueHandle>> {
    call.broker.vhost(vhost.name())?.queue(&spec.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_add_up() {
        let mut view = json!({});
        let counts = Counts {
            ready: 4,
            ready_bytes: 400,
            unacked: 1,
            unacked_bytes: 50,
            paged_out: 3,
            ..Counts::default()
        };
        write_counts(&mut view, QueueType::Classic, counts);
        assert_eq!(view["messages"], 5);
        assert_eq!(view["messages_ram"], 2);
        assert_eq!(view["message_bytes"], 450);
        assert_eq!(view["message_bytes_paged_out"], 300);
        assert_eq!(view["message_bytes_ram"], 150);
    }

    #[test]
    fn dead_letters_that_are_kept_are_messages() {
        let mut view = json!({});
        let counts = Counts {
            ready: 4,
            ready_bytes: 400,
            discarded: 2,
            discarded_bytes: 30,
            ..Counts::default()
        };
        write_counts(&mut view, QueueType::Quorum, counts);
        assert_eq!((&view["messages"], &view["messages_dlx"]), (&json!(6), &json!(2)));
        assert_eq!(view["message_bytes"], 430);
        assert_eq!(view["message_bytes_dlx"], 30);
    }
}
