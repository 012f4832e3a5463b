//! Streams that are created and deleted by whoever does not speak AMQP: refusals are the codes of the stream protocol.

use std::sync::Arc;

use crate::broker::queue::stream::LiveStream;
use crate::broker::{Broker, BrokerError, CatalogueError, QueueHandle};
use crate::codec::method::{QueueDeclare, QueueDelete};
use crate::declare::{Actor, DeclareError, DeletePlan, QueuePlan, queue_declare, queue_delete};
use crate::stream_protocol::codec::Code;
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

/// The streams of this node.
#[derive(Clone)]
pub struct Streams(pub Arc<Broker>);

impl Streams {
    /// The stream of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(&self, vhost: &VhostName, name: &str) -> Result<(Arc<QueueHandle>, Arc<LiveStream>), Code> {
        let queue = self.0.vhost(vhost).and_then(|vhost| vhost.queue(name));
        let queue = queue.ok_or(Code::NoStream)?;
        let live = self.0.queues().streams().of(&queue).ok_or(Code::NoStream)?;
        Ok((queue, live))
    }

    /// Creates a stream, and waits until it is led.
    pub async fn create(&self, actor: &Actor, name: &str, arguments: &[(String, String)]) -> Result<(), Code> {
        let name: String = name.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
        let arguments = arguments_of(arguments)?;
        self.declare(actor, &name, arguments, code).await
    }

    /// The same with arguments of the queue; `code` is what is heard of a refusal.
    pub(super) async fn declare(
        &self,
        actor: &Actor,
        name: &str,
        arguments: FieldTable,
        code: fn(&BrokerError) -> Code,
    ) -> Result<(), Code> {
        if name.is_empty() || name.len() > NAME_BYTES {
            return Err(Code::PreconditionFailed);
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
                _ => (None, Err(Code::StreamExists)),
            })
        });
        declared.await.map_err(|error| code(&error))?
    }

    /// Deletes a stream.
    pub async fn delete(&self, actor: &Actor, name: &str) -> Result<(), Code> {
        let method = QueueDelete {
            queue: name.to_owned(),
            ..QueueDelete::default()
        };
        if name.contains(['\r', '\n']) {
            return Err(Code::NoStream);
        }
        let plan = queue_delete(&self.0.catalogue(), &actor.who(), None, &method);
        match plan.map_err(|error| code(&error.into()))? {
            DeletePlan::Missing => Err(Code::NoStream),
            DeletePlan::Delete { queue, .. } => {
                self.find(&actor.vhost, &queue)?;
                let deleted = self
                    .0
                    .declarations()
                    .delete_queue(&actor.who(), &queue, false, false)
                    .await;
                deleted.map(drop).map_err(|error| code(&error))
            }
        }
    }
}

/// The arguments of the queue that a stream is. Those that are not known are left out.
pub(super) fn arguments_of(arguments: &[(String, String)]) -> Result<FieldTable, Code> {
    let mut table = FieldTable::new();
    table.set("x-queue-type", FieldValue::text("stream"));
    for (key, value) in arguments {
        let Some((name, is_number)) = ARGUMENTS.iter().find(|(name, _)| name == key) else {
            continue;
        };
        let value = match is_number {
            true => FieldValue::I64(value.parse().map_err(|_| Code::PreconditionFailed)?),
            false => FieldValue::text(value),
        };
        table.set(&format!("x-{name}"), value);
    }
    Ok(table)
}

/// What a client of this protocol hears for a refusal.
pub(super) fn code(error: &BrokerError) -> Code {
    match error {
        BrokerError::Declare(DeclareError::Access(_)) => Code::AccessRefused,
        BrokerError::Declare(DeclareError::Catalogue(CatalogueError::NoQueue(..) | CatalogueError::NoExchange(..))) => {
            Code::NoStream
        }
        BrokerError::Declare(_) | BrokerError::Catalogue(_) => Code::PreconditionFailed,
        _ => Code::InternalError,
    }
}
