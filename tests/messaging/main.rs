//! What a client sees of a broker, through a client library: one file for each behaviour.
//!
//! `WARREN_TEST_AMQP=host:port WARREN_TEST_HTTP=host:port` runs the same tests against a broker
//! that is already running, such as a RabbitMQ.

#[path = "../support/mod.rs"]
mod support;

mod at_least_once;
mod carbon_copies;
mod confirms;
mod connections;
mod consumers;
mod dead_letters;
mod exchanges;
mod expiry;
mod length;
mod priorities;
mod publishing;
mod qos;
mod queues;
mod redelivery;
mod reply_to;
mod returns;
mod settling;
mod single_active;
mod spans;
mod stream_load;
mod stream_protocol;
mod streams;
mod transactions;
