//! What a user needs to be allowed what a client asks for (RabbitMQ, "Access Control").
//!
//! [`Operation::needs`] is the one table; [`check`] walks a row in order, and the first right that
//! is missing is what the client hears. Called before it is looked up whether a thing exists.

use std::fmt;

use thiserror::Error;

use crate::auth::question::Question;
use crate::auth::question::ResourceKind;
use crate::auth::rights::Verdict;
use crate::auth::{Access, Rights};
use crate::exchange::ExchangeKind;
use crate::metadata::{Catalogue, Vhost};
use crate::types::{ConnectionId, Refusal, Reply, ReplyCode, UserName, VhostName, shown_exchange};

/// Who asks for something, and where.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    pub user: &'a UserName,
    pub vhost: &'a VhostName,
    pub connection: ConnectionId,
    /// By what it is let do things.
    pub rights: &'a Rights,
}

/// The same in values of its own, for as long as it takes.
#[derive(Clone, Debug)]
pub struct Actor {
    pub user: UserName,
    pub vhost: VhostName,
    pub connection: ConnectionId,
    /// By what it is let do things.
    pub rights: Rights,
}

impl Actor {
    /// Who asks.
    pub fn who(&self) -> Who<'_> {
        Who {
            user: &self.user,
            vhost: &self.vhost,
            connection: self.connection,
            rights: &self.rights,
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
#[error("{access} access to {resource} in vhost '{vhost}' refused for user '{user}'{}", reason(.failure))]
pub struct AccessError {
    access: Access,
    resource: String,
    vhost: VhostName,
    user: UserName,
    /// Whoever was to say could not.
    failure: Option<String>,
}

fn reason(failure: &Option<String>) -> String {
    failure
        .as_ref()
        .map(|failure| format!(", {failure}"))
        .unwrap_or_default()
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
    if who.rights.is_operator() {
        return Ok(());
    }
    let vhost = catalogue.vhost(who.vhost);
    for (access, resource) in operation.needs().into_iter().flatten() {
        let verdict = vhost.map_or(Verdict::Refused, |vhost| decide(vhost, who, access, resource));
        let failure = match verdict {
            Verdict::Allowed => continue,
            Verdict::Failed(why) => Some(why),
            Verdict::Refused | Verdict::Unknown => None,
        };
        return Err(AccessError {
            access,
            resource: resource.to_string(),
            vhost: who.vhost.clone(),
            user: who.user.clone(),
            failure,
        });
    }
    Ok(())
}

/// What is known of a right. Where a backend was not asked yet, the question is noted.
fn decide(vhost: &Vhost, who: &Who<'_>, access: Access, resource: Resource<'_>) -> Verdict {
    let internal = || is_allowed(vhost, who.user, access, resource);
    let Rights::Granted(granted) = who.rights else {
        return if internal() { Verdict::Allowed } else { Verdict::Refused };
    };
    let thing = |kind, name: &str| Question::Resource {
        vhost: who.vhost.clone(),
        kind,
        name: name.to_owned(),
        access,
    };
    let question = match resource {
        Resource::Queue(name) => thing(ResourceKind::Queue, name),
        Resource::Exchange(name) => thing(ResourceKind::Exchange, shown_exchange(name)),
        Resource::Topic { exchange, key } => {
            let is_topic = vhost.exchange(exchange).map(|spec| spec.kind) == Some(ExchangeKind::Topic);
            if !is_topic {
                return Verdict::Allowed;
            }
            Question::Topic {
                vhost: who.vhost.clone(),
                exchange: exchange.into(),
                key: key.to_owned(),
                access,
            }
        }
    };
    granted.check(&question, internal)
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
        Resource::Exchange(name) => allows(shown_exchange(name)),
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

impl fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue(name) => write!(f, "queue '{name}'"),
            Self::Exchange(name) => write!(f, "exchange '{}'", shown_exchange(name)),
            Self::Topic { exchange, key } => write!(f, "topic '{key}' in exchange '{}'", shown_exchange(exchange)),
        }
    }
}

impl Refusal for AccessError {
    fn reply(&self) -> Reply {
        Reply::channel(ReplyCode::AccessRefused, self.to_string())
    }
}
