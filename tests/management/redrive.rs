//! Messages moved by jobs: exactly those that the dry run says, and never in a circle.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::*;

/// The queue `work` whose rejected messages go to `dead`.
async fn dead_letters(broker: &Broker, kind: &str, bodies: &[String]) -> Client {
    let client = broker.client().await;
    let kind = || ("x-queue-type", text(kind));
    client.queue("dead", table([kind()])).await;
    client.queue("work", dying_to("dead", [kind()])).await;
    client.exchange("shop", lapin::ExchangeKind::Topic, table([])).await;
    client.bind("work", "shop", "#", table([])).await;
    let mut consumer = client.consume("work").await;
    for body in bodies {
        assert!(client.publish("shop", "order.paid", body, persistent()).await.is_ack());
        discard(&next(&mut consumer).await).await;
    }
    client.cancel(&consumer).await;
    let all = bodies.len() as u64;
    let ready = || broker.http().get("/api/queues/%2f/dead").json()["messages_ready"].as_u64();
    until("all are dead", || ready() == Some(all)).await;
    client
}

fn redrive(broker: &Broker, queue: &str, wish: Value) -> Value {
    let answer = broker
        .http()
        .post(&format!("/api/queues/%2f/{queue}/redrive"), &wish.to_string());
    answer.expect_status(200).json()
}

/// Waits until a job has ended.
fn ended(broker: &Broker, begun: &Value) -> Value {
    let end = Instant::now() + PATIENCE;
    let path = format!("/api/jobs/{}", begun["job"].as_str().expect("a job"));
    loop {
        let job = broker.http().get(&path).expect_status(200).json();
        if job["state"] != "running" {
            return job;
        }
        assert!(Instant::now() < end, "{job}");
    }
}

#[tokio::test]
async fn a_redrive_takes_messages_back_where_they_died_and_no_others() {
    for kind in ["classic", "quorum"] {
        let broker = Broker::start();
        let bodies: Vec<_> = (0..100).map(|number| format!("m{number:02}")).collect();
        let client = dead_letters(&broker, kind, &bodies).await;
        client.send_all("dead", ["never died"]).await;
        let dry = redrive(&broker, "dead", json!({"to": "origin", "dry_run": true}));
        assert_eq!(
            dry,
            json!({"would": [{"exchange": "", "routing_key": "work", "count": 100}], "unroutable": 1, "loops": 0}),
            "{kind}"
        );
        assert_eq!(client.ready("work").await, 0, "nothing is moved yet");
        let job = ended(&broker, &redrive(&broker, "dead", json!({"to": "origin"})));
        assert_eq!(
            (&job["state"], &job["kind"], &job["done"], &job["of"], &job["by"]),
            (
                &json!("done"),
                &json!("redrive"),
                &json!(100),
                &json!(100),
                &json!("guest")
            )
        );
        let first = client.got("work").await;
        assert_eq!(
            (first.exchange.as_str(), first.routing_key.as_str()),
            ("shop", "order.paid")
        );
        assert!(
            !first.redelivered && deaths(&first).len() == 1,
            "as it was, with its history"
        );
        discard(&first).await;
        let mut taken = client.take("work").await;
        taken.insert(0, "m00".to_owned());
        assert_eq!(taken, bodies, "in their order");
        let left = client.wait_for("dead", 2).await;
        // Quorum queues tell one another how often a message was delivered.
        let died_again = if kind == "quorum" { "m00 (redelivered)" } else { "m00" };
        assert_eq!(left, ["never died", died_again]);
    }
}

