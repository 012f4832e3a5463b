//! Queues: names, types, what is the same, whose they are.

use super::*;

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
    let plan = world.plan(&exclusive("")).expect("made");
    assert_eq!(plan.name(), "amq.gen-BwcHBwcHBwcHBwcHBwcHBw");
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
    assert_eq!(world.declare(typed("stream")), Ok(()));
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
    let spec = world.catalogue.vhost("v").and_then(|v| v.queue("q")).expect("declared");
    assert!(!spec.durable, "it goes with its connection");
    world.on_connection(2);
    assert_eq!(world.declare(queue("q")), refused(LOCKED));
    assert_eq!(world.declare(own), refused(LOCKED));
    assert_eq!(world.declare(passive("q")), refused(LOCKED));
    assert_eq!(world.get("q"), refused(LOCKED));
    assert_eq!(world.purge("q"), refused(LOCKED));
    assert_eq!(world.delete("q", false, false), Err(LOCKED.into()));
    assert_eq!(
        world.consume(ConsumingChannel::default(), &consumer("q", "t")),
        Err(LOCKED.into())
    );
    assert_eq!(world.bind("q", "amq.direct", "k"), refused(LOCKED));
    assert_eq!(world.unbind("q", "amq.direct", "k"), Ok(()), "there is nothing to take");
    world.on_connection(1);
    assert_eq!(world.bind("q", "amq.direct", "k"), Ok(()));
    world.on_connection(2);
    assert_eq!(world.unbind("q", "amq.direct", "k"), refused(LOCKED));
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
    let vhost = world.catalogue.vhost("v").expect("made");
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
