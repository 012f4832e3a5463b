//! What can be asked about a user.

use super::Access;
use crate::types::{ExchangeName, VhostName};

/// What a backend is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Question {
    Vhost(VhostName),
    Resource {
        vhost: VhostName,
        kind: ResourceKind,
        name: String,
        access: Access,
    },
    Topic {
        vhost: VhostName,
        exchange: ExchangeName,
        key: String,
        access: Access,
    },
}

/// What kind of thing a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResourceKind {
    Queue,
    Exchange,
}
