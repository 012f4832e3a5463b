//! What clients declare, bind, delete and consume: whether it is allowed and well formed.
//!
//! Pure functions over the catalogue, one for each method. They give what is to be done (a command
//! for the catalogue, or the name of a live queue) or a [`DeclareError`] with RabbitMQ's code and
//! text. What only the live queue knows (messages, consumers) is in the plan, to be asked there.
//!
//! An empty queue name stands for the last queue declared on the channel; `last_queue` is that.

pub mod access;
mod binding;
mod consume;
mod error;
mod exchange;
mod queue;

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub use binding::{exchange_bind, exchange_unbind, queue_bind, queue_unbind};
pub use consume::{ConsumePlan, ConsumerSpec, ConsumingChannel, basic_consume, basic_get, queue_look};
pub use error::DeclareError;
pub use exchange::{ExchangePlan, exchange_declare, exchange_delete, publish_target};
pub use queue::{DeletePlan, QueuePlan, QueueRules, queue_declare, queue_delete, queue_purge};

use crate::metadata::{Catalogue, CatalogueError, Vhost};
use crate::spec::QueueSpec;
pub use access::{Actor, Who};

/// The queue that stands for the answers to a channel's own requests (RabbitMQ, "Direct Reply-to").
pub const REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// A name nobody else has: `amq.gen-…` for queues, `amq.ctag-…` for consumers.
pub fn generated_name(prefix: &str, random: [u8; 16]) -> String {
    format!("{prefix}-{}", URL_SAFE_NO_PAD.encode(random))
}

/// The queue a name stands for.
fn named<'a>(given: &'a str, last_queue: Option<&'a str>) -> Result<&'a str, DeclareError> {
    match given {
        "" => last_queue.ok_or(DeclareError::NoLastQueue),
        name => Ok(name),
    }
}

/// RabbitMQ takes line ends out of the names of what is declared.
fn without_line_ends(name: &str) -> Cow<'_, str> {
    if name.contains(['\r', '\n']) {
        Cow::Owned(name.replace(['\r', '\n'], ""))
    } else {
        Cow::Borrowed(name)
    }
}

fn vhost<'a>(catalogue: &'a Catalogue, who: &Who<'_>) -> Result<&'a Vhost, DeclareError> {
    let found = catalogue.vhost(who.vhost);
    found.ok_or_else(|| CatalogueError::NoVhost(who.vhost.clone()).into())
}

/// A queue that must be there, and not another connection's own.
fn open_queue<'a>(catalogue: &'a Catalogue, who: &Who<'_>, name: &str) -> Result<&'a QueueSpec, DeclareError> {
    let queue = vhost(catalogue, who)?.queue(name);
    let queue = queue.ok_or_else(|| CatalogueError::NoQueue(who.vhost.clone(), name.into()))?;
    check_owner(queue, who)?;
    Ok(queue)
}

fn check_owner(queue: &QueueSpec, who: &Who<'_>) -> Result<(), DeclareError> {
    match queue.exclusive_owner {
        Some(owner) if owner != who.connection => Err(DeclareError::Exclusive(queue.vhost.clone(), queue.name.clone())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
