//! `--churn N`: clients that come, use a queue of their own for a moment, and go.
//!
//! ```text
//! connect → declare → publish some → consume, acknowledge → cancel → delete → close      N a second
//! ```
//! Each publisher is a thread that serves its share of the clients one after the other; where it falls
//! behind, fewer clients come, and the report says so.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;

use super::args::PerfArgs;
use super::failure::Failure;
use super::interrupt;
use super::link::Link;
use super::link_error::LinkError;
use super::report::{rate, tenths_of_ms};
use super::topology::{declare_queue, delete_queue, queue_arguments};
use super::wire::{self, MethodFrame, Publish, id};
use crate::types::FieldTable;

/// Messages that each client publishes.
const MESSAGES: u64 = 5;
const CONSUMER: &str = "churn";
/// Input buffer of a client.
const READ_BYTES: usize = 16 * 1024;
/// Clients that fail are not counted for ever.
const MOST_ERRORS: usize = 10;

/// How many came.
#[derive(Debug, Serialize)]
pub struct ChurnReport {
    pub ok: bool,
    /// Clients that did all they came for.
    pub clients: u64,
    pub seconds: f64,
    pub clients_per_s: f64,
    /// Why the first ones failed that did.
    pub errors: Vec<String>,
}

#[derive(Default)]
struct Done {
    clients: u64,
    errors: Vec<String>,
}

/// What all threads share.
struct Shared {
    args: PerfArgs,
    arguments: FieldTable,
    body: Vec<u8>,
    begin: Instant,
    /// Between two clients of one thread.
    every: Duration,
    done: Mutex<Done>,
}

/// Lets `per_second` clients come each second, for the options' seconds or until interrupted.
pub fn run(args: &PerfArgs, per_second: u32) -> Result<ChurnReport, Failure> {
    let (sender, interrupts) = channel();
    interrupt::watch(move || {
        // Nobody listens once the run is over.
        let _ = sender.send(());
    })
    .map_err(Failure::Thread)?;
    let threads = args.publishers.max(1) as u32;
    let shared = Arc::new(Shared {
        arguments: queue_arguments(args),
        body: vec![0; args.size],
        begin: Instant::now(),
        every: Duration::from_secs(1) * threads / per_second,
        done: Mutex::default(),
        args: args.clone(),
    });
    let started: Result<Vec<_>, _> = (0..threads).map(|number| start(&shared, number, threads)).collect();
    let workers = started.map_err(Failure::Thread)?;
    let over = args.seconds.map_or(Duration::MAX, Duration::from_secs_f64);
    // An interrupt is no error, and there is nothing else to hear.
    let _ = interrupts.recv_timeout(over);
    for (stop, thread) in workers {
        drop(stop);
        if thread.join().is_err() {
            shared.done.lock().errors.push("a thread panicked".to_owned());
        }
    }
    let seconds = shared.begin.elapsed().as_secs_f64();
    let Done { clients, errors } = std::mem::take(&mut *shared.done.lock());
    Ok(ChurnReport {
        ok: errors.is_empty(),
        clients,
        seconds: tenths_of_ms(seconds),
        clients_per_s: rate(clients, seconds),
        errors,
    })
}

/// A thread that goes on until the sender is dropped.
fn start(shared: &Arc<Shared>, number: u32, threads: u32) -> std::io::Result<(Sender<()>, JoinHandle<()>)> {
    let (stop, stopped) = channel();
    let shared = Arc::clone(shared);
    let thread = Builder::new().name(format!("churn {number}")).spawn(move || {
        let mut due = shared.begin + shared.every * number / threads;
        for client in 0.. {
            let wait = due.saturating_duration_since(Instant::now());
            if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            // Those that could not come in time do not come all at once.
            due = (due + shared.every).max(Instant::now());
            let index = client * threads as usize + number as usize;
            let served = shared.serve(index);
            let mut done = shared.done.lock();
            match served {
                Ok(()) => done.clients += 1,
                Err(error) if done.errors.len() < MOST_ERRORS => done.errors.push(error.to_string()),
                Err(_) => {}
            }
        }
    })?;
    Ok((stop, thread))
}

impl Shared {
    /// One client, from its connection to the end of it.
    fn serve(&self, index: usize) -> Result<(), LinkError> {
        let queue = format!("{}-churn-{index}", self.args.queue);
        let uris = self.args.uris_for(index);
        let mut link = Link::open(&uris, "warren perf churn", READ_BYTES)?;
        link.open_channel()?;
        declare_queue(&mut link, &queue, !self.args.transient_queue, &self.arguments)?;
        let publish = Publish {
            exchange: "",
            routing_key: &queue,
            mandatory: self.args.mandatory,
            persistent: !self.args.transient,
            frame_max: link.frame_max(),
        };
        for _ in 0..MESSAGES {
            publish.encode(&self.body, &mut link.pipe.output);
        }
        MethodFrame::begin(&mut link.pipe.output, 1, id::BASIC_CONSUME)
            .u16(0)
            .short(&queue)
            .short(CONSUMER)
            .u8(0)
            .table(&FieldTable::new())
            .end();
        link.call("basic.consume", id::BASIC_CONSUME_OK)?;
        for _ in 0..MESSAGES {
            link.call("a message", id::BASIC_DELIVER)?;
        }
        wire::ack_up_to(&mut link.pipe.output, MESSAGES);
        // Or the broker would say, at any time around its answer to the delete, that it did.
        MethodFrame::begin(&mut link.pipe.output, 1, id::BASIC_CANCEL)
            .short(CONSUMER)
            .u8(0)
            .end();
        link.call("basic.cancel", id::BASIC_CANCEL_OK)?;
        delete_queue(&mut link, &queue)?;
        link.close(Duration::from_secs(5));
        Ok(())
    }
}
