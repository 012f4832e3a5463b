//! Damage in the middle of the log: the queue it belongs to is not served, and not thrown away.

use lapin::options::{BasicConsumeOptions, BasicGetOptions, QueueDeleteOptions, QueuePurgeOptions};

use crate::support::*;

const BODY: &str = "this body is going to be damaged";

/// Changes one byte of a body in the log, and says whether it was there.
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

/// Runs `warren ctl` on the broker and gives its exit status and what it said.
fn ctl(broker: &Broker, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_warren"));
    command
        .arg("ctl")
        .arg("--data-dir")
        .arg(broker.data_dir())
        .args(arguments);
    let output = command.output().expect("the built binary runs");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("text"));
    (output.status.code(), said.concat())
}

#[tokio::test]
async fn what_can_be_read_of_a_damaged_queue_is_written_down_and_served_when_an_operator_says_so() {
    let mut broker = Broker::start();
    let client = broker.client().await;
    client.plain_queue("hurt").await;
    for body in ["m1", BODY, "m2", "m3"] {
        client.publish("", "hurt", body, persistent()).await;
    }
    broker.kill9();
    assert!(damage(&broker), "the body is in the log");
    broker.restart();
    let file = broker.data_dir().join("hurt.json");
    let (status, said) = ctl(&broker, &["export_queue", "hurt", &file.display().to_string()]);
    assert_eq!(status, Some(0), "{said}");
    let written = std::fs::read_to_string(&file).expect("written");
    let bodies: Vec<_> = written
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .map(|message| message["payload"].as_str().expect("a text").to_owned())
        .collect();
    assert_eq!(bodies, ["m1", "m2", "m3"]);
    let (status, _) = ctl(&broker, &["recover_queue", "hurt"]);
    assert_eq!(status, Some(64), "not without saying what is kept");
    // A policy that came while it was not served holds from then on.
    let policy = r#"{"pattern":"hurt","definition":{"max-length":2}}"#;
    broker.http().put("/api/policies/%2f/short", policy).expect_status(201);
    let (status, said) = ctl(&broker, &["recover_queue", "hurt", "--keep-readable"]);
    assert_eq!(status, Some(0), "{said}");
    for _ in 0..2 {
        let client = broker.client().await;
        assert_eq!(client.ready("hurt").await, 2);
        broker.kill9();
        broker.restart();
    }
    let client = broker.client().await;
    client.send_all("hurt", ["m4"]).await;
    assert_eq!(client.take("hurt").await, ["m3", "m4"]);
    let (status, said) = ctl(&broker, &["recover_queue", "hurt", "--keep-readable"]);
    assert_eq!(status, Some(65), "{said}");
    assert!(said.contains("the queue has lost nothing"), "{said}");
}

#[tokio::test]
async fn a_quorum_queue_of_one_member_is_served_up_to_what_it_has_lost() {
    let mut broker = Broker::start();
    let client = broker.client().await;
    client.queue("hurt", table([("x-queue-type", text("quorum"))])).await;
    for body in ["m1", "m2", BODY, "m3"] {
        assert!(client.send("hurt", body).await.is_ack());
    }
    broker.kill9();
    assert!(damage(&broker), "the body is in the log");
    broker.restart();
    let (status, said) = ctl(&broker, &["recover_queue", "hurt", "--keep-readable"]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("next start"), "{said}");
    broker.kill9();
    broker.restart();
    let client = broker.client().await;
    assert!(client.send("hurt", "m4").await.is_ack());
    assert_eq!(client.wait_for("hurt", 3).await, ["m1", "m2", "m4"]);
}

/// A message of a megabyte.
fn megabyte(number: usize) -> String {
    format!("m{number}{}", "x".repeat(1_000_000))
}

/// A stream of so many megabytes, old ones in files of one or two each.
async fn long_stream(broker: &Broker, count: usize) {
    let client = broker.client().await;
    let arguments = table([
        ("x-queue-type", text("stream")),
        ("x-stream-max-segment-size-bytes", number(1_000_000)),
    ]);
    client.queue("hurt", arguments).await;
    for number in 0..count {
        assert!(client.send("hurt", &megabyte(number)).await.is_ack());
    }
}

