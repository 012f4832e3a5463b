//! What moves: counts, their rates and histories, and how long things took.
//!
//! ```text
//! session, queue, outbox ─ add (atomics, once a batch) ─→ Stats of queue, exchange, connection, vhost, node
//!                                                            │ once a second, only where something moved
//!                                                            ▼
//!                               sampler ─ sample ─→ Record: rings of a minute, ten minutes, an hour, eight, a day
//!                                                            │ read
//!                                                            ▼
//!                               Figures (totals, rates, points), added up over nodes, shown by the HTTP API
//! ```
//! [`Measure`] is the table of what is measured. [`Stats`] is one thing's numbers, [`Statistics`] the node's,
//! whose [`Statistics::totals`] are what a metrics listener reads. Nothing here knows a clock: seconds come in
//! as arguments.

mod counters;
mod figures;
mod latency;
mod measure;
mod record;
mod registry;
mod rings;
mod sizes;
mod stats;
mod streaming;
mod window;

pub use counters::Tally;
pub use figures::{Figure, Figures};
pub use latency::{Delay, Latencies, LatencyTotals, Spread, Spreads};
pub use measure::{Kind, Measure};
pub use registry::{Scope, Statistics};
pub use sizes::{SIZES, SizeTally, Sizes};
pub use stats::Stats;
pub use streaming::StreamTraffic;
pub use window::{Window, Windows};
