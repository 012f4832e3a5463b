//! Single active consumer: one at a time, the next takes over.

use lapin::Consumer;
use lapin::types::{AMQPValue, FieldTable};

use crate::support::*;

#[tokio::test]
async fn the_first_consumer_gets_everything_until_it_is_cancelled() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let single = table([("x-single-active-consumer", AMQPValue::Boolean(true))]);
    client.queue("orders", single).await;
    let first = client.another().await;
    let second = client.another().await;
    let mut one = first.consume("orders").await;
    let mut two = second.consume("orders").await;
    client.send_all("orders", ["m1", "m2"]).await;
    let held = next(&mut one).await;
    assert_eq!(story(&next(&mut one).await), "m2");
    second.quiet(&mut two).await;

    first.cancel(&one).await;
    client.send_all("orders", ["m3"]).await;
    assert_eq!(
        story(&next(&mut two).await),
        "m3",
        "what is outstanding stays with the first"
    );
    ack(&held).await;
    first.close(200, "done".into()).await.expect("closed");
    assert_eq!(story(&next(&mut two).await), "m2 (redelivered)");
}

#[tokio::test]
async fn the_next_takes_over_when_the_channel_ends() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let single = table([("x-single-active-consumer", AMQPValue::Boolean(true))]);
    client.queue("orders", single).await;
    let first = client.another().await;
    let second = client.another().await;
    let mut one = first.consume("orders").await;
    let mut two = second.consume("orders").await;
    client.send_all("orders", ["m1"]).await;
    next(&mut one).await;
    first.close(200, "done".into()).await.expect("closed");
    assert_eq!(story(&next(&mut two).await), "m1 (redelivered)");
}

#[tokio::test]
async fn a_higher_priority_does_not_take_over() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let single = table([("x-single-active-consumer", AMQPValue::Boolean(true))]);
    client.queue("orders", single).await;
    let mut one = client.consume("orders").await;
    let mut two = client.consume_with("orders", table([("x-priority", number(10))])).await;
    client.send_all("orders", ["m1"]).await;
    assert_eq!(story(&next(&mut one).await), "m1");
    client.quiet(&mut two).await;
}

/// Queues that serve one consumer at a time: classic, with priorities, and quorum.
fn kinds() -> [(&'static str, FieldTable); 3] {
    let single = ("x-single-active-consumer", AMQPValue::Boolean(true));
    [
        ("classic", table([single.clone()])),
        ("priority", table([single.clone(), ("x-max-priority", number(5))])),
        ("quorum", table([single, ("x-queue-type", text("quorum"))])),
    ]
}

const ALL: [&str; 8] = ["m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7"];

/// The first four again, then the next two.
const IN_ORDER: [&str; 6] = [
    "m0 (redelivered)",
    "m1 (redelivered)",
    "m2 (redelivered)",
    "m3 (redelivered)",
    "m4",
    "m5",
];

/// A connection of bare frames with a consumer on each of these channels, of which the first is the active
/// one and has been given the first four of eight messages; and the next one, of a client that waits.
async fn taking_over(broker: &Broker, queue: &str, arguments: FieldTable, channels: &[u16]) -> (Raw, Client, Consumer) {
    let client = broker.client().await;
    client.queue(queue, arguments).await;
    let mut first = Raw::open(&broker.amqp, broker.vhost_name(), 0);
    for channel in channels {
        first.channel(*channel);
        first.method(*channel, (60, 10), &[0, 0, 0, 0, 0, 4, 0]);
        first.expect(60, 11);
        first.consume(*channel, queue, "first");
    }
    client.prefetch(6).await;
    let second = client.consume(queue).await;
    client.send_all(queue, ALL).await;
    (first, client, second)
}

/// How a client goes.
type End = fn(&mut Raw);

#[tokio::test]
async fn whatever_ends_the_active_one_the_next_gets_what_it_held_before_the_rest() {
    let broker = Broker::shared();
    let ways: [(&str, End); 5] = [
        ("channel.close", |raw| raw.close_channel(1)),
        ("connection.close", Raw::close),
        ("an error of the channel", |raw| {
            raw.method(1, (60, 80), &[0, 0, 0, 0, 0, 0, 0, 99, 0]);
        }),
        ("an error of the connection", |raw| raw.frame(3, 1, b"body")),
        ("the end of the socket", |raw| {
            raw.socket.shutdown(std::net::Shutdown::Both).expect("shut down");
        }),
    ];
    for (kind, arguments) in kinds() {
        for (way, go) in ways {
            let queue = unique(kind);
            let (mut first, _client, mut second) = taking_over(&broker, &queue, arguments.clone(), &[1]).await;
            go(&mut first);
            assert_eq!(next_many(&mut second, 6).await, IN_ORDER, "{kind} queue, {way}");
        }
    }
}

#[tokio::test]
async fn other_channels_of_a_connection_that_ends_are_not_served_before_the_next_client() {
    let broker = Broker::shared();
    for (kind, arguments) in kinds() {
        let queue = unique(kind);
        let (mut first, _client, mut second) = taking_over(&broker, &queue, arguments, &[1, 2, 3]).await;
        first.close();
        for expected in IN_ORDER {
            let delivery = next(&mut second).await;
            assert_eq!(story(&delivery), expected, "{kind} queue");
            let count = header(&delivery, "x-delivery-count");
            let once = (kind == "quorum" && delivery.redelivered).then_some(AMQPValue::LongLongInt(1));
            assert_eq!(count, once.as_ref(), "{expected} came back once");
        }
    }
}

#[tokio::test]
async fn what_a_channel_holds_otherwise_comes_back_in_the_same_step() {
    let broker = Broker::shared();
    for (kind, arguments) in kinds() {
        let client = broker.client().await;
        let queue = unique(kind);
        client.queue(&queue, arguments).await;
        client.send_all(&queue, ALL).await;
        let going = client.another().await;
        // By basic.get, where that may be, by a consumer that is cancelled, and by one that is there; one acked
        // in a transaction that is not committed.
        let gets = kind != "quorum";
        if gets {
            going.got(&queue).await;
        }
        going.prefetch(1).await;
        let mut cancelled = going.consume(&queue).await;
        let second = next(&mut cancelled).await;
        going.cancel(&cancelled).await;
        let mut there = going.consume(&queue).await;
        next(&mut there).await;
        going.tx_select().await.expect("a transaction");
        ack(&second).await;
        let mut after = client.consume(&queue).await;
        going.close(200, "done".into()).await.expect("closed");
        let held = 2 + usize::from(gets);
        let again = ALL[..held].iter().map(|name| format!("{name} (redelivered)"));
        let rest = ALL[held..5].iter().map(|name| (*name).to_owned());
        let expected: Vec<String> = again.chain(rest).collect();
        assert_eq!(next_many(&mut after, 5).await, expected, "{kind} queue");
    }
}
