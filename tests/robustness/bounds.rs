//! Clients that ask for more than they take, or never let the broker speak.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lapin::options::BasicQosOptions;

use super::frames::{PLAIN, channel, method, publish_with};
use crate::support::*;

#[tokio::test]
async fn a_client_that_does_not_read_gets_no_more_than_fits() {
    let broker = Broker::start();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    let body = "x".repeat(1 << 20);
    for _ in 0..100 {
        let confirm = client.publish("", "orders", &body, persistent()).await;
        assert!(confirm.is_ack());
    }
    let mut raw = channel(&broker);
    let get = [&[0, 0][..], &short("orders"), &[0]].concat();
    raw.send(&method(1, (60, 70), &get).repeat(100));
    for _ in 0..2000 {
        client.ready("orders").await;
    }
    let left = client.ready("orders").await;
    assert!(
        left > 50,
        "only {left} of 100 were left: the others wait for a client that does not read"
    );
    for _ in 0..100 {
        let got = raw.read().expect("an answer");
        assert_eq!(got.method(), Some((60, 71)));
        let mut missing = body.len();
        raw.read().expect("the header");
        while missing > 0 {
            missing -= raw.read().expect("a body").payload.len();
        }
    }
    assert_eq!(client.ready("orders").await, 0, "it got all as it read on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_pauses_hears_that_it_is_closed() {
    let broker = Broker::start();
    let mut raw = channel(&broker);
    let mut writing = raw.socket.try_clone().expect("the socket twice");
    let (stop, stopped) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (asked, begun) = (stop.clone(), stopped.clone());
    let flooding = std::thread::spawn(move || {
        let flood = publish_with("amq.fanout", "", PLAIN, &[1; 1000]).repeat(1000);
        while !asked.load(Ordering::Relaxed) && writing.write_all(&flood).is_ok() {
            begun.store(true, Ordering::Relaxed);
        }
    });
    while !stopped.load(Ordering::Relaxed) {
        std::thread::yield_now();
    }
    let connections = broker.http().get("/api/connections").json();
    let name = connections[0]["name"]
        .as_str()
        .expect("a name")
        .replace(' ', "%20")
        .replace('>', "%3E");
    broker
        .http()
        .delete(&format!("/api/connections/{name}"))
        .expect_status(204);
    raw.expect(10, 50);
    stop.store(true, Ordering::Relaxed);
    raw.socket.shutdown(std::net::Shutdown::Both).expect("cut off");
    flooding.join().expect("the flood");
}

#[tokio::test]
async fn in_a_transaction_the_channels_prefetch_is_free_with_the_commit() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    client.send_all("orders", ["m1", "m2"]).await;
    let worker = client.another().await;
    worker.tx_select().await.expect("a transaction");
    worker
        .basic_qos(1, BasicQosOptions { global: true })
        .await
        .expect("qos");
    let mut consumer = worker.consume("orders").await;
    ack(&next(&mut consumer).await).await;
    worker.quiet(&mut consumer).await;
    worker.tx_rollback().await.expect("rolled back");
    worker.quiet(&mut consumer).await;
    worker
        .basic_ack(1, lapin::options::BasicAckOptions::default())
        .await
        .expect("acked again");
    worker.tx_commit().await.expect("committed");
    assert_eq!(story(&next(&mut consumer).await), "m2");
}

#[tokio::test]
async fn one_consumer_too_many_closes_the_connection() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("warren.conf");
    std::fs::write(&file, "consumer_max_per_channel = 1\n").expect("written");
    let broker = Broker::start_with(&["--config", file.to_str().expect("a path")]);
    broker.client().await.plain_queue("orders").await;
    let mut raw = channel(&broker);
    let consume = |tag| [&[0, 0][..], &short("orders"), &short(tag), &[0], &0_u32.to_be_bytes()].concat();
    raw.method(1, (60, 20), &consume("a"));
    raw.expect(60, 21);
    raw.method(1, (60, 20), &consume("b"));
    let close = raw.expect(10, 50);
    let text = "NOT_ALLOWED - reached maximum (1) of consumers per channel";
    assert_eq!(
        close.payload[4..],
        [&530_u16.to_be_bytes()[..], &short(text), &[0, 60, 0, 20]].concat()
    );
}
