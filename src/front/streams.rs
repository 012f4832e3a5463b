//! Streams that are created and deleted by whoever does not speak AMQP: why one is refused, each says in its own words.

use std::sync::Arc;

use crate::broker::queue::stream::LiveStream;
use crate::broker::{Broker, BrokerError, CatalogueError, QueueHandle};
use crate::codec::method::{QueueDeclare, QueueDelete};
use crate::declare::{Actor, DeclareError, DeletePlan, QueuePlan, queue_declare, queue_delete};
use crate::types::{FieldTable, FieldValue, VhostName};

/// Bytes of a name that AMQP can say as well.
pub const NAME_BYTES: usize = 255;

/// Arguments that a create may have, and whether they are numbers.
const ARGUMENTS: [(&str, bool); 6] = [
    ("max-length-bytes", true),
    ("max-age", false),
    ("stream-max-segment-size-bytes", true),
    ("initial-cluster-size", true),
    ("queue-leader-locator", false),
    ("stream-filter-size-bytes", true),
];

/// Why a stream, or a super stream, is not found or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamRefusal {
    NoStream,
    /// Or another queue or exchange of that name.
    StreamExists,
    AccessRefused,
    /// A name or an argument cannot be used.
    PreconditionFailed,
    /// It cannot be done now.
    InternalError,
}

/// The streams of this node.
#[derive(Clone)]
pub struct Streams(pub Arc<Broker>);

impl Streams {
    /// The stream of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(&self, vhost: &VhostName, name: &str) -> Result<(Arc<QueueHandle>, Arc<LiveStream>), StreamRefusal> {
        let queue = self.0.vhost(vhost).and_then(|vhost| vhost.queue(name));
        let queue = queue.ok_or(StreamRefusal::NoStream)?;
        let live = self.0.queues().streams().of(&queue).ok_or(StreamRefusal::NoStream)?;
        Ok((queue, live))
    }

    /// Creates a stream, and waits until it is led.
    pub async fn create(&self, actor: &Actor, name: &str, arguments: &[(String, String)]) -> Result<(), StreamRefusal> {
        let name: String = name.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
        let arguments = arguments_of(arguments)?;
        self.declare(actor, &name, arguments, refusal).await
    }

    /// The same with arguments of the queue; `refusal` says why it is refused.
    pub(super) async fn declare(
        &self,
        actor: &Actor,
        name: &str,
        arguments: FieldTable,
        refusal: fn(&BrokerError) -> StreamRefusal,
    ) -> Result<(), StreamRefusal> {
        if name.is_empty() || name.len() > NAME_BYTES {
            return Err(StreamRefusal::PreconditionFailed);
        }
        let method = QueueDeclare {
            queue: name.to_owned(),
            durable: true,
            arguments,
            ..QueueDeclare::default()
        };
        let rules = self.0.queue_rules();
        let declared = self.0.declarations().decide_by(Some(&actor.user), |catalogue| {
            let plan = queue_declare(catalogue, &actor.who(), rules, &method, rand::random)?;
            Ok::<_, DeclareError>(match plan {
                QueuePlan::Create(spec) => (Some(crate::broker::Command::DeclareQueue(spec)), Ok(())),
                _ => (None, Err(StreamRefusal::StreamExists)),
            })
        });
        declared.await.map_err(|error| refusal(&error))?
    }

    /// Deletes a stream.
    pub async fn delete(&self, actor: &Actor, name: &str) -> Result<(), StreamRefusal> {
        let method = QueueDelete {
            queue: name.to_owned(),
            ..QueueDelete::default()
        };
        if name.contains(['\r', '\n']) {
            return Err(StreamRefusal::NoStream);
        }
        let plan = queue_delete(&self.0.catalogue(), &actor.who(), None, &method);
        match plan.map_err(|error| refusal(&error.into()))? {
            DeletePlan::Missing => Err(StreamRefusal::NoStream),
            DeletePlan::Delete { queue, .. } => {
                self.find(&actor.vhost, &queue)?;
                let deleted = self
                    .0
                    .declarations()
                    .delete_queue(&actor.who(), &queue, false, false)
                    .await;
                deleted.map(drop).map_err(|error| refusal(&error))
            }
        }
    }
}

/// The arguments of the queue that a stream is. Those that are not known are left out.
pub(super) fn arguments_of(arguments: &[(String, String)]) -> Result<FieldTable, StreamRefusal> {
    let mut table = FieldTable::new();
    table.set("x-queue-type", FieldValue::text("stream"));
    for (key, value) in arguments {
        let Some((name, is_number)) = ARGUMENTS.iter().find(|(name, _)| name == key) else {
            continue;
        };
        let value = match is_number {
            true => FieldValue::I64(value.parse().map_err(|_| StreamRefusal::PreconditionFailed)?),
            false => FieldValue::text(value),
        };
        table.set(&format!("x-{name}"), value);
    }
    Ok(table)
}

/// Why a stream is refused, where AMQP has more to say.
pub(super) fn refusal(error: &BrokerError) -> StreamRefusal {
    match error {
        BrokerError::Declare(DeclareError::Access(_)) => StreamRefusal::AccessRefused,
        BrokerError::Declare(DeclareError::Catalogue(CatalogueError::NoQueue(..) | CatalogueError::NoExchange(..))) => {
            StreamRefusal::NoStream
        }
        BrokerError::Declare(_) | BrokerError::Catalogue(_) => StreamRefusal::PreconditionFailed,
        _ => StreamRefusal::InternalError,
    }
}
