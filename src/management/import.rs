//! Makes what a document of definitions says, for a request or at the start.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;

use serde_json::Value;
use thiserror::Error;
use tokio::task::coop::unconstrained;

use super::answer::Failure;
use super::users::{default_algorithm, takes_password};
use crate::broker::new_vhost::first_commands;
use crate::broker::{Broker, BrokerError};
use crate::metadata::definitions::{self, DefinitionError, Import, Setting};
use crate::metadata::{Catalogue, Command};
use crate::types::{UserName, VhostName};

/// Who imports a document.
#[derive(Clone, Copy)]
pub struct By<'a> {
    /// The owner of what is declared.
    pub user: &'a UserName,
    /// Whether there is such a user, who may then use the vhosts that the document makes.
    pub owns_vhosts: bool,
}

/// Why definitions are not imported. What stands before the refused item has happened, as with
/// RabbitMQ, when it is the catalogue that refuses.
#[derive(Debug, Error)]
pub enum ImportError {
    #[error(transparent)]
    Document(#[from] DefinitionError),
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Document(error) => Self::bad(error.to_string()),
            ImportError::Broker(error) => error.into(),
        }
    }
}

/// Declares what a document of a whole cluster says, in the name of a user.
///
/// # Errors
/// When the document is none, or the catalogue refuses something of it.
pub async fn import(broker: &Arc<Broker>, document: &Value, by: By<'_>) -> Result<(), ImportError> {
    let read = read(broker, &broker.catalogue(), document, by)?;
    carry_out(broker, read).await
}

/// What a document of a whole cluster comes to, without doing any of it.
///
/// # Errors
/// When the document is none.
pub fn read(broker: &Broker, catalogue: &Catalogue, document: &Value, by: By<'_>) -> Result<Import, DefinitionError> {
    let owner = by.owns_vhosts.then_some(by.user);
    let first_of = |vhost: &VhostName| first_commands(broker.config(), catalogue, vhost, owner);
    let takes_password = |password: &str| takes_password(&broker.config().auth, password);
    let setting = setting(broker, catalogue, by.user, &first_of, &takes_password);
    definitions::import(setting, document)
}

/// The same for a document of one vhost, into any vhost.
///
/// # Errors
/// As [`import`].
pub async fn import_vhost(
    broker: &Arc<Broker>,
    document: &Value,
    vhost: &VhostName,
    by: &UserName,
) -> Result<(), ImportError> {
    let read = {
        let catalogue = broker.catalogue();
        definitions::import_vhost(
            setting(broker, &catalogue, by, &|_| Vec::new(), &|_| true),
            document,
            vhost,
        )?
    };
    carry_out(broker, read).await
}

fn setting<'a>(
    broker: &Broker,
    catalogue: &'a Catalogue,
    by: &'a UserName,
    first_of: &'a dyn Fn(&VhostName) -> Vec<Command>,
    takes_password: &'a dyn Fn(&str) -> bool,
) -> Setting<'a> {
    Setting {
        catalogue,
        by,
        default_type: broker.queue_rules().default_type,
        hashing: default_algorithm(&broker.config().auth),
        salt: rand::random,
        first_of,
        takes_password,
    }
}

/// Commands under way at once: they share their syncs.
const TOGETHER: usize = 512;

async fn carry_out(broker: &Arc<Broker>, read: Import) -> Result<(), ImportError> {
    for what in read.skipped {
        tracing::warn!("not imported: {what}");
    }
    let mut under_way = VecDeque::new();
    for command in read.commands {
        let decided = broker.declarations().decide(move |catalogue| {
            // What is there otherwise stays as it is.
            let command = (!is_there(catalogue, &command)).then(|| command.clone());
            Ok::<_, BrokerError>((command, ()))
        });
        // However much this task has done, the first poll goes as far as it can.
        let mut decided = Box::pin(unconstrained(decided));
        if !broker.declarations().is_leader() {
            decided.await?;
            continue;
        }
        // The first poll proposes the command, so they are applied in order; what is waited for
        // later is that they are.
        match poll_fn(|context| Poll::Ready(decided.as_mut().poll(context))).await {
            Poll::Ready(applied) => applied?,
            Poll::Pending => under_way.push_back(decided),
        }
        if under_way.len() == TOGETHER
            && let Some(oldest) = under_way.pop_front()
        {
            oldest.await?;
        }
    }
    for decided in under_way {
        decided.await?;
    }
    Ok(())
}

fn is_there(catalogue: &Catalogue, command: &Command) -> bool {
    match command {
        Command::DeclareQueue(spec) => {
            let vhost = catalogue.vhost(&spec.vhost);
            vhost.is_some_and(|vhost| vhost.queue(&spec.name).is_some())
        }
        Command::DeclareExchange(spec) => {
            let vhost = catalogue.vhost(&spec.vhost);
            vhost.is_some_and(|vhost| vhost.exchange(&spec.name).is_some())
        }
        _ => false,
    }
}
