//! Logins that the catalogue does not know: tokens, a server asked over HTTP, a directory. The issuer of tokens and
//! the server are a few lines here, the directory is Debian's slapd.

#[path = "../support/mod.rs"]
mod support;

mod directory;
mod http;
mod refused;
mod tokens;

use lapin::{Connection, ConnectionProperties};
use support::Broker;
use tempfile::TempDir;

/// A broker with these lines of configuration.
pub struct Configured {
    pub broker: Broker,
    pub directory: TempDir,
}

impl Configured {
    pub fn start(lines: &[String]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let config = directory.path().join("logins.conf");
        std::fs::write(&config, lines.join("\n") + "\n").expect("written");
        let broker = Broker::start_with(&["--config", config.to_str().expect("a path"), "--stream", "127.0.0.1:0"]);
        Self { broker, directory }
    }

    /// A connection as that user into a vhost, as it stands in an address.
    pub async fn connect(&self, user: &str, password: &str, vhost: &str) -> lapin::Result<Connection> {
        let uri = format!("amqp://{user}:{password}@{}/{vhost}", self.broker.amqp);
        Connection::connect(&uri, ConnectionProperties::default()).await
    }

    /// Waits until the log of the broker has it.
    pub fn logged(&self, text: &str) {
        let end = std::time::Instant::now() + support::PATIENCE;
        while !self.broker.log().contains(text) {
            assert!(std::time::Instant::now() < end, "the log does not have: {text}");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// The HTTP API as that user.
    pub fn http(&self, user: &str, password: &str) -> support::Http {
        let address = self.broker.management.as_ref().expect("the HTTP API");
        support::Http::as_user(address, user, password)
    }
}
