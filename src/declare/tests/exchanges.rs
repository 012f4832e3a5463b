//! Exchanges, bindings, and what may be published to.

use super::*;

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
    assert!(exchange_unbind(&world.catalogue, &world.who(), &unbind).is_ok());

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
    let target = publish_target(&world.catalogue, &world.who(), "", &[255]).expect("allowed");
    assert_eq!(target.kind, ExchangeKind::Direct);
}
