//! What a node tells Prometheus: one table of metrics, and the text that is made of it.
//!
//! ```text
//! Reports::scrape → Facts (plain numbers) ┐
//! catalogue (names, help, families) ──────┴→ Page::text → management/metrics.rs → scraper
//! ```
//! To add a metric, add a row in `catalogue/` and, where the number is new, a field in [`facts`]. Names,
//! labels, types and help of `rabbitmq_*` are RabbitMQ's, which dashboards and alerts go by; a metric that
//! has no truth here has no row. What is ours alone begins with `warren_`.

mod catalogue;
pub mod facts;
mod number;
mod page;
pub mod process;

pub use facts::Facts;
pub use number::Number;
pub use page::{CONTENT_TYPE, Needs, Page};
