//! What is allowed, what is refused and with which words, step by step on a real catalogue.

use super::*;
use crate::auth::{HashAlgorithm, PasswordHash};
use crate::codec::method::{
    BasicConsume, BasicGet, ExchangeBind, ExchangeDeclare, ExchangeDelete, ExchangeUnbind, QueueBind, QueueDeclare,
    QueueDelete, QueuePurge, QueueUnbind,
};
use crate::metadata::{Command, PermissionSpec, TopicPermissionSpec, UserSpec, VhostLimit, VhostSpec};
use crate::spec::{ExchangeKind, QueueType};
use crate::types::{ConnectionId, FieldTable, FieldValue, Refusal, UserName, VhostName};

/// A vhost `v` with users `root` (may do anything), `limited` (only `^mine`) and `topical` (only
/// `^ok\.` on `amq.topic`).
struct World {
    catalog: Catalog,
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
            catalog: Catalog::new(),
            vhost: "v".into(),
            user: "root".into(),
            connection: ConnectionId(1),
            rules: QueueRules {
                default_type: QueueType::Classic,
                relaxed_redeclaration: false,
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
        let done = self.catalog.apply(&command, &mut Vec::new());
        done.map(|_| ()).map_err(|error| error.reply().wire_text())
    }

    fn who(&self) -> Who<'_> {
        Who {
            user: &self.user,
            vhost: &self.vhost,
            connection: self.connection,
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
        queue_declare(&self.catalog, &self.who(), self.rules, method, || RANDOM)
    }

    fn declare(&mut self, method: QueueDeclare) -> Outcome {
        match self.plan(&method).map_err(heard)? {
            QueuePlan::Create(spec) => self.try_apply(Command::DeclareQueue(spec)),
            _ => Ok(()),
        }
    }

