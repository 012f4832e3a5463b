//! Commands about connections, their channels and consumers: of all nodes, whichever is asked.
//!
//! RabbitMQ names Erlang processes in the columns of process ids. There are none here: the name of
//! the connection or the channel stands there, which tells them apart just as well. Columns of what is
//! not counted here are empty.

use std::time::Duration;

use serde_json::Value;

use super::column::{Column, Kind};
use super::columns::chosen;
use super::command::{Call, Command, Group, Output, Tool};
use super::failed::{Failed, exit};

/// What can be asked of connections.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "list_connections",
        tools: &[Tool::Ctl, Tool::Diagnostics],
        group: Group::Monitoring,
        usage: "[--no-table-headers] [<column> ...]",
        help: "Lists the AMQP connections of all nodes",
        arguments: 0..=usize::MAX,
        columns: &CONNECTION,
        banner: |_| "Listing connections ...".to_owned(),
        run: |call| {
            let columns = chosen(call, &CONNECTION, &["user", "peer_host", "peer_port", "state"]);
            Ok(Output::rows(columns, call.list(&["connections"])?))
        },
        ..Command::ROW
    },
    Command {
        name: "list_channels",
        tools: &[Tool::Ctl, Tool::Diagnostics],
        group: Group::Monitoring,
        usage: "[--no-table-headers] [<column> ...]",
        help: "Lists the channels of all nodes",
        arguments: 0..=usize::MAX,
        columns: &CHANNEL,
        banner: |_| "Listing channels ...".to_owned(),
        run: |call| {
            let usual = ["pid", "user", "consumer_count", "messages_unacknowledged"];
            let columns = chosen(call, &CHANNEL, &usual);
            let lift = |channel: Value| lifted(channel, "connection_details", "name", "connection");
            let channels = call.list(&["channels"])?.into_iter().map(lift);
            Ok(Output::rows(columns, channels.collect()))
        },
        ..Command::ROW
    },
    Command {
        name: "list_consumers",
        tools: &[Tool::Ctl, Tool::Diagnostics],
        group: Group::Monitoring,
        usage: "[--vhost <vhost>] [--no-table-headers] [<column> ...]",
        help: "Lists the consumers in a virtual host",
        arguments: 0..=usize::MAX,
        columns: &CONSUMER,
        banner: |call| format!("Listing consumers in vhost {} ...", call.vhost()),
        run: |call| {
            let usual = [
                "queue_name",
                "channel_pid",
                "consumer_tag",
                "ack_required",
                "prefetch_count",
                "active",
                "arguments",
            ];
            let columns = chosen(call, &CONSUMER, &usual);
            let consumers = call.list(&["consumers", call.vhost()])?.into_iter();
            let consumers = consumers
                .map(|consumer| lifted(consumer, "queue", "name", "queue_name"))
                .map(|consumer| lifted(consumer, "channel_details", "name", "channel_pid"));
            Ok(Output::rows(columns, consumers.collect()))
        },
        ..Command::ROW
    },
    Command {
        name: "close_connection",
        tools: &[Tool::Ctl],
        group: Group::Operations,
        usage: "<connection> <explanation>",
        help: "Closes the connection of that name, and tells the client why",
        arguments: 2..=2,
        banner: |call| {
            format!(
                "Closing connection {}, reason: {}...",
                call.argument(0),
                call.argument(1)
            )
        },
        run: |call| match close(call, call.argument(0), call.argument(1))? {
            true => Ok(Output::Nothing),
            false => Err(Failed::told(exit::UNAVAILABLE, "there is no such connection")),
        },
        ..Command::ROW
    },
    Command {
        name: "close_all_connections",
        tools: &[Tool::Ctl],
        group: Group::Operations,
        usage: "[--vhost <vhost> --limit <limit>] [-n <node> --global] [--per-connection-delay <delay>] <explanation>",
        help: "Closes the connections in a virtual host or of the node, and tells the clients why",
        arguments: 1..=1,
        options: &["global", "limit", "per-connection-delay"],
        banner: |call| {
            let whose = match call.options.global {
                true => format!("to node {} (across all vhosts)", call.node()),
                false => format!("in vhost {}", call.vhost()),
            };
            format!("Closing all connections {whose}, reason: {}...", call.argument(0))
        },
        run: |call| {
            let connections = call.list(&["connections"])?;
            let is_meant = |connection: &&Value| match call.options.global {
                true => connection["node"] == call.node(),
                false => connection["vhost"] == call.vhost(),
            };
            let names = connections
                .iter()
                .filter(is_meant)
                .filter_map(|one| one["name"].as_str());
            let mut closed = 0;
            for name in names.take(call.options.limit.filter(|limit| *limit > 0).unwrap_or(usize::MAX)) {
                closed += usize::from(close(call, name, call.argument(0))?);
                std::thread::sleep(Duration::from_millis(call.options.per_connection_delay.unwrap_or(0)));
            }
            Ok(Output::message(format!("Closed {closed} connections")))
        },
        ..Command::ROW
    },
    Command {
        name: "close_all_user_connections",
        tools: &[Tool::Ctl],
        group: Group::Operations,
        usage: "<username> <explanation>",
        help: "Closes all connections of a user, and tells the clients why",
        arguments: 2..=2,
        banner: |call| {
            let (user, reason) = (call.argument(0), call.argument(1));
            format!("Closing connections of user {user}, reason: {reason}...")
        },
        run: |call| {
            let path = ["connections", "username", call.argument(0)];
            let answer = call.answered(call.client.delete_because(&path, call.argument(1)))?;
            answer.accepted().map(|_| Output::Nothing)
        },
        ..Command::ROW
    },
];

