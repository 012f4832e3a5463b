//! What works over TLS, and what the HTTP API says of it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use serde_json::json;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use warren::stream_protocol::codec::StartAt;

use super::{Secured, read};
use crate::support::stream::Stream;
use crate::support::*;

/// A connection of rustls's to a listener, as a client that checks the broker's certificate.
pub fn dial(secured: &Secured, listener: &str) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_file_iter(&secured.papers.cacertfile).expect("a file") {
        roots.add(authority.expect("a certificate")).expect("an authority");
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let session = ClientConnection::new(Arc::new(config), name).expect("a session");
    let port = u16::try_from(secured.port(listener)).expect("a port");
    let socket = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    StreamOwned::new(session, socket)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_all_sizes_come_and_go() {
    let secured = Secured::start(&[]);
    let client = Client::new(secured.connect(None).await.expect("a connection")).await;
    client.queue("q", table([("x-queue-type", text("classic"))])).await;
    for size in [0, 1, 16_000, 16_384, 70_000, 3_000_000] {
        let body = "x".repeat(size);
        assert!(client.publish("", "q", &body, persistent()).await.is_ack(), "{size}");
        assert_eq!(client.wait_for("q", 1).await, [body], "{size}");
    }
    for at in 0..2_000 {
        client.publish("", "q", &at.to_string(), persistent()).await;
    }
    let expected: Vec<_> = (0..2_000).map(|at| at.to_string()).collect();
    assert_eq!(client.wait_for("q", 2_000).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_says_what_was_agreed_on() {
    let secured = Secured::start(&["ssl_options.versions.1 = tlsv1.2"]);
    let client = secured.connect(None).await.expect("a connection");
    let connection = &secured.broker.http().get("/api/connections").json()[0];
    assert_eq!(
        (&connection["ssl"], &connection["ssl_protocol"], &connection["ssl_hash"]),
        (&json!(true), &json!("tlsv1.2"), &json!("aead"))
    );
    assert_eq!(connection["ssl_key_exchange"], "ecdhe_ecdsa");
    assert_eq!(connection["peer_cert_subject"], json!(null));
    let listeners = secured.broker.http().get("/api/overview").json()["listeners"].clone();
    let listeners = listeners.as_array().expect("a list");
    assert!(listeners.iter().any(|listener| listener["protocol"] == "amqp/ssl"));
    client.close(200, "done".into()).await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_a_login() {
    let secured = Secured::start(&[
        "ssl_options.verify = verify_peer",
        "ssl_options.fail_if_no_peer_cert = true",
        "ssl_cert_login_from = common_name",
        "auth_mechanisms.1 = EXTERNAL",
        "auth_mechanisms.2 = PLAIN",
    ]);
    let alice = secured.authority.issue("alice", secured.directory.path());
    // Nobody of that name is there yet.
    assert!(secured.connect(Some(&alice)).await.is_err());
    secured.logged("there is no user of the name in the certificate");
    let http = secured.broker.http();
    http.put("/api/users/alice", r#"{"password_hash":"","tags":""}"#)
        .expect_status(201);
    let all = r#"{"configure":".*","write":".*","read":".*"}"#;
    http.put("/api/permissions/%2f/alice", all).expect_status(201);
    let client = secured.connect(Some(&alice)).await.expect("a connection");
    let connection = &http.get("/api/connections").json()[0];
    assert_eq!(
        (&connection["user"], &connection["auth_mechanism"]),
        (&json!("alice"), &json!("EXTERNAL"))
    );
    assert_eq!(
        (&connection["peer_cert_subject"], &connection["peer_cert_issuer"]),
        (&json!("CN=alice"), &json!("CN=ours"))
    );
    client.close(200, "done".into()).await.expect("closed");
}

#[test]
fn external_is_not_offered_without_tls() {
    let secured = Secured::start(&["auth_mechanisms.1 = EXTERNAL", "auth_mechanisms.2 = PLAIN"]);
    let header = b"AMQP\x00\x00\x09\x01";
    let offers = |socket: &mut dyn ReadWrite| {
        socket.write_all(header).expect("sent");
        let mut start = vec![0; 2048];
        let read = socket.read(&mut start).expect("an answer");
        String::from_utf8_lossy(&start[..read]).contains("EXTERNAL")
    };
    assert!(offers(&mut dial(&secured, "amqps")));
    assert!(!offers(
        &mut TcpStream::connect(&secured.broker.amqp).expect("a connection")
    ));
}

/// A socket of either kind.
trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

/// What a listener of HTTP over TLS, whose keys begin so, answers to a `GET`.
fn get_over_tls(keys: &str, listener: &str, path: &str) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let authority = authority::Authority::new("ours");
    let papers = authority.issue_for("server", &["localhost"], directory.path());
    let lines = [
        format!("{keys}.ip = 127.0.0.1"),
        format!("{keys}.port = 0"),
        format!("{keys}.certfile = {}", papers.certfile.display()),
        format!("{keys}.keyfile = {}", papers.keyfile.display()),
    ];
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let secured = Secured::start(&lines);
    let secured = Secured { papers, ..secured };
    let mut socket = dial(&secured, listener);
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer, and the end");
    answer
}

#[test]
fn the_http_api_is_served_over_tls() {
    let answer = get_over_tls("management.ssl", "management_tls", "/api/health/checks/is-in-service");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

#[test]
fn metrics_are_scraped_over_tls() {
    let answer = get_over_tls("prometheus.ssl", "prometheus_tls", "/metrics");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.contains("\nrabbitmq_identity_info{"), "{answer}");
}

#[test]
fn the_stream_protocol_is_spoken_over_tls() {
    let secured = Secured::start(&["stream.listeners.ssl.1 = 127.0.0.1:0"]);
    let mut client = Stream::over(dial(&secured, "stream_tls"));
    client.shake_hands("guest", "guest");
    client.create("s");
    client.declare("", "s");
    client.publish(&(0..1000).collect::<Vec<_>>());
    client.subscribe("s", StartAt::First, &[]);
    assert_eq!(client.read(1000).len(), 1000);
    let connections = secured.broker.http().get("/api/stream/connections").json();
    assert_eq!(
        (&connections[0]["ssl"], &connections[0]["protocol"]),
        (&json!(true), &json!("stream"))
    );
}

/// Messages of all sizes through `warren perf`, which checks each; whether it ended well, and what it said.
fn load(secured: &Secured, parameters: &str) -> (bool, String) {
    let port = secured.port("amqps");
    let uri = format!("amqps://guest:guest@127.0.0.1:{port}/%2f?{parameters}");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_warren"))
        .args(["perf", "--uri", &uri, "--messages", "3000", "--size", "40000"])
        .args(["--confirm", "100", "--ack-every", "50", "--json"])
        .output()
        .expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn the_load_generator_speaks_it() {
    let secured = Secured::start(&[]);
    let trusted = secured.papers.cacertfile.display();
    let (is_well, said) = load(
        &secured,
        &format!("cacertfile={trusted}&server_name_indication=localhost"),
    );
    assert!(is_well && said.contains("\"consumed\":3000"), "{said}");
    let (is_well, said) = load(&secured, "verify=verify_none");
    assert!(is_well, "{said}");
    // The machine knows nothing of that authority.
    let (is_well, said) = load(&secured, "server_name_indication=localhost");
    assert!(!is_well && said.contains("certificate"), "{said}");
}

#[test]
fn the_certificates_of_listeners_are_shown_and_never_a_key() {
    // All in one file, as some have it.
    let authority = authority::Authority::new("ours");
    let directory = tempfile::tempdir().expect("a directory");
    let papers = authority.issue_for("server", &["localhost"], directory.path());
    let (certificate, key) = (read(&papers.certfile), read(&papers.keyfile));
    std::fs::write(&papers.certfile, [key, certificate.clone()].concat()).expect("written");
    let config = crate::configuration(&papers, &["ssl_options.verify = verify_peer"], directory.path());
    let broker = Broker::start_with(&["--config", &config, "--amqps", "127.0.0.1:0"]);
    let shown = broker.http().get("/api/certificates").expect_status(200).json();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("a text");
    let listener = &shown[0];
    assert_eq!(listener["protocol"], "amqp/ssl");
    assert_eq!(listener["port"], broker.ports["amqps"][0]);
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let of = |file: &str| lines(listener[file].as_str().expect("certificates"));
    assert_eq!(of("certfile"), lines(&text(certificate)));
    assert_eq!(of("cacertfile"), lines(&text(read(&papers.cacertfile))));
    assert_eq!(shown.as_array().expect("a list").len(), 1);
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_warren"))
        .args(["ctl", "certificates", "--data-dir"])
        .arg(broker.data_dir())
        .output()
        .expect("it runs");
    let told = text(output.stdout);
    assert!(output.status.success() && told.contains("protocol: amqp/ssl"), "{told}");
    assert!(
        told.contains(of("certfile")[1].as_str()) && !told.contains("PRIVATE"),
        "{told}"
    );
}
