//! Cascades, what survives, and random commands.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::auth::{HashAlgorithm, PasswordHash};
use crate::exchange::{ExchangeKind, ExchangeSpec};
use crate::spec::policy::ApplyTo;
use crate::spec::{BindingSpec, Destination, Member, QueueSpec, QueueType};
use crate::types::{ConnectionId, FieldTable, FieldValue, QueueName, Refusal};

const HOME: NodeId = NodeId(7);

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
        home: HOME,
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
        home: HOME,
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

fn made(commands: &[Command]) -> Catalogue {
    let mut catalogue = Catalogue::new();
    for command in commands {
        catalogue.apply(command, &mut Vec::new()).expect("applies");
    }
    catalogue
}

fn names(changes: &[Change]) -> Vec<String> {
    let name = |change: &Change| match change {
        Change::QueueDeleted(spec) => format!("queue {} deleted", spec.name),
        Change::ExchangeDeleted(spec) => format!("exchange {} deleted", spec.name),
        other => format!("{other:?}"),
    };
    changes.iter().map(name).collect()
}

/// Deletes the queue that has the name now.
fn delete_queue(catalogue: &Catalogue, name: &str) -> Command {
    let known = catalogue.vhost("v").and_then(|vhost| vhost.queue(name));
    Command::DeleteQueue {
        vhost: "v".into(),
        name: name.into(),
        id: known.map_or(QueueId(0), |spec| spec.id),
    }
}

fn refusal(catalogue: &mut Catalogue, command: &Command) -> String {
    catalogue
        .apply(command, &mut Vec::new())
        .expect_err("refused")
        .reply()
        .wire_text()
}

#[test]
fn auto_delete_exchanges_go_with_their_last_binding_one_after_the_other() {
    let mut catalogue = made(&[
        vhost("v"),
        exchange("outer", true, true),
        exchange("inner", true, true),
        Command::DeclareQueue(queue(1, "q", false)),
        bind("inner", to_queue("q")),
        bind("outer", Destination::Exchange("inner".into())),
    ]);
    let mut changes = Vec::new();
    let delete = delete_queue(&catalogue, "q");
    catalogue.apply(&delete, &mut changes).expect("there");
    assert_eq!(
        names(&changes),
        ["queue q deleted", "exchange inner deleted", "exchange outer deleted"]
    );
}

#[test]
fn what_is_missing_or_reserved_is_refused_in_rabbitmqs_words() {
    let mut catalogue = made(&[
        vhost("v"),
        exchange("e", true, false),
        Command::DeclareQueue(queue(1, "q", true)),
    ]);
    assert_eq!(
        refusal(&mut catalogue, &bind("no", to_queue("no"))),
        "NOT_FOUND - no exchange 'no' in vhost 'v'"
    );
    assert_eq!(
        refusal(&mut catalogue, &bind("e", to_queue("no"))),
        "NOT_FOUND - no queue 'no' in vhost 'v'"
    );
    assert_eq!(
        refusal(&mut catalogue, &bind("", to_queue("q"))),
        "ACCESS_REFUSED - operation not permitted on the default exchange"
    );
    let delete = |name: &str, if_unused| Command::DeleteExchange {
        vhost: "v".into(),
        name: name.into(),
        if_unused,
    };
    assert_eq!(
        refusal(&mut catalogue, &delete("amq.direct", false)),
        "ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost 'v' not allowed"
    );
    catalogue
        .apply(&bind("e", to_queue("q")), &mut Vec::new())
        .expect("both there");
    assert_eq!(
        refusal(&mut catalogue, &delete("e", true)),
        "PRECONDITION_FAILED - exchange 'e' in vhost 'v' in use"
    );
    let limit = Command::SetVhostLimit {
        vhost: "v".into(),
        limit: VhostLimit::MaxQueues,
        value: Some(1),
    };
    catalogue.apply(&limit, &mut Vec::new()).expect("there");
    assert_eq!(
        refusal(&mut catalogue, &Command::DeclareQueue(queue(2, "two", true))),
        "PRECONDITION_FAILED - cannot declare queue 'two': queue limit in vhost 'v' (1) is reached"
    );
}

