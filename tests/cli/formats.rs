//! The same answer written in several ways, and what is shown of one message.

use serde_json::json;

use super::ctl;
use crate::support::Broker;

#[test]
fn lists_and_texts_are_written_in_every_way() {
    let broker = Broker::start_with(&["--node-name", "g1@localhost"]);
    let run = |arguments: &[&str]| ctl(&broker, arguments).well();
    let queue = r#"{"durable":true,"arguments":{"x-max-length":5}}"#;
    broker.http().put("/api/queues/%2f/q1", queue).expect_status(201);
    // As RabbitMQ 4.0.5 wrote the same.
    assert_eq!(
        run(&["list_users", "--formatter", "erlang"]),
        "Listing users ...\n[[{user,<<\"guest\">>},{tags,[administrator]}]]\n"
    );
    assert_eq!(
        run(&[
            "list_queues",
            "name",
            "type",
            "state",
            "arguments",
            "policy",
            "leader",
            "--formatter",
            "erlang",
            "-q"
        ]),
        "[[{name,<<\"q1\">>},\n  {type,classic},\n  {state,running},\n  \
         {arguments,[{<<\"x-max-length\">>,long,5},\n              \
         {<<\"x-queue-type\">>,longstr,<<\"classic\">>}]},\n  {policy,''},\n  {leader,g1@localhost}]]\n"
    );
    assert_eq!(
        run(&["ping", "-q", "--formatter", "pretty_table"]),
        "\u{1b}(0lqqqqqqqqqqqqqqqqk\u{1b}(B\n\u{1b}(0x\u{1b}(B \u{1b}[1mOutput\u{1b}[0m         \
         \u{1b}(0x\u{1b}(B\n\u{1b}(0tqqqqqqqqqqqqqqqqu\u{1b}(B\n\u{1b}(0x\u{1b}(B Ping succeeded \
         \u{1b}(0x\u{1b}(B\n\u{1b}(0mqqqqqqqqqqqqqqqqj\u{1b}(B\n"
    );
    assert_eq!(
        run(&["ping", "-q", "--formatter", "erlang"]),
        "<<\"Ping succeeded\">>\n"
    );
    assert_eq!(
        run(&["add_vhost", "v2", "--formatter", "json"]),
        "{\"node\":\"g1@localhost\",\"result\":\"ok\"}\n"
    );
    assert_eq!(
        run(&["list_vhosts", "name", "cluster_state", "-q"]),
        "name\tcluster_state\n/\t[{g1@localhost, running}]\nv2\t[{g1@localhost, running}]\n"
    );
}

#[test]
fn metadata_of_a_vhost_is_changed_a_field_at_a_time() {
    let broker = Broker::start();
    let run = |arguments: &[&str]| ctl(&broker, arguments);
    run(&["add_vhost", "v1"]).well();
    assert_eq!(
        run(&["set_vhost_tags", "v1", "a", "b"]).well(),
        "Setting tags for virtual host \"v1\" to [a, b] ...\n"
    );
    assert_eq!(
        run(&["update_vhost_metadata", "v1", "--description", "d"]).well(),
        "Updating metadata of vhost \"v1\" ...\n"
    );
    let vhost = broker.http().get("/api/vhosts/v1").expect_status(200).json();
    assert_eq!(
        (&vhost["tags"], &vhost["description"]),
        (&json!(["a", "b"]), &json!("d"))
    );
    let missing = run(&["set_vhost_tags", "nope", "a"]).failed(65);
    assert_eq!(missing, "Error:\nVirtual host \"nope\" does not exist\n");
    let none = run(&["update_vhost_metadata", "v1"]).failed(64);
    assert!(
        none.starts_with("Error (argument validation): not enough arguments.\n"),
        "{none}"
    );
    let kind = run(&["update_vhost_metadata", "v1", "--default-queue-type", "nonsense"]).failed(65);
    let said = "Error (argument validation): Bad argument: Default queue type must be one of: quorum, stream, \
                classic. Provided: nonsense\n";
    assert!(kind.starts_with(said), "{kind}");
    let node = broker.http().get("/api/overview").expect_status(200).json()["node"].clone();
    let node = node.as_str().expect("a name");
    assert_eq!(
        run(&["restart_vhost", "-p", "v1", "-q"]).well(),
        format!("Vhost 'v1' is already running on node '{node}'\n")
    );
    assert_eq!(
        run(&["restart_vhost", "-p", "nope", "-q"]).failed(70),
        format!("Error:\nFailed to start vhost 'nope' on node '{node}'Reason: {{:no_such_vhost, \"nope\"}}\n")
    );
    run(&["add_user", "app", "pw"]).well();
    run(&["set_permissions_globally", "app", "a", "b", "c"]).well();
    assert_eq!(
        run(&["list_user_permissions", "app", "-s"]).well(),
        "/\ta\tb\tc\nv1\ta\tb\tc\n"
    );
    run(&["set_permissions_globally", "nobody", "a", "b", "c"]).failed(67);
}

