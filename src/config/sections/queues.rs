//! Queues, consumers, operator policies, and definitions to import.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::types::Millis;

/// Queues and consumers.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Queues {
    /// `classic`, `quorum` or `stream`: for queues that do not say, in vhosts that do not say.
    pub default_type: String,
    /// Longest time a consumer may hold a message; `None` is no limit.
    pub consumer_timeout: Option<Millis>,
    /// Declaring a quorum queue again with arguments of a classic one succeeds.
    pub relaxed_redeclaration: bool,
    pub leader_locator: LeaderLocator,
    pub membership: Membership,
    /// Operator policies of new vhosts, by name.
    pub operator_policies: BTreeMap<String, OperatorPolicy>,
}

/// Where the leader of a new replicated queue is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LeaderLocator {
    #[default]
    ClientLocal,
    Balanced,
}

/// How quorum queues grow to new nodes by themselves.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Membership {
    pub enabled: bool,
    /// Members on nodes that left are removed.
    pub auto_remove: bool,
    pub interval: Millis,
    /// Wait after a change of the cluster.
    pub trigger_interval: Millis,
    pub target_group_size: Option<u16>,
}

/// An operator policy that new vhosts get.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct OperatorPolicy {
    /// Regular expression over vhost names; none is all.
    pub vhost_pattern: Option<String>,
    /// Regular expression over queue names; none is all.
    pub queue_pattern: Option<String>,
    pub expires: Option<Millis>,
    pub message_ttl: Option<Millis>,
    pub max_length: Option<u64>,
    pub max_length_bytes: Option<u64>,
    pub delivery_limit: Option<u64>,
}

/// Definitions imported at start.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Definitions {
    /// Whether any of its keys is set: then everything that is declared at the first start comes
    /// from there, the first user and vhost too. Filled by [`crate::config::load`].
    pub configured: bool,
    /// A file, or a directory of files, of `load_definitions`.
    pub load: Option<PathBuf>,
    /// The same for `management.load_definitions`.
    pub management_load: Option<PathBuf>,
    /// The same for `definitions.local.path`.
    pub local_path: Option<PathBuf>,
    /// A file with the content that was imported last is not imported again.
    pub skip_if_unchanged: bool,
}

impl Definitions {
    /// Files and directories to import, in order.
    pub fn places(&self) -> impl Iterator<Item = &PathBuf> {
        let places = [&self.load, &self.local_path, &self.management_load];
        places.into_iter().flatten()
    }
}
