//! What a connection's own task is asked to do by others.

use crate::types::Reply;

/// See the head of this file.
#[derive(Debug, Clone)]
pub enum Control {
    /// Close the connection with this.
    Close(Reply),
    /// The socket is broken.
    Gone,
    /// Close the channel with this, if it is still the same one.
    CloseChannel {
        channel: u16,
        incarnation: u64,
        /// The method it is about; zeros where it is about none.
        ids: (u16, u16),
        reply: Reply,
    },
}
