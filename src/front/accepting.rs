//! Taking connections: while the node pauses, or is told to take no clients, nothing listens.

use std::sync::Arc;

use tokio::sync::watch;

use crate::broker::Broker;
use crate::listen::{Incoming, Listener, Opened};
use crate::tasks;

/// Accepts until the task is dropped, and serves each connection in a task of its own, which goes on without it.
pub async fn run<S, F>(mut listener: Listener, broker: Arc<Broker>, serve: S)
where
    S: Fn(Opened) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let mut takes = broker.membership().subscribe_takes_clients();
    loop {
        let incoming = tokio::select! {
            incoming = listener.accept() => incoming,
            () = until(&mut takes, false) => {
                listener = listener.again_after(until(&mut takes, true)).await;
                continue;
            }
        };
        if broker.has_failed() {
            continue;
        }
        tasks::spawn("connection", open(incoming, serve.clone()));
    }
}

async fn open<F: Future<Output = ()>>(incoming: Incoming, serve: impl FnOnce(Opened) -> F) {
    if let Some(opened) = incoming.open().await {
        serve(opened).await;
    }
}

async fn until(takes_clients: &mut watch::Receiver<bool>, wanted: bool) {
    // An error is the broker dropped, which cannot be while a listener has it.
    let _ = takes_clients.wait_for(|takes| *takes == wanted).await;
}
