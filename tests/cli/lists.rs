//! Lists of what is declared and who is connected, in every way to write them.

use super::{Ran, ctl};
use crate::support::*;

/// A broker with the queues `jobs` (three messages) and `orders`, bound to an exchange.
async fn busy() -> (Broker, Client) {
    let broker = Broker::start();
    let client = broker.client().await;
    client.plain_queue("jobs").await;
    let http = broker.http();
    let orders = r#"{"durable":true,"arguments":{"x-queue-type":"quorum","x-delivery-limit":10}}"#;
    http.put("/api/queues/%2F/orders", orders).expect_status(201);
    let shop = r#"{"type":"topic","arguments":{"alternate-exchange":"lost"}}"#;
    http.put("/api/exchanges/%2F/shop", shop).expect_status(201);
    let key = r##"{"routing_key":"order.#"}"##;
    http.post("/api/bindings/%2F/e/shop/q/orders", key).expect_status(201);
    client.send_all("jobs", ["m1", "m2", "m3"]).await;
    (broker, client)
}

#[tokio::test]
async fn queues_are_listed_in_every_way() {
    let (broker, _client) = busy().await;
    let list = |options: &[&str]| ctl(&broker, &[&["list_queues"], options].concat()).well();
    let banner = "Timeout: 60.0 seconds ...\nListing queues for vhost / ...\n";
    assert_eq!(list(&[]), format!("{banner}name\tmessages\njobs\t3\norders\t0\n"));
    assert_eq!(list(&["-q"]), "name\tmessages\njobs\t3\norders\t0\n");
    assert_eq!(list(&["-s"]), "jobs\t3\norders\t0\n");
    assert_eq!(list(&["--no-table-headers"]), format!("{banner}jobs\t3\norders\t0\n"));
    assert_eq!(
        list(&["messages", "name", "--formatter", "csv"]),
        "\"messages\",\"name\"\n\"3\",\"jobs\"\n\"0\",\"orders\"\n"
    );
    assert_eq!(
        list(&["--formatter", "json", "--silent"]),
        "[\n{\"name\":\"jobs\",\"messages\":3}\n,{\"name\":\"orders\",\"messages\":0}\n]\n"
    );
    assert_eq!(
        list(&["--formatter", "pretty_table", "-q"]),
        "\x1b(0lqqqqqqqqwqqqqqqqqqqk\x1b(B\n\
         \x1b(0x\x1b(B \x1b[1mname\x1b[0m   \x1b(0x\x1b(B \x1b[1mmessages\x1b[0m \x1b(0x\x1b(B\n\
         \x1b(0tqqqqqqqqnqqqqqqqqqqu\x1b(B\n\
         \x1b(0x\x1b(B jobs   \x1b(0x\x1b(B 3        \x1b(0x\x1b(B\n\
         \x1b(0tqqqqqqqqnqqqqqqqqqqu\x1b(B\n\
         \x1b(0x\x1b(B orders \x1b(0x\x1b(B 0        \x1b(0x\x1b(B\n\
         \x1b(0mqqqqqqqqvqqqqqqqqqqj\x1b(B\n"
    );
    assert_eq!(
        ctl(&broker, &["list_queues", "-p", "nope"]).well(),
        "Timeout: 60.0 seconds ...\nListing queues for vhost nope ...\n"
    );
    assert_eq!(list(&["--offline", "-s"]), "");
}

#[tokio::test]
async fn columns_of_queues_follow_their_type() {
    let (broker, _client) = busy().await;
    let columns = [
        "name",
        "type",
        "arguments",
        "durable",
        "exclusive",
        "leader",
        "members",
        "pid",
    ];
    let list = [&["list_queues", "-s"], &columns[..]].concat();
    let overview = broker.http().get("/api/overview").json();
    let node = overview["node"].as_str().expect("a name");
    assert_eq!(
        ctl(&broker, &list).well(),
        format!(
            "jobs\tclassic\t[{{\"x-queue-type\",\"classic\"}}]\ttrue\tfalse\t{node}\t[{node}]\t\n\
             orders\tquorum\t[{{\"x-delivery-limit\",10}},{{\"x-queue-type\",\"quorum\"}}]\ttrue\t\t{node}\t[{node}]\t\n"
        )
    );
    let refused = ctl(&broker, &["list_queues", "-p", "golden", "nonsense"]);
    assert_eq!(refused.out, "");
    let said = refused.failed(64);
    assert!(
        said.starts_with("Error (argument validation): Info key(s) nonsense are not supported\nArguments given:\n\t"),
        "{said}"
    );
}

