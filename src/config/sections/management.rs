//! The HTTP API, the console, and metrics.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::Tls;
use crate::config::Named;

/// A listener that is an address and a port in keys of their own.
#[derive(Clone, Debug)]
pub struct HttpListener {
    pub ip: IpAddr,
    pub port: u16,
    pub state: HttpState,
}

/// Whether an HTTP listener is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpState {
    /// Nothing was said: on, unless the TLS one was asked for.
    ByDefault,
    On,
    Off,
}

impl HttpListener {
    /// Takes this address, or none.
    pub fn listen(&mut self, address: Option<SocketAddr>) {
        match address {
            Some(address) => {
                self.ip = address.ip();
                self.port = address.port();
                self.state = HttpState::On;
            }
            None => self.state = HttpState::Off,
        }
    }

    /// Where to listen; `None` is nowhere. As with RabbitMQ, asking for TLS alone turns plain
    /// HTTP off.
    pub fn address(&self, tls: &HttpListener) -> Option<SocketAddr> {
        let wanted = match self.state {
            HttpState::ByDefault => tls.state != HttpState::On,
            HttpState::On => true,
            HttpState::Off => false,
        };
        wanted.then_some(SocketAddr::new(self.ip, self.port))
    }

    /// Where to listen, without a look at another listener.
    fn own_address(&self) -> Option<SocketAddr> {
        (self.state == HttpState::On).then_some(SocketAddr::new(self.ip, self.port))
    }
}

/// Nowhere.
impl Default for HttpListener {
    fn default() -> Self {
        Self {
            ip: Ipv4Addr::UNSPECIFIED.into(),
            port: 0,
            state: HttpState::Off,
        }
    }
}

/// Equal when they listen alike; that one does so by default makes no difference.
impl PartialEq for HttpListener {
    fn eq(&self, other: &Self) -> bool {
        let off = |listener: &Self| listener.state == HttpState::Off;
        (self.ip, self.port, off(self)) == (other.ip, other.port, off(other))
    }
}

/// The HTTP API and the console.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Management {
    pub tcp: HttpListener,
    pub tls: HttpListener,
    pub tls_options: Tls,
    /// Connections begin with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// Put before every path, such as `/rabbit`; empty for none.
    pub path_prefix: String,
    /// Minutes a console session lives.
    pub login_session_timeout_min: u32,
    /// Largest request body in bytes.
    pub max_body_bytes: u64,
    /// Answers are compressed for clients that take that.
    pub compress: bool,
    pub rates_mode: RatesMode,
    pub disable_basic_auth: bool,
    /// No statistics, only what is declared.
    pub disable_stats: bool,
    /// Time over which rates are taken, in ms.
    pub rate_interval_ms: u32,
    /// Nothing that moves is written down, and no statistics are shown.
    pub keep_no_statistics: bool,
    /// Queue totals although statistics are off.
    pub enable_queue_totals: bool,
    pub cors_allow_origins: Named<String>,
    /// Seconds a browser may keep the answer to a preflight request.
    pub cors_max_age_s: u32,
    /// Response headers; `None` does not send them.
    pub content_security_policy: Option<String>,
    pub strict_transport_security: Option<String>,
    pub content_type_options: Option<String>,
    pub xss_protection: Option<String>,
    pub frame_options: Option<String>,
    /// Operator policies cannot be changed over HTTP.
    pub forbid_operator_policy_changes: bool,
    /// Replicas of quorum queues cannot be changed over HTTP.
    pub forbid_replica_operations: bool,
}

/// How much of the message rates is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RatesMode {
    #[default]
    Basic,
    Detailed,
    None,
}

impl Management {
    /// Where plain HTTP is served; `None` is nowhere.
    pub fn address(&self) -> Option<SocketAddr> {
        self.tcp.address(&self.tls)
    }

    /// Where HTTP over TLS is served; `None` is nowhere.
    pub fn tls_address(&self) -> Option<SocketAddr> {
        self.tls.own_address()
    }
}

/// Metrics for Prometheus.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Prometheus {
    pub tcp: HttpListener,
    pub tls: HttpListener,
    pub tls_options: Tls,
    pub path: String,
    /// `/metrics` tells of each queue, connection and channel.
    pub per_object: bool,
    /// Metrics need a user's name and password.
    pub authentication: bool,
}

impl Prometheus {
    /// Where plain HTTP is served; `None` is nowhere.
    pub fn address(&self) -> Option<SocketAddr> {
        self.tcp.address(&self.tls)
    }

    /// Where HTTP over TLS is served; `None` is nowhere.
    pub fn tls_address(&self) -> Option<SocketAddr> {
        self.tls.own_address()
    }
}
