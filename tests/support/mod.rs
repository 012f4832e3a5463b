//! What the black-box tests stand on: a broker of their own, and ways to talk to it.
//!
//! [`Broker::start`] runs the built binary on free ports with a temporary data directory and ends
//! it when dropped; the log is printed when the test fails. Where `WARREN_TEST_AMQP=host:port` is
//! set, [`Broker::shared`] goes to that broker instead (with `WARREN_TEST_HTTP=host:port` each test
//! gets a vhost of its own there): this is how the tests are checked against RabbitMQ.
//!
//! [`Cluster::of`] runs several that form a cluster.
//!
//! Each test program compiles this for itself and uses a part of it.
#![allow(dead_code, unused_imports, reason = "each test program uses a part of it")]

pub mod authority;
mod broker;
mod client;
mod cluster;
pub mod disk;
mod http;
mod process;
mod raw;
pub mod stream;
mod values;
pub mod web;

pub use broker::{Broker, unique};
pub use client::{
    Client, Steps, ack, body, closed_by, discard, ended, next, next_many, refused, refused_publish, requeue, story,
};
pub use cluster::{CLUSTER_PATIENCE, Cluster, Place, loopback, until};
pub use http::{Answer, Http};
pub use process::Process;
pub use raw::{Raw, RawFrame, long, short};
pub use values::*;

use std::time::Duration;

/// How long anything that must happen may take.
pub const PATIENCE: Duration = Duration::from_secs(20);
