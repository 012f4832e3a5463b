//! Several brokers that form a cluster: real processes, which a test ends, pauses and starts again.
//!
//! Each node has an address of its own (on the loopback network, or in a network namespace) and all
//! have the same ports there, so that a node that starts again is where it was, and no connection of
//! anybody's can have taken its port meanwhile.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use lapin::{Connection, ConnectionProperties};
use serde_json::Value;
use tempfile::TempDir;

use super::authority::{Authority, Papers};
use super::{Client, Http, Process};

/// How long a cluster may take to be as a test wants it: nodes are missed for seconds before others
/// take over, and the machine is shared.
pub const CLUSTER_PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at something that has no way to tell.
const LOOK: Duration = Duration::from_millis(20);
/// What every node is told in its file.
const SETTINGS: &str = "loopback_users = none\n";

/// The nodes, counted from 1.
pub struct Cluster {
    nodes: Vec<Process>,
    places: Vec<Place>,
    /// Files of all of them: their secret and their settings.
    shared: TempDir,
}

/// Where a node runs.
#[derive(Clone, Debug)]
pub struct Place {
    /// The address that it listens at.
    pub host: String,
    /// The program that takes the broker there, with its arguments; empty for none.
    pub through: Vec<String>,
}

impl Cluster {
    /// Starts so many nodes all at once, and waits until all are ready and know each other.
    pub async fn of(count: usize) -> Self {
        Self::at(loopback(count)).await
    }

    /// The same at places of one's own.
    pub async fn at(places: Vec<Place>) -> Self {
        Self::stopped(places).started().await
    }

    /// The same as [`Cluster::of`], with TLS between the nodes.
    pub async fn with_tls(count: usize) -> Self {
        let cluster = Self::stopped(loopback(count));
        let authority = Authority::new("the cluster's");
        for node in cluster.all() {
            let directory = cluster.shared.path();
            let papers = authority.issue(&format!("n{node}"), directory);
            let mut text = SETTINGS.to_owned();
            text.push_str(&settings(&papers));
            std::fs::write(settings_file(directory, node), text).expect("it is ours");
        }
        cluster.started().await
    }

    /// The same as [`Cluster::of`], with more lines in the configuration of each node.
    pub async fn with_settings(count: usize, more: impl Fn(usize) -> String) -> Self {
        let cluster = Self::stopped(loopback(count));
        for node in cluster.all() {
            let text = SETTINGS.to_owned() + &more(node);
            std::fs::write(settings_file(cluster.shared.path(), node), text).expect("it is ours");
        }
        cluster.started().await
    }

    async fn started(mut self) -> Self {
        for node in self.all() {
            self.start(node);
        }
        self.all_ready().await;
        self
    }

    /// Nodes that are yet to be started, each with [`Cluster::start`].
    pub fn stopped(places: Vec<Place>) -> Self {
        let shared = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(shared.path().join("secret"), "the secret of a test").expect("it is ours");
        for node in 1..=places.len() {
            std::fs::write(settings_file(shared.path(), node), SETTINGS).expect("it is ours");
        }
        let nodes = (1..=places.len())
            .map(|node| Process::prepare(&format!("node {node}"), command(&places, node, shared.path())))
            .collect();
        Self { nodes, places, shared }
    }

    /// The numbers of the nodes.
    pub fn all(&self) -> Vec<usize> {
        (1..=self.nodes.len()).collect()
    }

    /// The numbers of the nodes but this one.
    pub fn others(&self, node: usize) -> Vec<usize> {
        self.all().into_iter().filter(|&other| other != node).collect()
    }

    /// The name of a node in the cluster.
    pub fn name(&self, node: usize) -> String {
        name(node)
    }

    /// `host:port` of a node's AMQP listener.
    pub fn amqp(&self, node: usize) -> String {
        format!("{}:5672", self.places[node - 1].host)
    }

    /// The address of a node for a client library.
    pub fn uri(&self, node: usize) -> String {
        format!("amqp://guest:guest@{}/%2f", self.amqp(node))
    }

