//! Connections and channels: heartbeats, many channels, refused logins, limits of the tune.

use std::time::{Duration, Instant};

use lapin::options::QueueDeclareOptions;

use crate::support::*;

#[tokio::test]
async fn a_silent_client_gets_heartbeats_and_is_dropped() {
    let broker = Broker::shared();
    let begin = Instant::now();
    let mut raw = Raw::open(&broker.amqp, broker.vhost_name(), 1);
    let mut heartbeats = 0;
    while let Some(frame) = raw.read() {
        assert!(frame.is_heartbeat(), "{frame:?}");
        heartbeats += 1;
    }
    assert!(heartbeats >= 2, "only {heartbeats} heartbeats");
    let lived = begin.elapsed();
    assert!(
        lived >= Duration::from_secs(2),
        "dropped after {lived:?}, before two intervals"
    );
}

#[tokio::test]
async fn heartbeats_keep_an_idle_client() {
    let broker = Broker::shared();
    let mut raw = Raw::open(&broker.amqp, broker.vhost_name(), 1);
    let begin = Instant::now();
    // Long past the moment at which a silent one is dropped.
    while begin.elapsed() < Duration::from_secs(5) {
        let frame = raw.read().expect("a heartbeat, not the end");
        assert!(frame.is_heartbeat(), "{frame:?}");
        raw.frame(8, 0, &[]);
    }
    raw.method(
        0,
        (10, 50),
        &[&200u16.to_be_bytes()[..], &short("bye"), &[0; 4]].concat(),
    );
    raw.expect(10, 51);
}

#[tokio::test]
async fn a_connection_has_many_channels() {
    let broker = Broker::shared();
    let client = broker.client().await;
    assert_eq!(client.connection.configuration().channel_max(), 2047);
    assert_eq!(client.connection.configuration().frame_max(), 131_072);
    client.plain_queue("orders").await;
    let mut channels = Vec::new();
    for _ in 0..500 {
        channels.push(client.another().await);
    }
    for (number, channel) in channels.iter().enumerate() {
        channel.send("orders", &format!("m{number}")).await;
        channel.look("orders").await.expect("the queue");
    }
    assert_eq!(client.ready("orders").await, 500);
    for channel in channels {
        channel.close(200, "done".into()).await.expect("closed");
    }
    assert_eq!(client.take("orders").await.len(), 500);
}

#[tokio::test]
async fn an_error_closes_one_channel_only() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let broken = client.another().await;
    assert!(refused(broken.look("missing").await).starts_with("404"));
    client.plain_queue("orders").await;
    client.another().await.look("orders").await.expect("new channels open");
}

#[tokio::test]
async fn wrong_credentials_and_vhosts_are_refused() {
    let broker = Broker::shared();
    let uri = format!("amqp://guest:wrong@{}/{}", broker.amqp, broker.vhost());
    let refusal = refused(broker.try_connect(&uri).await.map(|_| ()));
    let expected = "403 ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.";
    assert_eq!(refusal, expected);

    let uri = format!("amqp://guest:guest@{}/missing-vhost", broker.amqp);
    let refusal = refused(broker.try_connect(&uri).await.map(|_| ()));
    assert_eq!(refusal, "530 NOT_ALLOWED - vhost missing-vhost not found");
}

#[tokio::test]
async fn a_wrong_protocol_header_is_answered_with_the_right_one() {
    use std::io::Read;

    let broker = Broker::shared();
    let mut raw = Raw::connect(&broker.amqp);
    raw.send(b"AMQP\x00\x00\x09\x00");
    let mut answer = [0; 8];
    raw.socket.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"AMQP\x00\x00\x09\x01");
    assert!(raw.read().is_none(), "nothing more is said");
}

#[tokio::test]
async fn clients_agree_on_less_than_was_offered() {
    let broker = Broker::shared();
    let uri = format!("{}?channel_max=4&frame_max=8192&heartbeat=5", broker.uri());
    let connection = broker.try_connect(&uri).await.expect("a connection");
    let client = Client::new(connection).await;
    assert_eq!(client.connection.configuration().frame_max(), 8192);
    client.plain_queue("orders").await;
    let body = "x".repeat(50_000);
    client.send_all("orders", [&body]).await;
    assert_eq!(client.take("orders").await, [body]);
}

#[tokio::test]
async fn a_client_s_exclusive_queues_of_many_connections_are_apart() {
    let broker = Broker::shared();
    let mut clients = Vec::new();
    for _ in 0..20 {
        let client = broker.client().await;
        let exclusive = QueueDeclareOptions::exclusive();
        let queue = client
            .queue_declare("".into(), exclusive, table([]))
            .await
            .expect("a queue");
        client.bind(queue.name().as_str(), "amq.fanout", "", table([])).await;
        clients.push((client, queue));
    }
    let publisher = broker.client().await;
    publisher.publish("amq.fanout", "", "news", persistent()).await;
    for (client, queue) in &clients {
        assert_eq!(client.take(queue.name().as_str()).await, ["news"]);
    }
}
