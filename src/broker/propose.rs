//! Commands on their way into the catalogue: to its leader, on this node or another, and back
//! when they are applied here.
//!
//! ```text
//! decide: look → command → leader's group → committed → applied on this node → answer
//!           ↑──────────── declared otherwise in the same moment ────┘
//! ```

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::control::{Ask, Refused, Told};
use super::{Broker, BrokerError};
use crate::journal::raft::{Applied, Group, ProposeError};
use crate::metadata::replicated::Replicated;
use crate::metadata::{Catalog, CatalogError, Command};
use crate::spec::{Member, QueueType};
use crate::types::NodeId;

/// How long a command may take until it is applied.
pub const DEADLINE: Duration = Duration::from_secs(5);
/// How long nothing is tried where no leader is known.
const NO_LEADER: Duration = Duration::from_millis(50);

/// What became of commands that were applied one after the other.
#[derive(Debug)]
pub struct Proposed {
    /// Where the last one is in the log.
    pub index: u64,
    /// For each whether it was refused.
    pub refused: Vec<Option<Refused>>,
}

/// Why commands are not known to be applied.
enum Failure {
    /// Another try may do.
    Again(Option<NodeId>),
    Final(BrokerError),
}

impl Broker {
    /// Applies a command and waits until it survives the loss of a minority of the nodes.
    ///
    /// # Errors
    /// When the catalogue refuses it; nothing has changed then. Or [`BrokerError::NoMajority`].
    pub async fn command(self: &Arc<Self>, command: Command) -> Result<(), BrokerError> {
        self.decide(|_| Ok::<_, BrokerError>((Some(command.clone()), ()))).await
    }

