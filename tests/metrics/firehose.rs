//! The firehose: copies of what goes in and out of a vhost while it is traced.

use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable};

use crate::support::{Broker, Client, Steps, ack, body, header, header_text, headers, next, number, story, written};

/// Traces the vhost or ends it.
fn trace(broker: &Broker, on: bool) {
    let path = format!("/api/vhosts/{}", broker.vhost());
    broker
        .http()
        .put(&path, &format!("{{\"tracing\":{on}}}"))
        .expect_status(204);
    assert_eq!(broker.http().get(&path).json()["tracing"], on);
}

/// A queue that gets all copies, and its consumer.
async fn tap(client: &Client) -> lapin::Consumer {
    client.plain_queue("tap").await;
    client
        .bind("tap", "amq.rabbitmq.trace", "#", FieldTable::default())
        .await;
    client.consume_unacked("tap").await
}

fn field(copy: &Delivery, name: &str) -> String {
    header(copy, name).map(written).unwrap_or_else(|| format!("no {name}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_in_and_out_is_copied_while_a_vhost_is_traced() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("a").await;
    client.send("a", "before").await;
    let mut copies = tap(&client).await;
    trace(&broker, true);
    client.publish("", "a", "one", headers([("x", number(1))])).await;
    let copy = next(&mut copies).await;
    assert_eq!(
        (copy.exchange.as_str(), copy.routing_key.as_str()),
        ("amq.rabbitmq.trace", "publish.")
    );
    assert_eq!(body(&copy), "one");
    assert_eq!(header_text(&copy, "exchange_name").as_deref(), Some(""));
    assert_eq!(header_text(&copy, "user").as_deref(), Some("guest"));
    assert_eq!(header_text(&copy, "vhost").as_deref(), Some(broker.vhost_name()));
    assert!(header_text(&copy, "node").is_some_and(|node| node.contains('@')));
    assert!(header_text(&copy, "connection").is_some_and(|name| name.contains(" -> ")));
    assert_eq!(header(&copy, "channel"), Some(&AMQPValue::LongInt(1)));
    assert!(
        field(&copy, "routing_keys").contains('a'),
        "{}",
        field(&copy, "routing_keys")
    );
    assert!(
        field(&copy, "routed_queues").contains('a'),
        "{}",
        field(&copy, "routed_queues")
    );
    let Some(AMQPValue::FieldTable(properties)) = header(&copy, "properties") else {
        panic!("no properties: {}", story(&copy));
    };
    assert!(properties.contains_key("headers"));
    let mut consumer = client.consume("a").await;
    for expected in ["before", "one"] {
        ack(&next(&mut consumer).await).await;
        let copy = next(&mut copies).await;
        assert_eq!(
            (copy.routing_key.as_str(), body(&copy).as_str()),
            ("deliver.a", expected)
        );
        assert_eq!(header(&copy, "redelivered"), Some(&AMQPValue::LongInt(0)));
    }
    trace(&broker, false);
    client.send("a", "after").await;
    ack(&next(&mut consumer).await).await;
    client.quiet(&mut copies).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_fetched_or_goes_nowhere_is_copied_too() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("a").await;
    let mut copies = tap(&client).await;
    trace(&broker, true);
    client
        .publish("amq.direct", "nowhere", "lost", Default::default())
        .await;
    client
        .publish(
            "amq.topic",
            "k",
            "copied",
            headers([("CC", crate::support::texts(&["other"]))]),
        )
        .await;
    client.send("a", "got").await;
    client.got("a").await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        let copy = next(&mut copies).await;
        seen.push(format!(
            "{} {} {}",
            copy.routing_key,
            body(&copy),
            field(&copy, "routing_keys")
        ));
    }
    trace(&broker, false);
    assert!(seen[0].starts_with("publish.amq.direct lost"), "{seen:?}");
    assert!(
        seen[1].starts_with("publish.amq.topic copied") && seen[1].contains("other"),
        "{seen:?}"
    );
    assert!(seen[2].starts_with("publish. got"), "{seen:?}");
    assert!(seen[3].starts_with("deliver.a got"), "{seen:?}");
}
