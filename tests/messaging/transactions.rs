//! Transactions: publishes and acks that wait for the commit.

use crate::support::*;

#[tokio::test]
async fn published_messages_appear_with_the_commit() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    let worker = client.another().await;
    worker.tx_select().await.expect("a transaction");
    worker.send("orders", "m1").await;
    worker.send("orders", "m2").await;
    assert_eq!(worker.ready("orders").await, 0);
    worker.tx_commit().await.expect("committed");
    assert_eq!(client.take("orders").await, ["m1", "m2"]);
}

#[tokio::test]
async fn a_rollback_forgets_publishes_and_acks() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    client.send_all("orders", ["m1"]).await;
    let worker = client.another().await;
    worker.tx_select().await.expect("a transaction");
    worker.send("orders", "m2").await;
    let held = worker.got("orders").await;
    ack(&held).await;
    worker.tx_rollback().await.expect("rolled back");
    // The message is outstanding as before: it can be acked, and comes back when the channel ends.
    worker.close(200, "done".into()).await.expect("closed");
    assert_eq!(client.wait_for("orders", 1).await, ["m1 (redelivered)"]);
}

#[tokio::test]
async fn acks_count_with_the_commit() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    client.send_all("orders", ["m1", "m2"]).await;
    let worker = client.another().await;
    worker.tx_select().await.expect("a transaction");
    let held = worker.got("orders").await;
    ack(&held).await;
    worker.tx_commit().await.expect("committed");
    let held = worker.got("orders").await;
    ack(&held).await;
    worker.close(200, "done".into()).await.expect("closed");
    assert_eq!(
        client.wait_for("orders", 1).await,
        ["m2 (redelivered)"],
        "the second ack was not committed"
    );
}

#[tokio::test]
async fn commit_and_rollback_need_a_transaction() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let expected = "406 PRECONDITION_FAILED - channel is not transactional";
    assert_eq!(refused(client.another().await.tx_commit().await), expected);
    assert_eq!(refused(client.another().await.tx_rollback().await), expected);
    let worker = client.another().await;
    worker.tx_select().await.expect("a transaction");
    worker.tx_select().await.expect("the same transaction");
    let confirms = worker.confirm_select(Default::default()).await;
    assert_eq!(
        refused(confirms),
        "406 PRECONDITION_FAILED - cannot switch from tx to confirm mode"
    );
}
