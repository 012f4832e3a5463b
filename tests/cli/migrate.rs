//! `warren migrate` between two brokers, of which one or the other, or itself, is killed.

use std::process::{Child, Command, Stdio};
use std::time::Instant;

use lapin::types::{AMQPValue, FieldTable};

use crate::support::*;

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}

/// A broker that has its port again after a restart, and the address there.
fn broker() -> (Broker, String) {
    let address = format!("127.0.0.1:{}", free_port());
    let broker = Broker::start_with(&["--amqp", &address]);
    (broker, format!("amqp://guest:guest@{address}/%2f"))
}

fn begin(from: &str, to: &str, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_warren"))
        .args(["migrate", "--from", from, "--to", to])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs")
}

/// What it says, and whether it has moved everything.
fn migrate(from: &str, to: &str, arguments: &[&str]) -> (String, bool) {
    let output = begin(from, to, arguments).wait_with_output().expect("it ends");
    (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        output.status.success(),
    )
}

async fn connect(broker: &Broker, uri: &str) -> Client {
    Client::new(broker.try_connect(uri).await.expect("a connection")).await
}

/// Waits until the queue has as many messages.
async fn has(client: &Client, least: u32) {
    let end = Instant::now() + PATIENCE;
    while client.ready("q").await < least {
        assert!(Instant::now() < end, "{least} messages do not come");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_it_or_one_of_the_brokers_is_killed() {
    const ALL: usize = 1200;
    let ((mut source, from), (mut target, to)) = (broker(), broker());
    let sender = connect(&source, &from).await;
    let receiver = connect(&target, &to).await;
    for client in [&sender, &receiver] {
        client.queue("q", table([("x-queue-type", text("classic"))])).await;
    }
    let options = lapin::options::BasicPublishOptions::default();
    let mut confirms = Vec::new();
    for at in 0..ALL {
        let body = at.to_string();
        let published = sender.basic_publish("".into(), "q".into(), options, body.as_bytes(), persistent());
        confirms.push(published.await.expect("published"));
    }
    for confirm in confirms {
        assert!(confirm.await.expect("confirmed").is_ack());
    }
    let one_at_a_time = ["--queue", "q", "--window", "1"];
    let mut first = begin(&from, &to, &one_at_a_time);
    has(&receiver, 100).await;
    first.kill().expect("killed");
    first.wait().expect("it ends");
    let second = begin(&from, &to, &one_at_a_time);
    has(&receiver, 300).await;
    target.kill9();
    target.restart();
    let receiver = connect(&target, &to).await;
    has(&receiver, 500).await;
    source.kill9();
    source.restart();
    let output = second.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{said} {}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.contains("1 queues moved, 0 queues not to their end"), "{said}");
    assert_eq!(connect(&source, &from).await.ready("q").await, 0);
    let count = u16::try_from(receiver.ready("q").await).expect("few");
    let mut bodies = receiver.wait_for("q", count).await;
    bodies.dedup();
    // What was on its way when something ended came twice; nothing else did, and nothing is missing.
    let mut seen = std::collections::HashSet::new();
    bodies.retain(|body| seen.insert(body.clone()));
    let expected: Vec<_> = (0..ALL).map(|at| at.to_string()).collect();
    assert_eq!(bodies, expected);
    // Acks are not waited for by anybody: those that the source had yet to write when it was killed are given
    // again.
    assert!(usize::from(count) <= ALL + ALL / 10, "{count}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_come_as_they_were_and_go_nowhere_else() {
    let ((source, from), (target, to)) = (broker(), broker());
    let (sender, receiver) = (connect(&source, &from).await, connect(&target, &to).await);
    for client in [&sender, &receiver] {
        for name in ["q", "copies"] {
            client.queue(name, FieldTable::default()).await;
        }
    }
    let mut headers = FieldTable::default();
    let key = AMQPValue::LongString("copies".into());
    headers.insert("CC".into(), AMQPValue::FieldArray(vec![key].into()));
    headers.insert("kept".into(), AMQPValue::LongLongInt(7));
    let properties = persistent()
        .with_headers(headers)
        .with_content_type("text/plain".into())
        .with_priority(3)
        .with_message_id("m-1".into());
    let large = "x".repeat(400_000);
    assert!(sender.publish("", "q", &large, properties).await.is_ack());
    assert!(sender.send("q", "").await.is_ack());
    let (said, is_well) = migrate(&from, &to, &["--queue", "q"]);
    assert!(is_well, "{said}");
    assert_eq!(
        said,
        "q: 2 messages moved, none left\n2 messages of 1 queues moved, 0 queues not to their end\n"
    );
    let got = receiver
        .basic_get("q".into(), Default::default())
        .await
        .expect("an answer")
        .expect("a message");
    assert_eq!(body(&got.delivery), large);
    let properties = &got.delivery.properties;
    assert_eq!(
        properties.content_type().as_ref().map(|kind| kind.as_str()),
        Some("text/plain")
    );
    assert_eq!(properties.message_id().as_ref().map(|id| id.as_str()), Some("m-1"));
    assert_eq!(
        (*properties.priority(), *properties.delivery_mode()),
        (Some(3), Some(2))
    );
    let headers = properties.headers().clone().expect("headers");
    assert_eq!(headers.inner().get("kept"), Some(&AMQPValue::LongLongInt(7)));
    assert!(headers.inner().get("CC").is_none());
    assert!(headers.inner().get("x-original-cc").is_some());
    assert_eq!(receiver.ready("copies").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_moved_stays_and_is_told() {
    let ((source, from), (_target, to)) = (broker(), broker());
    let sender = connect(&source, &from).await;
    sender.queue("q", FieldTable::default()).await;
    assert!(sender.send("q", "one").await.is_ack());
    let directory = tempfile::tempdir().expect("a directory");
    let definitions = directory.path().join("definitions.json");
    let text = r#"{"queues": [{"name": "q", "vhost": "/", "arguments": {}},
        {"name": "s", "vhost": "/", "arguments": {"x-queue-type": "stream"}}]}"#;
    std::fs::write(&definitions, text).expect("written");
    let (said, is_well) = migrate(&from, &to, &["--definitions", definitions.to_str().expect("a path")]);
    assert!(!is_well);
    assert!(
        said.starts_with("s: a stream, whose messages stay where they are\n"),
        "{said}"
    );
    assert!(
        said.contains("q: 0 messages moved, then: the target: the broker closed the channel: 404 NOT_FOUND"),
        "{said}"
    );
    assert_eq!(sender.ready("q").await, 1);
}
