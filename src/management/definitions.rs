//! Definitions: everything declared as one document.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;

use serde_json::Value;
use thiserror::Error;

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::parameters::cluster_name;
use super::route::{Access, Route};
use crate::broker::declare::QueueRules;
use crate::broker::{Broker, BrokerError};
use crate::metadata::definitions::{self, DefinitionError, Setting, Writer};
use crate::metadata::{Catalog, Command};
use crate::types::{UserName, VhostName};

/// What can be done with definitions.
pub static ROUTES: &[Route] = &[
    Route::get(
        "/definitions",
        Access::Administrator,
        "Everything declared; download=NAME saves it under a name.",
        all,
    ),
    Route::get(
        "/all-configuration",
        Access::Administrator,
        "An older name of /definitions.",
        all,
    ),
    Route::get(
        "/definitions/{vhost}",
        Access::Administrator,
        "What is declared in a vhost.",
        |call| {
            let cluster_name = cluster_name(&call.broker);
            let writer = writer(&call.broker, &cluster_name);
            let document = call.in_vhost(|vhost| definitions::export_vhost(vhost, &writer))?;
            given(call, document)
        },
    ),
    Route::post(
        "/definitions",
        Access::Administrator,
        "Declares what the document says.",
        |call| {
            Box::pin(async move {
                let document = document(&call)?;
                import(&call.broker, &document, &call.caller.name).await?;
                Ok(Answer::Done)
            })
        },
    ),
    Route::post(
        "/definitions/{vhost}",
        Access::Administrator,
        "Declares in a vhost what the document says.",
        |call| {
            Box::pin(async move {
                let vhost = call.identity()?.vhost;
                let document = document(&call)?;
                import_vhost(&call.broker, &document, &vhost, &call.caller.name).await?;
                Ok(Answer::Done)
            })
        },
    ),
];

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
pub async fn import(broker: &Arc<Broker>, document: &Value, by: &UserName) -> Result<(), ImportError> {
    let commands = definitions::import(setting(broker, &broker.catalog(), by), document)?;
    carry_out(broker, commands).await
}

async fn import_vhost(
    broker: &Arc<Broker>,
    document: &Value,
    vhost: &VhostName,
    by: &UserName,
) -> Result<(), ImportError> {
    let commands = definitions::import_vhost(setting(broker, &broker.catalog(), by), document, vhost)?;
    carry_out(broker, commands).await
}

fn setting<'a>(broker: &Broker, catalog: &'a Catalog, by: &'a UserName) -> Setting<'a> {
    Setting {
        catalog,
        by,
        default_type: QueueRules::of(broker.config()).default_type,
        salt: rand::random,
    }
}

/// Commands under way at once: they share their syncs.
const TOGETHER: usize = 512;

async fn carry_out(broker: &Arc<Broker>, commands: Vec<Command>) -> Result<(), ImportError> {
    let mut under_way = VecDeque::new();
    for command in commands {
        let mut decided = Box::pin(broker.decide(move |catalog| {
            // What is there otherwise stays as it is.
            let command = (!is_there(catalog, &command)).then(|| command.clone());
            Ok::<_, BrokerError>((command, ()))
        }));
        if !broker.leads_catalogue() {
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

fn is_there(catalog: &Catalog, command: &Command) -> bool {
    match command {
        Command::DeclareQueue(spec) => {
            let vhost = catalog.vhost(&spec.vhost);
            vhost.is_some_and(|vhost| vhost.queue(&spec.name).is_some())
        }
        Command::DeclareExchange(spec) => {
            let vhost = catalog.vhost(&spec.vhost);
            vhost.is_some_and(|vhost| vhost.exchange(&spec.name).is_some())
        }
        _ => false,
    }
}

fn writer<'a>(broker: &'a Broker, cluster_name: &'a str) -> Writer<'a> {
    let config = broker.config();
    Writer {
        version: &config.identity.version,
        product_name: &config.identity.product_name,
        product_version: &config.identity.product_version,
        cluster_name,
        default_queue_type: &config.queues.default_type,
    }
}

fn all(call: &Call) -> Answered {
    let cluster_name = cluster_name(&call.broker);
    let document = definitions::export(&call.broker.catalog(), &writer(&call.broker, &cluster_name));
    given(call, document)
}

fn given(call: &Call, value: Value) -> Answered {
    Ok(match call.query.get("download") {
        Some(name) if !name.is_empty() => Answer::Download {
            name: name.to_owned(),
            value,
        },
        _ => Answer::Json(value),
    })
}

fn document(call: &Call) -> Result<Value, Failure> {
    let parsed = serde_json::from_slice(call.body());
    parsed.map_err(|_| Failure::bad("failed_to_parse_json"))
}
