//! Cascades, what survives, and random commands.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::auth::{HashAlgorithm, PasswordHash};
use crate::spec::policy::ApplyTo;
use crate::spec::{ExchangeKind, ExchangeSpec, QueueSpec, QueueType};
use crate::types::{ConnectionId, FieldTable, FieldValue, NodeId, Refusal};

fn vhost(name: &str) -> Command {
    Command::PutVhost(VhostSpec {
        name: name.into(),
        description: String::new(),
        tags: Vec::new(),
        default_queue_type: None,
        protected: false,
    })
}

fn queue(id: u64, name: &str, durable: bool) -> QueueSpec {
    QueueSpec {
        id: QueueId(id),
        vhost: "v".into(),
        name: name.into(),
        queue_type: QueueType::Classic,
        durable,
        auto_delete: false,
        exclusive_owner: None,
        home: NodeId::default(),
        members: Vec::new(),
        generations: 0,
        arguments: FieldTable::new(),
        user: "u".into(),
    }
}

fn exchange(name: &str, durable: bool, auto_delete: bool) -> Command {
    Command::DeclareExchange(ExchangeSpec {
        vhost: "v".into(),
        name: name.into(),
        kind: ExchangeKind::Direct,
        durable,
        auto_delete,
        internal: false,
        home: NodeId::default(),
        arguments: FieldTable::new(),
        user: "u".into(),
    })
}

fn binding(source: &str, destination: Destination, key: &str) -> BindingSpec {
    BindingSpec {
        source: source.into(),
        destination,
        key: key.into(),
        arguments: FieldTable::new(),
    }
}

fn bind(source: &str, destination: Destination) -> Command {
    Command::Bind {
        vhost: "v".into(),
        binding: binding(source, destination, "k"),
    }
}

fn to_queue(name: &str) -> Destination {
    Destination::Queue(name.into())
}

fn user(name: &str) -> Command {
    let password = PasswordHash::new(HashAlgorithm::Sha256, [1; 4], b"secret");
    Command::PutUser(UserSpec {
        name: name.into(),
        password,
        tags: vec!["administrator".into()],
    })
}

fn made(commands: &[Command]) -> Catalog {
    let mut catalog = Catalog::new();
    for command in commands {
        catalog.apply(command, &mut Vec::new()).expect("applies");
    }
    catalog
}

fn names(changes: &[Change]) -> Vec<String> {
    let name = |change: &Change| match change {
        Change::QueueDeleted(spec) => format!("queue {} deleted", spec.name),
        Change::ExchangeDeleted(spec) => format!("exchange {} deleted", spec.name),
        other => format!("{other:?}"),
    };
    changes.iter().map(name).collect()
}

fn refusal(catalog: &mut Catalog, command: &Command) -> String {
    catalog
        .apply(command, &mut Vec::new())
        .expect_err("refused")
        .reply()
        .wire_text()
}

#[test]
fn auto_delete_exchanges_go_with_their_last_binding_one_after_the_other() {
    let mut catalog = made(&[
        vhost("v"),
        exchange("outer", true, true),
        exchange("inner", true, true),
        Command::DeclareQueue(queue(1, "q", false)),
        bind("inner", to_queue("q")),
        bind("outer", Destination::Exchange("inner".into())),
    ]);
    let mut changes = Vec::new();
    let delete = Command::DeleteQueue {
        vhost: "v".into(),
        name: "q".into(),
    };
    let survives = catalog.apply(&delete, &mut changes).expect("there");
    assert_eq!(
        names(&changes),
        ["queue q deleted", "exchange inner deleted", "exchange outer deleted"]
    );
    // The queue did not survive a restart anyway, the exchanges would have.
    assert!(!survives.command);
    assert_eq!(survives.also.len(), 2);
}

