//! `queue.declare`, `queue.delete` and `queue.purge`.

use std::borrow::Cow;

use super::access::{self, Operation, Who};
use super::{DeclareError, REPLY_TO, check_owner, generated_name, named, open_queue, vhost, without_line_ends};
use crate::codec::method::{QueueDeclare, QueueDelete, QueuePurge};
use crate::metadata::{Catalogue, CatalogueError};
use crate::spec::arguments::{self, SpecError};
use crate::spec::equivalence::{self, QueueAgain};
use crate::spec::{QueueSpec, QueueType};
use crate::types::{FieldTable, FieldValue, NodeId, QueueId, QueueName};

/// What the node's configuration says about declaring queues.
#[derive(Clone, Copy, Debug)]
pub struct QueueRules {
    /// For queues that do not say, in vhosts that do not say.
    pub default_type: QueueType,
    /// A quorum queue may be declared again as a classic one.
    pub relaxed_redeclaration: bool,
    /// Most queues of all vhosts together.
    pub limit: Option<u64>,
}

/// What is to be done for `queue.declare`. [`QueuePlan::name`] becomes the channel's last queue.
#[derive(Debug)]
pub enum QueuePlan {
    /// It is there; the answer says how many messages and consumers it has.
    Existing(QueueName),
    Create(QueueSpec),
    /// [`REPLY_TO`] itself: always there, with no message and one consumer.
    ReplyTo,
    /// The name that answers go to: there, as [`QueuePlan::ReplyTo`] is, while the channel behind
    /// it consumes, else [`CatalogueError::NoQueue`].
    ReplyConsumer(QueueName),
}

/// What is to be done for `queue.delete`.
#[derive(Debug, PartialEq, Eq)]
pub enum DeletePlan {
    /// Nothing; the answer is that no message was deleted.
    Missing,
    /// Deleted, unless the live queue has messages ([`DeclareError::NotEmpty`], looked at first) or
    /// consumers ([`DeclareError::InUse`]) and must not.
    Delete {
        queue: QueueName,
        if_unused: bool,
        if_empty: bool,
    },
}

impl QueuePlan {
    /// The name to answer with.
    pub fn name(&self) -> &str {
        match self {
            Self::Existing(name) | Self::ReplyConsumer(name) => name,
            Self::Create(spec) => &spec.name,
            Self::ReplyTo => REPLY_TO,
        }
    }
}

/// Looks at `queue.declare`. `random` is asked only for a server-named queue.
///
/// # Errors
/// What RabbitMQ would refuse, in the order it looks.
pub fn queue_declare(
    catalogue: &Catalogue,
    who: &Who<'_>,
    rules: QueueRules,
    method: &QueueDeclare,
    random: impl FnOnce() -> [u8; 16],
) -> Result<QueuePlan, DeclareError> {
    let name = without_line_ends(&method.queue);
    if let Some(rest) = name.strip_prefix(REPLY_TO) {
        return match rest {
            "" => Ok(QueuePlan::ReplyTo),
            rest if rest.starts_with('.') => Ok(QueuePlan::ReplyConsumer(name.as_ref().into())),
            _ => Err(CatalogueError::NoQueue(who.vhost.clone(), name.as_ref().into()).into()),
        };
    }
    if method.passive {
        let queue = open_queue(catalogue, who, &name)?;
        return Ok(QueuePlan::Existing(queue.name.clone()));
    }
    let requested = RequestedQueue::of(catalogue, who, rules, method)?;
    let name = actual_name(name, &requested, random)?;
    access::check(catalogue, who, Operation::DeclareQueue(&name))?;
    match vhost(catalogue, who)?.queue(&name) {
        Some(existing) => requested.check_same(existing, rules),
        None => {
            check_limit(catalogue, rules, &name)?;
            requested.create(catalogue, who, &name)
        }
    }
}

/// Whether there may be one more queue on the cluster.
fn check_limit(catalogue: &Catalogue, rules: QueueRules, name: &str) -> Result<(), DeclareError> {
    let Some(limit) = rules.limit else {
        return Ok(());
    };
    let count: usize = catalogue.vhosts().map(|vhost| vhost.queues().count()).sum();
    if count as u64 >= limit {
        let queue = name.into();
        return Err(DeclareError::ClusterLimit { queue, limit });
    }
    Ok(())
}

/// A queue as a client wants it.
struct RequestedQueue<'a> {
    durable: bool,
    exclusive: bool,
    auto_delete: bool,
    /// The type when the arguments do not say.
    default_type: QueueType,
    arguments: &'a FieldTable,
    who: &'a Who<'a>,
}

impl<'a> RequestedQueue<'a> {
    fn of(
        catalogue: &Catalogue,
        who: &'a Who<'a>,
        rules: QueueRules,
        method: &'a QueueDeclare,
    ) -> Result<Self, DeclareError> {
        // An exclusive queue goes with its connection, so it is never durable.
        let durable = method.durable && !method.exclusive;
        let wanted = vhost(catalogue, who)?.spec.default_queue_type;
        let wanted = wanted.unwrap_or(rules.default_type);
        // A default does not get in the way of a queue that it cannot be.
        let fits = durable && !method.auto_delete;
        Ok(Self {
            durable,
            exclusive: method.exclusive,
            auto_delete: method.auto_delete,
            default_type: if fits { wanted } else { QueueType::Classic },
            arguments: &method.arguments,
            who,
        })
    }

