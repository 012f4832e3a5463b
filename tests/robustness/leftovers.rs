//! What stays behind when a connection or the node ends.

use std::time::Instant;

use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};

use crate::support::*;

#[tokio::test]
async fn an_exclusive_queue_goes_with_its_connection_though_a_delete_was_refused() {
    let broker = Broker::shared();
    let mut client = broker.client().await;
    let other = broker.client().await;
    let exclusive = QueueDeclareOptions {
        exclusive: true,
        ..QueueDeclareOptions::default()
    };
    client
        .queue_declare("mine".into(), exclusive, table([]))
        .await
        .expect("a queue");
    client.send("mine", "m1").await;
    let if_empty = QueueDeleteOptions {
        if_empty: true,
        ..QueueDeleteOptions::default()
    };
    let refusal = refused(client.queue_delete("mine".into(), if_empty).await);
    let vhost = broker.vhost_name();
    assert_eq!(
        refusal,
        format!("406 PRECONDITION_FAILED - queue 'mine' in vhost '{vhost}' not empty")
    );
    client.again().await;
    assert_eq!(client.ready("mine").await, 1, "it is still there");
    client.connection.close(200, "done".into()).await.expect("closed");
    let end = Instant::now() + PATIENCE;
    loop {
        let refusal = refused(other.another().await.look("mine").await);
        if refusal.starts_with("404") {
            break;
        }
        assert!(Instant::now() < end, "still there: {refusal}");
    }
}

#[tokio::test]
async fn an_orderly_stop_flags_only_what_was_delivered() {
    let mut broker = Broker::start();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    for body in ["m1", "m2", "m3"] {
        client.publish("", "orders", body, persistent()).await;
    }
    assert_eq!(story(&client.got("orders").await.delivery), "m1");
    let status = broker.stop();
    assert!(status.success(), "{status}");
    broker.restart();
    let client = broker.client().await;
    assert_eq!(client.take("orders").await, ["m1 (redelivered)", "m2", "m3"]);
}
