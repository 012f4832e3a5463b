//! Why a node cannot start with its backends.

use thiserror::Error;

use crate::tls_client::TlsError;

/// Why a node cannot start with these backends.
#[derive(Debug, Error)]
pub enum BackendError {
    #[error("auth_cache.cached_backend: the backend 'cache' keeps answers of another backend, not its own")]
    CacheOfCache,
    #[error("{0} is a backend for users, and {1} is not set")]
    Incomplete(&'static str, &'static str),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("{key}: {reason} in {}", path.display())]
    Key {
        /// Of the configuration.
        key: String,
        path: std::path::PathBuf,
        reason: String,
    },
    #[error("auth_oauth2: the provider '{0}' is named and not described")]
    NoIssuer(String),
}
