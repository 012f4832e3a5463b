//! Requests for which something must be waited.

use crate::stream_protocol::codec::Key;

/// A request for which something must be waited.
#[derive(Clone)]
pub(super) enum Later {
    Metadata {
        names: Vec<Vec<u8>>,
    },
    Sequence {
        name: Vec<u8>,
        stream: Vec<u8>,
    },
    StoredOffset {
        name: Vec<u8>,
        stream: Vec<u8>,
    },
    Create {
        name: String,
        arguments: Vec<(String, String)>,
    },
    Delete {
        name: String,
    },
    CreateSuper {
        name: String,
        /// Partitions and their binding keys.
        partitions: Vec<(String, String)>,
        arguments: Vec<(String, String)>,
    },
    DeleteSuper {
        name: String,
    },
}

impl Later {
    /// The command that it answers.
    pub fn key(&self) -> Key {
        match self {
            Self::Metadata { .. } => Key::Metadata,
            Self::Sequence { .. } => Key::QueryPublisherSequence,
            Self::StoredOffset { .. } => Key::QueryOffset,
            Self::Create { .. } => Key::Create,
            Self::Delete { .. } => Key::Delete,
            Self::CreateSuper { .. } => Key::CreateSuperStream,
            Self::DeleteSuper { .. } => Key::DeleteSuperStream,
        }
    }
}
