//! Nodes leave the cluster and come to it, as whoever runs them says.

use std::time::{Duration, Instant};

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;

use crate::support::*;

/// The names of the members, as a node tells them.
fn members(cluster: &Cluster, asked: usize) -> Vec<String> {
    let nodes = cluster.http(asked).get("/api/nodes").json();
    let names = nodes.as_array().expect("a list").iter();
    names
        .map(|node| node["name"].as_str().expect("a name").to_owned())
        .collect()
}

async fn has_members(cluster: &Cluster, asked: usize, names: &[&str]) {
    until(&format!("node {asked} sees {names:?}"), || {
        members(cluster, asked) == names
    })
    .await;
}

#[tokio::test]
async fn a_broker_that_is_stopped_and_started_is_the_member_that_it_was() {
    let mut cluster = Cluster::of(3).await;
    cluster.client(2).await.plain_queue("orders").await;
    let said = cluster.ctl(2, &["stop_app"], 0);
    assert_eq!(said, "Stopping rabbit application on node rabbit@n2 ...\n");
    cluster.ready(&[1, 3]).await;
    // The process runs.
    cluster.ctl(2, &["ping"], 0);
    cluster.ctl(2, &["check_running"], 69);
    let wish = "Error: this command requires the 'rabbit' app to be running on the target node. Start it with \
                'rabbitmqctl start_app'.\nArguments given:\n\t";
    for command in [
        &["list_queues"][..],
        &["delete_queue", "orders"],
        &["shrink", "rabbit@n3"],
        &["add_user", "x", "y"],
    ] {
        let said = cluster.ctl(2, command, 64);
        assert!(said.contains(wish), "{command:?}: {said}");
    }
    cluster.ctl(2, &["start_app"], 0);
    cluster.all_ready().await;
    cluster.ctl(1, &["await_online_nodes", "3"], 0);
    let seen = cluster.client(2).await.look("orders").await;
    assert_eq!(seen.expect("it lives there"), (0, 0));
}

#[tokio::test]
async fn a_broker_that_is_stopped_lets_go_of_its_store() {
    let mut cluster = Cluster::of(3).await;
    let client = cluster.client(2).await;
    client.queue("orders", table([("x-queue-type", text("quorum"))])).await;
    client.publish("", "orders", "m1", persistent()).await;
    for _ in 0..3 {
        assert!(!cluster.open_files(2).is_empty());
        cluster.ctl(2, &["stop_app"], 0);
        until("no file of the store is open", || cluster.open_files(2).is_empty()).await;
        cluster.ctl(2, &["start_app"], 0);
        cluster.all_ready().await;
    }
    assert_eq!(cluster.client(2).await.take("orders").await, ["m1"]);
}

#[tokio::test]
async fn the_log_says_once_that_a_node_is_lost_and_once_that_it_is_back() {
    let mut cluster = Cluster::of(3).await;
    let quorum = table([("x-queue-type", text("quorum"))]);
    cluster.client(1).await.queue("orders", quorum).await;
    // What is logged of a start comes before `ready` and while the others join.
    let start = cluster.log(1).len();
    let lines = |cluster: &Cluster| {
        let log = cluster.log(1);
        let lines = log[start..].lines().map(|line| line[32..].trim().to_owned());
        lines.collect::<Vec<_>>()
    };
    assert!(!cluster.log(1).contains("[warning]"));
    cluster.kill9(3);
    cluster.ready(&[1, 2]).await;
    // The group goes on without it, and asks for it all the time.
    let client = cluster.client(1).await;
    for number in 0..200 {
        client.publish("", "orders", &format!("m{number}"), persistent()).await;
    }
    assert_eq!(
        lines(&cluster),
        ["[warning] a node is suspected node=rabbit@n3 why=Refused"]
    );
    cluster.start(3);
    cluster.all_ready().await;
    // The log is written a little later than what it tells of.
    until("the log is written", || lines(&cluster).len() > 2).await;
    let told = lines(&cluster);
    let back = [
        "[info] a node was restarted node=rabbit@n3",
        "[info] a node is up node=rabbit@n3",
    ];
    assert_eq!(told[1..], back);
}

#[tokio::test]
async fn a_node_that_is_gone_is_forgotten_with_what_lived_on_it() {
    let mut cluster = Cluster::of(3).await;
    cluster.client(3).await.plain_queue("gone").await;
    let said = cluster.ctl(1, &["forget_cluster_node", "rabbit@n3"], 69);
    let wish =
        "RabbitMQ on node rabbit@n3 must be stopped with 'rabbitmqctl -n rabbit@n3 stop_app' before it can be removed";
    assert!(said.contains(wish), "{said}");
    cluster.kill9(3);
    cluster.ready(&[1, 2]).await;
    let said = cluster.ctl(1, &["forget_cluster_node", "rabbit@n3"], 0);
    assert_eq!(said, "Removing node rabbit@n3 from the cluster\n");
    for node in [1, 2] {
        has_members(&cluster, node, &["rabbit@n1", "rabbit@n2"]).await;
        until("the queue is gone", || cluster.queue(node, "gone").is_none()).await;
    }
    cluster.ctl(1, &["forget_cluster_node", "rabbit@nobody"], 69);
}

