//! Consumers and gets.

use super::*;

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
fn no_consumer_is_exclusive_where_one_is_active_at_a_time() {
    let mut world = World::new();
    let single = [("x-single-active-consumer", FieldValue::Boolean(true))];
    assert_eq!(world.declare(durable("q", &single)), Ok(()));
    let free = ConsumingChannel::default();
    let exclusive = BasicConsume {
        exclusive: true,
        ..consumer("q", "t")
    };
    assert_eq!(
        world.consume(free, &exclusive).map(|_| ()),
        refused("ACCESS_REFUSED - queue 'q' in vhost 'v' in exclusive use")
    );
    assert!(world.consume(free, &consumer("q", "t")).is_ok());
}
