//! Publishers and consumers of one queue that go on whatever happens to the nodes, and tell what
//! they saw.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_lite::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicPublishOptions};
use lapin::{Connection, ConnectionProperties, ConnectionState, PublisherConfirm};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::checker::{History, Message, Violation};
use crate::support::*;

/// Unconfirmed publishes of one publisher.
const WINDOW: usize = 50;
/// Unacked messages of one consumer.
const PREFETCH: u16 = 20;
/// A consumer that hears nothing for so long tries the next node, and so does a client that cannot
/// connect.
const SILENCE: Duration = Duration::from_secs(10);
/// Longer than any test keeps a queue without a leader: an answer that has not come by then was
/// forgotten.
const ANSWER: Duration = Duration::from_secs(30);
/// A publisher stays with a node for so many publishes.
const STAY: u32 = 2_000;
/// Between two attempts to connect.
const AGAIN: Duration = Duration::from_millis(50);
/// Mostly small; some bodies take their time.
const SIZES: [usize; 5] = [16, 200, 1024, 4096, 20_000];

/// The clients of one queue and what they saw.
pub struct Load {
    queue: String,
    history: Arc<Mutex<History>>,
    publishing: Arc<AtomicBool>,
    consuming: Arc<AtomicBool>,
    publishers: Vec<JoinHandle<()>>,
    consumers: Vec<JoinHandle<()>>,
}

/// What a client needs to be one.
#[derive(Clone)]
struct Shared {
    uris: Vec<String>,
    queue: String,
    history: Arc<Mutex<History>>,
    /// Until this is false.
    go_on: Arc<AtomicBool>,
}

impl Load {
    /// A publisher that begins on each node, and a consumer on each, for a queue that is there.
    pub fn start(cluster: &Cluster, queue: &str) -> Self {
        let history = Arc::new(Mutex::new(History::default()));
        let [publishing, consuming] = [(); 2].map(|()| Arc::new(AtomicBool::new(true)));
        let shared = |go_on: &Arc<AtomicBool>, first: usize| {
            let mut uris: Vec<_> = cluster.all().iter().map(|&node| cluster.uri(node)).collect();
            uris.rotate_left(first - 1);
            Shared {
                uris,
                queue: queue.to_owned(),
                history: history.clone(),
                go_on: go_on.clone(),
            }
        };
        let nodes = cluster.all().into_iter();
        let publishers = nodes
            .clone()
            .map(|node| tokio::spawn(publisher(shared(&publishing, node))));
        let publishers = publishers.collect();
        let consumers = nodes.map(|node| tokio::spawn(consumer(shared(&consuming, node))));
        Self {
            queue: queue.to_owned(),
            publishers,
            consumers: consumers.collect(),
            history,
            publishing,
            consuming,
        }
    }

    /// Waits until so many more publishes are confirmed.
    pub async fn confirms(&self, more: usize) {
        let before = seen(&self.history, |history| history.confirms());
        until(&format!("{more} more confirms than {before}"), || {
            self.alive();
            seen(&self.history, |history| history.confirms()) >= before + more
        })
        .await;
    }

    /// Waits until so many more messages are delivered.
    pub async fn deliveries(&self, more: usize) {
        let before = seen(&self.history, |history| history.deliveries());
        until(&format!("{more} more deliveries than {before}"), || {
            self.alive();
            seen(&self.history, |history| history.deliveries()) >= before + more
        })
        .await;
    }

    /// A client that panicked says why when it is waited for; nobody must wait for what it does.
    fn alive(&self) {
        let mut clients = self.publishers.iter().chain(&self.consumers);
        assert!(clients.all(|client| !client.is_finished()), "a client has ended");
    }

    /// Ends the publishers, lets the consumers have what is left, and checks everything.
    pub async fn check(self, cluster: &Cluster) {
        self.publishing.store(false, Ordering::Relaxed);
        for publisher in self.publishers {
            publisher.await.expect("a publisher without panic");
        }
        // What does not come in time is found to be lost; it is not waited for by a condition that
        // fails, for then nothing would be said of the rest.
        let node = cluster.all()[0];
        let client = cluster.client(node).await;
        let drained = async {
            loop {
                let complete = seen(&self.history, |history| history.is_complete());
                let is_empty = || {
                    cluster
                        .queue(node, &self.queue)
                        .is_some_and(|queue| queue["messages"] == 0)
                };
                if complete && is_empty() {
                    break;
                }
                sleep(AGAIN).await;
            }
        };
        let in_time = timeout(CLUSTER_PATIENCE, drained).await.is_ok();
        if !in_time {
            // Who holds what did not come, while they still do.
            let consumers = cluster.http(node).get("/api/consumers").body;
            println!("{:?}\n{consumers}", cluster.queue(node, &self.queue));
        }
        self.consuming.store(false, Ordering::Relaxed);
        for consumer in self.consumers {
            consumer.await.expect("a consumer without panic");
        }
        // What they had not looked at is back.
        let shared = Shared {
            uris: Vec::new(),
            queue: self.queue,
            history: self.history,
            go_on: self.consuming,
        };
        let session = shared.note(History::session);
        let drained = cluster.client(node).await;
        let take_one = async || timeout(PATIENCE, drained.get(&shared.queue)).await;
        while let Some(message) = take_one().await.expect("an answer to basic.get") {
            take(&shared, &drained.connection, session, message.delivery)
                .await
                .expect("acked");
        }
        drained.connection.close(200, "done".into()).await.expect("closed");
        let left = timeout(PATIENCE, client.ready(&shared.queue)).await.expect("an answer");
        let history = shared.history.lock().expect("no panic while locked");
        println!("{} confirmed, {} deliveries", history.confirms(), history.deliveries());
        let violations = history.check(left);
        let shown = &violations[..violations.len().min(20)];
        for message in shown.iter().filter_map(Violation::message) {
            println!("{}", history.story(message));
        }
        assert!(violations.is_empty(), "{} violations: {shown:?}", violations.len());
        assert!(in_time, "everything came, and the queue did not become empty");
        assert!(history.confirms() > 0, "nothing was published");
    }
}

