//! What is counted: exact, by type of queue and by thing, and never less than it was.

use std::time::Duration;

use lapin::options::{BasicAckOptions, BasicGetOptions, BasicQosOptions, QueueDeleteOptions};
use serde_json::json;
use warren::stream_protocol::codec::{Code, Request, StartAt};

use crate::Scraped;
use crate::support::stream::Stream;
use crate::support::{Broker, Client, PATIENCE, Steps, ack, discard, next, number, requeue, table, text};

/// A counter by protocol.
fn global(page: &Scraped, name: &str) -> f64 {
    page.value(&format!(
        "rabbitmq_global_messages_{name}_total{{protocol=\"amqp091\"}}"
    ))
}

/// A counter by protocol and type of queue.
fn of_type(page: &Scraped, name: &str, kind: &str) -> f64 {
    let labels = format!("{{protocol=\"amqp091\",queue_type=\"rabbit_{kind}_queue\"}}");
    page.value(&format!("rabbitmq_global_messages_{name}_total{labels}"))
}

async fn fetch(client: &Client, queue: &str, no_ack: bool) -> bool {
    let got = client.basic_get(queue.into(), BasicGetOptions { no_ack }).await;
    got.expect("an answer").is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_is_counted_once() {
    let broker = Broker::start_measured(&[]);
    let client = broker.client().await;
    client.plain_queue("classic").await;
    client.queue("quorum", table([("x-queue-type", text("quorum"))])).await;
    client.send_all("classic", ["1", "2", "3", "4", "5"]).await;
    client.send_all("quorum", ["1", "2"]).await;
    client.publish("", "nowhere", "x", Default::default()).await;
    let silent = client.another().await;
    silent.send("classic", "6").await;
    let mut consumer = client.consume("quorum").await;
    for _ in 0..2 {
        ack(&next(&mut consumer).await).await;
    }
    assert!(fetch(&client, "classic", true).await);
    let held = client.got("classic").await;
    held.acker.ack(BasicAckOptions::default()).await.expect("acked");
    assert!(!fetch(&client, "quorum", true).await);
    let page = Scraped::of(&broker, "/metrics");
    for (name, count) in [
        ("received", 9.0),
        ("received_confirm", 8.0),
        ("confirmed", 8.0),
        ("routed", 8.0),
        ("unroutable_dropped", 1.0),
        ("unroutable_returned", 0.0),
    ] {
        assert_eq!(global(&page, name), count, "{name}");
    }
    for (name, classic, quorum) in [
        ("delivered", 2.0, 2.0),
        ("delivered_consume_manual_ack", 0.0, 2.0),
        ("delivered_consume_auto_ack", 0.0, 0.0),
        ("delivered_get_manual_ack", 1.0, 0.0),
        ("delivered_get_auto_ack", 1.0, 0.0),
        ("get_empty", 0.0, 1.0),
        ("acknowledged", 1.0, 2.0),
        ("redelivered", 0.0, 0.0),
    ] {
        assert_eq!(of_type(&page, name, "classic"), classic, "{name}");
        assert_eq!(of_type(&page, name, "quorum"), quorum, "{name}");
    }
    for (name, count) in [
        ("rabbitmq_global_publishers{protocol=\"amqp091\"}", 2.0),
        ("rabbitmq_global_consumers{protocol=\"amqp091\"}", 1.0),
        ("rabbitmq_queue_messages_published_total", 8.0),
        ("rabbitmq_queue_messages_acked_total", 3.0),
        ("rabbitmq_channel_messages_published_total", 9.0),
        ("rabbitmq_channel_messages_acked_total", 3.0),
        ("rabbitmq_exchange_messages_published_total", 9.0),
        ("rabbitmq_connections_opened_total", 1.0),
        ("rabbitmq_channels_opened_total", 2.0),
        ("rabbitmq_queues_declared_total", 2.0),
        ("rabbitmq_queues_created_total", 2.0),
    ] {
        assert_eq!(page.value(name), count, "{name}");
    }
    assert!(page.value("rabbitmq_connection_incoming_bytes_total") > 100.0);
    for what in ["wait", "ack", "confirm"] {
        let all = page.value(&format!("warren_message_{what}_seconds_bucket{{le=\"+Inf\"}}"));
        assert_eq!(
            page.value(&format!("warren_message_{what}_seconds_count")),
            all,
            "{what}"
        );
        assert!(all > 0.0, "{what}");
    }
    assert!(page.value("rabbitmq_queue_consumer_capacity") > 0.0);
    let page = Scraped::of(&broker, "/metrics/per-object");
    for (name, count) in [
        (
            r#"rabbitmq_queue_messages_published_total{vhost="/",queue="classic"}"#,
            6.0,
        ),
        (
            r#"rabbitmq_queue_messages_delivered_ack_total{vhost="/",queue="quorum"}"#,
            2.0,
        ),
        (r#"rabbitmq_queue_get_total{vhost="/",queue="classic"}"#, 1.0),
        (r#"rabbitmq_queue_get_ack_total{vhost="/",queue="classic"}"#, 1.0),
        (
            r#"rabbitmq_exchange_messages_published_total{vhost="/",exchange=""}"#,
            9.0,
        ),
    ] {
        assert_eq!(page.value(name), count, "{name}");
    }
    let channels = page
        .samples
        .iter()
        .filter(|(name, _)| name.starts_with("rabbitmq_channel_messages_published_total{"));
    let mut published: Vec<_> = channels.map(|(_, count)| *count as u64).collect();
    published.sort_unstable();
    assert_eq!(published, [1, 8]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_counter_counts_back_when_its_things_go() {
    let broker = Broker::start_measured(&[]);
    let client = broker.client().await;
    client.plain_queue("q").await;
    client.send_all("q", ["1", "2", "3"]).await;
    client.take("q").await;
    let gone = broker.client().await;
    gone.send("q", "4").await;
    let before = Scraped::of(&broker, "/metrics");
    gone.connection.close(200, "".into()).await.expect("closed");
    let delete = client.queue_delete("q".into(), QueueDeleteOptions::default());
    delete.await.expect("deleted");
    let after = Scraped::of(&broker, "/metrics");
    for (name, count) in &before.samples {
        let metric = name.split('{').next().expect("a name");
        // Samples of histograms have longer names than these, and count up too.
        if before.types.get(metric).is_none_or(|kind| kind == "counter") {
            assert!(
                after.value(name) >= *count,
                "{name}: {count}, then {}",
                after.value(name)
            );
        }
    }
    assert_eq!(after.value("rabbitmq_queues_deleted_total"), 1.0);
    assert_eq!(after.value("rabbitmq_connections_closed_total"), 1.0);
}

/// Messages that died for a reason, by type of queue and what was done with them.
fn died(page: &Scraped, reason: &str, kind: &str, way: &str) -> f64 {
    let labels = format!("{{queue_type=\"rabbit_{kind}_queue\",dead_letter_strategy=\"{way}\"}}");
    page.value(&format!(
        "rabbitmq_global_messages_dead_lettered_{reason}_total{labels}"
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_counted_by_what_was_done_and_why() {
    let broker = Broker::start_measured(&[]);
    let client = broker.client().await;
    client.plain_queue("grave").await;
    let to_grave = [
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text("grave")),
    ];
    let short = [("x-max-length", number(1))];
    client.queue("short", table(short)).await;
    client.send_all("short", ["1", "2", "3"]).await;
    client.queue("refused", table(to_grave.clone())).await;
    client.send("refused", "1").await;
    discard(&next(&mut client.consume("refused").await).await).await;
    let kept = [
        ("x-queue-type", text("quorum")),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
        ("x-delivery-limit", number(1)),
    ];
    let kept: Vec<_> = kept.into_iter().chain(to_grave).collect();
    let kept: [_; 6] = kept.try_into().expect("six");
    client.queue("kept", table(kept)).await;
    client.send("kept", "1").await;
    let mut consumer = client.consume("kept").await;
    requeue(&next(&mut consumer).await).await;
    requeue(&next(&mut consumer).await).await;
    assert_eq!(client.wait_for("grave", 2).await.len(), 2);
    // The letter is confirmed a moment after its target has it.
    let confirmed = async {
        loop {
            let page = Scraped::of(&broker, "/metrics");
            if died(&page, "confirmed", "quorum", "at_least_once") == 1.0 {
                return page;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let page = tokio::time::timeout(PATIENCE, confirmed)
        .await
        .expect("confirmed in time");
    assert_eq!(died(&page, "maxlen", "classic", "disabled"), 2.0);
    assert_eq!(died(&page, "maxlen", "classic", "at_most_once"), 0.0);
    assert_eq!(died(&page, "rejected", "classic", "at_most_once"), 1.0);
    assert_eq!(died(&page, "rejected", "quorum", "at_least_once"), 0.0);
    assert_eq!(died(&page, "delivery_limit", "quorum", "at_least_once"), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes_of_messages_and_what_channels_hold_back_are_told() {
    let broker = Broker::start_measured(&[]);
    let client = broker.client().await;
    client.plain_queue("q").await;
    client.send("q", "1").await;
    client.send("q", &"x".repeat(101)).await;
    client.publish_mandatory("", "nowhere", "1", Default::default()).await;
    let page = Scraped::of(&broker, "/metrics");
    let of = |what: &str| page.value(&format!("rabbitmq_message_size_bytes_{what}"));
    assert_eq!(of("count{protocol=\"amqp091\"}"), 3.0);
    assert_eq!(of("sum{protocol=\"amqp091\"}"), 103.0);
    assert_eq!(of("bucket{protocol=\"amqp091\",le=\"100\"}"), 2.0);
    assert_eq!(of("bucket{protocol=\"amqp091\",le=\"+Inf\"}"), 3.0);
    assert_eq!(page.value("rabbitmq_exchange_messages_unroutable_returned_total"), 1.0);
    assert_eq!(page.value("rabbitmq_queue_messages_ram_bytes"), 102.0);

    let channel = client.another().await;
    channel.tx_select().await.expect("a transaction");
    channel.prefetch(5).await;
    channel
        .basic_qos(9, BasicQosOptions { global: true })
        .await
        .expect("qos");
    let published = channel.basic_publish("".into(), "q".into(), Default::default(), b"2", Default::default());
    published.await.expect("published");
    let held = channel.got("q").await;
    held.acker.ack(BasicAckOptions::default()).await.expect("acked");
    // The answer to this comes when the broker has seen all of it.
    channel.ready("q").await;
    let page = Scraped::of(&broker, "/metrics");
    assert_eq!(page.value("rabbitmq_channel_messages_uncommitted"), 1.0);
    assert_eq!(page.value("rabbitmq_channel_acks_uncommitted"), 1.0);
    assert_eq!(page.value("rabbitmq_consumer_prefetch"), 5.0);
    assert_eq!(page.value("rabbitmq_channel_prefetch"), 9.0);
    let channels = broker.http().get("/api/channels?sort=number").json();
    let shown = &channels[1];
    assert_eq!(
        (&shown["transactional"], &shown["messages_uncommitted"]),
        (&json!(true), &json!(1))
    );
    assert_eq!(
        (&shown["acks_uncommitted"], &shown["prefetch_count"]),
        (&json!(1), &json!(5))
    );
    assert_eq!(shown["global_prefetch_count"], 9);
    channel.tx_commit().await.expect("committed");
    let channels = broker.http().get("/api/channels?sort=number").json();
    assert_eq!(
        (&channels[1]["messages_uncommitted"], &channels[1]["acks_uncommitted"]),
        (&json!(0), &json!(0))
    );
}

#[test]
fn clients_of_the_stream_protocol_are_counted_by_rabbitmqs_names() {
    let broker = Broker::start_measured(&["--stream", "127.0.0.1:0"]);
    let mut client = Stream::open(&broker);
    client.create("s");
    client.declare("", "s");
    client.publish(&(0..30).collect::<Vec<_>>());
    client.subscribe("s", StartAt::First, &[]);
    client.read(30);
    let missing = client.ask(Request::Delete { stream: b"missing" });
    assert_eq!(missing.code(), Code::NoStream as u16);
    let values = [
        ("rabbitmq_global_messages_received_total{protocol=\"stream\"}", 30.0),
        (
            "rabbitmq_global_messages_received_confirm_total{protocol=\"stream\"}",
            30.0,
        ),
        ("rabbitmq_global_messages_confirmed_total{protocol=\"stream\"}", 30.0),
        (
            "rabbitmq_global_messages_delivered_total{protocol=\"stream\",queue_type=\"rabbit_stream_queue\"}",
            30.0,
        ),
        ("rabbitmq_global_publishers{protocol=\"stream\"}", 1.0),
        ("rabbitmq_global_consumers{protocol=\"stream\"}", 1.0),
        (
            "rabbitmq_global_stream_error_stream_does_not_exist_total{protocol=\"stream\"}",
            1.0,
        ),
        (
            "rabbitmq_global_stream_error_access_refused_total{protocol=\"stream\"}",
            0.0,
        ),
        ("rabbitmq_stream_consumer_max_offset_lag", 0.0),
    ];
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        let page = Scraped::of(&broker, "/metrics");
        let seen = values.map(|(name, _)| (name, page.value(name)));
        // What was delivered and confirmed is counted a moment after the client has it.
        if seen == values {
            break;
        }
        assert!(std::time::Instant::now() < end, "{seen:?}");
    }
    let each = Scraped::of(&broker, "/metrics/per-object");
    let lag = "rabbitmq_stream_consumer_max_offset_lag{vhost=\"/\",queue=\"s\"}";
    assert_eq!(each.value(lag), 0.0);
}
