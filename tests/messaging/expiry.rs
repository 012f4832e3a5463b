//! Messages that are not taken in time.

use std::time::{Duration, Instant};

use lapin::options::BasicPublishOptions;
use lapin::types::AMQPValue;

use crate::support::*;

#[tokio::test]
async fn the_queue_s_ttl_ends_messages() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let brief = dying_to("dead", [("x-message-ttl", number(150))]);
    client.queue("brief", brief).await;
    client.plain_queue("dead").await;
    let mut dead = client.consume("dead").await;
    client.send_all("brief", ["m1", "m2"]).await;
    assert_eq!(next_many(&mut dead, 2).await, ["m1", "m2"]);
    assert_eq!(client.ready("brief").await, 0);
}

#[tokio::test]
async fn a_message_s_own_time_ends_it() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.queue("orders", dying_to("dead", [])).await;
    client.plain_queue("dead").await;
    let mut dead = client.consume("dead").await;
    client.publish("", "orders", "brief", expiring(100)).await;
    client.publish("", "orders", "long", expiring(600_000)).await;
    assert_eq!(story(&next(&mut dead).await), "brief");
    assert_eq!(client.take("orders").await, ["long"]);
}

#[tokio::test]
async fn the_lower_of_both_times_counts() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let brief = dying_to("dead", [("x-message-ttl", number(150))]);
    client.queue("brief", brief).await;
    client.plain_queue("dead").await;
    let mut dead = client.consume("dead").await;
    client.publish("", "brief", "m1", expiring(600_000)).await;
    assert_eq!(story(&next(&mut dead).await), "m1");
}

#[tokio::test]
async fn a_message_behind_a_living_one_waits_for_its_turn_to_expire() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.queue("orders", dying_to("dead", [])).await;
    client.plain_queue("dead").await;
    client.plain_queue("clock").await;
    let mut dead = client.consume("dead").await;
    client.send_all("orders", ["living"]).await;
    client.publish("", "orders", "brief", expiring(50)).await;
    // A second queue tells when the time is over.
    client.queue("timer", dying_to("clock", [])).await;
    let mut clock = client.consume("clock").await;
    client.publish("", "timer", "over", expiring(150)).await;
    next(&mut clock).await;
    assert_eq!(client.ready("orders").await, 2);

    let first = client.got("orders").await;
    assert_eq!(story(&first), "living");
    assert_eq!(story(&next(&mut dead).await), "brief");
}

#[tokio::test]
async fn ttl_zero_is_for_a_waiting_consumer_only() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.queue("now", table([("x-message-ttl", number(0))])).await;
    client.send_all("now", ["lost"]).await;
    assert_eq!(client.ready("now").await, 0);
    let mut consumer = client.consume("now").await;
    client.send_all("now", ["m1"]).await;
    assert_eq!(story(&next(&mut consumer).await), "m1");
}

#[tokio::test]
async fn an_expiration_must_be_a_number() {
    let broker = Broker::shared();
    let mut client = broker.client().await;
    client.plain_queue("orders").await;
    for (expiration, why) in [
        ("", "no_integer"),
        ("soon", "no_integer"),
        ("100ms", "{leftover_string,\"ms\"}"),
        ("-1", "{value_negative,-1}"),
    ] {
        let properties = persistent().with_expiration(expiration.into());
        let options = BasicPublishOptions::default();
        let published = client.basic_publish("".into(), "orders".into(), options, b"", properties);
        let refusal = refused(published.await.expect("published").await);
        let expected = format!("406 PRECONDITION_FAILED - invalid expiration '{expiration}': {why}");
        assert_eq!(refusal, expected);
        client.again().await;
    }
}

const TEN_YEARS: i64 = 315_360_000_000;

#[tokio::test]
async fn times_over_ten_years_are_refused() {
    let broker = Broker::shared();
    let mut client = broker.client().await;
    for argument in ["x-message-ttl", "x-expires"] {
        let with = |time| table([(argument, AMQPValue::LongLongInt(time))]);
        client.queue(argument, with(TEN_YEARS)).await;
        let options = lapin::options::QueueDeclareOptions::default();
        let declared = client.queue_declare("q".into(), options, with(TEN_YEARS + 1)).await;
        let words = format!(
            "invalid arg '{argument}' for queue 'q' in vhost '{}': {{value_too_large,{}}}",
            broker.vhost_name(),
            TEN_YEARS + 1
        );
        assert!(refused(declared).contains(&words), "{words}");
        client.again().await;
    }
    client.plain_queue("q").await;
    let expiration = |time: i64| Properties::default().with_expiration(time.to_string().into());
    client.publish("", "q", "m", expiration(TEN_YEARS)).await;
    assert_eq!(client.ready("q").await, 1);
    let published = client.basic_publish(
        "".into(),
        "q".into(),
        Default::default(),
        b"m",
        expiration(TEN_YEARS + 1),
    );
    let words = "invalid expiration '315360000001': {value_too_large,315360000001}";
    assert!(refused_publish(published).await.contains(words));
}

#[tokio::test]
async fn a_passive_declare_is_a_use_of_the_queue() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let kept = Duration::from_secs(2);
    client.queue("q", table([("x-expires", number(2000))])).await;
    // It is looked at for longer than it lives without.
    let start = Instant::now();
    while start.elapsed() < 2 * kept {
        client.look("q").await.expect("the queue");
    }
}