#[tokio::test]
async fn those_that_died_within_a_time_are_taken_back() {
    let broker = Broker::start();
    let client = dead_letters(&broker, "classic", &["old".to_owned()]).await;
    let seen = broker.http().get("/api/queues/%2f/dead/messages").json();
    let died = seen["messages"][0]["properties"]["headers"]["x-death"][0]["time"].as_u64();
    let died = died.expect("seconds") * 1000;
    client.send_all("dead", ["never died"]).await;
    let count = |which: Value| {
        let dry = redrive(
            &broker,
            "dead",
            json!({"to": "origin", "which": which, "dry_run": true}),
        );
        let would = dry["would"].as_array().cloned().unwrap_or_default();
        would.iter().filter_map(|each| each["count"].as_u64()).sum::<u64>()
    };
    assert_eq!(count(json!({"died": {"since": died}})), 1);
    assert_eq!(count(json!({"died": {"since": died, "until": died + 1000}})), 1);
    assert_eq!(count(json!({"died": {"until": died}})), 0);
    assert_eq!(count(json!({"died": {"since": died + 1000}})), 0);
    assert_eq!(count(json!({"match": "old", "died": {"since": died}})), 1);
    assert_eq!(count(json!({"match": "new", "died": {"since": died}})), 0);
    let bad = json!({"to": "origin", "which": {"died": {"since": "yesterday"}}});
    broker
        .http()
        .post("/api/queues/%2f/dead/redrive", &bad.to_string())
        .expect_status(400);
    let begun = redrive(
        &broker,
        "dead",
        json!({"to": "origin", "which": {"died": {"since": died}}}),
    );
    assert_eq!(ended(&broker, &begun)["done"], 1);
    assert_eq!(client.take("work").await, ["old"]);
    assert_eq!(client.take("dead").await, ["never died"]);
}

#[tokio::test]
async fn chosen_messages_are_moved_and_none_into_its_own_queue() {
    let broker = Broker::start();
    let client = broker.client().await;
    client.plain_queue("from").await;
    client.plain_queue("to").await;
    client.send_all("from", ["a1", "b1", "a2", "b2", "a3"]).await;
    let to = json!({"exchange": "", "routing_key": "to"});
    let dry = redrive(
        &broker,
        "from",
        json!({"to": to, "which": {"match": "b"}, "dry_run": true}),
    );
    assert_eq!(dry["would"], json!([{"exchange": "", "routing_key": "to", "count": 2}]));
    ended(
        &broker,
        &redrive(&broker, "from", json!({"to": to, "which": {"match": "b"}})),
    );
    assert_eq!(client.take("to").await, ["b1", "b2"]);
    let seen = broker.http().get("/api/queues/%2f/from/messages").json();
    let position = seen["messages"][1]["position"].as_u64().expect("a position");
    let one = json!({"to": to, "which": {"positions": [position, position + 1000]}});
    let job = ended(&broker, &redrive(&broker, "from", one));
    assert_eq!(
        (&job["kind"], &job["done"], &job["of"]),
        (&json!("move"), &json!(1), &json!(1))
    );
    assert_eq!(client.take("to").await, ["a2"]);
    // Its own queue is no target, nor an exchange that leads there.
    client.exchange("round", lapin::ExchangeKind::Fanout, table([])).await;
    client.bind("from", "round", "", table([])).await;
    client.bind("to", "round", "", table([])).await;
    let round = json!({"to": {"exchange": "round"}, "dry_run": true});
    assert_eq!(
        redrive(&broker, "from", round),
        json!({"would": [], "unroutable": 0, "loops": 2})
    );
    let nowhere = json!({"to": {"exchange": "", "routing_key": "none"}, "dry_run": true});
    assert_eq!(redrive(&broker, "from", nowhere)["unroutable"], 2);
    // One that refuses leaves them where they are.
    let full = table([("x-max-length", number(1)), ("x-overflow", text("reject-publish"))]);
    client.queue("full", full).await;
    let refused = ended(
        &broker,
        &redrive(&broker, "from", json!({"to": {"exchange": "", "routing_key": "full"}})),
    );
    assert_eq!((&refused["done"], &refused["failed_count"]), (&json!(1), &json!(1)));
    assert_eq!(refused["failed"][0]["reason"], "a queue did not take it");
    assert_eq!(client.wait_for("from", 1).await, ["a3 (redelivered)"]);
    for wish in [
        json!({}),
        json!({"to": "nowhere"}),
        json!({"to": "origin", "which": "some"}),
        json!({"to": "origin", "which": {"positions": ["x"]}}),
        json!({"to": "origin", "rate": 0}),
    ] {
        let answer = broker.http().post("/api/queues/%2f/from/redrive", &wish.to_string());
        answer.expect_status(400);
    }
}

