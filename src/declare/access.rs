//! What a user needs to be allowed what a client asks for (RabbitMQ, "Access Control").
//!
//! [`Operation::needs`] is the one table; [`check`] walks a row in order, and the first right that
//! is missing is what the client hears. Called before it is looked up whether a thing exists.

use std::fmt;

use thiserror::Error;

use crate::auth::Access;
use crate::exchange::ExchangeKind;
use crate::metadata::{Catalogue, Vhost};
use crate::types::{ConnectionId, Refusal, Reply, ReplyCode, UserName, VhostName};

/// Who asks for something, and where.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    pub user: &'a UserName,
    pub vhost: &'a VhostName,
    pub connection: ConnectionId,
    /// Whoever runs the node, who needs no permission.
    pub operator: bool,
}

/// The same in values of its own, for as long as it takes.
#[derive(Clone, Debug)]
pub struct Actor {
    pub user: UserName,
    pub vhost: VhostName,
    pub connection: ConnectionId,
    /// Whoever runs the node, who needs no permission.
    pub operator: bool,
}

impl Actor {
    /// Who asks.
    pub fn who(&self) -> Who<'_> {
        Who {
            user: &self.user,
            vhost: &self.vhost,
            connection: self.connection,
            operator: self.operator,
        }
    }
}

/// What a right is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resource<'a> {
    Queue(&'a str),
    Exchange(&'a str),
    /// A routing or binding key of a topic exchange. Anything goes where no topic permission is
    /// set, or the exchange is none of that type.
    Topic {
        exchange: &'a str,
        key: &'a str,
    },
}

/// What a client asks for. What RabbitMQ checks at different moments is an operation each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation<'a> {
    /// Passive declares need nothing.
    DeclareQueue(&'a str),
    /// Declaring a new queue with this dead letter exchange.
    DeadLetter {
        queue: &'a str,
        exchange: &'a str,
    },
    DeleteQueue(&'a str),
    /// Consume, get and purge.
    TakeFromQueue(&'a str),
    /// Passive declares need nothing.
    DeclareExchange(&'a str),
    /// Declaring a new exchange with this alternate exchange.
    Alternate {
        exchange: &'a str,
        alternate: &'a str,
    },
    DeleteExchange(&'a str),
    /// The destination of a binding that is to be made or taken away.
    BindTo(Resource<'a>),
    /// Its source.
    BindFrom {
        exchange: &'a str,
        key: &'a str,
    },
    Publish {
        exchange: &'a str,
        key: &'a str,
    },
}

/// A right that the user does not have.
#[derive(Debug, Error, PartialEq, Eq, Clone)]
#[error("{access} access to {resource} in vhost '{vhost}' refused for user '{user}'")]
pub struct AccessError {
    access: Access,
    resource: String,
    vhost: VhostName,
    user: UserName,
}

type Need<'a> = (Access, Resource<'a>);

impl<'a> Operation<'a> {
    /// THE table: the rights an operation needs, in the order they are asked for.
    fn needs(self) -> [Option<Need<'a>>; 2] {
        use Access::{Configure, Read, Write};
        use Resource::{Exchange, Queue, Topic};
        match self {
            Self::DeclareQueue(name) | Self::DeleteQueue(name) => [Some((Configure, Queue(name))), None],
            Self::DeadLetter { queue, exchange } => [Some((Read, Queue(queue))), Some((Write, Exchange(exchange)))],
            Self::TakeFromQueue(name) => [Some((Read, Queue(name))), None],
            Self::DeclareExchange(name) | Self::DeleteExchange(name) => [Some((Configure, Exchange(name))), None],
            Self::Alternate { exchange, alternate } => {
                [Some((Read, Exchange(exchange))), Some((Write, Exchange(alternate)))]
            }
            Self::BindTo(destination) => [Some((Write, destination)), None],
            Self::BindFrom { exchange, key } => {
                [Some((Read, Exchange(exchange))), Some((Read, Topic { exchange, key }))]
            }
            Self::Publish { exchange, key } => [
                Some((Write, Exchange(exchange))),
                Some((Write, Topic { exchange, key })),
            ],
        }
    }
}

/// Whether the user may do this.
///
/// # Errors
/// The first right that is missing.
pub fn check(catalogue: &Catalogue, who: &Who<'_>, operation: Operation<'_>) -> Result<(), AccessError> {
    if who.operator {
        return Ok(());
    }
    let vhost = catalogue.vhost(who.vhost);
    for (access, resource) in operation.needs().into_iter().flatten() {
        if !vhost.is_some_and(|vhost| is_allowed(vhost, who.user, access, resource)) {
            return Err(AccessError {
                access,
                resource: resource.to_string(),
                vhost: who.vhost.clone(),
                user: who.user.clone(),
            });
        }
    }
    Ok(())
}

fn is_allowed(vhost: &Vhost, user: &UserName, access: Access, resource: Resource<'_>) -> bool {
    let allows = |name| {
        vhost
            .permissions
            .get(user)
            .is_some_and(|(_, permission)| permission.allows(access, name))
    };
    match resource {
        Resource::Queue(name) => allows(name),
        Resource::Exchange(name) => allows(exchange_name(name)),
        Resource::Topic { exchange, key } => {
            let Some(spec) = vhost.exchange(exchange).filter(|spec| spec.kind == ExchangeKind::Topic) else {
                return true;
            };
            vhost
                .topic_permissions
                .get(&(user.clone(), spec.name.clone()))
                .is_none_or(|(_, permission)| permission.allows(access, key))
        }
    }
}

/// What patterns and texts call an exchange: the default one has a name here.
fn exchange_name(name: &str) -> &str {
    if name.is_empty() { "amq.default" } else { name }
}

impl fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue(name) => write!(f, "queue '{name}'"),
            Self::Exchange(name) => write!(f, "exchange '{}'", exchange_name(name)),
            Self::Topic { exchange, key } => write!(f, "topic '{key}' in exchange '{}'", exchange_name(exchange)),
        }
    }
}

impl Refusal for AccessError {
    fn reply(&self) -> Reply {
        Reply::channel(ReplyCode::AccessRefused, self.to_string())
    }
}
