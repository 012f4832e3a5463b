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
use super::users::default_algorithm;
use super::vhosts;
use crate::broker::{Broker, BrokerError};
use crate::metadata::definitions::{self, DefinitionError, Import, Setting, Writer};
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
        "Declares what the document says; a form's part 'file' is one too.",
        |call| Box::pin(post_all(call)),
    ),
    Route::post(
        "/all-configuration",
        Access::Administrator,
        "An older name of /definitions.",
        |call| Box::pin(post_all(call)),
    ),
    Route::post(
        "/definitions/{vhost}",
        Access::Administrator,
        "Declares in a vhost what the document says.",
        |call| {
            Box::pin(async move {
                let vhost = call.identity()?.vhost;
                let given = Given::of(&call)?;
                import_vhost(&call.broker, &given.document, &vhost, &call.caller.name).await?;
                Ok(given.done())
            })
        },
    ),
];

async fn post_all(call: Call) -> Answered {
    let given = Given::of(&call)?;
    let by = By {
        user: &call.caller.name,
        owns_vhosts: !call.caller.operator,
    };
    import(&call.broker, &given.document, by).await?;
    Ok(given.done())
}

/// Who imports a document.
#[derive(Clone, Copy)]
pub struct By<'a> {
    /// The owner of what is declared.
    pub user: &'a UserName,
    /// Whether there is such a user, who may then use the vhosts that the document makes.
    pub owns_vhosts: bool,
}

/// What stands in the body of a request: a document, or a form with one as the part `file`.
struct Given {
    document: Value,
    /// Where the form wants its reader to go on.
    redirect: Option<String>,
}

impl Given {
    fn of(call: &Call) -> Result<Self, Failure> {
        let parse = |bytes| serde_json::from_slice(bytes).map_err(|_| Failure::bad("failed_to_parse_json"));
        let Some(form) = call.form() else {
            return Ok(Self {
                document: parse(call.body())?,
                redirect: None,
            });
        };
        let form = form?;
        let redirect = form.part("redirect").map(String::from_utf8_lossy);
        Ok(Self {
            document: parse(form.part("file").unwrap_or_default())?,
            redirect: redirect.map(|page| page.into_owned()),
        })
    }

    fn done(self) -> Answer {
        match self.redirect {
            Some(page) => Answer::SeeOther(page),
            None => Answer::Done,
        }
    }
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
    let read = {
        let catalog = broker.catalog();
        let owner = by.owns_vhosts.then_some(by.user);
        let first_of = |vhost: &VhostName| vhosts::first_commands(broker, &catalog, vhost, owner);
        definitions::import(setting(broker, &catalog, by.user, &first_of), document)?
    };
    carry_out(broker, read).await
}

async fn import_vhost(
    broker: &Arc<Broker>,
    document: &Value,
    vhost: &VhostName,
    by: &UserName,
) -> Result<(), ImportError> {
    let read = {
        let catalog = broker.catalog();
        definitions::import_vhost(setting(broker, &catalog, by, &|_| Vec::new()), document, vhost)?
    };
    carry_out(broker, read).await
}

fn setting<'a>(
    broker: &Broker,
    catalog: &'a Catalog,
    by: &'a UserName,
    first_of: &'a dyn Fn(&VhostName) -> Vec<Command>,
) -> Setting<'a> {
    Setting {
        catalog,
        by,
        default_type: broker.queue_rules().default_type,
        hashing: default_algorithm(&broker.config().auth),
        salt: rand::random,
        first_of,
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
        version: &config.product.version,
        product_name: &config.product.product_name,
        product_version: &config.product.product_version,
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
