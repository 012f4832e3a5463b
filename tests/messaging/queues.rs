//! Queues as they are declared: names, exclusive and auto-delete ones, redeclaring, deleting.

use futures_lite::StreamExt;
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions};
use tokio::time::{Instant, sleep};

use crate::support::*;

#[tokio::test]
async fn a_queue_without_a_name_gets_one() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let first = client.queue("", table([])).await;
    let second = client.queue("", table([])).await;
    for queue in [&first, &second] {
        let name = queue.name().as_str();
        assert!(name.starts_with("amq.gen-"), "{name}");
        assert_eq!(name.len(), "amq.gen-".len() + 22, "{name}");
    }
    assert_ne!(first.name(), second.name());
    client.send_all(second.name().as_str(), ["m1"]).await;
    // The empty name stands for the last one declared.
    assert_eq!(client.take("").await, ["m1"]);
}

#[tokio::test]
async fn a_missing_queue_is_not_found() {
    let broker = Broker::shared();
    let mut client = broker.client().await;
    let expected = format!("404 NOT_FOUND - no queue 'missing' in vhost '{}'", broker.vhost_name());
    assert_eq!(refused(client.look("missing").await), expected);
    client.again().await;
    let purged = client.queue_purge("missing".into(), QueuePurgeOptions::default()).await;
    assert_eq!(refused(purged), expected);
    client.again().await;
    let deleted = client.queue_delete("missing".into(), QueueDeleteOptions::default());
    assert_eq!(deleted.await.expect("deleting nothing is fine"), 0);
}

#[tokio::test]
async fn a_queue_is_declared_again_only_as_it_is() {
    let broker = Broker::shared();
    let mut client = broker.client().await;
    client.queue("orders", table([("x-max-length", number(10))])).await;
    client.queue("orders", table([("x-max-length", number(10))])).await;

    let transient = QueueDeclareOptions::default();
    let again = client.queue_declare("orders".into(), transient, table([("x-max-length", number(10))]));
    let vhost = broker.vhost_name();
    let expected = format!(
        "406 PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'orders' in vhost '{vhost}': received 'false' but current is 'true'"
    );
    assert_eq!(refused(again.await), expected);

    client.again().await;
    let longer = table([("x-max-length", number(11))]);
    let again = client.queue_declare("orders".into(), QueueDeclareOptions::durable(), longer);
    let expected = format!(
        "406 PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'orders' in vhost '{vhost}': received '11' but current is '10'"
    );
    assert_eq!(refused(again.await), expected);
}

#[tokio::test]
async fn names_beginning_with_amq_are_reserved() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let declared = client.queue_declare("amq.mine".into(), QueueDeclareOptions::durable(), table([]));
    let expected = "403 ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'";
    assert_eq!(refused(declared.await), expected);
}

#[tokio::test]
async fn an_exclusive_queue_is_of_its_connection_alone() {
    let broker = Broker::shared();
    let owner = broker.client().await;
    let mut other = broker.client().await;
    let declared = owner.queue_declare("mine".into(), QueueDeclareOptions::exclusive(), table([]));
    declared.await.expect("an exclusive queue");
    // Any channel of the owner may use it, and anybody may publish to it.
    owner.another().await.look("mine").await.expect("the queue");
    other.send_all("mine", ["m1"]).await;

    let locked = "405 RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'mine'";
    for _ in 0..2 {
        let refusal = refused(other.look("mine").await);
        assert!(refusal.starts_with(locked), "{refusal}");
        other.again().await;
    }
    let got = other.basic_get("mine".into(), Default::default()).await;
    assert!(refused(got).starts_with(locked));
    assert_eq!(owner.take("mine").await, ["m1"]);
}

#[tokio::test]
async fn an_exclusive_queue_goes_with_its_connection() {
    let broker = Broker::shared();
    let owner = broker.client().await;
    let mut other = broker.client().await;
    let declared = owner.queue_declare("mine".into(), QueueDeclareOptions::exclusive(), table([]));
    declared.await.expect("an exclusive queue");
    owner.close(200, "done".into()).await.expect("closed");
    assert!(
        refused(other.look("mine").await).starts_with("405"),
        "it outlives its channel"
    );

    other.again().await;
    owner.connection.close(200, "done".into()).await.expect("closed");
    assert!(refused(other.look("mine").await).starts_with("404"));
}

#[tokio::test]
async fn an_auto_delete_queue_goes_with_its_last_consumer() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let options = QueueDeclareOptions {
        auto_delete: true,
        durable: true,
        ..QueueDeclareOptions::default()
    };
    client
        .queue_declare("orders".into(), options, table([]))
        .await
        .expect("a queue");
    client.send_all("orders", ["m1"]).await;
    assert_eq!(
        client.take("orders").await,
        ["m1"],
        "basic.get does not count as a consumer"
    );

    let first = client.consume("orders").await;
    let second = client.consume("orders").await;
    client.cancel(&first).await;
    assert_eq!(client.look("orders").await.expect("the queue"), (0, 1));
    client.cancel(&second).await;
    assert!(refused(client.look("orders").await).starts_with("404"));
}

