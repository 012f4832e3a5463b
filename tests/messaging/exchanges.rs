//! Exchanges: which queues a message goes to.

use lapin::ExchangeKind;
use lapin::options::{ExchangeBindOptions, ExchangeDeclareOptions, ExchangeDeleteOptions, ExchangeUnbindOptions};
use lapin::types::{AMQPValue, FieldTable};

use crate::support::*;

/// Which of these queues get a message with this key and these headers.
async fn routed(client: &Client, exchange: &str, key: &str, properties: Properties, queues: &[&str]) -> Vec<String> {
    client.publish(exchange, key, "m", properties).await;
    let mut hit = Vec::new();
    for &queue in queues {
        hit.extend(client.take(queue).await.iter().map(|_| queue.to_owned()));
    }
    hit
}

#[tokio::test]
async fn direct_goes_by_the_whole_key() {
    let broker = Broker::shared();
    let client = broker.client().await;
    for (queue, keys) in [("one", &["a", "b"][..]), ("two", &["b"])] {
        client.plain_queue(queue).await;
        for key in keys {
            client.bind(queue, "amq.direct", key, table([])).await;
        }
    }
    let queues = ["one", "two"];
    for (key, expected) in [("a", &["one"][..]), ("b", &["one", "two"]), ("c", &[])] {
        let hit = routed(&client, "amq.direct", key, persistent(), &queues).await;
        assert_eq!(hit, expected, "{key}");
    }
}

#[tokio::test]
async fn fanout_goes_everywhere_once() {
    let broker = Broker::shared();
    let client = broker.client().await;
    for queue in ["one", "two"] {
        client.plain_queue(queue).await;
        client.bind(queue, "amq.fanout", "", table([])).await;
        client.bind(queue, "amq.fanout", "other", table([])).await;
    }
    let hit = routed(&client, "amq.fanout", "any", persistent(), &["one", "two"]).await;
    assert_eq!(hit, ["one", "two"], "one copy for a queue, however many bindings match");
}

#[tokio::test]
async fn topic_goes_by_words() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let patterns = ["#", "*", "a.*", "a.#", "*.b", "#.b", "a.*.b", "a.#.b", "#.a.#", "a.b"];
    for pattern in patterns {
        client.plain_queue(pattern).await;
        client.bind(pattern, "amq.topic", pattern, table([])).await;
    }
    let grid: [(&str, &[&str]); 8] = [
        ("", &["#"]),
        ("a", &["#", "*", "a.#", "#.a.#"]),
        ("b", &["#", "*", "#.b"]),
        ("a.b", &["#", "a.*", "a.#", "*.b", "#.b", "a.#.b", "#.a.#", "a.b"]),
        ("a..b", &["#", "a.#", "#.b", "a.*.b", "a.#.b", "#.a.#"]),
        ("a.x.y.b", &["#", "a.#", "#.b", "a.#.b", "#.a.#"]),
        ("a.", &["#", "a.*", "a.#", "#.a.#"]),
        ("x.a", &["#", "#.a.#"]),
    ];
    for (key, expected) in grid {
        let hit = routed(&client, "amq.topic", key, persistent(), &patterns).await;
        assert_eq!(hit, expected, "{key}");
    }
}

#[tokio::test]
async fn headers_go_by_the_headers() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let bindings = [
        (
            "all",
            table([("x-match", text("all")), ("a", number(1)), ("b", number(2))]),
        ),
        (
            "any",
            table([("x-match", text("any")), ("a", number(1)), ("b", number(2))]),
        ),
        ("unsaid", table([("a", number(1))])),
        ("present", table([("x-match", text("all")), ("a", AMQPValue::Void)])),
        ("with-x", table([("x-match", text("any-with-x")), ("x-k", text("v"))])),
        (
            "without-x",
            table([("x-match", text("all")), ("x-k", text("v")), ("a", number(1))]),
        ),
        ("empty-all", table([("x-match", text("all"))])),
        ("empty-any", table([("x-match", text("any"))])),
    ];
    let queues = bindings.each_ref().map(|(queue, _)| *queue);
    for (queue, arguments) in bindings {
        client.plain_queue(queue).await;
        client.bind(queue, "amq.headers", "", arguments).await;
    }
    let grid: [(FieldTable, &[&str]); 5] = [
        (table([]), &["empty-all"]),
        (
            table([("a", number(1))]),
            &["any", "unsaid", "present", "without-x", "empty-all"],
        ),
        (
            table([("a", AMQPValue::LongLongInt(1)), ("b", number(2))]),
            &["all", "any", "unsaid", "present", "without-x", "empty-all"],
        ),
        (table([("a", text("1"))]), &["present", "empty-all"]),
        (table([("x-k", text("v"))]), &["with-x", "empty-all"]),
    ];
    for (headers, expected) in grid {
        let properties = persistent().with_headers(headers.clone());
        let hit = routed(&client, "amq.headers", "", properties, &queues).await;
        assert_eq!(hit, expected, "{headers:?}");
    }
}

