//! `basic.consume` and `basic.get`.

use super::access::{self, Operation, Who};
use super::{DeclareError, REPLY_TO, generated_name, named, open_queue, vhost};
use crate::codec::method::{BasicConsume, BasicGet};
use crate::metadata::{Catalogue, CatalogueError};
use crate::spec::{QueueSpec, QueueType, arguments, consumer};
use crate::types::{FieldTable, QueueName};

/// What of a channel decides about a new consumer.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConsumingChannel<'a> {
    pub last_queue: Option<&'a str>,
    /// A consumer of the channel has the tag that is asked for.
    pub tag_in_use: bool,
    /// The channel consumes [`REPLY_TO`].
    pub has_reply_consumer: bool,
    /// A prefetch for the whole channel is set.
    pub global_prefetch: bool,
    /// The prefetch of its next consumers; `None` is none.
    pub prefetch: Option<u32>,
}

/// What is to be done for `basic.consume`.
#[derive(Debug, PartialEq)]
pub enum ConsumePlan {
    Queue(ConsumerSpec),
    /// The channel's answers are to come with this tag.
    ReplyTo {
        tag: String,
    },
}

/// A consumer as it is wanted. The live queue may still be in exclusive use
/// ([`DeclareError::ExclusiveUse`]).
#[derive(Debug, PartialEq)]
pub struct ConsumerSpec {
    pub queue: QueueName,
    pub tag: String,
    pub no_ack: bool,
    /// Wants to be the only one. Never on a quorum queue, where this has no meaning.
    pub exclusive: bool,
    pub priority: i32,
    pub arguments: FieldTable,
}

/// Looks at `basic.consume`. `random` is asked only when there is no tag.
///
/// # Errors
/// What RabbitMQ would refuse, in the order it looks.
pub fn basic_consume(
    catalogue: &Catalogue,
    who: &Who<'_>,
    channel: ConsumingChannel<'_>,
    method: &BasicConsume,
    random: impl FnOnce() -> [u8; 16],
) -> Result<ConsumePlan, DeclareError> {
    let name = named(&method.queue, channel.last_queue)?;
    if channel.tag_in_use {
        return Err(DeclareError::TagInUse(method.consumer_tag.clone()));
    }
    let tag = || match method.consumer_tag.as_str() {
        "" => generated_name("amq.ctag", random()),
        tag => tag.to_owned(),
    };
    if name == REPLY_TO {
        return match (channel.has_reply_consumer, method.no_ack) {
            (true, _) => Err(DeclareError::ReplyConsumerSet),
            (false, false) => Err(DeclareError::ReplyConsumerAcknowledges),
            (false, true) => Ok(ConsumePlan::ReplyTo { tag: tag() }),
        };
    }
    access::check(catalogue, who, Operation::TakeFromQueue(name))?;
    let queue = open_queue(catalogue, who, name)?;
    consumer::validate(queue.queue_type, who.vhost, name, &method.arguments)?;
    let classic = queue.queue_type == QueueType::Classic;
    if queue.queue_type == QueueType::Stream {
        let names = (who.vhost.clone(), queue.name.clone());
        if channel.prefetch.is_none() {
            return Err(DeclareError::StreamPrefetch(names.0, names.1));
        }
        if method.no_ack {
            return Err(DeclareError::StreamNoAck(names.0, names.1));
        }
    }
    if channel.global_prefetch && queue.queue_type == QueueType::Quorum {
        return Err(DeclareError::GlobalPrefetch(who.vhost.clone(), queue.name.clone()));
    }
    let exclusive = method.exclusive && classic;
    if exclusive && has_single_active_consumer(queue) {
        return Err(DeclareError::ExclusiveUse(who.vhost.clone(), queue.name.clone()));
    }
    Ok(ConsumePlan::Queue(ConsumerSpec {
        queue: queue.name.clone(),
        tag: tag(),
        no_ack: method.no_ack,
        exclusive,
        priority: consumer::priority(&method.arguments),
        arguments: method.arguments.clone(),
    }))
}

/// Looks at `basic.get`; gives the queue to take a message from.
///
/// # Errors
/// What RabbitMQ would refuse, in the order it looks.
pub fn basic_get(
    catalogue: &Catalogue,
    who: &Who<'_>,
    last_queue: Option<&str>,
    method: &BasicGet,
) -> Result<QueueName, DeclareError> {
    let name = named(&method.queue, last_queue)?;
    access::check(catalogue, who, Operation::TakeFromQueue(name))?;
    let queue = open_queue(catalogue, who, name)?;
    if queue.queue_type == QueueType::Stream {
        return Err(DeclareError::StreamKeeps {
            vhost: queue.vhost.clone(),
            queue: queue.name.clone(),
            operation: "basic.get",
        });
    }
    // Its messages are the active consumer's.
    if queue.queue_type == QueueType::Quorum && has_single_active_consumer(queue) {
        return Err(DeclareError::SingleActiveGet(who.vhost.clone(), queue.name.clone()));
    }
    Ok(queue.name.clone())
}

/// Looks whether somebody may look at the messages of a queue. None is taken, so it does not matter whose
/// they will be.
///
/// # Errors
/// Without the right to read, or without such a queue.
pub fn queue_look(catalogue: &Catalogue, who: &Who<'_>, name: &str) -> Result<QueueName, DeclareError> {
    access::check(catalogue, who, Operation::TakeFromQueue(name))?;
    let queue = vhost(catalogue, who)?.queue(name);
    let queue = queue.ok_or_else(|| CatalogueError::NoQueue(who.vhost.clone(), name.into()))?;
    Ok(queue.name.clone())
}

fn has_single_active_consumer(queue: &QueueSpec) -> bool {
    arguments::settings(queue.queue_type, &queue.arguments).single_active_consumer
}
