//! Super streams: an exchange with streams bound to it in an order. They are made of what AMQP has, so that both
//! protocols see the same.

use rustc_hash::FxHashSet;

use super::streams::{NAME_BYTES, Streams, arguments_of, code};
use crate::broker::publish::RouteRequest;
use crate::broker::{BrokerError, Command, Vhost};
use crate::codec::PropertyScan;
use crate::codec::method::{ExchangeDeclare, ExchangeDelete, QueueBind};
use crate::declare::access::{self, Operation, Resource};
use crate::declare::{Actor, DeclareError, ExchangePlan, exchange_declare, exchange_delete, queue_bind};
use crate::metadata;
use crate::router::Routed;
use crate::spec::{BindingSpec, Destination, QueueType};
use crate::stream_protocol::codec::Code;
use crate::types::{FieldTable, FieldValue, VhostName};

/// The argument of an exchange that makes it a super stream.
const SUPER_STREAM: &str = "x-super-stream";
/// The argument of a binding that gives a partition its place.
const ORDER: &str = "x-stream-partition-order";

impl Streams {
    /// Creates a super stream: its exchange, its partitions with their binding keys. What was made is taken back
    /// when something cannot be.
    pub async fn create_super(
        &self,
        actor: &Actor,
        name: &str,
        partitions: &[(String, String)],
        arguments: &[(String, String)],
    ) -> Result<(), Code> {
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

    fn may_create(&self, actor: &Actor, name: &str, partitions: &[(String, String)]) -> Result<(), Code> {
        let catalogue = self.0.catalogue();
        let who = actor.who();
        let check = |operation| access::check(&catalogue, &who, operation).map_err(|_| Code::AccessRefused);
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
            return Err(Code::PreconditionFailed);
        }
        let vhost = catalogue.vhost(&actor.vhost).ok_or(Code::InternalError)?;
        if vhost.exchange(name).is_some() || names().any(|name| vhost.queue(name).is_some()) {
            return Err(Code::StreamExists);
        }
        Ok(())
    }

    async fn declare_exchange(&self, actor: &Actor, name: &str) -> Result<(), Code> {
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
                ExchangePlan::Existing => (None, Err(Code::StreamExists)),
                ExchangePlan::Create(spec) => (Some(Command::DeclareExchange(spec)), Ok(())),
            })
        });
        declared.await.map_err(|error| code(&error))?
    }

    async fn make_partition(
        &self,
        actor: &Actor,
        exchange: &str,
        (at, partition, key): (usize, &str, &str),
        arguments: &FieldTable,
    ) -> Result<(), Code> {
        self.declare(actor, partition, arguments.clone(), code_of_partition)
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
                self.take_back(actor, exchange, &[(partition.to_owned(), String::new())])
                    .await;
                Err(code(&error))
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

    async fn delete_exchange(&self, actor: &Actor, name: &str) -> Result<(), Code> {
        let method = ExchangeDelete {
            exchange: name.to_owned(),
            ..ExchangeDelete::default()
        };
        let deleted = self.0.declarations().decide_by(Some(&actor.user), |catalogue| {
            let command = exchange_delete(catalogue, &actor.who(), &method)?;
            Ok::<_, DeclareError>((Some(command), ()))
        });
        deleted.await.map_err(|error| code(&error))
    }

    /// Deletes a super stream with its partitions. An exchange that is none is not touched.
    pub async fn delete_super(&self, actor: &Actor, name: &str) -> Result<(), Code> {
        let partitions = {
            let catalogue = self.0.catalogue();
            let who = actor.who();
            let check = |operation| access::check(&catalogue, &who, operation).map_err(|_| Code::AccessRefused);
            check(Operation::DeleteExchange(name))?;
            let vhost = catalogue.vhost(&actor.vhost).ok_or(Code::InternalError)?;
            let exchange = vhost.exchange(name).ok_or(Code::NoStream)?;
            if exchange.arguments.get(SUPER_STREAM) != Some(&FieldValue::Boolean(true)) {
                return Err(Code::NoStream);
            }
            let partitions = self.partitions_of(vhost, name);
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
                Ok(()) | Err(Code::NoStream) => {}
                Err(refused) => return Err(refused),
            }
        }
        Ok(())
    }

    /// The streams that are bound to an exchange, in their order, those without a place last.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn partitions(&self, vhost: &VhostName, name: &str) -> Result<Vec<String>, Code> {
        let catalogue = self.0.catalogue();
        let vhost = catalogue.vhost(vhost).ok_or(Code::NoStream)?;
        vhost.exchange(name).ok_or(Code::NoStream)?;
        Ok(self.partitions_of(vhost, name))
    }

    fn partitions_of(&self, vhost: &metadata::Vhost, name: &str) -> Vec<String> {
        let order = |binding: &BindingSpec| binding.arguments.get(ORDER).and_then(FieldValue::as_int);
        let stream = |binding: &BindingSpec| match &binding.destination {
            Destination::Queue(queue) => {
                let is_stream = vhost
                    .queue(queue)
                    .is_some_and(|queue| queue.queue_type == QueueType::Stream);
                is_stream.then(|| (order(binding).unwrap_or(i64::MAX), queue.to_string()))
            }
            Destination::Exchange(_) => None,
        };
        let mut partitions: Vec<_> = vhost.bindings_from(name).filter_map(stream).collect();
        partitions.sort();
        let mut seen = FxHashSet::default();
        let names = partitions.into_iter().map(|(_, name)| name);
        names.filter(|name| seen.insert(name.clone())).collect()
    }

    /// The streams to which an exchange routes a key.
    ///
    /// # Errors
    /// When there is no exchange of that name.
    pub fn route(&self, vhost: &Vhost, name: &str, key: &str) -> Result<Vec<String>, Code> {
        let mut routed = Routed::default();
        let properties = PropertyScan::default();
        let request = RouteRequest {
            exchange: name,
            keys: &[key.as_bytes()],
            properties: &properties,
            delayed: false,
        };
        if !vhost.route(&request, &mut routed) {
            return Err(Code::NoStream);
        }
        let streams = routed
            .queues
            .iter()
            .filter(|queue| queue.0.spec.queue_type == QueueType::Stream);
        Ok(streams.map(|queue| queue.0.spec.name.to_string()).collect())
    }
}

/// What is heard of a partition that cannot be made: RabbitMQ has a code of its own for arguments.
fn code_of_partition(error: &BrokerError) -> Code {
    match error {
        BrokerError::Declare(DeclareError::Spec(_)) => Code::InternalError,
        other => code(other),
    }
}
