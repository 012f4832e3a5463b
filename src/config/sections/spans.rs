//! Where spans go.

use std::collections::BTreeMap;

use super::{ClientTls, Secret};

/// A collector that speaks OTLP over HTTP.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Otlp {
    /// Its address, without `/v1/traces`; none is off.
    pub endpoint: Option<String>,
    /// The name of this service among others.
    pub service_name: String,
    /// Sent with each request: what lets it in.
    pub headers: BTreeMap<String, Secret>,
    pub tls: ClientTls,
}
