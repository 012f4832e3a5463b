//! What is moved, and where to.

use std::path::PathBuf;

use clap::Args;

use crate::perf::uri::Uri;

/// Moves the messages of queues from one broker to another. Declare the queues at the target first, by importing the
/// source's definitions.
#[derive(Args, Debug, Clone)]
pub struct MigrateArgs {
    /// The broker that has the messages, as amqp://user:password@host:port/vhost
    #[arg(long)]
    pub from: Uri,
    /// The broker that gets them
    #[arg(long)]
    pub to: Uri,
    /// A queue whose messages are moved; may be given several times
    #[arg(long = "queue", value_name = "NAME", required_unless_present = "definitions")]
    pub queues: Vec<String>,
    /// All durable queues that a file of definitions has for the vhost of --from
    #[arg(long, value_name = "FILE", conflicts_with = "queues")]
    pub definitions: Option<PathBuf>,
    /// Go on when the queue is empty, until interrupted; for one queue
    #[arg(long, conflicts_with = "definitions")]
    pub follow: bool,
    /// Messages on their way at a time
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..))]
    pub window: u16,
    /// How often a broker that went away is tried again, a second apart each
    #[arg(long, value_name = "N", default_value_t = 60)]
    pub retries: u32,
}
