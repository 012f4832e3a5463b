//! `warren perf`: a load generator for Warren and any other broker of AMQP 0-9-1 or the stream protocol.
//!
//! Each publisher and each consumer is a thread with a socket of its own, because a thread that does nothing else is
//! what it takes not to be the bottleneck: publishers stamp ready-made frames and write thousands at once, consumers
//! scan what they read without copying it.
//!
//! ```text
//! args → topology (what is declared, who sends where) → load (the conductor)
//!          ├─ publisher: pace, batch, confirms ┐
//!          └─ consumer: deliveries, verify     ├─ link ─ wire (frames)
//!          stream: the same over the stream protocol   └─ pipe (socket)
//! load → stats, report
//! ```
//! Knows nothing of the broker's own code but the base words, not even its codec of AMQP 0-9-1: see [`wire`]. Over the
//! stream protocol what sets up is the broker's codec, what is sent and read under load its own.

mod args;
mod batch;
mod churn;
mod confirms;
mod consumer;
mod counters;
mod declare;
mod deliveries;
mod failure;
mod idle;
mod interrupt;
mod limits;
pub mod link;
pub mod link_error;
mod load;
mod pace;
pub mod pipe;
mod publisher;
mod report;
mod sending;
mod socket;
mod stamp;
#[cfg(test)]
mod stand_in;
mod stats;
mod stream;
#[cfg(test)]
mod tests;
mod topology;
pub mod uri;
mod verify;
pub mod wire;

use std::process::ExitCode;

use serde::Serialize;

pub use args::PerfArgs;
use failure::Failure;

/// Runs what the options ask for and prints the outcome. Fails when anything went wrong: an error, or messages
/// lost, refused or returned.
pub fn run(args: PerfArgs) -> ExitCode {
    match dispatch(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("warren perf: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &PerfArgs) -> Result<bool, Failure> {
    args.check()?;
    if let Some(count) = args.idle {
        let report = idle::run(args, count)?;
        let text = format!(
            "{} of {} connections held to the end\n",
            report.connections - report.closed,
            report.connections
        );
        print(args, &report, &text)?;
        return Ok(report.ok);
    }
    if let Some(per_second) = args.churn {
        let report = churn::run(args, per_second)?;
        let text = format!(
            "{} clients came and went in {:.1} s, {:.1} a second\n{}",
            report.clients,
            report.seconds,
            report.clients_per_s,
            report
                .errors
                .iter()
                .map(|error| format!("error: {error}\n"))
                .collect::<String>()
        );
        print(args, &report, &text)?;
        return Ok(report.ok);
    }
    if let Some(count) = args.declare {
        let report = declare::run(args, count)?;
        let deleted = report
            .delete_seconds
            .map(|seconds| format!(", deleted in {seconds:.2} s"));
        let text = format!(
            "{} queues declared in {:.2} s{}\n",
            report.queues,
            report.declare_seconds,
            deleted.unwrap_or_default()
        );
        print(args, &report, &text)?;
        return Ok(report.ok);
    }
    let report = load::run(args)?;
    print(args, &report, &report.to_string())?;
    Ok(report.ok)
}

fn print(args: &PerfArgs, report: &impl Serialize, text: &str) -> Result<(), Failure> {
    match args.json {
        true => println!("{}", serde_json::to_string(report)?),
        false => print!("{text}"),
    }
    Ok(())
}
