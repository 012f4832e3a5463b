//! A broker for a test: the built binary with a data directory of its own, or one that runs already.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lapin::{Connection, ConnectionProperties};

use super::{Client, Http, PATIENCE, Process};

/// A running broker. Our own is killed when this is dropped, and its log printed if the test
/// fails; of a broker that ran already only the vhost made for the test is deleted.
pub struct Broker {
    /// `host:port` of the AMQP listener.
    pub amqp: String,
    /// `host:port` of the HTTP API.
    pub management: Option<String>,
    /// Ports of all listeners, by their names; none of a broker that ran already.
    pub ports: serde_json::Value,
    /// `host:port` of the listener for Prometheus.
    pub prometheus: Option<String>,
    vhost: String,
    own: Option<Process>,
}

impl Broker {
    /// The broker named by `WARREN_TEST_AMQP`, else one of our own.
    pub fn shared() -> Self {
        match std::env::var("WARREN_TEST_AMQP") {
            Ok(address) => Self::running(address),
            Err(_) => Self::start(),
        }
    }

    /// A broker of our own, empty.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with more flags or a file of settings among `arguments`.
    pub fn start_with(arguments: &[&str]) -> Self {
        Self::start_where("none", "none", arguments)
    }

    /// The same with a listener for other nodes.
    pub fn start_linked(arguments: &[&str]) -> Self {
        Self::start_where("127.0.0.1:0", "none", arguments)
    }

    /// The same with a listener for Prometheus.
    pub fn start_measured(arguments: &[&str]) -> Self {
        Self::start_where("none", "127.0.0.1:0", arguments)
    }

    fn start_where(cluster: &str, prometheus: &str, arguments: &[&str]) -> Self {
        let ours = [env!("CARGO_BIN_EXE_warren"), "server", "--amqp", "127.0.0.1:0"];
        let listeners = [
            "--management",
            "127.0.0.1:0",
            "--prometheus",
            prometheus,
            "--cluster",
            cluster,
        ];
        // The port is open by default, and tests run side by side.
        let stream: &[&str] = match arguments.contains(&"--stream") {
            true => &[],
            false => &["--stream", "none"],
        };
        let command = ours.iter().chain(&listeners).chain(stream).chain(arguments);
        let mut process = Process::prepare("the broker", command.map(|&word| word.to_owned()).collect());
        process.start();
        let mut broker = Self {
            amqp: String::new(),
            management: None,
            ports: serde_json::Value::Null,
            prometheus: None,
            vhost: "/".to_owned(),
            own: Some(process),
        };
        broker.wait_until_ready();
        broker
    }

    fn running(amqp: String) -> Self {
        let management = std::env::var("WARREN_TEST_HTTP").ok();
        let mut broker = Self {
            amqp,
            management,
            ports: serde_json::Value::Null,
            prometheus: None,
            vhost: "/".to_owned(),
            own: None,
        };
        if broker.management.is_some() {
            broker.vhost = unique("test");
            let vhost = format!("/api/vhosts/{}", broker.vhost);
            broker.http().put(&vhost, "{}").expect_status(201);
            let permissions = format!("/api/permissions/{}/guest", broker.vhost);
            let all = r#"{"configure":".*","write":".*","read":".*"}"#;
            broker.http().put(&permissions, all);
        }
        broker
    }

    /// The vhost of the test, as texts have it.
    pub fn vhost_name(&self) -> &str {
        &self.vhost
    }

    /// The same as it stands in a path.
    pub fn vhost(&self) -> String {
        self.vhost.replace('/', "%2f")
    }

    /// The address for a client library.
    pub fn uri(&self) -> String {
        format!("amqp://guest:guest@{}/{}", self.amqp, self.vhost())
    }

    /// A client with a connection and a channel.
    pub async fn client(&self) -> Client {
        Client::new(self.connect().await).await
    }

    /// A connection of lapin's.
    pub async fn connect(&self) -> Connection {
        self.try_connect(&self.uri()).await.expect("a connection")
    }

    /// The same for an address of one's own.
    pub async fn try_connect(&self, uri: &str) -> lapin::Result<Connection> {
        Connection::connect(uri, ConnectionProperties::default()).await
    }

    /// The HTTP API as guest.
    pub fn http(&self) -> Http {
        Http::new(self.management.as_ref().expect("the HTTP API"))
    }

    /// Where Prometheus scrapes, as guest.
    pub fn metrics(&self) -> Http {
        Http::new(self.prometheus.as_ref().expect("a listener for Prometheus"))
    }

    /// Where our broker listens for what its file of ports calls so.
    pub fn address_of(&self, listener: &str) -> String {
        format!("127.0.0.1:{}", self.ports[listener][0])
    }

    /// The process of our own broker.
    pub fn pid(&self) -> u32 {
        self.own.as_ref().expect("a broker of our own").id()
    }

    /// Ends our broker as a power cut would end it, seen from the process.
    pub fn kill9(&mut self) {
        self.process().kill9();
    }

    /// Ends our broker in order and waits for the end.
    pub fn stop(&mut self) -> ExitStatus {
        self.process().stop()
    }

    /// Tells our broker that its terminal is gone, or its log file moved away.
    pub fn hang_up(&mut self) {
        self.process().signal(rustix::process::Signal::HUP);
    }

    /// Starts our broker again on the same data; it must have ended.
    pub fn restart(&mut self) {
        self.process().start();
        self.wait_until_ready();
    }

    /// Starts our broker again on the same data, which keeps it from running, and waits for its end.
    pub fn restart_in_vain(&mut self) -> ExitStatus {
        self.process().start();
        self.process().end()
    }

    /// What our broker wrote since it was first started.
    pub fn log(&self) -> String {
        self.own.as_ref().expect("a broker of our own").log()
    }

    /// The data directory of our broker.
    pub fn data_dir(&self) -> PathBuf {
        self.own.as_ref().expect("a broker of our own").data_dir()
    }

    fn process(&mut self) -> &mut Process {
        self.own.as_mut().expect("a broker of our own")
    }

    /// Waits for the file with the ports and reads it.
    fn wait_until_ready(&mut self) {
        let end = Instant::now() + PATIENCE;
        let ports = loop {
            if let Some(ports) = self.process().ports() {
                break ports;
            }
            assert!(Instant::now() < end, "no ports file after {PATIENCE:?}");
            thread::sleep(Duration::from_millis(2));
        };
        let address = |listener: &str| {
            let port = ports[listener][0].as_u64()?;
            Some(format!("127.0.0.1:{port}"))
        };
        self.amqp = address("amqp").expect("an AMQP port");
        self.management = address("management");
        self.prometheus = address("prometheus");
        self.ports = ports;
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if self.own.is_none() && self.management.is_some() {
            let path = format!("/api/vhosts/{}", self.vhost());
            // While a panic unwinds a second one would end the program without its message.
            let deleted = self.http().try_call("DELETE", &path, "");
            if !thread::panicking() {
                deleted.expect("the API").expect_status(204);
            }
        }
    }
}

/// A name that no other test uses, on a broker that others use too.
pub fn unique(word: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{word}-{}-{count}", std::process::id())
}
