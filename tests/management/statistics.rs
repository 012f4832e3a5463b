//! What is counted, how fast, and how it was.

use std::time::Duration;

use lapin::options::{BasicAckOptions, BasicGetOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, ExchangeKind};
use serde_json::{Value, json};

use crate::support::{Broker, Client, Http, PATIENCE, Steps, ack, next, requeue};

const QUEUE: &str = "/api/queues/%2f/q";

/// Waits until the API says what is wanted.
async fn until(http: &Http, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let wait = async {
        loop {
            let seen = http.get(path).expect_status(200).json();
            if holds(&seen) {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("in time")
}

fn of_type(kind: &str) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString(kind.into()));
    arguments
}

/// The totals of message rates, without the rates.
fn totals(view: &Value) -> Value {
    let stats = view["message_stats"].as_object().cloned().unwrap_or_default();
    let totals = stats.into_iter().filter(|(name, _)| !name.ends_with("_details"));
    let mut totals: Vec<_> = totals.collect();
    totals.sort_by(|(a, _), (b, _)| a.cmp(b));
    totals.into_iter().collect()
}

/// Publishes six, delivers four of them five times, fetches two; three more go nowhere.
async fn use_queue(client: &Client) -> Channel {
    client.exchange("ex", ExchangeKind::Direct, FieldTable::default()).await;
    client.bind("q", "ex", "key", FieldTable::default()).await;
    for body in ["a", "b"] {
        client.publish("ex", "key", body, BasicProperties::default()).await;
    }
    client.send_all("q", ["c", "d"]).await;
    client.publish("ex", "none", "x", BasicProperties::default()).await;
    for body in ["y", "z"] {
        client
            .publish_mandatory("ex", "none", body, BasicProperties::default())
            .await;
    }
    let channel = client.another().await;
    let mut consumer = channel.consume("q").await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(next(&mut consumer).await);
    }
    requeue(&held[0]).await;
    let again = next(&mut consumer).await;
    assert!(again.redelivered);
    ack(&again).await;
    let rest = BasicAckOptions { multiple: true };
    held[3].ack(rest).await.expect("acked");
    channel.cancel(&consumer).await;
    client.send_all("q", ["e", "f"]).await;
    let got = channel.got("q").await;
    got.ack(BasicAckOptions::default()).await.expect("acked");
    assert_eq!(channel.take("q").await, ["f"]);
    let options = BasicGetOptions { no_ack: false };
    let empty = channel.basic_get("q".into(), options).await.expect("an answer");
    assert!(empty.is_none());
    channel
}