#[test]
fn what_is_missing_or_reserved_is_refused_in_rabbitmqs_words() {
    let mut catalog = made(&[
        vhost("v"),
        exchange("e", true, false),
        Command::DeclareQueue(queue(1, "q", true)),
    ]);
    assert_eq!(
        refusal(&mut catalog, &bind("no", to_queue("no"))),
        "NOT_FOUND - no exchange 'no' in vhost 'v'"
    );
    assert_eq!(
        refusal(&mut catalog, &bind("e", to_queue("no"))),
        "NOT_FOUND - no queue 'no' in vhost 'v'"
    );
    assert_eq!(
        refusal(&mut catalog, &bind("", to_queue("q"))),
        "ACCESS_REFUSED - operation not permitted on the default exchange"
    );
    let delete = |name: &str, if_unused| Command::DeleteExchange {
        vhost: "v".into(),
        name: name.into(),
        if_unused,
    };
    assert_eq!(
        refusal(&mut catalog, &delete("amq.direct", false)),
        "ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost 'v' not allowed"
    );
    catalog
        .apply(&bind("e", to_queue("q")), &mut Vec::new())
        .expect("both there");
    assert_eq!(
        refusal(&mut catalog, &delete("e", true)),
        "PRECONDITION_FAILED - exchange 'e' in vhost 'v' in use"
    );
    let limit = Command::SetVhostLimit {
        vhost: "v".into(),
        limit: VhostLimit::MaxQueues,
        value: Some(1),
    };
    catalog.apply(&limit, &mut Vec::new()).expect("there");
    assert_eq!(
        refusal(&mut catalog, &Command::DeclareQueue(queue(2, "two", true))),
        "PRECONDITION_FAILED - cannot declare queue 'two': queue limit in vhost 'v' (1) is reached"
    );
}

#[test]
fn a_snapshot_brings_back_what_is_durable_and_nothing_else() {
    let mut odd = queue(7, "q", true);
    let deepest = (0..60).fold(FieldValue::F64(f64::NAN), |inner, _| FieldValue::Array(vec![inner]));
    odd.arguments.set("x-odd", deepest);
    let exclusive = QueueSpec {
        exclusive_owner: Some(ConnectionId(1)),
        home: NodeId::default(),
        members: Vec::new(),
        generations: 0,
        ..queue(9, "mine", true)
    };
    let policy = PolicySpec {
        vhost: "v".into(),
        name: "p".into(),
        pattern: "^q".into(),
        apply_to: ApplyTo::Queues,
        priority: 1,
        definition: json!({"max-length": 5}).as_object().cloned().expect("an object"),
    };
    let patterns = PermissionSpec {
        configure: ".*".into(),
        write: ".*".into(),
        read: "".into(),
    };
    let catalog = made(&[
        vhost("v"),
        user("u"),
        Command::SetPermission {
            user: "u".into(),
            vhost: "v".into(),
            patterns,
        },
        Command::PutPolicy(policy),
        exchange("e", true, false),
        exchange("gone", false, false),
        Command::DeclareQueue(odd),
        Command::DeclareQueue(queue(8, "transient", false)),
        Command::DeclareQueue(exclusive),
        bind("e", to_queue("q")),
        bind("e", to_queue("transient")),
        bind("gone", to_queue("q")),
        Command::SetVhostLimit {
            vhost: "v".into(),
            limit: VhostLimit::MaxQueues,
            value: Some(0),
        },
    ]);
    let back = Catalog::restore(&catalog.snapshot()).expect("just written");
    let vhost = back.vhost("v").expect("durable");
    vhost.check();
    assert_eq!(vhost.queues().map(|spec| spec.name.as_str()).collect::<Vec<_>>(), ["q"]);
    assert!(vhost.exchange("e").is_some() && vhost.exchange("gone").is_none());
    assert_eq!(vhost.bindings_to(&to_queue("q")).count(), 1);
    assert_eq!(vhost.exchanges().count(), 8);
    assert_eq!(vhost.policies.len(), 1);
    assert_eq!(vhost.limits[&VhostLimit::MaxQueues], 0);
    assert_eq!(back.next_queue_id(), QueueId(10));
    assert!(back.user("u").expect("durable").spec.password.matches(b"secret"));
    assert!(vhost.permissions.contains_key("u"));
    assert_eq!(back.snapshot(), catalog.snapshot());
}

