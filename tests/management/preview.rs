//! What would follow from policies, definitions and a rebalance, before they are done.

use serde_json::{Value, json};

use crate::support::*;

#[tokio::test]
async fn a_policy_says_what_it_would_change_and_drop() {
    let broker = Broker::start();
    let http = broker.http();
    let client = broker.client().await;
    for queue in ["log.a", "log.b", "mail"] {
        client.plain_queue(queue).await;
    }
    client.send_all("log.a", ["m1", "m2", "m3"]).await;
    http.put(
        "/api/policies/%2f/strong",
        r#"{"pattern":"^log\\.b","definition":{"max-length":9},"priority":5}"#,
    )
    .expect_status(201);
    let ask = |body: Value| {
        http.post("/api/policies/%2f/cap/preview", &body.to_string())
            .expect_status(200)
            .json()
    };
    let cap = json!({"pattern": "^log", "apply-to": "queues", "definition": {"max-length": 1}});
    assert_eq!(
        ask(cap.clone()),
        json!({
            "matches": 2,
            "wins": 1,
            "loses": [{"policy": "strong", "count": 1}],
            "changes": 1,
            "drops": 2,
            "sample": [{"kind": "queue", "name": "log.a", "now": {}, "then": {"max-length": 1}, "drops": 2}],
            "errors": [],
        })
    );
    http.get("/api/policies/%2f/cap").expect_status(404);
    assert_eq!(client.ready("log.a").await, 3, "nothing is done");
    http.put("/api/policies/%2f/cap", &cap.to_string()).expect_status(201);
    until("the policy drops", || {
        http.get("/api/queues/%2f/log.a").json()["messages_ready"] == 1
    })
    .await;
    // With another pattern what it applied to loses it.
    let other = ask(json!({"pattern": "^mail", "definition": {"max-length": 1}}));
    assert_eq!((&other["matches"], &other["changes"]), (&json!(1), &json!(2)));
    let bad = ask(json!({"pattern": "(", "definition": {"max-length": -1}}));
    assert_eq!(bad["errors"].as_array().map(Vec::len), Some(1), "{bad}");
    let operator = json!({"pattern": "", "apply-to": "queues", "definition": {"max-length": 2}}).to_string();
    let operator = http
        .post("/api/operator-policies/%2f/op/preview", &operator)
        .expect_status(200)
        .json();
    assert_eq!(operator["matches"], 3);
    assert_eq!(
        operator["sample"][0]["then"],
        json!({"max-length": 2}),
        "of log.b: its own is higher"
    );
    http.post("/api/policies/none/x/preview", "{}").expect_status(404);
}

#[test]
fn definitions_say_what_they_would_change() {
    let broker = Broker::start();
    let http = broker.http();
    http.put("/api/queues/%2f/same", r#"{"durable":true}"#)
        .expect_status(201);
    http.put("/api/exchanges/%2f/x", r#"{"type":"topic","durable":true}"#)
        .expect_status(201);
    http.put(
        "/api/policies/%2f/p",
        r#"{"pattern":"^a","definition":{"max-length":1}}"#,
    )
    .expect_status(201);
    let mut document = http.get("/api/definitions").json();
    let dry = |document: &Value| {
        let answer = http.post("/api/definitions?dry_run=true", &document.to_string());
        answer.expect_status(200).json()
    };
    assert_eq!(dry(&document), json!({"create": [], "change": [], "conflict": []}));
    document["exchanges"][0]["type"] = json!("fanout");
    let queue = json!({"name": "new", "vhost": "/", "durable": true, "auto_delete": false, "arguments": {}});
    document["queues"].as_array_mut().expect("a list").push(queue);
    document["policies"][0]["definition"]["max-length"] = json!(2);
    let would = dry(&document);
    assert_eq!(
        (&would["create"][0]["kind"], &would["create"][0]["name"]),
        (&json!("queue"), &json!("/ new"))
    );
    assert_eq!(
        (&would["change"][0]["kind"], &would["change"][0]["name"]),
        (&json!("policy"), &json!("/ p"))
    );
    let conflict = &would["conflict"][0];
    assert_eq!(conflict["name"], "/ x");
    assert!(!would.to_string().contains("password_hash"), "{would}");
    http.get("/api/queues/%2f/new").expect_status(404);
    http.post("/api/definitions?dry_run=true", r#"{"queues":5}"#)
        .expect_status(400);
}

#[tokio::test]
async fn a_part_of_the_topology_is_cut_out() {
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
    client.plain_queue("dead").await;
    client.queue("orders", dying_to("dead", [])).await;
    client.bind("orders", "shop", "order.#", table([])).await;
    client.bind("orders", "shop", "paid.#", table([])).await;
    client.plain_queue("far").await;
    client.bind("far", "rest", "", table([])).await;
    let ask = |query: &str| broker.http().get(&format!("/api/topology/%2f?{query}"));
    let ids = |answer: &Value| -> Vec<String> {
        let nodes = answer["nodes"].as_array().expect("a list").iter();
        nodes
            .map(|node| node["id"].as_str().expect("an id").to_owned())
            .collect()
    };
    let near = ask("around=queue:orders&hops=1").expect_status(200).json();
    assert_eq!(ids(&near), ["exchange:shop", "queue:dead", "queue:orders"]);
    let edges = near["edges"].as_array().expect("a list");
    let bound = edges.iter().find(|edge| edge["kind"] == "binding").expect("a binding");
    assert_eq!(
        (&bound["from"], &bound["to"], &bound["count"]),
        (&json!("exchange:shop"), &json!("queue:orders"), &json!(2))
    );
    assert!(
        edges
            .iter()
            .any(|edge| edge["kind"] == "dead_letter" && edge["to"] == "queue:dead")
    );
    let all = ask("").expect_status(200).json();
    assert_eq!(ids(&all).len(), 5, "{all}");
    assert_eq!(
        (&all["left_out"], &all["nodes"][2]["health"]),
        (&json!(0), &json!("ok"))
    );
    let cut = ask("around=shop&limit=2").expect_status(200).json();
    assert_eq!(cut["left_out"], 2, "{cut}");
    assert!(ids(&cut).contains(&"group:exchange:shop".to_owned()), "{cut}");
    ask("around=none").expect_status(404);
    ask("hops=x").expect_status(400);
}
