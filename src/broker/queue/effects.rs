//! Carries out what a queue decided once its lock is free: dead letters, reading back, cancelling.
//!
//! A dead letter may make its target overflow and dead-letter in turn, so effects are worked off a
//! list rather than by calling back. How a dead letter is published is not said here, see
//! `publish/dead_lettering.rs`.

use std::io;
use std::sync::Arc;

use super::contents::Contents;
use super::deferred::{Deferred, Work};
use super::handle::{BrokerHandles, QueueHandle};
use super::queues::Queues;
use crate::handover::Unsynced;
use crate::journal::raft::Group;
use crate::queue::{self, Outcome};
use crate::statistics::Measure;
use crate::store::Loc;
use crate::tasks;
use crate::types::{Message, NodeId};

impl Queues {
    /// Carries out the effects of a queue, and those that follow from them.
    pub(in crate::broker) fn carry_out(self: &Arc<Self>, queue: &Arc<QueueHandle>, deferred: Deferred) {
        let mut work = Work::from([(queue.clone(), deferred)]);
        let mut waiting = Vec::new();
        while let Some((queue, deferred)) = work.pop_front() {
            if !deferred.undelivered.is_empty() {
                self.settle(&queue, deferred.undelivered, Outcome::Requeue, None);
            }
            for consumer in deferred.cancelled {
                let mut out = consumer.outbox.lock();
                out.cancel(&consumer);
                out.finish();
            }
            for asked in deferred.ended {
                self.last_consumer_ended(&queue, asked);
            }
            for run in deferred.fetch {
                self.read_back(&queue, run);
            }
            if !deferred.dead_letters.is_empty()
                && let Some(above) = self.above()
            {
                above.dead_letter(&queue, deferred.dead_letters, &mut work);
            }
            waiting.extend(deferred.unsynced.into_iter().map(|unsynced| (queue.clone(), unsynced)));
        }
        // Not before: a dead letter is removed from its queue when its targets have it.
        for (queue, unsynced) in waiting {
            self.tell_when_synced(queue, unsynced);
        }
    }

    /// Tells the queue when all that the store was given by now is on the disk.
    fn tell_when_synced(self: &Arc<Self>, queue: Arc<QueueHandle>, unsynced: Unsynced<BrokerHandles>) {
        let queues = self.clone();
        tasks::spawn("sync", async move {
            if queues.synced().await.is_ok() {
                queue.input(&queues, |machine, _, sink| machine.synced(unsynced, sink));
            }
        });
    }

    /// The last consumer, of another node, has ended: that hears of it when an auto-delete queue is gone.
    fn last_consumer_ended(self: &Arc<Self>, queue: &Arc<QueueHandle>, asked: Option<(NodeId, u64)>) {
        let deletion = self.delete_if_left(queue, 0);
        let Some((node, call)) = asked else { return };
        let tell = move |queues: &Arc<Self>, queue: &Arc<QueueHandle>| {
            queue.input(queues, |machine, _, sink| machine.tell_done(node, call, sink));
        };
        let Some(deletion) = deletion else {
            return tell(self, queue);
        };
        let (queues, queue) = (self.clone(), queue.clone());
        tasks::spawn("end of consumers", async move {
            // If it panicked it has said so.
            let _ = deletion.await;
            tell(&queues, &queue);
        });
    }

    /// Reads bodies outside the async workers and gives them to their queue.
    fn read_back(self: &Arc<Self>, queue: &Arc<QueueHandle>, run: Vec<(u64, queue::Loc)>) {
        let (queues, queue) = (self.clone(), queue.clone());
        let replica = queue.state.lock().replica.clone();
        self.runtime.spawn_blocking(move || {
            let bodies = match replica {
                Some(replica) => match read_ledger(&replica, &run, queue.member_nodes().len() > 1) {
                    Some(bodies) => bodies,
                    // The next leader has them.
                    None => {
                        if let Some(above) = queues.above() {
                            above.member_fails(&queue, &replica);
                        }
                        return;
                    }
                },
                None => {
                    let run: Vec<_> = run.iter().map(|&(seq, loc)| (seq, Loc::from_raw(loc))).collect();
                    queues.read_bodies(queue.owner(), &run)
                }
            };
            let read = bodies.iter().filter(|(_, body)| body.is_some()).count();
            queue.count(Measure::DiskReads, read as u64);
            let lost = queue.with(&queues, |machine, now, sink| machine.fetched(now, bodies, sink));
            if lost.is_some_and(|lost| lost > 0) {
                tracing::error!(queue = %queue.spec.name, vhost = %queue.spec.vhost, lost, "messages cannot be read any more");
            }
            queue.changed.notify_waiters();
            queue.input(&queues, |machine, now, sink| machine.serve_gets(now, sink));
        });
    }

    /// The bodies of these entries; `None` for what is no more or damaged.
    pub(in crate::broker) fn read_bodies(
        &self,
        owner: crate::store::OwnerId,
        run: &[(u64, Loc)],
    ) -> Vec<(u64, Option<Message>)> {
        let bodies = self.store.read(owner, run).unwrap_or_else(|error| {
            tracing::error!(owner = owner.0, %error, "reading messages failed; each is read by itself");
            // One that cannot be read must not take the others of its run along.
            let alone = |one| self.store.read(owner, std::slice::from_ref(one));
            run.iter()
                .map(|one| alone(one).ok().and_then(|mut read| read.pop().flatten()))
                .collect()
        });
        let seqs = run.iter().map(|(seq, _)| *seq);
        seqs.zip(bodies)
            .map(|(seq, body)| (seq, body.and_then(|body| Message::from_stored(&body).ok())))
            .collect()
    }
}

/// The bodies of these messages of a replicated queue; `None` where one is damaged here and others have it.
pub(super) fn read_ledger(
    replica: &Group<Contents>,
    run: &[(u64, queue::Loc)],
    has_others: bool,
) -> Option<Vec<(u64, Option<Message>)>> {
    let seqs: Vec<u64> = run.iter().map(|(seq, _)| *seq).collect();
    let reader = replica.machine().ledger()?.locate(&seqs);
    let read = reader.read().into_iter().map(|(seq, message)| match message {
        Ok(message) => Some((seq, Some(message))),
        Err(error) => {
            tracing::error!(seq, %error, "a message cannot be read");
            let is_damaged = replica.has_lost() && error.kind() != io::ErrorKind::NotFound;
            (!is_damaged || !has_others).then_some((seq, None))
        }
    });
    read.collect()
}
