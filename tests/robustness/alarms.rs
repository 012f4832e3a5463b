//! Memory and disk alarms: large messages are held as small ones are, and it ends by itself.

use std::net::Shutdown;
use std::time::Instant;

use super::frames::{PLAIN, frame, publish, publish_with, told_of_blocking};
use crate::support::*;

/// A broker with this configuration.
fn with(settings: &str) -> (Broker, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("warren.conf");
    std::fs::write(&file, settings).expect("written");
    let broker = Broker::start_with(&["--config", file.to_str().expect("a path")]);
    (broker, dir)
}

/// Waits until an alarm is on, or over.
fn wait_for_alarm(broker: &Broker, on: bool) {
    let end = Instant::now() + PATIENCE;
    let wanted = if on { 503 } else { 200 };
    while broker.http().get("/api/health/checks/local-alarms").status != wanted {
        assert!(Instant::now() < end, "no such alarm in {PATIENCE:?}");
    }
}

#[tokio::test]
async fn a_publish_in_several_frames_is_held_as_well() {
    let (broker, _settings) = with("disk_free_limit.absolute = 1000000GB\n");
    wait_for_alarm(&broker, true);
    let client = broker.client().await;
    client.another().await.plain_queue("orders").await;
    let mut raw = told_of_blocking(&broker);
    raw.send(&publish("", "orders", PLAIN, 10));
    raw.expect(10, 60);
    raw.send(&[frame(3, 1, b"12345"), frame(3, 1, b"67890")].concat());
    for _ in 0..20 {
        assert_eq!(client.ready("orders").await, 0);
    }
}

#[tokio::test]
async fn a_memory_alarm_ends_when_the_memory_is_given_back() {
    let (broker, _settings) = with("vm_memory_high_watermark.absolute = 250MB\n");
    let client = broker.client().await;
    client.plain_queue("orders").await;
    let mut hog = Raw::open(&broker.amqp, "/", 1);
    hog.method(1, (20, 10), &[0]);
    hog.expect(20, 11);
    hog.method(1, (90, 10), &[]);
    hog.expect(90, 11);
    let mut writing = hog.socket.try_clone().expect("the socket twice");
    let hogging = std::thread::spawn(move || {
        let large = publish_with("", "orders", PLAIN, &vec![7; 1 << 20]);
        // It is held when memory is short, and then cut off.
        while std::io::Write::write_all(&mut writing, &large).is_ok() {}
    });
    wait_for_alarm(&broker, true);
    let mut raw = told_of_blocking(&broker);
    raw.send(&publish_with("", "orders", PLAIN, b"small"));
    raw.expect(10, 60);
    hog.socket.shutdown(Shutdown::Both).expect("cut off");
    hogging.join().expect("the hog");
    drop(hog);
    raw.expect(10, 61);
    raw.method(1, (50, 10), &passive("orders"));
    let declared = raw.expect(50, 11);
    let ready = &declared.payload[4 + 1 + "orders".len()..][..4];
    assert_eq!(ready, 1_u32.to_be_bytes(), "what was held is there, and nothing else");
}

fn passive(queue: &str) -> Vec<u8> {
    [&[0, 0][..], &short(queue), &[1], &0_u32.to_be_bytes()].concat()
}