#[tokio::test]
async fn what_was_declared_for_a_run_of_a_node_goes_with_it() {
    let mut cluster = Cluster::of(3).await;
    let client = cluster.client(3).await;
    let exclusive = QueueDeclareOptions {
        exclusive: true,
        ..QueueDeclareOptions::default()
    };
    let declared = client.queue_declare("mine".into(), exclusive, FieldTable::default());
    declared.await.expect("declared");
    until("the queue is everywhere", || cluster.queue(1, "mine").is_some()).await;
    cluster.kill9(3);
    let killed = Instant::now();
    until("the queue is gone", || cluster.queue(1, "mine").is_none()).await;
    // Its process has ended: nobody waits whether it comes back.
    let took = killed.elapsed();
    assert!(took < Duration::from_secs(6), "{took:?}");
}

#[tokio::test]
async fn a_node_leaves_and_joins_again_as_another() {
    let mut cluster = Cluster::of(3).await;
    cluster.client(1).await.plain_queue("orders").await;
    let said = cluster.ctl(3, &["reset"], 64);
    let wish = "Error: this command requires the 'rabbit' app to be stopped on the target node. Stop it with \
                'rabbitmqctl stop_app'.\nArguments given:\n\t";
    assert!(said.contains(wish), "{said}");
    cluster.ctl(3, &["stop_app"], 0);
    let said = cluster.ctl(3, &["reset"], 0);
    assert_eq!(said, "Resetting node rabbit@n3 ...\n");
    has_members(&cluster, 1, &["rabbit@n1", "rabbit@n2"]).await;
    let target = cluster.address(1);
    let said = cluster.ctl(3, &["join_cluster", &target], 0);
    assert_eq!(said, format!("Clustering node rabbit@n3 with {target}\n"));
    has_members(&cluster, 2, &["rabbit@n1", "rabbit@n2", "rabbit@n3"]).await;
    cluster.ctl(3, &["start_app"], 0);
    cluster.all_ready().await;
    let seen = cluster.client(3).await.look("orders").await;
    assert_eq!(seen.expect("what is declared"), (0, 0));
    let status = cluster.ctl(3, &["cluster_status"], 0);
    let all = "Running Nodes\n\nrabbit@n1\nrabbit@n2\nrabbit@n3\n";
    assert!(status.contains(all), "{status}");
}

#[tokio::test]
async fn a_member_that_is_to_join_its_own_cluster_stays_what_it_is() {
    let mut cluster = Cluster::of(3).await;
    let client = cluster.client(2).await;
    client.plain_queue("orders").await;
    client.publish("", "orders", "m1", persistent()).await;
    cluster.ctl(2, &["stop_app"], 0);
    let target = cluster.address(1);
    let said = cluster.ctl(2, &["join_cluster", &target], 0);
    let wish = "The node is already a member of this cluster\n";
    assert_eq!(said, format!("Clustering node rabbit@n2 with {target}\n{wish}"));
    cluster.ctl(2, &["start_app"], 0);
    cluster.all_ready().await;
    has_members(&cluster, 1, &["rabbit@n1", "rabbit@n2", "rabbit@n3"]).await;
    assert_eq!(cluster.client(3).await.take("orders").await, ["m1"]);
}

/// A node of a cluster of its own that keeps a message, its broker stopped.
async fn stopped_alone(name: &str) -> Cluster {
    let mut alone = Cluster::stopped(loopback(1));
    alone.rename(1, name);
    alone.start(1);
    until("the node serves", || alone.serves(1)).await;
    let client = alone.client(1).await;
    client.plain_queue("mine").await;
    client.publish("", "mine", "kept", persistent()).await;
    alone.ctl(1, &["stop_app"], 0);
    alone
}

/// The broker runs again and has what it had.
async fn kept_its_data(alone: &Cluster, node: usize) {
    alone.ctl(node, &["start_app"], 0);
    until("the node serves", || alone.serves(node)).await;
    assert_eq!(alone.client(node).await.take("mine").await, ["kept"]);
}

