//! Direct reply-to: answers without a queue.

use lapin::options::{BasicConsumeOptions, QueueDeclareOptions};
use lapin::types::ShortString;

use crate::support::*;

const REPLY_TO: &str = "amq.rabbitmq.reply-to";

fn ask(correlation: &str) -> Properties {
    Properties::default()
        .with_reply_to(REPLY_TO.into())
        .with_correlation_id(correlation.into())
}

fn reply_to(request: &lapin::message::Delivery) -> ShortString {
    request.properties.reply_to().clone().expect("a place to answer to")
}

#[tokio::test]
async fn an_answer_reaches_the_channel_that_asked() {
    let broker = Broker::shared();
    let asking = broker.client().await;
    let answering = broker.client().await;
    answering.plain_queue("requests").await;
    let mut requests = answering.consume("requests").await;
    let mut answers = asking.consume_unacked(REPLY_TO).await;
    asking.publish("", "requests", "ask", ask("7")).await;

    let request = next(&mut requests).await;
    let address = reply_to(&request);
    let token = address.as_str().strip_prefix("amq.rabbitmq.reply-to.");
    let parts: Vec<&str> = token.expect("the pseudo-queue's name").split('.').collect();
    assert!(parts.len() == 2 && parts[1].ends_with("=="), "{address}");
    let properties = Properties::default().with_correlation_id("7".into());
    answering.publish("", address.as_str(), "answer", properties).await;

    let answer = next(&mut answers).await;
    assert_eq!(story(&answer), "answer");
    assert_eq!((answer.exchange.as_str(), &answer.routing_key), ("", &address));
    assert_eq!(
        answer.properties.correlation_id().as_ref().map(|id| id.as_str()),
        Some("7")
    );
}

#[tokio::test]
async fn an_answer_to_a_channel_that_is_gone_has_no_route() {
    let broker = Broker::shared();
    let asking = broker.client().await;
    let answering = broker.client().await;
    answering.plain_queue("requests").await;
    let mut requests = answering.consume("requests").await;
    let _answers = asking.consume_unacked(REPLY_TO).await;
    asking.publish("", "requests", "ask", ask("7")).await;
    let address = reply_to(&next(&mut requests).await);
    answering.look(address.as_str()).await.expect("the asking one lives");

    asking.close(200, "done".into()).await.expect("closed");
    let confirm = answering
        .publish_mandatory("", address.as_str(), "answer", Properties::default())
        .await;
    assert!(confirm.take_message().is_some(), "it had to come back");
    assert!(refused(answering.look(address.as_str()).await).starts_with("404"));
}

#[tokio::test]
async fn asking_needs_a_consumer_for_the_answers() {
    let broker = Broker::shared();
    let client = broker.client().await;
    client.plain_queue("requests").await;
    let published = client.basic_publish("".into(), "requests".into(), Default::default(), b"", ask("7"));
    let refusal = refused(published.await.expect("published").await);
    assert_eq!(refusal, "406 PRECONDITION_FAILED - fast reply consumer does not exist");
}

#[tokio::test]
async fn answers_are_consumed_without_acks_and_once() {
    let broker = Broker::shared();
    let mut client = broker.client().await;
    let acked = client.basic_consume(REPLY_TO.into(), "".into(), BasicConsumeOptions::default(), table([]));
    let expected = "406 PRECONDITION_FAILED - reply consumer cannot acknowledge";
    assert_eq!(refused(acked.await), expected);
    client.again().await;
    let _answers = client.consume_unacked(REPLY_TO).await;
    let unacked = BasicConsumeOptions {
        no_ack: true,
        ..BasicConsumeOptions::default()
    };
    let again = client.basic_consume(REPLY_TO.into(), "".into(), unacked, table([]));
    assert_eq!(
        refused(again.await),
        "406 PRECONDITION_FAILED - reply consumer already set"
    );
}

#[tokio::test]
async fn declaring_the_reply_queue_is_harmless() {
    let broker = Broker::shared();
    let client = broker.client().await;
    let declared = client.queue_declare(REPLY_TO.into(), QueueDeclareOptions::default(), table([]));
    assert_eq!(declared.await.expect("fine").consumer_count(), 1);
}
