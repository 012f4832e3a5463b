//! Who does not come in over TLS, and what the log says of it.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::Secured;
use super::clients::dial;
use crate::support::authority::Authority;
use crate::support::*;

/// What clients with certificates meet.
const CHECKED: &[&str] = &[
    "ssl_options.verify = verify_peer",
    "ssl_options.fail_if_no_peer_cert = true",
    "ssl_cert_login_from = common_name",
    "auth_mechanisms.1 = EXTERNAL",
    "auth_mechanisms.2 = PLAIN",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_whose_certificate_is_missing_foreign_or_old() {
    let secured = Secured::start(CHECKED);
    let directory = secured.directory.path();
    assert!(secured.connect(None).await.is_err());
    secured.logged("the client shows no certificate, and ssl_options.fail_if_no_peer_cert is set");
    // Another authority of the same name.
    let foreign = Authority::new("ours").issue("mallory", directory);
    assert!(secured.connect(Some(&foreign)).await.is_err());
    secured.logged("the client's certificate is of no authority in ssl_options.cacertfile");
    let old = secured.authority.issue_until("old", directory, (2020, 1, 1));
    assert!(secured.connect(Some(&old)).await.is_err());
    secured.logged("the client's certificate has expired, or is not valid yet");
}

#[test]
fn a_client_that_does_not_take_the_brokers_certificate() {
    let mut secured = Secured::start(&[]);
    let other = tempfile::tempdir().expect("a directory");
    secured.papers = Authority::new("theirs").issue("server", other.path());
    // lapin would go without a word.
    let mut client = dial(&secured, "amqps");
    assert!(client.conn.complete_io(&mut client.sock).is_err());
    secured.logged("the client refuses this node's certificate: ");
}

#[test]
fn a_client_that_does_not_speak_tls_or_says_nothing() {
    let secured = Secured::start(&["ssl_handshake_timeout = 200"]);
    let connect = || {
        let port = u16::try_from(secured.port("amqps")).expect("a port");
        let socket = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        socket
    };
    let mut plain = connect();
    plain.write_all(b"AMQP\x00\x00\x09\x01").expect("sent");
    let mut silent = connect();
    let mut rest = Vec::new();
    // An alert may come before the end.
    let _ = plain.read_to_end(&mut rest);
    secured.logged("the client does not speak TLS");
    assert_eq!(silent.read(&mut [0]).expect("the end"), 0);
    secured.logged("it was not done within 200 ms");
}
