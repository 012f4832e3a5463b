//! Streams on three nodes: written and read from any of them, and nothing lost or twice when the leader goes.

use std::net::TcpStream;
use std::path::{Path, PathBuf};

use futures_lite::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::AMQPValue;
use lapin::{BasicProperties, Consumer};
use tokio::time::timeout;
use warren::stream_protocol::codec::{Command, Request, StartAt};

use crate::support::stream::Stream;
use crate::support::*;

async fn reader(cluster: &Cluster, node: usize, stream: &str) -> (Client, Consumer) {
    let client = cluster.client(node).await;
    client
        .basic_qos(200, BasicQosOptions::default())
        .await
        .expect("a prefetch");
    let first = table([("x-stream-offset", text("first"))]);
    let options = BasicConsumeOptions::default();
    let consumer = client.basic_consume(stream.into(), "".into(), options, first).await;
    (client, consumer.expect("a consumer"))
}

/// The next messages, whose offsets have no holes: their bodies.
async fn read(consumer: &mut Consumer, from: usize, count: usize) -> Vec<String> {
    let mut read = Vec::new();
    for offset in from..from + count {
        let next = timeout(CLUSTER_PATIENCE, consumer.next()).await.expect("in time");
        let delivery = next.expect("a consumer that lives").expect("a delivery");
        let headers = delivery.properties.headers().as_ref().expect("headers");
        let told = headers.inner().get("x-stream-offset");
        assert_eq!(told, Some(&AMQPValue::LongLongInt(offset as i64)));
        assert!(!delivery.redelivered);
        read.push(String::from_utf8_lossy(&delivery.data).into_owned());
        delivery.ack(BasicAckOptions::default()).await.expect("acknowledged");
    }
    read
}

fn numbered(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("m{number}")).collect()
}

