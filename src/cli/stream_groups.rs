//! Commands about groups of streams' readers: who they are, and where they go on.

use serde_json::{Value, json};

use super::column::{Column, Kind, plain};
use super::columns::chosen;
use super::command::{Call, Command, Group, Output, Tool};
use super::failed::{Failed, exit};
use super::streams::fancy;

/// What can be asked of groups.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "list_stream_consumer_groups",
        tools: &[Tool::Streams],
        group: Group::Streams,
        usage: "[--vhost <vhost>] [<column> ...]",
        help: "Lists groups of single active consumers in a virtual host, as long as somebody is in them",
        arguments: 0..=usize::MAX,
        columns: &GROUP,
        banner: |_| "Listing stream consumer groups ...".to_owned(),
        run: list_active_groups,
        ..Command::ROW
    },
    Command {
        name: "list_stream_group_consumers",
        tools: &[Tool::Streams],
        group: Group::Streams,
        usage: "[--vhost <vhost>] --stream <stream> --reference <reference> [<column> ...]",
        help: "Lists the members of a group of single active consumers",
        arguments: 0..=usize::MAX,
        options: &["stream", "reference"],
        columns: &MEMBER,
        banner: |_| "Listing group consumers ...".to_owned(),
        run: list_members,
    },
    Command {
        name: "list_stream_groups",
        tools: &[Tool::Streams],
        group: Group::Streams,
        usage: "[--vhost <vhost>]",
        help: "Lists all that read streams under a name, connected or not: partitions, stored offsets and lag",
        banner: |call| format!("Listing groups of streams' readers in vhost {} ...", call.vhost()),
        run: list_groups,
        ..Command::ROW
    },
    Command {
        name: "reset_offset",
        tools: &[Tool::Streams],
        group: Group::Streams,
        usage: "[--vhost <vhost>] --reference <reference> [--stream <stream>] [--to <first|last|next|offset>] \
                [--timestamp <milliseconds>] [--force]",
        help: "Sets the offset that a reader's name has stored, of one stream or of all that it reads",
        options: &["stream", "reference", "to", "timestamp", "force"],
        banner: |call| {
            format!(
                "Setting stored offsets of {} ...",
                call.options.reference.as_deref().unwrap_or("")
            )
        },
        run: reset,
        ..Command::ROW
    },
    Command {
        name: "delete_stream_group",
        tools: &[Tool::Streams],
        group: Group::Streams,
        usage: "[--vhost <vhost>] --reference <reference>",
        help: "Forgets the offsets that a reader's name has stored",
        options: &["reference"],
        banner: |call| {
            format!(
                "Forgetting stored offsets of {} ...",
                call.options.reference.as_deref().unwrap_or("")
            )
        },
        run: |call| {
            let path = ["stream", "groups", call.vhost(), reference(call)?];
            let answer = call.ask("DELETE", &path, None)?;
            match answer.status {
                404 => Err(no_group()),
                400 => Err(Failed::told(exit::UNAVAILABLE, answer.reason())),
                _ => answer.accepted().map(|_| Output::Nothing),
            }
        },
        ..Command::ROW
    },
];

const GROUP: [Column; 4] = [
    Column::plain("stream"),
    Column::plain("reference"),
    Column::plain("partition_index"),
    Column::plain("consumers"),
];

const MEMBER: [Column; 3] = [
    Column::plain("subscription_id"),
    Column::plain("connection_name"),
    Column::of("state", "state", Kind::Word),
];

fn no_group() -> Failed {
    Failed::told(exit::UNAVAILABLE, "The group does not exist")
}

fn reference(call: &Call) -> Result<&str, Failed> {
    let reference = call.options.reference.as_deref();
    reference.ok_or_else(|| Failed::arguments("--reference is needed"))
}

/// The subscriptions of the vhost that are single active consumers.
fn single_active(call: &Call) -> Result<Vec<Value>, Failed> {
    let mut all = call.list(&["stream", "consumers", call.vhost()])?;
    all.retain(|one| one["properties"]["single-active-consumer"] == "true");
    Ok(all)
}

