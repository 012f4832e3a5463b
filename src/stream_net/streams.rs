//! Streams as clients of this protocol name and use them: refusals are the codes that they hear.

use std::sync::Arc;
use std::time::Duration;

use super::publishing::Confirms;
use crate::broker::queue::stream::LiveStream;
use crate::broker::queue::stream::direct::Entries;
use crate::broker::{Broker, BrokerError, CatalogueError, QueueHandle};
use crate::codec::method::{QueueDeclare, QueueDelete};
use crate::declare::{Actor, DeclareError, DeletePlan, QueuePlan, queue_declare, queue_delete};
use crate::stream::{Bounds, Matcher, OffsetSpec, Piece};
use crate::stream_protocol::codec::{Code, StartAt};
use crate::types::{FieldTable, FieldValue, NodeId, QueueId, Timestamp, VhostName};

/// Bytes of a name that AMQP can say as well.
pub(super) const NAME_BYTES: usize = 255;

/// How long a stream that was created, or whose node has started, may take to be led.
const FIRST_LEADER: Duration = Duration::from_secs(5);

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
pub(super) struct Streams(pub Arc<Broker>);

/// One of them.
#[derive(Clone)]
pub(super) struct Stream {
    broker: Arc<Broker>,
    queue: Arc<QueueHandle>,
    live: Arc<LiveStream>,
}

/// Where a stream is.
pub(super) struct Place {
    pub leader: Option<NodeId>,
    /// Without the leader.
    pub replicas: Vec<NodeId>,
}

impl Streams {
    /// The stream of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(&self, vhost: &VhostName, name: &str) -> Result<Stream, Code> {
        let queue = self.0.vhost(vhost).and_then(|vhost| vhost.queue(name));
        let queue = queue.ok_or(Code::NoStream)?;
        let live = self.0.queues().streams().of(&queue).ok_or(Code::NoStream)?;
        Ok(Stream {
            broker: self.0.clone(),
            queue,
            live,
        })
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
        declared.await.map_err(|error| code(&error))??;
        if let Ok(stream) = self.find(&actor.vhost, name) {
            // It is there in any case; clients look again where it is led.
            stream.led().await;
        }
        Ok(())
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

impl Stream {
    /// Whether what is published here is taken.
    pub fn is_led_here(&self) -> bool {
        self.live.is_led_here()
    }

    /// Waits a while until the stream is led, here or elsewhere.
    pub async fn led(&self) {
        // Whoever waits looks for itself.
        let _ = tokio::time::timeout(FIRST_LEADER, self.live.led(self.broker.queues(), &self.queue)).await;
    }

    /// Whether this node has a member.
    pub fn is_here(&self) -> bool {
        self.live.bounds(&self.queue).is_some()
    }

    /// Appends what is published, by the name of its publisher if that counts.
    pub fn publish(&self, (stream, name): (&str, Option<&str>), entries: &Entries, confirms: Confirms) {
        let stream = stream.to_owned();
        self.live
            .publish_entries(self.broker.queues(), name, entries, move |written| match written {
                Ok(()) => confirms.committed(),
                Err(_) => confirms.lost(stream),
            });
    }

    /// The highest number of a publisher's name.
    pub fn sequence(&self, name: &str) -> Option<u64> {
        self.live.sequence(&self.queue, name)
    }

    /// Keeps how far a reader has come.
    pub fn store_offset(&self, name: &str, offset: u64) {
        self.live.store_cursor(self.broker.queues(), &self.queue, name, offset);
    }

    /// How far it has.
    pub fn stored_offset(&self, name: &str) -> Option<u64> {
        self.live.cursor(&self.queue, name)
    }

    /// Offsets, as far as this node's member knows them.
    pub fn bounds(&self) -> Option<Bounds> {
        self.live.bounds(&self.queue)
    }

    /// The offset at which a reader begins.
    pub async fn attach(&self, start: StartAt) -> Option<u64> {
        let spec = match start {
            StartAt::First => OffsetSpec::First,
            StartAt::Last => OffsetSpec::Last,
            StartAt::Next => OffsetSpec::Next,
            StartAt::Offset(offset) => OffsetSpec::Offset(offset),
            StartAt::Timestamp(at) => match u64::try_from(at) {
                Ok(at) => OffsetSpec::Time(Timestamp(at)),
                Err(_) => OffsetSpec::First,
            },
        };
        let offset = self.live.resolve(self.broker.queues(), &self.queue, spec).await.ok()?;
        // Beyond the end is what comes next.
        let next = self.bounds().map_or(offset, |bounds| bounds.next);
        Some(offset.min(next))
    }

    /// Chunks from that offset on, once there are any, with about so many bytes.
    pub async fn read(&self, from: u64, most_bytes: usize) -> Vec<Piece> {
        self.live
            .read(self.broker.queues(), &self.queue, from, most_bytes)
            .await
    }

    /// Waits until this node does not lead the stream any more, or it is deleted.
    pub async fn deposed(&self) {
        self.live.deposed(&self.queue).await;
    }

    /// Waits until this node has no member of the stream any more, or it is deleted.
    pub async fn gone(&self) {
        self.live.gone(&self.queue).await;
    }

    pub fn id(&self) -> QueueId {
        self.queue.spec.id
    }

    pub fn place(&self) -> Place {
        let (leader, replicas) = self.live.place(self.broker.queues(), &self.queue);
        Place { leader, replicas }
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

/// What a reader wants, as filter values and whether it takes chunks with messages that have none.
pub(super) fn matcher(values: Vec<Vec<u8>>, match_unfiltered: bool) -> Option<Matcher> {
    // Whoever wants messages with an empty value wants those without one.
    let unfiltered = match_unfiltered || values.iter().any(Vec::is_empty);
    (!values.is_empty()).then_some(Matcher { values, unfiltered })
}
