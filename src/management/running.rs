//! The broker that runs, for whoever answers requests.

use std::sync::Arc;

use super::endpoint::Endpoint;
use crate::broker::Broker;

/// What requests are about.
#[derive(Clone)]
pub struct Running {
    pub broker: Arc<Broker>,
    /// All listeners of the node.
    pub endpoints: Arc<[Endpoint]>,
}