#[test]
fn a_binding_is_the_same_whatever_the_order_of_its_arguments() {
    let (a, b) = (("a", FieldValue::I32(1)), ("b", FieldValue::text("x")));
    let with = |arguments: &[(&str, FieldValue)]| BindingSpec {
        arguments: FieldTable::of(arguments),
        ..binding("e", to_queue("q"), "")
    };
    let bound = |binding| Command::Bind {
        vhost: "v".into(),
        binding,
    };
    let mut catalogue = made(&[
        vhost("v"),
        exchange("e", true, false),
        Command::DeclareQueue(queue(1, "q", true)),
        bound(with(&[a.clone(), b.clone()])),
        bound(with(&[b.clone(), a.clone()])),
    ]);
    let count = |catalogue: &Catalogue| catalogue.vhost("v").expect("there").bindings().count();
    assert_eq!(count(&catalogue), 1);
    let unbind = Command::Unbind {
        vhost: "v".into(),
        binding: with(&[b, a]),
    };
    catalogue.apply(&unbind, &mut Vec::new()).expect("bound");
    assert_eq!(count(&catalogue), 0);
}

#[test]
fn a_snapshot_is_read_without_the_patterns_that_are_none_any_more() {
    let allowed = |configure: &str| Command::SetPermission {
        user: "u".into(),
        vhost: "v".into(),
        patterns: PermissionSpec {
            configure: configure.into(),
            write: String::new(),
            read: String::new(),
        },
    };
    let snapshot = |configure| {
        encoded(&Snapshot {
            next_queue_id: 1,
            commands: vec![vhost("v"), user("u"), allowed(configure)],
        })
    };
    let permissions = |configure| {
        let back = Catalogue::restore(&snapshot(configure)).expect("readable");
        back.vhost("v").expect("there").permissions.len()
    };
    assert_eq!((permissions(".*"), permissions("(")), (1, 0));
}

