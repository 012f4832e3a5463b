//! The thread that writes log lines, and the file they go to.
//!
//! Lines wait in a bounded queue. When it is full, which takes a terminal or disk that stands
//! still, further lines are dropped and counted; the count is written when writing goes on.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use tracing_subscriber::fmt::MakeWriter;

use super::recent::Recent;

use crate::config::Stream;

/// Lines that may wait; further ones are dropped.
const MAX_WAITING: usize = 8192;
/// Bytes gathered for one write.
const BATCH_BYTES: usize = 64 * 1024;

/// Where a line goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sink {
    Console,
    File,
}

enum Work {
    Line(Sink, Vec<u8>),
    /// The file may have been moved away: go on in a new one of its name.
    Reopen,
    /// The last one; those who still log after it are not heard.
    Stop,
}

/// Logging while it runs; dropping it writes what waits and ends the thread.
#[derive(Debug)]
pub struct Running {
    work: SyncSender<Work>,
    dropped: Arc<AtomicU64>,
    recent: Recent,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Starts the thread.
    pub fn start(stream: Stream, file: Option<LogFile>) -> io::Result<Self> {
        let (work, waiting) = sync_channel(MAX_WAITING);
        let dropped = Arc::new(AtomicU64::new(0));
        let mut writing = Writing {
            stream,
            console: Vec::new(),
            file,
            for_file: Vec::new(),
            dropped: dropped.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || writing.run(&waiting))?;
        Ok(Self {
            work,
            dropped,
            recent: Recent::default(),
            thread: Some(thread),
        })
    }

    /// A way to have the log file opened again.
    pub fn reopener(&self) -> Reopener {
        Reopener(self.work.clone())
    }

    /// The last lines of the outputs that keep theirs.
    pub fn recent(&self) -> Recent {
        self.recent.clone()
    }

