//! What is allowed, what is refused and with which words, step by step on a real catalogue.

mod consuming;
mod exchanges;
mod queues;
mod rights;

use super::*;
use crate::auth::{HashAlgorithm, PasswordHash};
use crate::codec::method::{
    BasicConsume, BasicGet, ExchangeBind, ExchangeDeclare, ExchangeDelete, ExchangeUnbind, QueueBind, QueueDeclare,
    QueueDelete, QueuePurge, QueueUnbind,
};
use crate::exchange::ExchangeKind;
use crate::metadata::{Command, PermissionSpec, TopicPermissionSpec, UserSpec, VhostLimit, VhostSpec};
use crate::spec::QueueType;
use crate::types::{ConnectionId, FieldTable, FieldValue, Refusal, UserName, VhostName};

/// A vhost `v` with users `root` (may do anything), `limited` (only `^mine`) and `topical` (only
/// `^ok\.` on `amq.topic`).
struct World {
    catalogue: Catalogue,
    vhost: VhostName,
    user: UserName,
    connection: ConnectionId,
    rules: QueueRules,
}

type Outcome = Result<(), String>;

const RANDOM: [u8; 16] = [7; 16];

impl World {
    fn new() -> Self {
        let mut world = Self {
            catalogue: Catalogue::new(),
            vhost: "v".into(),
            user: "root".into(),
            connection: ConnectionId(1),
            rules: QueueRules {
                default_type: QueueType::Classic,
                relaxed_redeclaration: false,
                limit: None,
            },
        };
        world.put_vhost(None);
        for (user, pattern) in [("root", ".*"), ("limited", "^mine"), ("topical", ".*")] {
            let password = PasswordHash::new(HashAlgorithm::Sha256, [0; 4], b"");
            let (name, tags) = (UserName::from(user), Vec::new());
            world.apply(Command::PutUser(UserSpec { name, password, tags }));
            let pattern = || pattern.to_owned();
            world.apply(Command::SetPermission {
                user: user.into(),
                vhost: "v".into(),
                patterns: PermissionSpec {
                    configure: pattern(),
                    write: pattern(),
                    read: pattern(),
                },
            });
        }
        world.apply(Command::SetTopicPermission {
            user: "topical".into(),
            vhost: "v".into(),
            exchange: "amq.topic".into(),
            patterns: TopicPermissionSpec {
                write: "^ok\\.".into(),
                read: "^ok\\.".into(),
            },
        });
        world
    }

    fn put_vhost(&mut self, default_queue_type: Option<QueueType>) {
        self.apply(Command::PutVhost(VhostSpec {
            name: "v".into(),
            description: String::new(),
            tags: Vec::new(),
            default_queue_type,
            protected: false,
        }));
    }

    fn apply(&mut self, command: Command) {
        self.try_apply(command).expect("applies");
    }

    fn try_apply(&mut self, command: Command) -> Outcome {
        let done = self.catalogue.apply(&command, &mut Vec::new());
        done.map(|_| ()).map_err(|error| error.reply().wire_text())
    }

