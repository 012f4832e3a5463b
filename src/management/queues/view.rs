//! How a queue is shown: in lists, in detail, and by itself.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::super::call::Call;
use super::super::{consumers, erlang, figures, series, views};
use super::counts::{stream_numbers, write_counts};
use super::listed::{Listed, View};
use crate::broker::connections::connection_name;
use crate::broker::report::ConsumerReport;
use crate::metadata::json;
use crate::queue::ConsumerStatus;
use crate::spec::QueueType;
use crate::spec::policy::Subject;
use crate::types::NodeId;
use crate::types::sorting::sort;

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
