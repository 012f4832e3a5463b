//! Listening for the stream protocol.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::offer::Offer;
use super::session;
use super::single_active::Groups;
use crate::broker::Broker;
use crate::config::Config;
use crate::front::{accepting, login};
use crate::listen::{Listener, Opened};
use crate::stream_protocol::codec::response::Address;
use crate::stream_protocol::connection::Settings;
use crate::types::Millis;

/// For each step of the handshake.
const STEP_TIMEOUT: Millis = Millis(10_000);

/// Starts a task for each listener, among those that run.
pub fn start(running: &mut JoinSet<()>, listeners: Vec<Listener>, broker: &Arc<Broker>) {
    let groups = Groups::default();
    for listener in listeners {
        let config = broker.config();
        let port = listener.address().port();
        let (host, port) = config.stream.advertised(&config.node.name, listener.has_tls(), port);
        let advertised = Address {
            host,
            port: port.into(),
        };
        let cluster_name = &broker.node().cluster_name;
        let mechanisms = match listener.has_tls() {
            true => login::mechanisms_over_tls(&config.auth),
            false => login::mechanisms(&config.auth),
        };
        let settings = Arc::new(settings(config, cluster_name, mechanisms));
        let offer = Arc::new(Offer {
            settings,
            advertised,
            groups: groups.clone(),
        });
        let serve = {
            let broker = broker.clone();
            move |opened: Opened| session::serve(broker.clone(), offer.clone(), opened)
        };
        running.spawn(accepting::run(listener, broker.clone(), serve));
    }
}

fn settings(config: &Config, cluster_name: &str, mechanisms: Vec<String>) -> Settings {
    let product = &config.product;
    let properties = [
        ("cluster_name", cluster_name),
        ("copyright", "The Warren authors"),
        (
            "information",
            "Warren, an AMQP 0-9-1 broker. Licensed under Apache-2.0.",
        ),
        ("platform", concat!("Warren ", env!("CARGO_PKG_VERSION"), " (Rust)")),
        ("product", &product.product),
        ("version", &product.version),
    ];
    Settings {
        server_properties: properties.map(|(key, value)| (key.into(), value.into())).into(),
        mechanisms,
        frame_max: config.stream.frame_max,
        initial_frame_max: config.limits.initial_frame_max,
        heartbeat: config.stream.heartbeat_s,
        step_timeout: STEP_TIMEOUT,
    }
}
