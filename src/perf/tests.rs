//! Whole runs of the generator against a stand-in broker.

use super::args::tests::parsed;
use super::failure::Failure;
use super::report::Report;
use super::stand_in::{Fault, start};
use super::{churn, declare, load};

fn run(fault: Fault, options: &str) -> Result<Report, Failure> {
    let args = parsed(&format!("--json --uri amqp://{} {options}", start(fault)));
    args.check().expect("options that go together");
    load::run(&args)
}

fn report(fault: Fault, options: &str) -> Report {
    run(fault, options).expect("a report")
}

#[test]
fn every_message_is_published_confirmed_and_consumed_once_in_order() {
    let options = "-x 2 -y 3 --queues 2 -C 5001 --confirm 100 --verify --latency --size 5000 --ack-every 10";
    let report = report(Fault::None, options);
    assert_eq!(report.errors, [""; 0]);
    assert!(report.ok, "{report:?}");
    assert_eq!(
        (report.published, report.confirmed, report.consumed),
        (5001, 5001, 5001)
    );
    assert!(report.confirm_latency_us.is_some_and(|times| times.count > 0));
    assert!(report.latency_us.is_some_and(|times| times.count > 0));
}

#[test]
fn a_run_of_some_seconds_ends_by_itself_and_keeps_its_rate() {
    let report = report(Fault::None, "--seconds 1 --warmup 0.2 --rate 1000 --ack-every 0");
    assert!(report.ok, "{report:?}");
    assert!((900.0..1100.0).contains(&report.published_per_s), "{report:?}");
}

#[test]
fn a_lost_message_is_noticed() {
    let mut args = parsed(&format!(
        "--json --keep --consumers 0 -C 100 --confirm 10 --uri amqp://{}",
        start(Fault::Lose(7))
    ));
    assert!(load::run(&args).expect("a report").ok);
    args = parsed(&format!(
        "--json --drain --verify --uri amqp://{}",
        args.uri[0].address()
    ));
    let report = load::run(&args).expect("a report");
    assert_eq!(report.consumed, 99);
    assert_eq!(report.verify.map(|verdict| verdict.lost), Some(1));
    assert!(!report.ok);
}

#[test]
fn a_duplicate_is_noticed() {
    let report = report(Fault::Repeat(7), "-C 100 --verify");
    let verdict = report.verify.expect("asked for");
    assert_eq!((verdict.lost, verdict.duplicates), (0, 1));
    assert!(!report.ok);
}

#[test]
fn a_refused_message_is_counted_and_not_taken_for_lost() {
    let report = report(Fault::Nack(50), "-C 100 --confirm 20 --verify");
    assert_eq!((report.confirmed, report.nacked), (99, 1));
    assert_eq!(report.verify.map(|verdict| verdict.lost), Some(0));
    assert!(!report.ok);
}

#[test]
fn a_broker_that_closes_the_connection_is_quoted() {
    let report = report(Fault::CloseAfter(1000), "--seconds 60");
    assert_eq!(
        report.errors,
        ["publisher 0: the broker closed the connection: 320 CONNECTION_FORCED - enough"]
    );
    assert!(!report.ok);
}

#[test]
fn a_broker_that_hangs_up_ends_the_run_with_an_error() {
    let report = report(Fault::HangUpAfter(10), "--seconds 60 --rate 1000");
    // What was under way decides whether the system tells of an end or of a reset.
    let [error] = &report.errors[..] else {
        panic!("{report:?}")
    };
    let ends = ["the broker closed the connection without a reason", "reset"];
    assert!(ends.iter().any(|end| error.contains(end)), "{error}");
}

#[test]
fn a_blocked_publisher_sends_nothing_until_it_is_unblocked() {
    // One message at a time, so that nothing is under way when the block comes.
    let report = report(Fault::BlockAfter(5), "-C 10 --confirm 1");
    assert!(report.ok, "{report:?}");
    assert!(report.blocked_seconds >= 0.15, "{report:?}");
}

#[test]
fn a_refused_login_is_an_error_that_says_so() {
    let failure = run(Fault::NoEntry, "-C 1").expect_err("no entry");
    assert_eq!(
        failure.to_string(),
        "the broker closed the connection: 403 ACCESS_REFUSED - no"
    );
}

#[test]
fn the_next_address_is_tried_when_one_does_not_answer() {
    let address = start(Fault::None);
    // Port 1 of the loopback interface is not listened on.
    let args = parsed(&format!("--json -C 10 --uri amqp://127.0.0.1:1,amqp://{address}"));
    assert!(load::run(&args).expect("a report").ok);
}

#[test]
fn queues_are_declared_one_after_the_other() {
    let args = parsed(&format!("--uri amqp://{}", start(Fault::None)));
    let report = declare::run(&args, 100).expect("a report");
    assert_eq!((report.ok, report.queues), (true, 100));
    assert!(report.delete_seconds.is_some());
}

#[test]
fn clients_come_and_go_each_with_a_queue_of_its_own() {
    let args = parsed(&format!("-x 2 --seconds 1 --uri amqp://{}", start(Fault::None)));
    let report = churn::run(&args, 100).expect("a report");
    assert!(report.ok && report.clients > 10, "{report:?}");
    let refused = parsed(&format!("--seconds 0.1 --uri amqp://{}", start(Fault::NoEntry)));
    let report = churn::run(&refused, 100).expect("a report");
    assert!(!report.ok && report.clients == 0, "{report:?}");
    assert_eq!(
        report.errors[0],
        "the broker closed the connection: 403 ACCESS_REFUSED - no"
    );
}

/// The generator's own ceiling: `cargo test --release --lib perf -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn the_ceiling_of_publishing_and_consuming() {
    for (what, fault, options) in [
        ("publish 16 B", Fault::Swallow, "-y 0 --size 16"),
        ("publish 1 KiB", Fault::Swallow, "-y 0 --size 1024"),
        (
            "publish 16 B, confirms",
            Fault::Swallow,
            "-y 0 --size 16 --confirm 10000",
        ),
        ("consume 16 B", Fault::Flood, "-x 0 --ack-every 0"),
        ("consume 16 B, acks", Fault::Flood, "-x 0 --ack-every 100"),
    ] {
        let report = report(fault, &format!("{options} --seconds 3 --warmup 1"));
        println!(
            "{what}: {:.0}/s, {:.0}/s",
            report.published_per_s, report.consumed_per_s
        );
    }
}
