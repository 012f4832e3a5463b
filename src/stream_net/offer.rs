//! What the connections of a listener are offered, and told.

use std::sync::Arc;

use super::single_active::Groups;
use crate::stream_protocol::codec::response::Address;
use crate::stream_protocol::connection::Settings;

/// See the head of this file.
pub(super) struct Offer {
    pub settings: Arc<Settings>,
    pub advertised: Address,
    pub groups: Groups,
}