    /// A way to hand lines over for one of the sinks.
    pub fn output(&self, sink: Sink) -> Output {
        Output {
            sink,
            work: self.work.clone(),
            dropped: self.dropped.clone(),
            kept: None,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // An error in either says that the thread is gone already.
        let _ = self.work.send(Work::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Has the log file opened again.
#[derive(Debug)]
pub struct Reopener(SyncSender<Work>);

impl Reopener {
    /// Lines that were logged before go to the file as it was, later ones to the one of its name.
    pub fn reopen(&self) {
        // An error is the thread gone, and with it the file.
        let _ = self.0.send(Work::Reopen);
    }
}

/// Hands lines to the thread. Each write is one line.
#[derive(Clone, Debug)]
pub struct Output {
    sink: Sink,
    work: SyncSender<Work>,
    dropped: Arc<AtomicU64>,
    /// Where its lines are kept as well.
    kept: Option<Recent>,
}

impl Output {
    /// The same, whose lines are kept for whoever looks.
    pub fn kept(self, recent: Recent) -> Self {
        Self {
            kept: Some(recent),
            ..self
        }
    }
}

impl Write for Output {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(recent) = &self.kept {
            recent.keep(line);
        }
        if self.work.try_send(Work::Line(self.sink, line.to_vec())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Output {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// What the thread has: lines gathered for a write each to the terminal and to the file.
struct Writing {
    stream: Stream,
    console: Vec<u8>,
    file: Option<LogFile>,
    for_file: Vec<u8>,
    dropped: Arc<AtomicU64>,
}

impl Writing {
    /// Ends with [`Work::Stop`], or when nobody can send any more.
    fn run(&mut self, waiting: &Receiver<Work>) {
        while let Ok(first) = waiting.recv() {
            let mut next = Some(first);
            let mut stop = false;
            while let Some(work) = next {
                match work {
                    Work::Line(Sink::Console, line) => self.console.extend_from_slice(&line),
                    Work::Line(Sink::File, line) => self.for_file.extend_from_slice(&line),
                    Work::Reopen => {
                        self.write();
                        self.reopen();
                    }
                    Work::Stop => stop = true,
                }
                let full = self.console.len().max(self.for_file.len()) >= BATCH_BYTES;
                next = if full || stop { None } else { waiting.try_recv().ok() };
            }
            self.write();
            if stop {
                return;
            }
        }
    }

    fn reopen(&mut self) {
        let Some(file) = &mut self.file else { return };
        if let Err(error) = file.open_again() {
            let line = format!("[error] {} cannot be opened again: {error}\n", file.path.display());
            self.console.extend_from_slice(line.as_bytes());
            self.for_file.extend_from_slice(line.as_bytes());
        }
    }

    fn write(&mut self) {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let line = format!("[warning] {dropped} log lines were dropped: writing is too slow\n");
            self.console.extend_from_slice(line.as_bytes());
            self.for_file.extend_from_slice(line.as_bytes());
        }
        // There is nowhere left to say that the log itself cannot be written.
        let _ = match self.stream {
            Stream::Stdout => write_all(&mut io::stdout().lock(), &self.console),
            Stream::Stderr => write_all(&mut io::stderr().lock(), &self.console),
        };
        if let Some(file) = &mut self.file {
            let _ = file.write(&self.for_file);
        }
        self.console.clear();
        self.for_file.clear();
    }
}

fn write_all(stream: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes)?;
    stream.flush()
}

/// The log file, and how it is followed by new ones: `a.log` becomes `a.log.0`, that `a.log.1`.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// Size in bytes at which a new file is begun.
    limit: Option<u64>,
    /// Older files that are kept.
    keep: u16,
}

impl LogFile {
    /// Opens the file to write at its end; its directory is made if need be.
    pub fn open(path: &Path, limit: Option<u64>, keep: u16) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self {
            path: path.to_owned(),
            bytes: file.metadata()?.len(),
            file,
            limit,
            keep,
        })
    }

    /// Goes on at the end of whatever has the file's name now; stays with the old one if it cannot.
    fn open_again(&mut self) -> io::Result<()> {
        *self = Self::open(&self.path, self.limit, self.keep)?;
        Ok(())
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.bytes > 0 && self.limit.is_some_and(|limit| self.bytes + lines.len() as u64 > limit) {
            self.begin_next()?;
        }
        self.file.write_all(lines)?;
        self.bytes += lines.len() as u64;
        Ok(())
    }

    fn begin_next(&mut self) -> io::Result<()> {
        let older = |number: u16| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        // A gap in the row of older files is no reason not to go on.
        for number in (1..self.keep).rev() {
            let _ = std::fs::rename(older(number - 1), older(number));
        }
        match self.keep {
            0 => std::fs::remove_file(&self.path)?,
            _ => std::fs::rename(&self.path, older(0))?,
        }
        self.open_again()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_is_followed_by_a_new_one_and_the_oldest_goes() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("a.log");
        let mut file = LogFile::open(&path, Some(10), 2).expect("opens");
        for line in ["first..\n", "second.\n", "third..\n", "fourth.\n"] {
            file.write(line.as_bytes()).expect("writes");
        }
        let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).ok();
        assert_eq!(read("a.log").as_deref(), Some("fourth.\n"));
        assert_eq!(read("a.log.0").as_deref(), Some("third..\n"));
        assert_eq!(read("a.log.1").as_deref(), Some("second.\n"));
        assert_eq!(read("a.log.2"), None);
    }

    #[test]
    fn a_file_that_was_moved_away_is_followed_by_a_new_one() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("a.log");
        let file = LogFile::open(&path, None, 0).expect("opens");
        let running = Running::start(Stream::Stdout, Some(file)).expect("starts");
        let mut output = running.output(Sink::File);
        output.write_all(b"first\n").expect("never fails");
        // Once it is opened again the line before is written.
        running.reopener().reopen();
        let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while std::fs::read(&path).expect("a file").is_empty() {
            assert!(std::time::Instant::now() < end, "the line is not written");
            std::thread::yield_now();
        }
        std::fs::rename(&path, directory.path().join("a.log.1")).expect("moved");
        running.reopener().reopen();
        output.write_all(b"second\n").expect("never fails");
        drop(running);
        let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).expect("a file");
        assert_eq!(
            (read("a.log.1"), read("a.log")),
            ("first\n".to_owned(), "second\n".to_owned())
        );
    }

    #[test]
    fn lines_beyond_the_bound_are_dropped_and_counted() {
        let (work, waiting) = sync_channel(2);
        let dropped = Arc::new(AtomicU64::new(0));
        let mut output = Output {
            sink: Sink::File,
            work,
            dropped: dropped.clone(),
            kept: None,
        };
        for _ in 0..5 {
            output.write_all(b"line\n").expect("never fails");
        }
        drop(output);
        assert_eq!(dropped.load(Ordering::Relaxed), 3);
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("a.log");
        let mut writing = Writing {
            stream: Stream::Stdout,
            console: Vec::new(),
            file: LogFile::open(&path, None, 0).ok(),
            for_file: Vec::new(),
            dropped,
        };
        writing.run(&waiting);
        assert_eq!(
            std::fs::read_to_string(&path).expect("a file"),
            "line\nline\n[warning] 3 log lines were dropped: writing is too slow\n"
        );
    }
}
