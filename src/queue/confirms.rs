//! Publishers that wait until their message is on disk.
//!
//! Holds: ordered by sequence number; a publish confirmed early leaves its place empty until the
//! journal comes past it.

use std::collections::VecDeque;

use super::sink::Sink;

/// The waiting publishes of a queue.
pub(super) struct Confirms<P> {
    waiting: VecDeque<(u64, Option<P>)>,
}

impl<P> Confirms<P> {
    pub fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
        }
    }

    /// Waits for a message that was just stored; `seq` is the highest so far.
    pub fn wait(&mut self, seq: u64, publish: P) {
        self.waiting.push_back((seq, Some(publish)));
    }

    /// Everything up to `seq` is on disk.
    pub fn durable(&mut self, seq: u64, mut confirm: impl FnMut(P)) {
        while self.waiting.front().is_some_and(|(first, _)| *first <= seq) {
            if let Some((_, Some(publish))) = self.waiting.pop_front() {
                confirm(publish);
            }
        }
    }

    /// The message is gone before it was on disk: whoever published it need not wait.
    pub fn early<S: Sink<Publish = P>>(&mut self, seq: u64, sink: &mut S) {
        if let Ok(at) = self.waiting.binary_search_by_key(&seq, |(waiting, _)| *waiting)
            && let Some(publish) = self.waiting[at].1.take()
        {
            sink.confirm(publish);
        }
    }

    /// Takes every publish that waits.
    pub fn drain(&mut self) -> impl Iterator<Item = P> {
        self.waiting.drain(..).filter_map(|(_, publish)| publish)
    }

    /// Panics when the order is broken.
    pub fn check(&self) {
        assert!(self.waiting.iter().is_sorted_by(|one, next| one.0 < next.0));
    }
}