#[test]
fn a_snapshot_brings_back_everything() {
    let mut odd = queue(7, "q", true);
    let deepest = (0..60).fold(FieldValue::F64(f64::NAN), |inner, _| FieldValue::Array(vec![inner]));
    odd.arguments.set("x-odd", deepest);
    let exclusive = QueueSpec {
        exclusive_owner: Some(ConnectionId(1)),
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
        read: String::new(),
    };
    let catalogue = made(&[
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
    let back = Catalogue::restore(&catalogue.snapshot()).expect("just written");
    let vhost = back.vhost("v").expect("durable");
    vhost.check();
    assert_eq!(lines(&back), lines(&catalogue));
    assert_eq!(
        vhost.queue("mine").and_then(|spec| spec.exclusive_owner),
        Some(ConnectionId(1))
    );
    assert_eq!(vhost.policies.len(), 1);
    assert_eq!(vhost.limits[&VhostLimit::MaxQueues], 0);
    assert_eq!(back.next_queue_id, 10);
    assert!(back.user("u").expect("durable").spec.password.matches(b"secret"));
    assert!(vhost.permissions.contains_key("u"));
    assert_eq!(back.snapshot(), catalogue.snapshot());
}

#[test]
fn a_deleted_user_has_no_rights_left() {
    let patterns = PermissionSpec {
        configure: String::new(),
        write: String::new(),
        read: String::new(),
    };
    let mut catalogue = made(&[
        vhost("v"),
        user("u"),
        Command::SetPermission {
            user: "u".into(),
            vhost: "v".into(),
            patterns,
        },
    ]);
    let before = catalogue.rights_version();
    catalogue
        .apply(&Command::DeleteUser("u".into()), &mut Vec::new())
        .expect("there");
    assert!(catalogue.vhost("v").expect("there").permissions.is_empty());
    assert!(catalogue.rights_version() > before);
}

#[test]
fn bytes_of_another_version_are_refused() {
    let mut bytes = vhost("v").encode();
    assert!(Command::decode(&bytes).is_ok());
    bytes[0] = 9;
    assert!(matches!(Command::decode(&bytes), Err(FormatError::Version(9))));
    assert!(matches!(Command::decode(&[]), Err(FormatError::Empty)));
    assert!(matches!(Command::decode(&[FORMAT, b'x']), Err(FormatError::Damaged(_))));
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
        1 => queue_name.prop_map(|name| Command::DeleteQueue { vhost: "v".into(), name: name.as_str().into(), id: QueueId(1) }),
    ]
}

/// What there is in the vhost, as text.
fn lines(catalogue: &Catalogue) -> Vec<String> {
    let vhost = catalogue.vhost("v").expect("there");
    let mut lines: Vec<String> = vhost
        .exchanges()
        .map(|spec| format!("{spec:?}"))
        .chain(vhost.queues().map(|spec| format!("{spec:?}")))
        .chain(vhost.bindings().map(|binding| format!("{binding:?}")))
        .collect();
    lines.sort();
    lines
}

fn queue_names(catalogue: &Catalogue) -> Vec<QueueName> {
    let vhost = catalogue.vhost("v").expect("there");
    let mut names: Vec<_> = vhost.queues().map(|spec| spec.name.clone()).collect();
    names.sort();
    names
}

#[test]
fn a_run_of_a_node_takes_what_was_declared_for_it_along() {
    let exclusive = QueueSpec {
        exclusive_owner: Some(ConnectionId(1)),
        ..queue(3, "mine", true)
    };
    let elsewhere = QueueSpec {
        home: NodeId(8),
        ..queue(4, "elsewhere", false)
    };
    let mut catalogue = made(&[
        vhost("v"),
        exchange("kept", true, false),
        exchange("auto", true, true),
        exchange("gone", false, false),
        Command::DeclareQueue(queue(1, "kept", true)),
        Command::DeclareQueue(queue(2, "gone", false)),
        Command::DeclareQueue(exclusive),
        Command::DeclareQueue(elsewhere),
        bind("auto", to_queue("gone")),
    ]);
    let mut changes = Vec::new();
    catalogue.apply(&Command::EndRun(HOME), &mut changes).expect("always");
    let told = [
        "queue gone deleted",
        "exchange auto deleted",
        "queue mine deleted",
        "exchange gone deleted",
    ];
    assert_eq!(names(&changes), told);
    assert_eq!(queue_names(&catalogue), ["elsewhere", "kept"].map(QueueName::from));
    catalogue.vhost("v").expect("there").check();
}

#[test]
fn a_node_that_is_removed_takes_its_queues_along_and_leaves_its_groups() {
    let members = [HOME, NodeId(8)].map(|node| Member { node, generation: 0 });
    let quorum = QueueSpec {
        queue_type: QueueType::Quorum,
        members: members.to_vec(),
        ..queue(2, "replicated", true)
    };
    let mut catalogue = made(&[
        vhost("v"),
        Command::PutNode {
            node: HOME,
            name: "rabbit@a".into(),
            address: "a:1".into(),
        },
        Command::DeclareQueue(queue(1, "alone", true)),
        Command::DeclareQueue(quorum),
    ]);
    catalogue
        .apply(&Command::RemoveNode(HOME), &mut Vec::new())
        .expect("always");
    assert!(catalogue.nodes().is_empty());
    let replicated = |catalogue: &Catalogue| {
        let spec = catalogue.vhost("v").and_then(|vhost| vhost.queue("replicated"));
        spec.expect("there").members.clone()
    };
    assert_eq!(queue_names(&catalogue), [QueueName::from("replicated")]);
    assert_eq!(replicated(&catalogue), members[1..]);
    let add = Command::AddQueueMember {
        vhost: "v".into(),
        name: "replicated".into(),
        node: HOME,
    };
    // What it wrote down as the member it was is not its own any more; that one has left counts, too.
    for _ in 0..2 {
        catalogue.apply(&add, &mut Vec::new()).expect("there");
    }
    let again = Member {
        node: HOME,
        generation: 2,
    };
    assert_eq!(replicated(&catalogue), [members[1], again]);
    // One that has lost its data makes way for another once, however often that is asked for.
    let renew = Command::RenewQueueMember {
        vhost: "v".into(),
        name: "replicated".into(),
        node: NodeId(8),
        generation: 0,
    };
    for _ in 0..2 {
        catalogue.apply(&renew, &mut Vec::new()).expect("there");
    }
    let renewed = Member {
        node: NodeId(8),
        generation: 3,
    };
    assert_eq!(replicated(&catalogue), [renewed, again]);
}

#[test]
fn of_two_declares_in_the_same_moment_the_second_looks_again() {
    let mut catalogue = made(&[
        vhost("v"),
        exchange("e", true, false),
        Command::DeclareQueue(queue(0, "q", true)),
    ]);
    let mut declare = |command| catalogue.apply(&command, &mut Vec::new());
    assert!(declare(Command::DeclareQueue(queue(0, "q", true))).is_ok());
    assert!(declare(exchange("e", true, false)).is_ok());
    let raced = declare(Command::DeclareQueue(queue(0, "q", false)));
    assert!(matches!(raced, Err(CatalogueError::Raced(_))));
    let raced = declare(exchange("e", false, false));
    assert!(matches!(raced, Err(CatalogueError::Raced(_))));
    assert_eq!(catalogue.next_queue_id, 2);
}

#[test]
fn of_two_deletes_in_the_same_moment_the_second_looks_again() {
    let mut catalogue = made(&[vhost("v"), Command::DeclareQueue(queue(0, "q", true))]);
    let delete = delete_queue(&catalogue, "q");
    catalogue.apply(&delete, &mut Vec::new()).expect("there");
    let gone = catalogue.apply(&delete, &mut Vec::new());
    assert!(matches!(gone, Err(CatalogueError::Raced(_))));
    let declare = Command::DeclareQueue(queue(0, "q", true));
    catalogue.apply(&declare, &mut Vec::new()).expect("the name is free");
    let another = catalogue.apply(&delete, &mut Vec::new());
    assert!(matches!(another, Err(CatalogueError::Raced(_))));
    assert_eq!(queue_names(&catalogue), [QueueName::from("q")]);
}

/// What is live after these changes, as text.
fn carried_out(live: &mut BTreeMap<String, String>, changes: Vec<Change>) {
    for change in changes {
        let new = match &change {
            Change::ExchangeDeclared(spec) => live.insert(format!("e {}", spec.name), format!("{spec:?}")).is_none(),
            Change::QueueDeclared(spec) => live.insert(format!("q {}", spec.name), format!("{spec:?}")).is_none(),
            Change::Bound(_, binding) => live.insert(format!("{binding:?}"), format!("{binding:?}")).is_none(),
            Change::ExchangeDeleted(spec) => {
                live.retain(|_, bound| !bound.contains(&format!("Exchange({:?})", spec.name)));
                live.retain(|_, bound| !bound.starts_with(&format!("BindingSpec {{ source: {:?}", spec.name)));
                live.remove(&format!("e {}", spec.name)).is_some()
            }
            Change::QueueDeleted(spec) => {
                live.retain(|_, bound| !bound.contains(&format!("Queue({:?})", spec.name)));
                live.remove(&format!("q {}", spec.name)).is_some()
            }
            Change::Unbound(_, binding) => live.remove(&format!("{binding:?}")).is_some(),
            _ => true,
        };
        assert!(new, "{change:?} changes nothing");
    }
}

proptest! {
    #[test]
    fn the_changes_between_two_catalogues_lead_from_one_to_the_other(
        commands in proptest::collection::vec(any_command(), 1..80),
        at in 0..80usize,
    ) {
        let mut catalogue = made(&[vhost("v")]);
        let mut live = BTreeMap::new();
        let mut before = Catalogue::new();
        for (step, command) in commands.iter().enumerate() {
            let command = match command.clone() {
                Command::DeclareQueue(spec) => Command::DeclareQueue(QueueSpec { id: QueueId(0), ..spec }),
                Command::DeleteQueue { name, .. } => delete_queue(&catalogue, &name),
                other => other,
            };
            // Most are refused for what is missing.
            let _ = catalogue.apply(&command, &mut Vec::new());
            if step == at || step + 1 == commands.len() {
                carried_out(&mut live, catalogue.changes_since(&before));
                before = Catalogue::restore(&catalogue.snapshot()).expect("just written");
            }
        }
        let mut there: Vec<_> = live.into_values().collect();
        there.sort();
        prop_assert_eq!(there, lines(&catalogue));
    }

    #[test]
    fn after_any_commands_a_snapshot_makes_the_same(
        commands in proptest::collection::vec(any_command(), 1..80)
    ) {
        let mut catalogue = made(&[vhost("v")]);
        for command in commands {
            let back = Command::decode(&command.encode()).expect("just written");
            // Most are refused for what is missing.
            let _ = catalogue.apply(&back, &mut Vec::new());
            catalogue.vhost("v").expect("there").check();
        }
        let restored = Catalogue::restore(&catalogue.snapshot()).expect("just written");
        prop_assert_eq!(lines(&restored), lines(&catalogue));
        prop_assert_eq!(restored.next_queue_id, catalogue.next_queue_id);
    }
}
