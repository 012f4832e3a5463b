//! Damage in the middle of the log: the queue it belongs to is not served, and not thrown away.

use lapin::options::{BasicConsumeOptions, BasicGetOptions, QueueDeleteOptions, QueuePurgeOptions};

use crate::support::*;

const BODY: &str = "this body is going to be damaged";

/// Changes one byte of the body in the log, and says whether it was there.
fn damage(broker: &Broker) -> bool {
    let mut found = false;
    for file in std::fs::read_dir(broker.data_dir().join("log")).expect("the log") {
        let path = file.expect("a file").path();
        let mut bytes = std::fs::read(&path).expect("read");
        let at = bytes.windows(BODY.len()).position(|window| window == BODY.as_bytes());
        if let Some(at) = at {
            bytes[at] ^= 1;
            std::fs::write(&path, bytes).expect("written");
            found = true;
        }
    }
    found
}

#[tokio::test]
async fn a_queue_with_damaged_records_is_refused_and_kept() {
    let mut broker = Broker::start();
    let client = broker.client().await;
    client.plain_queue("hurt").await;
    client.plain_queue("well").await;
    client.publish("", "hurt", BODY, persistent()).await;
    for body in ["m1", "m2", "m3"] {
        client.publish("", "well", body, persistent()).await;
        client.publish("", "hurt", body, persistent()).await;
    }
    broker.kill9();
    assert!(damage(&broker), "the body is in the log");
    broker.restart();

    for round in 0..2 {
        let mut client = broker.client().await;
        let text = "404 NOT_FOUND - queue 'hurt' in vhost '/' has crashed and failed to restart";
        assert_eq!(refused(client.look("hurt").await), text, "round {round}");
        let channel = client.another().await;
        let got = channel.basic_get("hurt".into(), BasicGetOptions::default()).await;
        assert_eq!(refused(got), text);
        let channel = client.another().await;
        let consumed = channel.basic_consume("hurt".into(), "".into(), BasicConsumeOptions::default(), table([]));
        assert_eq!(refused(consumed.await), text);
        let channel = client.another().await;
        let purged = channel.queue_purge("hurt".into(), QueuePurgeOptions::default());
        assert_eq!(refused(purged.await), text);
        client.again().await;
        let confirm = client.publish("", "hurt", "more", persistent()).await;
        assert!(confirm.is_nack(), "round {round}: {confirm:?}");
        assert_eq!(client.ready("well").await, 3);
        if round == 0 {
            // Neither a policy nor another start throws anything away.
            let policy = r#"{"pattern":"hurt","definition":{"max-length":1,"message-ttl":1}}"#;
            broker.http().put("/api/policies/%2f/short", policy).expect_status(201);
            broker.kill9();
            broker.restart();
        }
    }
    broker.http().delete("/api/policies/%2f/short").expect_status(204);
    let client = broker.client().await;
    client
        .queue_delete("hurt".into(), QueueDeleteOptions::default())
        .await
        .expect("deleted");
    client.plain_queue("hurt").await;
    client.send_all("hurt", ["new"]).await;
    assert_eq!(client.take("hurt").await, ["new"]);
}
