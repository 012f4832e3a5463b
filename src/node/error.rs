//! Why a node does not run.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;

use thiserror::Error;

use crate::broker::{Failure, LinksError, StartError};
use crate::listen::TlsError;
use crate::management::LoadError;

/// Why a node does not run.
#[derive(Debug, Error)]
pub enum NodeError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Definitions(#[from] LoadError),
    #[error("the data directory cannot be changed: {0}")]
    Data(io::Error),
    #[error("cannot listen on {address}: {error}")]
    Listen { address: SocketAddr, error: io::Error },
    #[error("cannot write {path}: {error}")]
    PortsFile { path: String, error: io::Error },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the links to other nodes cannot be started: {0}")]
    Links(LinksError),
    #[error("cannot start the runtime: {0}")]
    Runtime(io::Error),
    #[error(transparent)]
    Failed(Failure),
    #[error("stopped at once, by a second signal")]
    Hurried,
}

impl NodeError {
    /// The status with which the process ends.
    pub fn status(&self) -> ExitCode {
        match self {
            Self::Failed(_) => ExitCode::from(DISK_FAILED),
            Self::Start(StartError::Store(error)) if error.is_of_disk() => ExitCode::from(DISK_FAILED),
            _ => ExitCode::FAILURE,
        }
    }
}

/// The status with which the process of a node ends whose disk fails (`EX_IOERR` of `sysexits.h`).
const DISK_FAILED: u8 = 74;