    /// A connection and a channel to a node.
    pub async fn client(&self, node: usize) -> Client {
        let connected = Connection::connect(&self.uri(node), ConnectionProperties::default()).await;
        Client::new(connected.expect("a connection")).await
    }

    /// The HTTP API of a node.
    pub fn http(&self, node: usize) -> Http {
        Http::new(&format!("{}:15672", self.places[node - 1].host))
    }

    /// Starts a node, on its data if it ran before.
    pub fn start(&mut self, node: usize) {
        self.nodes[node - 1].start();
    }

    /// Gives a node another name, from its next start on.
    pub fn rename(&mut self, node: usize, name: &str) {
        self.nodes[node - 1].set_flag("--node-name", name);
    }

    /// Ends a node in order, with its clients told and its queues handed over.
    pub fn stop(&mut self, node: usize) {
        let ended = self.nodes[node - 1].stop();
        assert!(ended.success(), "node {node} ended with {ended}");
    }

    /// Waits until a node has ended by itself.
    pub fn end(&mut self, node: usize) -> ExitStatus {
        self.nodes[node - 1].end()
    }

    /// Adds to the settings of a node, from its next start on.
    pub fn configure(&self, node: usize, settings: &str) {
        let text = format!("{SETTINGS}{settings}");
        std::fs::write(settings_file(self.shared.path(), node), text).expect("it is ours");
    }

    /// Where a node keeps everything.
    pub fn data_dir(&self, node: usize) -> PathBuf {
        self.nodes[node - 1].data_dir()
    }

    /// What a node wrote since it was first started.
    pub fn log(&self, node: usize) -> String {
        self.nodes[node - 1].log()
    }

    /// Files of its data directory that a node has open.
    pub fn open_files(&self, node: usize) -> Vec<PathBuf> {
        self.nodes[node - 1].open_files()
    }

    /// `kill -9`.
    pub fn kill9(&mut self, node: usize) {
        self.nodes[node - 1].kill9();
    }

    /// Runs a command of `warren ctl` on a node and gives what it said, if its exit status is this.
    #[track_caller]
    pub fn ctl(&self, node: usize, arguments: &[&str], status: i32) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_warren"));
        command
            .arg("ctl")
            .arg("--data-dir")
            .arg(self.nodes[node - 1].data_dir());
        let output = command.args(arguments).stdin(Stdio::null()).output();
        let output = output.expect("the built binary runs");
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("text"));
        let said = said.concat();
        assert_eq!(
            output.status.code(),
            Some(status),
            "{arguments:?} at node {node}: {said}"
        );
        said
    }

    /// Takes the data of a node away, which does not run.
    pub fn wipe(&mut self, node: usize) {
        std::fs::remove_dir_all(self.nodes[node - 1].data_dir()).expect("it is ours");
    }

    /// Where other nodes find a node.
    pub fn address(&self, node: usize) -> String {
        format!("{}:25672", self.places[node - 1].host)
    }

    /// Takes the processor away from a node.
    pub fn pause(&mut self, node: usize) {
        self.nodes[node - 1].pause();
    }

    /// Gives it back.
    pub fn resume(&mut self, node: usize) {
        self.nodes[node - 1].resume();
    }

    /// Ends a node in order, starts it again and waits until all nodes are ready.
    pub async fn restart(&mut self, node: usize) {
        self.stop(node);
        self.start(node);
        self.all_ready().await;
    }

    /// Waits until every node serves clients and says of all that they run.
    pub async fn all_ready(&mut self) {
        let nodes = self.all();
        self.ready(&nodes).await;
    }

    /// Waits until each of these nodes serves clients and says that exactly these run.
    pub async fn ready(&mut self, nodes: &[usize]) {
        let mut names: Vec<_> = nodes.iter().map(|&node| name(node)).collect();
        names.sort();
        for &node in nodes {
            let what = format!("node {node} ready and seeing {names:?} run");
            until(&what, || {
                assert!(self.nodes[node - 1].is_running(), "node {node} has ended");
                self.serves(node) && self.running(node).is_some_and(|running| running == names)
            })
            .await;
        }
    }

    /// Whether a node says that it serves clients.
    pub fn serves(&self, node: usize) -> bool {
        let asked = self
            .http(node)
            .try_call("GET", "/api/health/checks/ready-to-serve-clients", "");
        asked.is_ok_and(|answer| answer.status == 200)
    }

    /// The names of the nodes that run, as one of them sees it; none when it does not answer.
    pub fn running(&self, node: usize) -> Option<Vec<String>> {
        let answer = self.http(node).try_call("GET", "/api/nodes", "").ok()?;
        if answer.status != 200 {
            return None;
        }
        let nodes = answer.json();
        let running = nodes.as_array()?.iter().filter(|node| node["running"] == true);
        let mut names: Vec<_> = running
            .filter_map(|node| Some(node["name"].as_str()?.to_owned()))
            .collect();
        names.sort();
        Some(names)
    }

    /// What a node says of a queue of the default vhost; none when it does not say it.
    pub fn queue(&self, asked: usize, queue: &str) -> Option<Value> {
        let path = format!("/api/queues/%2f/{queue}");
        let answer = self.http(asked).try_call("GET", &path, "").ok()?;
        (answer.status == 200).then(|| answer.json())
    }

    /// Which node leads a quorum queue, in the eyes of one of them; waits until there is one among
    /// `nodes`.
    pub async fn leader(&self, asked: usize, queue: &str, nodes: &[usize]) -> usize {
        let mut leader = None;
        until(&format!("a leader of {queue} among {nodes:?}"), || {
            let seen = self.queue(asked, queue);
            leader = seen.and_then(|queue| {
                let name = queue["leader"].as_str()?;
                nodes.iter().copied().find(|&node| self.name(node) == name)
            });
            leader.is_some()
        })
        .await;
        leader.expect("waited for")
    }

    /// Makes another member lead a quorum queue, and waits until it does.
    pub async fn transfer(&self, queue: &str, to: usize) {
        self.ctl(to, &["transfer_leadership", queue, &self.name(to)], 0);
        self.leader(to, queue, &[to]).await;
    }
}

