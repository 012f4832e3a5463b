//! Events of `amq.rabbitmq.event`, and lines in the log of who changed what.

use lapin::message::Delivery;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};

use crate::support::{Broker, Client, Http, Steps, header, header_text, next, number, table, until};

/// A client whose consumer gets all events.
async fn listener(client: &Client) -> lapin::Consumer {
    client.plain_queue("events").await;
    client
        .bind("events", "amq.rabbitmq.event", "#", FieldTable::default())
        .await;
    client.consume_unacked("events").await
}

/// The next event of that kind; those before it are passed over.
async fn event(events: &mut lapin::Consumer, kind: &str) -> Delivery {
    loop {
        let event = next(events).await;
        assert_eq!(event.exchange.as_str(), "amq.rabbitmq.event");
        if event.routing_key.as_str() == kind {
            return event;
        }
    }
}

/// Waits for a line of the log with all of these, which is written in the background.
async fn logged(broker: &Broker, words: &[&str]) {
    let is_line = |line: &str| words.iter().all(|word| line.contains(word));
    until(&format!("{words:?}"), || broker.log().lines().any(is_line)).await;
}

#[track_caller]
fn expect(event: &Delivery, fields: &[(&str, &str)]) {
    for (name, value) in fields {
        assert_eq!(
            header_text(event, name).as_deref(),
            Some(*value),
            "{name} of {:?}",
            event.properties
        );
    }
    assert!(matches!(header(event, "timestamp_in_ms"), Some(AMQPValue::LongLongInt(at)) if *at > 0));
    assert_eq!(event.properties.delivery_mode(), &Some(2));
    assert!(event.properties.timestamp().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_declared_and_deleted_is_told_with_the_user_who_did_it() {
    let broker = Broker::start();
    let client = broker.client().await;
    let mut events = listener(&client).await;
    let guest = ("user_who_performed_action", "guest");
    client.queue("q", table([("x-max-length", number(7))])).await;
    let created = event(&mut events, "queue.created").await;
    expect(
        &created,
        &[("name", "q"), ("vhost", "/"), ("type", "rabbit_classic_queue"), guest],
    );
    let arguments = header(&created, "arguments")
        .map(crate::support::written)
        .expect("arguments");
    assert!(arguments.contains("{<<\"x-max-length\">>,signedint,7}"), "{arguments}");
    client
        .exchange("x", lapin::ExchangeKind::Topic, FieldTable::default())
        .await;
    let created = event(&mut events, "exchange.created").await;
    expect(&created, &[("name", "x"), ("type", "topic"), guest]);
    client.bind("q", "x", "a.b", FieldTable::default()).await;
    let bound = event(&mut events, "binding.created").await;
    expect(
        &bound,
        &[
            ("source_name", "x"),
            ("destination_name", "q"),
            ("routing_key", "a.b"),
            guest,
        ],
    );
    let delete = client.queue_delete("q".into(), QueueDeleteOptions::default());
    delete.await.expect("deleted");
    expect(&event(&mut events, "queue.deleted").await, &[("name", "q"), guest]);
    let http = broker.http();
    http.put("/api/users/app", r#"{"password":"p","tags":"monitoring"}"#)
        .expect_status(201);
    expect(&event(&mut events, "user.created").await, &[("name", "app"), guest]);
    event(&mut events, "user.tags.set").await;
    http.put("/api/vhosts/v", r#"{"description":"d"}"#).expect_status(201);
    expect(
        &event(&mut events, "vhost.created").await,
        &[("name", "v"), ("description", "d"), guest],
    );
    let all = r#"{"configure":".*","write":".*","read":".*"}"#;
    http.put("/api/permissions/v/app", all);
    let granted = event(&mut events, "permission.created").await;
    expect(&granted, &[("vhost", "v"), ("configure", ".*"), guest]);
    let policy = r#"{"pattern":"^a","definition":{"max-length":3},"apply-to":"queues"}"#;
    http.put("/api/policies/v/p", policy).expect_status(201);
    expect(
        &event(&mut events, "policy.set").await,
        &[("name", "p"), ("apply-to", "queues"), guest],
    );
    http.delete("/api/vhosts/v").expect_status(204);
    expect(&event(&mut events, "vhost.deleted").await, &[("name", "v"), guest]);
    for what in [
        "set queue 'q' in vhost '/'",
        "deleted queue 'q' in vhost '/'",
        "set user 'app'",
        "deleted vhost 'v'",
    ] {
        logged(&broker, &["definitions:", what, "by=guest"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_channels_consumers_and_logins_are_told() {
    let broker = Broker::start();
    let client = broker.client().await;
    let mut events = listener(&client).await;
    let other = broker.client().await;
    let login = event(&mut events, "user.authentication.success").await;
    expect(
        &login,
        &[
            ("name", "guest"),
            ("auth_mechanism", "PLAIN"),
            ("peer_host", "{127,0,0,1}"),
        ],
    );
    let opened = event(&mut events, "connection.created").await;
    expect(&opened, &[("user", "guest"), ("vhost", "/"), ("protocol", "{0,9,1}")]);
    let name = header_text(&opened, "name").expect("a name");
    let channel = event(&mut events, "channel.created").await;
    expect(&channel, &[("connection", &name), ("user", "guest")]);
    let exclusive = QueueDeclareOptions::default();
    let queue = other.queue_declare("mine".into(), exclusive, FieldTable::default());
    queue.await.expect("declared");
    let options = BasicConsumeOptions::default();
    let consumer = other.basic_consume("mine".into(), "tag".into(), options, FieldTable::default());
    consumer.await.expect("a consumer");
    let told = event(&mut events, "consumer.created").await;
    expect(
        &told,
        &[
            ("consumer_tag", "tag"),
            ("queue", "mine"),
            ("user_who_performed_action", "guest"),
        ],
    );
    let cancel = other.basic_cancel("tag".into(), BasicCancelOptions::default());
    cancel.await.expect("cancelled");
    expect(
        &event(&mut events, "consumer.deleted").await,
        &[("consumer_tag", "tag")],
    );
    other.connection.close(200, "".into()).await.expect("closed");
    event(&mut events, "channel.closed").await;
    expect(&event(&mut events, "connection.closed").await, &[("name", &name)]);
    let wrong = format!("amqp://guest:wrong@{}/%2f", broker.amqp);
    assert!(broker.try_connect(&wrong).await.is_err());
    let refused = event(&mut events, "user.authentication.failure").await;
    expect(&refused, &[("name", "guest"), ("auth_mechanism", "PLAIN")]);
    logged(&broker, &["login refused", "user=guest"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_login_over_http_is_in_the_log() {
    let broker = Broker::start();
    let address = broker.management.clone().expect("the HTTP API");
    Http::as_user(&address, "guest", "wrong")
        .get("/api/whoami")
        .expect_status(401);
    logged(&broker, &["login refused over HTTP", "user=guest"]).await;
}
