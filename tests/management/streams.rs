//! Streams as operators see and steer them: clients of the stream protocol, what is tracked, groups, super streams.

use serde_json::{Value, json};
use warren::stream_protocol::codec::{Command, Key, StartAt};

use crate::support::stream::{Stream, publish};
use crate::support::*;

fn broker() -> Broker {
    Broker::start_with(&["--stream", "127.0.0.1:0"])
}

/// A name as it stands in a path.
fn escaped(name: &str) -> String {
    name.replace(' ', "%20").replace('>', "%3E")
}

/// The offset that a reader of that name has stored.
fn store(client: &mut Stream, name: &str, stream: &str, offset: u64) {
    client.send(&Command::StoreOffset {
        reference: name.as_bytes(),
        stream: stream.as_bytes(),
        offset,
    });
}

/// Waits until an answer of the API is as it should be, and gives it.
fn answer_when(http: &Http, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        let answer = http.get(path).json();
        if is_so(&answer) {
            return answer;
        }
        assert!(std::time::Instant::now() < end, "{path}: {answer}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn clients_are_seen_with_what_they_publish_and_read() {
    let broker = broker();
    let http = broker.http();
    let (mut writer, mut reader) = (Stream::open(&broker), Stream::open(&broker));
    writer.create("s");
    writer.declare("me", "s");
    writer.publish(&(0..21).collect::<Vec<_>>());
    reader.subscribe("s", StartAt::First, &[("name", "audit"), ("identifier", "reader-1")]);
    assert_eq!(reader.read(21).len(), 21);
    let publishers = http.get("/api/stream/publishers").expect_status(200).json();
    let publisher = &publishers[0];
    assert_eq!(publisher["published"], 21);
    assert_eq!(
        (&publisher["confirmed"], &publisher["errored"]),
        (&json!(21), &json!(0))
    );
    assert_eq!(
        (&publisher["reference"], &publisher["publisher_id"]),
        (&json!("me"), &json!(1))
    );
    assert_eq!(publisher["queue"], json!({"name": "s", "vhost": "/"}));
    let consumers = answer_when(&http, "/api/stream/consumers/%2F", |all| all[0]["consumed"] == 21);
    let consumer = &consumers[0];
    assert_eq!((&consumer["offset"], &consumer["offset_lag"]), (&json!(20), &json!(0)));
    assert_eq!(consumer["activity_status"], "up");
    assert_eq!(
        consumer["properties"],
        json!({"name": "audit", "identifier": "reader-1"})
    );
    let name = consumer["connection_details"]["name"]
        .as_str()
        .expect("a name")
        .to_owned();
    let connection = format!("/api/stream/connections/%2F/{}", escaped(&name));
    assert_eq!(http.get(&connection).expect_status(200).json()["protocol"], "stream");
    let of_connection = |what: &str| http.get(&format!("{connection}/{what}")).expect_status(200).json();
    assert_eq!(of_connection("publishers"), json!([]));
    assert_eq!(of_connection("consumers"), consumers);
    let of_stream = http.get("/api/stream/publishers/%2F/s").expect_status(200).json();
    assert_eq!(of_stream, publishers);
    http.get("/api/stream/publishers/%2F/other").expect_status(404);
    let queue = http.get("/api/queues/%2F/s").expect_status(200).json();
    assert_eq!((&queue["consumers"], &queue["segments"]), (&json!(1), &json!(1)));
    let readers = queue["readers"].as_object().expect("readers");
    assert_eq!(readers.values().collect::<Vec<_>>(), [&json!(1)]);
    let details = &queue["consumer_details"][0];
    assert_eq!(
        (&details["consumer_tag"], &details["ack_required"]),
        (&json!("stream.subid-1"), &json!(false))
    );
    assert_eq!(details["channel_details"]["name"], "");
    assert_eq!(
        http.get("/api/consumers/%2F").json()[0]["consumer_tag"],
        "stream.subid-1"
    );
    std::thread::scope(|scope| {
        let closed = scope.spawn(|| http.delete(&connection));
        let heard = reader.hear().expect("a close");
        assert_eq!(heard.key, Key::Close);
        drop(reader);
        closed.join().expect("an answer").expect_status(204);
    });
    answer_when(&http, "/api/stream/consumers", |all| *all == json!([]));
}

#[test]
fn what_is_tracked_is_told() {
    let broker = broker();
    let http = broker.http();
    let mut client = Stream::open(&broker);
    client.create("s");
    client.declare("billing", "s");
    client.publish(&[3, 20]);
    store(&mut client, "audit", "s", 12);
    let path = "/api/stream/%2F/s/tracking";
    let tracked = answer_when(&http, path, |tracked| tracked["offsets"] != json!({}));
    assert_eq!(tracked, json!({"offsets": {"audit": 12}, "writers": {"billing": 20}}));
    assert_eq!(
        http.get(&format!("{path}?type=writer")).json(),
        json!({"writers": {"billing": 20}})
    );
    assert_eq!(
        http.get(&format!("{path}?type=offset")).json(),
        json!({"offsets": {"audit": 12}})
    );
    http.get("/api/stream/%2F/missing/tracking").expect_status(404);
    let members = http.get("/api/stream/%2F/s/status").expect_status(200).json();
    assert_eq!(
        (&members[0]["role"], &members[0]["offset"]),
        (&json!("writer"), &json!(1))
    );
}

/// Messages of a stream, looked at without a consumer.
fn look(http: &Http, query: &str) -> Value {
    let path = format!("/api/queues/%2F/s/messages?{query}");
    http.get(&path).expect_status(200).json()
}

/// Their offsets.
fn offsets(seen: &Value) -> Vec<u64> {
    let messages = seen["messages"].as_array().expect("a list").iter();
    messages
        .map(|message| message["position"].as_u64().expect("an offset"))
        .collect()
}

#[test]
fn messages_of_a_stream_are_looked_at_from_any_offset_and_time() {
    let broker = broker();
    let http = broker.http();
    let mut client = Stream::open(&broker);
    client.create("s");
    assert_eq!(
        look(&http, "count=5"),
        json!({"messages": [], "next": null, "scanned": 0})
    );
    client.declare("me", "s");
    client.publish(&(0..300).collect::<Vec<_>>());
    let seen = look(&http, "count=3");
    assert_eq!((offsets(&seen), &seen["next"]), (vec![0, 1, 2], &json!(3)));
    let first = &seen["messages"][0];
    assert_eq!(
        (&first["state"], &first["redelivered"]),
        (&json!("ready"), &json!(false))
    );
    assert!(first["enqueued_at"].as_u64().is_some(), "{first}");
    // Within a chunk, and to the end.
    let seen = look(&http, "from=298&count=20");
    assert_eq!((offsets(&seen), &seen["next"]), (vec![298, 299], &Value::Null));
    assert_eq!(offsets(&look(&http, "from=300")), [0; 0]);
    let at = |offset: u64| {
        look(&http, &format!("from={offset}&count=1"))["messages"][0]["enqueued_at"]
            .as_u64()
            .expect("a time")
    };
    assert_eq!(offsets(&look(&http, &format!("since={}&count=1", at(0)))), [0]);
    assert_eq!(offsets(&look(&http, &format!("since={}", at(299) + 60_000))), [0; 0]);
    // One that is published later begins a chunk of its own.
    std::thread::sleep(std::time::Duration::from_millis(5));
    let body = json!({"properties": {"headers": {"n": 7}}, "routing_key": "s", "payload": "later", "payload_encoding": "string"});
    http.post("/api/exchanges/%2F/amq.default/publish", &body.to_string())
        .expect_status(200);
    let since = format!("since={}", at(299) + 1);
    let seen = answer_when(&http, &format!("/api/queues/%2F/s/messages?{since}"), |seen| {
        seen["messages"][0].is_object()
    });
    assert_eq!(
        (offsets(&seen), &seen["messages"][0]["body"]),
        (vec![300], &json!("later"))
    );
    let found = look(&http, "match=header:n=7");
    assert_eq!((offsets(&found), &found["scanned"]), (vec![300], &json!(301)));
    assert_eq!(offsets(&look(&http, "state=unacked")), [0; 0]);
    let one = http.get("/api/queues/%2F/s/messages/300").expect_status(200).json();
    assert_eq!(one["body"], "later");
    http.get("/api/queues/%2F/s/messages/301").expect_status(404);
    http.get("/api/queues/%2F/s/messages?since=yesterday")
        .expect_status(400);
    // Nothing was taken, and nothing can be moved out.
    assert_eq!(http.get("/api/queues/%2F/s").json()["messages"], 301);
    http.post("/api/queues/%2F/s/redrive", r#"{"to":"origin","dry_run":true}"#)
        .expect_status(400);
}

#[test]
fn a_stream_that_is_led_is_well_and_tells_its_offsets() {
    let broker = broker();
    let http = broker.http();
    let mut client = Stream::open(&broker);
    client.create("s");
    client.declare("me", "s");
    client.publish(&(0..21).collect::<Vec<_>>());
    let health = http.get("/api/queues/%2F/s/health").expect_status(200).json();
    assert_eq!((&health["health"], &health["reasons"]), (&json!("ok"), &json!([])));
    let list = http
        .get("/api/queues?page=1&page_size=10&where=type:stream&sort=bytes&facets=health")
        .json();
    let stream = &list["items"][0];
    assert_eq!(
        (
            &stream["name"],
            &stream["health"],
            &stream["first_offset"],
            &stream["next_offset"]
        ),
        (&json!("s"), &json!("ok"), &json!(0), &json!(21))
    );
    assert!(stream["bytes"].as_u64().is_some_and(|bytes| bytes > 21), "{stream}");
    let route = json!({"exchange": "", "routing_key": "s"});
    let route = http.post("/api/route/%2F", &route.to_string()).json();
    assert_eq!(route["queues"][0]["accepts"], true, "{route}");
    let member = &http.get("/api/stream/%2F/s/status").json()[0];
    assert_eq!(member["bytes"], stream["bytes"]);
    // How long it was is known as of any queue.
    let series = "/api/series?of=queue:%2F:s&measures=ready&age=60&points=60";
    let is_known = |series: &Value| {
        let ready = series["values"]["ready"]
            .as_array()
            .and_then(|values| values.last().cloned());
        ready == Some(json!(21))
    };
    answer_when(&http, series, is_known);
}

#[test]
fn a_group_is_seen_without_members_and_its_offset_is_set_unless_one_reads() {
    let broker = broker();
    let http = broker.http();
    let mut client = Stream::open(&broker);
    client.create("s");
    client.declare("", "s");
    client.publish(&(0..100).collect::<Vec<_>>());
    store(&mut client, "app", "s", 9);
    let path = "/api/stream/groups/%2F/app";
    let group = answer_when(&http, path, |group| group["lag"] == 90);
    assert_eq!((&group["state"], &group["members"]), (&json!("empty"), &json!(0)));
    assert_eq!(group["partitions"][0]["stored_offset"], 9);
    let reset = |body: Value| http.post(&format!("{path}/reset"), &body.to_string());
    let stored = |answer: Answer| answer.expect_status(200).json()[0]["stored_offset"].clone();
    assert_eq!(stored(reset(json!({"offset": "next"}))), 99);
    assert_eq!(http.get(path).json()["lag"], 0);
    assert_eq!(stored(reset(json!({"offset": 41}))), 41);
    assert_eq!(stored(reset(json!({"timestamp": 0}))), 0);
    reset(json!({"offset": "nowhere"})).expect_status(400);
    reset(json!({"offset": "first", "stream": "missing"})).expect_status(404);
    let active = [("single-active-consumer", "true"), ("name", "app")];
    client.subscribe("s", StartAt::Next, &active);
    let turn = client.hear().expect("a turn");
    client.send(&Command::ConsumerUpdated {
        correlation: u32::from_be_bytes(turn.body[..4].try_into().expect("four bytes")),
        code: 1,
        start: None,
    });
    let group = answer_when(&http, path, |group| group["state"] == "active");
    assert_eq!(group["partitions"][0]["members"][0]["activity_status"], "single_active");
    let refused = reset(json!({"offset": 5}));
    assert!(
        refused
            .expect_status(400)
            .body
            .contains("a member of the group reads 's'")
    );
    http.delete(path).expect_status(400);
    assert_eq!(stored(reset(json!({"offset": 5, "force": true}))), 5);
    drop(client);
    answer_when(&http, path, |group| group["state"] == "empty");
    http.delete(path).expect_status(204);
    http.get(path).expect_status(404);
}

#[test]
fn a_super_stream_is_made_given_a_partition_and_deleted() {
    let broker = broker();
    let http = broker.http();
    let path = "/api/stream/super-streams/%2F/orders";
    http.put(
        path,
        &json!({"partitions": 2, "arguments": {"x-max-age": "1h"}}).to_string(),
    )
    .expect_status(201);
    http.put(path, &json!({"partitions": 2}).to_string()).expect_status(400);
    http.put(path, &json!({"partitions": 2, "binding-keys": "a"}).to_string())
        .expect_status(400);
    http.post(&format!("{path}/partitions"), &json!({"binding-key": "2"}).to_string())
        .expect_status(201);
    http.post(&format!("{path}/partitions"), &json!({"binding-key": "2"}).to_string())
        .expect_status(400);
    let all = http.get("/api/stream/super-streams").expect_status(200).json();
    let partition = |at: u8| json!({"name": format!("orders-{at}"), "binding_key": at.to_string()});
    let partitions = [partition(0), partition(1), partition(2)];
    assert_eq!(all, json!([{"name": "orders", "vhost": "/", "partitions": partitions}]));
    let added = http.get("/api/queues/%2F/orders-2").expect_status(200).json();
    assert_eq!(added["arguments"]["x-max-age"], "1h");
    http.delete(path).expect_status(204);
    http.delete(path).expect_status(404);
    http.get("/api/queues/%2F/orders-2").expect_status(404);
}

#[test]
fn a_newer_publisher_of_a_name_fences_the_older() {
    let broker = broker();
    let (mut older, mut newer) = (Stream::open(&broker), Stream::open(&broker));
    older.create("s");
    older.declare("me", "s");
    older.publish(&[1]);
    newer.declare("me", "s");
    older.raw(&publish(&[2]));
    let refused = older.hear().expect("an error");
    assert_eq!(refused.key, Key::PublishError);
    newer.publish(&[2, 3]);
    let publishers = broker.http().get("/api/stream/publishers").json();
    let errored: Vec<_> = publishers
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["errored"].clone())
        .collect();
    assert!(
        errored.contains(&json!(1)) && errored.contains(&json!(0)),
        "{errored:?}"
    );
}

#[test]
fn addresses_of_clients_behind_a_proxy_are_their_own() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("proxy.conf");
    std::fs::write(&config, "stream.proxy_protocol = true\n").expect("written");
    let config = config.to_str().expect("a path");
    let broker = Broker::start_with(&["--config", config, "--stream", "127.0.0.1:0"]);
    let mut client = Stream::connect(&broker);
    client.raw(b"PROXY TCP4 127.0.0.7 127.0.0.8 4711 5552\r\n");
    client.shake_hands("guest", "guest");
    let connection = broker.http().get("/api/stream/connections").json()[0].clone();
    assert_eq!(connection["name"], "127.0.0.7:4711 -> 127.0.0.8:5552");
}
