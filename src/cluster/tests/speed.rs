//! How fast one link is. Run by hand, with optimisation:
//! `cargo nextest run --release --lib --run-ignored only -E 'test(link_speed)' --no-capture`

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::support::*;
use crate::cluster::identity::Identity;
use crate::cluster::rpc::Origin;
use crate::cluster::{CallFuture, Class, Cluster, Flow, Handler, Services};
use crate::types::NodeId;

const COUNTED: u16 = 1;

#[derive(Default)]
struct Counter {
    count: AtomicUsize,
    wanted: AtomicUsize,
    done: Notify,
}

impl Handler for Counter {
    fn call(&self, _from: Origin, request: Bytes) -> CallFuture {
        Box::pin(async move { Ok(request) })
    }

    fn messages(&self, _from: &Origin, messages: &mut Vec<Bytes>) -> Flow {
        let count = self.count.fetch_add(messages.len(), Ordering::Relaxed) + messages.len();
        if count >= self.wanted.load(Ordering::Relaxed) {
            self.done.notify_one();
        }
        Flow::Ready
    }
}

async fn node(plan: Plan, linger: Duration) -> (Cluster, NodeId, Arc<Counter>) {
    let counter = Arc::new(Counter::default());
    let identity = Identity::open(plan.directory.path(), &plan.name, rand::random).expect("opens");
    let services = Services::default().serve(COUNTED, Class::Data, counter.clone());
    let mut settings = plan.settings;
    settings.timing.linger = linger;
    let listener: TcpListener = plan.listener;
    let cluster = Cluster::start(
        settings,
        &identity,
        plan.secret.into(),
        services,
        listener,
        plan.directory.path(),
    );
    (cluster.expect("starts"), identity.id(), counter)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn link_speed() {
    // Each twice: machines have moods.
    for linger_ms in [0, 1, 0, 1] {
        let linger = Duration::from_millis(linger_ms);
        let (a, b) = (Plan::new("a").await, Plan::new("b").await);
        let to_b = b.address();
        let (a, _, _) = node(a.seeds(&[&to_b]), linger).await;
        let (_b, b, counter) = node(b, linger).await;
        must(a.linked(b, Class::Data)).await;
        println!("linger {linger_ms} ms");
        for (bytes, count) in [(100, 2_000_000), (1024, 1_000_000), (64 * 1024, 20_000)] {
            let payload = Bytes::from(vec![1; bytes]);
            counter.count.store(0, Ordering::Relaxed);
            counter.wanted.store(count, Ordering::Relaxed);
            let begun = Instant::now();
            let stream = a.stream(b, COUNTED).expect("connected");
            for _ in 0..count {
                stream.send(payload.clone()).await.expect("sent");
            }
            counter.done.notified().await;
            let rate = count as f64 / begun.elapsed().as_secs_f64();
            println!(
                "  one way {bytes} B: {rate:.0}/s, {:.0} MB/s",
                rate * bytes as f64 / 1e6
            );
        }
        for callers in [1, 16, 256] {
            let tasks: Vec<_> = (0..callers)
                .map(|_| tokio::spawn(caller(a.clone(), b, 20_000 / callers + 50)))
                .collect();
            let begun = Instant::now();
            let mut times = Vec::new();
            for task in tasks {
                times.extend(task.await.expect("no panic"));
            }
            let rate = times.len() as f64 / begun.elapsed().as_secs_f64();
            times.sort_unstable();
            let at = |part: usize| times[times.len() * part / 100];
            println!(
                "  calls, {callers} at once: {rate:.0}/s, p50 {:?}, p99 {:?}",
                at(50),
                at(99)
            );
        }
    }
}

async fn caller(cluster: Cluster, to: NodeId, count: usize) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..count {
        let begun = Instant::now();
        cluster
            .call(to, COUNTED, "echo".into(), soon())
            .await
            .expect("answered");
        times.push(begun.elapsed());
    }
    times
}
