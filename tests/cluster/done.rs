//! Nothing is called done before it is: without a majority whoever hands something to a replicated
//! queue waits, and hears of it when there is one again.

use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use crate::support::disk::BreakingDisk;
use crate::support::*;

/// How long nothing may be said. What is said too early is said at once.
const PAUSE: Duration = Duration::from_secs(1);

/// Three nodes with a quorum queue, the one that leads it, and a client of that node.
async fn with_queue() -> (Cluster, usize, Client) {
    let cluster = Cluster::of(3).await;
    let client = cluster.client(1).await;
    client.queue("orders", table([("x-queue-type", text("quorum"))])).await;
    let leader = cluster.leader(1, "orders", &cluster.all()).await;
    let client = cluster.client(leader).await;
    assert!(client.publish("", "orders", "first", persistent()).await.is_ack());
    (cluster, leader, client)
}

/// Takes the majority away, or gives it back.
fn pause_others(cluster: &mut Cluster, leader: usize) {
    for other in cluster.others(leader) {
        cluster.pause(other);
    }
}

fn resume_others(cluster: &mut Cluster, leader: usize) {
    for other in cluster.others(leader) {
        cluster.resume(other);
    }
}

#[tokio::test]
async fn a_commit_waits_for_a_majority() {
    let (mut cluster, leader, client) = with_queue().await;
    let (publisher, settler, idle) = (client.another().await, client.another().await, client.another().await);
    for channel in [&publisher, &settler] {
        channel.tx_select().await.expect("a transaction");
    }
    let held = settler.got("orders").await;
    ack(&held).await;
    pause_others(&mut cluster, leader);
    publisher.send("orders", "second").await;
    let mut published = Box::pin(publisher.tx_commit());
    let mut settled = Box::pin(settler.tx_commit());
    assert!(
        timeout(PAUSE, &mut published).await.is_err(),
        "the message is nowhere else"
    );
    assert!(timeout(PAUSE, &mut settled).await.is_err(), "the ack is nowhere else");
    // The rest of the connection goes on.
    idle.basic_qos(1, Default::default()).await.expect("answered meanwhile");
    resume_others(&mut cluster, leader);
    published.await.expect("committed");
    settled.await.expect("committed");
    let reader = cluster.client(leader).await;
    assert_eq!(reader.take("orders").await, ["second"]);
}

#[tokio::test]
async fn a_commit_waits_for_the_disk_of_the_node_that_the_queue_is_on() {
    let disk = BreakingDisk::whole();
    let mut places = loopback(2);
    places[0].through = disk.through();
    let cluster = Cluster::at(places).await;
    let home = cluster.client(1).await;
    home.plain_queue("orders").await;
    let transient = home.queue_declare("passing".into(), Default::default(), Default::default());
    transient.await.expect("a queue");
    home.send_all("passing", ["first"]).await;
    for body in ["first", "second", "third", "fourth"] {
        assert!(home.publish("", "orders", body, persistent()).await.is_ack());
    }
    let client = cluster.client(2).await;
    let (settler, passer) = (client.another().await, client.another().await);
    for channel in [&settler, &passer] {
        channel.tx_select().await.expect("a transaction");
    }
    let (held, passing) = (settler.got("orders").await, passer.got("passing").await);
    ack(&held).await;
    ack(&passing).await;

    disk.hold_syncs();
    let mut settled = Box::pin(settler.tx_commit());
    assert!(timeout(PAUSE, &mut settled).await.is_err(), "the ack is on no disk");
    // What does not wait for the disk goes on, and answers nothing before its time.
    let held = client.got("orders").await;
    ack(&held).await;
    assert_eq!(client.ready("orders").await, 2);
    assert!(timeout(PAUSE, &mut settled).await.is_err(), "the ack is on no disk");
    let passed = timeout(PAUSE, passer.tx_commit()).await;
    passed.expect("there is nothing to wait for").expect("committed");
    disk.heal();
    settled.await.expect("committed");

    // Each is answered, whatever was settled before.
    for left in [1, 0] {
        let held = settler.got("orders").await;
        ack(&held).await;
        settler.tx_commit().await.expect("committed");
        assert_eq!(client.ready("orders").await, left);
    }
}

#[tokio::test]
async fn a_channel_takes_nothing_while_its_commit_is_on_its_way() {
    let (mut cluster, leader, _client) = with_queue().await;
    let mut raw = Raw::open(&cluster.amqp(leader), "/", 0);
    raw.method(1, (20, 10), &[0]);
    raw.expect(20, 11);
    raw.method(1, (90, 10), &[]);
    raw.expect(90, 11);
    pause_others(&mut cluster, leader);
    let publish = [&[0, 0][..], &short(""), &short("orders"), &[0]].concat();
    raw.method(1, (60, 40), &publish);
    raw.frame(2, 1, &[&[0, 60, 0, 0][..], &0u64.to_be_bytes(), &[0, 0]].concat());
    raw.method(1, (90, 20), &[]);
    raw.method(1, (60, 10), &[0; 7]);
    let closed = raw.expect(10, 50);
    let said = String::from_utf8_lossy(&closed.payload).into_owned();
    assert!(
        said.contains("CHANNEL_ERROR - unexpected command while processing 'tx.commit'"),
        "{said}"
    );
    resume_others(&mut cluster, leader);
}

#[tokio::test]
async fn a_publish_over_http_waits_for_a_majority() {
    let (mut cluster, leader, _client) = with_queue().await;
    pause_others(&mut cluster, leader);
    let http = cluster.http(leader);
    let body = json!({"properties": {}, "routing_key": "orders", "payload": "second", "payload_encoding": "string"});
    let mut publish =
        tokio::task::spawn_blocking(move || http.post("/api/exchanges/%2f/amq.default/publish", &body.to_string()));
    assert!(
        timeout(PAUSE, &mut publish).await.is_err(),
        "the message is nowhere else"
    );
    resume_others(&mut cluster, leader);
    let answer = publish.await.expect("an answer");
    assert_eq!(answer.expect_status(200).json(), json!({"routed": true}));
    let reader = cluster.client(leader).await;
    assert_eq!(reader.take("orders").await, ["first", "second"]);
}
