//! `kill -9` in the middle of publishing and consuming, many times over on the same data.

use std::sync::{Arc, Mutex};

use futures_lite::StreamExt;
use lapin::Channel;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicPublishOptions};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::mpsc;

use super::ledger::Ledger;
use crate::support::*;

/// Unconfirmed messages of the publisher.
const WINDOW: usize = 100;
/// Rounds of a run that is part of `make test`.
const ROUNDS: u32 = 6;

fn seed() -> u64 {
    let seed = match std::env::var("WARREN_TEST_SEED") {
        Ok(seed) => seed.parse().expect("WARREN_TEST_SEED is a number"),
        Err(_) => rand::random(),
    };
    println!("WARREN_TEST_SEED={seed}");
    seed
}

fn rounds() -> u32 {
    let rounds = std::env::var("WARREN_TEST_ROUNDS").map(|rounds| rounds.parse().expect("a number"));
    rounds.unwrap_or(ROUNDS)
}

/// The body: the number, and after it so much that the length is seen to be right.
fn body_of(number: u64) -> Vec<u8> {
    // Mostly small; some take a frame, some several.
    let extra = match number % 50 {
        7 => 20_000,
        23 => 200_000,
        at => at * 17,
    };
    let mut body = number.to_be_bytes().to_vec();
    body.extend((0..extra).map(|at| (number.wrapping_add(at) % 251) as u8));
    body
}

fn number_of(body: &[u8]) -> u64 {
    let number = u64::from_be_bytes(*body.first_chunk().expect("the number"));
    assert!(body == body_of(number), "the body of {number} is damaged");
    number
}

/// Publishes numbers from `first` until the connection is lost, and tells of each confirm.
async fn publish(channel: Channel, first: u64, ledger: Arc<Mutex<Ledger>>, told: mpsc::UnboundedSender<()>) {
    let mut waiting = std::collections::VecDeque::new();
    for number in first.. {
        ledger.lock().expect("no panic while locked").sent.insert(number);
        let body = body_of(number);
        let options = BasicPublishOptions::default();
        let Ok(confirm) = channel
            .basic_publish("".into(), "orders".into(), options, &body, persistent())
            .await
        else {
            break;
        };
        waiting.push_back((number, confirm));
        if waiting.len() >= WINDOW {
            let (number, confirm) = waiting.pop_front().expect("a full window");
            match confirm.await {
                Ok(confirm) => assert!(confirm.is_ack(), "{number} was refused"),
                Err(_) => break,
            }
            ledger.lock().expect("no panic while locked").confirmed.insert(number);
            // Nobody listens any more once enough are confirmed.
            let _ = told.send(());
        }
    }
    // Confirms that arrived before the end count as well.
    for (number, confirm) in waiting {
        match confirm.await {
            Ok(confirm) if confirm.is_ack() => ledger.lock().expect("no panic while locked").confirmed.insert(number),
            _ => break,
        };
    }
}

/// Reads everything in the queue without settling it.
async fn read_all(channel: &Channel) -> Vec<Delivery> {
    let ready = channel.ready("orders").await;
    let mut consumer = channel.consume("orders").await;
    let mut found = Vec::new();
    for _ in 0..ready {
        found.push(next(&mut consumer).await);
    }
    channel.quiet(&mut consumer).await;
    found
}