    fn queue_type(&self, name: &str) -> Result<QueueType, SpecError> {
        arguments::queue_type(self.arguments, self.default_type, self.who.vhost, name)
    }

    /// Whether the queue that is there is the one that is wanted.
    fn check_same(&self, existing: &QueueSpec, rules: QueueRules) -> Result<QueuePlan, DeclareError> {
        // Both ways: an exclusive queue is not its owner's to declare as a shared one.
        if existing.exclusive_owner != self.exclusive.then_some(self.who.connection) {
            return Err(DeclareError::Exclusive(existing.vhost.clone(), existing.name.clone()));
        }
        let again = QueueAgain {
            durable: self.durable,
            auto_delete: self.auto_delete,
            default_type: self.default_type,
            arguments: self.arguments,
            relaxed: rules.relaxed_redeclaration,
        };
        equivalence::queue(existing, &again)?;
        Ok(QueuePlan::Existing(existing.name.clone()))
    }

    fn create(&self, catalogue: &Catalogue, who: &Who<'_>, name: &str) -> Result<QueuePlan, DeclareError> {
        let queue = QueueName::from(name);
        vhost(catalogue, who)?.check_queue_limit(&queue)?;
        if let Some(exchange) = arguments::dead_letter_exchange(who.vhost, name, self.arguments)? {
            let exchange = exchange.as_ref();
            access::check(catalogue, who, Operation::DeadLetter { queue: name, exchange })?;
        }
        let queue_type = self.queue_type(name)?;
        arguments::validate(queue_type, who.vhost, name, self.arguments)?;
        arguments::validate_properties(
            queue_type,
            who.vhost,
            name,
            self.durable,
            self.exclusive,
            self.auto_delete,
        )?;
        if queue_type == QueueType::Stream {
            return Err(DeclareError::Streams);
        }
        // Kept with the type it got: defaults may change, this queue does not.
        let mut kept = self.arguments.clone();
        kept.set("x-queue-type", FieldValue::text(arguments::type_name(queue_type)));
        Ok(QueuePlan::Create(QueueSpec {
            // The catalogue gives it one.
            id: QueueId(0),
            vhost: who.vhost.clone(),
            name: queue,
            queue_type,
            durable: self.durable,
            auto_delete: self.auto_delete,
            exclusive_owner: self.exclusive.then_some(who.connection),
            // Whoever proposes it says where it goes.
            home: NodeId::default(),
            members: Vec::new(),
            generations: 0,
            arguments: kept,
            user: who.user.clone(),
        }))
    }
}

fn actual_name<'a>(
    given: Cow<'a, str>,
    requested: &RequestedQueue<'_>,
    random: impl FnOnce() -> [u8; 16],
) -> Result<Cow<'a, str>, DeclareError> {
    if given.is_empty() {
        return match requested.queue_type(&given)? {
            QueueType::Classic => Ok(Cow::Owned(generated_name("amq.gen", random()))),
            other => Err(SpecError::ServerNamed(arguments::type_module(other)).into()),
        };
    }
    if given.starts_with("amq.") {
        let name = given.into_owned();
        return Err(DeclareError::Reserved { what: "queue", name });
    }
    Ok(given)
}

/// Looks at `queue.delete`.
///
/// # Errors
/// What RabbitMQ would refuse; a missing queue is not among it.
pub fn queue_delete(
    catalogue: &Catalogue,
    who: &Who<'_>,
    last_queue: Option<&str>,
    method: &QueueDelete,
) -> Result<DeletePlan, DeclareError> {
    let name = without_line_ends(named(&method.queue, last_queue)?);
    access::check(catalogue, who, Operation::DeleteQueue(&name))?;
    let Some(queue) = vhost(catalogue, who)?.queue(&name) else {
        return Ok(DeletePlan::Missing);
    };
    check_owner(queue, who)?;
    if queue.queue_type == QueueType::Quorum {
        let flags = [(method.if_unused, "if-unused"), (method.if_empty, "if-empty")];
        if let Some((_, flag)) = flags.into_iter().find(|(set, _)| *set) {
            return Err(DeclareError::QuorumDelete {
                vhost: queue.vhost.clone(),
                queue: queue.name.clone(),
                flag,
            });
        }
    }
    Ok(DeletePlan::Delete {
        queue: queue.name.clone(),
        if_unused: method.if_unused,
        if_empty: method.if_empty,
    })
}

/// Looks at `queue.purge`; gives the queue to purge.
///
/// # Errors
/// What RabbitMQ would refuse.
pub fn queue_purge(
    catalogue: &Catalogue,
    who: &Who<'_>,
    last_queue: Option<&str>,
    method: &QueuePurge,
) -> Result<QueueName, DeclareError> {
    let name = named(&method.queue, last_queue)?;
    access::check(catalogue, who, Operation::TakeFromQueue(name))?;
    Ok(open_queue(catalogue, who, name)?.name.clone())
}
