//! How a queue gets on, as its machine on this node says.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::handle::QueueHandle;
use super::queues::Queues;
use crate::queue::{ConsumerStatus, Vitals};
use crate::types::{Millis, NodeId};

/// Consumers that are named, those that have held a message longest first.
const NAMED: usize = 5;

/// How a queue gets on, and who holds its messages.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QueueVitals {
    pub vitals: Vitals,
    /// Some of its consumers, those that have held a message longest first.
    pub holders: Vec<HolderReport>,
}

/// What a consumer holds. By its node and key it is one of those that are reported.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HolderReport {
    pub node: NodeId,
    pub(in crate::broker) key: u64,
    pub unacked: u32,
    pub prefetch: Option<u32>,
    /// It is the one that is served, where only one is.
    pub is_single_active: bool,
    /// How long it has held the message that is longest with it.
    pub oldest: Millis,
}

impl Queues {
    /// How a queue gets on; `None` when its machine is not here.
    pub(super) fn vitals_here(&self, queue: &QueueHandle) -> Option<QueueVitals> {
        let (us, now) = (self.us(), self.now());
        queue.read(|live| {
            let (vitals, oldest): (_, FxHashMap<_, _>) = live.vitals(now);
            let mut holders: Vec<_> = live
                .consumers()
                .filter_map(|view| {
                    let (node, key) = view.handle.whose(us);
                    Some(HolderReport {
                        node,
                        key: key.0,
                        unacked: view.unacked,
                        prefetch: view.prefetch,
                        is_single_active: view.status == ConsumerStatus::SingleActive,
                        oldest: *oldest.get(&view.id)?,
                    })
                })
                .collect();
            holders.sort_by_key(|holder| std::cmp::Reverse(holder.oldest));
            holders.truncate(NAMED);
            QueueVitals { vitals, holders }
        })
    }
}
