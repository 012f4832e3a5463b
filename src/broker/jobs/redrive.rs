//! Messages of a queue moved: back to where they died, or elsewhere.
//!
//! What is moved is planned first, message by message, and that is what a dry run shows; messages that
//! come later are not part of it. So a job ends, whatever its targets do with what they get.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{End, Job, Jobs, TooManyJobs};
use crate::broker::publish::moving::{MoveTo, NotMoved};
use crate::broker::queue::handle::QueueHandle;
use crate::broker::queue::matching::Matching;
use crate::broker::queue::peeking::Peek;
use crate::types::UserName;

/// Messages that are moved together.
const TOGETHER: usize = 64;
/// Messages that one job moves at most.
const MOST: usize = 1_000_000;
/// Messages that are planned with one look.
const LOOK: usize = 500;
/// How long a queue may have no leader before its job gives up, and how long it rests meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// A request to move messages.
#[derive(Clone, Debug)]
pub struct Redrive {
    pub to: MoveTo,
    /// Only these, by their positions, which are in order.
    pub positions: Option<Vec<u64>>,
    /// Only those of which this is so.
    pub matching: Option<Matching>,
    /// Messages each second at most.
    pub rate: Option<u32>,
    /// Messages at most.
    pub limit: Option<usize>,
}

/// What would be moved.
#[derive(Default)]
pub struct Plan {
    positions: Vec<u64>,
    /// How many, by the exchange and the routing key that they would be published with.
    pub would: BTreeMap<(String, String), u64>,
    pub unroutable: u64,
    pub loops: u64,
}

/// Nobody leads the queue who answers.
#[derive(Debug, thiserror::Error)]
#[error("the queue has no leader that answers")]
pub struct NoLeader;

impl Jobs {
    /// What would be moved now.
    ///
    /// # Errors
    /// [`NoLeader`].
    pub async fn plan_redrive(&self, queue: &Arc<QueueHandle>, redrive: &Redrive) -> Result<Plan, NoLeader> {
        let mut plan = Plan::default();
        let most = redrive.limit.unwrap_or(MOST).min(MOST);
        let mut peek = Peek {
            unacked: false,
            from: redrive
                .positions
                .as_ref()
                .and_then(|all| all.first().copied())
                .unwrap_or(0),
            count: LOOK,
            body_bytes: 0,
            matching: redrive.matching.clone(),
        };
        let last = redrive
            .positions
            .as_ref()
            .map_or(Some(u64::MAX), |all| all.last().copied());
        let Some(last) = last else { return Ok(plan) };
        loop {
            let peeked = self.queues.peek(queue, &peek).await.ok_or(NoLeader)?;
            for seen in &peeked.messages {
                let is_meant = redrive
                    .positions
                    .as_ref()
                    .is_none_or(|all| all.binary_search(&seen.position).is_ok());
                let Some(message) = seen.message().filter(|_| is_meant) else {
                    continue;
                };
                if plan.positions.len() == most {
                    return Ok(plan);
                }
                match self.vhosts.plan_move(queue, &message, &redrive.to) {
                    Ok(way) => {
                        plan.positions.push(seen.position);
                        *plan.would.entry((way.exchange, way.routing_key)).or_default() += 1;
                    }
                    Err(NotMoved::Loop) => plan.loops += 1,
                    Err(_) => plan.unroutable += 1,
                }
            }
            match peeked.next.filter(|next| *next <= last) {
                Some(next) => peek.from = next,
                None => return Ok(plan),
            }
        }
    }

    /// Moves what was planned, as a job; gives its id.
    ///
    /// # Errors
    /// [`TooManyJobs`].
    pub fn redrive(
        self: &Arc<Self>,
        queue: &Arc<QueueHandle>,
        redrive: Redrive,
        plan: Plan,
        by: UserName,
    ) -> Result<String, TooManyJobs> {
        let spec = &queue.spec;
        let kind = match redrive.to {
            MoveTo::Origin => "redrive",
            MoveTo::Exchange { .. } => "move",
        };
        let what = format!("queue '{}' in vhost '{}'", spec.name, spec.vhost);
        let of = plan.positions.len() as u64;
        let queue = queue.clone();
        self.begin((kind, by, what, of), |jobs, job| async move {
            jobs.move_planned(&queue, &redrive, &plan.positions, &job).await
        })
    }

    async fn move_planned(&self, queue: &Arc<QueueHandle>, redrive: &Redrive, positions: &[u64], job: &Job) -> End {
        let begun = Instant::now();
        let together = redrive
            .rate
            .map_or(TOGETHER, |rate| TOGETHER.min((rate as usize).max(1)));
        let mut sent = 0_u64;
        for some in positions.chunks(together) {
            if let Some(rate) = redrive.rate.filter(|rate| *rate > 0) {
                let due = Duration::from_secs_f64(sent as f64 / f64::from(rate));
                self.rest_until(begun + due, job).await;
            }
            let patience = Instant::now() + PATIENCE;
            let moved = loop {
                if job.is_stopped() {
                    return End::Stopped;
                }
                if queue.is_deleted() {
                    job.failed("", "the queue was deleted");
                    return End::Failed;
                }
                if let Some(moved) = self.vhosts.move_messages(queue, some, &redrive.to).await {
                    break moved;
                }
                if Instant::now() >= patience {
                    job.failed("", "the queue has no leader that answers");
                    return End::Failed;
                }
                tokio::time::sleep(RETRY_PAUSE).await;
            };
            sent += some.len() as u64;
            job.done(moved.moved);
            for (position, why) in moved.not_moved {
                job.failed(position.to_string(), why.text());
            }
        }
        End::Done
    }

    /// Waits until then, or until the job is stopped.
    async fn rest_until(&self, due: Instant, job: &Job) {
        while Instant::now() < due && !job.is_stopped() {
            tokio::time::sleep_until(due.min(Instant::now() + RETRY_PAUSE)).await;
        }
    }
}
