//! Dead letters that are kept until their targets have them, over the end of the broker.

use crate::support::*;

#[tokio::test]
async fn a_letter_without_a_target_outlives_the_broker_and_goes_to_no_consumer() {
    let mut broker = Broker::start();
    let client = broker.client().await;
    let mut arguments = dying_to(
        "dead",
        [
            ("x-queue-type", text("quorum")),
            ("x-dead-letter-strategy", text("at-least-once")),
        ],
    );
    arguments.insert("x-overflow".into(), text("reject-publish"));
    client.queue("orders", arguments).await;
    client.send_all("orders", ["m1"]).await;
    let held = client.got("orders").await;
    discard(&held).await;
    // What was recorded before this is safe when it is confirmed.
    client.send_all("orders", ["m2"]).await;
    for ends in ["killed", "stopped"] {
        match ends {
            "killed" => broker.kill9(),
            _ => assert!(broker.stop().success()),
        }
        broker.restart();
        let client = broker.client().await;
        let held = client.got("orders").await;
        assert_eq!(body(&held), "m2", "{ends}");
        assert!(client.get("orders").await.is_none());
        requeue(&held).await;
    }
    let client = broker.client().await;
    client.plain_queue("dead").await;
    let mut dead = client.consume("dead").await;
    let dead = next(&mut dead).await;
    assert_eq!(body(&dead), "m1");
    assert_eq!(deaths(&dead), ["orders rejected 1 '' [orders]"]);
}
