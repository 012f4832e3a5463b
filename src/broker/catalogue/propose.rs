//! Commands to the catalogue, proposed to whoever leads its group.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join, join_all};
use tokio::time::{Instant, timeout, timeout_at};

use super::declarations::Declarations;
use crate::broker::BrokerError;
use crate::journal::raft::{Election, ProposeError};
use crate::metadata::{Catalogue, CatalogueError, Command};
use crate::types::{NodeId, Refusal, ReplyCode, UserName};

/// How long a command may take to reach a majority.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long the leader may take to say how far the log is.
const INDEX_TIMEOUT: Duration = Duration::from_secs(1);
/// Within which the members of a cluster that is well have applied what is committed.
const USUALLY_APPLIED: Duration = Duration::from_millis(10);
/// How long whoever changed the catalogue waits at most for the other nodes to have applied it.
const EVERYWHERE_TIMEOUT: Duration = Duration::from_millis(500);
/// How long it rests while nobody leads.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// What became of a command.
pub(super) enum Proposed {
    /// In the entry of this index.
    Applied(u64),
    Refused(BrokerError),
    /// Not done: another node leads, or none.
    NotLeader,
}

impl Declarations {
    /// Applies a command and waits until it is carried out here and survives.
    ///
    /// # Errors
    /// When the catalogue refuses it; nothing has changed then. Or when no majority is reached.
    pub async fn command(&self, command: Command) -> Result<(), BrokerError> {
        self.command_by(None, command).await
    }

    /// The same for a user, who is named to those who observe.
    ///
    /// # Errors
    /// As of [`Declarations::command`].
    pub async fn command_by(&self, by: Option<&UserName>, command: Command) -> Result<(), BrokerError> {
        self.decide_by(by, |_| Ok::<_, BrokerError>((Some(command.clone()), ())))
            .await?;
        if let Command::PutPolicy(policy) | Command::PutOperatorPolicy(policy) = &command
            && policy.has_mirrors()
        {
            tracing::warn!(
                vhost = %policy.vhost,
                policy = policy.name,
                "ha-* keys have no effect: there are no mirrored queues. A queue that is declared with \
                 x-queue-type quorum, or in a vhost whose default queue type that is, is replicated"
            );
        }
        Ok(())
    }

    /// Looks at the catalogue and decides on a command; then waits until it is carried out here and
    /// survives. With no command nothing happens. It looks again when somebody else was faster.
    ///
    /// # Errors
    /// What `decide` said, or what [`Declarations::command`] says.
    pub async fn decide<T, E>(
        &self,
        decide: impl FnMut(&Catalogue) -> Result<(Option<Command>, T), E>,
    ) -> Result<T, BrokerError>
    where
        E: Into<BrokerError>,
    {
        self.decide_by(None, decide).await
    }

