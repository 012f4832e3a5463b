//! TLS with clients: lapin and sockets of our own against the built broker, with certificates made for each
//! test. `tests/clients` does the same with OpenSSL, curl, pika and amqplib.

#[path = "../support/mod.rs"]
mod support;

mod clients;
mod files;
mod names;
mod refused;
mod renewed;

use std::path::Path;

use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::{Connection, ConnectionProperties};
use support::Broker;
use support::authority::{Authority, Papers};
use tempfile::TempDir;

/// A broker with TLS, and who signs for it and its clients.
pub struct Secured {
    pub broker: Broker,
    pub authority: Authority,
    /// Of the broker.
    pub papers: Papers,
    pub directory: TempDir,
}

impl Secured {
    /// With more lines of configuration.
    pub fn start(lines: &[&str]) -> Self {
        let authority = Authority::new("ours");
        let directory = tempfile::tempdir().expect("a directory");
        let papers = authority.issue_for("server", &["localhost", "127.0.0.1"], directory.path());
        let config = configuration(&papers, lines, directory.path());
        let broker = Broker::start_with(&["--config", &config, "--amqps", "127.0.0.1:0"]);
        Self {
            broker,
            authority,
            papers,
            directory,
        }
    }

    /// The port of a listener.
    pub fn port(&self, listener: &str) -> u64 {
        self.broker.ports[listener][0].as_u64().expect("it listens there")
    }

    /// Connects lapin over TLS, as guest or, with a certificate, as whom that names.
    pub async fn connect(&self, certificate: Option<&Papers>) -> lapin::Result<Connection> {
        let identity = certificate.map(|papers| OwnedIdentity::PKCS8 {
            pem: read(&papers.certfile),
            key: read(&papers.keyfile),
        });
        let mechanism = if certificate.is_some() {
            "?auth_mechanism=external"
        } else {
            ""
        };
        let uri = format!("amqps://guest:guest@localhost:{}/%2f{mechanism}", self.port("amqps"));
        let config = OwnedTLSConfig {
            identity,
            cert_chain: Some(String::from_utf8(read(&self.papers.cacertfile)).expect("a text")),
        };
        let runtime = lapin::runtime::default_runtime().expect("a runtime");
        Connection::connect_with_config(&uri, ConnectionProperties::default(), config, runtime).await
    }

    /// Waits until the log of the broker has it.
    pub fn logged(&self, text: &str) {
        let end = std::time::Instant::now() + support::PATIENCE;
        while !self.broker.log().contains(text) {
            assert!(std::time::Instant::now() < end, "the log does not have: {text}");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

/// The lines for AMQP over TLS, and more.
pub fn configuration(papers: &Papers, lines: &[&str], directory: &Path) -> String {
    let own = [
        format!("ssl_options.cacertfile = {}", papers.cacertfile.display()),
        format!("ssl_options.certfile = {}", papers.certfile.display()),
        format!("ssl_options.keyfile = {}", papers.keyfile.display()),
    ];
    let all: Vec<_> = own.iter().map(String::as_str).chain(lines.iter().copied()).collect();
    let config = directory.join("tls.conf");
    std::fs::write(&config, all.join("\n") + "\n").expect("written");
    config.to_str().expect("a path").to_owned()
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("a file of ours")
}