    /// Looks at the catalogue, decides on a command, and has it applied; looks again when somebody
    /// else was faster. With no command nothing happens.
    ///
    /// # Errors
    /// What `decide` said, or what [`Broker::command`] says.
    pub async fn decide<T, E>(
        self: &Arc<Self>,
        mut decide: impl FnMut(&Catalog) -> Result<(Option<Command>, T), E>,
    ) -> Result<T, BrokerError>
    where
        E: Into<BrokerError>,
    {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let (command, answer) = {
                let catalog = self.catalog.read();
                let (command, answer) = decide(&catalog).map_err(Into::into)?;
                (command.filter(|command| !catalog.has_already(command)), answer)
            };
            let Some(command) = command else {
                return Ok(answer);
            };
            let proposed = match self.try_propose(&[self.placed(command)], deadline).await {
                Ok(proposed) => proposed,
                Err(Failure::Final(error)) => return Err(error),
                // What was sent may be applied or not: it is looked at again.
                Err(Failure::Again(leader)) => {
                    self.wait_for_leader(leader, deadline).await?;
                    continue;
                }
            };
            match proposed.refused.into_iter().flatten().next() {
                None => return Ok(answer),
                Some(Refused::Raced) if Instant::now() < deadline => {}
                Some(refused) => return Err(refused.into()),
            }
        }
    }

    /// Applies commands in this order and waits as [`Broker::command`] does; what exists otherwise
    /// stays as it is. Each is applied whether or not those before it are refused.
    ///
    /// # Errors
    /// The first refusal, or [`BrokerError::NoMajority`]; some may be applied then.
    pub async fn commands(self: &Arc<Self>, commands: Vec<Command>) -> Result<(), BrokerError> {
        let deadline = Instant::now() + DEADLINE;
        let commands: Vec<_> = commands.into_iter().map(|command| self.placed(command)).collect();
        let proposed = loop {
            match self.try_propose(&commands, deadline).await {
                Ok(proposed) => break proposed,
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Again(leader)) => self.wait_for_leader(leader, deadline).await?,
            }
        };
        let mut refused = proposed.refused.into_iter().flatten();
        match refused.find(|refused| !matches!(refused, Refused::Raced)) {
            None => Ok(()),
            Some(refused) => Err(refused.into()),
        }
    }

    /// Waits until everything that was committed before the call is applied here.
    ///
    /// # Errors
    /// When no majority is heard until then.
    pub(super) async fn catch_up(&self, deadline: Instant) -> Result<(), BrokerError> {
        loop {
            let group = self.catalogue();
            let leader = group.leadership().leader;
            let us = self.nodes.us();
            let done = match leader {
                Some(leader) if leader == us => group.barrier().await.is_ok(),
                Some(leader) => match self.ask(leader, &Ask::CaughtUp, deadline.min(soon())).await {
                    Ok(Told::Index(index)) => group.applied(index, until(deadline)).await,
                    _ => false,
                },
                None => false,
            };
            if done {
                return Ok(());
            }
            self.wait_for_leader(leader, deadline).await?;
        }
    }

    /// Commands that came to this node as the leader's.
    pub(super) async fn propose_here(&self, commands: &[Command]) -> Result<Proposed, ProposeError> {
        let group = self.catalogue();
        let waiting: Vec<_> = commands.iter().map(|command| submit(group, command)).collect();
        let mut proposed = Proposed {
            index: 0,
            refused: Vec::with_capacity(waiting.len()),
        };
        for applied in waiting {
            let applied = applied.await?;
            proposed.index = proposed.index.max(applied.index);
            proposed.refused.push(applied.output.err().map(Refused::from));
        }
        Ok(proposed)
    }

    async fn try_propose(&self, commands: &[Command], deadline: Instant) -> Result<Proposed, Failure> {
        if Instant::now() >= deadline {
            return Err(Failure::Final(BrokerError::NoMajority));
        }
        let group = self.catalogue();
        let leader = group.leadership().leader;
        let Some(leader) = leader.filter(|leader| *leader != self.nodes.us()) else {
            let here = tokio::time::timeout(until(deadline), self.propose_here(commands)).await;
            return here
                .unwrap_or(Err(ProposeError::NoQuorum))
                .map_err(|error| match error {
                    ProposeError::NotLeader { leader } | ProposeError::Unknown { leader } => Failure::Again(leader),
                    ProposeError::NoQuorum => Failure::Again(None),
                    ProposeError::Stopped => Failure::Final(BrokerError::NoMajority),
                    ProposeError::Unreadable(_) | ProposeError::TooLarge(_) => {
                        Failure::Final(BrokerError::Unfit(error.to_string()))
                    }
                });
        };
        match self.ask(leader, &Ask::Propose(commands.to_vec()), deadline).await {
            Ok(Told::Proposed { index, refused }) => match group.applied(index, until(deadline)).await {
                true => Ok(Proposed { index, refused }),
                false => Err(Failure::Final(BrokerError::NoMajority)),
            },
            Ok(Told::NotLeader(other)) => Err(Failure::Again(other)),
            _ => Err(Failure::Again(None)),
        }
    }

    /// Waits a little, so that a leader is found.
    async fn wait_for_leader(&self, tried: Option<NodeId>, deadline: Instant) -> Result<(), BrokerError> {
        if Instant::now() + NO_LEADER >= deadline {
            return Err(BrokerError::NoMajority);
        }
        let mut watch = self.catalogue().watch();
        let found = watch.until(|now| now.leader.is_some() && now.leader != tried);
        // That none was found shows in the next try.
        let _ = tokio::time::timeout(NO_LEADER, found).await;
        Ok(())
    }

    /// The command with the place of what it declares.
    fn placed(&self, mut command: Command) -> Command {
        let us = self.nodes.us();
        match &mut command {
            Command::DeclareExchange(spec) => spec.home = us,
            Command::DeclareQueue(spec) => {
                spec.home = us;
                if spec.queue_type == QueueType::Quorum {
                    spec.members = vec![Member {
                        node: us,
                        generation: 0,
                    }];
                }
            }
            _ => {}
        }
        command
    }
}

/// Proposes one; what it waits for is the answer.
fn submit(
    group: &Group<Replicated>,
    command: &Command,
) -> impl Future<Output = Result<Applied<Result<(), CatalogError>>, ProposeError>> + Send + use<> {
    let (answer, answered) = oneshot::channel();
    group.submit(command.encode().into(), move |applied| {
        // Who does not wait any more does not hear it.
        let _ = answer.send(applied);
    });
    async { answered.await.unwrap_or(Err(ProposeError::Stopped)) }
}

fn until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// When a question that costs nothing is asked again.
fn soon() -> Instant {
    Instant::now() + Duration::from_secs(1)
}