#[tokio::test]
async fn a_job_keeps_to_its_rate_and_is_stopped_and_forgotten() {
    let broker = Broker::start();
    let client = broker.client().await;
    client.plain_queue("from").await;
    client.plain_queue("to").await;
    for _ in 0..50 {
        client.send_all("from", ["m"]).await;
    }
    let slow = json!({"to": {"exchange": "", "routing_key": "to"}, "rate": 1});
    let begun = redrive(&broker, "from", slow);
    let path = format!("/api/jobs/{}", begun["job"].as_str().expect("a job"));
    assert_eq!(broker.http().get("/api/jobs").json()[0]["id"], begun["job"]);
    broker.http().delete(&path).expect_status(204);
    let job = ended(&broker, &begun);
    assert_eq!(job["state"], "stopped");
    assert!(job["done"].as_u64().is_some_and(|done| done < 50), "{job}");
    let moved = client.ready("to").await;
    assert_eq!(u64::from(moved), job["done"].as_u64().expect("a count"));
    assert_eq!(moved + client.ready("from").await, 50, "none is lost");
    broker.http().delete(&path).expect_status(204);
    broker.http().get(&path).expect_status(404);
    broker.http().delete(&path).expect_status(404);
}

#[tokio::test]
async fn many_queues_are_purged_and_deleted_by_jobs() {
    let broker = Broker::start();
    let client = broker.client().await;
    for queue in ["a1", "a2", "b1"] {
        client.plain_queue(queue).await;
        client.send_all(queue, ["m"]).await;
    }
    let begin = |wish: Value| broker.http().post("/api/jobs", &wish.to_string());
    let purged = begin(json!({"kind": "purge", "vhost": "/", "pattern": "^a"}))
        .expect_status(200)
        .json();
    let job = ended(&broker, &purged);
    assert_eq!(
        (&job["kind"], &job["done"], &job["of"]),
        (&json!("purge"), &json!(2), &json!(2))
    );
    assert_eq!((client.ready("a1").await, client.ready("b1").await), (0, 1));
    let deleted = begin(json!({"kind": "delete", "vhost": "/", "queues": ["a2", "none", "b1"]}));
    let job = ended(&broker, &deleted.expect_status(200).json());
    assert_eq!((&job["state"], &job["done"]), (&json!("done"), &json!(2)));
    assert_eq!(
        (&job["failed"][0]["what"], &job["failed_count"]),
        (&json!("none"), &json!(1))
    );
    broker.http().get("/api/queues/%2f/a1").expect_status(200);
    broker.http().get("/api/queues/%2f/b1").expect_status(404);
    begin(json!({"kind": "burn", "vhost": "/", "pattern": "."})).expect_status(400);
    begin(json!({"kind": "purge", "vhost": "none", "pattern": "."})).expect_status(404);
    begin(json!({"kind": "purge", "vhost": "/"})).expect_status(400);
    // Another user sees no jobs that are not its own, and may not what it may not by itself.
    broker
        .http()
        .put("/api/users/u", r#"{"password":"p","tags":"management"}"#)
        .expect_status(201);
    let rights = r#"{"configure":"","write":"","read":""}"#;
    broker.http().put("/api/permissions/%2f/u", rights).expect_status(201);
    let theirs = Http::as_user(broker.management.as_ref().expect("the API"), "u", "p");
    assert_eq!(theirs.get("/api/jobs").expect_status(200).json(), json!([]));
    let wish = json!({"kind": "purge", "vhost": "/", "queues": ["a1"]}).to_string();
    let begun = theirs.post("/api/jobs", &wish).expect_status(200).json();
    let job = ended(&broker, &begun);
    assert_eq!((&job["done"], &job["failed_count"]), (&json!(0), &json!(1)));
    let wish = json!({"to": "origin"}).to_string();
    theirs.post("/api/queues/%2f/a1/redrive", &wish).expect_status(401);
}
