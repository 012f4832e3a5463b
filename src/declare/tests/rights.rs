//! What a user without every right hears.

use super::*;

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
