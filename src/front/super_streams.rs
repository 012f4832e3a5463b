//! Super streams: an exchange with streams bound to it in an order. They are made of what AMQP has, so that both
//! protocols see the same.

use rustc_hash::FxHashSet;

use super::streams::{NAME_BYTES, StreamRefusal, Streams, arguments_of, refusal};
use crate::broker::publish::RouteRequest;
use crate::broker::{BrokerError, Command, Vhost};
use crate::codec::PropertyScan;
use crate::codec::method::{ExchangeDeclare, ExchangeDelete, QueueBind};
use crate::declare::access::{self, Operation, Resource};
use crate::declare::{Actor, DeclareError, ExchangePlan, exchange_declare, exchange_delete, queue_bind};
use crate::exchange::ExchangeSpec;
use crate::metadata;
use crate::router::Routed;
use crate::spec::{BindingSpec, Destination, QueueType};
use crate::types::{FieldTable, FieldValue, VhostName};

/// The argument of an exchange that makes it a super stream.
const SUPER_STREAM: &str = "x-super-stream";
/// The argument of a binding that gives a partition its place.
const ORDER: &str = "x-stream-partition-order";

/// A super stream as it is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuperStream {
    pub name: String,
    /// In their order.
    pub partitions: Vec<Partition>,
}

/// A stream of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    pub name: String,
    pub key: String,
}

impl Streams {
    /// The super streams of a vhost, in no order.
    pub fn super_streams(vhost: &metadata::Vhost) -> Vec<SuperStream> {
        let all = vhost.exchanges().filter(|exchange| is_super(exchange));
        all.map(|exchange| {
            let names = partitions_of(vhost, &exchange.name).into_iter();
            let key_of = |name: &str| {
                let is_meant = |binding: &&BindingSpec| matches!(&binding.destination, Destination::Queue(queue) if queue.as_str() == name);
                let binding = vhost.bindings_from(&exchange.name).find(is_meant);
                binding.map(|binding| binding.key.clone()).unwrap_or_default()
            };
            SuperStream {
                name: exchange.name.to_string(),
                partitions: names.map(|name| Partition { key: key_of(&name), name }).collect(),
            }
        })
        .collect()
    }

    /// Gives a super stream that is there another partition, behind the others and with the arguments of the last.
    /// Keys that are hashed over partitions go to others from then on.
    pub async fn add_partition(
        &self,
        actor: &Actor,
        name: &str,
        (partition, key): (&str, &str),
    ) -> Result<(), StreamRefusal> {
        let (order, arguments) = {
            let catalogue = self.0.catalogue();
            let vhost = catalogue.vhost(&actor.vhost).ok_or(StreamRefusal::InternalError)?;
            let exchange = vhost.exchange(name).ok_or(StreamRefusal::NoStream)?;
            if !is_super(exchange) {
                return Err(StreamRefusal::NoStream);
            }
            if partition.len() > NAME_BYTES || key.len() > NAME_BYTES || key.is_empty() {
                return Err(StreamRefusal::PreconditionFailed);
            }
            let has_key = vhost.bindings_from(name).any(|binding| binding.key.as_str() == key);
            if has_key || vhost.queue(partition).is_some() {
                return Err(StreamRefusal::StreamExists);
            }
            let orders = vhost.bindings_from(name).filter_map(order_of);
            let order = orders.max().map_or(0, |last| last.saturating_add(1));
            let last = partitions_of(vhost, name).pop();
            let last = last.and_then(|last| vhost.queue(&last));
            let arguments = match last {
                Some(last) => last.arguments.clone(),
                None => arguments_of(&[])?,
            };
            (order, arguments)
        };
        let order = usize::try_from(order).map_err(|_| StreamRefusal::PreconditionFailed)?;
        self.make_partition(actor, name, (order, partition, key), &arguments)
            .await
    }

    /// Creates a super stream: its exchange, its partitions with their binding keys. What was made is taken back
    /// when something cannot be.
    pub async fn create_super(
        &self,
        actor: &Actor,
        name: &str,
        partitions: &[(String, String)],
        arguments: &[(String, String)],
    ) -> Result<(), StreamRefusal> {
        self.may_create(actor, name, partitions)?;
        let mut arguments = arguments_of(arguments)?;
        if arguments.get("x-queue-leader-locator").is_none() {
            arguments.set("x-queue-leader-locator", FieldValue::text("balanced"));
        }
        self.declare_exchange(actor, name).await?;
        for (at, (partition, key)) in partitions.iter().enumerate() {
            let made = self.make_partition(actor, name, (at, partition, key), &arguments).await;
            if let Err(refused) = made {
                self.take_back(actor, name, &partitions[..at]).await;
                return Err(refused);
            }
        }
        Ok(())
    }