    fn declare_exchange(&mut self, method: ExchangeDeclare) -> Outcome {
        match exchange_declare(&self.catalog, &self.who(), &method).map_err(heard)? {
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
        let command = queue_bind(&self.catalog, &self.who(), last, &method).map_err(heard)?;
        self.try_apply(command)
    }

    fn unbind(&mut self, queue: &str, exchange: &str, key: &str) -> Outcome {
        let method = QueueUnbind {
            queue: queue.into(),
            exchange: exchange.into(),
            routing_key: key.into(),
            ..QueueUnbind::default()
        };
        let command = queue_unbind(&self.catalog, &self.who(), None, &method).map_err(heard)?;
        self.try_apply(command)
    }

    fn bind_exchange(&mut self, destination: &str, source: &str) -> Outcome {
        let method = ExchangeBind {
            destination: destination.into(),
            source: source.into(),
            ..ExchangeBind::default()
        };
        let command = exchange_bind(&self.catalog, &self.who(), &method).map_err(heard)?;
        self.try_apply(command)
    }

    fn delete_exchange(&mut self, name: &str, if_unused: bool) -> Outcome {
        let method = ExchangeDelete {
            exchange: name.into(),
            if_unused,
            ..ExchangeDelete::default()
        };
        let command = exchange_delete(&self.catalog, &self.who(), &method).map_err(heard)?;
        self.try_apply(command)
    }

    fn delete(&self, name: &str, if_unused: bool, if_empty: bool) -> Result<DeletePlan, String> {
        let method = QueueDelete {
            queue: name.into(),
            if_unused,
            if_empty,
            ..QueueDelete::default()
        };
        queue_delete(&self.catalog, &self.who(), None, &method).map_err(heard)
    }

    fn purge(&self, name: &str) -> Outcome {
        let method = QueuePurge {
            queue: name.into(),
            ..QueuePurge::default()
        };
        let purged = queue_purge(&self.catalog, &self.who(), None, &method);
        purged.map(|_| ()).map_err(heard)
    }

    fn get(&self, name: &str) -> Outcome {
        let method = BasicGet {
            queue: name.into(),
            ..BasicGet::default()
        };
        basic_get(&self.catalog, &self.who(), None, &method)
            .map(|_| ())
            .map_err(heard)
    }

    fn consume(&self, channel: ConsumingChannel<'_>, method: &BasicConsume) -> Result<ConsumePlan, String> {
        basic_consume(&self.catalog, &self.who(), channel, method, || RANDOM).map_err(heard)
    }

    fn publish(&self, exchange: &str, key: &str) -> Outcome {
        publish_target(&self.catalog, &self.who(), exchange, key.as_bytes())
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

#[test]
fn names_are_checked_and_made() {
    let mut world = World::new();
    for name in ["amq.mine", "amq.gen-mine"] {
        assert_eq!(
            world.declare(queue(name)),
            refused(&format!(
                "ACCESS_REFUSED - queue name '{name}' contains reserved prefix 'amq.*'"
            ))
        );
        assert_eq!(
            world.declare(passive(name)),
            refused(&format!("NOT_FOUND - no queue '{name}' in vhost 'v'"))
        );
    }
    assert_eq!(world.declare(queue("a\r\nb")), Ok(()));
    assert_eq!(world.declare(passive("ab")), Ok(()));
    assert_eq!(
        world.declare(passive("")),
        refused("NOT_FOUND - no queue '' in vhost 'v'")
    );
    let QueuePlan::Create(spec) = world.plan(&exclusive("")).expect("made") else {
        panic!("a new queue");
    };
    assert_eq!(&*spec.name, "amq.gen-BwcHBwcHBwcHBwcHBwcHBw");
    assert_eq!(
        world.declare(quorum("")),
        refused("PRECONDITION_FAILED - Cannot declare a server-named queue for type rabbit_quorum_queue")
    );
}

#[test]
fn a_queue_gets_the_type_of_the_vhost_where_it_fits() {
    let mut world = World::new();
    world.put_vhost(Some(QueueType::Quorum));
    let kind = |world: &World, method: &QueueDeclare| {
        let QueuePlan::Create(spec) = world.plan(method).expect("made") else {
            panic!("a new queue");
        };
        let kept = spec.arguments.get("x-queue-type").and_then(FieldValue::as_str);
        (spec.queue_type, kept.map(str::to_owned))
    };
    let classic = || (QueueType::Classic, Some("classic".to_owned()));
    let auto_delete = QueueDeclare {
        auto_delete: true,
        ..durable("a", &[])
    };
    assert_eq!(
        kind(&world, &durable("d", &[])),
        (QueueType::Quorum, Some("quorum".to_owned()))
    );
    for method in [queue("t"), exclusive("x"), exclusive(""), auto_delete] {
        assert_eq!(kind(&world, &method), classic());
    }
    world.put_vhost(None);
    assert_eq!(kind(&world, &durable("d", &[])), classic());
    world.rules.default_type = QueueType::Quorum;
    assert_eq!(kind(&world, &durable("d", &[])).0, QueueType::Quorum);
}

#[test]
fn bad_queues_are_refused() {
    let mut world = World::new();
    let typed = |kind: &str| durable("q", &[("x-queue-type", FieldValue::text(kind))]);
    assert_eq!(
        world.declare(typed("Quorum")),
        refused(
            "PRECONDITION_FAILED - invalid arg 'x-queue-type' for queue 'q' in vhost 'v': \"unsupported queue type \
             'Quorum'\""
        )
    );
    let property = |name: &str| {
        refused(&format!(
            "PRECONDITION_FAILED - invalid property '{name}' for queue 'q' in vhost 'v'"
        ))
    };
    let transient = QueueDeclare {
        durable: false,
        ..typed("quorum")
    };
    let own = QueueDeclare {
        exclusive: true,
        ..typed("quorum")
    };
    let vanishing = QueueDeclare {
        auto_delete: true,
        ..typed("stream")
    };
    assert_eq!(world.declare(transient), property("non-durable"));
    assert_eq!(world.declare(own), property("exclusive-owner"));
    assert_eq!(world.declare(vanishing), property("auto-delete"));
    assert_eq!(
        world.declare(durable("q", &[("x-dead-letter-exchange", FieldValue::I32(5))])),
        refused(
            "PRECONDITION_FAILED - invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'q' in vhost 'v'"
        )
    );
    let error = world.plan(&typed("stream")).expect_err("refused").reply();
    assert_eq!(error.scope, crate::types::Scope::Connection);
    assert_eq!(error.wire_text(), "NOT_IMPLEMENTED - stream queues are not implemented");
}

#[test]
fn a_queue_declared_again_must_be_the_same() {
    let mut world = World::new();
    assert_eq!(world.declare(durable("q", &[])), Ok(()));
    assert_eq!(world.declare(durable("q", &[])), Ok(()));
    assert_eq!(
        world.declare(durable("q", &[("x-queue-type", FieldValue::text("classic"))])),
        Ok(())
    );
    assert_eq!(
        world.declare(durable("q", &[("x-foo", FieldValue::text("bar"))])),
        Ok(())
    );
    assert_eq!(
        world.declare(quorum("q")),
        refused(
            "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost 'v': received 'quorum' but \
             current is 'classic'"
        )
    );
    assert_eq!(
        world.declare(durable("q", &[("x-message-ttl", FieldValue::I32(1000))])),
        refused(
            "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'q' in vhost 'v': received the value \
             '1000' of type 'signedint' but current is none"
        )
    );
    assert_eq!(
        world.declare(queue("q")),
        refused(
            "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost 'v': received 'false' but \
             current is 'true'"
        )
    );
    let own = QueueDeclare {
        exclusive: true,
        ..durable("q", &[])
    };
    assert_eq!(world.declare(own), refused(LOCKED));
    let other = QueueDeclare {
        passive: true,
        auto_delete: true,
        exclusive: true,
        ..durable("q", &[("x-message-ttl", FieldValue::I32(5))])
    };
    assert_eq!(world.declare(other), Ok(()), "passive asks for nothing but the name");
}

#[test]
fn a_quorum_queue_may_be_declared_again_as_classic_where_that_is_configured() {
    let mut world = World::new();
    assert_eq!(world.declare(quorum("q")), Ok(()));
    assert_eq!(
        world.declare(durable("q", &[])),
        refused(
            "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost 'v': received 'classic' but \
             current is 'quorum'"
        )
    );
    world.rules.relaxed_redeclaration = true;
    assert_eq!(world.declare(durable("q", &[])), Ok(()));
}

#[test]
fn the_limit_of_the_vhost_counts_new_queues_only() {
    let mut world = World::new();
    world.apply(Command::SetVhostLimit {
        vhost: "v".into(),
        limit: VhostLimit::MaxQueues,
        value: Some(1),
    });
    assert_eq!(world.declare(durable("one", &[])), Ok(()));
    assert_eq!(world.declare(durable("one", &[])), Ok(()));
    assert_eq!(
        world.declare(durable("two", &[])),
        refused("PRECONDITION_FAILED - cannot declare queue 'two': queue limit in vhost 'v' (1) is reached")
    );
}

#[test]
fn an_exclusive_queue_is_locked_for_other_connections() {
    let mut world = World::new();
    let mut own = exclusive("q");
    own.durable = true;
    assert_eq!(world.declare(own.clone()), Ok(()));
    assert_eq!(world.declare(own.clone()), Ok(()));
    assert_eq!(
        world.declare(queue("q")),
        refused(LOCKED),
        "its owner may not share it either"
    );
    let spec = world.catalog.vhost("v").and_then(|v| v.queue("q")).expect("declared");
    assert!(!spec.durable, "it goes with its connection");
    world.on_connection(2);
    assert_eq!(world.declare(queue("q")), refused(LOCKED));
    assert_eq!(world.declare(own), refused(LOCKED));
    assert_eq!(world.declare(passive("q")), refused(LOCKED));
    assert_eq!(world.get("q"), refused(LOCKED));
    assert_eq!(world.purge("q"), refused(LOCKED));
    assert_eq!(world.delete("q", false, false), Err(LOCKED.to_owned()));
    assert_eq!(
        world.consume(ConsumingChannel::default(), &consumer("q", "t")),
        Err(LOCKED.to_owned())
    );
    assert_eq!(world.bind("q", "amq.direct", "k"), Err(cut(LOCKED)));
    assert_eq!(world.unbind("q", "amq.direct", "k"), Ok(()), "there is nothing to take");
    world.on_connection(1);
    assert_eq!(world.bind("q", "amq.direct", "k"), Ok(()));
    world.on_connection(2);
    assert_eq!(world.unbind("q", "amq.direct", "k"), refused(LOCKED));
}

/// A text as a short string holds it.
fn cut(text: &str) -> String {
    text.chars().take(255).collect()
}

#[test]
fn an_empty_name_is_the_last_queue() {
    let mut world = World::new();
    let none = || refused("NOT_FOUND - no previously declared queue");
    assert_eq!(world.bind("", "amq.fanout", ""), none());
    assert_eq!(world.purge(""), none());
    assert_eq!(world.get(""), none());
    assert_eq!(
        world.delete("", false, false).map(|_| ()),
        none(),
        "deleting needs a name too"
    );
    assert_eq!(
        world
            .consume(ConsumingChannel::default(), &consumer("", "t"))
            .map(|_| ()),
        none()
    );
    assert_eq!(world.declare(queue("q")), Ok(()));
    assert_eq!(world.bind_with("", "amq.direct", "", Some("q")), Ok(()));
    assert_eq!(world.bind_with("", "amq.direct", "k", Some("q")), Ok(()));
    let vhost = world.catalog.vhost("v").expect("made");
    let mut keys: Vec<_> = vhost.bindings_from("amq.direct").map(|b| b.key.as_str()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["k", "q"]);
}

#[test]
fn deleting_a_queue_says_what_the_live_one_must_be_asked() {
    let mut world = World::new();
    assert_eq!(world.delete("q", true, true), Ok(DeletePlan::Missing));
    assert_eq!(world.declare(durable("q", &[])), Ok(()));
    assert_eq!(
        world.delete("q", true, false),
        Ok(DeletePlan::Delete {
            queue: "q".into(),
            if_unused: true,
            if_empty: false
        })
    );
    assert_eq!(world.declare(quorum("r")), Ok(()));
    for (if_unused, if_empty, flag) in [(true, true, "if-unused"), (false, true, "if-empty")] {
        assert_eq!(
            world.delete("r", if_unused, if_empty),
            Err(format!(
                "NOT_IMPLEMENTED - cannot delete queue 'r' in vhost 'v'. queue.delete operations with {flag} flag \
                 set are not supported by quorum queues"
            ))
        );
    }
    let texts = [
        (
            DeclareError::NotEmpty("v".into(), "q".into()),
            "PRECONDITION_FAILED - queue 'q' in vhost 'v' not empty",
        ),
        (
            DeclareError::InUse("v".into(), "q".into()),
            "PRECONDITION_FAILED - queue 'q' in vhost 'v' in use",
        ),
        (
            DeclareError::ExclusiveUse("v".into(), "q".into()),
            "ACCESS_REFUSED - queue 'q' in vhost 'v' in exclusive use",
        ),
        (
            DeclareError::NoReplyConsumer,
            "PRECONDITION_FAILED - fast reply consumer does not exist",
        ),
    ];
    for (error, text) in texts {
        assert_eq!(heard(error), text);
    }
}

#[test]
fn exchanges_are_declared_and_deleted() {
    let mut world = World::new();
    let default = || refused("ACCESS_REFUSED - operation not permitted on the default exchange");
    let missing = |name: &str| refused(&format!("NOT_FOUND - no exchange '{name}' in vhost 'v'"));
    let look = |name: &str| ExchangeDeclare {
        passive: true,
        ..exchange(name, "")
    };
    assert_eq!(world.declare_exchange(exchange("", "direct")), default());
    assert_eq!(world.declare_exchange(look("")), default());
    assert_eq!(world.declare_exchange(look("e")), missing("e"));
    assert_eq!(world.declare_exchange(look("amq.topic")), Ok(()));
    assert_eq!(
        world.declare_exchange(exchange("e", "nosuch")),
        refused("PRECONDITION_FAILED - invalid exchange type 'nosuch'")
    );
    assert_eq!(
        world.declare_exchange(exchange("amq.mine", "direct")),
        refused("ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'")
    );
    let own = ExchangeDeclare {
        durable: true,
        ..exchange("amq.direct", "direct")
    };
    assert_eq!(world.declare_exchange(own), Ok(()));
    assert_eq!(
        world.declare_exchange(exchange("amq.direct", "fanout")),
        refused(
            "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'amq.direct' in vhost 'v': received 'fanout' \
             but current is 'direct'"
        )
    );
    assert_eq!(world.declare_exchange(exchange("e\n", "fanout")), Ok(()));
    let delayed = ExchangeDeclare {
        arguments: arguments(&[("x-delayed-type", FieldValue::text("topic"))]),
        ..exchange("d", "x-delayed-message")
    };
    assert_eq!(world.declare_exchange(delayed), Ok(()));

    assert_eq!(world.delete_exchange("", false), default());
    assert_eq!(
        world.delete_exchange("amq.direct", false),
        refused("ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost 'v' not allowed")
    );
    assert_eq!(world.delete_exchange("missing", true), Ok(()));
    assert_eq!(world.bind_exchange("amq.fanout", "e"), Ok(()));
    assert_eq!(
        world.delete_exchange("e", true),
        refused("PRECONDITION_FAILED - exchange 'e' in vhost 'v' in use")
    );
    assert_eq!(world.delete_exchange("e", false), Ok(()));
}

#[test]
fn bindings_need_both_ends_and_what_the_exchange_type_asks_for() {
    let mut world = World::new();
    let default = || refused("ACCESS_REFUSED - operation not permitted on the default exchange");
    let no_exchange = || refused("NOT_FOUND - no exchange 'missing' in vhost 'v'");
    assert_eq!(world.declare(queue("q")), Ok(()));
    assert_eq!(world.bind("q", "", "k"), default());
    assert_eq!(world.unbind("q", "", "q"), default());
    assert_eq!(world.bind_exchange("", "amq.fanout"), default());
    assert_eq!(world.bind_exchange("amq.fanout", ""), default());
    assert_eq!(world.bind("missing", "missing", ""), no_exchange());
    assert_eq!(
        world.bind("missing", "amq.direct", ""),
        refused("NOT_FOUND - no queue 'missing' in vhost 'v'")
    );
    assert_eq!(world.bind_exchange("missing", "amq.fanout"), no_exchange());
    assert_eq!(world.bind_exchange("amq.fanout", "missing"), no_exchange());
    assert_eq!(world.unbind("missing", "amq.direct", ""), Ok(()));
    assert_eq!(world.unbind("q", "missing", ""), Ok(()));
    let unbind = ExchangeUnbind {
        destination: "amq.fanout".into(),
        source: "missing".into(),
        ..ExchangeUnbind::default()
    };
    assert!(exchange_unbind(&world.catalog, &world.who(), &unbind).is_ok());

    assert_eq!(world.declare_exchange(exchange("ch", "x-consistent-hash")), Ok(()));
    assert_eq!(
        world.bind("q", "ch", "abc"),
        refused("PRECONDITION_FAILED - The binding key must be an integer: <<\"abc\">>")
    );
    assert_eq!(world.bind("q", "ch", "2"), Ok(()));
    assert_eq!(world.declare_exchange(exchange("lr", "x-local-random")), Ok(()));
    assert_eq!(world.bind("q", "lr", ""), Ok(()));
    assert_eq!(
        world.bind("q", "lr", "abc"),
        refused("PRECONDITION_FAILED - Non empty binding 'abc' key not permitted")
    );
    let delayed = ExchangeDeclare {
        arguments: arguments(&[("x-delayed-type", FieldValue::text("x-consistent-hash"))]),
        ..exchange("d", "x-delayed-message")
    };
    assert_eq!(world.declare_exchange(delayed), Ok(()));
    assert_eq!(
        world.bind("q", "d", "0"),
        refused("PRECONDITION_FAILED - The binding key must be greater than 0"),
        "it routes as the other type"
    );
}

#[test]
fn consumers_are_checked() {
    let mut world = World::new();
    assert_eq!(world.declare(durable("q", &[])), Ok(()));
    assert_eq!(world.declare(quorum("r")), Ok(()));
    let free = ConsumingChannel::default();
    let exclusive = |name: &str| BasicConsume {
        exclusive: true,
        arguments: arguments(&[("x-priority", FieldValue::I32(5))]),
        ..consumer(name, "")
    };
    let made = |name: &str, exclusive| {
        Ok(ConsumePlan::Queue(ConsumerSpec {
            queue: name.into(),
            tag: "amq.ctag-BwcHBwcHBwcHBwcHBwcHBw".into(),
            no_ack: false,
            exclusive,
            priority: 5,
            arguments: arguments(&[("x-priority", FieldValue::I32(5))]),
        }))
    };
    assert_eq!(world.consume(free, &exclusive("q")), made("q", true));
    assert_eq!(
        world.consume(free, &exclusive("r")),
        made("r", false),
        "quorum queues do not know it"
    );
    let text = |channel, method: &BasicConsume| world.consume(channel, method).map(|_| ());
    let global = ConsumingChannel {
        global_prefetch: true,
        ..free
    };
    assert_eq!(text(global, &consumer("q", "t")), Ok(()));
    assert_eq!(
        text(global, &consumer("r", "t")),
        refused("NOT_IMPLEMENTED - queue 'r' in vhost 'v' does not support global qos")
    );
    let used = ConsumingChannel {
        tag_in_use: true,
        ..free
    };
    assert_eq!(
        text(used, &consumer("missing", "t")),
        refused("NOT_ALLOWED - attempt to reuse consumer tag 't'")
    );
    assert_eq!(
        text(free, &consumer("missing", "t")),
        refused("NOT_FOUND - no queue 'missing' in vhost 'v'")
    );
    let bad = BasicConsume {
        arguments: arguments(&[("x-priority", FieldValue::text("high"))]),
        ..consumer("q", "t")
    };
    assert_eq!(
        text(free, &bad),
        refused(
            "PRECONDITION_FAILED - invalid arg 'x-priority' for queue 'q' in vhost 'v': \"expected integer, got \
             longstr\""
        )
    );
}

#[test]
fn the_reply_queue_is_there_and_takes_one_consumer_without_acks() {
    let mut world = World::new();
    assert!(matches!(world.plan(&queue(REPLY_TO)), Ok(QueuePlan::ReplyTo)));
    assert!(matches!(world.plan(&passive(REPLY_TO)), Ok(QueuePlan::ReplyTo)));
    let answers = format!("{REPLY_TO}.abc");
    assert!(matches!(world.plan(&passive(&answers)), Ok(QueuePlan::ReplyConsumer(name)) if *name == *answers));
    let missing = || refused("NOT_FOUND - no queue 'amq.rabbitmq.reply-to' in vhost 'v'");
    assert_eq!(world.delete(REPLY_TO, false, false), Ok(DeletePlan::Missing));
    assert_eq!(world.purge(REPLY_TO), missing());
    assert_eq!(world.get(REPLY_TO), missing());
    assert_eq!(world.bind(REPLY_TO, "amq.fanout", ""), missing());

    let free = ConsumingChannel::default();
    let no_ack = BasicConsume {
        no_ack: true,
        ..consumer(REPLY_TO, "t")
    };
    assert_eq!(
        world.consume(free, &no_ack),
        Ok(ConsumePlan::ReplyTo { tag: "t".into() })
    );
    assert_eq!(
        world.consume(free, &consumer(REPLY_TO, "t")).map(|_| ()),
        refused("PRECONDITION_FAILED - reply consumer cannot acknowledge")
    );
    let taken = ConsumingChannel {
        has_reply_consumer: true,
        ..free
    };
    assert_eq!(
        world.consume(taken, &no_ack).map(|_| ()),
        refused("PRECONDITION_FAILED - reply consumer already set")
    );
}

#[test]
fn a_quorum_queue_with_a_single_active_consumer_gives_nothing_to_get() {
    let mut world = World::new();
    let mut method = quorum("r");
    method
        .arguments
        .set("x-single-active-consumer", FieldValue::Boolean(true));
    assert_eq!(world.declare(method), Ok(()));
    assert_eq!(
        world.get("r"),
        refused(
            "RESOURCE_LOCKED - cannot obtain access to locked queue 'r' in vhost 'v'. basic.get operations are not \
             supported by quorum queues with single active consumer"
        )
    );
}

#[test]
fn rights_are_asked_for_before_it_is_looked_whether_things_exist() {
    let mut world = World::new();
    assert_eq!(world.declare(durable("shared", &[])), Ok(()));
    world.as_user("limited");
    let access = |access: &str, resource: &str| {
        refused(&format!(
            "ACCESS_REFUSED - {access} access to {resource} in vhost 'v' refused for user 'limited'"
        ))
    };
    assert_eq!(world.declare(durable("mine-q", &[])), Ok(()));
    assert_eq!(world.declare(passive("shared")), Ok(()), "passive needs no right");
    assert_eq!(
        world.declare(exclusive("")),
        access("configure", "queue 'amq.gen-BwcHBwcHBwcHBwcHBwcHBw'")
    );
    assert_eq!(world.declare(queue("other")), access("configure", "queue 'other'"));
    let dead_letters = |exchange| durable("mine-dl", &[("x-dead-letter-exchange", FieldValue::text(exchange))]);
    assert_eq!(
        world.declare(dead_letters("other")),
        access("write", "exchange 'other'")
    );
    assert_eq!(
        world.declare(dead_letters("")),
        access("write", "exchange 'amq.default'")
    );
    assert_eq!(
        world.delete("absent", false, false).map(|_| ()),
        access("configure", "queue 'absent'")
    );
    for name in ["shared", "absent"] {
        let read = || access("read", &format!("queue '{name}'"));
        assert_eq!(world.purge(name), read());
        assert_eq!(world.get(name), read());
        let consumed = world.consume(ConsumingChannel::default(), &consumer(name, "t"));
        assert_eq!(consumed.map(|_| ()), read());
    }
    assert_eq!(
        world.declare_exchange(exchange("other", "direct")),
        access("configure", "exchange 'other'")
    );
    let alternate = ExchangeDeclare {
        arguments: arguments(&[("alternate-exchange", FieldValue::text("other"))]),
        ..exchange("mine-ae", "direct")
    };
    assert_eq!(world.declare_exchange(alternate), access("write", "exchange 'other'"));
    assert_eq!(
        world.bind("shared", "amq.direct", "k"),
        access("write", "queue 'shared'")
    );
    assert_eq!(
        world.unbind("shared", "amq.direct", "k"),
        access("write", "queue 'shared'")
    );
    assert_eq!(world.bind("mine-q", "absent", "k"), access("read", "exchange 'absent'"));
    assert_eq!(world.declare_exchange(exchange("mine-e", "direct")), Ok(()));
    assert_eq!(
        world.bind_exchange("mine-e", "amq.direct"),
        access("read", "exchange 'amq.direct'")
    );
    assert_eq!(world.publish("", "mine-q"), access("write", "exchange 'amq.default'"));
    world.as_user("nobody");
    assert_eq!(
        world.purge("shared"),
        refused("ACCESS_REFUSED - read access to queue 'shared' in vhost 'v' refused for user 'nobody'")
    );
}

#[test]
fn topic_permissions_hold_for_their_exchange_only() {
    let mut world = World::new();
    assert_eq!(world.declare(queue("q")), Ok(()));
    let other = exchange("t", "topic");
    assert_eq!(world.declare_exchange(other), Ok(()));
    world.as_user("topical");
    let refused_topic = |access: &str, key: &str| {
        refused(&format!(
            "ACCESS_REFUSED - {access} access to topic '{key}' in exchange 'amq.topic' in vhost 'v' refused for user \
             'topical'"
        ))
    };
    assert_eq!(world.bind("q", "amq.topic", "ok.#"), Ok(()));
    assert_eq!(world.bind("q", "amq.topic", "bad.#"), refused_topic("read", "bad.#"));
    assert_eq!(world.publish("amq.topic", "ok.yes"), Ok(()));
    assert_eq!(world.publish("amq.topic", "bad.no"), refused_topic("write", "bad.no"));
    assert_eq!(world.publish("amq.fanout", "bad.no"), Ok(()));
    assert_eq!(world.publish("t", "bad.no"), Ok(()));
}

#[test]
fn messages_go_to_exchanges_that_take_them() {
    let mut world = World::new();
    let internal = ExchangeDeclare {
        internal: true,
        ..exchange("e", "fanout")
    };
    assert_eq!(world.declare_exchange(internal), Ok(()));
    assert_eq!(
        world.publish("e", ""),
        refused("ACCESS_REFUSED - cannot publish to internal exchange 'e' in vhost 'v'")
    );
    assert_eq!(
        world.publish("missing", ""),
        refused("NOT_FOUND - no exchange 'missing' in vhost 'v'")
    );
    let target = publish_target(&world.catalog, &world.who(), "", &[255]).expect("allowed");
    assert_eq!(target.kind, ExchangeKind::Direct);
}
