//! One run: declares, starts the workers, watches the time, and ends in order.
//!
//! ```text
//! Warmup ── warmup over ──▶ Measured ── time over, all published, or interrupted ──▶ Settling
//! Settling: publishers wait for confirms ── all done ──▶ Draining: consumers take the rest ──▶ report
//! ```
//! Draining is waited for only where every message counts (`--verify`, `--messages`, `--drain`).

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;

use super::args::PerfArgs;
use super::consumer::Consumer;
use super::counters::{Clock, Counters, Gate, Totals, nanos};
use super::failure::Failure;
use super::interrupt;
use super::link::Link;
use super::link_error::LinkError;
use super::publisher::Publisher;
use super::report::{Figures, Live, Report};
use super::sending::Published;
use super::stats::{Percentiles, histogram};
use super::stream::{self, Streams};
use super::topology::Topology;
use super::verify::{Arrivals, Sent, judge, judge_backlog};

/// How long consumers may go without a message before what is missing counts as lost.
const QUIET: Duration = Duration::from_secs(10);
/// How often the end of draining is looked for.
const DRAIN_STEP: Duration = Duration::from_millis(10);
/// Stack of a worker: it keeps its buffers on the heap, and there may be many.
const STACK_BYTES: usize = 256 * 1024;

/// What a worker does in its thread.
type Work<T> = Box<dyn FnOnce() -> Result<T, LinkError> + Send>;

/// What reaches the conductor.
enum Event {
    Ready,
    Publisher {
        index: usize,
        end: Box<Result<Published, LinkError>>,
    },
    Consumer {
        index: usize,
        end: Box<Result<Histogram<u64>, LinkError>>,
    },
    Interrupted,
}

/// Runs the load that the options describe.
pub fn run(args: &PerfArgs) -> Result<Report, Failure> {
    let topology = Topology::of(args);
    let mut control = Control::open(args, &topology)?;
    let backlog = match (args.drain, args.messages) {
        (true, Some(messages)) => messages,
        (true, None) => control.backlog()?,
        (false, _) => {
            control.declare(args)?;
            0
        }
    };
    let report = Conductor::new(args, &topology, backlog).and_then(Conductor::conduct);
    // Also after a failure: nothing is left behind that was not there before.
    if args.delete || !args.drain && !args.keep {
        let deleted = control.delete();
        if report.is_ok() {
            deleted?;
        }
    }
    control.close();
    report
}

/// Who declares and deletes.
enum Control<'a> {
    Amqp(Link, &'a Topology),
    Stream(Streams<'a>),
}

impl<'a> Control<'a> {
    fn open(args: &PerfArgs, topology: &'a Topology) -> Result<Self, LinkError> {
        if args.speaks_stream() {
            return Streams::open(args, &topology.queues).map(Self::Stream);
        }
        let mut link = Link::open(&args.uri, "warren perf control", 16 * 1024)?;
        link.open_channel()?;
        Ok(Self::Amqp(link, topology))
    }

    fn declare(&mut self, args: &PerfArgs) -> Result<(), LinkError> {
        match self {
            Self::Amqp(link, topology) => topology.declare(link),
            Self::Stream(streams) => streams.create(args),
        }
    }

    /// How many messages there are before anything is done.
    fn backlog(&mut self) -> Result<u64, LinkError> {
        match self {
            Self::Amqp(link, topology) => topology.backlog(link),
            Self::Stream(streams) => streams.backlog(),
        }
    }

    fn delete(&mut self) -> Result<(), LinkError> {
        match self {
            Self::Amqp(link, topology) => topology.delete(link),
            Self::Stream(streams) => streams.delete(),
        }
    }

    fn close(self) {
        match self {
            Self::Amqp(link, _) => link.close(Duration::from_secs(5)),
            Self::Stream(streams) => streams.close(),
        }
    }
}

struct Conductor<'a> {
    args: &'a PerfArgs,
    topology: &'a Topology,
    gate: Arc<Gate>,
    counters: Vec<Arc<Counters>>,
    arrivals: Option<Arc<Vec<Mutex<Arrivals>>>>,
    /// Messages in the queues before a drain.
    backlog: u64,
    events: Receiver<Event>,
    sender: Sender<Event>,
    threads: Vec<JoinHandle<()>>,
    publishers_left: usize,
    consumers_left: usize,
    sent: Vec<Option<Sent>>,
    unconfirmed: u64,
    confirm_times: Histogram<u64>,
    delivery_times: Histogram<u64>,
    errors: Vec<String>,
    interrupted: bool,
    live: Live,
}

