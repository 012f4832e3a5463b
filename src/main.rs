//! `warren`: arguments in, exit code out.

use std::process::ExitCode;

use warren::allocator::Allocator;
use warren::cli::{self, Cli, Command, ServerArgs};
use warren::node::NodeError;
use warren::{config, logging, node};

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> ExitCode {
    match Cli::of_process().command() {
        Command::Server(args) => serve(args),
        Command::Perf(args) => warren::perf::run(*args),
        Command::Migrate(args) => warren::migrate::run(&args),
        Command::Ctl(args) => cli::control(args),
    }
}

/// Runs a node until it is told to stop. What keeps it from starting, or ends it, goes to the terminal,
/// for there may be no log.
fn serve(args: ServerArgs) -> ExitCode {
    match start(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            error.downcast_ref().map_or(ExitCode::FAILURE, NodeError::status)
        }
    }
}

fn start(args: ServerArgs) -> Result<(), Box<dyn std::error::Error>> {
    let config = config::load(&args.flags())?;
    let _logging = logging::start(&config)?;
    for file in &config.files {
        tracing::info!(file = %file.display(), "configuration read");
    }
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    node::run(config)?;
    Ok(())
}
