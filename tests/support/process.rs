//! A broker's process: the built binary on a data directory that outlives it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::PATIENCE;

/// The process, if it was started and has not ended, and what it runs on. Killed when this is
/// dropped, and its log printed if the test fails.
pub struct Process {
    /// Stands before the log.
    title: String,
    command: Vec<String>,
    dir: TempDir,
    child: Option<Child>,
}

impl Process {
    /// A process that is yet to be started: `command` is the program and its arguments, to which a
    /// data directory and the file for its ports are added.
    pub fn prepare(title: &str, command: Vec<String>) -> Self {
        Self {
            title: title.to_owned(),
            command,
            dir: tempfile::tempdir().expect("a temporary directory"),
            child: None,
        }
    }

    /// Starts it, on the data of its last run if there was one.
    pub fn start(&mut self) {
        assert!(!self.is_running(), "{} started while it runs", self.title);
        self.child = Some(spawn(self.dir.path(), &self.command));
    }

    /// Another value of a flag that it was prepared with, from the next start on.
    pub fn set_flag(&mut self, flag: &str, value: &str) {
        let at = self
            .command
            .iter()
            .position(|word| word == flag)
            .expect("the flag is given");
        self.command[at + 1] = value.to_owned();
    }

    pub fn id(&self) -> u32 {
        self.child.as_ref().expect("it was started").id()
    }

    pub fn is_running(&mut self) -> bool {
        let ended = self.child.as_mut().map(|child| child.try_wait().expect("its state"));
        matches!(ended, Some(None))
    }

    /// Ends it as a power cut would end it, seen from the process.
    pub fn kill9(&mut self) {
        let child = self.child.as_mut().expect("it was started");
        child.kill().expect("the process is ours");
        child.wait().expect("its end");
    }

    /// Ends it in order and waits for the end.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.end()
    }

    /// Waits until it has ended.
    pub fn end(&mut self) -> ExitStatus {
        let child = self.child.as_mut().expect("it was started");
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().expect("its state") {
                return status;
            }
            let title = &self.title;
            assert!(Instant::now() < end, "{title} still runs after {PATIENCE:?}");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Takes its processor time away; its sockets stay open. None of its threads runs any more after this.
    pub fn pause(&mut self) {
        self.signal(Signal::STOP);
        let end = Instant::now() + PATIENCE;
        while !self.is_paused() {
            assert!(Instant::now() < end, "{} still runs after {PATIENCE:?}", self.title);
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// The signal has to reach a thread before the others stop, which takes a while on a busy machine.
    fn is_paused(&self) -> bool {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.id())).expect("the process is ours");
        // What cannot be read has ended. The state follows the name, which is in brackets.
        let states = threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("stat")).ok());
        let mut states = states.filter_map(|stat| Some(stat.rsplit_once(") ")?.1.starts_with('T')));
        states.all(|is_stopped| is_stopped)
    }

    /// Goes on after [`Process::pause`].
    pub fn resume(&mut self) {
        self.signal(Signal::CONT);
    }

    /// Sends it a signal.
    pub fn signal(&mut self, signal: Signal) {
        let child = self.child.as_ref().expect("it was started");
        kill_process(Pid::from_child(child), signal).expect("the process is ours");
    }

    /// What it wrote since it was first started.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Its open files in the data directory.
    pub fn open_files(&self) -> Vec<PathBuf> {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.id())).expect("the process is ours");
        // One may be closed before its name is read.
        let names = open.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
        names.filter(|name| name.starts_with(self.data_dir())).collect()
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Its ports, once it has written them: it is ready then.
    pub fn ports(&mut self) -> Option<Value> {
        assert!(self.is_running(), "{} has ended", self.title);
        // It may be caught half written.
        let written = std::fs::read(self.dir.path().join("ports.json")).ok()?;
        serde_json::from_slice(&written).ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended already, then there is nothing to kill.
            let _ = child.kill();
            let _ = child.wait();
        }
        if thread::panicking() {
            eprintln!("── log of {} ──\n{}", self.title, self.log());
        }
    }
}

fn spawn(dir: &Path, command: &[String]) -> Child {
    let ports = dir.join("ports.json");
    // Of an earlier run: it must not be taken for this one's.
    let _ = std::fs::remove_file(&ports);
    let log = File::options()
        .create(true)
        .append(true)
        .open(dir.join("log"))
        .expect("a log file");
    let errors = log.try_clone().expect("the log file twice");
    Command::new(&command[0])
        .args(&command[1..])
        .arg("--data-dir")
        .arg(dir.join("data"))
        .arg("--ports-file")
        .arg(&ports)
        // For the test, not for the broker, which warns of names that it does not know.
        .env_remove("WARREN_TEST_SEED")
        .env_remove("WARREN_TEST_ROUNDS")
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .expect("the built binary runs")
}
