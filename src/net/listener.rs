//! Listening for AMQP: each accepted connection becomes a session. While the node pauses, or is told to
//! take no clients, nothing listens.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{login, session};
use crate::broker::Broker;
use crate::config::Config;
use crate::connection::{FRAME_MIN, ServerNames, Settings, server_properties};
use crate::listen::{Incoming, Listener};
use crate::tasks;
use crate::types::Millis;

/// Accepts until the task is dropped; the connections go on without it.
async fn run(mut listener: Listener, broker: Arc<Broker>, settings: Arc<Offers>) {
    let mut takes = broker.subscribe_takes_clients();
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
        let (broker, settings) = (broker.clone(), settings.clone());
        tasks::spawn("connection", serve(incoming, broker, settings));
    }
}

async fn serve(incoming: Incoming, broker: Arc<Broker>, settings: Arc<Offers>) {
    let Some(opened) = incoming.open().await else { return };
    let settings = match opened.tls {
        Some(_) => settings.with_tls.clone(),
        None => settings.plain.clone(),
    };
    session::serve(broker, settings, opened).await;
}

async fn until(takes_clients: &mut watch::Receiver<bool>, wanted: bool) {
    // An error is the broker dropped, which cannot be while a listener has it.
    let _ = takes_clients.wait_for(|takes| *takes == wanted).await;
}

/// What connections are offered.
struct Offers {
    plain: Arc<Settings>,
    with_tls: Arc<Settings>,
}

fn settings(config: &Config, cluster_name: &str, mechanisms: Vec<String>) -> Arc<Settings> {
    let product = &config.product;
    let limits = &config.limits;
    Arc::new(Settings {
        server_properties: server_properties(&ServerNames {
            product: &product.product,
            version: &product.version,
            platform: concat!("Warren ", env!("CARGO_PKG_VERSION"), " (Rust)"),
            information: "Warren, an AMQP 0-9-1 broker. Licensed under Apache-2.0.",
            copyright: "The Warren authors",
            cluster_name,
        }),
        mechanisms,
        channel_max: match limits.channel_max {
            0 => u16::MAX,
            most => most,
        },
        frame_max: match limits.frame_max {
            0 => u32::MAX,
            most => most.max(FRAME_MIN),
        },
        initial_frame_max: limits.initial_frame_max.max(FRAME_MIN),
        heartbeat: limits.heartbeat_s,
        max_message_size: limits.max_message_size,
        handshake_timeout: config.listeners.handshake_timeout.unwrap_or(Millis(u64::MAX / 2)),
    })
}

/// Starts every listener's task.
pub fn start(listeners: Vec<Listener>, broker: &Arc<Broker>) -> JoinSet<()> {
    let config = broker.config();
    let offer = |mechanisms| settings(config, &broker.node().cluster_name, mechanisms);
    let offers = Arc::new(Offers {
        plain: offer(login::mechanisms(&config.auth)),
        with_tls: offer(login::mechanisms_over_tls(&config.auth)),
    });
    let mut running = JoinSet::new();
    for listener in listeners {
        running.spawn(run(listener, broker.clone(), offers.clone()));
    }
    running
}
