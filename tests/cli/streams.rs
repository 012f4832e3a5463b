//! `rabbitmq-streams`: clients of the stream protocol, groups, super streams, members.

use serde_json::{Value, json};
use warren::stream_protocol::codec::{Command, StartAt};

use super::{Ran, ctl};
use crate::support::stream::Stream;
use crate::support::*;

fn broker() -> Broker {
    Broker::start_with(&["--stream", "127.0.0.1:0"])
}

/// A list as JSON.
fn listed(ran: Ran) -> Value {
    serde_json::from_str(&ran.well()).expect("JSON")
}

fn json_of(broker: &Broker, words: &[&str]) -> Value {
    listed(ctl(broker, &[words, &["--formatter", "json", "--silent"]].concat()))
}

#[test]
fn clients_and_groups_are_listed() {
    let broker = broker();
    ctl(&broker, &["add_super_stream", "orders", "--partitions", "2"]).well();
    let mut client = Stream::open(&broker);
    client.declare("billing", "orders-1");
    client.publish(&[0, 1, 20]);
    let group = [
        ("single-active-consumer", "true"),
        ("name", "app"),
        ("super-stream", "orders"),
    ];
    client.subscribe("orders-1", StartAt::First, &group);
    let turn = client.hear().expect("a turn");
    client.send(&Command::ConsumerUpdated {
        correlation: u32::from_be_bytes(turn.body[..4].try_into().expect("four bytes")),
        code: 1,
        start: None,
    });
    client.read(3);
    client.send(&Command::StoreOffset {
        reference: b"app",
        stream: b"orders-1",
        offset: 1,
    });
    let connections = json_of(
        &broker,
        &[
            "list_stream_connections",
            "user",
            "vhost",
            "subscriptions",
            "connection_state",
        ],
    );
    assert_eq!(
        connections,
        json!([{"user": "guest", "vhost": "/", "subscriptions": 1, "connection_state": "running"}])
    );
    let publishers = json_of(&broker, &["list_stream_publishers"]);
    assert_eq!(
        publishers,
        json!([{"publisher_id": 1, "stream": "orders-1", "reference": "billing", "messages_published": 3,
                "messages_confirmed": 3, "messages_errored": 0}])
    );
    let columns = [
        "list_stream_consumers",
        "subscription_id",
        "stream",
        "offset_lag",
        "activity_status",
    ];
    assert_eq!(
        json_of(&broker, &columns),
        json!([{"subscription_id": 1, "stream": "orders-1", "offset_lag": 0, "activity_status": "single_active"}])
    );
    assert_eq!(
        json_of(&broker, &["list_stream_consumer_groups"]),
        json!([{"stream": "orders-1", "reference": "app", "partition_index": 1, "consumers": 1}])
    );
    let of_group = ["list_stream_group_consumers", "--stream", "orders-1", "--reference"];
    let members = json_of(&broker, &[&of_group[..], &["app", "state"]].concat());
    assert_eq!(members, json!([{"state": "active"}]));
    let missing = ctl(&broker, &[&of_group[..], &["nope"]].concat());
    assert_eq!(missing.failed(69), "Error:\nThe group does not exist\n");
    let tracked = json_of(&broker, &["list_stream_tracking", "orders-1", "--all"]);
    assert_eq!(
        tracked,
        json!([{"type": "writer", "name": "billing", "tracking_value": 20}, {"type": "offset", "name": "app", "tracking_value": 1}])
    );
    let drawn = ctl(&broker, &["list_stream_consumers", "properties"]).well();
    assert!(
        drawn.contains("#{<<\"name\">> => <<\"app\">>,<<\"single-active-consumer\">> => <<\"true\">>"),
        "{drawn}"
    );
    let refused = ctl(&broker, &["reset_offset", "--reference", "app", "--to", "next"]);
    assert!(refused.failed(69).contains("force"));
    drop(client);
    let end = std::time::Instant::now() + PATIENCE;
    let reset = loop {
        let reset = ctl(
            &broker,
            &[
                "reset_offset",
                "--reference",
                "app",
                "--to",
                "next",
                "--formatter",
                "json",
                "-s",
            ],
        );
        // The broker has yet to hear that the client has gone.
        if reset.status == 0 || std::time::Instant::now() > end {
            break listed(reset);
        }
    };
    assert_eq!(reset, json!([{"stream": "orders-1", "stored_offset": 2}]));
    let groups = json_of(&broker, &["list_stream_groups"]);
    assert_eq!(
        groups,
        json!([{"reference": "app", "stream": "orders-1", "members": 0, "stored_offset": 2, "first_offset": 0,
                "end_offset": 3, "lag": 0}])
    );
    ctl(&broker, &["delete_stream_group", "--reference", "app"]).well();
    assert_eq!(json_of(&broker, &["list_stream_groups"]), json!([]));
}

#[test]
fn super_streams_are_made_given_partitions_and_deleted() {
    let broker = broker();
    let add = [
        "add_super_stream",
        "made",
        "--partitions",
        "2",
        "--max-age",
        "PT1H",
        "--max-length-bytes",
        "1gb",
    ];
    assert_eq!(
        ctl(&broker, &add).well(),
        "Adding a super stream...\nSuper stream made has been created\n"
    );
    let arguments = broker.http().get("/api/queues/%2F/made-1").json()["arguments"].clone();
    assert_eq!(
        (&arguments["x-max-age"], &arguments["x-max-length-bytes"]),
        (&json!("3600s"), &json!(1_000_000_000_u64))
    );
    let again = ctl(&broker, &add);
    assert_eq!(
        again.failed(70),
        "Error:\n{:reference_already_exists, ~c\"there is already an exchange named made\"}\n"
    );
    let both = ctl(
        &broker,
        &["add_super_stream", "b", "--partitions", "2", "--binding-keys", "a,b"],
    );
    assert_eq!(both.status, 64);
    ctl(&broker, &["add_super_stream_partition", "made", "2"]).well();
    broker.http().get("/api/queues/%2F/made-2").expect_status(200);
    assert_eq!(
        ctl(&broker, &["delete_super_stream", "made"]).well(),
        "Deleting a super stream...\nSuper stream made has been deleted\n"
    );
    let missing = ctl(&broker, &["delete_super_stream", "made"]);
    assert_eq!(missing.failed(70), "Error:\nstream_not_found\n");
}

#[test]
fn members_of_a_stream_are_shown_and_changed() {
    let broker = broker();
    Stream::open(&broker).create("s");
    let status = json_of(&broker, &["stream_status", "s"]);
    assert_eq!(
        (&status[0]["role"], &status[0]["readers"]),
        (&json!("writer"), &json!(0))
    );
    let node = status[0]["node"].as_str().expect("a name").to_owned();
    let missing = ctl(&broker, &["stream_status", "nope"]);
    let text = "Object (queue, stream, exchange, etc) was not found\n";
    assert_eq!(missing.failed(65), text);
    ctl(&broker, &["add_replica", "s", &node]).well();
    let unknown = ctl(&broker, &["add_replica", "s", "nope@localhost"]);
    assert_eq!(unknown.failed(69), "Error:\nnode_not_running\n");
    ctl(&broker, &["delete_replica", "s", "nope@localhost"]).well();
    assert_eq!(
        ctl(&broker, &["restart_stream", "s"]).well(),
        format!("Restarting stream s...\n{node}\n")
    );
}
