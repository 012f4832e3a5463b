//! Orders to the process from whoever runs the node, also while its broker is stopped.
//!
//! They come over the control socket only; [`crate::node`] carries them out one after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, oneshot};

/// What the process is to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Order {
    /// Stop the broker; the process goes on.
    Stop,
    /// Start it again.
    Start,
    /// Leave the cluster and forget everything; only while the broker is stopped, as those below.
    Reset,
    /// Forget everything and tell nobody.
    ForceReset,
    /// Forget everything, and join the cluster of this node: a name, or HOST:PORT.
    Join(String),
    /// Stop the broker and end the process.
    End,
}

impl Order {
    /// The order of that name, as it stands in the path of a request.
    pub(super) fn named(name: &str, node: Option<&str>) -> Option<Self> {
        Some(match (name, node) {
            ("stop_app", _) => Self::Stop,
            ("stop", _) => Self::End,
            ("start_app", _) => Self::Start,
            ("reset", _) => Self::Reset,
            ("force_reset", _) => Self::ForceReset,
            ("join_cluster", Some(node)) => Self::Join(node.to_owned()),
            _ => return None,
        })
    }
}

/// Who gives orders.
#[derive(Clone)]
pub struct Lifecycle {
    orders: mpsc::Sender<(Order, Done)>,
    /// The broker is being started.
    starting: Arc<AtomicBool>,
}

/// Who carries them out.
pub struct Orders(mpsc::Receiver<(Order, Done)>);

/// Where to say what became of an order.
pub struct Done(oneshot::Sender<Result<&'static str, String>>);

/// Both ends.
pub fn lifecycle() -> (Lifecycle, Orders) {
    let (give, take) = mpsc::channel(1);
    let lifecycle = Lifecycle {
        orders: give,
        starting: Arc::default(),
    };
    (lifecycle, Orders(take))
}

impl Lifecycle {
    /// Has an order carried out, and gives what is to be said of it, if anything.
    ///
    /// # Errors
    /// Why it was not, for people.
    pub(super) async fn give(&self, order: Order) -> Result<&'static str, String> {
        let stops = |_| "the process stops".to_owned();
        let is_start = order == Order::Start;
        let (answer, done) = oneshot::channel();
        self.orders
            .send((order, Done(answer)))
            .await
            .map_err(|_| "the process stops".to_owned())?;
        self.starting.store(is_start, Ordering::Relaxed);
        let done = done.await;
        self.starting.store(false, Ordering::Relaxed);
        done.map_err(stops)?
    }

    /// Whether the broker is on its way up.
    pub(super) fn is_starting(&self) -> bool {
        self.starting.load(Ordering::Relaxed)
    }
}

impl Orders {
    /// The next one; waits for ever when nobody can give any.
    pub async fn next(&mut self) -> Option<(Order, Done)> {
        match self.0.recv().await {
            Some(order) => Some(order),
            None => std::future::pending().await,
        }
    }
}

impl Done {
    /// Says it; whoever gave the order may be gone.
    pub fn give(self, result: Result<&'static str, String>) {
        let _ = self.0.send(result);
    }
}
