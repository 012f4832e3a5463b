//! Wires that break, and heal.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::proxy::{Proxy, Wire};
use super::support::*;
use crate::cluster::{CallError, Event, Suspicion};

/// Two nodes that reach each other only over wires: the first's, and the second's.
async fn wired() -> (Node, Node, [Proxy; 2]) {
    let (mut a, mut b) = (Plan::new("a").await, Plan::new("b").await);
    let to_a = Proxy::before(a.listener.local_addr().expect("bound")).await;
    let to_b = Proxy::before(b.listener.local_addr().expect("bound")).await;
    a.settings.advertise = to_a.address.to_string();
    b.settings.advertise = to_b.address.to_string();
    let seed = to_b.address.to_string();
    let (mut a, mut b) = (a.seeds(&[&seed]).start(), b.start());
    agreed(&a, &b).await;
    a.sees_up(&b).await;
    b.sees_up(&a).await;
    (a, b, [to_a, to_b])
}

fn suspect(node: &Node, why: Suspicion) -> Event {
    Event::Suspect { node: node.id, why }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_fail_at_once_when_their_wire_is_cut_and_work_again() {
    let (a, b, wires) = wired().await;
    let (cluster, to) = (a.cluster.clone(), b.id);
    let call = tokio::spawn(async move { cluster.call(to, DATA, "hang".into(), soon()).await });
    until(|| b.recorder.busy.load(Ordering::SeqCst) == 1).await;
    let stream = a.cluster.stream(b.id, DATA).expect("connected");
    let cut = Instant::now();
    broken(&a, &b, async { wires.iter().for_each(Proxy::cut) }).await;
    assert_eq!(must(call).await.expect("no panic"), Err(CallError::Broken));
    assert!(cut.elapsed() < Duration::from_secs(2), "{:?}", cut.elapsed());
    until(|| b.recorder.busy.load(Ordering::SeqCst) == 0).await;
    must(stream.ended()).await;
    assert!(stream.try_send("x".into()).is_err(), "a stream has no gaps");
    assert!(b.recorder.ended.load(Ordering::SeqCst) > 0);
    agreed(&a, &b).await;
    a.echo(&b).await;
    b.echo(&a).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_is_suspected_and_forgiven_when_it_ends() {
    let (mut a, mut b, wires) = wired().await;
    let held = Instant::now();
    wires.iter().for_each(|wire| wire.set(Wire::Held));
    assert_eq!(a.event().await, suspect(&b, Suspicion::Silence));
    assert_eq!(b.event().await, suspect(&a, Suspicion::Silence));
    assert!(held.elapsed() > Duration::from_millis(500), "{:?}", held.elapsed());
    wires.iter().for_each(|wire| wire.set(Wire::Open));
    assert!(matches!(a.event().await, Event::Up { node, .. } if node == b.id));
    assert!(matches!(b.event().await, Event::Up { node, .. } if node == a.id));
    agreed(&a, &b).await;
    a.echo(&b).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_silence_ends_the_connections_and_they_come_back() {
    let (mut a, b, wires) = wired().await;
    let stream = a.cluster.stream(b.id, DATA).expect("connected");
    wires.iter().for_each(|wire| wire.set(Wire::Held));
    assert_eq!(a.event().await, suspect(&b, Suspicion::Silence));
    must(stream.ended()).await;
    wires.iter().for_each(Proxy::cut);
    wires.iter().for_each(|wire| wire.set(Wire::Open));
    assert!(matches!(a.event().await, Event::Up { node, .. } if node == b.id));
    agreed(&a, &b).await;
    a.echo(&b).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_gone_is_suspected_at_once() {
    let (mut a, b, [mut to_a, mut to_b]) = wired().await;
    let gone = Instant::now();
    to_b.remove().await;
    to_a.remove().await;
    assert_eq!(a.event().await, suspect(&b, Suspicion::Refused));
    assert!(gone.elapsed() < Duration::from_millis(900), "{:?}", gone.elapsed());
    to_a.restore().await;
    to_b.restore().await;
    assert!(matches!(a.event().await, Event::Up { node, .. } if node == b.id));
    agreed(&a, &b).await;
    b.echo(&a).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_way_is_enough_to_be_connected() {
    let (a, b, [to_a, mut to_b]) = wired().await;
    // Nobody reaches b any more; b still reaches a.
    broken(&a, &b, async {
        to_b.remove().await;
        to_a.cut();
    })
    .await;
    agreed(&a, &b).await;
    a.echo(&b).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cuts_again_and_again_are_healed() {
    let (a, b, wires) = wired().await;
    for _ in 0..10 {
        broken(&a, &b, async { wires.iter().for_each(Proxy::cut) }).await;
        agreed(&a, &b).await;
        a.echo(&b).await;
        b.echo(&a).await;
    }
}