    /// The same for a user, who is named to those who observe.
    ///
    /// # Errors
    /// As of [`Declarations::decide`].
    pub async fn decide_by<T, E>(
        &self,
        by: Option<&UserName>,
        mut decide: impl FnMut(&Catalogue) -> Result<(Option<Command>, T), E>,
    ) -> Result<T, BrokerError>
    where
        E: Into<BrokerError>,
    {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let (command, answer) = self
                .look(|catalogue| {
                    let (command, answer) = decide(catalogue).map_err(Into::into)?;
                    let command = command.filter(|command| !catalogue.has_already(command));
                    command.iter().try_for_each(|command| catalogue.check_steps(command))?;
                    Ok::<_, BrokerError>((command, answer))
                })
                .await?;
            let Some(mut command) = command else {
                return Ok(answer);
            };
            self.place(&mut command);
            let announcement = self.announcement_of(&command);
            match self.propose(&command, deadline).await {
                Ok(()) => {
                    self.is_led(&command).await;
                    self.announce(&command, announcement, by);
                    return Ok(answer);
                }
                Err(BrokerError::Catalogue(CatalogueError::Raced(_))) if Instant::now() < deadline => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// A stream is led when whoever declared it is answered: its clients ask at once where.
    async fn is_led(&self, command: &Command) {
        if let Command::DeclareQueue(spec) = command
            && let Some(queue) = self.vhosts.get(&spec.vhost).and_then(|vhost| vhost.queue(&spec.name))
            && let Some(stream) = self.queues.streams().of(&queue)
        {
            stream.led(&self.queues, &queue).await;
        }
    }

    /// Looks at the catalogue. What is not there may have been declared on another node just now: this
    /// one asks the leader how far the log is, and looks once more.
    ///
    /// # Errors
    /// What `look` said.
    pub async fn look<T, E: Refusal>(&self, mut look: impl FnMut(&Catalogue) -> Result<T, E>) -> Result<T, E> {
        let first = look(&self.catalogue());
        match first {
            Err(error) if error.reply().code == ReplyCode::NotFound && !self.is_leader() => {
                match self.is_caught_up(Instant::now() + INDEX_TIMEOUT).await {
                    true => look(&self.catalogue()),
                    false => Err(error),
                }
            }
            first => first,
        }
    }

    /// Proposes a command to whoever leads the catalogue's group.
    pub(in crate::broker) async fn propose(&self, command: &Command, deadline: Instant) -> Result<(), BrokerError> {
        let record = Bytes::from(command.encode());
        loop {
            let leader = self.group().leadership().leader;
            let us = self.nodes.us();
            let told = match leader {
                Some(leader) if leader == us => self.propose_here(record.clone(), deadline).await,
                Some(leader) => self.propose_there(leader, &record, deadline).await,
                None => Proposed::NotLeader,
            };
            match told {
                Proposed::Applied(index) => {
                    // Whoever waits for an answer finds what it asked for on every node: what is published
                    // to a new queue must not be lost because the publisher's node has yet to hear of it.
                    let here = timeout_at(deadline, self.group().applied(index));
                    let (applied, ()) = join(here, self.applied_elsewhere(index, EVERYWHERE_TIMEOUT)).await;
                    return match applied {
                        Ok(true) => Ok(()),
                        _ => Err(BrokerError::NoMajority),
                    };
                }
                Proposed::Refused(error) => return Err(error),
                Proposed::NotLeader if Instant::now() + RETRY_PAUSE < deadline => tokio::time::sleep(RETRY_PAUSE).await,
                Proposed::NotLeader => return Err(BrokerError::NoMajority),
            }
        }
    }

    /// Waits until the other members that live have applied what this one has, or have had their time.
    pub(super) async fn reached_elsewhere(&self, patience: Duration) {
        if let Some(index) = self.group().status().applied {
            self.applied_elsewhere(index, patience).await;
        }
    }

    /// Waits until the other members that live have applied the entry too, or have had their time.
    async fn applied_elsewhere(&self, index: u64, patience: Duration) {
        let mut others = self.nodes.others_alive();
        others.retain(|node| self.catalogue().nodes().contains_key(node));
        let asked = others.into_iter().map(|node| self.applied_there(node, index, patience));
        let mut applied = pin!(join_all(asked));
        if timeout(USUALLY_APPLIED, &mut applied).await.is_ok() {
            return;
        }
        // A member that was busy with the entry itself hears that it is committed with what the leader
        // sends next, which else is the next heartbeat. If the group has stopped nothing is to be done.
        if self.is_leader() {
            let _ = self.group().heartbeat().await;
        }
        applied.await;
    }

    /// Proposes a command on this node, if it leads.
    pub(super) async fn propose_here(&self, record: Bytes, deadline: Instant) -> Proposed {
        match timeout_at(deadline, self.group().propose(record)).await {
            Ok(Ok(applied)) => match applied.output {
                Ok(()) => Proposed::Applied(applied.index),
                Err(error) => Proposed::Refused(error.into()),
            },
            Ok(Err(ProposeError::Unreadable(error))) => Proposed::Refused(BrokerError::Unreadable(error.to_string())),
            Ok(Err(_)) => Proposed::NotLeader,
            Err(_) => Proposed::Refused(BrokerError::NoMajority),
        }
    }

    /// Whether this node leads the catalogue's group, as far as it knows.
    pub fn is_leader(&self) -> bool {
        self.group().is_leader()
    }

    /// Has that node lead the catalogue's group, if this one does and there is another.
    pub(in crate::broker) async fn hand_over(&self, next_leader: Option<NodeId>) {
        let group = self.group();
        if let Some(next_leader) = next_leader
            && group.is_leader()
            && let Err(error) = group.transfer_leader(next_leader).await
        {
            tracing::warn!(%error, "the catalogue was not handed over");
        }
    }

    /// A node that is the only voter need not wait for its election.
    pub(in crate::broker) async fn lead_alone(&self) {
        let group = self.group();
        let voters = group.status().voters;
        if voters.len() != 1 || !voters.contains(&self.nodes.us()) {
            return;
        }
        let mut watch = group.watch();
        while watch.now().leader.is_none() {
            if let Err(error) = group.elect(Election::LeaderSilent).await {
                tracing::error!(%error, "the catalogue has no leader");
                return;
            }
            let led = watch.until(|now| now.leader.is_some());
            if matches!(timeout(Duration::from_secs(1), led).await, Ok(false)) {
                return;
            }
        }
    }
}
