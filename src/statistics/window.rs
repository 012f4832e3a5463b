//! Which part of a history is asked for.

use serde::{Deserialize, Serialize};

use super::measure::Measure;

/// Most points of an answer, as of RabbitMQ's.
const MOST: u64 = 500;

/// Points that stand `every` seconds apart; the last one ends at `end`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Window {
    /// A second since the epoch, which a whole number of steps ends at.
    pub end: u64,
    /// Seconds.
    pub every: u64,
    pub count: usize,
}

impl Window {
    /// The window that RabbitMQ's `*_age` and `*_incr` mean, in seconds. `None` where they mean none.
    pub fn of(now: u64, age: u64, every: u64) -> Option<Self> {
        let is_sound = age > 0 && every > 0 && age / every <= MOST;
        is_sound.then(|| Self {
            end: now / every * every,
            every,
            count: (age / every) as usize + 1,
        })
    }

    /// About so many points that cover so many seconds.
    pub fn covering(now: u64, age: u64, points: u64) -> Self {
        let age = age.clamp(1, 86_400);
        let every = age.div_ceil(points.clamp(1, MOST));
        Self {
            end: now / every * every,
            every,
            count: age.div_ceil(every) as usize,
        }
    }

    /// The second in which the first point begins.
    pub fn start(&self) -> u64 {
        self.end.saturating_sub(self.every * self.count as u64)
    }

    /// The seconds from which to which each point is.
    pub fn steps(&self) -> impl Iterator<Item = (u64, u64)> {
        let Self { every, count, .. } = *self;
        let start = self.start();
        (0..count as u64).map(move |at| (start + at * every, start + (at + 1) * every))
    }
}

/// What is asked of each kind of measure, as RabbitMQ's `lengths_age`, `msg_rates_age`, `data_rates_age` and
/// `node_stats_age` tell them apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Windows {
    pub lengths: Option<Window>,
    pub messages: Option<Window>,
    pub data: Option<Window>,
    pub node: Option<Window>,
}

impl Windows {
    /// The same of all.
    pub fn all(window: Window) -> Self {
        let window = Some(window);
        Self {
            lengths: window,
            messages: window,
            data: window,
            node: window,
        }
    }

    /// What is asked of a measure.
    pub fn of(&self, measure: Measure) -> Option<Window> {
        use Measure::{
            DiskFree, FdUsed, IoSyncCount, IoSyncMicros, IoWriteBytes, IoWriteCount, MemUsed, ProcUsed, Ready,
            ReadyBytes, RecvCnt, RecvOct, SendCnt, SendOct, SocketsUsed, Unacked, UnackedBytes,
        };
        match measure {
            Ready | Unacked | ReadyBytes | UnackedBytes => self.lengths,
            RecvOct | SendOct | RecvCnt | SendCnt => self.data,
            MemUsed | FdUsed | SocketsUsed | ProcUsed | DiskFree => self.node,
            IoWriteCount | IoWriteBytes | IoSyncCount | IoSyncMicros => self.node,
            _ => self.messages,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_and_a_step_are_a_point_more_than_they_divide_to() {
        let window = Window::of(1_000_003, 60, 5).expect("a window");
        assert_eq!((window.start(), window.end, window.count), (999_935, 1_000_000, 13));
        assert_eq!(window.steps().next(), Some((999_935, 999_940)));
        assert_eq!(window.steps().last(), Some((999_995, 1_000_000)));
        for (age, every) in [(0, 5), (60, 0), (60_000, 5), (u64::MAX, 1)] {
            assert_eq!(Window::of(1_000_003, age, every), None);
        }
    }

    #[test]
    fn so_many_points_cover_an_age() {
        let window = Window::covering(1_000_003, 3600, 300);
        assert_eq!((window.end, window.every, window.count), (999_996, 12, 300));
        let least = Window::covering(1_000_003, 0, 0);
        assert_eq!((least.every, least.count), (1, 1));
        let most = Window::covering(1_000_003, u64::MAX, u64::MAX);
        assert!(most.count <= MOST as usize);
    }
}