#[test]
fn policies_that_match_are_listed_the_one_that_counts_first() {
    let broker = Broker::start();
    let run = |arguments: &[&str]| ctl(&broker, arguments);
    broker
        .http()
        .put("/api/queues/%2f/q1", r#"{"durable":true}"#)
        .expect_status(201);
    run(&["set_policy", "low", ".*", r#"{"max-length":10}"#]).well();
    run(&[
        "set_policy",
        "high",
        "^q",
        r#"{"max-length":100}"#,
        "--priority",
        "3",
        "--apply-to",
        "queues",
    ])
    .well();
    run(&[
        "set_policy",
        "other",
        "^q",
        r#"{"delivery-limit":9}"#,
        "--apply-to",
        "quorum_queues",
    ])
    .well();
    assert_eq!(
        run(&["list_policies_that_match", "q1", "--formatter", "json"]).well(),
        "{\"policies\":[{\"vhost\":\"/\",\"name\":\"high\",\"pattern\":\"^q\",\"apply-to\":\"queues\",\
         \"definition\":[[\"max-length\",100]],\"priority\":3},{\"vhost\":\"/\",\"name\":\"low\",\
         \"pattern\":\".*\",\"apply-to\":\"all\",\"definition\":[[\"max-length\",10]],\"priority\":0}],\
         \"result\":\"ok\"}\n"
    );
    run(&["list_policies_that_match", "--object-type", "exchange", "amq.topic"]).well();
    assert_eq!(
        run(&["list_policies_that_match", "nope", "-q"]).failed(65),
        "Object (queue, stream, exchange, etc) was not found\n"
    );
}

#[test]
fn a_message_is_peeked_at_and_stays() {
    let broker = Broker::start_with(&["--node-name", "g1@localhost"]);
    let run = |arguments: &[&str]| ctl(&broker, arguments);
    let queue = r#"{"durable":true,"arguments":{"x-queue-type":"quorum"}}"#;
    broker.http().put("/api/queues/%2f/q1", queue).expect_status(201);
    for (payload, properties) in [
        ("hello", json!({"content_type": "text/plain", "headers": {"a": 1}})),
        ("two", json!({})),
    ] {
        let body = json!({
            "properties": properties, "routing_key": "q1", "payload": payload, "payload_encoding": "string",
        });
        let published = broker
            .http()
            .post("/api/exchanges/%2f/amq.default/publish", &body.to_string());
        assert_eq!(published.expect_status(200).json()["routed"], true);
    }
    for _ in 0..2 {
        let first = run(&["peek", "q1", "1", "--formatter", "json"]).well();
        let first: serde_json::Value = serde_json::from_str(&first).expect("JSON");
        let message = &first["message"];
        assert_eq!(message["payload (max 64 bytes)"], "hello", "{first}");
        assert_eq!(
            (&message["content_type"], &message["header.a"], &message["routing_keys"]),
            (&json!("text/plain"), &json!(1), &json!(["q1"]))
        );
    }
    let second = run(&["peek", "q1", "2"]).well();
    assert!(second.starts_with("Peeking at quorum queue q1 at position 2 on node g1@localhost ...\n"));
    assert!(second.contains(" two "), "{second}");
    assert_eq!(
        run(&["peek", "q1", "3", "-q"]).failed(69),
        "Error:\nTarget queue does not have a message at that position\n"
    );
    assert_eq!(
        run(&["peek", "nope", "1", "-q"]).failed(69),
        "Error:\nTarget queue was not found in virtual host '/'\n"
    );
    let zero = run(&["peek", "q1", "0"]).failed(64);
    let said = "Error (argument validation): \"position value must be a positive integer\"\n";
    assert!(zero.starts_with(said), "{zero}");
    assert_eq!(run(&["list_queues", "name", "messages_ready", "-s"]).well(), "q1\t2\n");
    assert_eq!(run(&["list_unresponsive_queues", "-s"]).well(), "");
}
