//! Exchanges that hold messages back: every publish is answered.

use lapin::ExchangeKind;
use lapin::types::{AMQPValue, DecimalValue};

use super::frames::{all_acked, confirming, delayed, method, publish_with};
use crate::support::*;

const MANY: usize = 400;

async fn with_exchange(broker: &Broker) -> Client {
    let client = broker.client().await;
    let kind = ExchangeKind::Custom("x-delayed-message".into());
    client
        .exchange("later", kind, table([("x-delayed-type", text("fanout"))]))
        .await;
    client
}

fn burst() -> Vec<u8> {
    publish_with("later", "", &delayed(3_600_000), b"m").repeat(MANY)
}

#[tokio::test]
async fn confirms_that_come_while_others_are_still_read_are_not_lost() {
    let broker = Broker::start();
    let _client = with_exchange(&broker).await;
    let mut raw = confirming(&broker);
    raw.send(&burst());
    assert_eq!(all_acked(&mut raw, MANY), []);
}

#[tokio::test]
async fn who_waits_for_a_confirm_hears_of_it_though_the_exchange_is_deleted() {
    let broker = Broker::start();
    let _client = with_exchange(&broker).await;
    let mut raw = confirming(&broker);
    let delete = [&[0, 0][..], &short("later"), &[0]].concat();
    raw.send(&[burst(), method(1, (40, 20), &delete)].concat());
    let others = all_acked(&mut raw, MANY);
    if others.is_empty() {
        raw.expect(40, 21);
    } else {
        assert_eq!(others, [(40, 21)]);
    }
}

#[tokio::test]
async fn a_delay_is_read_from_any_type_and_negated_when_it_is_over() {
    let broker = Broker::start();
    let client = with_exchange(&broker).await;
    client.plain_queue("orders").await;
    client.bind("orders", "later", "", table([])).await;
    let delays = [
        ("number", number(1500)),
        ("text", text("1500")),
        ("double", AMQPValue::Double(1500.9)),
        ("float", AMQPValue::Float(1500.0)),
        (
            "decimal",
            AMQPValue::DecimalValue(DecimalValue { scale: 1, value: 15000 }),
        ),
    ];
    let mut consumer = client.consume("orders").await;
    for (body, delay) in &delays {
        client
            .publish("later", "", body, headers([("x-delay", delay.clone())]))
            .await;
    }
    let waiting = || broker.http().get("/api/exchanges/%2f/later").json()["messages_delayed"].clone();
    assert_eq!(waiting(), delays.len());
    assert_eq!(
        broker
            .http()
            .get("/api/exchanges/%2f/amq.direct")
            .json()
            .get("messages_delayed"),
        None
    );
    for (body, _) in &delays {
        let message = next(&mut consumer).await;
        assert_eq!(header(&message, "x-delay"), Some(&number(-1500)), "{body}");
        // What comes back as it is waits no second time.
        let again = message.properties.clone();
        client.publish("later", "", "again", again).await;
    }
    for _ in &delays {
        let message = next(&mut consumer).await;
        assert_eq!(header(&message, "x-delay"), Some(&number(-1500)));
    }
    assert_eq!(waiting(), 0);
}