    fn who(&self) -> Who<'_> {
        Who {
            user: &self.user,
            vhost: &self.vhost,
            connection: self.connection,
            operator: false,
        }
    }

    fn as_user(&mut self, user: &str) -> &mut Self {
        self.user = user.into();
        self
    }

    fn on_connection(&mut self, connection: u64) -> &mut Self {
        self.connection = ConnectionId(connection);
        self
    }

    fn plan(&self, method: &QueueDeclare) -> Result<QueuePlan, DeclareError> {
        queue_declare(&self.catalogue, &self.who(), self.rules, method, || RANDOM)
    }

    fn declare(&mut self, method: QueueDeclare) -> Outcome {
        match self.plan(&method).map_err(heard)? {
            QueuePlan::Create(spec) => self.try_apply(Command::DeclareQueue(spec)),
            _ => Ok(()),
        }
    }

    fn declare_exchange(&mut self, method: ExchangeDeclare) -> Outcome {
        match exchange_declare(&self.catalogue, &self.who(), &method).map_err(heard)? {
            ExchangePlan::Create(spec) => self.try_apply(Command::DeclareExchange(spec)),
            ExchangePlan::Existing => Ok(()),
        }
    }

    fn bind(&mut self, queue: &str, exchange: &str, key: &str) -> Outcome {
        self.bind_with(queue, exchange, key, None)
    }

    fn bind_with(&mut self, queue: &str, exchange: &str, key: &str, last: Option<&str>) -> Outcome {
        let method = QueueBind {
            queue: queue.into(),
            exchange: exchange.into(),
            routing_key: key.into(),
            ..QueueBind::default()
        };
        let command = queue_bind(&self.catalogue, &self.who(), last, &method).map_err(heard)?;
        self.try_apply(command)
    }

    fn unbind(&mut self, queue: &str, exchange: &str, key: &str) -> Outcome {
        let method = QueueUnbind {
            queue: queue.into(),
            exchange: exchange.into(),
            routing_key: key.into(),
            ..QueueUnbind::default()
        };
        let command = queue_unbind(&self.catalogue, &self.who(), None, &method).map_err(heard)?;
        self.try_apply(command)
    }

    fn bind_exchange(&mut self, destination: &str, source: &str) -> Outcome {
        let method = ExchangeBind {
            destination: destination.into(),
            source: source.into(),
            ..ExchangeBind::default()
        };
        let command = exchange_bind(&self.catalogue, &self.who(), &method).map_err(heard)?;
        self.try_apply(command)
    }

    fn delete_exchange(&mut self, name: &str, if_unused: bool) -> Outcome {
        let method = ExchangeDelete {
            exchange: name.into(),
            if_unused,
            ..ExchangeDelete::default()
        };
        let command = exchange_delete(&self.catalogue, &self.who(), &method).map_err(heard)?;
        self.try_apply(command)
    }

    fn delete(&self, name: &str, if_unused: bool, if_empty: bool) -> Result<DeletePlan, String> {
        let method = QueueDelete {
            queue: name.into(),
            if_unused,
            if_empty,
            ..QueueDelete::default()
        };
        queue_delete(&self.catalogue, &self.who(), None, &method).map_err(heard)
    }

    fn purge(&self, name: &str) -> Outcome {
        let method = QueuePurge {
            queue: name.into(),
            ..QueuePurge::default()
        };
        let purged = queue_purge(&self.catalogue, &self.who(), None, &method);
        purged.map(|_| ()).map_err(heard)
    }

    fn get(&self, name: &str) -> Outcome {
        let method = BasicGet {
            queue: name.into(),
            ..BasicGet::default()
        };
        basic_get(&self.catalogue, &self.who(), None, &method)
            .map(|_| ())
            .map_err(heard)
    }

    fn consume(&self, channel: ConsumingChannel<'_>, method: &BasicConsume) -> Result<ConsumePlan, String> {
        basic_consume(&self.catalogue, &self.who(), channel, method, || RANDOM).map_err(heard)
    }

    fn publish(&self, exchange: &str, key: &str) -> Outcome {
        publish_target(&self.catalogue, &self.who(), exchange, key.as_bytes())
            .map(|_| ())
            .map_err(heard)
    }
}

fn heard(error: DeclareError) -> String {
    error.reply().wire_text()
}

fn refused(text: &str) -> Outcome {
    Err(text.to_owned())
}

fn arguments(entries: &[(&str, FieldValue)]) -> FieldTable {
    let entries = entries.iter();
    FieldTable(
        entries
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect(),
    )
}

fn queue(name: &str) -> QueueDeclare {
    QueueDeclare {
        queue: name.into(),
        ..QueueDeclare::default()
    }
}

fn durable(name: &str, entries: &[(&str, FieldValue)]) -> QueueDeclare {
    QueueDeclare {
        durable: true,
        arguments: arguments(entries),
        ..queue(name)
    }
}

fn quorum(name: &str) -> QueueDeclare {
    durable(name, &[("x-queue-type", FieldValue::text("quorum"))])
}

fn exclusive(name: &str) -> QueueDeclare {
    QueueDeclare {
        exclusive: true,
        ..queue(name)
    }
}

fn passive(name: &str) -> QueueDeclare {
    QueueDeclare {
        passive: true,
        ..queue(name)
    }
}

fn exchange(name: &str, kind: &str) -> ExchangeDeclare {
    ExchangeDeclare {
        exchange: name.into(),
        kind: kind.into(),
        ..ExchangeDeclare::default()
    }
}

fn consumer(name: &str, tag: &str) -> BasicConsume {
    BasicConsume {
        queue: name.into(),
        consumer_tag: tag.into(),
        ..BasicConsume::default()
    }
}

const LOCKED: &str = "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost 'v'. It could be \
                      originally declared on another connection or the exclusive property value does not match that \
                      of the original declaration.";
