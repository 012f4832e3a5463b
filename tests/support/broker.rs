//! A broker for a test: the built binary with a data directory of its own, or one that runs already.

use std::fs::File;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lapin::{Connection, ConnectionProperties};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::{Client, Http, PATIENCE};

/// A running broker. Our own is killed when this is dropped, and its log printed if the test
/// fails; of a broker that ran already only the vhost made for the test is deleted.
pub struct Broker {
    /// `host:port` of the AMQP listener.
    pub amqp: String,
    /// `host:port` of the HTTP API.
    pub management: Option<String>,
    vhost: String,
    own: Option<Own>,
}

/// A process of ours and what it runs on.
struct Own {
    child: Child,
    dir: TempDir,
    arguments: Vec<String>,
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
        let dir = tempfile::tempdir().expect("a temporary directory");
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let child = spawn(&dir, &arguments);
        let own = Own { child, dir, arguments };
        let mut broker = Self {
            amqp: String::new(),
            management: None,
            vhost: "/".to_owned(),
            own: Some(own),
        };
        broker.wait_until_ready();
        broker
    }

    fn running(amqp: String) -> Self {
        let management = std::env::var("WARREN_TEST_HTTP").ok();
        let mut broker = Self {
            amqp,
            management,
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

    /// The process of our own broker.
    pub fn pid(&self) -> u32 {
        self.own.as_ref().expect("a broker of our own").child.id()
    }

    /// Ends our broker as a power cut would end it, seen from the process.
    pub fn kill9(&mut self) {
        let own = self.own.as_mut().expect("a broker of our own");
        own.child.kill().expect("the process is ours");
        own.child.wait().expect("its end");
    }

    /// Ends our broker in order and waits for the end.
    pub fn stop(&mut self) -> ExitStatus {
        let own = self.own.as_mut().expect("a broker of our own");
        let pid = Pid::from_child(&own.child);
        kill_process(pid, Signal::TERM).expect("the process is ours");
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = own.child.try_wait().expect("its state") {
                return status;
            }
            assert!(Instant::now() < end, "still running {PATIENCE:?} after SIGTERM");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Starts our broker again on the same data; it must have ended.
    pub fn restart(&mut self) {
        let own = self.own.as_mut().expect("a broker of our own");
        let ended = own.child.try_wait().expect("its state");
        assert!(ended.is_some(), "restarted while running");
        own.child = spawn(&own.dir, &own.arguments);
        self.wait_until_ready();
    }

    /// What our broker wrote since it was first started.
    pub fn log(&self) -> String {
        let own = self.own.as_ref().expect("a broker of our own");
        std::fs::read_to_string(own.dir.path().join("log")).unwrap_or_default()
    }

    /// The data directory of our broker.
    pub fn data_dir(&self) -> PathBuf {
        self.own.as_ref().expect("a broker of our own").dir.path().join("data")
    }

    /// Waits for the file with the ports and reads it.
    fn wait_until_ready(&mut self) {
        let own = self.own.as_mut().expect("a broker of our own");
        let file = own.dir.path().join("ports.json");
        let end = Instant::now() + PATIENCE;
        let ports: Value = loop {
            let written = std::fs::read(&file).unwrap_or_default();
            if let Ok(ports) = serde_json::from_slice(&written) {
                break ports;
            }
            let ended = own.child.try_wait().expect("its state");
            assert!(ended.is_none(), "the broker ended with {ended:?}:\n{}", self.log());
            assert!(
                Instant::now() < end,
                "no ports file after {PATIENCE:?}:\n{}",
                self.log()
            );
            thread::sleep(Duration::from_millis(2));
        };
        let address = |listener: &str| {
            let port = ports[listener][0].as_u64()?;
            Some(format!("127.0.0.1:{port}"))
        };
        self.amqp = address("amqp").expect("an AMQP port");
        self.management = address("management");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        match &mut self.own {
            Some(own) => {
                // It may have ended already, then there is nothing to kill.
                let _ = own.child.kill();
                let _ = own.child.wait();
                if thread::panicking() {
                    eprintln!("── log of the broker ──\n{}", self.log());
                }
            }
            None if self.management.is_some() => {
                let path = format!("/api/vhosts/{}", self.vhost());
                // While a panic unwinds a second one would end the program without its message.
                let deleted = self.http().try_call("DELETE", &path, "");
                if !thread::panicking() {
                    deleted.expect("the API").expect_status(204);
                }
            }
            None => {}
        }
    }
}

fn spawn(dir: &TempDir, arguments: &Vec<String>) -> Child {
    let ports = dir.path().join("ports.json");
    // Of an earlier run: it must not be taken for this one's.
    let _ = std::fs::remove_file(&ports);
    let log = File::options()
        .create(true)
        .append(true)
        .open(dir.path().join("log"))
        .expect("a log file");
    let errors = log.try_clone().expect("the log file twice");
    Command::new(env!("CARGO_BIN_EXE_warren"))
        .arg("server")
        .arg("--data-dir")
        .arg(dir.path().join("data"))
        .args(["--amqp", "127.0.0.1:0", "--management", "127.0.0.1:0"])
        .args(["--prometheus", "none", "--cluster", "none", "--ports-file"])
        .arg(&ports)
        .args(arguments)
        // For the test, not for the broker, which warns of names that it does not know.
        .env_remove("WARREN_TEST_SEED")
        .env_remove("WARREN_TEST_ROUNDS")
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .expect("the built binary runs")
}

/// A name that no other test uses, on a broker that others use too.
pub fn unique(word: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{word}-{}-{count}", std::process::id())
}