async fn publish(client: &Client, stream: &str, numbers: std::ops::Range<usize>) {
    let mut confirms = Vec::new();
    for body in numbered(numbers) {
        let options = Default::default();
        let properties = BasicProperties::default();
        let published = client.basic_publish("".into(), stream.into(), options, body.as_bytes(), properties);
        confirms.push(published.await.expect("published"));
    }
    for confirm in confirms {
        assert!(
            timeout(CLUSTER_PATIENCE, confirm)
                .await
                .expect("in time")
                .expect("a confirm")
                .is_ack()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_writes_and_reads_a_stream_also_without_a_member() {
    let cluster = Cluster::of(3).await;
    let alone = table([("x-queue-type", text("stream")), ("x-initial-cluster-size", number(1))]);
    cluster.client(1).await.queue("alone", alone).await;
    cluster
        .client(1)
        .await
        .queue("log", table([("x-queue-type", text("stream"))]))
        .await;
    for stream in ["alone", "log"] {
        for node in cluster.all() {
            let client = cluster.client(node).await;
            publish(&client, stream, 100 * (node - 1)..100 * node).await;
        }
        for node in cluster.all() {
            let (_client, mut consumer) = reader(&cluster, node, stream).await;
            assert_eq!(read(&mut consumer, 0, 300).await, numbered(0..300));
            // An operator looks at it without a consumer.
            let http = cluster.http(node);
            let seen = http.get(&format!("/api/queues/%2f/{stream}/messages?from=298")).json();
            let bodies = seen["messages"].as_array().cloned().unwrap_or_default();
            let bodies: Vec<_> = bodies.iter().map(|message| message["body"].as_str()).collect();
            assert_eq!(bodies, [Some("m298"), Some("m299")], "{seen}");
            let health = http.get(&format!("/api/queues/%2f/{stream}/health")).json();
            assert_eq!(health["health"], "ok", "{health}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_of_a_stream_is_killed_and_nothing_is_lost_or_twice() {
    let mut cluster = Cluster::of(3).await;
    cluster
        .client(1)
        .await
        .queue("log", table([("x-queue-type", text("stream"))]))
        .await;
    let leader = cluster.leader(1, "log", &cluster.all()).await;
    let others = cluster.others(leader);
    let writer = cluster.client(others[0]).await;
    let (_client, mut consumer) = reader(&cluster, others[1], "log").await;
    publish(&writer, "log", 0..200).await;
    // What is on its way when the leader goes is written once.
    let mut confirms = Vec::new();
    for number in 200..400 {
        if number == 300 {
            cluster.kill9(leader);
        }
        let body = format!("m{number}");
        let options = Default::default();
        let properties = BasicProperties::default();
        let published = writer.basic_publish("".into(), "log".into(), options, body.as_bytes(), properties);
        confirms.push(published.await.expect("published"));
    }
    for confirm in confirms {
        assert!(
            timeout(CLUSTER_PATIENCE, confirm)
                .await
                .expect("in time")
                .expect("a confirm")
                .is_ack()
        );
    }
    publish(&writer, "log", 400..500).await;
    assert_eq!(read(&mut consumer, 0, 500).await, numbered(0..500));
    // It comes back, and has what it missed.
    cluster.start(leader);
    cluster.all_ready().await;
    let (_client, mut consumer) = reader(&cluster, leader, "log").await;
    assert_eq!(read(&mut consumer, 0, 500).await, numbered(0..500));
}

/// A client of the stream protocol at a node.
fn streaming(cluster: &Cluster, node: usize) -> Stream {
    let amqp = cluster.amqp(node);
    let host = amqp.rsplit_once(':').expect("host and port").0;
    let socket = TcpStream::connect((host, 5552)).expect("a connection");
    socket.set_read_timeout(Some(CLUSTER_PATIENCE)).expect("a timeout");
    let mut client = Stream::over(socket);
    client.shake_hands("guest", "guest");
    client
}

/// The node that leads a stream, as another says.
fn writer(cluster: &Cluster, asked: usize, stream: &str) -> Option<usize> {
    let path = format!("/api/stream/%2F/{stream}/status");
    let members = cluster.http(asked).get(&path).json();
    let mut members = members.as_array()?.iter();
    let writer = members.find(|member| member["role"] == "writer")?;
    cluster
        .all()
        .into_iter()
        .find(|node| writer["node"] == cluster.name(*node))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_the_stream_protocol_are_seen_from_any_node_and_outlive_its_leader() {
    let mut cluster = Cluster::of(3).await;
    streaming(&cluster, 1).create("s");
    let mut leader = None;
    until("the stream is led", || {
        leader = writer(&cluster, 1, "s");
        leader.is_some()
    })
    .await;
    let first = leader.expect("a leader");
    let other = cluster.others(first)[0];
    let mut publisher = streaming(&cluster, first);
    publisher.declare("me", "s");
    publisher.publish(&(0..500).collect::<Vec<_>>());
    let mut reader = streaming(&cluster, other);
    reader.subscribe("s", StartAt::First, &[("name", "app")]);
    assert_eq!(reader.read(500).len(), 500);
    // Stored over the node of the reader, which does not lead.
    reader.send(&Command::StoreOffset {
        reference: b"app",
        stream: b"s",
        offset: 99,
    });
    for node in cluster.all() {
        let http = cluster.http(node);
        let publishers = http.get("/api/stream/publishers/%2F/s").json();
        assert_eq!(
            (&publishers[0]["published"], &publishers[0]["reference"]),
            (&500.into(), &"me".into())
        );
        assert_eq!(
            publishers[0]["connection_details"]["node"],
            cluster.name(first),
            "asked of {node}"
        );
        until("the group is seen", || {
            let group = http.get("/api/stream/groups/%2F/app").json();
            group["partitions"][0]["stored_offset"] == 99 && group["members"] == 1 && group["lag"] == 400
        })
        .await;
        assert_eq!(
            http.get("/api/queues/%2F/s").json()["consumer_details"][0]["consumer_tag"],
            "stream.subid-1"
        );
    }
    drop(reader);
    let forced = r#"{"offset": 199, "force": true}"#;
    let reset = cluster.http(other).post("/api/stream/groups/%2F/app/reset", forced);
    assert_eq!(reset.expect_status(200).json()[0]["stored_offset"], 199);
    cluster.kill9(first);
    let mut leader = None;
    until("another leads", || {
        leader = writer(&cluster, other, "s").filter(|node| *node != first);
        leader.is_some()
    })
    .await;
    let second = leader.expect("a leader");
    let mut publisher = streaming(&cluster, second);
    publisher.declare("me", "s");
    // The last of those before come again, and are written once.
    publisher.publish(&(490..600).collect::<Vec<_>>());
    for node in cluster.others(first) {
        let mut reader = streaming(&cluster, node);
        reader.subscribe("s", StartAt::First, &[]);
        let expected: Vec<_> = (0..600).map(|number| (number, format!("m{number}"))).collect();
        assert_eq!(reader.read(600), expected);
        let stored = reader.ask(Request::QueryOffset {
            reference: b"app",
            stream: b"s",
        });
        assert_eq!(stored.body[6..], 199_u64.to_be_bytes());
    }
}

/// The segment files in a directory, in their order.
fn segment_files(directory: &Path) -> Vec<PathBuf> {
    let listed = std::fs::read_dir(directory).into_iter().flatten();
    let paths = listed.map(|file| file.expect("a file").path());
    let mut segments: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "segment"))
        .collect();
    segments.sort();
    segments
}

#[tokio::test]
async fn a_member_whose_segment_file_is_damaged_is_filled_from_the_others() {
    let mut cluster = Cluster::of(3).await;
    let client = cluster.client(1).await;
    client.queue("log", table([("x-queue-type", text("stream"))])).await;
    let body = |number: usize| format!("m{number}{}", "x".repeat(1_000_000));
    for number in 0..24 {
        let sent = timeout(CLUSTER_PATIENCE, client.send("log", &body(number))).await;
        assert!(sent.expect("in time").is_ack());
    }
    let directory = cluster.data_dir(2).join("streams");
    until("old chunks are in files", || !segment_files(&directory).is_empty()).await;
    let damaged = segment_files(&directory).remove(0);
    cluster.kill9(2);
    let mut bytes = std::fs::read(&damaged).expect("a segment");
    bytes[500_000] ^= 4;
    std::fs::write(&damaged, bytes).expect("ours");
    cluster.start(2);
    cluster.all_ready().await;
    // What the member here cannot read comes from another, and later from here again.
    let (_client, mut consumer) = reader(&cluster, 2, "log").await;
    let bodies: Vec<String> = (0..24).map(body).collect();
    assert!(read(&mut consumer, 0, 24).await == bodies);
    until("the damaged member is gone", || !damaged.exists()).await;
    let (_client, mut consumer) = reader(&cluster, 2, "log").await;
    assert!(read(&mut consumer, 0, 24).await == bodies);
}
