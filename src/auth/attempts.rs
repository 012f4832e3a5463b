//! How often somebody tried to log in, by protocol.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Counts since the node started, or since they were set back.
#[derive(Clone, Debug, Default)]
pub struct Attempts {
    by_protocol: BTreeMap<&'static str, Counts>,
}

/// Of one protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub succeeded: u64,
    pub failed: u64,
}

impl Attempts {
    /// Counts one.
    pub fn note(&mut self, protocol: &'static str, succeeded: bool) {
        let counts = self.by_protocol.entry(protocol).or_default();
        match succeeded {
            true => counts.succeeded += 1,
            false => counts.failed += 1,
        }
    }

    /// All that were counted, by the name of the protocol.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, Counts)> {
        self.by_protocol.iter().map(|(protocol, counts)| (*protocol, *counts))
    }

    /// Counts from nothing again.
    pub fn reset(&mut self) {
        self.by_protocol.clear();
    }
}
