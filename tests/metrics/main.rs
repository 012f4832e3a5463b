//! What a running broker tells Prometheus, and whoever listens to its events.

#[path = "../support/mod.rs"]
mod support;

mod counters;
mod events;
mod firehose;
mod pages;
mod scraped;

use scraped::Scraped;
