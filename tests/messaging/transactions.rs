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

#[tokio::test]
async fn a_commit_of_which_a_queue_refuses_something_closes_the_channel() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let full = table([("x-max-length", number(1)), ("x-overflow", text("reject-publish"))]);
    client.queue("full", full).await;
    client.plain_queue("orders").await;
    let worker = client.another().await;
    worker.tx_select().await.expect("a transaction");
    worker.send("full", "m1").await;
    worker.send("full", "m2").await;
    worker.send("orders", "m3").await;
    assert_eq!(refused(worker.tx_commit().await), PARTIAL);
    // What was not refused has happened.
    assert_eq!(client.take("full").await, ["m1"]);
    assert_eq!(client.take("orders").await, ["m3"]);
}

/// What a commit hears that cannot be done as a whole.
const PARTIAL: &str = "406 PRECONDITION_FAILED - partial tx completion";

#[tokio::test]
async fn a_commit_to_a_classic_queue_that_was_deleted_is_refused() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    let worker = client.another().await;
    worker.tx_select().await.expect("a transaction");
    worker.publish("", "orders", "m1", persistent()).await;
    client
        .queue_delete("orders".into(), Default::default())
        .await
        .expect("deleted");
    assert_eq!(refused(worker.tx_commit().await), PARTIAL);
}

#[tokio::test]
async fn a_commit_to_a_quorum_queue_that_was_deleted_is_not() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.queue("orders", table([("x-queue-type", text("quorum"))])).await;
    let worker = client.another().await;
    worker.tx_select().await.expect("a transaction");
    worker.publish("", "orders", "m1", persistent()).await;
    client
        .queue_delete("orders".into(), Default::default())
        .await
        .expect("deleted");
    worker.tx_commit().await.expect("committed");
}

#[tokio::test]
async fn a_commit_with_acks_of_a_quorum_queue_is_answered() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.queue("orders", table([("x-queue-type", text("quorum"))])).await;
    client.send_all("orders", ["m1", "m2"]).await;
    let worker = client.another().await;
    worker.tx_select().await.expect("a transaction");
    let held = worker.got("orders").await;
    ack(&held).await;
    worker.send("orders", "m3").await;
    worker.tx_commit().await.expect("committed");
    assert_eq!(client.take("orders").await, ["m2", "m3"]);
}

#[tokio::test]
async fn a_commit_waits_for_exchanges_that_remember_or_hold_back() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    let kind = |name: &str| lapin::ExchangeKind::Custom(name.into());
    let later = table([("x-delayed-type", text("fanout"))]);
    client.exchange("later", kind("x-delayed-message"), later).await;
    client.exchange("recent", kind("x-recent-history"), table([])).await;
    for exchange in ["later", "recent"] {
        client.bind("orders", exchange, "", table([])).await;
    }
    let worker = client.another().await;
    worker.tx_select().await.expect("a transaction");
    let delay = table([("x-delay", number(1))]);
    worker
        .publish("later", "", "m1", persistent().with_headers(delay))
        .await;
    worker.publish("recent", "", "m2", persistent()).await;
    worker.tx_commit().await.expect("committed");
    let mut taken = client.wait_for("orders", 2).await;
    taken.sort();
    assert_eq!(taken, ["m1", "m2"]);
}
