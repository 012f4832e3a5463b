//! Looks once a second at what has moved, and writes it down.

use std::sync::Arc;
use std::time::Duration;

use super::Reports;
use super::process::{self, Process};
use crate::tasks;
use crate::types::Timestamp;

impl Reports {
    /// Writes every second down when it is over, until the task is dropped. One that the node did not get to is
    /// missing.
    pub async fn run_sampler(self: Arc<Self>) {
        let is_kept = !self.config.management.keep_no_statistics;
        let mut runs = self.second();
        let process = Process::default();
        loop {
            tokio::time::sleep(rest_of_second(self.now())).await;
            let now = self.second();
            if !is_kept {
                self.connections.rest();
            } else if now > runs {
                runs = now;
                if process.note(&self.alarms, &self.store, self.statistics.node(), now) {
                    let statistics = self.statistics.clone();
                    // What it counts is seen the next time.
                    tasks::blocking(move || process::count(statistics.node()));
                }
                self.sample(now - 1);
            }
        }
    }

    fn sample(&self, second: u64) {
        self.queues.sample(second);
        self.connections.sample(second);
        self.statistics.beat(second);
    }
}

/// How long it is until the next second has begun.
fn rest_of_second(now: Timestamp) -> Duration {
    Duration::from_millis(1001 - now.0 % 1000)
}
