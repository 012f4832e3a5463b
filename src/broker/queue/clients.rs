//! The delivery side as it is here: what it keeps of a queue is its [`QueueHandle`].

use super::handle::QueueHandle;
pub use super::handle::{Consumer, Outbox};
use crate::broker::delivery::{self, QueueIdentity};
use crate::types::QueueId;

pub type ConnectionInfo = delivery::connections::ConnectionInfo<QueueHandle>;
pub type Connections = delivery::connections::Connections<QueueHandle>;
pub type Leaving = delivery::leaving::Leaving<QueueHandle, Outbox>;
pub type ChannelOut = delivery::outbox::OpenChannel<QueueHandle>;
pub type OutGuard = delivery::outbox::OutGuard<QueueHandle>;

impl QueueIdentity for QueueHandle {
    fn id(&self) -> QueueId {
        self.spec.id
    }

    fn is_deleted(&self) -> bool {
        self.is_deleted()
    }
}
