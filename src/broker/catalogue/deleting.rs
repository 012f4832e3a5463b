//! Queues deleted, because somebody says so or by themselves.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::declarations::Declarations;
use crate::broker::BrokerError;
use crate::broker::delivery::leaving::PATIENCE;
use crate::broker::queue::handle::QueueHandle;
use crate::declare::{DeclareError, Who};
use crate::metadata::{Catalogue, Command};
use crate::tasks;

/// How long a deletion rests that reached no majority.
const DELETE_AGAIN: Duration = Duration::from_secs(1);

impl Declarations {
    /// Deletes a queue and says how many messages were ready; a missing one is no error.
    ///
    /// # Errors
    /// When it is in use or not empty and that was to be checked, or when the store failed.
    pub async fn delete_queue(
        &self,
        who: &Who<'_>,
        name: &str,
        if_unused: bool,
        if_empty: bool,
    ) -> Result<u64, BrokerError> {
        let Some(queue) = self.vhosts.get(who.vhost).and_then(|vhost| vhost.queue(name)) else {
            return Ok(0);
        };
        let names = || (queue.spec.vhost.clone(), queue.spec.name.clone());
        let check = |ready, consumers| {
            let (vhost, name) = names();
            if if_empty && ready > 0 {
                return Err(DeclareError::NotEmpty(vhost, name));
            }
            if if_unused && consumers > 0 {
                return Err(DeclareError::InUse(vhost, name));
            }
            Ok(ready)
        };
        // From the moment it was looked at nothing more may come into it.
        let here = queue.read(|machine| {
            let checked = check(machine.ready(), machine.consumer_count() as u64);
            if checked.is_ok() {
                queue.mark_deleted();
            }
            checked
        });
        let ready = match here {
            Some(checked) => checked?,
            // One whose node is away can be deleted, as it is.
            None => match self.queues.count(&queue).await {
                // Flags are ignored.
                Ok(_) if self.queues.streams().of(&queue).is_some() => 0,
                Ok((ready, _, consumers)) => check(ready, consumers)?,
                Err(_) => 0,
            },
        };
        let deleted = self.decide_by(Some(who.user), |catalogue| {
            let command = deletion_of(catalogue, &queue);
            let is_there = command.is_some();
            Ok::<_, BrokerError>((command, is_there))
        });
        // If it is not there somebody else was faster.
        Ok(if deleted.await? { ready } else { 0 })
    }

    /// Deletes a queue that takes no more messages, however long it takes to reach a majority. One that is
    /// deleted already is so on the other nodes too when this ends, or they have had their time.
    pub(in crate::broker) fn delete_marked(self: &Arc<Self>, queue: &Arc<QueueHandle>) -> JoinHandle<()> {
        let (declarations, queue) = (Arc::downgrade(self), queue.clone());
        tasks::spawn("queue deletion", async move {
            let mut is_told = false;
            // It takes no more messages: it must not stay because no majority was there just now.
            while let Some(declarations) = declarations.upgrade() {
                let deleted = declarations.decide(|catalogue| {
                    let command = deletion_of(catalogue, &queue);
                    let is_there = command.is_some();
                    Ok::<_, BrokerError>((command, is_there))
                });
                let error = match deleted.await {
                    Ok(true) => return,
                    Ok(false) => return declarations.reached_elsewhere(PATIENCE).await,
                    Err(error) => error,
                };
                if !std::mem::replace(&mut is_told, true) {
                    let spec = &queue.spec;
                    tracing::warn!(queue = %spec.name, vhost = %spec.vhost, %error, "the queue could not be deleted yet");
                }
                if !matches!(error, BrokerError::NoMajority) {
                    return;
                }
                drop(declarations);
                tokio::time::sleep(DELETE_AGAIN).await;
            }
        })
    }
}

/// The command that deletes this very queue, and not another that has taken its name.
fn deletion_of(catalogue: &Catalogue, queue: &QueueHandle) -> Option<Command> {
    let spec = &queue.spec;
    let known = catalogue.vhost(&spec.vhost)?.queue(&spec.name)?;
    (known.id == spec.id).then(|| Command::DeleteQueue {
        vhost: spec.vhost.clone(),
        name: spec.name.clone(),
        id: spec.id,
    })
}