/// The segment files of streams, in their order.
fn segments(broker: &Broker) -> Vec<std::path::PathBuf> {
    let listed = std::fs::read_dir(broker.data_dir().join("streams"));
    let paths = listed.into_iter().flatten().map(|file| file.expect("a file").path());
    let mut segments: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "segment"))
        .collect();
    segments.sort();
    segments
}

/// Kills the broker and starts it with a segment file that does not begin as it should.
fn damage_segment(broker: &mut Broker, which: usize) {
    let damaged = segments(broker).remove(which);
    broker.kill9();
    let mut bytes = std::fs::read(&damaged).expect("a segment");
    bytes[3] ^= 1;
    std::fs::write(&damaged, bytes).expect("ours");
    broker.restart();
}

/// How many messages there are before the one that says "more".
async fn read_until_more(client: &Client) -> usize {
    client.basic_qos(5, Default::default()).await.expect("a prefetch");
    let first = table([("x-stream-offset", text("first"))]);
    let consumer = client.basic_consume("hurt".into(), "".into(), BasicConsumeOptions::default(), first);
    let mut consumer = consumer.await.expect("a consumer");
    for read in 0.. {
        let delivery = next(&mut consumer).await;
        delivery.ack(Default::default()).await.expect("acknowledged");
        if delivery.data == b"more" {
            return read;
        }
        assert!(delivery.data == megabyte(read).as_bytes(), "message {read}");
    }
    unreachable!("it ends with that message")
}

#[tokio::test]
async fn what_a_lost_file_of_a_stream_had_is_taken_from_the_log_while_it_is_there() {
    let mut broker = Broker::start();
    long_stream(&broker, 24).await;
    while segments(&broker).len() < 5 {
        tokio::task::yield_now().await;
    }
    damage_segment(&mut broker, 3);
    let client = broker.client().await;
    assert!(client.send("hurt", "more").await.is_ack());
    assert_eq!(read_until_more(&client).await, 24);
}

/// Where the end of the log is missing nobody knows whose it was.
#[tokio::test]
async fn every_queue_of_a_node_alone_waits_for_an_operator_when_the_end_of_the_log_is_missing() {
    let mut broker = Broker::start();
    let client = broker.client().await;
    client.plain_queue("first").await;
    client.plain_queue("second").await;
    for body in ["m1", "m2", BODY, "m3"] {
        client.publish("", "first", body, persistent()).await;
    }
    client.publish("", "second", "m4", persistent()).await;
    broker.kill9();
    for file in std::fs::read_dir(broker.data_dir().join("log")).expect("the log") {
        let path = file.expect("a file").path();
        let mut bytes = std::fs::read(&path).expect("read");
        if let Some(at) = bytes.windows(BODY.len()).position(|window| window == BODY.as_bytes()) {
            bytes[at - 60..].fill(0);
            std::fs::write(&path, bytes).expect("written");
        }
    }
    for _ in 0..2 {
        broker.restart();
        let client = broker.client().await;
        for queue in ["first", "second"] {
            let refused = refused(client.another().await.look(queue).await);
            assert!(refused.contains("has crashed and failed to restart"), "{refused}");
        }
        broker.kill9();
    }
    broker.restart();
    for queue in ["first", "second"] {
        let (status, said) = ctl(&broker, &["recover_queue", queue, "--keep-readable"]);
        assert_eq!(status, Some(0), "{said}");
    }
    let client = broker.client().await;
    assert_eq!(client.ready("first").await, 2);
    assert_eq!(client.ready("second").await, 0);
}

#[tokio::test]
async fn a_wrong_bit_in_a_small_file_is_mended() {
    let mut broker = Broker::start();
    broker.client().await.plain_queue("kept").await;
    for (round, small) in ["node.json", "store.format", "node.json.copy", "store.format.copy"]
        .iter()
        .enumerate()
    {
        broker.kill9();
        let path = broker.data_dir().join(small);
        let mut bytes = std::fs::read(&path).expect("a small file");
        let at = (17 * round + 13) % bytes.len();
        bytes[at] ^= 1 << round;
        std::fs::write(&path, bytes).expect("ours");
        broker.restart();
        assert_eq!(broker.client().await.ready("kept").await, 0, "{small}");
    }
}