    fn may_create(&self, actor: &Actor, name: &str, partitions: &[(String, String)]) -> Result<(), StreamRefusal> {
        let catalogue = self.0.catalogue();
        let who = actor.who();
        let check = |operation| access::check(&catalogue, &who, operation).map_err(|_| StreamRefusal::AccessRefused);
        // All of them, so that a backend is asked all at once.
        let mut allowed = check(Operation::DeclareExchange(name));
        allowed = allowed.and(check(Operation::BindFrom {
            exchange: name,
            key: "",
        }));
        for (partition, _) in partitions {
            allowed = allowed.and(check(Operation::DeclareQueue(partition)));
            allowed = allowed.and(check(Operation::BindTo(Resource::Queue(partition))));
        }
        allowed?;
        let names = || partitions.iter().map(|(partition, _)| partition.as_str());
        let is_reserved = |name: &str| name.is_empty() || name.starts_with("amq.");
        let mut seen = FxHashSet::default();
        let is_twice = names().any(|name| !seen.insert(name));
        let is_long = |name: &str| name.len() > NAME_BYTES;
        let are_long = names().any(is_long) || partitions.iter().any(|(_, key)| is_long(key));
        if is_reserved(name) || is_long(name) || names().any(is_reserved) || is_twice || are_long {
            return Err(StreamRefusal::PreconditionFailed);
        }
        let vhost = catalogue.vhost(&actor.vhost).ok_or(StreamRefusal::InternalError)?;
        if vhost.exchange(name).is_some() || names().any(|name| vhost.queue(name).is_some()) {
            return Err(StreamRefusal::StreamExists);
        }
        Ok(())
    }

    async fn declare_exchange(&self, actor: &Actor, name: &str) -> Result<(), StreamRefusal> {
        let mut arguments = FieldTable::new();
        arguments.set(SUPER_STREAM, FieldValue::Boolean(true));
        let method = ExchangeDeclare {
            exchange: name.to_owned(),
            kind: "direct".to_owned(),
            durable: true,
            arguments,
            ..ExchangeDeclare::default()
        };
        let declared = self.0.declarations().decide_by(Some(&actor.user), |catalogue| {
            let plan = exchange_declare(catalogue, &actor.who(), &method)?;
            Ok::<_, DeclareError>(match plan {
                ExchangePlan::Existing => (None, Err(StreamRefusal::StreamExists)),
                ExchangePlan::Create(spec) => (Some(Command::DeclareExchange(spec)), Ok(())),
            })
        });
        declared.await.map_err(|error| refusal(&error))?
    }

    async fn make_partition(
        &self,
        actor: &Actor,
        exchange: &str,
        (at, partition, key): (usize, &str, &str),
        arguments: &FieldTable,
    ) -> Result<(), StreamRefusal> {
        self.declare(actor, partition, arguments.clone(), refusal_of_partition)
            .await?;
        let mut order = FieldTable::new();
        order.set(ORDER, FieldValue::I64(at as i64));
        let method = QueueBind {
            queue: partition.to_owned(),
            exchange: exchange.into(),
            routing_key: key.into(),
            arguments: order,
            ..QueueBind::default()
        };
        let bound = self.0.declarations().decide_by(Some(&actor.user), |catalogue| {
            let command = queue_bind(catalogue, &actor.who(), None, &method)?;
            Ok::<_, DeclareError>((Some(command), ()))
        });
        match bound.await {
            Ok(()) => Ok(()),
            Err(error) => {
                // What cannot be deleted stays: whoever asks hears that it is no partition.
                let _ = self.delete(actor, partition).await;
                Err(refusal(&error))
            }
        }
    }

    /// What cannot be deleted stays: whoever asks hears that the super stream was not made.
    async fn take_back(&self, actor: &Actor, name: &str, partitions: &[(String, String)]) {
        for (partition, _) in partitions {
            let _ = self.delete(actor, partition).await;
        }
        let _ = self.delete_exchange(actor, name).await;
    }

