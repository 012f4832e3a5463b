//! `--declare N`: declares queues one after the other and reports how long that takes.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::args::PerfArgs;
use super::failure::Failure;
use super::link::Link;
use super::report::tenths_of_ms;
use super::topology::{declare_queue, delete_queue, queue_arguments, queue_names};

/// How long it took.
#[derive(Debug, Serialize)]
pub struct DeclareReport {
    pub ok: bool,
    pub queues: usize,
    pub declare_seconds: f64,
    /// `None` when they were kept.
    pub delete_seconds: Option<f64>,
    pub errors: Vec<String>,
}

/// Declares `count` queues, each after the reply to the one before, and deletes them unless told to keep them.
pub fn run(args: &PerfArgs, count: usize) -> Result<DeclareReport, Failure> {
    let mut link = Link::open(&args.uri, "warren perf declare", 16 * 1024)?;
    link.open_channel()?;
    let (names, arguments) = (queue_names(&args.queue, count), queue_arguments(args));
    let begin = Instant::now();
    for name in &names {
        declare_queue(&mut link, name, !args.transient_queue, &arguments)?;
    }
    let declare_seconds = tenths_of_ms(begin.elapsed().as_secs_f64());
    let begin = Instant::now();
    if !args.keep {
        for name in &names {
            delete_queue(&mut link, name)?;
        }
    }
    let delete_seconds = (!args.keep).then(|| tenths_of_ms(begin.elapsed().as_secs_f64()));
    link.close(Duration::from_secs(5));
    Ok(DeclareReport {
        ok: true,
        queues: names.len(),
        declare_seconds,
        delete_seconds,
        errors: Vec::new(),
    })
}