async fn everything_is_counted(kind: &str) {
    let broker = Broker::start();
    let client = broker.client().await;
    client.queue("q", of_type(kind)).await;
    let _consuming = use_queue(&client).await;
    let http = broker.http();
    let consumed = json!({
        "ack": 5, "deliver": 5, "deliver_get": 7, "deliver_no_ack": 0,
        "get": 1, "get_empty": 2, "get_no_ack": 1, "redeliver": 1,
    });
    let published = json!({"confirm": 9, "drop_unroutable": 1, "publish": 9, "return_unroutable": 2});
    let with = |more: &Value| {
        let mut all = consumed.as_object().cloned().expect("an object");
        all.extend(more.as_object().cloned().expect("an object"));
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all.into_iter().collect::<Value>()
    };
    let queue = http.get(QUEUE).expect_status(200).json();
    assert_eq!(totals(&queue), with(&json!({"publish": 6})));
    let exchange = http.get("/api/exchanges/%2f/ex").expect_status(200).json();
    assert_eq!(totals(&exchange), json!({"publish_in": 5, "publish_out": 2}));
    let default = http.get("/api/exchanges/%2f/amq.default").expect_status(200).json();
    assert_eq!(totals(&default), json!({"publish_in": 4, "publish_out": 4}));
    let vhost = http.get("/api/vhosts/%2f").expect_status(200).json();
    assert_eq!(totals(&vhost), with(&published));
    let mut overview = http.get("/api/overview").expect_status(200).json();
    let stats = overview["message_stats"].as_object_mut().expect("an object");
    stats.retain(|name, _| !name.starts_with("disk_"));
    assert_eq!(totals(&overview), with(&published));
    let channels = http.get("/api/channels?sort=name").expect_status(200).json();
    assert_eq!(totals(&channels[0]), published);
    assert_eq!(totals(&channels[1]), consumed);
    let connections = http.get("/api/connections").expect_status(200).json();
    for field in ["recv_oct", "send_oct", "recv_cnt", "send_cnt"] {
        assert!(connections[0][field].as_u64() > Some(0), "{field}");
    }
    for field in ["recv_oct", "send_oct"] {
        assert_eq!(connections[0][field], vhost[field], "{field}");
    }
    let churn = &overview["churn_rates"];
    let counts = [
        "connection_created",
        "channel_created",
        "queue_declared",
        "queue_created",
    ]
    .map(|name| &churn[name]);
    assert_eq!(json!(counts), json!([1, 2, 1, 1]));
    client.connection.close(200, "bye".into()).await.expect("closed");
    let closed = until(&http, "/api/overview", |view| {
        view["churn_rates"]["connection_closed"] == 1
    });
    assert_eq!(closed.await["churn_rates"]["channel_closed"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_happens_to_a_classic_queue_is_counted() {
    everything_is_counted("classic").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_happens_to_a_quorum_queue_is_counted() {
    everything_is_counted("quorum").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rates_are_positive_while_messages_come_and_zero_when_none_do() {
    let broker = Broker::start();
    let client = broker.client().await;
    client.plain_queue("q").await;
    client.send_all("q", ["a", "b", "c"]).await;
    let http = broker.http();
    let rate = |view: &Value, of: &str| view[of]["rate"].as_f64().unwrap_or_default();
    let moving = until(&http, QUEUE, |view| rate(view, "messages_ready_details") > 0.0).await;
    assert!(rate(&moving["message_stats"], "publish_details") > 0.0);
    for path in [
        QUEUE,
        "/api/overview",
        "/api/vhosts/%2f",
        "/api/exchanges/%2f/amq.default",
    ] {
        let still = until(&http, path, |view| {
            let stats = view["message_stats"].as_object().cloned().unwrap_or_default();
            !stats.is_empty()
                && stats
                    .values()
                    .all(|value| value.get("rate").is_none_or(|rate| rate == 0.0))
        });
        still.await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_age_gives_samples() {
    let broker = Broker::start();
    let client = broker.client().await;
    client.plain_queue("q").await;
    client.send_all("q", ["a", "b", "c"]).await;
    let http = broker.http();
    let ages = "lengths_age=60&lengths_incr=1&msg_rates_age=60&msg_rates_incr=1";
    let newest = |view: &Value, of: &str| view[of]["samples"][0]["sample"] == 3;
    let path = format!("{QUEUE}?{ages}");
    let seen = until(&http, &path, |view| newest(view, "messages_ready_details")).await;
    let seen = match newest(&seen["message_stats"], "publish_details") {
        true => seen,
        false => until(&http, &path, |view| newest(&view["message_stats"], "publish_details")).await,
    };
    for details in [&seen["messages_details"], &seen["message_stats"]["publish_details"]] {
        let samples = details["samples"].as_array().expect("samples");
        assert_eq!(samples.len(), 61);
        assert_eq!(samples[60]["sample"], 0);
        let apart = |at: usize| samples[at]["timestamp"].as_u64().expect("a time");
        assert_eq!(apart(0) - apart(60), 60_000);
        assert_eq!(details["avg_rate"], 0.05);
    }
    let overview = http.get(&format!("/api/overview?{ages}")).expect_status(200).json();
    assert!(newest(&overview["message_stats"], "publish_details"));
    assert!(newest(&overview["queue_totals"], "messages_details"));
    let alone = http.get(&format!("{QUEUE}?lengths_age=60")).expect_status(200).json();
    assert!(alone["messages_details"].get("samples").is_none());
    let refused = http.get(&format!("{QUEUE}?lengths_age=60000&lengths_incr=1"));
    let refused = refused.expect_status(400).json();
    assert_eq!(refused["error"], "invalid_range_parameters");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_shows_how_a_thing_was_and_gaps() {
    let broker = Broker::start();
    let client = broker.client().await;
    client.plain_queue("q").await;
    client.send_all("q", ["a", "b", "c"]).await;
    let http = broker.http();
    let path = "/api/series?of=queue:%2F:q&measures=ready,publish,get&age=60&points=60";
    let seen = until(&http, path, |view| view["values"]["ready"][59] == 3).await;
    assert_eq!(seen["every"], 1);
    let values = |name: &str| seen["values"][name].as_array().cloned().expect("values");
    // The node was not there a minute ago.
    assert_eq!(values("ready")[0], Value::Null);
    assert_eq!(values("get")[59], 0);
    let published: f64 = values("publish").iter().filter_map(Value::as_f64).sum();
    assert_eq!(published, 3.0);
    for of in ["vhost:/", "cluster", "exchange:%2F:amq.default"] {
        let view = http.get(&format!("/api/series?of={of}&measures=publish_in&age=60&points=60"));
        let values = view.expect_status(200).json()["values"]["publish_in"].clone();
        let sum: f64 = values.as_array().into_iter().flatten().filter_map(Value::as_f64).sum();
        assert_eq!(sum, 3.0, "{of}");
    }
    let row = until(&http, "/api/queues?trend=60", |view| view[0]["trend"]["ready"][29] == 3).await;
    assert_eq!(row[0]["trend"]["every"], 2);
    assert!(row[0]["messages_details"].get("samples").is_none());
    http.get("/api/series?of=queue:%2F:none").expect_status(404);
    http.get("/api/series?of=queue:%2F:q&measures=nonsense")
        .expect_status(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_forgets_what_was_counted() {
    let broker = Broker::start();
    let client = broker.client().await;
    client.plain_queue("q").await;
    client.send_all("q", ["a", "b", "c"]).await;
    let http = broker.http();
    http.delete("/api/reset").expect_status(204);
    client.send_all("q", ["d"]).await;
    for path in [QUEUE, "/api/overview"] {
        let seen = http.get(path).expect_status(200).json();
        assert_eq!(seen["message_stats"]["publish"], 1, "{path}");
    }
    assert_eq!(http.get(QUEUE).json()["messages"], 4);
    http.delete("/api/reset/nobody").expect_status(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_shows_how_its_figures_move() {
    let broker = Broker::start();
    let http = broker.http();
    let nodes = http.get("/api/nodes").expect_status(200).json();
    let name = nodes[0]["name"].as_str().expect("a name").to_owned();
    let path = format!("/api/nodes/{name}?node_stats_age=60&node_stats_incr=5");
    let node = until(&http, &path, |view| {
        let newest = |of: &str| view[of]["samples"][0]["sample"].as_i64() > Some(0);
        newest("mem_used_details") && newest("fd_used_details") && newest("proc_used_details")
    });
    let node = node.await;
    assert_eq!(node["disk_free_details"]["samples"].as_array().map(Vec::len), Some(13));
    assert_eq!(node["connection_created"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_that_are_off_are_not_shown() {
    let broker = Broker::start();
    let http = broker.http();
    let overview = http.get("/api/overview?disable_stats=true").expect_status(200).json();
    for field in ["message_stats", "churn_rates", "queue_totals"] {
        assert!(overview.get(field).is_none(), "{field}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_told_of_a_queue_and_its_node() {
    for kind in ["classic", "quorum"] {
        let broker = Broker::start();
        let client = broker.client().await;
        client.queue("q", of_type(kind)).await;
        let channel = client.another().await;
        client.send_all("q", ["a"]).await;
        let mut consumer = channel.consume("q").await;
        ack(&next(&mut consumer).await).await;
        client.send_all("q", ["b", "c"]).await;
        for _ in 0..2 {
            ack(&next(&mut consumer).await).await;
        }
        // The answer comes after the acks.
        channel.ready("q").await;
        let http = broker.http();
        let nodes = http.get("/api/nodes").expect_status(200).json();
        let name = nodes[0]["name"].as_str().expect("a name").to_owned();
        for path in [format!("{QUEUE}/latency"), format!("/api/nodes/{name}/latency?age=60")] {
            let seen = http.get(&path).expect_status(200).json();
            for what in ["wait", "ack", "confirm"] {
                let [p50, p99, max] = ["p50", "p99", "max"].map(|part| seen[what][part].as_f64().expect("a time"));
                assert!(0.0 < p50 && p50 <= p99 && p99 <= max, "{kind} {what}: {seen}");
                // Of what is held at the same time one is timed.
                let samples = seen[what]["samples"].as_u64().expect("a number");
                assert!((2..=3).contains(&samples), "{kind} {what}: {samples}");
                let series = seen["series"][what].as_array().expect("a series");
                assert!(series.last().is_some_and(|last| last.is_number()), "{seen}");
            }
        }
        http.get("/api/queues/%2f/none/latency").expect_status(404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_that_take_no_more_are_seen() {
    let broker = Broker::start();
    let client = broker.client().await;
    client.plain_queue("q").await;
    let http = broker.http();
    let capacity = |view: &Value| view["consumer_capacity"].clone();
    assert_eq!(capacity(&http.get(QUEUE).json()), 0);
    let channel = client.another().await;
    channel.prefetch(1).await;
    let mut consumer = channel.consume("q").await;
    assert_eq!(capacity(&http.get(QUEUE).json()), 1.0);
    client.send_all("q", ["a", "b"]).await;
    let _held = next(&mut consumer).await;
    until(&http, QUEUE, |view| capacity(view).as_f64() < Some(0.9)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_detail_it_is_seen_who_does_what_with_what() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("rabbitmq.conf");
    std::fs::write(&config, "management.rates_mode = detailed\n").expect("written");
    let broker = Broker::start_with(&["--config", config.to_str().expect("a path")]);
    let client = broker.client().await;
    client.plain_queue("q").await;
    let _consuming = use_queue(&client).await;
    let http = broker.http();
    let shown = |list: &Value| {
        let mut shown = Vec::new();
        for item in list.as_array().expect("a list") {
            let stats = &item["stats"];
            let of = ["queue", "exchange", "channel_details"].map(|field| item[field]["name"].as_str());
            let of = of.into_iter().flatten().next().expect("a name");
            // A channel's name begins with its address.
            let of = of.rsplit(' ').next().unwrap_or_default();
            let counts = ["publish", "deliver", "ack"].map(|field| stats[field].as_u64());
            let counts = counts.into_iter().flatten();
            shown.push(format!("{of} {:?}", counts.collect::<Vec<_>>()));
        }
        shown.sort();
        shown
    };
    let queue = http.get(QUEUE).expect_status(200).json();
    assert_eq!(shown(&queue["incoming"]), [" [4]", "ex [2]"]);
    assert_eq!(shown(&queue["deliveries"]), ["(2) [5, 5]"]);
    let exchange = http.get("/api/exchanges/%2f/ex").expect_status(200).json();
    assert_eq!(shown(&exchange["incoming"]), ["(1) [5]"]);
    assert_eq!(shown(&exchange["outgoing"]), ["q [2]"]);
    let channels = http.get("/api/channels?sort=name").expect_status(200).json();
    let one = |at: usize| {
        let name = channels[at]["name"].as_str().expect("a name");
        let path = format!("/api/channels/{}", name.replace(' ', "%20").replace('>', "%3E"));
        http.get(&path).expect_status(200).json()
    };
    assert_eq!(shown(&one(0)["publishes"]), [" [4]", "ex [5]"]);
    assert_eq!(shown(&one(1)["deliveries"]), ["q [5, 5]"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn syncs_of_the_log_are_seen() {
    let broker = Broker::start();
    let client = broker.client().await;
    client.plain_queue("q").await;
    let persistent = BasicProperties::default().with_delivery_mode(2);
    assert!(client.publish("", "q", "a", persistent).await.is_ack());
    let http = broker.http();
    let nodes = until(&http, "/api/nodes", |view| view[0]["io_sync_count"].as_u64() > Some(0)).await;
    assert!(nodes[0]["io_write_bytes"].as_u64() > Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_collector_nothing_is_shown_or_kept() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("rabbitmq.conf");
    std::fs::write(&config, "management_agent.disable_metrics_collector = true\n").expect("written");
    let broker = Broker::start_with(&["--config", config.to_str().expect("a path")]);
    let client = broker.client().await;
    client.plain_queue("q").await;
    client.send_all("q", ["a"]).await;
    let http = broker.http();
    let overview = http.get("/api/overview").expect_status(200).json();
    assert_eq!(overview["disable_stats"], true);
    assert!(overview.get("message_stats").is_none());
    let queues = http.get("/api/queues").expect_status(200).json();
    assert!(queues[0].get("message_stats").is_none() && queues[0].get("messages").is_none());
}
