//! Many queues purged or deleted.

use std::sync::Arc;

use super::{End, Jobs, TooManyJobs};
use crate::codec::method::{QueueDelete, QueuePurge};
use crate::declare::{Actor, DeletePlan, queue_delete, queue_purge};
use crate::types::{QueueName, Refusal, VhostName};

/// What is done to each queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bulk {
    Purge,
    Delete,
}

/// A queue that is meant.
#[derive(Clone, Debug)]
pub struct BulkQueue {
    pub vhost: VhostName,
    pub name: QueueName,
}

impl Jobs {
    /// Does it to these queues one after the other, with the rights of whoever asks; gives the job's id.
    ///
    /// # Errors
    /// [`TooManyJobs`].
    pub fn begin_bulk(
        self: &Arc<Self>,
        bulk: Bulk,
        queues: Vec<BulkQueue>,
        actor: &Actor,
    ) -> Result<String, TooManyJobs> {
        let kind = match bulk {
            Bulk::Purge => "purge",
            Bulk::Delete => "delete",
        };
        let what = format!("{} queues", queues.len());
        let (of, actor) = (queues.len() as u64, actor.clone());
        self.begin((kind, actor.user.clone(), what, of), |jobs, job| async move {
            for queue in queues {
                if job.is_stopped() {
                    return End::Stopped;
                }
                let actor = Actor {
                    vhost: queue.vhost.clone(),
                    ..actor.clone()
                };
                match jobs.do_to(bulk, &queue, &actor).await {
                    Ok(()) => job.done(1),
                    Err(why) => job.failed(queue.name.to_string(), why),
                }
            }
            End::Done
        })
    }

    async fn do_to(&self, bulk: Bulk, queue: &BulkQueue, actor: &Actor) -> Result<(), String> {
        let name = queue.name.to_string();
        match bulk {
            Bulk::Purge => {
                let method = QueuePurge {
                    queue: name,
                    ..QueuePurge::default()
                };
                let allowed = queue_purge(&self.declarations.catalogue(), &actor.who(), None, &method);
                allowed.map_err(|error| error.reply().text)?;
                let live = self.vhosts.get(&queue.vhost).and_then(|vhost| vhost.queue(&queue.name));
                let live = live.ok_or("there is no such queue")?;
                self.queues.purge(&live).await.map(drop).map_err(|reply| reply.text)
            }
            Bulk::Delete => {
                let method = QueueDelete {
                    queue: name,
                    ..QueueDelete::default()
                };
                let plan = queue_delete(&self.declarations.catalogue(), &actor.who(), None, &method);
                if !matches!(plan.map_err(|error| error.reply().text)?, DeletePlan::Delete { .. }) {
                    return Err("there is no such queue".to_owned());
                }
                let deleted = self
                    .declarations
                    .delete_queue(&actor.who(), &queue.name, false, false)
                    .await;
                deleted.map(drop).map_err(|error| error.reply().text)
            }
        }
    }
}