impl<'a> Conductor<'a> {
    fn new(args: &'a PerfArgs, topology: &'a Topology, backlog: u64) -> Result<Self, Failure> {
        let (sender, events) = channel();
        let interrupts = sender.clone();
        interrupt::watch(move || {
            // Nobody listens once the run is over.
            let _ = interrupts.send(Event::Interrupted);
        })
        .map_err(Failure::Thread)?;
        let arrivals = args.verify.then(|| {
            let queue = |_| Mutex::new(Arrivals::new(args.size as u64));
            Arc::new((0..topology.queues.len()).map(queue).collect())
        });
        Ok(Self {
            args,
            topology,
            gate: Arc::new(Gate::new(Clock::start())),
            counters: Vec::new(),
            arrivals,
            backlog,
            events,
            sender,
            threads: Vec::new(),
            publishers_left: 0,
            consumers_left: 0,
            sent: vec![None; args.publishers],
            unconfirmed: 0,
            confirm_times: histogram(),
            delivery_times: histogram(),
            errors: Vec::new(),
            interrupted: false,
            live: Live::new(args.json),
        })
    }

    fn conduct(mut self) -> Result<Report, Failure> {
        let started_ns = self.gate.clock.now_ns();
        self.start_consumers()?;
        if !self.args.drain && self.errors.is_empty() {
            self.start_publishers()?;
        }
        // A drain begins with the first basic.consume, a load when everybody is connected.
        let load_ns = if self.args.drain {
            started_ns
        } else {
            self.gate.clock.now_ns()
        };
        let measured = self.watch(load_ns);
        self.finish();
        Ok(self.report(measured))
    }

    fn start_consumers(&mut self) -> Result<(), Failure> {
        let mut waiting = 0;
        for index in 0..self.args.consumers {
            let (arrivals, gate) = (self.arrivals.clone(), self.gate.clone());
            let ready = self.sender.clone();
            let ready = move || {
                let _ = ready.send(Event::Ready);
            };
            let consume: Work<Histogram<u64>> = match self.args.speaks_stream() {
                true => {
                    let consumer = stream::Consumer::open(self.args, self.topology, index, arrivals, gate)?;
                    self.counters.push(consumer.counters());
                    Box::new(move || consumer.run(ready))
                }
                false => {
                    let consumer = Consumer::open(self.args, self.topology, index, arrivals, gate)?;
                    self.counters.push(consumer.counters());
                    Box::new(move || consumer.run(ready))
                }
            };
            let sender = self.sender.clone();
            self.spawn(format!("consumer {index}"), move || {
                let end = consume();
                let _ = sender.send(Event::Consumer {
                    index,
                    end: Box::new(end),
                });
            })?;
            self.consumers_left += 1;
            waiting += 1;
        }
        while waiting > 0 && self.errors.is_empty() && !self.interrupted {
            match self.events.recv_timeout(QUIET) {
                Ok(Event::Ready) => waiting -= 1,
                Ok(event) => self.on_event(event),
                Err(_) => {
                    self.errors.push("no answer to basic.consume within 10 s".to_owned());
                }
            }
        }
        Ok(())
    }

    fn start_publishers(&mut self) -> Result<(), Failure> {
        // All are connected before the first begins.
        let mut publishers: Vec<Work<Published>> = Vec::new();
        for index in 0..self.args.publishers {
            let gate = self.gate.clone();
            publishers.push(match self.args.speaks_stream() {
                true => {
                    let publisher = stream::Publisher::open(self.args, self.topology, index, gate)?;
                    self.counters.push(publisher.counters());
                    Box::new(move || publisher.run())
                }
                false => {
                    let publisher = Publisher::open(self.args, self.topology, index, gate)?;
                    self.counters.push(publisher.counters());
                    Box::new(move || publisher.run())
                }
            });
        }
        for (index, publish) in publishers.into_iter().enumerate() {
            let sender = self.sender.clone();
            self.spawn(format!("publisher {index}"), move || {
                let _ = sender.send(Event::Publisher {
                    index,
                    end: Box::new(publish()),
                });
            })?;
            self.publishers_left += 1;
        }
        Ok(())
    }

