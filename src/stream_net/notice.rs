//! What a session is told by others.

/// See the head of this file.
pub(super) enum Notice {
    /// The stream of that name cannot be used as it was.
    Moved(String),
    /// A single active consumer is to read from now on, or not.
    Turn {
        subscription: u8,
        incarnation: u64,
        is_active: bool,
    },
}