fn list_active_groups(call: &Call) -> Result<Output, Failed> {
    let mut groups = std::collections::BTreeMap::<(String, String), (Value, u64)>::new();
    for one in single_active(call)? {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let key = (text(&one["queue"]["name"]), text(&one["properties"]["name"]));
        let group = groups.entry(key).or_default();
        group.0 = one["properties"]["super-stream"].clone();
        group.1 += 1;
    }
    let super_streams = call.list(&["stream", "super-streams", call.vhost()])?;
    let items = groups
        .into_iter()
        .map(|((stream, reference), (super_stream, consumers))| {
            let index = partition_index(&super_streams, &super_stream, &stream);
            json!({"stream": stream, "reference": reference, "partition_index": index, "consumers": consumers})
        });
    let items = items.collect();
    Ok(fancy(chosen(call, &GROUP, &GROUP.map(|column| column.name)), items))
}

/// The place of a stream in its super stream; -1 where it is by itself.
fn partition_index(super_streams: &[Value], super_stream: &Value, stream: &str) -> i64 {
    let found = super_streams.iter().find(|one| one["name"] == *super_stream);
    let partitions = found.and_then(|one| one["partitions"].as_array());
    let at = partitions.and_then(|all| all.iter().position(|partition| partition["name"] == stream));
    at.map_or(-1, |at| at as i64)
}

fn list_members(call: &Call) -> Result<Output, Failed> {
    let stream = call.options.stream.as_deref();
    let stream = stream.ok_or_else(|| Failed::arguments("--stream is needed"))?;
    let reference = reference(call)?;
    let mut members = single_active(call)?;
    members.retain(|one| one["queue"]["name"] == stream && one["properties"]["name"] == reference);
    if members.is_empty() {
        return Err(no_group());
    }
    for member in &mut members {
        member["connection_name"] = member["connection_details"]["name"].clone();
        member["state"] = json!(if member["active"] == true { "active" } else { "inactive" });
    }
    Ok(fancy(chosen(call, &MEMBER, &MEMBER.map(|column| column.name)), members))
}

fn list_groups(call: &Call) -> Result<Output, Failed> {
    let groups = call.list(&["stream", "groups", call.vhost()])?;
    let rows = groups.iter().flat_map(|group| {
        let partitions = group["partitions"].as_array().into_iter().flatten();
        partitions.map(|partition| {
            let mut row = partition.clone();
            row["reference"] = group["name"].clone();
            row["members"] = json!(partition["members"].as_array().map_or(0, Vec::len));
            row
        })
    });
    let columns = [
        "reference",
        "stream",
        "members",
        "stored_offset",
        "first_offset",
        "end_offset",
        "lag",
    ];
    Ok(fancy(plain(&columns), rows.collect()))
}

fn reset(call: &Call) -> Result<Output, Failed> {
    let path = ["stream", "groups", call.vhost(), reference(call)?, "reset"];
    let options = &call.options;
    if options.to.is_some() && options.timestamp.is_some() {
        return Err(Failed::arguments("Specify --to or --timestamp, not both."));
    }
    let to = options.to.as_deref().unwrap_or("first");
    let mut body = match (options.timestamp, to.parse::<u64>()) {
        (Some(timestamp), _) => json!({"timestamp": timestamp}),
        (None, Ok(offset)) => json!({"offset": offset}),
        (None, Err(_)) => json!({"offset": to}),
    };
    if let Some(stream) = &options.stream {
        body["stream"] = json!(stream);
    }
    body["force"] = json!(options.force);
    let answer = call.ask("POST", &path, Some(&body))?;
    match answer.status {
        404 => Err(no_group()),
        400 => Err(Failed::told(exit::UNAVAILABLE, answer.reason())),
        _ => {
            let stored = answer.accepted()?;
            let items = stored.as_array().cloned().unwrap_or_default();
            Ok(fancy(plain(&["stream", "stored_offset"]), items))
        }
    }
}