fn seen<T>(history: &Mutex<History>, look: impl FnOnce(&History) -> T) -> T {
    look(&history.lock().expect("no panic while locked"))
}

impl Shared {
    fn goes_on(&self) -> bool {
        self.go_on.load(Ordering::Relaxed)
    }

    fn note<T>(&self, what: impl FnOnce(&mut History) -> T) -> T {
        what(&mut self.history.lock().expect("no panic while locked"))
    }
}

/// One connection after the other, each to the next node.
async fn publisher(shared: Shared) {
    for uri in shared.uris.iter().cycle() {
        if !shared.goes_on() {
            return;
        }
        // An error is a connection that could not be made or was lost: that is what happens here.
        let _ = publish(&shared, uri).await;
        sleep(AGAIN).await;
    }
}

/// Publishes on one connection until it fails, or has done its share.
async fn publish(shared: &Shared, uri: &str) -> lapin::Result<()> {
    let Some(connection) = connect(uri).await else {
        return Ok(());
    };
    let channel = answered(&connection, "channel.open", connection.create_channel()).await?;
    answered(
        &connection,
        "confirm.select",
        channel.confirm_select(Default::default()),
    )
    .await?;
    let session = shared.note(History::session);
    let mut waiting = std::collections::VecDeque::new();
    for number in 0..STAY {
        if !shared.goes_on() {
            break;
        }
        let message = Message { session, number };
        let body = message.body(SIZES[number as usize % SIZES.len()]);
        shared.note(|history| history.sent(message));
        let key = shared.queue.as_str().into();
        let published = channel.basic_publish("".into(), key, BasicPublishOptions::default(), &body, persistent());
        waiting.push_back((message, answered(&connection, "the socket", published).await?));
        if waiting.len() == WINDOW {
            let (message, confirm) = waiting.pop_front().expect("a full window");
            if !confirmed(shared, &connection, message, confirm).await? {
                return Ok(());
            }
        }
    }
    for (message, confirm) in waiting {
        if !confirmed(shared, &connection, message, confirm).await? {
            return Ok(());
        }
    }
    // The end of a connection that did its work tells nothing.
    let _ = timeout(SILENCE, connection.close(200, "done".into())).await;
    Ok(())
}

/// Waits for a confirm; false if none comes.
async fn confirmed(
    shared: &Shared,
    connection: &Connection,
    message: Message,
    confirm: PublisherConfirm,
) -> lapin::Result<bool> {
    let Ok(confirm) = timeout(ANSWER, confirm).await else {
        if connection.status().connected() {
            shared.note(|history| history.unanswered(message));
        }
        return Ok(false);
    };
    if confirm?.is_ack() {
        shared.note(|history| history.confirmed(message));
    }
    Ok(true)
}

async fn consumer(shared: Shared) {
    for uri in shared.uris.iter().cycle() {
        if !shared.goes_on() {
            return;
        }
        let _ = consume(&shared, uri).await;
        sleep(AGAIN).await;
    }
}

/// Consumes on one connection until it fails or nothing comes for a while.
async fn consume(shared: &Shared, uri: &str) -> lapin::Result<()> {
    let Some(connection) = connect(uri).await else {
        return Ok(());
    };
    let channel = answered(&connection, "channel.open", connection.create_channel()).await?;
    answered(
        &connection,
        "basic.qos",
        channel.basic_qos(PREFETCH, Default::default()),
    )
    .await?;
    let queue = shared.queue.as_str().into();
    let consumed = channel.basic_consume(queue, "".into(), Default::default(), Default::default());
    let mut consumer = answered(&connection, "basic.consume", consumed).await?;
    let session = shared.note(History::session);
    let mut silent = Duration::ZERO;
    while shared.goes_on() && silent < SILENCE {
        match timeout(AGAIN, consumer.next()).await {
            Ok(Some(delivery)) => {
                silent = Duration::ZERO;
                take(shared, &connection, session, delivery?).await?;
            }
            // Cancelled, or lost.
            Ok(None) => return Ok(()),
            Err(_) => silent += AGAIN,
        }
    }
    // Closed in order: all acks are heard before.
    let _ = timeout(SILENCE, connection.close(200, "done".into())).await;
    Ok(())
}

async fn take(shared: &Shared, connection: &Connection, session: u32, delivery: Delivery) -> lapin::Result<()> {
    let message = Message::of(&delivery.data).unwrap_or_else(|why| panic!("{why}"));
    shared.note(|history| history.delivered(session, message, delivery.redelivered));
    answered(connection, "the socket", delivery.ack(BasicAckOptions::default())).await?;
    Ok(())
}

/// What must be answered on a connection that lives, however the nodes are.
async fn answered<T>(
    connection: &Connection,
    what: &str,
    asked: impl Future<Output = lapin::Result<T>>,
) -> lapin::Result<T> {
    match timeout(ANSWER, asked).await {
        Ok(answer) => answer,
        Err(_) if connection.status().connected() => panic!("no answer to {what} within {ANSWER:?}"),
        // What is asked in the moment in which a connection breaks is forgotten by the client itself.
        Err(_) => Err(lapin::ErrorKind::InvalidConnectionState(ConnectionState::Closed).into()),
    }
}

/// A connection, unless the node is not there or says nothing.
async fn connect(uri: &str) -> Option<Connection> {
    let connected = Connection::connect(uri, ConnectionProperties::default());
    timeout(SILENCE, connected).await.ok()?.ok()
}