#[tokio::test]
async fn exchanges_and_bindings_are_listed() {
    let (broker, _client) = busy().await;
    let exchanges = ctl(&broker, &["list_exchanges", "name", "type", "arguments", "policy"]).well();
    assert!(
        exchanges.starts_with("Listing exchanges for vhost / ...\nname\ttype\targuments\tpolicy\n\tdirect\t[]\t\n"),
        "{exchanges}"
    );
    assert!(
        exchanges.contains("\nshop\ttopic\t[{\"alternate-exchange\",\"lost\"}]\t\n"),
        "{exchanges}"
    );
    assert_eq!(
        ctl(&broker, &["list_bindings"]).well(),
        "Listing bindings for vhost /...\n\
         source_name\tsource_kind\tdestination_name\tdestination_kind\trouting_key\targuments\n\
         \texchange\tjobs\tqueue\tjobs\t[]\n\
         \texchange\torders\tqueue\torders\t[]\n\
         shop\texchange\torders\tqueue\torder.#\t[]\n"
    );
}

#[tokio::test]
async fn connections_channels_and_consumers_are_listed() {
    let (broker, client) = busy().await;
    client.prefetch(10).await;
    let _consumer = client.consume_with("orders", table([("x-priority", number(5))])).await;
    let connections = broker.http().get("/api/connections").json();
    let connection = &connections[0];
    let name = connection["name"].as_str().expect("a name");
    let port = &connection["peer_port"];
    assert_eq!(
        ctl(&broker, &["list_connections"]).well(),
        format!("Listing connections ...\nuser\tpeer_host\tpeer_port\tstate\nguest\t127.0.0.1\t{port}\trunning\n")
    );
    let columns = ["name", "peer_host", "protocol", "ssl"];
    let list = [&["list_connections", "--formatter", "json"], &columns[..]].concat();
    assert_eq!(
        ctl(&broker, &list).well(),
        format!("[\n{{\"name\":\"{name}\",\"peer_host\":[127,0,0,1],\"protocol\":[0,9,1],\"ssl\":false}}\n]\n")
    );
    assert_eq!(
        ctl(&broker, &["list_connections", "-s", "protocol"]).well(),
        "{0,9,1}\n"
    );
    let channels = ctl(
        &broker,
        &["list_channels", "connection", "user", "consumer_count", "-s"],
    )
    .well();
    assert!(channels.contains(&format!("{name}\tguest\t1\n")), "{channels}");
    let tag = broker.http().get("/api/consumers").json()[0]["consumer_tag"].clone();
    let tag = tag.as_str().expect("a tag");
    assert_eq!(
        ctl(&broker, &["list_consumers"]).well(),
        format!(
            "Listing consumers in vhost / ...\n\
             queue_name\tchannel_pid\tconsumer_tag\tack_required\tprefetch_count\tactive\targuments\n\
             orders\t{name} (1)\t{tag}\ttrue\t10\ttrue\t[{{\"x-priority\",5}}]\n"
        )
    );
}

#[tokio::test]
async fn queues_are_purged_and_deleted_without_any_permission() {
    let (broker, client) = busy().await;
    broker.http().delete("/api/permissions/%2F/guest").expect_status(204);
    let run = |arguments: &[&str]| -> Ran { ctl(&broker, arguments) };
    assert_eq!(
        run(&["delete_queue", "jobs", "--if-empty"]).failed(64),
        "Error:\nQueue is not empty\n"
    );
    assert_eq!(
        run(&["purge_queue", "jobs"]).well(),
        "Purging queue 'jobs' in vhost '/' ...\n"
    );
    assert_eq!(run(&["list_queues", "-s"]).well(), "jobs\t0\norders\t0\n");
    assert_eq!(
        run(&["delete_queue", "jobs", "--if-empty", "--if-unused"]).well(),
        "Deleting queue 'jobs' on vhost '/' ...\nQueue was successfully deleted with 0 ready messages\n"
    );
    assert_eq!(run(&["delete_queue", "jobs"]).failed(64), "Error:\nQueue not found\n");
    assert_eq!(
        run(&["purge_queue", "jobs"]).failed(65),
        "Object (queue, stream, exchange, etc) was not found\n"
    );
    drop(client);
}

#[tokio::test]
async fn the_one_member_of_a_quorum_queue_leads() {
    let (broker, _client) = busy().await;
    let status = ctl(&broker, &["quorum_status", "orders", "--formatter", "csv"]).well();
    let (heads, row) = status.split_once('\n').expect("two lines");
    assert_eq!(
        heads,
        "\"Node Name\",\"Raft State\",\"Membership\",\"Last Log Index\",\"Last Written\",\"Last Applied\",\
         \"Commit Index\",\"Snapshot Index\",\"Term\",\"Machine Version\""
    );
    assert!(row.contains("\"leader\",\"voter\""), "{row}");
    let drawn = ctl(&broker, &["quorum_status", "orders"]).well();
    assert!(drawn.contains("\x1b[1mRaft State\x1b[0m"), "{drawn}");
    ctl(&broker, &["quorum_status", "jobs"]).failed(69);
}