#[test]
fn a_deleted_user_has_no_rights_left() {
    let patterns = PermissionSpec {
        configure: "".into(),
        write: "".into(),
        read: "".into(),
    };
    let mut catalog = made(&[
        vhost("v"),
        user("u"),
        Command::SetPermission {
            user: "u".into(),
            vhost: "v".into(),
            patterns,
        },
    ]);
    let before = catalog.rights_version();
    catalog
        .apply(&Command::DeleteUser("u".into()), &mut Vec::new())
        .expect("there");
    assert!(catalog.vhost("v").expect("there").permissions.is_empty());
    assert!(catalog.rights_version() > before);
}

#[test]
fn bytes_of_another_version_are_refused() {
    let mut bytes = vhost("v").encode();
    assert!(Command::decode(&bytes).is_ok());
    bytes[0] = 9;
    assert!(matches!(Command::decode(&bytes), Err(FormatError::Version(9))));
    assert!(matches!(Command::decode(&[]), Err(FormatError::Empty)));
    assert!(matches!(Command::decode(&[1, b'x']), Err(FormatError::Damaged(_))));
}

fn any_command() -> impl Strategy<Value = Command> {
    let exchange_name = (0..4u8).prop_map(|n| format!("e{n}"));
    let queue_name = (0..4u8).prop_map(|n| format!("q{n}"));
    let any_binding = (
        exchange_name.clone(),
        exchange_name.clone(),
        queue_name.clone(),
        any::<bool>(),
        0..2u8,
    )
        .prop_map(|(source, other, queue, to_q, key)| {
            let destination = if to_q {
                to_queue(&queue)
            } else {
                Destination::Exchange(other.as_str().into())
            };
            binding(&source, destination, &key.to_string())
        });
    prop_oneof![
        1 => (exchange_name.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(name, durable, auto_delete)| exchange(&name, durable, auto_delete)),
        1 => (queue_name.clone(), any::<bool>()).prop_map(|(name, durable)| Command::DeclareQueue(queue(1, &name, durable))),
        3 => any_binding.clone().prop_map(|binding| Command::Bind { vhost: "v".into(), binding }),
        2 => any_binding.prop_map(|binding| Command::Unbind { vhost: "v".into(), binding }),
        1 => exchange_name.prop_map(|name| Command::DeleteExchange {
            vhost: "v".into(),
            name: name.as_str().into(),
            if_unused: false
        }),
        1 => queue_name.prop_map(|name| Command::DeleteQueue { vhost: "v".into(), name: name.as_str().into() }),
    ]
}

proptest! {
    #[test]
    fn after_any_commands_what_was_written_down_makes_the_durable_catalogue(
        commands in proptest::collection::vec(any_command(), 1..80)
    ) {
        let mut catalog = made(&[vhost("v")]);
        let mut written = vec![vhost("v")];
        for command in commands {
            if let Ok(survives) = catalog.apply(&command, &mut Vec::new()) {
                written.extend(survives.command.then_some(command));
                written.extend(survives.also);
            }
            catalog.vhost("v").expect("there").check();
        }
        let mut replayed = Catalog::replaying();
        for command in &written {
            let back = Command::decode(&command.encode()).expect("just written");
            prop_assert!(replayed.apply(&back, &mut Vec::new()).is_ok(), "{:?} was accepted before", back);
        }
        let durable = |catalog: &Catalog| {
            let restored = Catalog::restore(&catalog.snapshot()).expect("just written");
            let vhost = restored.vhost("v").expect("there");
            let mut lines: Vec<String> = vhost.exchanges().map(|spec| format!("{:?}", spec.name))
                .chain(vhost.queues().map(|spec| format!("{:?}", spec.name)))
                .chain(vhost.bindings().map(|binding| format!("{binding:?}")))
                .collect();
            lines.sort();
            lines
        };
        prop_assert_eq!(durable(&replayed), durable(&catalog));
    }
}