    fn spawn(&mut self, name: String, work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
        let thread = Builder::new().name(name).stack_size(STACK_BYTES).spawn(work);
        self.threads.push(thread.map_err(Failure::Thread)?);
        Ok(())
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Ready => {}
            Event::Interrupted => self.interrupted = true,
            Event::Publisher { index, end } => {
                self.publishers_left -= 1;
                match *end {
                    Ok(published) => {
                        self.unconfirmed += published.unconfirmed;
                        add(&mut self.confirm_times, &published.latency);
                        self.sent[index] = Some(published.sent);
                    }
                    Err(error) => self.errors.push(format!("publisher {index}: {error}")),
                }
            }
            Event::Consumer { index, end } => {
                self.consumers_left -= 1;
                match *end {
                    Ok(latency) => add(&mut self.delivery_times, &latency),
                    Err(error) => self.errors.push(format!("consumer {index}: {error}")),
                }
            }
        }
    }

    /// Warm-up and measured time, then the ends of publishers and consumers. Gives the counts at both ends of what
    /// was measured.
    fn watch(&mut self, load_ns: u64) -> (Totals, Totals) {
        let begin_ns = load_ns + nanos(Duration::from_secs_f64(self.args.warmup));
        self.until(begin_ns, |conductor| conductor.nothing_left());
        let begin = self.totals().at(begin_ns.min(self.gate.clock.now_ns()));
        self.gate.measure(true);
        let end_ns = self.args.seconds.map(|s| begin_ns + nanos(Duration::from_secs_f64(s)));
        self.until(end_ns.unwrap_or(u64::MAX), |conductor| conductor.nothing_left());
        let now_ns = self.gate.clock.now_ns();
        let timed_out = end_ns.is_some_and(|end_ns| now_ns >= end_ns) || self.interrupted;
        let at_deadline = self.totals().at(now_ns);
        if timed_out {
            self.gate.measure(false);
        }
        self.gate.stop_publishers();
        self.until(u64::MAX, |conductor| conductor.publishers_left == 0);
        self.drain(timed_out);
        match timed_out {
            true => (begin, at_deadline),
            // Everything was sent: each rate is as of its own last message.
            false => (begin, self.totals()),
        }
    }

    /// Whether the load has ended by itself or cannot go on.
    fn nothing_left(&self) -> bool {
        let failed = self.interrupted || !self.errors.is_empty();
        let published = !self.args.drain && self.args.publishers > 0 && self.publishers_left == 0;
        let drained = self.args.drain && self.totals().consumed >= self.expected();
        failed || published || drained
    }

    /// Lets consumers take what is there, where every message counts.
    fn drain(&mut self, timed_out: bool) {
        let wanted = self.args.verify || !timed_out;
        if wanted && self.consumers_left > 0 && self.errors.is_empty() {
            let expected = self.expected();
            let (mut last, mut last_ns) = (self.totals().consumed, self.gate.clock.now_ns());
            self.until(u64::MAX, |conductor| {
                let (consumed, now_ns) = (conductor.totals().consumed, conductor.gate.clock.now_ns());
                if consumed != last {
                    (last, last_ns) = (consumed, now_ns);
                }
                consumed >= expected || now_ns - last_ns > nanos(QUIET) || !conductor.errors.is_empty()
            });
        }
    }

    /// Handles events and prints a line each second until that time or until `over`.
    fn until(&mut self, until_ns: u64, mut over: impl FnMut(&Self) -> bool) {
        loop {
            let now_ns = self.gate.clock.now_ns();
            let totals = self.totals();
            self.live.tick(now_ns, &totals);
            if now_ns >= until_ns || over(self) {
                return;
            }
            let next_ns = until_ns.min(self.live.next_ns());
            let mut wait = Duration::from_nanos(next_ns - now_ns.min(next_ns));
            if self.args.drain || self.publishers_left == 0 {
                wait = wait.min(DRAIN_STEP);
            }
            match self.events.recv_timeout(wait) {
                Ok(event) => self.on_event(event),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
    }

    fn totals(&self) -> Totals {
        Totals::of(self.counters.iter().map(AsRef::as_ref))
    }

    /// Deliveries that must come for what was published (or lay there).
    fn expected(&self) -> u64 {
        if self.args.drain {
            return self.backlog;
        }
        let totals = self.totals();
        let readers = match self.args.is_of_streams() {
            // Every consumer of a stream reads all of it.
            true => (self.args.consumers / self.topology.queues.len()).max(1) as u64,
            false => 1,
        };
        let copies = if self.topology.copies() {
            self.topology.queues.len() as u64
        } else {
            1
        };
        // With fewer consumers than queues every queue still has one, see Topology::queues_of.
        let unsure = totals.nacked + totals.returned + self.unconfirmed;
        totals.published.saturating_sub(unsure) * copies * readers
    }

    /// Ends the workers that are left and waits for them.
    fn finish(&mut self) {
        self.gate.stop_publishers();
        self.gate.stop_consumers();
        while self.publishers_left + self.consumers_left > 0 {
            match self.events.recv() {
                Ok(event) => self.on_event(event),
                Err(_) => break,
            }
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                self.errors.push("a worker panicked".to_owned());
            }
        }
    }

    fn report(self, (begin, end): (Totals, Totals)) -> Report {
        let totals = self.totals();
        let verdict = self.arrivals.as_ref().map(|arrivals| {
            let arrivals: Vec<Arrivals> = arrivals
                .iter()
                .map(|queue| std::mem::take(&mut *queue.lock()))
                .collect();
            match self.args.drain {
                true => judge_backlog(&arrivals, self.topology.copies()),
                false => judge(&arrivals, &self.sent),
            }
        });
        let mut errors = self.errors;
        if self.args.drain && errors.is_empty() && !self.interrupted && self.args.seconds.is_none() {
            let missing = self.backlog.saturating_sub(totals.consumed);
            if missing > 0 {
                errors.push(format!("{missing} messages of the backlog were not delivered"));
            }
        }
        if self.unconfirmed > 0 {
            errors.push(format!("{} messages were never confirmed", self.unconfirmed));
        }
        Report::from(Figures {
            begin,
            end,
            totals,
            confirm_latency: Percentiles::of(&self.confirm_times),
            latency: Percentiles::of(&self.delivery_times),
            verdict,
            unconfirmed: self.unconfirmed,
            errors,
        })
    }
}

fn add(sum: &mut Histogram<u64>, more: &Histogram<u64>) {
    // All are made by stats::histogram, so the bounds agree.
    sum.add(more).expect("histograms of one shape");
}