#[tokio::test]
async fn one_node_has_the_only_member() {
    let (broker, _client) = busy().await;
    for words in [
        ["add_member", "orders", "rabbit@other"].as_slice(),
        &["grow", "rabbit@other", "all"],
    ] {
        let said = ctl(&broker, words).failed(64);
        let wish = "Error: node rabbit@other is not a member of the cluster\nArguments given:\n\t";
        assert!(said.starts_with(wish), "{said}");
    }
    let node = ctl(&broker, &["list_queues", "leader", "-s"]).well();
    let node = node.lines().next().expect("a queue").to_owned();
    let said = ctl(&broker, &["add_member", "orders", &node]).well();
    assert_eq!(said, format!("Adding a replica for queue orders on node {node}...\n"));
    let said = ctl(&broker, &["delete_member", "orders", &node]).failed(69);
    assert_eq!(said, "Error:\nlast_node\n");
    for command in ["add_member", "delete_member"] {
        let said = ctl(&broker, &[command, "nothing", &node]).failed(65);
        assert_eq!(said, "queue 'nothing' was not found in virtual host '/'\n");
        let said = ctl(&broker, &[command, "jobs", &node]).failed(69);
        assert_eq!(said, "Error:\nCannot add members to a classic queue\n");
    }
    let said = ctl(&broker, &["rebalance", "nothing"]).failed(69);
    assert_eq!(
        said,
        "Error:\ntype nothing is not supported. Try one of all, quorum, stream.\n"
    );
    let said = ctl(&broker, &["shrink", &node, "-q"]).well();
    let row = "/\torders\t1\terror: the last node cannot be removed\n";
    assert_eq!(said, format!("vhost\tname\tsize\tresult\n{row}"));
    let said = ctl(&broker, &["rebalance", "all", "-q", "--formatter", "csv"]).well();
    assert_eq!(
        said,
        format!("\"Node name\",\"Number of quorum queues\"\n\"{node}\",\"1\"\n")
    );
    let well = ctl(&broker, &["check_if_node_is_quorum_critical"]).well();
    assert!(
        well.ends_with("reported no queues/streams with minimum quorum\n"),
        "{well}"
    );
}

#[tokio::test]
async fn connections_are_closed_with_a_reason() {
    let broker = Broker::start();
    let run = |arguments: &[&str]| -> Ran { ctl(&broker, arguments) };
    let closed = |mut client: Raw| {
        let close = client.expect(10, 50).payload;
        assert_eq!(close[4..6], 320_u16.to_be_bytes());
        let text = String::from_utf8_lossy(&close[7..7 + usize::from(close[6])]).into_owned();
        client.method(0, (10, 51), &[]);
        assert_eq!(client.read(), None);
        text
    };
    let open = || Raw::open(&broker.amqp, "/", 0);
    let client = open();
    let name = run(&["list_connections", "pid", "-s"]).well();
    let name = name.trim_end();
    assert_eq!(
        run(&["close_connection", name, "go home"]).well(),
        format!("Closing connection {name}, reason: go home...\n")
    );
    assert_eq!(closed(client), "CONNECTION_FORCED - go home");
    assert_eq!(
        run(&["close_connection", "nobody", "bye", "-q"]).failed(69),
        "Error:\nthere is no such connection\n"
    );
    let client = open();
    assert_eq!(
        run(&["close_all_connections", "-p", "other", "bye"]).well(),
        "Closing all connections in vhost other, reason: bye...\nClosed 0 connections\n"
    );
    assert_eq!(
        run(&["close_all_connections", "bye\r\nX: y"]).well(),
        "Closing all connections in vhost /, reason: bye\r\nX: y...\nClosed 1 connections\n"
    );
    assert_eq!(closed(client), "CONNECTION_FORCED - bye  X: y");
    let client = open();
    let said = run(&["close_all_connections", "--global", "--limit", "1", "bye"]).well();
    assert!(
        said.ends_with("(across all vhosts), reason: bye...\nClosed 1 connections\n"),
        "{said}"
    );
    closed(client);
    let client = open();
    assert_eq!(
        run(&["close_all_user_connections", "guest", "bye"]).well(),
        "Closing connections of user guest, reason: bye...\n"
    );
    closed(client);
}
