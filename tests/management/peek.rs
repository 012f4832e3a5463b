//! Messages looked at without being taken.

use serde_json::{Value, json};

use crate::support::*;

fn look(broker: &Broker, queue: &str, query: &str) -> Value {
    let path = format!("/api/queues/%2f/{queue}/messages?{query}");
    broker.http().get(&path).expect_status(200).json()
}

fn bodies(seen: &Value) -> Vec<String> {
    let messages = seen["messages"].as_array().expect("a list").iter();
    messages
        .map(|message| message["body"].as_str().expect("a text").to_owned())
        .collect()
}

async fn queue(broker: &Broker, kind: &str) -> (Client, String) {
    let client = broker.client().await;
    let name = unique(kind);
    client.queue(&name, table([("x-queue-type", text(kind))])).await;
    (client, name)
}

#[tokio::test]
async fn ready_messages_are_seen_and_stay_as_they_are() {
    let broker = Broker::start();
    for kind in ["classic", "quorum"] {
        let (client, name) = queue(&broker, kind).await;
        for number in 1..=5 {
            let properties = headers([("n", self::number(number))]);
            let body = format!("m{number}");
            assert!(client.publish("amq.direct", "x", "lost", persistent()).await.is_ack());
            assert!(client.publish("", &name, &body, properties).await.is_ack());
        }
        let seen = look(&broker, &name, "count=3");
        assert_eq!(bodies(&seen), ["m1", "m2", "m3"], "{kind}");
        let first = &seen["messages"][0];
        assert_eq!(
            (
                &first["state"],
                &first["redelivered"],
                &first["delivery_count"],
                &first["held_by"]
            ),
            (&json!("ready"), &json!(false), &json!(0), &Value::Null)
        );
        assert_eq!((&first["exchange"], &first["routing_key"]), (&json!(""), &json!(name)));
        assert_eq!(first["properties"]["headers"]["n"], 1);
        assert!(first["enqueued_at"].as_u64().is_some(), "{first}");
        let rest = look(&broker, &name, &format!("from={}", seen["next"]));
        assert_eq!(
            (bodies(&rest), &rest["next"]),
            (vec!["m4".into(), "m5".into()], &Value::Null)
        );
        assert_eq!(bodies(&look(&broker, &name, "match=m4")), ["m4"]);
        let by_header = look(&broker, &name, "match=header:n=2");
        assert_eq!(
            (bodies(&by_header), &by_header["scanned"]),
            (vec!["m2".into()], &json!(5))
        );
        let cut = look(&broker, &name, "body_bytes=1&count=1");
        assert_eq!(
            (bodies(&cut), &cut["messages"][0]["body_bytes"]),
            (vec!["m".into()], &json!(2))
        );
        let position = &rest["messages"][0]["position"];
        let path = format!("/api/queues/%2f/{name}/messages/{position}");
        assert_eq!(broker.http().get(&path).expect_status(200).json()["body"], "m4");
        broker
            .http()
            .get(&format!("/api/queues/%2f/{name}/messages/999999"))
            .expect_status(404);
        // Nothing of it can be seen by whoever takes them.
        assert_eq!(
            client.take(&name).await,
            ["m1", "m2", "m3", "m4", "m5"],
            "none is redelivered"
        );
    }
}

#[tokio::test]
async fn what_clients_hold_is_seen_with_who_has_it() {
    let broker = Broker::start();
    for kind in ["classic", "quorum"] {
        let (client, name) = queue(&broker, kind).await;
        let mut consumer = client.consume(&name).await;
        client.send_all(&name, ["m1"]).await;
        let held = next(&mut consumer).await;
        let seen = look(&broker, &name, "state=unacked");
        assert_eq!(bodies(&seen), ["m1"], "{kind}");
        let by = &seen["messages"][0]["held_by"];
        assert_eq!(by["consumer_tag"], consumer.tag().as_str(), "{seen}");
        assert!(by["channel"].as_str().is_some_and(|name| name.contains(" -> ")), "{by}");
        assert!(by["since"].as_u64().is_some(), "{by}");
        assert_eq!(bodies(&look(&broker, &name, "state=ready")), [""; 0]);
        ack(&held).await;
        until("the queue is empty", || {
            bodies(&look(&broker, &name, "state=unacked")).is_empty()
        })
        .await;
    }
}

/// Bodies that are only on the disk are shown too, and do not come into memory for it.
#[tokio::test]
async fn a_long_queue_is_seen_to_its_end() {
    let broker = Broker::start();
    for kind in ["classic", "quorum"] {
        let (client, name) = queue(&broker, kind).await;
        let large = "x".repeat(256 * 1024);
        for number in 0..160 {
            let body = format!("{number:03}{large}");
            assert!(client.publish("", &name, &body, persistent()).await.is_ack());
        }
        let memory = |broker: &Broker| broker.http().get(&format!("/api/queues/%2f/{name}")).json()["memory"].clone();
        let before = memory(&broker);
        let seen = look(&broker, &name, "from=100&count=3&body_bytes=3");
        assert_eq!(bodies(&seen), ["099", "100", "101"], "{kind}");
        let all = look(&broker, &name, "count=200&body_bytes=65536");
        let shown = bodies(&all).len();
        assert!((30..40).contains(&shown), "{shown} of 64 KiB each");
        assert_eq!(all["next"], shown + 1, "and it says where to go on");
        assert_eq!(memory(&broker), before);
        broker
            .http()
            .delete(&format!("/api/queues/%2f/{name}"))
            .expect_status(204);
    }
}

#[tokio::test]
async fn who_may_not_read_may_not_look() {
    let broker = Broker::start();
    let http = broker.http();
    http.put("/api/queues/%2f/secret", "{}").expect_status(201);
    http.put("/api/users/u", r#"{"password":"p","tags":"management"}"#)
        .expect_status(201);
    let rights = r#"{"configure":".*","write":".*","read":"^public"}"#;
    http.put("/api/permissions/%2f/u", rights).expect_status(201);
    let theirs = Http::as_user(broker.management.as_ref().expect("the API"), "u", "p");
    theirs.get("/api/queues/%2f/secret/messages").expect_status(401);
    theirs.get("/api/queues/%2f/secret/messages/1").expect_status(401);
    for query in ["from=x", "count=-1", "state=dead", "body_bytes=much"] {
        http.get(&format!("/api/queues/%2f/secret/messages?{query}"))
            .expect_status(400);
    }
    http.get("/api/queues/%2f/none/messages").expect_status(404);
}
