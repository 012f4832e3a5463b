//! Priority queues: higher first, in order within a priority.

use crate::support::*;

fn prioritised(priority: u8) -> Properties {
    persistent().with_priority(priority)
}

#[tokio::test]
async fn higher_priorities_come_first() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.queue("tasks", table([("x-max-priority", number(5))])).await;
    client.send_all("tasks", ["none"]).await;
    for priority in [1, 5, 3, 9, 0, 5] {
        let body = format!("p{priority}");
        client.publish("", "tasks", &body, prioritised(priority)).await;
    }
    // What is over the maximum counts as the maximum; no priority is zero.
    let expected = ["p5", "p9", "p5", "p3", "p1", "none", "p0"];
    assert_eq!(client.take("tasks").await, expected);
}

#[tokio::test]
async fn a_requeued_message_keeps_its_priority() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.queue("tasks", table([("x-max-priority", number(5))])).await;
    client.publish("", "tasks", "high", prioritised(4)).await;
    let high = client.got("tasks").await;
    client.publish("", "tasks", "low", prioritised(1)).await;
    requeue(&high).await;
    assert_eq!(client.take("tasks").await, ["high (redelivered)", "low"]);
}

#[tokio::test]
async fn without_x_max_priority_the_priority_is_only_a_property() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("tasks").await;
    client.publish("", "tasks", "low", prioritised(1)).await;
    client.publish("", "tasks", "high", prioritised(9)).await;
    let first = client.got("tasks").await;
    assert_eq!((body(&first).as_str(), *first.properties.priority()), ("low", Some(1)));
}

#[tokio::test]
async fn a_full_priority_queue_drops_its_head_which_is_the_highest() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client
        .queue(
            "tasks",
            table([("x-max-priority", number(5)), ("x-max-length", number(3))]),
        )
        .await;
    for priority in [1, 5, 3, 4] {
        let body = format!("p{priority}");
        client.publish("", "tasks", &body, prioritised(priority)).await;
    }
    assert_eq!(client.take("tasks").await, ["p4", "p3", "p1"]);
}
