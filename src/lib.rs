//! Warren: an AMQP 0-9-1 broker that takes the place of RabbitMQ.
//!
//! Data flows one way: socket → codec → connection → channel → router → queue → journal → delivery.
//! `ARCHITECTURE.md` tells the story; imports point down that line only.

pub mod allocator;
pub mod auth;
pub mod backends;
pub mod broker;
pub mod channel;
pub mod cli;
pub mod cluster;
pub mod codec;
pub mod config;
pub mod connection;
pub mod declare;
pub mod exchange;
pub mod front;
pub mod handover;
pub mod heartbeat;
pub mod journal;
pub mod listen;
pub mod logging;
pub mod machine;
pub mod management;
pub mod metadata;
pub mod metrics;
pub mod migrate;
pub mod net;
pub mod node;
pub mod pattern;
pub mod pem;
pub mod perf;
pub mod queue;
pub mod router;
pub mod small_file;
pub mod spans;
pub mod spec;
pub mod statistics;
pub mod store;
pub mod stream;
pub mod stream_net;
pub mod stream_protocol;
pub mod tasks;
pub mod tls_client;
pub mod types;
