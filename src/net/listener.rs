//! Listening for AMQP: each accepted connection becomes a session.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::session;
use crate::broker::Broker;
use crate::config::Config;
use crate::connection::{FRAME_MIN, ServerNames, Settings, server_properties};
use crate::front::{accepting, login};
use crate::listen::{Listener, Opened};
use crate::types::Millis;

/// What connections are offered.
struct Offers {
    plain: Arc<Settings>,
    with_tls: Arc<Settings>,
}

impl Offers {
    fn of(&self, opened: &Opened) -> Arc<Settings> {
        match opened.tls {
            Some(_) => self.with_tls.clone(),
            None => self.plain.clone(),
        }
    }
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
        let (broker, offers) = (broker.clone(), offers.clone());
        let serve = {
            let broker = broker.clone();
            move |opened: Opened| session::serve(broker.clone(), offers.of(&opened), opened)
        };
        running.spawn(accepting::run(listener, broker, serve));
    }
    running
}
