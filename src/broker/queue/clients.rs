//! The delivery side as it is here: what it keeps of a queue is its [`QueueHandle`].

use super::handle::QueueHandle;
use crate::broker::delivery::{self, QueueIdentity};
use crate::types::QueueId;

pub type ConnectionInfo = delivery::connections::ConnectionInfo<QueueHandle>;
pub type Connections = delivery::connections::Connections<QueueHandle>;
pub type Consumer = delivery::consumer::Consumer<QueueHandle>;
pub type Leaving = delivery::leaving::Leaving<QueueHandle>;
pub type ChannelOut = delivery::outbox::ChannelOut<QueueHandle>;
pub type OutGuard = delivery::outbox::OutGuard<QueueHandle>;
pub type Outbox = delivery::outbox::Outbox<QueueHandle>;

impl QueueIdentity for QueueHandle {
    fn id(&self) -> QueueId {
        self.spec.id
    }

    fn is_deleted(&self) -> bool {
        self.is_deleted()
    }
}
