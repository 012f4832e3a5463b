//! Publisher confirms: everything published is answered once, by an ack or a nack.

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Confirmation};

use crate::support::*;

#[tokio::test]
async fn every_publish_of_a_burst_is_confirmed() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    let mut confirms = Vec::new();
    for number in 0..1000 {
        let body = format!("m{number}");
        let options = BasicPublishOptions::default();
        let properties = match number % 2 {
            0 => persistent(),
            _ => BasicProperties::default(),
        };
        let published = client.basic_publish("".into(), "orders".into(), options, body.as_bytes(), properties);
        confirms.push(published.await.expect("published"));
    }
    for confirm in confirms {
        assert_eq!(confirm.await.expect("a confirm"), Confirmation::Ack(None));
    }
    let expected: Vec<_> = (0..1000).map(|number| format!("m{number}")).collect();
    assert_eq!(client.take("orders").await, expected);
}

#[tokio::test]
async fn a_message_without_a_queue_is_confirmed() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let confirm = client.send("nowhere", "lost").await;
    assert_eq!(confirm, Confirmation::Ack(None));
}

#[tokio::test]
async fn a_full_queue_that_rejects_answers_with_a_nack() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let full = table([("x-max-length", number(2)), ("x-overflow", text("reject-publish"))]);
    client.queue("full", full).await;
    client.send_all("full", ["m1", "m2"]).await;
    assert_eq!(client.send("full", "m3").await, Confirmation::Nack(None));

    // There is room again once one is gone.
    let first = client.got("full").await;
    ack(&first).await;
    assert!(client.send("full", "m4").await.is_ack());
    assert_eq!(client.take("full").await, ["m2", "m4"]);
}

#[tokio::test]
async fn one_full_queue_of_several_makes_a_nack_and_the_others_keep_the_message() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let full = table([("x-max-length", number(1)), ("x-overflow", text("reject-publish"))]);
    client.queue("full", full).await;
    client.plain_queue("roomy").await;
    for queue in ["full", "roomy"] {
        client.bind(queue, "amq.fanout", "", table([])).await;
    }
    client.publish("amq.fanout", "", "m1", persistent()).await;
    let confirm = client.publish("amq.fanout", "", "m2", persistent()).await;
    assert_eq!(confirm, Confirmation::Nack(None));
    assert_eq!(client.take("full").await, ["m1"]);
    assert_eq!(client.take("roomy").await, ["m1", "m2"]);
}

#[tokio::test]
async fn publishing_to_a_missing_exchange_closes_the_channel() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let options = BasicPublishOptions::default();
    let published = client.basic_publish("missing".into(), "k".into(), options, b"", persistent());
    let refusal = refused(published.await.expect("published").await);
    let vhost = broker.vhost_name();
    assert_eq!(
        refusal,
        format!("404 NOT_FOUND - no exchange 'missing' in vhost '{vhost}'")
    );
}

#[tokio::test]
async fn a_channel_may_select_confirms_twice_but_not_transactions_after() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let select = ConfirmSelectOptions::default();
    client
        .confirm_select(select)
        .await
        .expect("confirm mode, which is on already");
    let expected = "406 PRECONDITION_FAILED - cannot switch from confirm to tx mode";
    assert_eq!(refused(client.tx_select().await), expected);
}