#[tokio::test]
async fn exchanges_can_be_bound_to_exchanges() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.exchange("inner", ExchangeKind::Fanout, table([])).await;
    client.exchange("outer", ExchangeKind::Topic, table([])).await;
    client.plain_queue("orders").await;
    client.bind("orders", "inner", "", table([])).await;
    let options = ExchangeBindOptions::default();
    let bound = client.exchange_bind("inner".into(), "outer".into(), "paid.#".into(), options, table([]));
    bound.await.expect("a binding");
    // A circle is allowed and does no harm.
    let bound = client.exchange_bind("outer".into(), "inner".into(), "paid.x".into(), options, table([]));
    bound.await.expect("a binding");

    let hit = routed(&client, "outer", "paid.now", persistent(), &["orders"]).await;
    assert_eq!(hit, ["orders"]);
    let options = ExchangeUnbindOptions::default();
    let unbound = client.exchange_unbind("inner".into(), "outer".into(), "paid.#".into(), options, table([]));
    unbound.await.expect("unbound");
    let hit = routed(&client, "outer", "paid.now", persistent(), &["orders"]).await;
    assert!(hit.is_empty(), "{hit:?}");
}

#[tokio::test]
async fn an_unbound_queue_gets_nothing_more() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    let arguments = || table([("note", text("two bindings that differ only here"))]);
    client.bind("orders", "amq.direct", "k", table([])).await;
    client.bind("orders", "amq.direct", "k", arguments()).await;
    for left in [1, 0] {
        let gone = if left == 1 { arguments() } else { table([]) };
        let unbound = client.queue_unbind("orders".into(), "amq.direct".into(), "k".into(), gone);
        unbound.await.expect("unbound");
        let hit = routed(&client, "amq.direct", "k", persistent(), &["orders"]).await;
        assert_eq!(hit.len(), left);
    }
}

#[tokio::test]
async fn an_internal_exchange_takes_no_publishes() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let internal = ExchangeDeclareOptions {
        internal: true,
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    let declared = client.exchange_declare("inside".into(), ExchangeKind::Fanout, internal, table([]));
    declared.await.expect("an exchange");
    let published = client.basic_publish("inside".into(), "".into(), Default::default(), b"", persistent());
    let refusal = refused(published.await.expect("published").await);
    let vhost = broker.vhost_name();
    let expected = format!("403 ACCESS_REFUSED - cannot publish to internal exchange 'inside' in vhost '{vhost}'");
    assert_eq!(refusal, expected);
}

#[tokio::test]
async fn an_auto_delete_exchange_goes_with_its_last_binding() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let auto_delete = ExchangeDeclareOptions {
        auto_delete: true,
        ..ExchangeDeclareOptions::default()
    };
    let declared = client.exchange_declare("brief".into(), ExchangeKind::Fanout, auto_delete, table([]));
    declared.await.expect("an exchange");
    for queue in ["one", "two"] {
        client.plain_queue(queue).await;
        client.bind(queue, "brief", "", table([])).await;
    }
    let unbound = client.queue_unbind("one".into(), "brief".into(), "".into(), table([]));
    unbound.await.expect("unbound");
    client.publish("brief", "", "m1", persistent()).await;
    client
        .queue_delete("two".into(), Default::default())
        .await
        .expect("deleted");
    let published = client.basic_publish("brief".into(), "".into(), Default::default(), b"", persistent());
    assert!(refused(published.await.expect("published").await).starts_with("404"));
}

