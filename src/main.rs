//! Arguments in, exit code out.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "warren", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Perf(warren::perf::PerfArgs),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Perf(args) => warren::perf::run(args),
    }
}