#[tokio::test]
async fn a_queue_may_be_deleted_only_if_unused_or_empty() {
    let broker = Broker::shared();
    let mut client = broker.client().await;
    client.plain_queue("orders").await;
    client.send_all("orders", ["m1"]).await;
    let vhost = broker.vhost_name();
    let if_empty = QueueDeleteOptions {
        if_empty: true,
        ..QueueDeleteOptions::default()
    };
    let expected = format!("406 PRECONDITION_FAILED - queue 'orders' in vhost '{vhost}' not empty");
    assert_eq!(refused(client.queue_delete("orders".into(), if_empty).await), expected);

    client.again().await;
    let worker = client.another().await;
    let _consumer = worker.consume_unacked("orders").await;
    let if_unused = QueueDeleteOptions {
        if_unused: true,
        ..QueueDeleteOptions::default()
    };
    let expected = format!("406 PRECONDITION_FAILED - queue 'orders' in vhost '{vhost}' in use");
    assert_eq!(refused(client.queue_delete("orders".into(), if_unused).await), expected);
}

#[tokio::test]
async fn purge_and_delete_count_the_ready_messages() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    client.send_all("orders", ["m1", "m2", "m3"]).await;
    let held = client.got("orders").await;
    let purged = client.queue_purge("orders".into(), QueuePurgeOptions::default());
    assert_eq!(purged.await.expect("purged"), 2);
    requeue(&held).await;
    let deleted = client.queue_delete("orders".into(), QueueDeleteOptions::default());
    assert_eq!(deleted.await.expect("deleted"), 1);
}

#[tokio::test]
async fn an_unused_queue_expires() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.queue("brief", table([("x-expires", number(300))])).await;
    let begin = Instant::now();
    // Another queue's consumer ends when its queue does: that tells when without asking, which
    // would be a use of the queue.
    loop {
        let probe = client.another().await;
        let bound = probe.queue_bind(
            "brief".into(),
            "amq.fanout".into(),
            "".into(),
            Default::default(),
            table([]),
        );
        if bound.await.is_err() {
            break;
        }
        assert!(begin.elapsed() < PATIENCE, "it never expired");
        probe.close(200, "done".into()).await.expect("closed");
        sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(begin.elapsed().as_millis() >= 300, "expired too soon");
}

#[tokio::test]
async fn a_consumer_keeps_a_queue_from_expiring() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.queue("brief", table([("x-expires", number(200))])).await;
    client.queue("briefer", table([("x-expires", number(200))])).await;
    let mut consumer = client.consume("brief").await;
    // The other one, made later, tells that the time is over.
    let begin = Instant::now();
    loop {
        let probe = client.another().await;
        if probe
            .queue_bind(
                "briefer".into(),
                "amq.fanout".into(),
                "".into(),
                Default::default(),
                table([]),
            )
            .await
            .is_err()
        {
            break;
        }
        assert!(begin.elapsed() < PATIENCE, "it never expired");
        sleep(std::time::Duration::from_millis(50)).await;
    }
    client.send_all("brief", ["m1"]).await;
    let came = consumer.next().await.expect("still consuming").expect("a delivery");
    assert_eq!(story(&came), "m1");
}

/// How a client goes.
type End = fn(&mut Raw);

/// Deletes while a client goes: what it was told is so for whoever comes next.
#[tokio::test]
async fn an_auto_delete_queue_is_gone_when_the_close_of_its_consumer_is_answered() {
    const AUTO_DELETE: u8 = 8;
    let broker = Broker::shared();
    let mut client = broker.client().await;
    let ways: [(&str, End, (u16, u16)); 4] = [
        ("channel.close", |raw| raw.close_channel(1), (20, 41)),
        ("connection.close", Raw::close, (10, 51)),
        (
            "an error of the channel",
            |raw| raw.method(1, (60, 80), &[0, 0, 0, 0, 0, 0, 0, 99, 0]),
            (20, 40),
        ),
        ("an error of the connection", |raw| raw.frame(3, 1, b"body"), (10, 50)),
    ];
    // Many at a time go side by side.
    let queues: Vec<String> = (0..30).map(|number| format!("brief-{number}")).collect();
    for (way, go, (class, method)) in ways {
        let mut raw = Raw::open(&broker.amqp, broker.vhost_name(), 0);
        raw.channel(1);
        for queue in &queues {
            raw.declare(1, queue, AUTO_DELETE);
            raw.consume(1, queue, queue);
        }
        go(&mut raw);
        raw.expect(class, method);
        for queue in queues.iter().rev() {
            let looked = refused(client.look(queue).await);
            assert!(looked.starts_with("404"), "{way}, {queue}: {looked}");
            client.again().await;
        }
    }
}

#[tokio::test]
async fn exclusive_queues_are_gone_when_the_close_of_their_connection_is_answered() {
    const EXCLUSIVE: u8 = 4;
    let broker = Broker::shared();
    let mut client = broker.client().await;
    let mut raw = Raw::open(&broker.amqp, broker.vhost_name(), 0);
    raw.channel(1);
    let queues: Vec<String> = (0..30).map(|number| format!("mine-{number}")).collect();
    for queue in &queues {
        raw.declare(1, queue, EXCLUSIVE);
    }
    raw.close();
    raw.expect(10, 51);
    for queue in queues.iter().rev() {
        assert!(refused(client.look(queue).await).starts_with("404"), "{queue}");
        client.again().await;
    }
}
