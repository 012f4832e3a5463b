//! `warren ctl` on a running broker; what is expected was captured from RabbitMQ 4.0.5's command
//! line tools.

#[path = "../support/mod.rs"]
mod support;

mod access;
mod definitions;
mod formats;
mod lists;
mod maintenance;
mod migrate;
mod node;
mod policies;
mod remote;
mod scripts;
mod streams;
mod usage;
mod users;
mod vhosts;

use std::process::{Command, Stdio};

use support::Broker;

/// What a command wrote, and its exit status.
#[derive(Debug, PartialEq)]
struct Ran {
    out: String,
    errors: String,
    status: i32,
}

impl Ran {
    /// What it wrote, if it wrote no errors and its status is 0.
    #[track_caller]
    fn well(self) -> String {
        assert_eq!((self.status, self.errors.as_str()), (0, ""), "{}", self.out);
        self.out
    }

    /// What it said was wrong, if it has this status.
    #[track_caller]
    fn failed(self, status: i32) -> String {
        assert_eq!(self.status, status, "{}{}", self.out, self.errors);
        self.errors
    }
}

/// The command for a broker of the test's own.
fn command(broker: &Broker, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warren"));
    command.arg("ctl").arg("--data-dir").arg(broker.data_dir());
    command.args(arguments).stdin(Stdio::null());
    command
}

fn ran(mut command: Command) -> Ran {
    let output = command.output().expect("the built binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Ran {
        out: text(output.stdout),
        errors: text(output.stderr),
        status: output.status.code().expect("an end of its own"),
    }
}

/// Runs `warren ctl` against the broker.
fn ctl(broker: &Broker, arguments: &[&str]) -> Ran {
    ran(command(broker, arguments))
}
