//! Certificates that are replaced while clients are served.

use super::clients::dial;
use super::{Secured, configuration};
use crate::support::authority::Authority;
use crate::support::*;

/// Who the broker says it is to a client that comes now; none when it does not believe it.
fn shown(secured: &Secured) -> Option<Vec<u8>> {
    let mut socket = dial(secured, "amqps");
    socket.conn.complete_io(&mut socket.sock).ok()?;
    socket.conn.peer_certificates()?.first().map(|own| own.to_vec())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_clients_see_the_new_certificate_and_old_ones_go_on() {
    let mut secured = Secured::start(&[]);
    let client = Client::new(secured.connect(None).await.expect("a connection")).await;
    client.queue("q", table([("x-queue-type", text("classic"))])).await;
    let load = tokio::spawn(async move {
        loop {
            assert!(client.publish("", "q", "m", persistent()).await.is_ack());
            assert_eq!(client.wait_for("q", 1).await, ["m"]);
        }
    });
    let before = shown(&secured).expect("a certificate");
    let names = ["localhost", "127.0.0.1"];
    let renewed = secured.authority.issue_for("renewed", &names, secured.directory.path());
    // The key first: what does not fit meanwhile is not taken.
    std::fs::rename(&renewed.keyfile, &secured.papers.keyfile).expect("moved");
    secured.logged("does not belong to the first certificate");
    assert_eq!(shown(&secured), Some(before.clone()));
    std::fs::rename(&renewed.certfile, &secured.papers.certfile).expect("moved");
    secured.logged("new connections use the certificates of ssl_options as they are now");
    let after = shown(&secured).expect("a certificate");
    assert_ne!(before, after);
    assert!(!load.is_finished(), "the old connection goes on");
    load.abort();
    // At a signal it is looked at once.
    secured.broker.hang_up();
    secured.logged("SIGHUP");
}

#[test]
fn the_end_of_a_listeners_certificate_is_a_notice() {
    let authority = Authority::new("ours");
    let directory = tempfile::tempdir().expect("a directory");
    let papers = authority.issue_until("server", directory.path(), (2020, 1, 1));
    let config = configuration(&papers, &[], directory.path());
    let broker = Broker::start_with(&["--config", &config, "--amqps", "127.0.0.1:0"]);
    let notices = broker.http().get("/api/notices").json();
    let notices = notices.as_array().expect("a list");
    let expired: Vec<_> = notices
        .iter()
        .filter(|notice| notice["code"] == "certificate_expired")
        .collect();
    assert_eq!(expired.len(), 1, "{notices:?}");
    let text = expired[0]["text"].as_str().expect("a text");
    assert!(text.contains("ssl_options.certfile"), "{text}");
}