#[tokio::test]
async fn a_cluster_without_a_majority_takes_nobody_who_keeps_his_data() {
    let mut cluster = Cluster::of(2).await;
    let alone = stopped_alone("rabbit@alone").await;
    cluster.kill9(2);
    let target = cluster.address(1);
    let said = alone.ctl(1, &["join_cluster", &target], 70);
    assert!(said.contains("majority"), "{said}");
    kept_its_data(&alone, 1).await;
    cluster.start(2);
    cluster.all_ready().await;
    alone.ctl(1, &["stop_app"], 0);
    alone.ctl(1, &["join_cluster", &target], 0);
    alone.ctl(1, &["start_app"], 0);
    has_members(&cluster, 2, &["rabbit@alone", "rabbit@n1", "rabbit@n2"]).await;
    until("the node serves", || alone.serves(1)).await;
    assert!(alone.queue(1, "mine").is_none(), "it is of the cluster that it joined");
}

#[tokio::test]
async fn who_has_the_name_of_a_member_that_runs_keeps_his_data() {
    let cluster = Cluster::of(2).await;
    let alone = stopped_alone("rabbit@n2").await;
    let said = alone.ctl(1, &["join_cluster", &cluster.address(1)], 70);
    assert!(said.contains("another node is called rabbit@n2"), "{said}");
    kept_its_data(&alone, 1).await;
    has_members(&cluster, 1, &["rabbit@n1", "rabbit@n2"]).await;
}

#[tokio::test]
async fn a_member_keeps_its_data_when_the_node_that_it_is_to_join_does_not_answer() {
    let mut cluster = Cluster::of(3).await;
    let client = cluster.client(2).await;
    client.plain_queue("mine").await;
    client.publish("", "mine", "kept", persistent()).await;
    cluster.ctl(2, &["stop_app"], 0);
    cluster.pause(1);
    cluster.ctl(2, &["join_cluster", &cluster.address(1)], 70);
    cluster.resume(1);
    kept_its_data(&cluster, 2).await;
}

#[tokio::test]
async fn every_node_tells_the_listeners_of_all() {
    let cluster = Cluster::of(3).await;
    let overview = cluster.http(1).get("/api/overview").json();
    let listeners = overview["listeners"].as_array().expect("a list").iter();
    let amqp = listeners.filter(|listener| listener["protocol"] == "amqp");
    let amqp: Vec<_> = amqp.map(|listener| listener["node"].clone()).collect();
    assert_eq!(amqp, ["rabbit@n1", "rabbit@n2", "rabbit@n3"]);
    let status = cluster.ctl(1, &["cluster_status"], 0);
    for node in cluster.all() {
        let address = cluster.amqp(node);
        let (host, _) = address.split_once(':').expect("HOST:PORT");
        let line = format!("Node: rabbit@n{node}, interface: {host}, port: 5672, protocol: amqp,");
        assert!(status.contains(&line), "{status}");
    }
    let status = cluster.ctl(2, &["cluster_status", "--formatter", "json"], 0);
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    for node in cluster.all() {
        let listeners = &status["listeners"][cluster.name(node)];
        assert_eq!(listeners.as_array().map(Vec::len), Some(4), "{status}");
    }
    // What is asked of one node is told of that.
    let said = cluster.ctl(1, &["listeners", "-q"], 0);
    assert_eq!(said.lines().count(), 4, "{said}");
}

#[tokio::test]
async fn a_node_with_another_name_is_the_member_that_it_was() {
    let mut cluster = Cluster::of(3).await;
    cluster.client(1).await.plain_queue("orders").await;
    cluster.stop(3);
    cluster.rename(3, "rabbit@renamed");
    cluster.start(3);
    let names = ["rabbit@n1", "rabbit@n2", "rabbit@renamed"].map(str::to_owned);
    for node in cluster.all() {
        until(&format!("node {node} knows the name"), || {
            cluster.running(node).is_some_and(|running| running == names)
        })
        .await;
    }
    let seen = cluster.client(3).await.look("orders").await;
    assert_eq!(seen.expect("what is declared"), (0, 0));
    // Nobody takes the name of another member.
    cluster.stop(3);
    cluster.rename(3, "rabbit@n1");
    cluster.start(3);
    until("node 3 serves", || cluster.serves(3)).await;
    has_members(&cluster, 1, &names.each_ref().map(String::as_str)).await;
}

#[tokio::test]
async fn a_node_without_its_data_takes_the_place_of_the_one_it_was() {
    let mut cluster = Cluster::of(3).await;
    cluster.client(2).await.plain_queue("lost").await;
    cluster.client(1).await.plain_queue("orders").await;
    cluster.kill9(2);
    cluster.wipe(2);
    cluster.start(2);
    cluster.all_ready().await;
    has_members(&cluster, 2, &["rabbit@n1", "rabbit@n2", "rabbit@n3"]).await;
    until("the queue is gone", || cluster.queue(2, "lost").is_none()).await;
    let seen = cluster.client(2).await.look("orders").await;
    assert_eq!(seen.expect("what is declared"), (0, 0));
}