#[tokio::test]
async fn an_exchange_is_declared_again_only_as_it_is() {
    let broker = Broker::shared();
    let mut client = broker.client().await;
    client.exchange("orders", ExchangeKind::Topic, table([])).await;
    client.exchange("orders", ExchangeKind::Topic, table([])).await;
    let vhost = broker.vhost_name();
    let durable = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    let again = client.exchange_declare("orders".into(), ExchangeKind::Direct, durable, table([]));
    let expected = format!(
        "406 PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'orders' in vhost '{vhost}': received 'direct' but current is 'topic'"
    );
    assert_eq!(refused(again.await), expected);

    client.again().await;
    let unknown = ExchangeKind::Custom("nosuch".into());
    let declared = client.exchange_declare("other".into(), unknown, durable, table([]));
    // RabbitMQ calls a word that it never heard "invalid", and "unknown" from then on.
    let refusal = refused(declared.await).replace("unknown", "invalid");
    assert_eq!(refusal, "406 PRECONDITION_FAILED - invalid exchange type 'nosuch'");

    client.again().await;
    let deleted = client.exchange_delete("amq.direct".into(), ExchangeDeleteOptions::default());
    let expected =
        format!("403 ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '{vhost}' not allowed");
    assert_eq!(refused(deleted.await), expected);
}

#[tokio::test]
async fn an_exchange_in_use_is_not_deleted_if_unused_was_asked() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.exchange("orders", ExchangeKind::Direct, table([])).await;
    client.plain_queue("queue").await;
    client.bind("queue", "orders", "k", table([])).await;
    let if_unused = ExchangeDeleteOptions {
        if_unused: true,
        ..ExchangeDeleteOptions::default()
    };
    let vhost = broker.vhost_name();
    let expected = format!("406 PRECONDITION_FAILED - exchange 'orders' in vhost '{vhost}' in use");
    assert_eq!(
        refused(client.exchange_delete("orders".into(), if_unused).await),
        expected
    );
}

/// `queue.bind` or `queue.unbind` with arguments in just this order.
fn binding(queue: &str, exchange: &str, bind: bool, arguments: &[(&str, &str)]) -> Vec<u8> {
    let fields: Vec<u8> = arguments
        .iter()
        .flat_map(|(name, value)| [&short(name)[..], b"S", &long(value)].concat())
        .collect();
    let nowait: &[u8] = if bind { &[0] } else { &[] };
    let length = u32::try_from(fields.len()).expect("short").to_be_bytes();
    let ends = [&[0, 0][..], &short(queue), &short(exchange), &short(""), nowait].concat();
    [&ends[..], &length, &fields].concat()
}

#[tokio::test]
async fn a_binding_is_the_same_whatever_the_order_of_its_arguments() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("q").await;
    let mut raw = Raw::open(&broker.amqp, broker.vhost_name(), 0);
    raw.method(1, (20, 10), &[0]);
    raw.expect(20, 11);
    let (all, a, b) = (("x-match", "all"), ("a", "1"), ("b", "2"));
    for order in [[all, a, b], [b, a, all]] {
        raw.method(1, (50, 20), &binding("q", "amq.headers", true, &order));
        raw.expect(50, 21);
    }
    let properties = headers([("a", text("1")), ("b", text("2"))]);
    let hit = routed(&client, "amq.headers", "", properties.clone(), &["q"]).await;
    assert_eq!(hit, ["q"]);
    raw.method(1, (50, 50), &binding("q", "amq.headers", false, &[a, all, b]));
    raw.expect(50, 51);
    let hit = routed(&client, "amq.headers", "", properties, &["q"]).await;
    assert_eq!(hit, Vec::<String>::new(), "a binding is left");
}

#[tokio::test]
async fn headers_compare_by_value_across_types() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let bytes = |value: &str| AMQPValue::ByteArray(value.as_bytes().to_vec().into());
    let bound = [
        ("text", text("5")),
        ("bytes", bytes("5")),
        ("short", AMQPValue::ShortInt(5)),
        ("float", AMQPValue::Float(5.0)),
    ];
    for (queue, value) in &bound {
        client.plain_queue(queue).await;
        let arguments = table([("x-match", text("all")), ("n", value.clone())]);
        client.bind(queue, "amq.headers", "", arguments).await;
    }
    let queues = bound.each_ref().map(|(queue, _)| *queue);
    for (sent, expected) in [
        (text("5"), &["text", "bytes"][..]),
        (bytes("5"), &["text", "bytes"]),
        (AMQPValue::LongLongInt(5), &["short"]),
        (AMQPValue::Double(5.0), &["float"]),
    ] {
        let properties = headers([("n", sent.clone())]);
        let hit = routed(&client, "amq.headers", "", properties, &queues).await;
        assert_eq!(hit, expected, "{sent:?}");
    }
}
