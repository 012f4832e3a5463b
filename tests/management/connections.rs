//! Connections, channels and consumers of clients.

use lapin::options::{BasicConsumeOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use serde_json::json;

use crate::support::{Broker, PATIENCE};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_seen_with_its_channels_and_consumers() {
    let broker = Broker::start();
    let client = broker.client().await;
    let exclusive = QueueDeclareOptions {
        exclusive: true,
        ..QueueDeclareOptions::default()
    };
    let declared = client
        .channel
        .queue_declare("own".into(), exclusive, FieldTable::default());
    declared.await.expect("declared");
    let consumed = client.channel.basic_consume(
        "own".into(),
        "tag".into(),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    );
    let _consumer = consumed.await.expect("consumes");
    let http = broker.http();
    let connections = http.get("/api/connections").expect_status(200).json();
    let connection = &connections[0];
    let name = connection["name"].as_str().expect("a name").to_owned();
    assert_eq!(
        (&connection["user"], &connection["vhost"]),
        (&json!("guest"), &json!("/"))
    );
    assert_eq!(
        (&connection["state"], &connection["channels"]),
        (&json!("running"), &json!(1))
    );
    assert_eq!(connection["protocol"], "AMQP 0-9-1");
    let channels = http.get("/api/channels").expect_status(200).json();
    assert_eq!(channels[0]["name"], format!("{name} (1)"));
    assert_eq!(
        (&channels[0]["confirm"], &channels[0]["consumer_count"]),
        (&json!(true), &json!(1))
    );
    let path = format!("/api/channels/{}%20(1)", name.replace(' ', "%20").replace('>', "%3E"));
    let channel = http.get(&path).expect_status(200).json();
    assert_eq!(channel["consumer_details"][0]["consumer_tag"], "tag");
    let consumers = http.get("/api/consumers").expect_status(200).json();
    assert_eq!(consumers[0]["consumer_tag"], "tag");
    assert_eq!(consumers[0]["channel_details"]["connection_name"], name);
    assert_eq!(consumers[0]["queue"], json!({"name": "own", "vhost": "/"}));
    let queue = http.get("/api/queues/%2f/own").expect_status(200).json();
    assert_eq!((&queue["exclusive"], &queue["consumers"]), (&json!(true), &json!(1)));
    assert_eq!(queue["owner_pid_details"]["name"], name);
    let refused = http.delete("/api/queues/%2f/own");
    assert!(refused.expect_status(400).body.contains("locked queue 'own'"));
    let objects = http.get("/api/overview").json()["object_totals"].clone();
    assert_eq!(
        objects,
        json!({"channels": 1, "consumers": 1, "exchanges": 8, "queues": 1, "connections": 1})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_closed_over_http() {
    let broker = Broker::start();
    let client = broker.client().await;
    let http = broker.http();
    let exclusive = QueueDeclareOptions {
        exclusive: true,
        ..QueueDeclareOptions::default()
    };
    let auto_delete = QueueDeclareOptions {
        auto_delete: true,
        ..QueueDeclareOptions::default()
    };
    let mut consumers = Vec::new();
    for (name, options) in [("own", exclusive), ("brief", auto_delete)] {
        let declared = client
            .channel
            .queue_declare(name.into(), options, FieldTable::default());
        declared.await.expect("declared");
        let consumed = client.channel.basic_consume(
            name.into(),
            name.into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        consumers.push(consumed.await.expect("consumes"));
    }
    let connections = http.get("/api/connections").json();
    let name = connections[0]["name"]
        .as_str()
        .expect("a name")
        .replace(' ', "%20")
        .replace('>', "%3E");
    http.delete(&format!("/api/connections/{name}")).expect_status(204);
    for queue in ["own", "brief"] {
        // What went with it is gone.
        http.get(&format!("/api/queues/%2f/{queue}")).expect_status(404);
    }
    let gone = async {
        while client.connection.status().connected() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("closed");
    http.delete("/api/connections/missing").expect_status(404);
}