    async fn delete_exchange(&self, actor: &Actor, name: &str) -> Result<(), StreamRefusal> {
        let method = ExchangeDelete {
            exchange: name.to_owned(),
            ..ExchangeDelete::default()
        };
        let deleted = self.0.declarations().decide_by(Some(&actor.user), |catalogue| {
            let command = exchange_delete(catalogue, &actor.who(), &method)?;
            Ok::<_, DeclareError>((Some(command), ()))
        });
        deleted.await.map_err(|error| refusal(&error))
    }

    /// Deletes a super stream with its partitions. An exchange that is none is not touched.
    pub async fn delete_super(&self, actor: &Actor, name: &str) -> Result<(), StreamRefusal> {
        let partitions = {
            let catalogue = self.0.catalogue();
            let who = actor.who();
            let check =
                |operation| access::check(&catalogue, &who, operation).map_err(|_| StreamRefusal::AccessRefused);
            check(Operation::DeleteExchange(name))?;
            let vhost = catalogue.vhost(&actor.vhost).ok_or(StreamRefusal::InternalError)?;
            let exchange = vhost.exchange(name).ok_or(StreamRefusal::NoStream)?;
            if !is_super(exchange) {
                return Err(StreamRefusal::NoStream);
            }
            let partitions = partitions_of(vhost, name);
            let mut allowed = Ok(());
            for partition in &partitions {
                allowed = allowed.and(check(Operation::DeleteQueue(partition)));
            }
            allowed?;
            partitions
        };
        self.delete_exchange(actor, name).await?;
        for partition in partitions {
            match self.delete(actor, &partition).await {
                // Somebody else was faster.
                Ok(()) | Err(StreamRefusal::NoStream) => {}
                Err(refused) => return Err(refused),
            }
        }
        Ok(())
    }

    /// The streams that are bound to an exchange, in their order, those without a place last.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn partitions(&self, vhost: &VhostName, name: &str) -> Result<Vec<String>, StreamRefusal> {
        let catalogue = self.0.catalogue();
        let vhost = catalogue.vhost(vhost).ok_or(StreamRefusal::NoStream)?;
        vhost.exchange(name).ok_or(StreamRefusal::NoStream)?;
        Ok(partitions_of(vhost, name))
    }

    /// The streams to which an exchange routes a key.
    ///
    /// # Errors
    /// When there is no exchange of that name.
    pub fn route(&self, vhost: &Vhost, name: &str, key: &str) -> Result<Vec<String>, StreamRefusal> {
        let mut routed = Routed::default();
        let properties = PropertyScan::default();
        let request = RouteRequest {
            exchange: name,
            keys: &[key.as_bytes()],
            properties: &properties,
            delayed: false,
        };
        if !vhost.route(&request, &mut routed) {
            return Err(StreamRefusal::NoStream);
        }
        let streams = routed
            .queues
            .iter()
            .filter(|queue| queue.0.spec.queue_type == QueueType::Stream);
        Ok(streams.map(|queue| queue.0.spec.name.to_string()).collect())
    }
}

/// The streams that are bound to an exchange, in their order, those without a place last.
fn partitions_of(vhost: &metadata::Vhost, name: &str) -> Vec<String> {
    let stream = |binding: &BindingSpec| match &binding.destination {
        Destination::Queue(queue) => {
            let is_stream = vhost
                .queue(queue)
                .is_some_and(|queue| queue.queue_type == QueueType::Stream);
            is_stream.then(|| (order_of(binding).unwrap_or(i64::MAX), queue.to_string()))
        }
        Destination::Exchange(_) => None,
    };
    let mut partitions: Vec<_> = vhost.bindings_from(name).filter_map(stream).collect();
    partitions.sort();
    let mut seen = FxHashSet::default();
    let names = partitions.into_iter().map(|(_, name)| name);
    names.filter(|name| seen.insert(name.clone())).collect()
}

/// The place that a binding gives its partition.
fn order_of(binding: &BindingSpec) -> Option<i64> {
    binding.arguments.get(ORDER).and_then(FieldValue::as_int)
}

fn is_super(exchange: &ExchangeSpec) -> bool {
    exchange.arguments.get(SUPER_STREAM) == Some(&FieldValue::Boolean(true))
}

/// What is heard of a partition that cannot be made: RabbitMQ has a refusal of its own for arguments.
fn refusal_of_partition(error: &BrokerError) -> StreamRefusal {
    match error {
        BrokerError::Declare(DeclareError::Spec(_)) => StreamRefusal::InternalError,
        other => refusal(other),
    }
}
