//! What is declared survives: exchanges, queues, bindings, vhosts, users, permissions, policies.

use lapin::ExchangeKind;
use lapin::options::{ExchangeBindOptions, ExchangeDeclareOptions, QueueDeclareOptions};

use crate::support::*;

#[tokio::test]
async fn durable_things_are_there_the_moment_they_were_declared() {
    let mut broker = Broker::start();
    let client = broker.client().await;
    client.exchange("outer", ExchangeKind::Topic, table([])).await;
    client.exchange("spare", ExchangeKind::Fanout, table([])).await;
    let inner = table([("alternate-exchange", text("spare"))]);
    client.exchange("inner", ExchangeKind::Direct, inner).await;
    client.queue("orders", table([("x-max-length", number(5))])).await;
    client.plain_queue("rest").await;
    client.bind("orders", "inner", "paid", table([])).await;
    client.bind("rest", "spare", "", table([])).await;
    let options = ExchangeBindOptions::default();
    let bound = client.exchange_bind("inner".into(), "outer".into(), "#".into(), options, table([]));
    bound.await.expect("a binding");
    broker.kill9();
    broker.restart();

    let client = broker.client().await;
    client.publish("outer", "paid", "m1", persistent()).await;
    client.publish("outer", "other", "m2", persistent()).await;
    assert_eq!(client.take("orders").await, ["m1"]);
    assert_eq!(client.take("rest").await, ["m2"], "by the alternate exchange");
    // The same arguments are the same queue, others are not.
    client.queue("orders", table([("x-max-length", number(5))])).await;
    let other = table([("x-max-length", number(6))]);
    let again = client.queue_declare("orders".into(), QueueDeclareOptions::durable(), other);
    assert!(refused(again.await).starts_with("406"));
}

#[tokio::test]
async fn transient_and_deleted_things_are_gone() {
    let mut broker = Broker::start();
    let mut client = broker.client().await;
    let transient = ExchangeDeclareOptions::default();
    let declared = client.exchange_declare("brief".into(), ExchangeKind::Fanout, transient, table([]));
    declared.await.expect("an exchange");
    let options = QueueDeclareOptions::default();
    client
        .queue_declare("brief".into(), options, table([]))
        .await
        .expect("a queue");
    let exclusive = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::exclusive()
    };
    client
        .queue_declare("mine".into(), exclusive, table([]))
        .await
        .expect("a queue");
    client.plain_queue("deleted").await;
    client.plain_queue("kept").await;
    client.bind("kept", "amq.direct", "unbound", table([])).await;
    client
        .queue_delete("deleted".into(), Default::default())
        .await
        .expect("deleted");
    let unbound = client.queue_unbind("kept".into(), "amq.direct".into(), "unbound".into(), table([]));
    unbound.await.expect("unbound");
    broker.kill9();
    broker.restart();

    client = broker.client().await;
    for queue in ["brief", "mine", "deleted"] {
        assert!(refused(client.look(queue).await).starts_with("404"), "{queue}");
        client.again().await;
    }
    let confirm = client
        .publish_mandatory("amq.direct", "unbound", "m1", persistent())
        .await;
    assert!(confirm.take_message().is_some(), "the binding is gone");
    let published = client.basic_publish("brief".into(), "".into(), Default::default(), b"", persistent());
    assert!(refused(published.await.expect("published").await).starts_with("404"));
}

#[tokio::test]
async fn bindings_of_a_transient_queue_leave_nothing_behind() {
    let mut broker = Broker::start();
    let client = broker.client().await;
    client.exchange("orders", ExchangeKind::Fanout, table([])).await;
    let options = QueueDeclareOptions::default();
    client
        .queue_declare("brief".into(), options, table([]))
        .await
        .expect("a queue");
    client.bind("brief", "orders", "", table([])).await;
    broker.kill9();
    broker.restart();
    let client = broker.client().await;
    let confirm = client.publish_mandatory("orders", "", "m1", persistent()).await;
    assert!(confirm.take_message().is_some());
}

#[tokio::test]
async fn what_the_http_api_made_survives() {
    let mut broker = Broker::start();
    let http = broker.http();
    http.put("/api/vhosts/shop", "{}").expect_status(201);
    http.put("/api/users/anna", r#"{"password":"secret","tags":"monitoring"}"#)
        .expect_status(201);
    let rights = r#"{"configure":"^a","write":".*","read":".*"}"#;
    http.put("/api/permissions/shop/anna", rights).expect_status(201);
    let policy = r#"{"pattern":"^short$","definition":{"max-length":2},"priority":1,"apply-to":"queues"}"#;
    http.put("/api/policies/%2f/short", policy).expect_status(201);
    broker.kill9();
    broker.restart();

    let http = broker.http();
    assert_eq!(http.get("/api/users/anna").json()["tags"][0], "monitoring");
    assert_eq!(http.get("/api/permissions/shop/anna").json()["configure"], "^a");
    assert_eq!(
        http.get("/api/policies/%2f/short").json()["definition"]["max-length"],
        2
    );
    let uri = format!("amqp://anna:secret@{}/shop", broker.amqp);
    let anna = Client::new(broker.try_connect(&uri).await.expect("anna may log in")).await;
    anna.plain_queue("allowed").await;
    let refusal = anna.queue_declare("no".into(), QueueDeclareOptions::durable(), table([]));
    assert!(refused(refusal.await).starts_with("403"));

    let client = broker.client().await;
    client.plain_queue("short").await;
    client.send_all("short", ["m1", "m2", "m3"]).await;
    assert_eq!(client.take("short").await, ["m2", "m3"], "the policy applies");
}

#[tokio::test]
async fn hundreds_of_queues_survive() {
    let mut broker = Broker::start();
    let client = broker.client().await;
    for number in 0..300 {
        client.plain_queue(&format!("queue-{number}")).await;
    }
    broker.kill9();
    broker.restart();
    let client = broker.client().await;
    for number in 0..300 {
        assert_eq!(client.ready(&format!("queue-{number}")).await, 0);
    }
}
