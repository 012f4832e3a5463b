//! Commands about clients of the stream protocol and about streams' members, those of `rabbitmq-streams`.

use serde_json::{Value, json};

use super::client::Answer;
use super::column::{Column, Kind, plain};
use super::columns::chosen;
use super::command::{Call, Command, Group, Output, Tool};
use super::failed::{Failed, exit};

/// What can be asked of streams.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "list_stream_connections",
        tools: &[Tool::Streams],
        group: Group::Streams,
        usage: "[<column> ...]",
        help: "Lists the connections of the stream protocol of all nodes",
        arguments: 0..=usize::MAX,
        columns: &CONNECTION,
        banner: |_| "Listing stream connections ...".to_owned(),
        run: list_connections,
        ..Command::ROW
    },
    Command {
        name: "list_stream_publishers",
        tools: &[Tool::Streams],
        group: Group::Streams,
        usage: "[--vhost <vhost>] [<column> ...]",
        help: "Lists the publishers of the stream protocol in a virtual host",
        arguments: 0..=usize::MAX,
        columns: &PUBLISHER,
        banner: |_| "Listing stream publishers ...".to_owned(),
        run: |call| {
            let usual = [
                "publisher_id",
                "stream",
                "reference",
                "messages_published",
                "messages_confirmed",
                "messages_errored",
            ];
            let publishers = call.list(&["stream", "publishers", call.vhost()])?;
            Ok(fancy(chosen(call, &PUBLISHER, &usual), lifted(publishers)))
        },
        ..Command::ROW
    },
    Command {
        name: "list_stream_consumers",
        tools: &[Tool::Streams],
        group: Group::Streams,
        usage: "[--vhost <vhost>] [<column> ...]",
        help: "Lists the subscriptions of the stream protocol in a virtual host",
        arguments: 0..=usize::MAX,
        columns: &CONSUMER,
        banner: |_| "Listing stream consumers ...".to_owned(),
        run: |call| {
            let usual = [
                "subscription_id",
                "stream",
                "messages_consumed",
                "offset",
                "offset_lag",
                "credits",
                "active",
                "activity_status",
                "properties",
            ];
            let consumers = call.list(&["stream", "consumers", call.vhost()])?;
            Ok(fancy(chosen(call, &CONSUMER, &usual), lifted(consumers)))
        },
        ..Command::ROW
    },
    Command {
        name: "list_stream_tracking",
        tools: &[Tool::Streams],
        group: Group::Streams,
        usage: "<stream> [--all | --offset | --writer] [--vhost <vhost>]",
        help: "Lists the offsets that readers have stored in a stream, and the numbers of its publishers",
        arguments: 1..=1,
        options: &["all", "offset", "writer"],
        banner: |call| format!("Listing tracking information for stream {} ...", call.argument(0)),
        run: list_tracking,
        ..Command::ROW
    },
    Command {
        name: "stream_status",
        tools: &[Tool::Diagnostics, Tool::Queues, Tool::Streams],
        group: Group::Monitoring,
        usage: "[--vhost <vhost>] [--tracking] <stream>",
        help: "Shows the members of a stream and how far each is",
        arguments: 1..=1,
        options: &["tracking"],
        banner: |call| format!("Status of stream {} on node {} ...", call.argument(0), call.node()),
        run: status,
        ..Command::ROW
    },
    Command {
        name: "add_replica",
        tools: &[Tool::Streams],
        group: Group::Replication,
        usage: "[--vhost <vhost>] <stream> <node>",
        help: "Gives a stream another member, on that node",
        arguments: 2..=2,
        banner: |call| {
            let (stream, node) = (call.argument(0), call.argument(1));
            format!("Adding a replica for stream {stream} on node {node}...")
        },
        run: |call| change(call, "POST", "add"),
        ..Command::ROW
    },
    Command {
        name: "delete_replica",
        tools: &[Tool::Streams],
        group: Group::Replication,
        usage: "[--vhost <vhost>] <stream> <node>",
        help: "Takes a member of a stream off a node",
        arguments: 2..=2,
        banner: |call| {
            let (stream, node) = (call.argument(0), call.argument(1));
            format!("Removing a replica of queue {stream} on node {node}...")
        },
        run: |call| change(call, "DELETE", "delete"),
        ..Command::ROW
    },
    Command {
        name: "restart_stream",
        tools: &[Tool::Streams],
        group: Group::Replication,
        usage: "[--vhost <vhost>] <stream> [--preferred-leader-node <node>]",
        help: "Has another member of a stream lead it, and says which",
        arguments: 1..=1,
        options: &["preferred-leader-node"],
        banner: |call| format!("Restarting stream {}...", call.argument(0)),
        run: restart,
        ..Command::ROW
    },
];

const CONNECTION: [Column; 24] = [
    Column::plain("auth_mechanism"),
    Column::of("client_properties", "client_properties", Kind::Table),
    Column::of("conn_name", "name", Kind::Plain),
    Column::plain("connected_at"),
    Column::of("connection_state", "state", Kind::Word),
    Column::plain("frame_max"),
    Column::of("heartbeat", "timeout", Kind::Plain),
    Column::of("host", "host", Kind::Address),
    Column::of("node", "node", Kind::Word),
    Column::plain("peer_cert_issuer"),
    Column::plain("peer_cert_subject"),
    Column::plain("peer_cert_validity"),
    Column::of("peer_host", "peer_host", Kind::Address),
    Column::plain("peer_port"),
    // There are no processes; the name tells connections apart as well.
    Column::of("pid", "name", Kind::Plain),
    Column::plain("port"),
    Column::plain("ssl"),
    Column::plain("ssl_cipher"),
    Column::plain("ssl_hash"),
    Column::plain("ssl_key_exchange"),
    Column::plain("ssl_protocol"),
    Column::plain("subscriptions"),
    Column::plain("user"),
    Column::plain("vhost"),
];

