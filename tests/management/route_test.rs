//! The route tester agrees with what a published message does.

use std::collections::BTreeSet;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::support::*;

fn asked(broker: &Broker, body: &Value) -> Value {
    let answer = broker.http().post("/api/route/%2f", &body.to_string());
    answer.expect_status(200).json()
}

fn names(answer: &Value) -> BTreeSet<String> {
    let queues = answer["queues"].as_array().expect("a list").iter();
    queues
        .map(|queue| queue["name"].as_str().expect("a name").to_owned())
        .collect()
}

#[tokio::test]
async fn a_route_says_which_bindings_took_a_message_and_where_it_goes_when_it_dies() {
    let broker = Broker::start();
    let client = broker.client().await;
    client
        .exchange(
            "shop",
            lapin::ExchangeKind::Topic,
            table([("alternate-exchange", text("rest"))]),
        )
        .await;
    client.exchange("rest", lapin::ExchangeKind::Fanout, table([])).await;
    client.exchange("dlx", lapin::ExchangeKind::Fanout, table([])).await;
    client.plain_queue("dead").await;
    client.bind("dead", "dlx", "", table([])).await;
    let dying = table([
        ("x-dead-letter-exchange", text("dlx")),
        ("x-max-length", number(1)),
        ("x-overflow", text("reject-publish")),
    ]);
    client.queue("orders", dying).await;
    client.bind("orders", "shop", "order.#", table([])).await;
    client.plain_queue("mails").await;
    client.bind("mails", "shop", "mail.*", table([])).await;
    client.plain_queue("others").await;
    client.bind("others", "rest", "", table([])).await;
    let routed = asked(&broker, &json!({"exchange": "shop", "routing_key": "order.paid"}));
    assert_eq!(routed["outcome"], "routed");
    assert_eq!(
        routed["queues"],
        json!([{"name": "orders", "accepts": true, "why": null, "via": "shop"}])
    );
    let step = &routed["steps"][0];
    assert_eq!(
        (&step["tried"], &step["matched"][0]["binding_key"]),
        (&json!(2), &json!("order.#"))
    );
    assert_eq!(step["missed"][0]["why"], "the routing key does not fit the pattern");
    assert_eq!(
        routed["dead_letter"],
        json!([{"queue": "orders", "exchange": "dlx", "exists": true, "routing_key": "order.paid", "queues": ["dead"]}])
    );
    client.send_all("orders", ["full"]).await;
    let full = asked(&broker, &json!({"exchange": "shop", "routing_key": "order.paid"}));
    assert_eq!(
        (&full["queues"][0]["accepts"], &full["queues"][0]["why"]),
        (&json!(false), &json!("it is full"))
    );
    let other = asked(&broker, &json!({"exchange": "shop", "routing_key": "x"}));
    assert_eq!(
        (&other["steps"][0]["alternate"], &other["queues"][0]["via"]),
        (&json!("rest"), &json!("rest"))
    );
    let copies = json!({"exchange": "", "routing_key": "none", "headers": {"CC": ["mails"]}});
    assert_eq!(names(&asked(&broker, &copies)), ["mails".to_owned()].into());
    let nowhere = asked(&broker, &json!({"exchange": "", "routing_key": "none"}));
    assert_eq!(
        (&nowhere["outcome"], &nowhere["queues"]),
        (&json!("unroutable"), &json!([]))
    );
    for queue in ["mails", "others"] {
        assert_eq!(client.ready(queue).await, 0, "nothing is published");
    }
    let http = broker.http();
    http.post("/api/route/%2f", r#"{"exchange":"no"}"#).expect_status(404);
    http.post("/api/route/none", r#"{"exchange":"no"}"#).expect_status(404);
    http.post("/api/route/%2f", "{}").expect_status(400);
    http.post("/api/route/%2f", r#"{"exchange":"shop","headers":{"CC":1}}"#)
        .expect_status(400);
}

#[tokio::test]
async fn a_route_agrees_with_what_a_published_message_does_over_random_bindings() {
    let seed = std::env::var("WARREN_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(rand::random::<u64>);
    println!("WARREN_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let broker = Broker::start();
    let client = broker.client().await;
    let kinds = ["direct", "fanout", "topic", "headers", "x-consistent-hash"];
    let keys = ["a", "a.b", "#", "*.b", "3"];
    for kind in kinds {
        let custom = lapin::ExchangeKind::Custom(kind.to_owned());
        let alternate = kinds[random.random_range(0..kinds.len())];
        let arguments = match random.random_range(0..3) {
            0 => table([("alternate-exchange", text(&format!("e-{alternate}")))]),
            _ => table([]),
        };
        client.exchange(&format!("e-{kind}"), custom, arguments).await;
    }
    let queues: Vec<_> = (0..6).map(|number| format!("q{number}")).collect();
    for queue in &queues {
        client.plain_queue(queue).await;
    }
    for _ in 0..15 {
        let kind = kinds[random.random_range(0..kinds.len())];
        let key = match kind {
            "x-consistent-hash" => "3",
            _ => keys[random.random_range(0..keys.len())],
        };
        let arguments = match random.random_range(0..2) {
            0 => table([("n", number(random.random_range(0..2))), ("x-match", text("any"))]),
            _ => table([]),
        };
        if random.random_range(0..4) == 0 {
            let to = kinds[random.random_range(0..kinds.len())];
            let bound = client.exchange_bind(
                format!("e-{to}").as_str().into(),
                format!("e-{kind}").as_str().into(),
                key.into(),
                Default::default(),
                arguments,
            );
            bound.await.expect("a binding");
        } else {
            let queue = &queues[random.random_range(0..queues.len())];
            client.bind(queue, &format!("e-{kind}"), key, arguments).await;
        }
    }
    for _ in 0..40 {
        let exchange = format!("e-{}", kinds[random.random_range(0..kinds.len())]);
        let key = keys[random.random_range(0..keys.len())];
        let n = random.random_range(0..2);
        let body = json!({"exchange": exchange, "routing_key": key, "headers": {"n": n}});
        let told = names(&asked(&broker, &body));
        assert!(
            client
                .publish(&exchange, key, "m", headers([("n", number(n))]))
                .await
                .is_ack()
        );
        let mut got = BTreeSet::new();
        for queue in &queues {
            if client.get(queue).await.is_some() {
                got.insert(queue.clone());
            }
        }
        assert_eq!(told, got, "{body}");
    }
}