/// Closes a connection; false when it is not there.
fn close(call: &Call, name: &str, reason: &str) -> Result<bool, Failed> {
    let answer = call.answered(call.client.delete_because(&["connections", name], reason))?;
    match answer.status {
        404 => Ok(false),
        _ => answer.accepted().map(|_| true),
    }
}

/// With a field of an inner object brought to the top.
fn lifted(mut item: Value, object: &str, field: &str, name: &str) -> Value {
    item[name] = item[object][field].clone();
    item
}

const CONNECTION: [Column; 32] = [
    Column::of("pid", "name", Kind::Plain),
    Column::plain("name"),
    Column::plain("port"),
    Column::of("host", "host", Kind::Address),
    Column::plain("peer_port"),
    Column::of("peer_host", "peer_host", Kind::Address),
    Column::plain("ssl"),
    Column::plain("ssl_protocol"),
    Column::plain("ssl_key_exchange"),
    Column::plain("ssl_cipher"),
    Column::plain("ssl_hash"),
    Column::plain("peer_cert_subject"),
    Column::plain("peer_cert_issuer"),
    Column::plain("peer_cert_validity"),
    Column::of("state", "state", Kind::Word),
    Column::plain("channels"),
    Column::of("protocol", "protocol", Kind::Protocol),
    Column::of("auth_mechanism", "auth_mechanism", Kind::Word),
    Column::plain("user"),
    Column::plain("vhost"),
    Column::plain("timeout"),
    Column::plain("frame_max"),
    Column::plain("channel_max"),
    Column::of("client_properties", "client_properties", Kind::Table),
    Column::plain("connected_at"),
    Column::of("type", "type", Kind::Word),
    Column::plain("user_provided_name"),
    Column::plain("recv_oct"),
    Column::plain("recv_cnt"),
    Column::plain("send_oct"),
    Column::plain("send_cnt"),
    Column::plain("send_pend"),
];

const CHANNEL: [Column; 14] = [
    Column::of("pid", "name", Kind::Plain),
    Column::plain("connection"),
    Column::plain("name"),
    Column::plain("number"),
    Column::plain("user"),
    Column::plain("vhost"),
    Column::plain("confirm"),
    Column::plain("consumer_count"),
    Column::plain("messages_unacknowledged"),
    Column::plain("messages_uncommitted"),
    Column::plain("acks_uncommitted"),
    Column::plain("messages_unconfirmed"),
    Column::plain("transactional"),
    Column::plain("prefetch_count"),
];

const CONSUMER: [Column; 9] = [
    Column::plain("queue_name"),
    Column::plain("channel_pid"),
    Column::plain("consumer_tag"),
    Column::plain("ack_required"),
    Column::plain("prefetch_count"),
    Column::plain("active"),
    Column::of("activity_status", "activity_status", Kind::Word),
    Column::plain("exclusive"),
    Column::of("arguments", "arguments", Kind::Table),
];