/// A confirmed publish behind everything that was asked of the broker before: that is on disk then.
async fn wait_for_disk(client: &Client) {
    client.look("orders").await.expect("what was sent before has arrived");
    client.plain_queue("mark").await;
    assert!(client.publish("", "mark", "", persistent()).await.is_ack());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_confirmed_message_is_there_in_order_after_each_kill() {
    let mut random = StdRng::seed_from_u64(seed());
    let mut broker = Broker::start();
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    broker.client().await.plain_queue("orders").await;
    for round in 0..rounds() {
        let publisher = broker.client().await;
        let worker = broker.client().await;
        let first = ledger
            .lock()
            .expect("no panic while locked")
            .sent
            .last()
            .map_or(0, |last| last + 1);
        let (told, mut confirms) = mpsc::unbounded_channel();
        let publishing = tokio::spawn(publish(publisher.channel.clone(), first, ledger.clone(), told));

        // Meanwhile some are consumed: a part acked, a part held when the end comes.
        worker.prefetch(500).await;
        let mut consumer = worker.consume("orders").await;
        let acks = random.random_range(0..400);
        for _ in 0..acks {
            let Ok(Some(Ok(delivery))) = tokio::time::timeout(PATIENCE, consumer.next()).await else {
                panic!("no delivery in time");
            };
            let number = number_of(&delivery.data);
            ledger.lock().expect("no panic while locked").delivered.insert(number);
            if random.random_bool(0.8) {
                ledger.lock().expect("no panic while locked").acked.insert(number);
                ack(&delivery).await;
            }
        }
        if random.random_bool(0.5) {
            wait_for_disk(&worker).await;
            ledger.lock().expect("no panic while locked").acks_are_safe();
        }
        let more = random.random_range(0..1000);
        for _ in 0..more {
            confirms.recv().await.expect("the publisher goes on until the kill");
        }
        broker.kill9();
        publishing.await.expect("the publisher ends");
        // What the library had read from the socket may or may not have been handed out.
        while let Some(Ok(delivery)) = consumer.next().await {
            let number = number_of(&delivery.data);
            ledger.lock().expect("no panic while locked").delivered.insert(number);
        }

        broker.restart();
        let reader = broker.client().await;
        let found = read_all(&reader).await;
        println!(
            "round {round}: {} found, {acks} consumed, {more} waited for",
            found.len()
        );
        // Most are settled; what is left is in the next round's queue again.
        let settled = found.len().saturating_sub(random.random_range(0..300));
        {
            let mut ledger = ledger.lock().expect("no panic while locked");
            let seen: Vec<_> = found
                .iter()
                .map(|found| (number_of(&found.data), found.redelivered))
                .collect();
            ledger.check(&seen);
            ledger.delivered.extend(seen.iter().map(|&(number, _)| number));
            ledger.acked.extend(seen[..settled].iter().map(|&(number, _)| number));
        }
        if let Some(last) = found[..settled].last() {
            last.ack(BasicAckOptions { multiple: true }).await.expect("acked");
            wait_for_disk(&reader).await;
            ledger.lock().expect("no panic while locked").acks_are_safe();
        }
        reader.connection.close(200, "done".into()).await.expect("closed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_queues_of_a_fanout_have_what_was_confirmed() {
    let mut random = StdRng::seed_from_u64(seed());
    let mut broker = Broker::start();
    let queues = ["one", "two", "three"];
    let client = broker.client().await;
    for queue in queues {
        client.plain_queue(queue).await;
        client.bind(queue, "amq.fanout", "", table([])).await;
    }
    let mut confirmed = 0;
    for _ in 0..3 {
        let client = broker.client().await;
        let count = random.random_range(1..40);
        for _ in 0..count {
            let body = confirmed.to_string();
            assert!(client.publish("amq.fanout", "", &body, persistent()).await.is_ack());
            confirmed += 1;
        }
        broker.kill9();
        broker.restart();
    }
    let client = broker.client().await;
    let expected: Vec<_> = (0..confirmed).map(|number: u32| number.to_string()).collect();
    for queue in queues {
        let mut found = Vec::new();
        while let Some(message) = client.get(queue).await {
            found.push(body(&message));
        }
        assert_eq!(found, expected, "{queue}");
    }
}

#[tokio::test]
async fn a_broker_killed_again_and_again_while_starting_keeps_everything() {
    let mut broker = Broker::start();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    for number in 0..50 {
        let body = number.to_string();
        assert!(client.publish("", "orders", &body, persistent()).await.is_ack());
    }
    for _ in 0..5 {
        broker.kill9();
        broker.restart();
    }
    let client = broker.client().await;
    assert_eq!(client.ready("orders").await, 50);
}
