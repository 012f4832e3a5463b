//! The last lines of the log, kept in memory for whoever wants to see them: `log_tail` and
//! `log_tail_stream` of the command line, wherever the log itself goes.
//!
//! Bounded in lines and in bytes; the oldest go. Each line has a number, in order.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

/// Lines that are kept.
const MOST_LINES: usize = 4096;
/// Bytes that are kept, of all lines together.
const MOST_BYTES: usize = 1024 * 1024;

/// The last lines.
#[derive(Clone, Debug)]
pub struct Recent(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kept: Mutex<Kept>,
    /// The number that the next line gets.
    next: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<String>,
    bytes: usize,
    /// The number of the first line that is kept.
    first: u64,
}

/// Some of the lines, in order.
#[derive(Debug, PartialEq, Eq)]
pub struct Lines {
    pub lines: Vec<String>,
    /// The number of the line after them.
    pub next: u64,
}

impl Default for Recent {
    fn default() -> Self {
        Self(Arc::new(Inner {
            kept: Mutex::default(),
            next: watch::Sender::new(0),
        }))
    }
}

impl Recent {
    /// Keeps a line, which ends as lines do.
    pub fn keep(&self, line: &[u8]) {
        let line = String::from_utf8_lossy(line).trim_end().to_owned();
        let mut kept = self.0.kept.lock();
        kept.bytes += line.len();
        kept.lines.push_back(line);
        while kept.lines.len() > MOST_LINES || kept.bytes > MOST_BYTES {
            let Some(gone) = kept.lines.pop_front() else { break };
            kept.bytes -= gone.len();
            kept.first += 1;
        }
        let next = kept.first + kept.lines.len() as u64;
        drop(kept);
        // Two who log at once may come here in either order.
        self.0.next.send_if_modified(|known| {
            let is_later = *known < next;
            *known = next.max(*known);
            is_later
        });
    }

    /// The last lines, `count` at most.
    pub fn last(&self, count: usize) -> Lines {
        let kept = self.0.kept.lock();
        let skipped = kept.lines.len().saturating_sub(count);
        kept.from(skipped, usize::MAX)
    }

    /// The lines from that number on, `count` at most; those that are gone are left out.
    pub fn from(&self, number: u64, count: usize) -> Lines {
        let kept = self.0.kept.lock();
        let skipped = usize::try_from(number.saturating_sub(kept.first)).unwrap_or(usize::MAX);
        kept.from(skipped, count)
    }

    /// Waits until there is a line of that number.
    pub async fn reaches(&self, number: u64) {
        // An error is the log dropped, which cannot be while we are here.
        let _ = self.0.next.subscribe().wait_for(|next| *next > number).await;
    }
}

impl Kept {
    fn from(&self, skipped: usize, count: usize) -> Lines {
        let skipped = skipped.min(self.lines.len());
        let lines: Vec<_> = self.lines.range(skipped..).take(count).cloned().collect();
        let next = self.first + (skipped + lines.len()) as u64;
        Lines { lines, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(count: u64) -> Recent {
        let recent = Recent::default();
        for number in 0..count {
            recent.keep(format!("line {number}\n").as_bytes());
        }
        recent
    }

    #[test]
    fn the_last_lines_are_there_in_order() {
        let recent = kept(3);
        let expected = |lines: &[&str], next| Lines {
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
            next,
        };
        assert_eq!(recent.last(2), expected(&["line 1", "line 2"], 3));
        assert_eq!(recent.last(9), expected(&["line 0", "line 1", "line 2"], 3));
        assert_eq!(recent.from(1, 1), expected(&["line 1"], 2));
        assert_eq!(recent.from(3, 9), expected(&[], 3));
        assert_eq!(recent.from(u64::MAX, 9), expected(&[], 3));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let recent = kept(MOST_LINES as u64 + 10);
        let all = recent.last(usize::MAX);
        assert_eq!(all.lines.len(), MOST_LINES);
        assert_eq!(all.lines[0], "line 10");
        assert_eq!(recent.from(0, 1).lines, ["line 10"], "what is gone is left out");
        recent.keep(&vec![b'x'; MOST_BYTES]);
        recent.keep(b"short");
        assert_eq!(recent.last(usize::MAX).lines, ["short"]);
    }

    #[tokio::test]
    async fn who_waits_for_a_line_gets_it() {
        let recent = kept(1);
        let waiting = tokio::spawn({
            let recent = recent.clone();
            async move {
                recent.reaches(1).await;
                recent.from(1, 9).lines
            }
        });
        tokio::task::yield_now().await;
        recent.keep(b"here\n");
        assert_eq!(waiting.await.expect("no panic"), ["here"]);
    }
}