const PUBLISHER: [Column; 8] = [
    Column::plain("connection_pid"),
    Column::of("messages_confirmed", "confirmed", Kind::Plain),
    Column::of("messages_errored", "errored", Kind::Plain),
    Column::of("messages_published", "published", Kind::Plain),
    Column::of("node", "node", Kind::Word),
    Column::plain("publisher_id"),
    Column::plain("reference"),
    Column::plain("stream"),
];

const CONSUMER: [Column; 11] = [
    Column::plain("active"),
    Column::of("activity_status", "activity_status", Kind::Word),
    Column::plain("connection_pid"),
    Column::plain("credits"),
    Column::of("messages_consumed", "consumed", Kind::Plain),
    Column::of("node", "node", Kind::Word),
    Column::plain("offset"),
    Column::plain("offset_lag"),
    Column::of("properties", "properties", Kind::Map),
    Column::plain("stream"),
    Column::plain("subscription_id"),
];

/// A list that is drawn unless another way is asked for.
pub fn fancy(columns: Vec<Column>, items: Vec<Value>) -> Output {
    Output::Rows {
        columns,
        items,
        fancy: true,
    }
}

/// What RabbitMQ says of a stream that there is none of.
pub fn not_found() -> Failed {
    Failed::bare(exit::DATA, "Object (queue, stream, exchange, etc) was not found")
}

/// Publishers and subscriptions with the names of their streams and connections.
fn lifted(items: Vec<Value>) -> Vec<Value> {
    let lift = |mut item: Value| {
        item["stream"] = item["queue"]["name"].clone();
        item["connection_pid"] = item["connection_details"]["name"].clone();
        item["node"] = item["connection_details"]["node"].clone();
        item
    };
    items.into_iter().map(lift).collect()
}

fn list_connections(call: &Call) -> Result<Output, Failed> {
    let columns = chosen(call, &CONNECTION, &["node", "conn_name"]);
    let consumers = match columns.iter().any(|column| column.name == "subscriptions") {
        true => call.list(&["stream", "consumers"])?,
        false => Vec::new(),
    };
    let mut connections = call.list(&["stream", "connections"])?;
    for connection in &mut connections {
        let is_own = |consumer: &&Value| consumer["connection_details"]["name"] == connection["name"];
        connection["subscriptions"] = json!(consumers.iter().filter(is_own).count());
    }
    Ok(fancy(columns, connections))
}

fn list_tracking(call: &Call) -> Result<Output, Failed> {
    let path = ["stream", call.vhost(), call.argument(0), "tracking"];
    let tracked = call.find(&path)?;
    let tracked = tracked.ok_or_else(|| Failed::told(exit::UNAVAILABLE, "The stream does not exist."))?;
    let (offset, writer) = (call.options.offset, call.options.writer);
    let all = call.options.all || offset == writer;
    let mut items = Vec::new();
    for (kind, field, wanted) in [
        ("writer", "writers", writer || all),
        ("offset", "offsets", offset || all),
    ] {
        let fields = tracked[field].as_object().filter(|_| wanted).into_iter().flatten();
        items.extend(fields.map(|(name, value)| json!({"type": kind, "name": name, "tracking_value": value})));
    }
    Ok(fancy(plain(&["type", "name", "tracking_value"]), items))
}

fn status(call: &Call) -> Result<Output, Failed> {
    let stream = ["stream", call.vhost(), call.argument(0)];
    if call.options.tracking {
        let tracked = call
            .find(&[&stream[..], &["tracking"]].concat())?
            .ok_or_else(not_found)?;
        let rows = |kind: &'static str, field: &str| {
            let fields = tracked[field].as_object().cloned().unwrap_or_default().into_iter();
            fields.map(move |(name, value)| json!({"type": kind, "reference": name, "value": value}))
        };
        let items = rows("offset", "offsets").chain(rows("sequence", "writers"));
        return Ok(fancy(plain(&["type", "reference", "value"]), items.collect()));
    }
    let members = call.find(&[&stream[..], &["status"]].concat())?.ok_or_else(not_found)?;
    let columns = [
        "role",
        "node",
        "epoch",
        "offset",
        "committed_offset",
        "first_offset",
        "readers",
        "segments",
    ];
    Ok(fancy(plain(&columns), members.as_array().cloned().unwrap_or_default()))
}

/// What was answered to a change of members.
fn changed(answer: Answer) -> Result<Value, Failed> {
    match answer.status {
        404 => Err(not_found()),
        503 => Err(Failed::told(exit::UNAVAILABLE, answer.reason())),
        _ => answer.accepted(),
    }
}

fn change(call: &Call, verb: &str, what: &str) -> Result<Output, Failed> {
    let path = ["stream", call.vhost(), call.argument(0), "replicas", what];
    let node = json!({"node": call.argument(1)});
    changed(call.ask(verb, &path, Some(&node))?)?;
    Ok(Output::Nothing)
}

fn restart(call: &Call) -> Result<Output, Failed> {
    let path = ["stream", call.vhost(), call.argument(0), "restart"];
    let body = match &call.options.preferred_leader_node {
        Some(node) => json!({"node": node}),
        None => json!({}),
    };
    let led = changed(call.ask("POST", &path, Some(&body))?)?;
    Ok(Output::Text {
        text: led["node"].as_str().unwrap_or_default().to_owned(),
        json: led["node"].clone(),
    })
}
