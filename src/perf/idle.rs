//! `--idle N`: opens connections that do nothing, and holds them.

use std::io::Write;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;

use super::args::PerfArgs;
use super::failure::Failure;
use super::interrupt;
use super::link::Link;
use super::report::tenths_of_ms;

/// Input buffer of a connection that hears next to nothing.
const READ_BYTES: usize = 4096;

/// Said as soon as all are open, and again at the end.
#[derive(Debug, Serialize)]
pub struct IdleReport {
    pub ok: bool,
    pub connections: usize,
    /// Seconds it took to open them, one after the other.
    pub open_seconds: f64,
    /// Connections that the broker closed while they were held; the first reasons are in `errors`.
    pub closed: usize,
    pub errors: Vec<String>,
}

/// Opens `count` connections, says so at once, and holds them for the options' seconds or until interrupted.
pub fn run(args: &PerfArgs, count: usize) -> Result<IdleReport, Failure> {
    let (sender, interrupts) = channel();
    interrupt::watch(move || {
        // Nobody listens once the run is over.
        let _ = sender.send(());
    })
    .map_err(Failure::Thread)?;
    raise_file_limit();
    let begin = Instant::now();
    let open = |index: usize| Link::open(&args.uris_for(index), &format!("warren perf idle {index}"), READ_BYTES);
    let mut links: Vec<Link> = (0..count).map(open).collect::<Result<_, _>>()?;
    let mut report = IdleReport {
        ok: true,
        connections: links.len(),
        open_seconds: tenths_of_ms(begin.elapsed().as_secs_f64()),
        closed: 0,
        errors: Vec::new(),
    };
    announce(args, &report);
    let until = args.seconds.map(|s| Instant::now() + Duration::from_secs_f64(s));
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            break;
        }
        match interrupts.recv_timeout(left.unwrap_or(Duration::MAX).min(Duration::from_secs(1))) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => look(&mut links, &mut report),
        }
    }
    look(&mut links, &mut report);
    report.ok = report.closed == 0;
    Ok(report)
}

/// Drops the connections that were closed.
fn look(links: &mut Vec<Link>, report: &mut IdleReport) {
    links.retain_mut(|link| match link.listen() {
        Ok(()) => true,
        Err(error) => {
            report.closed += 1;
            if report.errors.len() < 10 {
                report.errors.push(error.to_string());
            }
            false
        }
    });
}

/// Whoever measures the broker waits for this line.
fn announce(args: &PerfArgs, report: &IdleReport) {
    let (count, seconds) = (report.connections, report.open_seconds);
    match args.json {
        true => println!("{{\"opened\":{count},\"open_seconds\":{seconds}}}"),
        false => println!("{count} connections opened in {seconds:.2} s"),
    }
    // A closed output is no reason to stop.
    let _ = std::io::stdout().flush();
}

/// As many files as the system lets this process have; if not more, then as many as it had.
fn raise_file_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    );
}