/// Looks again and again until something is so. For what has no way to tell.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + CLUSTER_PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "not after {CLUSTER_PATIENCE:?}: {what}");
        tokio::time::sleep(LOOK).await;
    }
}

/// Addresses on the loopback network that no other test has, in all likelihood.
pub fn loopback(count: usize) -> Vec<Place> {
    // Not 127.0: others listen there.
    let (second, third) = (rand::random_range(1..255), rand::random_range(1..255));
    (1..=count)
        .map(|node| Place {
            host: format!("127.{second}.{third}.{node}"),
            through: Vec::new(),
        })
        .collect()
}

fn settings_file(shared: &Path, node: usize) -> PathBuf {
    shared.join(format!("n{node}.conf"))
}

/// TLS with these files, as lines of a configuration file.
fn settings(papers: &Papers) -> String {
    let Papers {
        cacertfile,
        certfile,
        keyfile,
    } = papers;
    let lines = [("cacertfile", cacertfile), ("certfile", certfile), ("keyfile", keyfile)];
    let lines = lines.map(|(key, file)| format!("cluster.tls.{key} = {}\n", file.display()));
    lines.concat()
}

fn name(node: usize) -> String {
    format!("rabbit@n{node}")
}

fn command(places: &[Place], node: usize, shared: &Path) -> Vec<String> {
    let Place { host, through } = &places[node - 1];
    let mut command = through.clone();
    command.extend([env!("CARGO_BIN_EXE_warren").to_owned(), "server".to_owned()]);
    let mut flag = |name: &str, value: String| command.extend([name.to_owned(), value]);
    flag("--node-name", name(node));
    flag("--amqp", format!("{host}:5672"));
    flag("--stream", format!("{host}:5552"));
    flag("--management", format!("{host}:15672"));
    flag("--prometheus", "none".to_owned());
    flag("--cluster", format!("{host}:25672"));
    flag("--advertise", format!("{host}:25672"));
    flag("--cluster-secret-file", shared.join("secret").display().to_string());
    flag("--config", settings_file(shared, node).display().to_string());
    // All get the same list.
    for place in places {
        flag("--join", format!("{}:25672", place.host));
    }
    command
}
