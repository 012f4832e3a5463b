//! The exchange of events, which is declared as any other.

use super::declarations::Declarations;
use crate::broker::BrokerError;
use crate::broker::observers::EVENTS;
use crate::exchange::{ExchangeKind, ExchangeSpec};
use crate::metadata::{Catalogue, Command};
use crate::types::{FieldTable, NodeId, VhostName};

impl Declarations {
    /// Declares the exchange of events, which RabbitMQ's plug-in does when it starts.
    pub async fn declare_event_exchange(&self) {
        let vhost = VhostName::from(self.config.auth.default_vhost.as_str());
        let declared = self.decide(|catalogue| {
            let known = catalogue.vhost(&vhost);
            let is_missing = known.is_some_and(|vhost| vhost.exchange(EVENTS).is_none());
            let spec = is_missing.then(|| ExchangeSpec {
                vhost: vhost.clone(),
                name: EVENTS.into(),
                kind: ExchangeKind::Topic,
                durable: true,
                auto_delete: false,
                internal: true,
                home: NodeId::default(),
                arguments: FieldTable::new(),
                user: "rmq-internal".into(),
            });
            Ok::<_, BrokerError>((spec.map(Command::DeclareExchange), ()))
        });
        if let Err(error) = declared.await {
            tracing::warn!(%error, "the exchange of events could not be declared");
        }
    }

    /// Notes whether anybody listens to events.
    pub(super) fn look_for_observers(&self, catalogue: &Catalogue) {
        let vhost = catalogue.vhost(&self.config.auth.default_vhost);
        let is_bound = vhost.is_some_and(|vhost| vhost.bindings_from(EVENTS).next().is_some());
        self.observers.set_bound(is_bound);
    }
}
