//! A network of its own for each node, where packets between two nodes can be made to vanish: in
//! one direction or both, and without anybody being told, as with a broken switch.
//!
//! The test's thread and what it starts live in a network namespace with a bridge, and each node in
//! one more that is plugged into it. All of it is gone when the last process there has ended.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::support::Place;

/// Where packets to nowhere are sent.
const NOBODY: &str = "02:00:00:00:00:ff";

/// The nodes' namespaces, each held by a process that does nothing else.
pub struct Network {
    holders: Vec<Child>,
}

impl Network {
    /// Makes networks for so many nodes, and takes this thread to where it reaches them all: every
    /// socket that it opens from now on is there. None, and a line that says so, where the rights
    /// or the programs for it are missing.
    pub fn enter(nodes: usize) -> Option<Self> {
        // SAFETY: a new network namespace takes no file descriptor or memory from anybody; it only
        // decides where this thread's later sockets are.
        let entered = unsafe { unshare_unsafe(UnshareFlags::NEWNET) };
        if let Err(error) = entered {
            println!("skipped: no network of one's own (to be root or CAP_NET_ADMIN is needed): {error}");
            return None;
        }
        if Command::new("ip").arg("-V").output().is_err() {
            println!("skipped: the program ip (iproute2) is not installed");
            return None;
        }
        run("ip link set lo up");
        run("ip link add hub type bridge");
        run("ip address add 10.0.0.254/24 dev hub");
        run("ip link set hub up");
        let holders = (1..=nodes).map(plug_in).collect();
        Some(Self { holders })
    }

    /// Where the nodes run.
    pub fn places(&self) -> Vec<Place> {
        let places = self.holders.iter().enumerate().map(|(at, holder)| Place {
            host: address(at + 1),
            through: vec!["nsenter".to_owned(), format!("--net=/proc/{}/ns/net", holder.id())],
        });
        places.collect()
    }

    /// From now on what one node sends to the other does not arrive.
    pub fn cut_one_way(&self, from: usize, to: usize) {
        self.send_to(from, to, NOBODY);
    }

    /// The same in both directions.
    pub fn cut(&self, one: usize, other: usize) {
        self.cut_one_way(one, other);
        self.cut_one_way(other, one);
    }

    /// Everything arrives again.
    pub fn heal(&self) {
        for from in 1..=self.holders.len() {
            for to in (1..=self.holders.len()).filter(|&to| to != from) {
                self.send_to(from, to, &hardware(to));
            }
        }
    }

    fn send_to(&self, from: usize, to: usize, hardware: &str) {
        let (holder, to) = (self.holders[from - 1].id(), address(to));
        run(&format!(
            "nsenter --net=/proc/{holder}/ns/net ip neigh replace {to} lladdr {hardware} dev eth0 nud permanent"
        ));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for holder in &mut self.holders {
            // It may have ended already, then there is nothing to kill.
            let _ = holder.kill();
            let _ = holder.wait();
        }
    }
}

fn plug_in(node: usize) -> Child {
    let mut holder = Command::new("unshare")
        .args(["--net", "sh", "-c", "echo ready; exec sleep infinity"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("unshare runs");
    let mut line = String::new();
    let said = holder.stdout.take().expect("it is piped");
    BufReader::new(said)
        .read_line(&mut line)
        .expect("it says that it is ready");
    assert_eq!(line, "ready\n");
    let id = holder.id();
    let inside = format!("nsenter --net=/proc/{id}/ns/net");
    run(&format!("ip link add plug{node} type veth peer name eth0 netns {id}"));
    run(&format!("ip link set plug{node} master hub up"));
    run(&format!("{inside} ip link set lo up"));
    run(&format!("{inside} ip link set eth0 address {} up", hardware(node)));
    run(&format!("{inside} ip address add {}/24 dev eth0", address(node)));
    holder
}

fn address(node: usize) -> String {
    format!("10.0.0.{node}")
}

fn hardware(node: usize) -> String {
    format!("02:00:00:00:00:{node:02x}")
}

fn run(command: &str) {
    let mut words = command.split(' ');
    let program = words.next().expect("a program");
    let done = Command::new(program).args(words).output().expect(program);
    let error = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command}: {error}");
}
