//! Commands about connections, their channels and consumers.
//!
//! RabbitMQ names Erlang processes in the columns of process ids. There are none here: the name of
//! the connection or the channel stands there, which tells them apart just as well. Columns of what is
//! not counted here are empty.

use serde_json::Value;

use super::columns::chosen;
use super::command::{Command, Group, Output};
use super::print::{Column, Kind};

/// What can be asked of connections.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "list_connections",
        group: Group::Monitoring,
        usage: "[--no-table-headers] [<column> ...]",
        help: "Lists AMQP 0.9.1 connections for the node",
        arguments: 0..=usize::MAX,
        options: &[],
        columns: &CONNECTION,
        banner: |_| "Listing connections ...".to_owned(),
        run: |call| {
            let columns = chosen(call, &CONNECTION, &["user", "peer_host", "peer_port", "state"]);
            Ok(Output::rows(columns, call.list(&["connections"])?))
        },
    },
    Command {
        name: "list_channels",
        group: Group::Monitoring,
        usage: "[--no-table-headers] [<column> ...]",
        help: "Lists all channels in the node",
        arguments: 0..=usize::MAX,
        options: &[],
        columns: &CHANNEL,
        banner: |_| "Listing channels ...".to_owned(),
        run: |call| {
            let usual = ["pid", "user", "consumer_count", "messages_unacknowledged"];
            let columns = chosen(call, &CHANNEL, &usual);
            let lift = |channel: Value| lifted(channel, "connection_details", "name", "connection");
            let channels = call.list(&["channels"])?.into_iter().map(lift);
            Ok(Output::rows(columns, channels.collect()))
        },
    },
    Command {
        name: "list_consumers",
        group: Group::Monitoring,
        usage: "[--vhost <vhost>] [--no-table-headers] [<column> ...]",
        help: "Lists all consumers for a vhost",
        arguments: 0..=usize::MAX,
        options: &[],
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
    },
];

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
    Column::plain("state"),
    Column::plain("channels"),
    Column::of("protocol", "protocol", Kind::Protocol),
    Column::plain("auth_mechanism"),
    Column::plain("user"),
    Column::plain("vhost"),
    Column::plain("timeout"),
    Column::plain("frame_max"),
    Column::plain("channel_max"),
    Column::of("client_properties", "client_properties", Kind::Table),
    Column::plain("connected_at"),
    Column::plain("type"),
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
    Column::plain("activity_status"),
    Column::plain("exclusive"),
    Column::of("arguments", "arguments", Kind::Table),
];
