//! What a client did at one node holds at once for a client of another: the word of the first node was
//! that it is done.

use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::{Connection, ConnectionProperties};

use crate::support::*;

/// Often enough that a node which has yet to hear something is met.
const ROUNDS: usize = 20;

/// What a client of a node hears when it asks for a queue that has to be there: code and text if not.
async fn looked_for(cluster: &Cluster, node: usize, queue: &str) -> Result<u32, String> {
    let client = cluster.client(node).await;
    let passive = QueueDeclareOptions {
        passive: true,
        ..Default::default()
    };
    let found = client.queue_declare(queue.into(), passive, table([])).await;
    match found {
        Ok(queue) => Ok(queue.consumer_count()),
        error => Err(refused(error)),
    }
}

#[tokio::test]
async fn a_queue_that_was_declared_at_one_node_is_deleted_at_another() {
    let cluster = Cluster::of(3).await;
    let (declaring, deleting) = (cluster.client(2).await, cluster.client(3).await);
    for round in 0..ROUNDS {
        let queue = format!("short-lived-{round}");
        declaring.plain_queue(&queue).await;
        let deleted = deleting.queue_delete(queue.as_str().into(), QueueDeleteOptions::default());
        deleted.await.expect("no more than that");
        let found = looked_for(&cluster, 2, &queue).await;
        assert!(
            found.is_err_and(|error| error.starts_with("404")),
            "{queue} is still there"
        );
    }
}

#[tokio::test]
async fn a_queue_that_was_declared_at_one_node_gets_what_is_published_at_another() {
    let cluster = Cluster::of(3).await;
    let mut clients = Vec::new();
    for node in cluster.all() {
        clients.push(cluster.client(node).await);
    }
    for round in 0..ROUNDS {
        for (declaring, client) in clients.iter().enumerate() {
            let queue = format!("new-{declaring}-{round}");
            client.plain_queue(&queue).await;
            for publisher in &clients {
                assert!(publisher.publish("", &queue, "news", persistent()).await.is_ack());
            }
            assert_eq!(client.ready(&queue).await, 3, "{queue}");
        }
    }
}

#[tokio::test]
async fn an_exclusive_queue_is_gone_for_all_nodes_with_its_connection() {
    let cluster = Cluster::of(3).await;
    let exclusive = QueueDeclareOptions {
        exclusive: true,
        ..Default::default()
    };
    for _ in 0..ROUNDS {
        let owner = cluster.client(2).await;
        let declared = owner.queue_declare("mine".into(), exclusive, table([])).await;
        declared.expect("nobody has it any more");
        let locked = looked_for(&cluster, 3, "mine").await;
        assert!(locked.is_err_and(|error| error.starts_with("405")));
        let closed = owner.connection.close(200, "done".into()).await;
        closed.expect("closed");
        let gone = looked_for(&cluster, 3, "mine").await;
        assert!(gone.is_err_and(|error| error.starts_with("404")));
    }
}

#[tokio::test]
async fn limits_of_clients_hold_for_all_nodes_together() {
    let cluster = Cluster::of(3).await;
    let there = cluster.client(1).await;
    let limit = |what: &str, value: u32| {
        let body = format!(r#"{{"value":{value}}}"#);
        cluster.http(2).put(what, &body).expect_status(204);
    };
    let connect = async || {
        let connected = Connection::connect(&cluster.uri(2), ConnectionProperties::default()).await;
        connected.map(|connection| (connection.status().connected(), connection))
    };

    for (what, text) in [
        (
            "/api/vhost-limits/%2F/max-connections",
            "connection limit (1) is reached",
        ),
        (
            "/api/user-limits/guest/max-connections",
            "user connection limit (1) is reached",
        ),
    ] {
        limit(what, 1);
        let refusal = refused(connect().await.map(|(connected, _)| connected));
        assert!(refusal.starts_with("530") && refusal.ends_with(text), "{refusal}");
        limit(what, 2);
        connect().await.expect("one of two");
        cluster.http(2).delete(what).expect_status(204);
    }

    limit("/api/user-limits/guest/max-channels", 1);
    let (_, connection) = connect().await.expect("it has no channel");
    let refusal = refused(connection.create_channel().await.map(|channel| channel.id()));
    assert!(refusal.starts_with("530"), "{refusal}");
    there.connection.close(200, "done".into()).await.expect("closed");
    let (_, connection) = connect().await.expect("it has no channel");
    connection.create_channel().await.expect("the only channel");
}

#[tokio::test]
async fn whether_somebody_waits_for_an_answer_is_known_at_every_node() {
    let cluster = Cluster::of(3).await;
    cluster.client(1).await.plain_queue("questions").await;
    let asker = cluster.client(2).await;
    let _replies = asker.consume_unacked("amq.rabbitmq.reply-to").await;
    let properties = Properties::default().with_reply_to("amq.rabbitmq.reply-to".into());
    assert!(asker.publish("", "questions", "who?", properties).await.is_ack());
    let client = cluster.client(3).await;
    let question = next(&mut client.consume("questions").await).await;
    let name = question.properties.reply_to().as_ref().expect("a place for the answer");

    assert_eq!(looked_for(&cluster, 3, name.as_str()).await, Ok(1));
    asker.connection.close(200, "done".into()).await.expect("closed");
    let gone = looked_for(&cluster, 3, name.as_str()).await;
    assert!(gone.is_err_and(|error| error.starts_with("404")));
}
