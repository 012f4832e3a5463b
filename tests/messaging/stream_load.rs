//! `warren perf` on streams: that it says what happened, over both protocols.

use std::process::Command;

use serde_json::Value;

use crate::support::stream::Stream;
use crate::support::*;

fn broker() -> Broker {
    Broker::start_with(&["--stream", "127.0.0.1:0"])
}

/// What the load generator reports over the stream protocol.
fn load(broker: &Broker, arguments: &str) -> Value {
    let uri = format!("rabbitmq-stream://guest:guest@{}/%2f", broker.address_of("stream"));
    perf(&uri, arguments)
}

fn perf(uri: &str, arguments: &str) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_warren"))
        .args(["perf", "--uri", uri, "--json"])
        .args(arguments.split_whitespace())
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"))
}

#[test]
fn every_message_of_a_stream_is_confirmed_and_read_once_in_order() {
    let broker = broker();
    let arguments = "-x 2 -y 2 --queues 2 -C 5001 -c 500 --per-frame 7 --size 100 --verify --latency --credit 2";
    let report = load(&broker, arguments);
    assert_eq!(report["ok"], true, "{report}");
    assert_eq!(report["confirmed"], 5001, "{report}");
    assert_eq!(report["verify"]["lost"], 0, "{report}");
    assert!(report["confirm_latency_us"]["count"].as_u64() > Some(0), "{report}");
    assert!(report["latency_us"]["count"].as_u64() > Some(0), "{report}");
}

#[test]
fn a_stream_that_was_kept_is_read_from_its_beginning_over_both_protocols() {
    let broker = broker();
    let filled = load(&broker, "-y 0 -C 3000 -c 1000 --size 300 --named --keep");
    assert_eq!(
        (&filled["ok"], &filled["published"]),
        (&Value::from(true), &3000.into())
    );
    let more = load(&broker, "-y 0 -C 3000 -c 1000 --size 300 --named --keep");
    assert_eq!((&more["ok"], &more["confirmed"]), (&Value::from(true), &3000.into()));
    let read = load(&broker, "--drain --size 300");
    assert_eq!(
        (&read["ok"], &read["consumed"]),
        (&Value::from(true), &6000.into()),
        "{read}"
    );
    let uri = broker.uri();
    let over_amqp = perf(&uri, "--queue-type stream --drain -C 6000 --ack-every 100 --delete");
    assert_eq!(over_amqp["consumed"], 6000, "{over_amqp}");
}

#[test]
fn what_is_missing_or_not_as_it_was_sent_is_told() {
    let broker = broker();
    let mut client = Stream::open(&broker);
    client.create("warren-perf");
    client.declare("", "warren-perf");
    client.publish(&[0, 1, 2]);
    // Nobody has stamped them.
    let report = load(&broker, "--drain --verify");
    assert_eq!(
        (&report["ok"], &report["verify"]["damaged"]),
        (&Value::from(false), &3.into()),
        "{report}"
    );
}
