//! What the console asks for beside RabbitMQ's API: arguments, search, notices, the cluster.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{Broker, Http, PATIENCE};

#[test]
fn forms_learn_what_queues_exchanges_and_policies_take() {
    let broker = Broker::start();
    let arguments = broker.http().get("/api/arguments").expect_status(200).json();
    let row = |of: &str, name: &str| {
        let rows = arguments[of].as_array().expect("a list");
        rows.iter()
            .find(|row| row["name"] == name)
            .expect("it is there")
            .clone()
    };
    let ttl = row("queue", "x-message-ttl");
    assert_eq!(
        (&ttl["type"], &ttl["on"], &ttl["policy"]),
        (
            &json!("milliseconds"),
            &json!(["classic", "quorum"]),
            &json!("message-ttl")
        )
    );
    assert_eq!(
        row("queue", "x-queue-type")["values"],
        json!(["classic", "quorum", "stream"])
    );
    assert_eq!(row("exchange", "hash-property")["on"], json!(["x-consistent-hash"]));
    assert_eq!(row("policy", "max-length")["operator"], true);
    assert_eq!(arguments["limits"]["user"][1]["name"], "max-channels");
}

fn found(http: &Http, query: &str) -> Vec<String> {
    let hits = http.get(&format!("/api/search?{query}")).expect_status(200).json();
    let hits = hits.as_array().expect("a list").iter();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    hits.map(|hit| format!("{} {} {}", text(&hit["kind"]), text(&hit["vhost"]), text(&hit["name"])))
        .collect()
}

#[tokio::test]
async fn a_search_finds_what_its_user_may_see() {
    let broker = Broker::start();
    let http = broker.http();
    http.put("/api/vhosts/paint", "{}").expect_status(201);
    http.put("/api/queues/paint/paint.red", "{}").expect_status(201);
    http.put("/api/queues/%2f/unpainted", "{}").expect_status(201);
    http.put("/api/exchanges/%2f/paint", r#"{"type":"topic"}"#)
        .expect_status(201);
    http.put("/api/users/painter", r#"{"password":"p","tags":"management"}"#)
        .expect_status(201);
    let none = r#"{"configure":"","write":"","read":""}"#;
    http.put("/api/permissions/%2f/painter", none).expect_status(201);
    assert_eq!(
        found(&http, "q=paint"),
        [
            "exchange / paint",
            "vhost - paint",
            "user - painter",
            "queue paint paint.red",
            "queue / unpainted"
        ]
    );
    assert_eq!(found(&http, "q=PAINT&limit=1"), ["exchange / paint"]);
    assert_eq!(found(&http, "q="), [""; 0]);
    let theirs = Http::as_user(broker.management.as_ref().expect("the API"), "painter", "p");
    assert_eq!(found(&theirs, "q=paint"), ["exchange / paint", "queue / unpainted"]);
    let connection = broker.connect().await;
    let by_port = found(&http, "q=127.0.0.1");
    assert_eq!(by_port.len(), 1, "{by_port:?}");
    assert!(by_port[0].starts_with("connection / 127.0.0.1:"), "{by_port:?}");
    assert_eq!(found(&theirs, "q=127.0.0.1"), [""; 0], "it is another user's");
    drop(connection);
}

#[test]
fn an_alarm_and_a_setting_without_effect_are_notices() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("low.conf");
    let text = "vm_memory_high_watermark.absolute = 1KB\nvm_memory_high_watermark_paging_ratio = 0.5\n";
    std::fs::write(&config, text).expect("written");
    let broker = Broker::start_with(&["--config", config.to_str().expect("text")]);
    let end = Instant::now() + PATIENCE;
    let notices = loop {
        let notices = broker.http().get("/api/notices").expect_status(200).json();
        if notices[0]["code"] == "memory_alarm" {
            break notices;
        }
        assert!(Instant::now() < end, "no alarm: {notices}");
    };
    let alarm = &notices[0];
    assert_eq!(
        (&alarm["level"], &alarm["subject"]["kind"]),
        (&json!("bad"), &json!("node"))
    );
    assert!(alarm["since"].as_u64().is_some_and(|since| since > 0), "{alarm}");
    assert!(
        alarm["link"]
            .as_str()
            .is_some_and(|link| link.starts_with("#/nodes/rabbit%40")),
        "{alarm}"
    );
    let all = notices.as_array().expect("a list");
    let setting = all
        .iter()
        .find(|notice| notice["code"] == "configuration")
        .expect("the setting");
    assert_eq!(setting["level"], "info");
    let said = setting["text"].as_str().expect("a text");
    assert!(
        said.contains("vm_memory_high_watermark_paging_ratio has no effect"),
        "{said}"
    );
    // Files are nothing for those who may not look at nodes.
    let user = r#"{"password":"p","tags":"management"}"#;
    broker.http().put("/api/users/clerk", user).expect_status(201);
    let clerk = Http::as_user(broker.management.as_ref().expect("the API"), "clerk", "p");
    let theirs = clerk.get("/api/notices").expect_status(200).json();
    let theirs: Vec<_> = theirs
        .as_array()
        .expect("a list")
        .iter()
        .map(|notice| &notice["code"])
        .collect();
    assert_eq!(theirs, ["memory_alarm"]);
    clerk.get("/api/cluster").expect_status(401);
}

#[test]
fn a_node_alone_is_a_cluster_with_what_it_leads() {
    let broker = Broker::start();
    let http = broker.http();
    for queue in ["a", "b"] {
        http.put(&format!("/api/queues/%2f/{queue}"), "{}").expect_status(201);
    }
    let cluster = http.get("/api/cluster").expect_status(200).json();
    let node = &cluster["nodes"][0];
    assert_eq!(
        (&node["running"], &node["leaders"], &node["members"]),
        (&json!(true), &json!(2), &json!(2))
    );
    assert_eq!((&node["links"], &cluster["at_risk"]), (&json!({}), &json!([])));
}
